/* Special registers, state spaces, control flow, calls, fences. */
#include "conform_device.h"

static struct family here("misc");

/* A kernel in which each of threads x blocks threads leaves words words in o; host sets w likewise. */
#define KERNEL(name, blocks_, threads_, words_, body, ...)                                         \
    KERNEL_(__COUNTER__, name, blocks_, threads_, words_, body, __VA_ARGS__)
#define KERNEL_(id, name, blocks_, threads_, words_, body, ...)                                    \
    static __global__ void CAT(kernel_, id)(const void *in_, void *out)                            \
    {                                                                                              \
        const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;                                  \
        [[maybe_unused]] const uint32_t *in = (const uint32_t *)in_;                               \
        [[maybe_unused]] uint32_t *o = (uint32_t *)out + i * words_;                               \
        body                                                                                       \
    }                                                                                              \
    static int CAT(want_, id)(const struct form *, const void *in_, void *want)                    \
    {                                                                                              \
        [[maybe_unused]] const uint32_t *in = (const uint32_t *)in_;                               \
        for (uint32_t i = 0; i < (blocks_) * (threads_); i++) {                                    \
            uint32_t *w = (uint32_t *)want + i * words_;                                           \
            __VA_ARGS__;                                                                           \
        }                                                                                          \
        return 1;                                                                                  \
    }                                                                                              \
    FORM(with_want(with_blocks(form_new(name, "u32", CAT(kernel_, id), threads_,                   \
                                        4 * (blocks_) * (threads_),                                \
                                        4 * (words_) * (blocks_) * (threads_)),                    \
                               blocks_),                                                           \
                   CAT(want_, id)))
static struct form with_blocks(struct form f, unsigned blocks)
{
    f.blocks = blocks;
    return f;
}
#define GET(register) asm volatile("mov.u32 %0, %%" register ";" : "=r"(*o++))
KERNEL("%tid,%ntid,%ctaid,%nctaid,%laneid", 3, 64, 9,
       GET("tid.x"); GET("tid.y"); GET("tid.z"); GET("ntid.x"); GET("ntid.y"); GET("ctaid.x");
       GET("ctaid.z"); GET("nctaid.x"); GET("laneid");
       , const uint32_t v[] = {i % 64, 0, 0, 64, 1, i / 64, 0, 3, i % 32}; memcpy(w, v, sizeof v))
KERNEL("%lanemask", 1, 32, 5, GET("lanemask_eq"); GET("lanemask_le"); GET("lanemask_lt");
       GET("lanemask_ge"); GET("lanemask_gt");
       , w[0] = 1u << i; w[1] = w[0] | (w[0] - 1); w[2] = w[0] - 1; w[3] = ~w[2]; w[4] = ~w[1])
static __global__ void grid_2d(const void *, void *out)
{
    uint32_t *o = (uint32_t *)out +
                  3 * (((blockIdx.y * gridDim.x + blockIdx.x) * blockDim.y + threadIdx.y) *
                           blockDim.x +
                       threadIdx.x);
    asm volatile("mov.u32 %0, %%tid.y;" : "=r"(o[0]));
    asm volatile("mov.u32 %0, %%ctaid.y;" : "=r"(o[1]));
    asm volatile("mov.u32 %0, %%laneid;" : "=r"(o[2]));
}
static int launch_2d(const struct form *, const void *in, void *out)
{
    grid_2d<<<dim3(2, 3), dim3(8, 6)>>>(in, out);
    return cudaGetLastError();
}
static int want_2d(const struct form *, const void *, void *want)
{
    for (uint32_t i = 0; i < 6 * 48; i++) {
        uint32_t *w = (uint32_t *)want + 3 * i;
        w[0] = i % 48 / 8, w[1] = i / 96, w[2] = i % 48 % 32;
    }
    return 1;
}
static struct form form_2d(void)
{
    struct form f = form_new("%tid.y,%ctaid.y", "u32", grid_2d, 48, 16, 6 * 48 * 12);
    f.launch = launch_2d, f.want = want_2d;
    return f;
}
FORM(form_2d())

/* State spaces. */
struct parameters {
    uint8_t b;
    uint16_t h;
    uint32_t w[5];
    uint64_t d;
    double f;
};
static __global__ void param_struct(struct parameters p, const void *, void *out, uint32_t index,
                                    int8_t s)
{
    uint32_t *o = (uint32_t *)out + threadIdx.x * 8;
    o[0] = p.b, o[1] = p.h, o[2] = p.w[0], o[3] = p.w[index], o[4] = p.w[threadIdx.x % 5];
    o[5] = (uint32_t)(p.d >> 32), o[6] = (uint32_t)p.f, o[7] = (uint32_t)(int32_t)s;
}
static const struct parameters some_parameters = {
    200, 60000, {11, 22, 33, 44, 0xdeadbeef}, 0x123456789abcdef0, 1234567.75};
