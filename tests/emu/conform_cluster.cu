/* SPDX-License-Identifier: Apache-2.0 */
/* Clusters: two blocks that see each other's shared memory. */
#include "conform_device.h"

#if CONFORM_SM >= 90
static struct family here("cluster");

enum { THREADS = 64, RANKS = 2 };

static __device__ uint32_t rank_of(void)
{
    uint32_t r;
    asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(r));
    return r;
}

static __device__ uint32_t mapped(const void *p, uint32_t rank)
{
    uint32_t at;
    asm volatile("mapa.shared::cluster.u32 %0, %1, %2;"
                 : "=r"(at)
                 : "r"(shared_address(p)), "r"(rank));
    return at;
}

static __device__ void meet(void)
{
    asm volatile("barrier.cluster.arrive.release.aligned; barrier.cluster.wait.acquire.aligned;" ::
                     : "memory");
}

/* Bodies see i, the thread in the block, rank, other, s (64 words a block), v and o. */
#define CLUSTER(name, body, ...) CLUSTER_(__COUNTER__, name, body, __VA_ARGS__)
#define CLUSTER_(id, name, body, ...)                                                              \
    static __global__ void CAT(kernel_, id)(const void *in, void *out)                             \
    {                                                                                              \
        [[maybe_unused]] __shared__ __align__(128) uint32_t s[THREADS];                            \
        [[maybe_unused]] __shared__ uint64_t barrier;                                              \
        const uint32_t i = threadIdx.x, rank = rank_of();                                          \
        [[maybe_unused]] const uint32_t other = rank ^ 1;                                          \
        [[maybe_unused]] const uint32_t v = ((const uint32_t *)in)[rank * THREADS + i];            \
        uint32_t *o = (uint32_t *)out + rank * THREADS + i;                                        \
        body meet();                                                                               \
    }                                                                                              \
    static int CAT(want_, id)(const struct form *, const void *in, void *want)                     \
    {                                                                                              \
        const uint32_t *vs = (const uint32_t *)in;                                                 \
        for (uint32_t rank = 0; rank < RANKS; rank++)                                              \
            for (uint32_t i = 0; i < THREADS; i++) {                                               \
                [[maybe_unused]] const uint32_t *theirs = vs + (rank ^ 1) * THREADS;               \
                [[maybe_unused]] const uint32_t *ours = vs + rank * THREADS;                       \
                ((uint32_t *)want)[rank * THREADS + i] = __VA_ARGS__;                              \
            }                                                                                      \
        return 1;                                                                                  \
    }                                                                                              \
    FORM(with_want(cluster_form(name, CAT(kernel_, id)), CAT(want_, id)))

static struct form cluster_form(const char *name, kernel_fn *kernel)
{
    struct form f =
        form_new(name, "u32", kernel, THREADS, 4 * RANKS * THREADS, 4 * RANKS * THREADS);
    f.blocks = f.cluster = RANKS;
    return f;
}

#define GET(register, z) asm volatile("mov.u32 %0, %%" register ";" : "=r"(z))
CLUSTER(
    "%cluster_ctarank,%cluster_nctarank,%clusterid,%cluster_ctaid",
    {
        uint32_t a;
        switch (i % 8) {
        case 0:
            GET("cluster_ctarank", a);
            break;
        case 1:
            GET("cluster_nctarank", a);
            break;
        case 2:
            GET("clusterid.x", a);
            break;
        case 3:
            GET("nclusterid.x", a);
            break;
        case 4:
            GET("cluster_ctaid.x", a);
            break;
        case 5:
            GET("cluster_nctaid.x", a);
            break;
        case 6:
            GET("cluster_nctaid.y", a);
            break;
        default:
            asm volatile("{.reg .pred p; mov.pred p, %%is_explicit_cluster; selp.u32 %0, 1, 0, p;}"
                         : "=r"(a));
        }
        *o = a;
    },
    i % 8 == 0   ? rank
    : i % 8 == 1 ? 2
    : i % 8 == 2 ? 0
    : i % 8 == 3 ? 1
    : i % 8 == 4 ? rank
    : i % 8 == 5 ? 2
                 : 1)
CLUSTER(
    "mapa.shared::cluster.u32+ld.shared::cluster.u32",
    {
        s[i] = v;
        meet();
        asm volatile("ld.shared::cluster.u32 %0, [%1];"
                     : "=r"(*o)
                     : "r"(mapped(s + (i ^ 1), other))
                     : "memory");
    },
    theirs[i ^ 1])
CLUSTER(
    "mapa.u64+ld",
    {
        s[i] = v;
        meet();
        uint64_t at;
        asm volatile("mapa.u64 %0, %1, %2;" : "=l"(at) : "l"(s + 63 - i), "r"(other));
        asm volatile("ld.u32 %0, [%1];" : "=r"(*o) : "l"(at) : "memory");
    },
    theirs[63 - i])
CLUSTER(
    "mapa.shared::cluster.u32/own",
    {
        s[i] = v;
        meet();
        asm volatile("ld.shared::cluster.u32 %0, [%1];"
                     : "=r"(*o)
                     : "r"(mapped(s + (i ^ 3), rank))
                     : "memory");
    },
    ours[i ^ 3])
