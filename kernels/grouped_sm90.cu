/* SPDX-License-Identifier: Apache-2.0 */
/* Products of each expert's rows by wgmma, for sm_90a: a producer warp copies tiles of both operands
 * through a ring, two warpgroups multiply them, each 64 x 128 of the block's 128 x 128. Two blocks
 * share a multiprocessor, so that one stores while the other multiplies. FLOPs: 2 n k for each row;
 * limit: the rate of wgmma. */
#include "grouped.cuh"
#include "hopper.cuh"

enum { BM = 128, BN = 128, BK = 64, STAGES = 3, BOX = BLOCK_COLUMNS };
enum { CONSUMERS = 2, CONSUMER_THREADS = CONSUMERS * WARPGROUP, BLOCK = CONSUMER_THREADS + 32 };
static_assert(BM == BN && BK == BOX, "operands have tiles of two boxes");

/* A tile has two boxes: 64 rows each of the depth's 64 columns, or 64 columns each of its 64 rows. */
struct operand_tile {
    bf16 box[2][BOX * BOX];
};
struct grouped_memory {
    operand_tile a[STAGES], b[STAGES];
    uint64_t full[STAGES], empty[STAGES];
};
struct grouped_maps {
    CUtensorMap a, b;
};

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
/* Starts copying an operand's 128 rows (DEEP: the depth runs along columns) or columns from `at` on,
 * of the depth from `depth` on. */
template <bool DEEP>
static __device__ __forceinline__ void load_operand(operand_tile &to, const CUtensorMap *map,
                                                    uint64_t *full, int at, int depth, int matrix)
{
#pragma unroll
    for (int i = 0; i < 2; i++)
        box_load(shared_address(to.box[i]), map, full, DEEP ? depth : at + BOX * i,
                 DEEP ? at + BOX * i : depth, matrix);
}

/* The producer, one thread: A: rows of a are stored, else columns; B: columns of b, else rows. */
template <bool A, bool B>
static __device__ __forceinline__ void produce(grouped_memory &m, const grouped_maps &maps,
                                               const struct op_grouped &a, const part &p, int steps)
{
    const int row = A ? p.first : (int)p.row, matrix = a.weights ? 0 : p.e;
    const int begin = a.weights ? p.first : 0; /* of the depth */
    ring_place<STAGES> at = {0, 0};
    for (int step = 0; step < steps; step++, at.next()) {
        uint64_t *const full = &m.full[at.stage];
        barrier_wait(&m.empty[at.stage], at.parity ^ 1);
        barrier_expect(full, 2 * sizeof(operand_tile));
        load_operand<A>(m.a[at.stage], &maps.a, full, row, begin + BK * step, 0);
        load_operand<B>(m.b[at.stage], &maps.b, full, (int)p.column, begin + BK * step, matrix);
    }
}

/* Zeroes the rows of the depth from `valid` on, which belong to the next expert: 0 times an infinity
 * of another is not 0. By all consumers. */
static __device__ __forceinline__ void zero_rest(operand_tile &a, operand_tile &b, int valid)
{
    const int warp = threadIdx.x / 32;
    if (warp < 2) tile_zero_rows<BM, BOX>((char *)(warp ? &b : &a), valid);
    fence_proxy();
    named_wait(1, CONSUMER_THREADS);
}

/* Starts the product of a stage's tiles: this warpgroup's 64 rows. */
template <bool A, bool B>
static __device__ __forceinline__ void multiply(float (&sum)[BN / 8][4], const operand_tile &a,
                                                const operand_tile &b, bool keep)
{
    const uint64_t x = descriptor<BOX>(a.box[uniform(threadIdx.x / WARPGROUP)]),
                   y = descriptor<BOX>(b.box[0]);
#pragma unroll
    for (int k = 0; k < BK / 16; k++)
        wgmma_shared<!A, !B>(sum, A ? at_columns<BOX>(x, k) : at_rows(x, k),
                             B ? at_columns<BOX>(y, k) : at_rows(y, k), keep || k > 0);
}

