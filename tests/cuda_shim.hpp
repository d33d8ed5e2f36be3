// What a C++20 compiler needs to run the kernels of an_ref/cuda on a CPU: the source stays as it is.
//
// A block's threads are fibers that take turns: each runs until it calls __syncthreads() or ends. So the order of the
// threads is known, and chosen anew between any two barriers: forwards, backwards, or from somewhere in the middle. A
// kernel that forgets a barrier reads what is not written yet in one of these orders, every time the test runs. A
// barrier that only some threads reach is noticed too, which on a GPU would hang or do anything. Blocks run one behind
// the other. Unlike on a GPU, shared memory keeps what the last block left there.
#include <cmath>
#include <cstddef>
#include <memory>
#include <string>
#include <tuple>
#include <type_traits>
#include <ucontext.h>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __shared__ static

using std::exp, std::log;

template <typename T>
T max(T p, T q) { return p < q ? q : p; }

inline int min(int p, int q) { return p < q ? p : q; }

struct Dim { int x = 0, y = 0; };
static Dim threadIdx, blockIdx, blockDim;

namespace shim {

constexpr std::size_t STACK = 1 << 16;

struct Fiber {
    ucontext_t context;
    std::unique_ptr<char[]> stack = std::make_unique<char[]>(STACK);
    bool done = false;
};

static ucontext_t scheduler;
static std::vector<Fiber> fibers;
static int running, order;
static void (*body)();

static void run_body()
{
    body();
    fibers[running].done = true;
}

static void resume(int t)
{
    running = t;
    threadIdx = {t % blockDim.x, t / blockDim.x};
    swapcontext(&scheduler, &fibers[t].context);
}

// The t-th thread to run, before the next barrier: a different order each time.
static int pick(int t, int threads)
{
    const int from = (t + order / 2 * 7) % threads;
    return order % 2 ? threads - 1 - from : from;
}

// Run one block; false if some of its threads ended while others wait at a barrier.
static bool run_block(int threads)
{
    for (Fiber &fiber : fibers) {
        getcontext(&fiber.context);
        fiber.context.uc_stack.ss_sp = fiber.stack.get();
        fiber.context.uc_stack.ss_size = STACK;
        fiber.context.uc_link = &scheduler;
        fiber.done = false;
        makecontext(&fiber.context, run_body, 0);
    }
    for (int done = 0; done < threads; order++) {
        if (done > 0) return false;
        for (int t = 0; t < threads; t++) resume(pick(t, threads));
        for (const Fiber &fiber : fibers) done += fiber.done;
    }
    return true;
}

// Launch a kernel with arguments as cuLaunchKernel takes them: a pointer to each. Returns 0, or 1 for a lost barrier.
template <auto kernel, typename... Args, std::size_t... I>
int launch(void (*)(Args...), std::index_sequence<I...>, int blocks, int width, int height, void **args)
{
    static std::tuple<Args...> values;
    values = std::tuple<Args...>(*static_cast<Args *>(args[I])...);
    body = [] { std::apply(kernel, values); };
    blockDim = {width, height};
    fibers = std::vector<Fiber>(width * height);
    for (blockIdx.x = 0; blockIdx.x < blocks; blockIdx.x++)
        if (!run_block(width * height)) return 1;
    return 0;
}

template <typename... Args>
auto arguments(void (*)(Args...)) { return std::index_sequence_for<Args...>(); }

// The types of a kernel's parameters in NumPy's letters, a P before those that are pointers: "Pf4 i8 ".
template <typename T>
std::string letters()
{
    if constexpr (std::is_pointer_v<T>)
        return "P" + letters<std::remove_cv_t<std::remove_pointer_t<T>>>();
    else
        return (std::is_integral_v<T> ? "i" : "f") + std::to_string(sizeof(T)) + " ";
}

template <typename... Args>
std::string signature(void (*)(Args...)) { return (letters<Args>() + ...); }

}  // namespace shim

static inline void __syncthreads() { swapcontext(&shim::fibers[shim::running].context, &shim::scheduler); }

// Give a kernel, and its signature, names that can be looked up in the library.
#define KERNEL(name, ...)                                                                                          \
    extern "C" int name(int blocks, int width, int height, void **args)                                            \
    {                                                                                                              \
        return shim::launch<__VA_ARGS__>(__VA_ARGS__, shim::arguments(__VA_ARGS__), blocks, width, height, args);  \
    }                                                                                                              \
    extern "C" const char *name##_signature()                                                                      \
    {                                                                                                              \
        static const std::string letters = shim::signature(__VA_ARGS__);                                           \
        return letters.c_str();                                                                                    \
    }
