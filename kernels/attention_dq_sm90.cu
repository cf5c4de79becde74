/* SPDX-License-Identifier: Apache-2.0 */
/* Attention backward for dq, bf16, head dimensions 64 and 128, by wgmma and tensor copies (sm_90a):
 * dq = scale ds k with ds = p (dout v^T - delta), p = exp2(scale q k^T - lse).
 *
 * As in the forward, blocks draw tiles of 128 queries of one head, a producer warp copies, and two
 * consumer warpgroups have 64 queries each. ds of a tile of keys is computed while the product of
 * the last ds with its k runs.
 *
 * FLOPs: 6 D for each pair of query and key. Limit: wgmma, 4096 FLOP a cycle and multiprocessor;
 * with tiles of 64 keys (dimension 128) reads of shared memory take as long as the first two
 * products.
 */
#include "attention_sm90.cuh"

enum { BM = 128 };

struct dq_maps {
    CUtensorMap q, dout, k, v;
};

template <int D, int BN, int STAGES> struct dq_memory {
    bf16 q[BM * D], dout[BM * D], k[STAGES][BN * D], v[STAGES][BN * D];
    uint64_t q_full, q_empty, tail, full[STAGES], empty[STAGES];
    struct query_task task;
};

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
/* The producer warp. */
template <int D, int BN, int STAGES>
static __device__ __forceinline__ void
produce(dq_memory<D, BN, STAGES> &m, const struct dq_maps &maps, const struct op_attention &a,
        int slots, int *counter)
{
    const bool first = threadIdx.x % 32 == 0;
    ring_place<STAGES> at = {0, 1};
    int q_parity = 1, tail_parity = 0, item = blockIdx.x;
    while (item < slots * a.heads) {
        struct query_task t;
        const bool found = find_query_task<BM, BN>(a, slots, item, &t);
        item = next_task(counter);
        if (!found) continue;
        barrier_wait(&m.q_empty, q_parity);
        q_parity ^= 1;
        if (first) {
            m.task = t;
            barrier_expect(&m.q_full, sizeof m.q + sizeof m.dout);
            tile_load<D, BM>(m.q, &maps.q, &m.q_full, t.head, t.p.first);
            tile_load<D, BM>(m.dout, &maps.dout, &m.q_full, t.head, t.p.first);
        }
        for (int j = 0; j < t.tiles; j++, at.next()) {
            const int key = t.key + j * BN, kv_head = t.head / (a.heads / a.kv_heads);
            uint64_t *const full = &m.full[at.stage];
            barrier_wait(&m.empty[at.stage], at.parity);
            if (first) {
                barrier_expect(full, sizeof m.v[0]);
                tile_load<D, BN>(m.v[at.stage], &maps.v, full, kv_head, key);
            }
            tile_load_valid<D, BN>(m.k[at.stage], &maps.k, full, &m.tail, &tail_parity, kv_head,
                                   key, t.see.k_end - key);
        }
    }
    barrier_wait(&m.q_empty, q_parity);
    if (first) {
        m.task = query_task{}; /* the end: no tiles */
        barrier_arrive(&m.q_full);
    }
}

/* Replaces s by ds; `row` is the warp's first query, `key` the first key. Where `partly`, ds is 0
 * for keys that a query does not see, whatever s and dp are there. */
template <int N>
static __device__ __forceinline__ void gradient(float (&s)[N / 8][4], const float (&dp)[N / 8][4],
                                                const float (&lse)[2], const float (&delta)[2],
                                                const struct sight &see, int row, int key,
                                                bool partly, float scale)
{
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int n = 0; n < N / 8; n++)
#pragma unroll
        for (int j = 0; j < 4; j++)
            s[n][j] = exp2_fast(fmaf(s[n][j], scale, -lse[j / 2])) * (dp[n][j] - delta[j / 2]);
    if (!partly) return;
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const int r = row + lane / 4 + 8 * i, from = see.from(r), to = min(see.to(r), see.k_end);
#pragma unroll
        for (int n = 0; n < N / 8; n++)
#pragma unroll
            for (int j = 0; j < 2; j++) {
                const int c = key + 8 * n + lane % 4 * 2 + j;
                if (c < from || c >= to) s[n][2 * i + j] = 0;
            }
    }
}

