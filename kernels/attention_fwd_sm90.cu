/* SPDX-License-Identifier: Apache-2.0 */
/* Attention forward, bf16, head dimensions 64 and 128, by wgmma and tensor copies (sm_90a). The
 * form is that of FlashAttention-3 (Shah et al. 2024, arXiv 2407.08608).
 *
 * A block computes tiles of 128 queries of one head, one after the other; it draws their numbers
 * from a counter, so that blocks with short tiles take more of them. A producer warp copies q, and
 * k and v in tiles of 128 keys into rings. Two consumer warpgroups have 64 queries each: the
 * softmax of a tile runs while the product with the previous v does, and while the other warpgroup
 * has the tensor cores. A tile's result depends on its queries and keys alone, whichever block
 * computes it.
 *
 * FLOPs: 4 D for each pair of query and key; bytes: q and o once, k and v once for each tile of
 * queries, mostly from the L2. Limit: wgmma, 4096 FLOP a cycle and multiprocessor, beside the
 * exponentials, 16 a cycle: of 64 x 128 pairs the products take 8 D cycles and the exponentials
 * 512, so that dimension 64 cannot hide all of its softmax. An H200 gave, in TF of the causal
 * count: 7B shape (28/4 heads, dimension 128) 476 for 8 x 1024, 724 for 1 x 8192, 281 for documents
 * of 350; 0.5B shape (14/2, dimension 64) 258, 421, 158.
 */
#include "attention_sm90.cuh"
#include "softmax.cuh"

enum { BM = 128, BN = 128 };

struct forward_maps {
    CUtensorMap q, k, v;
};

template <int D, int STAGES> struct forward_memory {
    bf16 q[BM * D], k[STAGES][BN * D], v[STAGES][BN * D];
    uint64_t q_full, q_empty, tail, k_full[STAGES], k_empty[STAGES], v_full[STAGES],
        v_empty[STAGES];
    struct query_task task;
};

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
/* The producer warp. */
template <int D, int STAGES>
static __device__ __forceinline__ void
produce(forward_memory<D, STAGES> &m, const struct forward_maps &maps, const struct op_attention &a,
        int slots, int *counter)
{
    const bool first = threadIdx.x % 32 == 0;
    const int group = a.heads / a.kv_heads;
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
            barrier_expect(&m.q_full, sizeof m.q);
            tile_load<D, BM>(m.q, &maps.q, &m.q_full, t.head, t.p.first);
        }
        for (int j = 0; j < t.tiles; j++, at.next()) {
            const int key = t.key + j * BN, kv_head = t.head / group;
            barrier_wait(&m.k_empty[at.stage], at.parity);
            if (first) {
                barrier_expect(&m.k_full[at.stage], sizeof m.k[0]);
                tile_load<D, BN>(m.k[at.stage], &maps.k, &m.k_full[at.stage], kv_head, key);
            }
            barrier_wait(&m.v_empty[at.stage], at.parity);
            tile_load_valid<D, BN>(m.v[at.stage], &maps.v, &m.v_full[at.stage], &m.tail,
                                   &tail_parity, kv_head, key, t.see.k_end - key);
        }
    }
    barrier_wait(&m.q_empty, q_parity);
    if (first) {
        m.task = query_task{}; /* the end: no tiles */
        barrier_arrive(&m.q_full);
    }
}

/* Stores o and lse of the rows of this warp that lie before `end`; `row` is its first. */
template <int D>
static __device__ __forceinline__ void store(const struct op_attention &a, struct softmax<1> &r,
                                             const float (&acc)[D / 8][4], int head, int row,
                                             int end, float scale)
{
    const int lane = threadIdx.x % 32;
    float inverse[2];
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const int t = row + lane / 4 + 8 * i;
        const float sum = quad_sum(r.sum[0][i]);
        inverse[i] = sum > 0 ? 1 / sum : 0;
        if (a.lse && lane % 4 == 0 && t < end)
            ((float *)a.lse)[head * a.Tq + t] = softmax_log(r, 0, i, sum, scale);
    }
    store_rows<D>((bf16 *)a.o + head * D, a.o_stride, acc, row, end, inverse);
}

