/* SPDX-License-Identifier: Apache-2.0 */
/* Attention backward for dk and dv, bf16, head dimensions 64 and 128, by wgmma and tensor copies
 * (sm_90a): dv = p^T dout, dk = scale ds^T q over the queries of all heads of the key's group.
 *
 * Blocks draw tiles of keys of one head; a producer warp copies q, dout, lse and delta in tiles of
 * 64 queries into a ring. Scores are computed transposed, with keys along the rows, so that p^T and
 * ds^T are operands in registers. Two consumer warpgroups either have 64 keys each (SPLIT 1) or the
 * same 64 keys and every other tile of queries (SPLIT 2); then each adds up one of the two
 * gradients at the end. The latter gives twice as many tasks, half as long, for twice the traffic
 * from the L2.
 *
 * FLOPs: 8 D for each pair of query and key. Limit: wgmma, 4096 FLOP a cycle and multiprocessor,
 * and the balance of tasks over multiprocessors. With dq (attention_dq_sm90.cu) and delta, an H200
 * gave, in TF of the causal count of five products: 7B shape (28/4 heads, dimension 128) 313 for
 * 8 x 1024, 404 for 1 x 8192, 199 for documents of 350; 0.5B shape (14/2, dimension 64) 193, 305,
 * 118.
 */
#include "attention_sm90.cuh"

enum { BQ = 64, STAGES = 4 };
/* Keys of a tile, and warps that read a tile of queries. */
template <int SPLIT> struct shape {
    enum { KEYS = 128 / SPLIT, READERS = CONSUMER_WARPS / SPLIT };
};

struct dkv_maps {
    CUtensorMap q, dout, k, v;
};

/* A tile of keys of one head, and the steps over the queries that see them: for each head of the
 * group `tiles` tiles from query `from` on. */
struct key_task {
    struct piece p;
    struct viewers see;
    int kv_head, from, tiles, steps;
};

template <int D, int SPLIT> struct dkv_memory {
    bf16 k[shape<SPLIT>::KEYS * D], v[shape<SPLIT>::KEYS * D], q[STAGES][BQ * D],
        dout[STAGES][BQ * D];
    float lse[STAGES][BQ], delta[STAGES][BQ];
    float sums[2][SPLIT == 2 ? 64 * D : 1];
    uint64_t kv_full, kv_empty, tail, full[STAGES], empty[STAGES];
    struct key_task task;
};

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
template <int KEYS>
static __device__ __forceinline__ bool find_key_task(const struct op_attention &a, int item,
                                                     struct key_task *t)
{
    if (!find_piece(a.cu_k, a.docs, KEYS, item / a.kv_heads, &t->p)) return false;
    t->see = viewers(a, t->p.doc);
    t->kv_head = item % a.kv_heads;
    t->from = max(t->see.q_begin, t->see.first_query(t->p.first));
    const int to = t->see.last_query(t->p.first + t->p.rows - 1);
    t->tiles = max(0, (to - t->from + BQ - 1) / BQ);
    t->steps = t->tiles * (a.heads / a.kv_heads);
    return true;
}

/* Copies the queries of a step, the n-th of the block: those of a head from i on, of which the
 * document has `valid`. */
template <int D, int SPLIT>
static __device__ __forceinline__ void
load_queries(dkv_memory<D, SPLIT> &m, const struct dkv_maps &maps, const struct backward &b,
             int head, int i, int valid, int n, int *tail_parity)
{
    const int lane = threadIdx.x % 32;
    const int stage = n % STAGES;
    float lse[2], delta[2];
#pragma unroll
    for (int k = 0; k < 2; k++) {
        const int64_t at = head * b.f.Tq + i + lane + 32 * k;
        const bool ok = lane + 32 * k < valid;
        lse[k] = ok ? ((const float *)b.f.lse)[at] * LOG2E : 0;
        delta[k] = ok ? b.delta[at] : 0;
    }
    barrier_wait(&m.empty[stage], n / STAGES & 1 ^ 1);
    tile_load_valid<D, BQ>(m.q[stage], &maps.q, &m.full[stage], &m.tail, tail_parity, head, i,
                           valid);
    tile_load_valid<D, BQ>(m.dout[stage], &maps.dout, &m.full[stage], &m.tail, tail_parity, head, i,
                           valid);
#pragma unroll
    for (int k = 0; k < 2; k++) {
        m.lse[stage][lane + 32 * k] = lse[k];
        m.delta[stage][lane + 32 * k] = delta[k];
    }
    barrier_arrive_warp(&m.full[stage]);
}

