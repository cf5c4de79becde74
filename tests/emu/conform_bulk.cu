/* SPDX-License-Identifier: Apache-2.0 */
/* Bulk copies and the parts of mbarrier that count bytes. */
#include "conform_device.h"
#include "conform_number.h"

#if CONFORM_SM >= 90
static struct family here("bulk");

enum { BYTES = 512 };

static int want_input(const struct form *f, const void *in, void *want)
{
    memcpy(want, in, f->out_bytes);
    return 1;
}

/* Global to shared; %0 is the destination, %1 the source, %2 the size, %3 the barrier. */
#define BULK_LOAD(name, text)                                                                      \
    BULK_LOAD_(__COUNTER__, name,                                                                  \
               asm volatile(text ::"r"(shared_address(s)), "l"(in), "r"(BYTES),                    \
                            "r"(shared_address(&barrier))                                          \
                            : "memory"))
#define BULK_LOAD_(id, name, asm_)                                                                 \
    static __global__ void CAT(kernel_, id)(const void *in, void *out)                             \
    {                                                                                              \
        __shared__ __align__(128) uint32_t s[BYTES / 4];                                           \
        __shared__ uint64_t barrier;                                                               \
        if (threadIdx.x == 0) {                                                                    \
            barrier_init(&barrier, 1);                                                             \
            asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");                     \
        }                                                                                          \
        __syncthreads();                                                                           \
        if (threadIdx.x == 0) {                                                                    \
            barrier_expect(&barrier, BYTES);                                                       \
            asm_;                                                                                  \
        }                                                                                          \
        barrier_wait(&barrier, 0);                                                                 \
        copy_words(out, s, BYTES);                                                                 \
    }                                                                                              \
    FORM(with_want(form_new(name, "u32", CAT(kernel_, id), 64, BYTES, BYTES), want_input))
BULK_LOAD("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes",
          "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];")
BULK_LOAD("cp.async.bulk.shared::cta.global.mbarrier::complete_tx::bytes",
          "cp.async.bulk.shared::cta.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];")
BULK_LOAD("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint",
          "{.reg .b64 h; createpolicy.fractional.L2::evict_last.b64 h, 1.0; "
          "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint "
          "[%0], [%1], %2, [%3], h;}")
BULK_LOAD("cp.async.bulk.prefetch.L2.global",
          "cp.async.bulk.prefetch.L2.global [%1], %2; "
          "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];")

/* Shared to global, or through a second buffer in shared memory. */
#define BULK_STORE(name, text, finish)                                                             \
    BULK_STORE_(__COUNTER__, name,                                                                 \
                asm volatile(text ::"l"(out), "r"(shared_address(s)), "r"(BYTES)                   \
                             : "memory"),                                                          \
                finish)
#define BULK_STORE_(id, name, asm_, finish)                                                        \
    static __global__ void CAT(kernel_, id)(const void *in, void *out)                             \
    {                                                                                              \
        __shared__ __align__(128) uint32_t s[BYTES / 4];                                           \
        copy_words(s, in, BYTES);                                                                  \
        asm volatile("fence.proxy.async.shared::cta;" ::: "memory");                               \
        __syncthreads();                                                                           \
        if (threadIdx.x == 0) {                                                                    \
            asm_;                                                                                  \
            asm volatile("cp.async.bulk.commit_group; " finish ::: "memory");                      \
        }                                                                                          \
    }                                                                                              \
    FORM(with_want(form_new(name, "u32", CAT(kernel_, id), 64, BYTES, BYTES), want_input))
BULK_STORE("cp.async.bulk.global.shared::cta.bulk_group",
           "cp.async.bulk.global.shared::cta.bulk_group [%0], [%1], %2;",
           "cp.async.bulk.wait_group 0;")
BULK_STORE("cp.async.bulk.wait_group.read",
           "cp.async.bulk.global.shared::cta.bulk_group [%0], [%1], %2;",
           "cp.async.bulk.wait_group.read 0; cp.async.bulk.wait_group 0;")
BULK_STORE("cp.async.bulk.global.shared::cta.bulk_group.L2::cache_hint",
           "{.reg .b64 h; createpolicy.fractional.L2::evict_first.b64 h, 1.0; "
           "cp.async.bulk.global.shared::cta.bulk_group.L2::cache_hint [%0], [%1], %2, h;}",
           "cp.async.bulk.wait_group 0;")
static __global__ void shared_to_shared(const void *in, void *out)
{
    __shared__ __align__(128) uint32_t s[2 * BYTES / 4];
    __shared__ uint64_t barrier;
    if (threadIdx.x == 0) barrier_init(&barrier, 1);
    copy_words(s, in, BYTES);
    asm volatile("fence.proxy.async;" ::: "memory");
    __syncthreads();
    if (threadIdx.x == 0) {
        barrier_expect(&barrier, BYTES);
        asm volatile("cp.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes "
                     "[%0], [%1], %2, [%3];" ::"r"(shared_address(s) + BYTES),
                     "r"(shared_address(s)), "r"(BYTES), "r"(shared_address(&barrier))
                     : "memory");
    }
    barrier_wait(&barrier, 0);
    copy_words(out, s + BYTES / 4, BYTES);
}
/* Outside of a cluster launch the instruction is illegal. */
static struct form cluster_of_one(struct form f)
{
    f.cluster = 1;
    return f;
}
FORM(with_want(cluster_of_one(form_new(
                   "cp.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes", "u32",
                   shared_to_shared, 64, BYTES, BYTES)),
               want_input))

/* Reductions: the output holds the input's second half, the first half is reduced into it. */
static void fill_reduce(const struct form *f, void *in)
{
    for (unsigned i = 0; i < 2 * BYTES / 8; i++) {
        const unsigned half = i / (BYTES / 8), lane = i % (BYTES / 8);
        const uint64_t v = sample((enum kind)f->arg[0], half, lane);
        const uint64_t w = sample((enum kind)f->arg[0], half, (lane + 37) % 96);
        const uint64_t x = sample((enum kind)f->arg[0], half, (lane + 11) % 96);
        const uint64_t y = sample((enum kind)f->arg[0], half, (lane + 23) % 96);
        const int bits = f->arg[1];
        ((uint64_t *)in)[i] = bits == 64   ? v
                              : bits == 32 ? (v & 0xffffffff) | w << 32
                                           : v | w << 16 | x << 32 | y << 48;
    }
}
template <class Op> int want_reduce(const struct form *, const void *in, void *want)
{
    const typename Op::R *a = (const typename Op::R *)((const char *)in + BYTES);
    const typename Op::R *b = (const typename Op::R *)in;
    for (size_t i = 0; i < BYTES / sizeof *a; i++)
        if (!Op::want(((typename Op::R *)want)[i], a[i], b[i])) return 0;
    return 1;
}
static struct form reduce_form(const char *name, const char *type, kernel_fn *kernel, int kind,
                               int bits, int (*want)(const form *, const void *, void *))
{
    struct form f = form_new(name, type, kernel, 64, 2 * BYTES, BYTES);
    f.fill = fill_reduce, f.want = want, f.arg[0] = kind, f.arg[1] = bits;
    return f;
}
#define BULK_REDUCE(op, t, ...) BULK_REDUCE_(__COUNTER__, op, t, __VA_ARGS__)
#define BULK_REDUCE_(id, op, t, ...)                                                               \
    static __global__ void CAT(kernel_, id)(const void *in, void *out)                             \
    {                                                                                              \
        __shared__ __align__(128) uint32_t s[BYTES / 4];                                           \
        copy_words(s, in, BYTES);                                                                  \
        copy_words(out, (const char *)in + BYTES, BYTES);                                          \
        asm volatile("fence.proxy.async;" ::: "memory");                                           \
        __syncthreads();                                                                           \
        if (threadIdx.x == 0)                                                                      \
            asm volatile("cp.reduce.async.bulk.global.shared::cta.bulk_group." op                  \
                         " [%0], [%1], %2; cp.async.bulk.commit_group; "                           \
                         "cp.async.bulk.wait_group 0;" ::"l"(out),                                 \
                         "r"(shared_address(s)), "r"(BYTES)                                        \
                         : "memory");                                                              \
    }                                                                                              \
    namespace                                                                                      \
    {                                                                                              \
    struct CAT(op_, id) {                                                                          \
        typedef T_##t::reg R;                                                                      \
        static bool want(R &z, R a, R b)                                                           \
        {                                                                                          \
            (void)z, (void)a, (void)b;                                                             \
            return false __VA_OPT__(|| (z = (R)(__VA_ARGS__), true));                              \
        }                                                                                          \
    };                                                                                             \
    }                                                                                              \
    FORM(reduce_form("cp.reduce.async.bulk.global.shared::cta.bulk_group." op, #t,                 \
                     CAT(kernel_, id), T_##t::kind, 8 * (int)sizeof(T_##t::reg),                   \
                     want_reduce<CAT(op_, id)>))
BULK_REDUCE("add.u32", u32, a + b)
BULK_REDUCE("add.s32", s32, (uint32_t)a + (uint32_t)b)
BULK_REDUCE("add.u64", u64, a + b)
BULK_REDUCE("add.f32", f32)
BULK_REDUCE("add.f64", f64, a + b)
BULK_REDUCE("add.noftz.f16", f16, d2h(sum_odd(h2d(a), h2d(b))))
BULK_REDUCE("add.noftz.bf16", bf16, d2b(sum_odd(b2d(a), b2d(b))))
BULK_REDUCE("min.u32", u32, a < b ? a : b)
BULK_REDUCE("max.s32", s32, a > b ? a : b)
BULK_REDUCE("min.s64", s64, a < b ? a : b)
BULK_REDUCE("max.u64", u64, a > b ? a : b)
BULK_REDUCE("min.f16", f16)
BULK_REDUCE("max.bf16", bf16)
BULK_REDUCE("and.b32", u32, a &b)
BULK_REDUCE("or.b32", u32, a | b)
BULK_REDUCE("xor.b64", u64, a ^ b)
BULK_REDUCE("inc.u32", u32, a >= b ? 0 : a + 1)
BULK_REDUCE("dec.u32", u32, a == 0 || a > b ? b : a - 1)

/* A barrier that counts bytes: one thread notes when its phase is over. */
static __global__ void transactions(const void *, void *out)
{
    __shared__ uint64_t barrier;
    const uint32_t b = shared_address(&barrier);
    uint32_t *o = (uint32_t *)out;
    uint64_t state;
    barrier_init(&barrier, 2);
    asm volatile("mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [%0], 64;" ::"r"(b) : "memory");
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0], 2;" ::"r"(b) : "memory");
    o[0] = barrier_test(&barrier, 0);
    asm volatile("mbarrier.complete_tx.relaxed.cta.shared::cta.b64 [%0], 40;" ::"r"(b) : "memory");
    o[1] = barrier_test(&barrier, 0);
    asm volatile("mbarrier.complete_tx.relaxed.cta.shared::cta.b64 [%0], 24;" ::"r"(b) : "memory");
    o[2] = barrier_test(&barrier, 0);
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 %0, [%1], 16;"
                 : "=l"(state)
                 : "r"(b)
                 : "memory");
    asm volatile("mbarrier.arrive.release.cta.shared::cta.b64 %0, [%1];"
                 : "=l"(state)
                 : "r"(b)
                 : "memory");
    o[3] = barrier_test(&barrier, 1);
    asm volatile("mbarrier.complete_tx.relaxed.cta.shared::cta.b64 [%0], 16;" ::"r"(b) : "memory");
    asm volatile("{.reg .pred p; mbarrier.try_wait.shared::cta.b64 p, [%1], %2; "
                 "selp.u32 %0, 1, 0, p;}"
                 : "=r"(o[4])
                 : "r"(b), "l"(state)
                 : "memory");
    asm volatile("{.reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [%1], 1; "
                 "selp.u32 %0, 1, 0, p;}"
                 : "=r"(o[5])
                 : "r"(b)
                 : "memory");
    asm volatile("{.reg .pred p; mbarrier.try_wait.parity.acquire.cta.shared::cta.b64 p, [%1], 0, "
                 "1000; selp.u32 %0, 1, 0, p;}"
                 : "=r"(o[6])
                 : "r"(b)
                 : "memory");
}
static int want_transactions(const struct form *, const void *, void *want)
{
    static const uint32_t values[] = {0, 0, 1, 0, 1, 1, 0};
    memcpy(want, values, sizeof values);
    return 1;
}
FORM(with_want(form_new("mbarrier.expect_tx+complete_tx+try_wait", "u32", transactions, 1, 16, 28),
               want_transactions))
#endif
