/* SPDX-License-Identifier: Apache-2.0 */
/* Control flow, calls, fences and what passes between blocks. */
#include "conform_kernel.h"

static struct family here("control");

KERNEL(
    "brx.idx", 1, 64, 1,
    {
        uint32_t z;
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
        o[0] = z;
    },
    w[0] = 100 + 101 * (in[i] % 4))
KERNEL(
    "switch", 1, 64, 1, uint32_t z = in[i]; switch (in[i] % 9) {
case 0:
    z *= 3;
    break;
case 1:
    z ^= 0x1234;
    break;
case 2:
    z = z / 7 + 1;
case 3:
    z += 5;
    break;
case 4:
    z = __popc(z);
    break;
case 5:
    z = ~z;
    break;
case 6:
    z <<= 3;
    break;
case 7:
    z = __brev(z);
    break;
    } o[0] = z;
    , uint32_t z = in[i]; switch (in[i] % 9) {
case 0:
    z *= 3;
    break;
case 1:
    z ^= 0x1234;
    break;
case 2:
    z = z / 7 + 1; /* fall through */
case 3:
    z += 5;
    break;
case 4:
    z = (uint32_t)__builtin_popcount(z);
    break;
case 5:
    z = ~z;
    break;
case 6:
    z <<= 3;
    break;
case 7: {
    uint32_t r = 0;
    for (int k = 0; k < 32; k++) r |= (z >> k & 1) << (31 - k);
    z = r;
}
    } w[0] = z)
KERNEL(
    "bra/divergent-loops", 1, 64, 1, uint32_t z = 0;
    for (uint32_t k = in[i] % 37; k; k = k * 5 % 37 > 1 ? k - 1 : k / 2) {
        if (k % 3 == 0) continue;
        z = z * 31 + k;
        if (z % 1000 == 7) break;
    } o[0] = z;
    , uint32_t z = 0; for (uint32_t k = in[i] % 37; k; k = k * 5 % 37 > 1 ? k - 1 : k / 2) {
        if (k % 3 == 0) continue;
        z = z * 31 + k;
        if (z % 1000 == 7) break;
    } w[0] = z)
KERNEL(
    "exit/in-a-branch", 1, 64, 1, o[0] = 1; if (i % 3 == 1) { asm volatile("exit;"); } o[0] = 2;
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
KERNEL("call/struct", 1, 32, 5, const struct mixed m = mixed_from(in[i], i);
       const struct mixed z = mixed_call(m, 77); o[0] = z.a; o[1] = z.b;
       o[2] = __float_as_uint(z.c); o[3] = (uint32_t)z.d; o[4] = (uint32_t)(z.d >> 32);
       , const struct mixed m = mixed_from(in[i], i); const struct mixed z = mix_of(m, 77);
       w[0] = z.a; w[1] = z.b; memcpy(w + 2, &z.c, 4); w[3] = (uint32_t)z.d;
       w[4] = (uint32_t)(z.d >> 32))
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
    KERNEL(name, 1, 32, 1, __shared__ volatile uint32_t s[32]; s[i] = in[i];                       \
           asm volatile(text ::                                                                    \
                            : "memory");                                                           \
           o[0] = s[i];, w[0] = in[i])
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
/* Another block reads after the flag the value that one block writes before it. */
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