/* The producer warp. */
template <int D, int SPLIT>
static __device__ __forceinline__ void produce(dkv_memory<D, SPLIT> &m, const struct dkv_maps &maps,
                                               const struct backward &b, int slots, int *counter)
{
    const bool first = threadIdx.x % 32 == 0;
    int kv_parity = 1, tail_parity = 0, item = blockIdx.x, n = 0;
    while (item < slots * b.f.kv_heads) {
        struct key_task t;
        const bool found = find_key_task<shape<SPLIT>::KEYS>(b.f, item, &t);
        item = next_task(counter);
        if (!found) continue;
        barrier_wait(&m.kv_empty, kv_parity);
        kv_parity ^= 1;
        if (first) {
            m.task = t;
            barrier_expect(&m.kv_full, sizeof m.k + sizeof m.v);
            tile_load<D, shape<SPLIT>::KEYS>(m.k, &maps.k, &m.kv_full, t.kv_head, t.p.first);
            tile_load<D, shape<SPLIT>::KEYS>(m.v, &maps.v, &m.kv_full, t.kv_head, t.p.first);
        }
        const int group = b.f.heads / b.f.kv_heads, from = uniform(t.from);
        const int end = from + uniform(t.tiles) * BQ, q_end = uniform(t.see.q_end);
        int head = uniform(t.kv_head) * group;
        for (const int past = head + group; head < past; head++)
            for (int i = from; i < end; i += BQ)
                load_queries(m, maps, b, head, i, q_end - i, n++, &tail_parity);
    }
    barrier_wait(&m.kv_empty, kv_parity);
    if (first) {
        m.task = key_task{};
        m.task.steps = -1; /* the end */
        barrier_arrive(&m.kv_full);
    }
}

/* Replaces s^T by p^T; lse: that of the tile's queries. */
static __device__ __forceinline__ void weigh(float (&s)[BQ / 8][4], const float *lse, float scale)
{
#pragma unroll
    for (int n = 0; n < BQ / 8; n++) {
        const float2 l = *(const float2 *)(lse + 8 * n + threadIdx.x % 4 * 2);
#pragma unroll
        for (int j = 0; j < 4; j++) s[n][j] = exp2_fast(fmaf(s[n][j], scale, j % 2 ? -l.y : -l.x));
    }
}

/* Replaces p^T by 0 for queries, from `query` on, that do not see the keys of the warp, from `key`
 * on. */
static __device__ __forceinline__ void hide(float (&p)[BQ / 8][4], const struct viewers &see,
                                            int key, int query)
{
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const int k = key + threadIdx.x % 32 / 4 + 8 * i;
        const int first = see.first_query(k) - query, last = see.last_query(k) - query;
#pragma unroll
        for (int n = 0; n < BQ / 8; n++)
#pragma unroll
            for (int j = 0; j < 2; j++) {
                const int c = 8 * n + threadIdx.x % 4 * 2 + j;
                if (c < first || c >= last) p[n][2 * i + j] = 0;
            }
    }
}

/* Replaces dp^T by ds^T. */
static __device__ __forceinline__ void gradient(float (&dp)[BQ / 8][4], const float (&p)[BQ / 8][4],
                                                const float *delta)
{
#pragma unroll
    for (int n = 0; n < BQ / 8; n++) {
        const float2 d = *(const float2 *)(delta + 8 * n + threadIdx.x % 4 * 2);
#pragma unroll
        for (int j = 0; j < 4; j++) dp[n][j] = p[n][j] * (dp[n][j] - (j % 2 ? d.y : d.x));
    }
}

/* Adds the other warpgroup's `take` to `own`, and leaves `give` to it. The sum is that of
 * warpgroup 0 plus that of 1; both add in the same order. */
template <int D>
static __device__ __forceinline__ void exchange(float (&sums)[2][64 * D], float (&own)[D / 8][4],
                                                const float (&give)[D / 8][4], int group)
{
    const int thread = threadIdx.x % WARPGROUP;
    named_wait(1, CONSUMERS * WARPGROUP); /* the sums of the task before have been read */
#pragma unroll
    for (int d = 0; d < D / 2; d++) sums[group][d * WARPGROUP + thread] = give[d / 4][d % 4];
    named_wait(1, CONSUMERS * WARPGROUP);
#pragma unroll
    for (int d = 0; d < D / 2; d++) own[d / 4][d % 4] += sums[!group][d * WARPGROUP + thread];
}