static int launch_param(const struct form *, const void *in, void *out)
{
    param_struct<<<1, 32>>>(some_parameters, in, out, 3, -5);
    return cudaGetLastError();
}
static int want_param(const struct form *, const void *, void *want)
{
    for (uint32_t i = 0; i < 32; i++) {
        const uint32_t v[] = {200, 60000, 11, 44, some_parameters.w[i % 5], 0x12345678, 1234567,
                              (uint32_t)-5};
        memcpy((uint32_t *)want + 8 * i, v, sizeof v);
    }
    return 1;
}
static struct form form_param(void)
{
    struct form f = form_new("ld.param/struct", "u32", NULL, 32, 16, 32 * 32);
    f.launch = launch_param, f.want = want_param;
    return f;
}
FORM(form_param())
static __constant__ uint32_t table[16] = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 0xffffffff};
static const uint32_t host_table[16] = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 0xffffffff};
KERNEL("ld.const", 1, 32, 2, o[0] = table[in[i] % 16]; o[1] = table[7];, w[0] = host_table[in[i] % 16];
       w[1] = 6)
static __device__ uint32_t counters[4] = {10, 20, 30, 40};
KERNEL("ld.global/variable", 1, 32, 1, o[0] = counters[in[i] % 4];, w[0] = 10 * (in[i] % 4 + 1))
KERNEL("ld.local+st.local", 1, 32, 4,
       uint32_t a[16]; for (int k = 0; k < 16; k++) a[(k * 7 + in[i]) % 16] = in[(i + k) % 32];
       for (int k = 0; k < 4; k++) o[k] = a[(in[i] / 16 + k) % 16];
       , uint32_t a[16]; for (uint32_t k = 0; k < 16; k++) a[(k * 7 + in[i]) % 16] = in[(i + k) % 32];
       for (uint32_t k = 0; k < 4; k++) w[k] = a[(in[i] / 16 + k) % 16])
KERNEL("ld.local.v4+st.local.v4", 1, 32, 4,
       { __align__(16) uint32_t a[8];
         asm volatile("{.reg .u64 l; cvta.to.local.u64 l, %0; st.local.v4.u32 [l], {%1, %2, %3, %4}; "
                      "st.local.u16 [l+16], %5;}" ::"l"(a),
                      "r"(in[i]), "r"(i), "r"(~i), "r"(7), "h"((uint16_t)in[i])
                      : "memory");
         asm volatile("{.reg .u64 l; cvta.to.local.u64 l, %4; ld.local.v2.u32 {%0, %1}, [l+8]; "
                      "ld.local.u8 %2, [l+1]; ld.local.s16 %3, [l+16];}"
                      : "=r"(o[0]), "=r"(o[1]), "=r"(o[2]), "=r"(o[3])
                      : "l"(a)
                      : "memory"); },
       w[0] = ~i; w[1] = 7; w[2] = in[i] >> 8 & 255; w[3] = (uint32_t)(int32_t)(int16_t)in[i])
#define ISSPACE(o_, space, p)                                                                      \
    asm volatile("{.reg .pred p; isspacep." space " p, %1; selp.u32 %0, 1, 0, p;}" : "=r"(o_) : "l"(p))
KERNEL("isspacep", 1, 32, 9,
       __shared__ uint32_t s; uint32_t l; asm volatile("" ::"l"(&l) : "memory");
       ISSPACE(o[0], "global", in_); ISSPACE(o[1], "shared", in_); ISSPACE(o[2], "local", in_);
       ISSPACE(o[3], "global", &s); ISSPACE(o[4], "shared", &s); ISSPACE(o[5], "local", &s);
       ISSPACE(o[6], "global", &l); ISSPACE(o[7], "shared", &l); ISSPACE(o[8], "local", &l);
       , const uint32_t v[] = {1, 0, 0, 0, 1, 0, 0, 0, 1}; memcpy(w, v, sizeof v))

