// Sweep 1 forward: mean and biased, centred variance of each map.
//
//     m[n,c] = sum_i x / M        v[n,c] = sum_i (x - m)^2 / M
//
// The first mean has the rounding error of a long sum, and is no float32 in general. The centred map x - mean is small;
// its own mean e is what the first one lacks: m = mean + e, v = sum_i (x - mean)^2 / M - e^2. Tables are double.
//
// Two passes over the map, as on the CPU: in one pass, sum(x^2) / M - m^2 loses all digits where the mean is large.
// The second pass finds the map in the caches (12.5 KB for 56 x 56 in float32), so memory is read once, as long as it
// fits there.
//
// Moves: reads N C M of x, writes 2 N C. Floor: N C M sizeof(X) / bandwidth. With v = null only the means are made.
template <typename X, typename A>
__global__ void moments(In<X> x, Out<double> m, Out<double> v, long long maps, int M)
{
    const long long map = my_map(), start = map * M;
    const int end = map < maps ? M : 0;  // a row without a map has nothing to add
    const auto load = [&] (int i) { return x[start + i]; };

    A total = 0;
    walk(end, load, [&] (int, X t) { total += A(t); });
    const A mean = row_sum(total) / M;
    if (end && threadIdx.x == 0) m[map] = mean;
    if (!v) return;  // null for all threads, or for none

    A rest = 0, squares = 0;
    walk(end, load, [&] (int, X t) {
        const A centred = A(t) - mean;
        rest += centred;
        squares += centred * centred;
    });
    rest = row_sum(rest);
    squares = row_sum(squares);
    if (end && threadIdx.x == 0) {
        const double e = double(rest) / M, var = double(squares) / M - e * e;
        m[map] = mean + e;
        v[map] = var < 0 ? 0 : var;  // of a constant map both squares are equal but for rounding; NaN stays NaN
    }
}
