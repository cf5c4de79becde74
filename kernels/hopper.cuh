/* SPDX-License-Identifier: Apache-2.0 */
/* Features of sm_90a alone: barriers in shared memory that count bytes, copies of boxes by tensor
 * maps, and products of a warpgroup (wgmma). PTX ISA 8, sections 9.7.13.15 (mbarrier), 9.7.9.27
 * (cp.async.bulk.tensor), 9.7.15 (wgmma).
 *
 * A tile in shared memory has D / 64 blocks of 64 columns; a block has `rows` rows of 128 bytes,
 * swizzled by 128 bytes, and begins at a multiple of 1024 bytes. */
#ifndef SFT_KERNELS_HOPPER_CUH
#define SFT_KERNELS_HOPPER_CUH

#include <cuda.h>

#include "tile.cuh"

enum { BLOCK_COLUMNS = 64, BLOCK_ROW = 128 /* bytes */, WARPGROUP = 128 };

/* ---- the host ---- */
/* Returns true if the device that is set is of compute capability 9.0. */
bool is_hopper(void);
int multiprocessors(void);
/* Makes the map of x [T, stride], whose rows begin with `heads` heads of `dim` bf16 elements: boxes
 * of `rows` rows and 64 columns of one head. x is aligned to 16 bytes, stride a multiple of 8.
 * Returns 0 or a cudaError_t. */
int map_heads(CUtensorMap *map, const void *x, int64_t T, int64_t stride, int heads, int dim,
              int rows);

/* Makes the map of x [matrices, rows, columns], bf16, dense: boxes of 64 rows and 64 columns of one
 * matrix. x is aligned to 16 bytes, columns a multiple of 8. Returns 0 or a cudaError_t. */
int map_matrices(CUtensorMap *map, const void *x, int64_t matrices, int64_t rows, int64_t columns);

/* ---- barriers ---- */
static __device__ __forceinline__ void barrier_init(uint64_t *barrier, int arrivals)
{
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)),
                 "r"(arrivals)
                 : "memory");
}
/* Makes initialised barriers visible to copies. */
static __device__ __forceinline__ void barrier_init_done()
{
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
static __device__ __forceinline__ void barrier_arrive(uint64_t *barrier)
{
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier))
                 : "memory");
}
/* Arrives; the phase then also waits for `bytes` of copies. */
static __device__ __forceinline__ void barrier_expect(uint64_t *barrier, int bytes)
{
    asm volatile(
        "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)),
        "r"(bytes)
        : "memory");
}
/* Waits until the phase of this parity has ended. */
static __device__ __forceinline__ void barrier_wait(uint64_t *barrier, int parity)
{
    uint32_t done = 0;
    while (!done)
        asm volatile("{.reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2; "
                     "selp.u32 %0, 1, 0, p;}"
                     : "=r"(done)
                     : "r"(shared_address(barrier)), "r"(parity)
                     : "memory");
}
/* Arrives once for the warp, after all of its lanes. */
static __device__ __forceinline__ void barrier_arrive_warp(uint64_t *barrier)
{
    __syncwarp();
    if (threadIdx.x % 32 == 0) barrier_arrive(barrier);
}

/* A place in a ring of STAGES buffers and the parity of its present round. */
template <int STAGES> struct ring_place {
    int stage, parity;
    __device__ __forceinline__ void next()
    {
        if (++stage == STAGES) stage = 0, parity ^= 1;
    }
};

/* Named barriers order `threads` threads of a block; 0 is that of __syncthreads. */
static __device__ __forceinline__ void named_wait(int name, int threads)
{
    asm volatile("bar.sync %0, %1;" ::"r"(name), "r"(threads) : "memory");
}
static __device__ __forceinline__ void named_arrive(int name, int threads)
{
    asm volatile("bar.arrive %0, %1;" ::"r"(name), "r"(threads) : "memory");
}

/* Give up and take registers, a whole warpgroup at a time; N: those that a thread has after. */
template <int N> static __device__ __forceinline__ void registers_fewer()
{
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(N));
}
template <int N> static __device__ __forceinline__ void registers_more()
{
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(N));
}

/* ---- copies ---- */
/* Orders this thread's writes of shared memory before reads by wgmma and copies. */
static __device__ __forceinline__ void fence_proxy()
{
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}
static __device__ __forceinline__ void prefetch_map(const CUtensorMap *map)
{
    asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}
/* Starts copying the map's box at these coordinates. What is beyond the map's end becomes zeros. One
 * thread calls it. */