template <bool A, bool B, typename C>
static __device__ __forceinline__ void consume(grouped_memory &m, const struct op_grouped &a,
                                               const part &p, int steps)
{
    const int valid = a.weights ? (int)(p.depth % BK) : 0; /* rows of the last tile; 0: all */
    float sum[BN / 8][4] = {};
    ring_place<STAGES> at = {0, 0};
    int last = 0;
    for (int step = 0; step < steps; step++, at.next()) {
        barrier_wait(&m.full[at.stage], at.parity);
        if (valid && step == steps - 1) zero_rest(m.a[at.stage], m.b[at.stage], valid);
        wgmma_fence();
        multiply<A, B>(sum, m.a[at.stage], m.b[at.stage], step > 0);
        wgmma_commit();
        wgmma_wait<1>();
        if (step > 0) barrier_arrive_warp(&m.empty[last]);
        last = at.stage;
    }
    wgmma_wait<0>();
    pin(sum);
    put_sums<C, BN / 8>(a, p, sum, p.row + threadIdx.x / 32 * 16, p.column);
}

static __device__ __forceinline__ void init_barriers(grouped_memory &m)
{
    for (int i = 0; i < STAGES; i++) {
        barrier_init(&m.full[i], 1);
        barrier_init(&m.empty[i], CONSUMER_THREADS / 32);
    }
    barrier_init_done();
}
#endif

template <bool A, bool B, typename C>
__global__ void __launch_bounds__(BLOCK, 2)
    grouped_sm90(const __grid_constant__ grouped_maps maps, const __grid_constant__ struct op_grouped a)
{
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    extern __shared__ __align__(1024) char memory[];
    grouped_memory &m = *(grouped_memory *)memory;
    const part p = find_part(a, BM, BN);
    if (p.row >= p.m || (p.depth == 0 && a.accumulate)) return;
    const int warp = uniform(threadIdx.x / 32), steps = (int)((p.depth + BK - 1) / BK);
    if (threadIdx.x == 0) init_barriers(m);
    __syncthreads();
    if (warp < CONSUMER_THREADS / 32)
        consume<A, B, C>(m, a, p, steps);
    else if (threadIdx.x % 32 == 0)
        produce<A, B>(m, maps, a, p, steps);
#endif
}

/* Maps of a [rows, k]; and of b: [E, n, k] (tb), [E, k, n], or [rows, n] (weights). */
static int make_maps(grouped_maps *maps, const struct op_grouped *a)
{
    const int rc = map_matrices(&maps->a, a->a, 1, a->rows, a->k);
    if (rc) return rc;
    if (a->weights) return map_matrices(&maps->b, a->b, 1, a->rows, a->n);
    return map_matrices(&maps->b, a->b, a->E, a->tb ? a->n : a->k, a->tb ? a->k : a->n);
}

template <bool A, bool B, typename C>
static int launch(const struct op_grouped *a, cudaStream_t stream)
{
    const int shared = sizeof(grouped_memory);
    grouped_maps maps;
    int rc = make_maps(&maps, a);
    if (!rc)
        rc = cudaFuncSetAttribute(grouped_sm90<A, B, C>,
                                  cudaFuncAttributeMaxDynamicSharedMemorySize, shared);
    if (rc) return rc;
    grouped_sm90<A, B, C><<<grid_of(a, BM, BN), BLOCK, shared, stream>>>(maps, *a);
    return cudaGetLastError();
}

int grouped_hopper(const struct op_grouped *a, cudaStream_t stream)
{
    return by_type(a->c_dtype, [&](auto u) {
        typedef decltype(u) C;
        return a->weights ? launch<false, false, C>(a, stream)
               : a->tb    ? launch<true, true, C>(a, stream)
                          : launch<true, false, C>(a, stream);
    });
}
