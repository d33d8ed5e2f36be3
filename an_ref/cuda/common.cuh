// What every kernel here has in common. Each kernel walks over maps of M numbers that lie one behind the other.
//
// Tables are double, as on the CPU: x - m with m rounded to float32 loses nothing, and what is left over, centre - m, is
// put into another table.
//
// A block has THREADS threads: blockDim.x of them side by side along a map (a power of two), blockDim.y maps.
// Neighbouring threads read neighbouring numbers, so a warp's 32 loads are a few wide ones.

constexpr int LOADS = 4;  // what a thread has under way at once

// float16 is only storage: a number is widened when it is loaded and rounded once when it is stored.
#ifdef __CUDACC__
struct half {
    unsigned short bits;
    half() = default;
    __device__ half(float t) { asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(t)); }
    __device__ half(double t) { asm("cvt.rn.f16.f64 %0, %1;" : "=h"(bits) : "d"(t)); }
    __device__ operator float() const { float t; asm("cvt.f32.f16 %0, %1;" : "=f"(t) : "h"(bits)); return t; }
};
#else
using half = _Float16;  // a C++ compiler that plays GPU, as the tests do
#endif

// Arrays that a kernel reads, and those it writes. What is written overlaps with nothing else: so a thread may load the
// next numbers before it has stored the last.
template <typename T> using In = const T *__restrict__;
template <typename T> using Out = T *__restrict__;

// The map of this thread. The last block may have rows without a map: there it is maps or more.
__device__ inline long long my_map() { return (long long)blockIdx.x * blockDim.y + threadIdx.y; }

// Walk over a map: call use(i, load(i)) for each position i < M of this thread. What costs time is waiting for memory,
// so LOADS numbers are asked for before the first one is used. Behind the end of a map its last number is loaded once
// more, and not used: without a branch between them, all loads can be under way at once.
template <typename Load, typename Use>
__device__ void walk(int M, Load load, Use use)
{
    for (int first = threadIdx.x; first < M; first += LOADS * blockDim.x) {
        decltype(load(0)) loaded[LOADS];
        #pragma unroll
        for (int k = 0; k < LOADS; k++) loaded[k] = load(min(first + k * int(blockDim.x), M - 1));
        #pragma unroll
        for (int k = 0; k < LOADS; k++)
            if (first + k * blockDim.x < M) use(first + k * blockDim.x, loaded[k]);
    }
}

// Fold one value of each thread along the map into one, the same for all of them. Every thread of the block must
// call it, also those of a row without a map, because all wait for each other. The order is fixed: the same bits
// every time.
template <typename T, typename F>
__device__ T fold_row(T value, F join)
{
    __shared__ T parts[THREADS];
    T *row = parts + threadIdx.y * blockDim.x;
    __syncthreads();  // whoever still reads the result of the last call is waited for
    row[threadIdx.x] = value;
    for (int step = blockDim.x / 2; step > 0; step /= 2) {
        __syncthreads();
        if (threadIdx.x < step) row[threadIdx.x] = join(row[threadIdx.x], row[threadIdx.x + step]);
    }
    __syncthreads();
    return row[0];
}

template <typename A>
__device__ A row_sum(A value) { return fold_row(value, [] (A p, A q) { return p + q; }); }
