/* SPDX-License-Identifier: Apache-2.0 */
/* cp.async, mbarrier and bulk copies. */
#include "conform_device.h"
#include "conform_number.h"

static struct family here("async");

static int want_input(const struct form *f, const void *in, void *want)
{
    memcpy(want, in, f->out_bytes);
    return 1;
}

/* Each lane copies to its 16 bytes of shared memory, which hold 0x77 before. */
#define COPY(name, copied, asm_)                                                                   \
    COPY_(__COUNTER__, name, copied, asm_, "cp.async.commit_group; cp.async.wait_group 0;")
#define COPY_(id, name, copied, asm_, finish)                                                      \
    static __global__ void CAT(kernel_, id)(const void *in, void *out)                             \
    {                                                                                              \
        __shared__ __align__(16) uint32_t s[128];                                                  \
        const uint32_t lane = threadIdx.x, to = shared_address(s + 4 * lane);                      \
        const uint64_t from = (uint64_t)__cvta_generic_to_global((const char *)in + 16 * lane);    \
        for (int i = 0; i < 4; i++) s[4 * lane + i] = 0x77777777;                                  \
        __syncwarp();                                                                              \
        asm_;                                                                                      \
        asm volatile(finish ::: "memory");                                                         \
        __syncwarp();                                                                              \
        copy_words(out, s, 512);                                                                   \
    }                                                                                              \
    static int CAT(want_, id)(const struct form *, const void *in, void *want)                     \
    {                                                                                              \
        for (uint32_t lane = 0; lane < 32; lane++)                                                 \
            for (int i = 0; i < 16; i++) ((char *)want)[16 * lane + i] = copied;                   \
        return 1;                                                                                  \
    }                                                                                              \
    FORM(with_want(form_new(name, "u32", CAT(kernel_, id), 32, 512, 512), CAT(want_, id)))