static __device__ __forceinline__ void box_load(uint32_t to, const CUtensorMap *map,
                                                uint64_t *barrier, int x, int y, int z)
{
    asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::"
                 "complete_tx::bytes [%0], [%1, {%3, %4, %5}], [%2];" ::"r"(to),
                 "l"(map), "r"(shared_address(barrier)), "r"(x), "r"(y), "r"(z)
                 : "memory");
}
/* Starts copying ROWS rows of D columns of a head, from row `row` on, as a tile. */
template <int D, int ROWS>
static __device__ __forceinline__ void tile_load(void *tile, const CUtensorMap *map,
                                                 uint64_t *barrier, int head, int row)
{
#pragma unroll
    for (int block = 0; block < D / BLOCK_COLUMNS; block++)
        box_load(shared_address(tile) + block * ROWS * BLOCK_ROW, map, barrier,
                 block * BLOCK_COLUMNS, head, row);
}
/* Zeroes the rows [from, ROWS) of a tile, by one warp. */
template <int D, int ROWS>
static __device__ __forceinline__ void tile_zero_rows(char *tile, int from)
{
    for (int i = from * BLOCK_ROW / 16 + threadIdx.x % 32; i < ROWS * BLOCK_ROW / 16; i += 32)
#pragma unroll
        for (int block = 0; block < D / BLOCK_COLUMNS; block++)
            *(uint4 *)(tile + block * ROWS * BLOCK_ROW + 16 * i) = make_uint4(0, 0, 0, 0);
}

/* ---- operands of products ---- */
/* Descriptors of a tile in shared memory, for wgmma. The depth of the product runs along the
 * columns (`rows` of the operand are rows of the tile), or along the rows. */
template <int ROWS> static __device__ __forceinline__ uint64_t descriptor(const void *tile)
{
    const uint64_t at = (shared_address(tile) & 0x3ffff) >> 4, leading = ROWS * BLOCK_ROW >> 4,
                   stride = 8 * BLOCK_ROW >> 4, swizzle_128 = 1;
    return at | leading << 16 | stride << 32 | swizzle_128 << 62;
}
/* Columns [16 step, 16 step + 16), where the depth runs along the columns. */
template <int ROWS> static __device__ __forceinline__ uint64_t at_columns(uint64_t d, int step)
{
    return d + (uint64_t)((step / 4 * ROWS * BLOCK_ROW + step % 4 * 32) >> 4);
}
/* Rows [16 step, 16 step + 16), where the depth runs along the rows. */
static __device__ __forceinline__ uint64_t at_rows(uint64_t d, int step)
{
    return d + (uint64_t)(16 * step * BLOCK_ROW >> 4);
}

/* ---- products ---- */
/* Returns x, which is equal in all lanes, so that the compiler knows it. */
static __device__ __forceinline__ int uniform(int x) { return __shfl_sync(~0u, x, 0); }

