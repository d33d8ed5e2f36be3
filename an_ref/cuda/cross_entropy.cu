// The mean cross-entropy between softmax(logits) and labels, and its gradient. Here a map is the K logits of a sample.
//
//     log p[k] = z[k] - max z - log sum_j exp(z[j] - max z)
//     loss[n] = -(1 - s) log p[label] - (s / K) sum_k log p[k]          s: label smoothing
//
// Moves: reads N K of the logits, writes N K of p and N losses. The three passes read the same K logits, which the
// caches keep. Floor: N K (sizeof(X) + sizeof(A)) / bandwidth.
template <typename X, typename A>
__global__ void cross_entropy(In<X> logits, In<long long> labels, A s, Out<A> loss, Out<A> p, long long N, int K)
{
    const long long n = my_map(), start = n * K;
    const int end = n < N ? K : 0;

    const A lowest = log(A(0));  // -infinity
    const auto load = [&] (int k) { return logits[start + k]; };

    A top = lowest;
    walk(end, load, [&] (int, X z) { top = max(top, A(z)); });
    top = fold_row(top, [] (A q, A r) { return max(q, r); });  // max drops NaN, which comes back in the sum

    A sum = 0;
    walk(end, load, [&] (int, X z) { sum += exp(A(z) - top); });
    const A log_sum = log(row_sum(sum));

    A total = 0;
    walk(end, load, [&] (int k, X z) {
        const A log_p = A(z) - top - log_sum;
        p[start + k] = exp(log_p);
        total += log_p;
    });
    total = row_sum(total);
    if (!end || threadIdx.x > 0) return;
    const bool known = 0 <= labels[n] && labels[n] < K;  // another label makes the loss NaN
    const A log_p = known ? A(logits[start + labels[n]]) - top - log_sum : lowest - lowest;
    loss[n] = s > 0 ? -(1 - s) * log_p - s / K * total : -log_p;  // 0 * infinity would be NaN
}

//     dlogits[n,k] = dy (p[n,k] - q[n,k]) / N,     q[n,k] = (1 - s) [k = label] + s / K
//
// Each row of p - q sums to 0: at the label that is more exact than p - q, where p is almost 1.
//
// Moves: reads N K of p, writes N K. Floor: N K (sizeof(A) + sizeof(X)) / bandwidth. dy is one number on the GPU.
template <typename A, typename X>
__global__ void cross_entropy_backward(In<A> dy, In<A> p, In<long long> labels, A s, Out<X> dlogits,
                                       long long N, int K)
{
    const long long n = my_map(), start = n * K;
    const int end = n < N ? K : 0;
    const long long label = end ? labels[n] : -1;
    const A factor = *dy / N;

    A others = 0;
    walk(end, [&] (int k) { return p[start + k]; }, [&] (int k, A p_k) {
        const A excess = p_k - s / K;
        if (k == label) return;
        others += excess;
        dlogits[start + k] = X(factor * excess);
    });
    others = row_sum(others);
    if (0 <= label && label < K && threadIdx.x == 0) dlogits[start + label] = X(factor * -others);
}