/* Stores the rows of dk or dv of this warp, at a head's first column; scales acc. */
template <int D>
static __device__ __forceinline__ void store_keys(const struct backward &b, void *to,
                                                  const float (&acc)[D / 8][4], int column, int row,
                                                  int end, float scale)
{
    const float scales[2] = {scale, scale};
    if (b.wide)
        store_wide<D>((float *)to + column, b.f.kv_stride, acc, row, end, scale);
    else
        store_rows<D>((bf16 *)to + column, b.f.kv_stride, acc, row, end, scales);
}

/* A consumer warpgroup, 0 or 1. */
template <int D, int SPLIT>
static __device__ __forceinline__ void consume(dkv_memory<D, SPLIT> &m, const struct backward &b,
                                               int group)
{
    constexpr int KEYS = shape<SPLIT>::KEYS;
    constexpr bool AHEAD = D == 64; /* where registers suffice */
    const float scale = (float)b.f.scale * LOG2E;
    const int own = SPLIT == 1 ? group * 64 : 0, warp = threadIdx.x / 32 % 4;
    const uint64_t k = descriptor<KEYS>(m.k + own * BLOCK_COLUMNS);
    const uint64_t v = descriptor<KEYS>(m.v + own * BLOCK_COLUMNS);
    for (int kv_parity = 0, n = 0;; kv_parity ^= 1) {
        barrier_wait(&m.kv_full, kv_parity);
        const struct key_task &t = m.task; /* not copied: registers are short */
        const int steps = uniform(t.steps), begin = uniform(t.p.first) + own;
        if (steps < 0) break;
        float dk[D / 8][4] = {}, dv[D / 8][4] = {}, s[BQ / 8][4], dp[BQ / 8][4];
        uint32_t p[BQ / 16][4] = {}, ds[BQ / 16][4] = {};
        const int from = uniform(t.from), length = uniform(t.tiles) * BQ;
        int last = -1, i = from + (SPLIT == 2 ? group * BQ : 0);
        for (int step = SPLIT == 1 ? 0 : group; step < steps; step += SPLIT) {
            const int stage = (n + step) % STAGES;
            while (i >= from + length) i -= length; /* the next head */
            const uint64_t q = descriptor<BQ>(m.q[stage]), dout = descriptor<BQ>(m.dout[stage]);
            barrier_wait(&m.full[stage], (n + step) / STAGES & 1);
            wgmma_fence();
            product_shared<D, KEYS, BQ>(s, k, q);
            wgmma_commit();
            product_shared<D, KEYS, BQ>(dp, v, dout);
            wgmma_commit();
            wgmma_wait<AHEAD>(); /* AHEAD: dp and nothing else is pending */
            pin(s), pin(p), pin(ds), pin(dk), pin(dv);
            if (AHEAD && last >= 0) barrier_arrive_warp(&m.empty[last]);
            last = stage;
            weigh(s, m.lse[stage], scale);
            if (i < t.see.first_query(begin + 63) || i + BQ > t.see.last_query(begin))
                hide(s, t.see, begin + warp * 16, i);
            if constexpr (AHEAD) {
                round_operand(p, s);
                wgmma_fence();
                product_registers(dv, p, dout);
                wgmma_commit();
                wgmma_wait<1>();
            }
            pin(dp);
            gradient(dp, s, m.delta[stage]);
            if constexpr (!AHEAD) round_operand(p, s);
            round_operand(ds, dp);
            wgmma_fence();
            if constexpr (!AHEAD) product_registers(dv, p, dout);
            product_registers(dk, ds, q);
            wgmma_commit();
            if constexpr (!AHEAD) {
                wgmma_wait<0>();
                pin(p), pin(ds), pin(dk), pin(dv);
                barrier_arrive_warp(&m.empty[stage]);
            }
            i += SPLIT * BQ;
        }
        if (AHEAD) {
            wgmma_wait<0>();
            pin(p), pin(ds), pin(dk), pin(dv);
            if (last >= 0) barrier_arrive_warp(&m.empty[last]);
        }
        n += steps;
        const int end = t.p.first + t.p.rows, row = begin + warp * 16;
        const int column = t.kv_head * D;
        barrier_arrive_warp(&m.kv_empty);
        if constexpr (SPLIT == 2) {
            if (group == 0)
                exchange<D>(m.sums, dk, dv, 0);
            else
                exchange<D>(m.sums, dv, dk, 1);
        }
        if (SPLIT == 1 || group == 0)
            store_keys<D>(b, b.dk, dk, column, row, end, (float)b.f.scale);
        if (SPLIT == 1 || group == 1) store_keys<D>(b, b.dv, dv, column, row, end, 1);
    }
}

