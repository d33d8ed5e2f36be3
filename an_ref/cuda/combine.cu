// Sweep 2 backward: the gradient of x from those of y and of the tables m, v and the maximum.
//
//     dx[n,c,i] = a dy[n,c,i] + dm / M + (2 / M) dv (x[n,c,i] - m)      + dpeak where i = where[n,c]
//
// dv and dpeak may be null; without dv, x is not read. With y, the result of a fused ReLU, dy counts only where y > 0.
//
// Moves: reads 2 N C M (dy and x), writes N C M. Floor: N C M (sizeof(D) + 2 sizeof(X)) / bandwidth.
// y is N C M more to read.
template <typename D, typename X>
struct Maps { D dy; X x; D y; };

template <typename D, typename X, typename A>
__global__ void combine(In<D> dy, In<X> x, In<D> y, In<double> a, In<double> m, In<double> dm, In<double> dv, In<double> dpeak,
                        In<long long> where, Out<X> dx, long long maps, int M)
{
    const long long map = my_map(), start = map * M;
    if (map >= maps) return;
    const double per_v = dv ? 2 * dv[map] / M : 0;
    const A slope = a[map], centre = m[map], of_v = per_v, shift = dm[map] / M + per_v * (centre - m[map]);
    const A of_peak = dpeak ? A(dpeak[map]) : A(0);
    const long long place = dpeak ? where[map] : -1;

    const auto load = [&] (int i) {
        return Maps<D, X>{dy[start + i], dv ? x[start + i] : X(0.0f), y ? y[start + i] : D(1.0f)};
    };
    walk(M, load, [&] (int i, Maps<D, X> in) {
        A t = (A(in.y) <= 0 ? A(0) : slope * A(in.dy)) + shift;
        if (dv) t += of_v * (A(in.x) - centre);
        if (i == place) t += of_peak;
        dx[start + i] = X(t);
    });
}
