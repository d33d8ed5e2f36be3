// Sweep 2 forward, with what may follow it at once:
//
//     y[n,c,i] = a[n,c] (x[n,c,i] - m[n,c]) + b[n,c]      + residual[n,c,i]      then max(., 0)
//
// Moves: reads N C M of x, writes N C M of y. Floor: N C M (sizeof(X) + sizeof(Y)) / bandwidth.
// A residual is N C M more to read. Alone, that sum would read 2 and write 1, and ReLU read 1 and write 1.
template <typename X, typename Y>
struct Maps { X x; Y residual; };

template <typename X, typename A, typename Y>
__global__ void scale_shift(In<X> x, In<double> a, In<double> m, In<double> b, In<Y> residual, int relu, Out<Y> y,
                            long long maps, int M)
{
    const long long map = my_map(), start = map * M;
    if (map >= maps) return;
    const A slope = a[map], centre = m[map], shift = b[map] + a[map] * (centre - m[map]);

    const auto load = [&] (int i) { return Maps<X, Y>{x[start + i], residual ? residual[start + i] : Y(0.0f)}; };
    walk(M, load, [&] (int i, Maps<X, Y> in) {
        A t = slope * (A(in.x) - centre) + shift;
        if (residual) t += A(in.residual);
        if (relu && t <= 0) t = 0;  // NaN stays NaN
        y[start + i] = Y(t);
    });
}