/* Control flow. */
KERNEL("brx.idx", 1, 64, 1,
       { uint32_t z;
         asm volatile("{.reg .u32 t;\n"
                      "bt%=: .branchtargets a%=, b%=, c%=, d%=;\n"
                      "and.b32 t, %1, 3; brx.idx t, bt%=;\n"
                      "a%=: mov.u32 %0, 100; bra e%=;\n"
                      "b%=: mov.u32 %0, 201; bra e%=;\n"
                      "c%=: mov.u32 %0, 302; bra e%=;\n"
                      "d%=: mov.u32 %0, 403;\n"
                      "e%=:}"
                      : "=r"(z)
                      : "r"(in[i]));
         o[0] = z; },
       w[0] = 100 + 101 * (in[i] % 4))
KERNEL("switch", 1, 64, 1,
       uint32_t z = in[i];
       switch (in[i] % 9) {
       case 0: z *= 3; break;
       case 1: z ^= 0x1234; break;
       case 2: z = z / 7 + 1;
       case 3: z += 5; break;
       case 4: z = __popc(z); break;
       case 5: z = ~z; break;
       case 6: z <<= 3; break;
       case 7: z = __brev(z); break;
       } o[0] = z;
       , uint32_t z = in[i];
       switch (in[i] % 9) {
       case 0: z *= 3; break;
       case 1: z ^= 0x1234; break;
       case 2: z = z / 7 + 1; /* fall through */
       case 3: z += 5; break;
       case 4: z = (uint32_t)__builtin_popcount(z); break;
       case 5: z = ~z; break;
       case 6: z <<= 3; break;
       case 7: { uint32_t r = 0; for (int k = 0; k < 32; k++) r |= (z >> k & 1) << (31 - k); z = r; }
       } w[0] = z)
KERNEL("bra/divergent-loops", 1, 64, 1,
       uint32_t z = 0; for (uint32_t k = in[i] % 37; k; k = k * 5 % 37 > 1 ? k - 1 : k / 2) {
           if (k % 3 == 0) continue;
           z = z * 31 + k;
           if (z % 1000 == 7) break;
       } o[0] = z;
       , uint32_t z = 0; for (uint32_t k = in[i] % 37; k; k = k * 5 % 37 > 1 ? k - 1 : k / 2) {
           if (k % 3 == 0) continue;
           z = z * 31 + k;
           if (z % 1000 == 7) break;
       } w[0] = z)
KERNEL("exit/in-a-branch", 1, 64, 1, o[0] = 1; if (i % 3 == 1) { asm volatile("exit;"); } o[0] = 2;
       , w[0] = i % 3 == 1 ? 1 : 2)
struct mixed {
    uint32_t a, b;
    float c;
    uint64_t d;
};
__host__ __device__ static struct mixed mix_of(struct mixed m, uint32_t k)
{
    struct mixed z = {m.b + k, m.a ^ k, m.c * 2, m.d + m.a};
    return z;
}
__host__ __device__ static struct mixed mixed_from(uint32_t v, uint32_t i)
{
    struct mixed m = {v, i, (float)i, (uint64_t)v << 20};
    return m;
}
static __device__ __noinline__ struct mixed mixed_call(struct mixed m, uint32_t k)
{
    asm volatile("");
    return mix_of(m, k);
}
KERNEL("call/struct", 1, 32, 5,
       const struct mixed m = mixed_from(in[i], i);
       const struct mixed z = mixed_call(m, 77);
       o[0] = z.a; o[1] = z.b; o[2] = __float_as_uint(z.c); o[3] = (uint32_t)z.d;
       o[4] = (uint32_t)(z.d >> 32);
       , const struct mixed m = mixed_from(in[i], i);
       const struct mixed z = mix_of(m, 77); w[0] = z.a; w[1] = z.b; memcpy(w + 2, &z.c, 4);
       w[3] = (uint32_t)z.d; w[4] = (uint32_t)(z.d >> 32))
static __device__ __noinline__ uint32_t depth_of(uint32_t n)
{
    return n < 2 ? n : depth_of(n / 2) + depth_of(n - n / 2 - 1) + 1;
}
static uint32_t host_depth(uint32_t n)
{
    return n < 2 ? n : host_depth(n / 2) + host_depth(n - n / 2 - 1) + 1;
}
KERNEL("call/recursive", 1, 32, 1, o[0] = depth_of(in[i] % 50);, w[0] = host_depth(in[i] % 50))
static __device__ __noinline__ uint32_t first_function(uint32_t x) { return x * 3 + 1; }
static __device__ __noinline__ uint32_t second_function(uint32_t x) { return x ^ 0xabcd; }
typedef uint32_t function(uint32_t);
static __device__ function *const functions[] = {first_function, second_function};
KERNEL("call/indirect", 1, 32, 1, o[0] = functions[in[i] % 2](in[i]);
       , w[0] = in[i] % 2 ? in[i] ^ 0xabcd : in[i] * 3 + 1)