/* A consumer warpgroup, 0 or 1. */
template <int D, int BN, int STAGES>
static __device__ __forceinline__ void consume(dq_memory<D, BN, STAGES> &m,
                                               const struct backward &b, int group)
{
    const struct op_attention &a = b.f;
    const float scale = (float)a.scale * LOG2E, scales[2] = {(float)a.scale, (float)a.scale};
    const uint64_t q = descriptor<BM>(m.q + group * 64 * BLOCK_COLUMNS);
    const uint64_t dout = descriptor<BM>(m.dout + group * 64 * BLOCK_COLUMNS);
    ring_place<STAGES> at = {0, 0};
    for (int q_parity = 0;; q_parity ^= 1) {
        barrier_wait(&m.q_full, q_parity);
        const struct query_task t = m.task;
        if (t.tiles == 0) break;
        const int first = t.p.first + group * 64, row = first + threadIdx.x / 32 % 4 * 16;
        float acc[D / 8][4] = {}, s[BN / 8][4], dp[BN / 8][4], lse[2], delta[2];
        uint32_t ds[BN / 16][4];
        int key = t.key;
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const int r = min(row + threadIdx.x % 32 / 4 + 8 * i, t.p.first + t.p.rows - 1);
            lse[i] = ((const float *)a.lse)[t.head * a.Tq + r] * LOG2E;
            delta[i] = b.delta[t.head * a.Tq + r];
        }
        auto start = [&]() {
            wgmma_fence();
            product_shared<D, BM, BN>(s, q, descriptor<BN>(m.k[at.stage]));
            product_shared<D, BM, BN>(dp, dout, descriptor<BN>(m.v[at.stage]));
            wgmma_commit();
        };
        auto weigh = [&](bool more) {
            const bool partly = key + BN > t.see.to(first) || key < t.see.from(first + 63);
            gradient<BN>(s, dp, lse, delta, t.see, row, key, partly, scale);
            pin(s);
            key += BN;
            ring_place<STAGES> next = at;
            next.next();
            /* waits here, so that ptxas cannot move the above behind the end of a product */
            if (more) barrier_wait(&m.full[next.stage], next.parity);
        };

        barrier_wait(&m.full[at.stage], at.parity);
        start();
        wgmma_wait<0>();
        pin(s);
        pin(dp);
        weigh(t.tiles > 1);
        round_operand(ds, s);
        for (int j = 1; j < t.tiles; j++) {
            const ring_place<STAGES> before = at;
            at.next();
            start();
            wgmma_fence();
            product_registers(acc, ds, descriptor<BN>(m.k[before.stage]));
            wgmma_commit();
            wgmma_wait<1>();
            pin(s);
            pin(dp);
            weigh(j + 1 < t.tiles);
            wgmma_wait<0>();
            pin(acc);
            pin(ds);
            barrier_arrive_warp(&m.empty[before.stage]);
            round_operand(ds, s);
        }
        barrier_arrive_warp(&m.q_empty);
        wgmma_fence();
        product_registers(acc, ds, descriptor<BN>(m.k[at.stage]));
        wgmma_commit();
        wgmma_wait<0>();
        pin(acc);
        barrier_arrive_warp(&m.empty[at.stage]);
        at.next();
        store_rows<D>(b.dq + t.head * D, a.q_stride, acc, row, t.p.first + t.p.rows, scales);
    }
}

template <int D, int BN, int STAGES>
static __device__ __forceinline__ void init_barriers(dq_memory<D, BN, STAGES> &m)
{
    barrier_init(&m.q_full, 1);
    barrier_init(&m.q_empty, CONSUMER_WARPS);
    barrier_init(&m.tail, 1);
    for (int i = 0; i < STAGES; i++) {
        barrier_init(&m.full[i], 2); /* k and v */
        barrier_init(&m.empty[i], CONSUMER_WARPS);
    }
    barrier_init_done();
}
#endif

template <int D, int BN, int STAGES>
__global__ void __launch_bounds__(HOPPER_THREADS, 1)
    attention_dq_sm90(const __grid_constant__ struct dq_maps maps,
                      const __grid_constant__ struct backward b, int slots, int *counter)
{
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    extern __shared__ __align__(1024) char memory[];
    dq_memory<D, BN, STAGES> &m = *(dq_memory<D, BN, STAGES> *)memory;
    const int warp = __shfl_sync(~0u, threadIdx.x / 32, 0), group = warp / 4;
    if (threadIdx.x == 0) init_barriers(m);
    __syncthreads();
    if (group == 0) {
        registers_fewer<PRODUCER_REGISTERS>();
        if (warp == 0)
            produce(m, maps, b.f, slots, counter);
        else
            zero_outside(b.dq, b.f.q_stride, b.f.heads * D, b.f.Tq, b.f.cu_q, query_ranges(b.f));
    } else {
        registers_more<CONSUMER_REGISTERS>();
        consume(m, b, group - 1);
    }
#endif
}

template <int D, int BN, int STAGES>
static int launch(const struct backward *b, cudaStream_t stream)
{
    const struct op_attention *a = &b->f;
    const int slots = (int)(a->Tq / BM) + query_ranges(*a),
              shared = sizeof(dq_memory<D, BN, STAGES>);
    struct dq_maps maps;
    int rc = map_heads(&maps.q, a->q, a->Tq, a->q_stride, a->heads, D, BM);
    if (!rc) rc = map_heads(&maps.dout, b->dout, a->Tq, a->o_stride, a->heads, D, BM);
    if (!rc) rc = map_heads(&maps.k, a->k, a->Tk, a->kv_stride, a->kv_heads, D, BN);
    if (!rc) rc = map_heads(&maps.v, a->v, a->Tk, a->kv_stride, a->kv_heads, D, BN);
    if (rc) return rc;
    return start_tasks(attention_dq_sm90<D, BN, STAGES>, maps, *b, slots, a->heads, shared,
                       b->counters, stream);
}

int attention_dq_hopper(const struct backward *b, cudaStream_t stream)
{
    return b->f.dim == 64 ? launch<64, 128, 3>(b, stream) : launch<128, 64, 3>(b, stream);
}
