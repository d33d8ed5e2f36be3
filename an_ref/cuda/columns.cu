// The columns of a convolution: its windows laid side by side. With them all of it is one matrix product, W @ columns.
//
//     columns[(c,a,b), (n,i,j)] = x[n, c, s i + a - p, t j + b - q],     0 outside the map
//
// Here a map is a piece of a row of columns: the h w places of one sample, for one channel and one place (a, b) of the
// kernel.
//
// Moves: writes kh kw numbers for each place of the output, and reads x from memory once: its windows overlap in the
// caches. Floor: (N C H W sizeof(X) + C kh kw N h w sizeof(A)) / bandwidth.
template <typename X, typename A>
__global__ void columns(In<X> x, Out<A> columns, int N, int C, int H, int W, int kh, int kw, int s, int t, int p, int q,
                        int w, long long pieces, int places)
{
    const long long piece = my_map();
    if (piece >= pieces) return;
    const int n = piece % N, b = piece / N % kw, a = piece / N / kw % kh, c = piece / N / kw / kh;
    const long long start = ((long long)n * C + c) * H * W;

    const auto load = [&] (int place) {
        const int u = place / w * s + a - p, v = place % w * t + b - q;
        const bool inside = 0 <= u && u < H && 0 <= v && v < W;
        return inside ? A(x[start + (long long)u * W + v]) : A(0);
    };
    walk(places, load, [&] (int place, A copy) { columns[piece * places + place] = copy; });
}

// The way back: each place of x gathers the gradients of all columns that it was copied to.
//
//     dx[n,c,u,v] = sum over a, b of dcolumns[(c,a,b), (n,i,j)]     where s i + a - p = u and t j + b - q = v
//
// Gathered, not scattered: no two threads add to one number, so the order of the sum, and its bits, stay the same.
//
// Moves: reads the columns once, writes dx once. Floor: (C kh kw N h w sizeof(A) + N C H W sizeof(X)) / bandwidth.
template <typename A, typename X>
__global__ void fold(In<A> dcolumns, Out<X> dx, int N, int C, int W, int kh, int kw, int s, int t, int p, int q, int h,
                     int w, long long maps, int positions)
{
    const long long map = my_map(), n = map / C, c = map % C;
    if (map >= maps) return;

    for (int at = threadIdx.x; at < positions; at += blockDim.x) {
        A sum = 0;
        for (int a = 0; a < kh; a++) {
            const int si = at / W + p - a;
            if (si < 0 || si % s || si / s >= h) continue;  // no window has u in its row a
            for (int b = 0; b < kw; b++) {
                const int tj = at % W + q - b;
                if (tj < 0 || tj % t || tj / t >= w) continue;
                const long long piece = ((c * kh + a) * kw + b) * N + n;
                sum += dcolumns[(piece * h + si / s) * w + tj / t];
            }
        }
        dx[map * positions + at] = X(sum);
    }
}
