// Sweep 1 backward: the gradients of the tables a and b.
//
//     da[n,c] = sum_i dy (x - m)        db[n,c] = sum_i dy
//
// With y, the result of a ReLU that was fused into the forward, dy counts only where y > 0, and with g this masked dy
// is written, for a residual branch.
//
// Moves: reads 2 N C M (dy and x), writes 2 N C. Floor: N C M (sizeof(D) + sizeof(X)) / bandwidth.
// y is N C M more to read, g as much to write. Alone, the backward of ReLU would read 2 and write 1.
template <typename D, typename X>
struct Maps { D dy; X x; D y; };

template <typename D, typename X, typename A>
__global__ void gradient_sums(In<D> dy, In<X> x, In<double> m, In<D> y, Out<D> g, Out<double> da, Out<double> db,
                              long long maps, int M)
{
    const long long map = my_map(), start = map * M;
    const int end = map < maps ? M : 0;
    const A centre = end ? A(m[map]) : A(0);

    A sum_a = 0, sum_b = 0;
    const auto load = [&] (int i) { return Maps<D, X>{dy[start + i], x[start + i], y ? y[start + i] : D(1.0f)}; };
    walk(end, load, [&] (int i, Maps<D, X> in) {
        const A up = A(in.y) <= 0 ? A(0) : A(in.dy);  // where y is NaN, dy passes
        sum_a += up * (A(in.x) - centre);
        sum_b += up;
        if (g) g[start + i] = D(up);
    });
    sum_a = row_sum(sum_a);
    sum_b = row_sum(sum_b);
    if (end && threadIdx.x == 0) {
        da[map] = sum_a + (centre - m[map]) * double(sum_b);
        db[map] = sum_b;
    }
}