/* A consumer warpgroup, 0 or 1. */
template <int D, int STAGES>
static __device__ __forceinline__ void consume(forward_memory<D, STAGES> &m,
                                               const struct op_attention &a, int group)
{
    const float scale = (float)a.scale * LOG2E;
    const uint64_t q = descriptor<BM>(m.q + group * 64 * BLOCK_COLUMNS);
    ring_place<STAGES> at = {0, 0};
    int q_parity = 0;
    if (group == 1) named_arrive(1, CONSUMERS * WARPGROUP);
    for (;; q_parity ^= 1) {
        barrier_wait(&m.q_full, q_parity);
        const struct query_task t = m.task;
        if (t.tiles == 0) break;
        const int first = t.p.first + group * 64, row = first + threadIdx.x / 32 % 4 * 16;
        float acc[D / 8][4] = {}, s[1][BN / 8][4], shrink[1][2];
        uint32_t p[BN / 16][4];
        struct softmax<1> r;
        int key = t.key;
        auto weigh = [&]() {
            if (key + BN > t.see.to(first) || key < t.see.from(first + 63))
                hide<1, BN>(s, t.see, row, key);
            softmax_step<1, BN>(r, s, shrink, scale);
            key += BN;
        };

        auto wait_keys = [&](int j) {
            ring_place<STAGES> next = at;
            next.next();
            if (j < t.tiles) barrier_wait(&m.k_full[next.stage], next.parity);
        };

        barrier_wait(&m.k_full[at.stage], at.parity);
        wgmma_fence();
        product_shared<D, BM, BN>(s[0], q, descriptor<BN>(m.k[at.stage]));
        wgmma_commit();
        wgmma_wait<0>();
        pin(s[0]);
        barrier_arrive_warp(&m.k_empty[at.stage]);
        weigh();
        wait_keys(1);
        round_operand(p, s[0]);
        for (int j = 1; j < t.tiles; j++) {
            const ring_place<STAGES> before = at;
            at.next();
            named_wait(1 + group, CONSUMERS * WARPGROUP);
            wgmma_fence();
            product_shared<D, BM, BN>(s[0], q, descriptor<BN>(m.k[at.stage]));
            wgmma_commit();
            barrier_wait(&m.v_full[before.stage], before.parity);
            wgmma_fence();
            product_registers(acc, p, descriptor<BN>(m.v[before.stage]));
            wgmma_commit();
            named_arrive(2 - group, CONSUMERS * WARPGROUP);
            wgmma_wait<1>();
            pin(s[0]);
            barrier_arrive_warp(&m.k_empty[at.stage]);
            weigh();
            pin(s[0]);
            /* waits for the next keys here, so that ptxas cannot move the softmax behind the end of
             * the product with v */
            wait_keys(j + 1);
            wgmma_wait<0>();
            pin(acc);
            pin(p);
            barrier_arrive_warp(&m.v_empty[before.stage]);
            softmax_shrink<D, 1>((float(*)[D / 8][4]) acc, shrink);
            round_operand(p, s[0]);
        }
        barrier_arrive_warp(&m.q_empty);
        barrier_wait(&m.v_full[at.stage], at.parity);
        wgmma_fence();
        product_registers(acc, p, descriptor<BN>(m.v[at.stage]));
        wgmma_commit();
        wgmma_wait<0>();
        pin(acc);
        barrier_arrive_warp(&m.v_empty[at.stage]);
        at.next();
        store<D>(a, r, acc, t.head, row, t.p.first + t.p.rows, scale);
    }
    if (group == 0) named_wait(1, CONSUMERS * WARPGROUP);
}

template <int D, int STAGES>
static __device__ __forceinline__ void init_barriers(forward_memory<D, STAGES> &m)
{
    barrier_init(&m.q_full, 1);
    barrier_init(&m.q_empty, CONSUMER_WARPS);
    barrier_init(&m.tail, 1);
    for (int i = 0; i < STAGES; i++) {
        barrier_init(&m.k_full[i], 1);
        barrier_init(&m.k_empty[i], CONSUMER_WARPS);
        barrier_init(&m.v_full[i], 1);
        barrier_init(&m.v_empty[i], CONSUMER_WARPS);
    }
    barrier_init_done();
}
#endif

template <int D, int STAGES>
__global__ void __launch_bounds__(HOPPER_THREADS, 1)
    attention_forward_sm90(const __grid_constant__ struct forward_maps maps,
                           const __grid_constant__ struct op_attention a, int slots, int *counter)
{
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    extern __shared__ __align__(1024) char memory[];
    forward_memory<D, STAGES> &m = *(forward_memory<D, STAGES> *)memory;
    const int warp = __shfl_sync(~0u, threadIdx.x / 32, 0), group = warp / 4;
    if (threadIdx.x == 0) init_barriers(m);
    __syncthreads();
    if (group == 0) {
        registers_fewer<PRODUCER_REGISTERS>();
        if (warp == 0)
            produce(m, maps, a, slots, counter);
        else
            zero_outside(a.o, a.o_stride, a.heads * D, a.Tq, a.cu_q, query_ranges(a));
    } else {
        registers_more<CONSUMER_REGISTERS>();
        consume(m, a, group - 1);
    }
#endif
}

template <int D, int STAGES>
static int launch(const struct op_attention *a, int *counter, cudaStream_t stream)
{
    const int slots = (int)(a->Tq / BM) + query_ranges(*a),
              shared = sizeof(forward_memory<D, STAGES>);
    struct forward_maps maps;
    int rc = map_heads(&maps.q, a->q, a->Tq, a->q_stride, a->heads, D, BM);
    if (!rc) rc = map_heads(&maps.k, a->k, a->Tk, a->kv_stride, a->kv_heads, D, BN);
    if (!rc) rc = map_heads(&maps.v, a->v, a->Tk, a->kv_stride, a->kv_heads, D, BN);
    if (!rc) rc = cudaMemsetAsync(counter, 0, sizeof *counter, stream);
    if (rc) return rc;
    return start_tasks(attention_forward_sm90<D, STAGES>, maps, *a, slots, a->heads, shared,
                       counter, stream);
}

bool attention_fits_hopper(const struct op_attention *a)
{
    return (a->dim == 64 || a->dim == 128) && !(a->cap > 0) && a->docs > 0 && a->Tq > 0 &&
           a->Tk > 0 && is_hopper();
}

int attention_forward_hopper(const struct op_attention *a, int *counter, cudaStream_t stream)
{
    return a->dim == 64 ? launch<64, 4>(a, counter, stream) : launch<128, 2>(a, counter, stream);
}