template <int D, int SPLIT>
static __device__ __forceinline__ void init_barriers(dkv_memory<D, SPLIT> &m)
{
    barrier_init(&m.kv_full, 1);
    barrier_init(&m.kv_empty, CONSUMER_WARPS);
    barrier_init(&m.tail, 1);
    for (int i = 0; i < STAGES; i++) {
        barrier_init(&m.full[i], 3); /* q, dout, and lse with delta */
        barrier_init(&m.empty[i], shape<SPLIT>::READERS);
    }
    barrier_init_done();
}
#endif

template <int D, int SPLIT>
__global__ void __launch_bounds__(HOPPER_THREADS, 1)
    attention_dkv_sm90(const __grid_constant__ struct dkv_maps maps,
                       const __grid_constant__ struct backward b, int slots, int *counter)
{
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    extern __shared__ __align__(1024) char memory[];
    dkv_memory<D, SPLIT> &m = *(dkv_memory<D, SPLIT> *)memory;
    const int warp = __shfl_sync(~0u, threadIdx.x / 32, 0), group = warp / 4;
    if (threadIdx.x == 0) init_barriers(m);
    __syncthreads();
    if (group == 0) {
        registers_fewer<PRODUCER_REGISTERS>();
        if (warp == 0) {
            produce(m, maps, b, slots, counter);
        } else {
            const struct op_attention &a = b.f;
            const int words = b.wide ? 2 : 1, width = words * a.kv_heads * D;
            zero_outside(b.dk, words * a.kv_stride, width, a.Tk, a.cu_k, a.docs);
            zero_outside(b.dv, words * a.kv_stride, width, a.Tk, a.cu_k, a.docs);
        }
    } else {
        registers_more<CONSUMER_REGISTERS>();
        consume(m, b, group - 1);
    }
#endif
}

template <int D, int SPLIT> static int launch(const struct backward *b, cudaStream_t stream)
{
    constexpr int KEYS = shape<SPLIT>::KEYS;
    const struct op_attention *a = &b->f;
    const int slots = (int)(a->Tk / KEYS) + a->docs;
    struct dkv_maps maps;
    int rc = map_heads(&maps.q, a->q, a->Tq, a->q_stride, a->heads, D, BQ);
    if (!rc) rc = map_heads(&maps.dout, b->dout, a->Tq, a->o_stride, a->heads, D, BQ);
    if (!rc) rc = map_heads(&maps.k, a->k, a->Tk, a->kv_stride, a->kv_heads, D, KEYS);
    if (!rc) rc = map_heads(&maps.v, a->v, a->Tk, a->kv_stride, a->kv_heads, D, KEYS);
    if (rc) return rc;
    return start_tasks(attention_dkv_sm90<D, SPLIT>, maps, *b, slots, a->kv_heads,
                       sizeof(dkv_memory<D, SPLIT>), b->counters + 1, stream);
}

/* Halves balance the multiprocessors better: by 10 to 40 % where documents are of a few hundred
 * tokens, and twice where tasks of 128 keys are as many as multiprocessors. For long documents,
 * which do not fit the L2, the traffic counts. The choice depends on the shape alone, as the bits
 * do on the choice. */
int attention_dkv_hopper(const struct backward *b, cudaStream_t stream)
{
    const struct op_attention *a = &b->f;
    const int64_t tasks = (a->Tk / 128 + a->docs) * a->kv_heads;
    const bool split = a->max_len < 4096 || tasks < 256;
    if (a->dim == 64) return split ? launch<64, 2>(b, stream) : launch<64, 1>(b, stream);
    return split ? launch<128, 2>(b, stream) : launch<128, 1>(b, stream);
}
