/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the attention kernels for sm_90a: blocks that stay and draw tasks, a producer warp that
 * copies tiles, consumer warpgroups that store rows. */
#ifndef SFT_KERNELS_ATTENTION_SM90_CUH
#define SFT_KERNELS_ATTENTION_SM90_CUH

#include "attention.cuh"
#include "hopper.cuh"

/* Warpgroup 0 produces, the next two consume. */
enum { CONSUMERS = 2, CONSUMER_WARPS = CONSUMERS * 4 };
enum { HOPPER_THREADS = WARPGROUP * (1 + CONSUMERS), IDLE_WARPS = 3 /* of warpgroup 0 */ };

/* Registers that a thread has: 128 x 40 + 256 x 232 = 384 x 168, the registers at launch. */
enum { PRODUCER_REGISTERS = 40, CONSUMER_REGISTERS = 232 };

/* Returns to a warp the number of the block's next task. Blocks begin with the task of their index;
 * the counter, 0 at launch, gives out the others. */
static __device__ __forceinline__ int next_task(int *counter)
{
    int n = 0;
    if (threadIdx.x % 32 == 0) n = atomicAdd(counter, 1);
    return (int)gridDim.x + __shfl_sync(~0u, n, 0);
}

/* A tile of queries of one head, and the tiles of keys [key, key + tiles BN) that they see. */
struct query_task {
    struct piece p;
    struct sight see;
    int head, key, tiles;
};

/* Finds the task of a number; false: there is none. A task has at least one tile of keys. */
template <int BM, int BN>
static __device__ __forceinline__ bool find_query_task(const struct op_attention &a, int slots,
                                                       int item, struct query_task *t)
{
    /* rows with many tiles run first, so that the last blocks are short */
    if (!find_piece(a.cu_q, query_ranges(a), BM, slots - 1 - item / a.heads, &t->p)) return false;
    t->see = sight(a, t->p.doc);
    t->head = item % a.heads;
    const int last = t->p.first + t->p.rows - 1, begin = t->see.k_begin;
    t->key = begin + max(0, t->see.from(t->p.first) - begin) / BN * BN;
    t->tiles = max(1, (min(t->see.to(last), t->see.k_end) - t->key + BN - 1) / BN);
    return true;
}

/* Copies a tile by the producer warp; `full` gets one arrival. Rows from `valid` on, which belong
 * to no key or query of the document, become zeros: their weight in products is 0, but 0 times an
 * infinity of another document is not. */
template <int D, int ROWS>
static __device__ __forceinline__ void
tile_load_valid(bf16 *tile, const CUtensorMap *map, uint64_t *full, uint64_t *tail,
                int *tail_parity, int head, int row, int valid)
{
    const bool partly = valid < ROWS;
    uint64_t *const arrival = partly ? tail : full;
    if (threadIdx.x % 32 == 0) {
        barrier_expect(arrival, ROWS * D * sizeof(bf16));
        tile_load<D, ROWS>(tile, map, arrival, head, row);
    }
    if (!partly) return;
    barrier_wait(tail, *tail_parity);
    *tail_parity ^= 1;
    tile_zero_rows<D, ROWS>((char *)tile, max(0, valid));
    fence_proxy();
    barrier_arrive_warp(full);
}

/* Zeroes `width` elements of the rows of x [T, stride] outside all documents, by the idle warps of
 * all blocks. */
static __device__ __forceinline__ void zero_outside(void *x, int64_t stride, int width, int64_t T,
                                                    const int32_t *cu, int docs)
{
    const int64_t before = cu[0], rows = before + T - cu[docs];
    const int64_t warp = blockIdx.x * IDLE_WARPS + threadIdx.x / 32 - 1;
    for (int64_t i = warp; i < rows; i += gridDim.x * IDLE_WARPS) {
        bf16 *const row = (bf16 *)x + (i < before ? i : i - before + cu[docs]) * stride;
#pragma unroll 1
        for (int c = threadIdx.x % 32 * 8; c < width; c += 256)
            *(uint4 *)(row + c) = make_uint4(0, 0, 0, 0);
    }
}

/* Transposes a 4 x 4 matrix of words whose columns the lanes of a quad hold. */
static __device__ __forceinline__ void quad_transpose(uint32_t w[4])
{
#pragma unroll
    for (int bit = 1; bit < 4; bit *= 2)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            if (i & bit) continue;
            const bool high = threadIdx.x & bit;
            const uint32_t other = __shfl_xor_sync(~0u, high ? w[i] : w[i | bit], bit);
            if (high)
                w[i] = other;
            else
                w[i | bit] = other;
        }
}

/* Stores the rows of a warp that lie before `end`, rounded; `row` is the first, scale that of rows
 * l / 4 and l / 4 + 8. A lane stores 16 bytes at once. */
template <int D>
static __device__ __forceinline__ void store_rows(bf16 *to, int64_t stride,
                                                  const float (&acc)[D / 8][4], int row, int end,
                                                  const float (&scale)[2])
{
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const int t = row + lane / 4 + 8 * i;
        bf16 *const at = to + t * stride + lane % 4 * 8;
#pragma unroll
        for (int d = 0; d < D / 8; d += 4) {
            uint32_t w[4];
#pragma unroll
            for (int k = 0; k < 4; k++)
                w[k] = pack(acc[d + k][2 * i] * scale[i], acc[d + k][2 * i + 1] * scale[i]);
            quad_transpose(w);
            if (t < end) *(uint4 *)(at + 8 * d) = make_uint4(w[0], w[1], w[2], w[3]);
        }
    }
}

/* ---- the host ---- */
/* Starts a kernel that draws slots x heads tasks, on as many blocks as the device has
 * multiprocessors. */
template <typename MAPS, typename ARGS>
static int start_tasks(void (*kernel)(MAPS, ARGS, int, int *), const MAPS &maps, const ARGS &args,
                       int slots, int heads, int shared, int *counter, cudaStream_t stream)
{
    const int64_t tasks = (int64_t)slots * heads, most = multiprocessors();
    const cudaError_t rc =
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared);
    if (rc != cudaSuccess) return rc;
    kernel<<<(unsigned)(tasks < most ? tasks : most), HOPPER_THREADS, shared, stream>>>(
        maps, args, slots, counter);
    return cudaGetLastError();
}

#endif
