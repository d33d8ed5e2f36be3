// The largest number of each map and where it is: the first one on ties. NaN is larger than any number, as in NumPy.
//
// Moves: reads N C M of x, writes 2 N C. Floor: N C M sizeof(X) / bandwidth.
template <typename A>
struct Peak {
    A value;
    int where;  // -1: none yet

    __device__ bool behind(Peak q) const
    {
        if (where < 0 || q.where < 0) return q.where >= 0;
        const bool nan = value != value, q_nan = q.value != q.value;
        if (nan || q_nan) return nan && q_nan ? q.where < where : q_nan;
        return q.value > value || (q.value == value && q.where < where);
    }
};

template <typename X, typename A>
__global__ void peaks(In<X> x, Out<A> peak, Out<long long> where, long long maps, int M)
{
    const long long map = my_map(), start = map * M;
    const int end = map < maps ? M : 0;

    Peak<A> best = {0, -1};
    walk(end, [&] (int i) { return x[start + i]; }, [&] (int i, X t) {
        const Peak<A> next = {A(t), i};
        if (best.behind(next)) best = next;
    });
    best = fold_row(best, [] (Peak<A> p, Peak<A> q) { return p.behind(q) ? q : p; });
    if (end && threadIdx.x == 0) {
        peak[map] = best.value;
        where[map] = best.where;
    }
}