/* Orders this thread's accesses of accumulators and operands before the next product. */
static __device__ __forceinline__ void wgmma_fence()
{
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
static __device__ __forceinline__ void wgmma_commit()
{
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
/* Keeps accesses of registers behind the wait before it. */
template <int N> static __device__ __forceinline__ void pin(float (&d)[N][4])
{
#pragma unroll
    for (int i = 0; i < N; i++)
#pragma unroll
        for (int j = 0; j < 4; j++) asm volatile("" : "+f"(d[i][j])::"memory");
}
template <int N> static __device__ __forceinline__ void pin(uint32_t (&a)[N][4])
{
#pragma unroll
    for (int i = 0; i < N; i++)
#pragma unroll
        for (int j = 0; j < 4; j++) asm volatile("" : "+r"(a[i][j])::"memory");
}
/* Waits until at most LEFT groups of products are pending. */
template <int LEFT> static __device__ __forceinline__ void wgmma_wait()
{
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(LEFT) : "memory");
}

#define WGMMA_D4(i) "+f"(d[i][0]), "+f"(d[i][1]), "+f"(d[i][2]), "+f"(d[i][3])
#define WGMMA_D32                                                                                  \
    WGMMA_D4(0), WGMMA_D4(1), WGMMA_D4(2), WGMMA_D4(3), WGMMA_D4(4), WGMMA_D4(5), WGMMA_D4(6),     \
        WGMMA_D4(7)
#define WGMMA_D64                                                                                  \
    WGMMA_D32, WGMMA_D4(8), WGMMA_D4(9), WGMMA_D4(10), WGMMA_D4(11), WGMMA_D4(12), WGMMA_D4(13),   \
        WGMMA_D4(14), WGMMA_D4(15)
#define WGMMA_R32                                                                                  \
    "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,"   \
    "%25,%26,%27,%28,%29,%30,%31"
#define WGMMA_R64                                                                                  \
    WGMMA_R32 ",%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,"  \
              "%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63"

/* Starts d[64, N] (+)= a[64, 16] b[N, 16]^T, both in shared memory, their depth along the columns;
 * `keep` false: d is replaced. Lane l of warp w holds rows 16 w + l/4 and 8 below, in d[n] columns
 * 8 n + l%4*2 and the next. */
static __device__ __forceinline__ void wgmma_shared(float (&d)[8][4], uint64_t a, uint64_t b,
                                                    int keep)
{
    asm volatile("{.reg .pred p; setp.ne.b32 p, %34, 0; wgmma.mma_async.sync.aligned.m64n64k16.f32."
                 "bf16.bf16 {" WGMMA_R32 "}, %32, %33, p, 1, 1, 0, 0;}"
                 : WGMMA_D32
                 : "l"(a), "l"(b), "r"(keep)
                 : "memory");
}
/* ROWS_A, ROWS_B: their depth runs along the rows. */
template <bool ROWS_A = false, bool ROWS_B = false>
static __device__ __forceinline__ void wgmma_shared(float (&d)[16][4], uint64_t a, uint64_t b,
                                                    int keep)
{
    asm volatile("{.reg .pred p; setp.ne.b32 p, %66, 0; wgmma.mma_async.sync.aligned.m64n128k16."
                 "f32.bf16.bf16 {" WGMMA_R64 "}, %64, %65, p, 1, 1, %67, %68;}"
                 : WGMMA_D64
                 : "l"(a), "l"(b), "r"(keep), "n"((int)ROWS_A), "n"((int)ROWS_B)
                 : "memory");
}
/* Starts d[64, N] += a[64, 16] b[16, N], a in registers, b in shared memory, its depth along the
 * rows. */
static __device__ __forceinline__ void wgmma_registers(float (&d)[8][4], const uint32_t (&a)[4],
                                                       uint64_t b)
{
    asm volatile("{.reg .pred p; setp.ne.b32 p, %37, 0; wgmma.mma_async.sync.aligned.m64n64k16.f32."
                 "bf16.bf16 {" WGMMA_R32 "}, {%32,%33,%34,%35}, %36, p, 1, 1, 1;}"
                 : WGMMA_D32
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(1)
                 : "memory");
}
static __device__ __forceinline__ void wgmma_registers(float (&d)[16][4], const uint32_t (&a)[4],
                                                       uint64_t b)
{
    asm volatile("{.reg .pred p; setp.ne.b32 p, %69, 0; wgmma.mma_async.sync.aligned.m64n128k16."
                 "f32.bf16.bf16 {" WGMMA_R64 "}, {%64,%65,%66,%67}, %68, p, 1, 1, 1;}"
                 : WGMMA_D64
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(1)
                 : "memory");
}

/* Starts s[64, 8 N] = a b^T over D columns; ROWS_A and ROWS_B are the rows of the tiles, from which
 * a has 64 and b 8 N rows. */
template <int D, int ROWS_A, int ROWS_B, int N>
static __device__ __forceinline__ void product_shared(float (&s)[N][4], uint64_t a, uint64_t b)
{
#pragma unroll
    for (int k = 0; k < D / 16; k++)
        wgmma_shared(s, at_columns<ROWS_A>(a, k), at_columns<ROWS_B>(b, k), k > 0);
}
/* Starts acc[64, 8 N] += p b over the rows of the tile b, 16 of them for each p[k]. */
template <int K, int N>
static __device__ __forceinline__ void product_registers(float (&acc)[N][4],
                                                         const uint32_t (&p)[K][4], uint64_t b)
{
#pragma unroll
    for (int k = 0; k < K; k++) wgmma_registers(acc, p[k], at_rows(b, k));
}
/* Rounds s[64, 16 K] to an operand in registers. */
template <int K>
static __device__ __forceinline__ void round_operand(uint32_t (&p)[K][4],
                                                     const float (&s)[2 * K][4])
{
#pragma unroll
    for (int k = 0; k < K; k++)
#pragma unroll
        for (int j = 0; j < 4; j++)
            p[k][j] = pack(s[2 * k + j / 2][j % 2 * 2], s[2 * k + j / 2][j % 2 * 2 + 1]);
}

#endif