#define IN       ((const char *)in)[16 * lane + i]
#define ASM(...) asm volatile(__VA_ARGS__ : "memory")
COPY("cp.async.ca.shared.global/4", i < 4 ? IN : 0x77,
     ASM("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(to), "l"(from)))
COPY("cp.async.ca.shared.global/8", i < 8 ? IN : 0x77,
     ASM("cp.async.ca.shared.global [%0], [%1], 8;" ::"r"(to), "l"(from)))
COPY("cp.async.ca.shared.global/16", IN,
     ASM("cp.async.ca.shared.global [%0], [%1], 16;" ::"r"(to), "l"(from)))
COPY("cp.async.cg.shared.global/16", IN,
     ASM("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(from)))
COPY("cp.async.cg.shared.global.L2::128B/16", IN,
     ASM("cp.async.cg.shared.global.L2::128B [%0], [%1], 16;" ::"r"(to), "l"(from)))
COPY("cp.async.ca.shared.global.L2::256B/16", IN,
     ASM("cp.async.ca.shared.global.L2::256B [%0], [%1], 16;" ::"r"(to), "l"(from)))
COPY("cp.async.cg.shared.global/16,size", i < (int)(lane % 17) ? IN : 0,
     ASM("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(lane % 17)))
COPY("cp.async.ca.shared.global/4,size",
     i >= 4                ? 0x77
     : i < (int)(lane % 5) ? IN
                           : 0,
     ASM("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(to), "l"(from), "r"(lane % 5)))
COPY("cp.async.ca.shared.global/8,size",
     i >= 8                ? 0x77
     : i < (int)(lane % 9) ? IN
                           : 0,
     ASM("cp.async.ca.shared.global [%0], [%1], 8, %2;" ::"r"(to), "l"(from), "r"(lane % 9)))
COPY("cp.async.cg.shared.global/16,0", 0,
     ASM("cp.async.cg.shared.global [%0], [%1], 16, 0;" ::"r"(to), "l"(from)))
COPY("cp.async.cg.shared.global/16,ignore", lane % 3 == 0 ? 0 : IN,
     ASM("{.reg .pred p; setp.eq.u32 p, %2, 0; cp.async.cg.shared.global [%0], [%1], 16, p;}" ::"r"(
             to),
         "l"(from), "r"(lane % 3)))
COPY("cp.async.cg.shared.global/predicated", lane % 3 == 0 ? IN : 0x77,
     ASM("{.reg .pred p; setp.eq.u32 p, %2, 0; @p cp.async.cg.shared.global [%0], [%1], 16;}" ::"r"(
             to),
         "l"(from), "r"(lane % 3)))
COPY_(__COUNTER__, "cp.async.wait_all", IN,
      ASM("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(from)), "cp.async.wait_all;")

/* Three groups of 512 bytes; after wait_group n all but the last n are there. */
template <int pending> __global__ void groups(const void *in, void *out)
{
    __shared__ __align__(16) uint32_t s[3 * 128];
    const uint32_t lane = threadIdx.x;
    for (int g = 0; g < 3; g++) {
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16; cp.async.commit_group;" ::"r"(
                         shared_address(s + g * 128 + lane * 4)),
                     "l"((const char *)in + g * 512 + lane * 16)
                     : "memory");
    }
    asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
    __syncwarp();
    copy_words(out, s, 512 * (3 - pending));
    asm volatile("cp.async.wait_all;" ::: "memory");
}
FORM(with_want(form_new("cp.async.wait_group/0", "u32", groups<0>, 32, 1536, 1536), want_input))
FORM(with_want(form_new("cp.async.wait_group/1", "u32", groups<1>, 32, 1536, 1024), want_input))
FORM(with_want(form_new("cp.async.wait_group/2", "u32", groups<2>, 32, 1536, 512), want_input))

template <bool noinc> __global__ void copy_arrive(const void *in, void *out)
{
    __shared__ __align__(16) uint32_t s[128];
    __shared__ uint64_t barrier;
    const uint32_t lane = threadIdx.x, b = shared_address(&barrier);
    if (lane == 0) barrier_init(&barrier, noinc ? 64 : 32);
    __syncthreads();
    asm volatile("cp.async.ca.shared.global [%0], [%1], 16;" ::"r"(shared_address(s + lane * 4)),
                 "l"((const char *)in + lane * 16)
                 : "memory");
    if (noinc)
        asm volatile("cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%0];" ::"r"(b) : "memory");
    else
        asm volatile("cp.async.mbarrier.arrive.shared::cta.b64 [%0];" ::"r"(b) : "memory");
    asm volatile("{.reg .b64 t; mbarrier.arrive.shared::cta.b64 t, [%0];}" ::"r"(b) : "memory");
    barrier_wait(&barrier, 0);
    copy_words(out, s, 512);
}
FORM(with_want(form_new("cp.async.mbarrier.arrive.shared::cta.b64", "u32", copy_arrive<false>, 32,
                        512, 512),
               want_input))
FORM(with_want(form_new("cp.async.mbarrier.arrive.noinc.shared::cta.b64", "u32", copy_arrive<true>,
                        32, 512, 512),
               want_input))

/* One thread drives a barrier and notes what it answers. */
struct notes {
    uint32_t *out;
    int n;
    __device__ void add(uint32_t v) { out[n++] = v; }
};
static __device__ uint64_t arrive(uint32_t b)
{
    uint64_t state;
    asm volatile("mbarrier.arrive.shared::cta.b64 %0, [%1];" : "=l"(state) : "r"(b) : "memory");
    return state;
}
static __device__ uint32_t pending(uint64_t state)
{
    uint32_t n;
    asm volatile("mbarrier.pending_count.b64 %0, %1;" : "=r"(n) : "l"(state));
    return n;
}
static __device__ uint32_t test(uint32_t b, uint64_t state)
{
    uint32_t done;
    asm volatile("{.reg .pred p; mbarrier.test_wait.shared::cta.b64 p, [%1], %2; "
                 "selp.u32 %0, 1, 0, p;}"
                 : "=r"(done)
                 : "r"(b), "l"(state)
                 : "memory");
    return done;
}
#define BARRIER(name, words, ...) BARRIER_(__COUNTER__, name, words, __VA_ARGS__)
#define BARRIER_(id, name, words, body, ...)                                                       \
    static __global__ void CAT(kernel_, id)(const void *, void *out)                               \
    {                                                                                              \
        __shared__ uint64_t barrier;                                                               \
        const uint32_t b = shared_address(&barrier);                                               \
        struct notes say = {(uint32_t *)out, 0};                                                   \
        (void)b;                                                                                   \
        body                                                                                       \
    }                                                                                              \
    static int CAT(want_, id)(const struct form *, const void *, void *want)                       \
    {                                                                                              \
        static const uint32_t values[] = {__VA_ARGS__};                                            \
        memcpy(want, values, sizeof values);                                                       \
        return 1;                                                                                  \
    }                                                                                              \
    FORM(with_want(form_new(name, "u32", CAT(kernel_, id), 1, 16, 4 * words), CAT(want_, id)))
BARRIER(
    "mbarrier.init+arrive+test_wait+pending_count", 10,
    {
        barrier_init(&barrier, 3);
        say.add(barrier_test(&barrier, 1));
        say.add(barrier_test(&barrier, 0));
        const uint64_t first = arrive(b);
        say.add(pending(first));
        say.add(test(b, first));
        say.add(pending(arrive(b)));
        say.add(test(b, first));
        say.add(pending(arrive(b)));
        say.add(test(b, first));
        say.add(barrier_test(&barrier, 0));
        say.add(barrier_test(&barrier, 1));
    },
    1, 0, 3, 0, 2, 0, 1, 1, 1, 0)
BARRIER(
    "mbarrier.arrive.noComplete+arrive_drop+inval", 8,
    {
        barrier_init(&barrier, 5);
        uint64_t state;
        asm volatile("mbarrier.arrive.noComplete.shared::cta.b64 %0, [%1], 3;"
                     : "=l"(state)
                     : "r"(b)
                     : "memory");
        say.add(pending(state));
        asm volatile("mbarrier.arrive_drop.shared::cta.b64 %0, [%1];"
                     : "=l"(state)
                     : "r"(b)
                     : "memory");
        say.add(pending(state));
        say.add(barrier_test(&barrier, 0));
        say.add(pending(arrive(b)));
        say.add(barrier_test(&barrier, 0));
        /* The dropped arrival lowers the next phase's count to 4. */
        say.add(pending(arrive(b)));
        asm volatile("mbarrier.arrive_drop.noComplete.shared::cta.b64 %0, [%1], 2;"
                     : "=l"(state)
                     : "r"(b)
                     : "memory");
        say.add(pending(state));
        arrive(b);
        say.add(barrier_test(&barrier, 1));
        asm volatile("mbarrier.inval.shared::cta.b64 [%0];" ::"r"(b) : "memory");
    },
    5, 2, 0, 1, 1, 4, 3, 1)
/* 64 threads pass four phases; what one wrote before a phase's end, another reads after it. */
static __global__ void phases(const void *in, void *out)
{
    __shared__ uint64_t barrier;
    __shared__ volatile uint32_t s[64];
    const int i = threadIdx.x;
    uint32_t v = ((const uint32_t *)in)[i];
    if (i == 0) barrier_init(&barrier, 64);
    __syncthreads();
    for (int phase = 0; phase < 4; phase++) {
        s[i] = v;
        arrive(shared_address(&barrier));
        barrier_wait(&barrier, phase & 1);
        v = s[(i + 1) % 64];
        __syncthreads();
    }
    ((uint32_t *)out)[i] = v;
}
static int want_phases(const struct form *, const void *in, void *want)
{
    for (int i = 0; i < 64; i++) ((uint32_t *)want)[i] = ((const uint32_t *)in)[(i + 4) % 64];
    return 1;
}
FORM(with_want(form_new("mbarrier.test_wait.parity/phases", "u32", phases, 64, 256, 256),
               want_phases))