/* Fences and hints, which leave no trace: the value passes through. */
#define PASSES(name, text)                                                                         \
    KERNEL(name, 1, 32, 1, __shared__ volatile uint32_t s[32]; s[i] = in[i]; asm volatile(text ::  \
           : "memory"); o[0] = s[i];, w[0] = in[i])
PASSES("membar.cta", "membar.cta;")
PASSES("membar.gl", "membar.gl;")
PASSES("membar.sys", "membar.sys;")
PASSES("fence.acq_rel.cta", "fence.acq_rel.cta;")
PASSES("fence.acq_rel.gpu", "fence.acq_rel.gpu;")
PASSES("fence.acq_rel.sys", "fence.acq_rel.sys;")
PASSES("fence.sc.cta", "fence.sc.cta;")
PASSES("fence.sc.gpu", "fence.sc.gpu;")
PASSES("fence.proxy.alias", "fence.proxy.alias;")
PASSES("nanosleep.u32", "nanosleep.u32 100;")
PASSES("pragma", ".pragma \"nounroll\";")
#if CONFORM_SM >= 90
PASSES("fence.acq_rel.cluster", "fence.acq_rel.cluster;")
PASSES("fence.proxy.async", "fence.proxy.async;")
PASSES("fence.proxy.async.global", "fence.proxy.async.global;")
PASSES("fence.proxy.async.shared::cta", "fence.proxy.async.shared::cta;")
PASSES("fence.proxy.async.shared::cluster", "fence.proxy.async.shared::cluster;")
PASSES("fence.mbarrier_init.release.cluster", "fence.mbarrier_init.release.cluster;")
PASSES("griddepcontrol", "griddepcontrol.wait; griddepcontrol.launch_dependents;")
#endif
/* What one block writes before its flag, another reads after it. */
static __device__ uint32_t ready;
static __global__ void flag(const void *in, void *out)
{
    volatile uint32_t *o = (volatile uint32_t *)out;
    if (blockIdx.x == 0) {
        o[threadIdx.x] = ((const uint32_t *)in)[threadIdx.x];
        __threadfence();
        __syncthreads();
        if (threadIdx.x == 0)
            asm volatile("st.release.gpu.global.u32 [%0], 1;" ::"l"(&ready) : "memory");
        return;
    }
    uint32_t seen = 0;
    for (int n = 0; n < 1 << 22 && !seen; n++)
        asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(seen) : "l"(&ready) : "memory");
    if (!seen) __trap();
    __syncthreads();
    o[32 + threadIdx.x] = o[31 - threadIdx.x];
    if (threadIdx.x == 0) ready = 0;
}
static int want_flag(const struct form *, const void *in, void *want)
{
    memcpy(want, in, 128);
    for (int i = 0; i < 32; i++) ((uint32_t *)want)[32 + i] = ((const uint32_t *)in)[31 - i];
    return 1;
}
FORM(with_want(with_blocks(form_new("st.release+ld.acquire/blocks", "u32", flag, 32, 128, 256), 2),
               want_flag))

#if CONFORM_SM >= 90
/* Warpgroups that trade registers. */
static __global__ void __launch_bounds__(256, 1) trade(const void *in_, void *out)
{
    const uint32_t *in = (const uint32_t *)in_;
    __shared__ volatile uint32_t s[128];
    if (threadIdx.x < 128) {
        asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
        s[threadIdx.x] = in[threadIdx.x] * 2;
        asm volatile("bar.arrive 1, 256;" ::: "memory");
        ((uint32_t *)out)[threadIdx.x] = in[threadIdx.x];
    } else {
        asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
        asm volatile("bar.sync 1, 256;" ::: "memory");
        ((uint32_t *)out)[threadIdx.x] = s[threadIdx.x - 128] + 1;
    }
}
static int want_trade(const struct form *, const void *in, void *want)
{
    for (int i = 0; i < 128; i++) {
        ((uint32_t *)want)[i] = ((const uint32_t *)in)[i];
        ((uint32_t *)want)[128 + i] = ((const uint32_t *)in)[i] * 2 + 1;
    }
    return 1;
}
FORM(with_want(form_new("setmaxnreg", "u32", trade, 256, 512, 1024), want_trade))
#endif