CLUSTER("getctarank.shared::cluster.u32", asm volatile("getctarank.shared::cluster.u32 %0, %1;"
                                                       : "=r"(*o)
                                                       : "r"(mapped(s, i % 2)));
        , i % 2)
CLUSTER(
    "st.shared::cluster.u32",
    {
        meet();
        asm volatile("st.shared::cluster.u32 [%0], %1;" ::"r"(mapped(s + (i ^ 5), other)), "r"(v)
                     : "memory");
        meet();
        *o = s[i];
    },
    theirs[i ^ 5])
CLUSTER(
    "atom.shared::cluster.add.u32",
    {
        s[i] = v;
        meet();
        uint32_t old;
        asm volatile("atom.shared::cluster.add.u32 %0, [%1], %2;"
                     : "=r"(old)
                     : "r"(mapped(s + i, other)), "r"(i + 1)
                     : "memory");
        meet();
        *o = s[i] + old;
    },
    ours[i] + i + 1 + theirs[i])
CLUSTER(
    "red.shared::cluster.max.s32",
    {
        s[i] = v;
        meet();
        asm volatile("red.shared::cluster.max.s32 [%0], %1;" ::"r"(mapped(s + i, other)), "r"(v)
                     : "memory");
        meet();
        *o = s[i];
    },
    (int32_t)ours[i] > (int32_t)theirs[i] ? ours[i] : theirs[i])
CLUSTER(
    "barrier.cluster.arrive.relaxed+fence",
    {
        s[i] = v;
        asm volatile("fence.acq_rel.cluster; barrier.cluster.arrive.relaxed.aligned; "
                     "barrier.cluster.wait.aligned;" ::
                         : "memory");
        asm volatile("ld.shared::cluster.u32 %0, [%1];"
                     : "=r"(*o)
                     : "r"(mapped(s + i, other))
                     : "memory");
    },
    theirs[i])
/* A barrier in the other block: all its arrivals come from here. */
CLUSTER(
    "mbarrier.arrive.shared::cluster",
    {
        if (i == 0) barrier_init(&barrier, THREADS);
        asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
        meet();
        asm volatile("st.shared::cluster.u32 [%0], %1;" ::"r"(mapped(s + i, other)), "r"(v)
                     : "memory");
        asm volatile("mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%0];" ::"r"(
                         mapped(&barrier, other))
                     : "memory");
        for (uint32_t done = 0, n = 0; !done; n++) {
            asm volatile("{.reg .pred p; mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 "
                         "p, [%1], 0; selp.u32 %0, 1, 0, p;}"
                         : "=r"(done)
                         : "r"(shared_address(&barrier))
                         : "memory");
            if (n > 1 << 16) __trap();
        }
        *o = s[i];
    },
    theirs[i])
CLUSTER(
    "st.async.shared::cluster.mbarrier::complete_tx::bytes.u32",
    {
        if (i == 0) {
            barrier_init(&barrier, 1);
            asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
            barrier_expect(&barrier, 4 * THREADS);
        }
        __syncthreads();
        meet();
        asm volatile("st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.u32 [%0], %1, "
                     "[%2];" ::"r"(mapped(s + i, other)),
                     "r"(v), "r"(mapped(&barrier, other))
                     : "memory");
        barrier_wait(&barrier, 0);
        *o = s[i];
    },
    theirs[i])
CLUSTER(
    "cp.async.bulk.shared::cluster.shared::cta/other",
    {
        __shared__ __align__(128) uint32_t from[THREADS];
        from[i] = v;
        if (i == 0) {
            barrier_init(&barrier, 1);
            asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
            barrier_expect(&barrier, 4 * THREADS);
        }
        asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
        __syncthreads();
        meet();
        if (i == 0)
            asm volatile("cp.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes "
                         "[%0], [%1], 256, [%2];" ::"r"(mapped(s, other)),
                         "r"(shared_address(from)), "r"(mapped(&barrier, other))
                         : "memory");
        barrier_wait(&barrier, 0);
        *o = s[i];
    },
    theirs[i])
CLUSTER(
    "cp.async.bulk.shared::cluster.shared::cta/own",
    {
        __shared__ __align__(128) uint32_t from[THREADS];
        from[i] = v;
        if (i == 0) {
            barrier_init(&barrier, 1);
            asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
            barrier_expect(&barrier, 4 * THREADS);
        }
        asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
        __syncthreads();
        meet();
        if (i == 0)
            asm volatile("cp.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes "
                         "[%0], [%1], 256, [%2];" ::"r"(mapped(s, rank)),
                         "r"(shared_address(from)), "r"(mapped(&barrier, rank))
                         : "memory");
        barrier_wait(&barrier, 0);
        *o = s[i];
    },
    ours[i])
/* Rank 0 sends its words to both blocks. */
CLUSTER(
    "cp.async.bulk.shared::cluster.global.multicast::cluster",
    {
        if (i == 0) {
            barrier_init(&barrier, 1);
            asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
            barrier_expect(&barrier, 4 * THREADS);
        }
        __syncthreads();
        meet();
        if (i == 0 && rank == 0)
            asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes."
                         "multicast::cluster [%0], [%1], 256, [%2], %3;" ::"r"(shared_address(s)),
                         "l"(in), "r"(shared_address(&barrier)), "h"((uint16_t)3)
                         : "memory");
        barrier_wait(&barrier, 0);
        *o = s[i];
    },
    vs[i])
#endif
