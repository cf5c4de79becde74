/* SPDX-License-Identifier: Apache-2.0 */
/* Tiles in shared memory and their products by tensor cores (sm_80 and later): 16-byte asynchronous
 * copies, ldmatrix, mma.sync of bf16 with fp32 sums. PTX ISA 8, sections 9.7.14 (mma), 9.7.9.25
 * (cp.async). */
#ifndef SFT_KERNELS_TILE_CUH
#define SFT_KERNELS_TILE_CUH

#include <cuda_bf16.h>
#include <stdint.h>

typedef __nv_bfloat16 bf16;

static __device__ __forceinline__ uint32_t shared_address(const void *p)
{
    return (uint32_t)__cvta_generic_to_shared(p);
}

/* Copies 16 bytes; if !ok, writes zeros and does not read src. */
static __device__ __forceinline__ void copy_async(void *dst, const void *src, bool ok)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(dst)),
                 "l"(src), "r"(ok ? 16 : 0)
                 : "memory");
}
static __device__ __forceinline__ void copy_commit()
{
    asm volatile("cp.async.commit_group;" ::: "memory");
}
/* Waits until at most LEFT groups of this thread are pending. */
template <int LEFT> static __device__ __forceinline__ void copy_wait()
{
    asm volatile("cp.async.wait_group %0;" ::"n"(LEFT) : "memory");
}

/* Loads four 8x8 matrices of 16-bit elements, one address per lane: lanes 8i..8i+7 provide the rows
 * of matrix i. */
static __device__ __forceinline__ void load_matrices(uint32_t r[4], const bf16 *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
}
static __device__ __forceinline__ void load_matrices_transposed(uint32_t r[4], const bf16 *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
}

/* Computes c[16,8] += a[16,16] b[16,8]. Lane l holds rows l/4 and l/4 + 8 of c, columns l%4*2 and
 * the next. */
static __device__ __forceinline__ void multiply_add(float c[4], const uint32_t a[4], uint32_t b0,
                                                    uint32_t b1)
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, "
                 "{%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

static __device__ __forceinline__ uint32_t pack(float low, float high)
{
    __nv_bfloat162 v = __floats2bfloat162_rn(low, high);
    return *(uint32_t *)&v;
}

/* A tile of ROWS rows of D elements. Rows are 16 bytes longer than their elements, an odd number of
 * 16-byte chunks, so that the eight rows of an 8x8 matrix lie in different banks. */
template <int D> struct tile {
    enum { STRIDE = D + 8, CHUNKS = D / 8 };
    static constexpr size_t bytes(int rows) { return (size_t)rows * STRIDE * sizeof(bf16); }
};

/* Starts copying ROWS rows from src (stride in elements) by THREADS threads; rows from `valid` on
 * become zeros. src + 0 must be readable when valid is 0. */
template <int D, int ROWS, int THREADS>
static __device__ __forceinline__ void tile_copy(bf16 *dst, const bf16 *src, int64_t stride,
                                                 int valid)
{
    constexpr int CHUNKS = tile<D>::CHUNKS;
#pragma unroll
    for (int i = threadIdx.x; i < ROWS * CHUNKS; i += THREADS) {
        const int row = i / CHUNKS, chunk = i % CHUNKS;
        const bool ok = row < valid;
        copy_async(dst + row * tile<D>::STRIDE + chunk * 8,
                   src + (ok ? row * stride : 0) + chunk * 8, ok);
    }
}

/* Loads the operand a of multiply_add: rows [row, row + 16), columns [col, col + 16). */
template <int D>
static __device__ __forceinline__ void tile_a(uint32_t r[4], const bf16 *t, int row, int col)
{
    const int lane = threadIdx.x % 32;
    load_matrices(r, t + (row + lane % 16) * tile<D>::STRIDE + col + lane / 16 * 8);
}
/* Loads b for two products whose n runs along the tile's rows: r[0], r[1] for rows [row, row + 8),
 * r[2], r[3] for the next 8; k is columns [col, col + 16). */
template <int D>
static __device__ __forceinline__ void tile_b_rows(uint32_t r[4], const bf16 *t, int row, int col)
{
    const int lane = threadIdx.x % 32;
    load_matrices(r, t + (row + lane % 8 + lane / 16 * 8) * tile<D>::STRIDE + col +
                         (lane / 8 & 1) * 8);
}
/* Loads b for two products whose n runs along the columns [col, col + 8) and the next 8; k is rows
 * [row, row + 16). */
template <int D>
static __device__ __forceinline__ void tile_b_columns(uint32_t r[4], const bf16 *t, int row,
                                                      int col)
{
    const int lane = threadIdx.x % 32;
    load_matrices_transposed(r, t + (row + lane % 16) * tile<D>::STRIDE + col + lane / 16 * 8);
}

/* Computes s[16 M, N] = a b^T: rows [row, row + 16 M) of tile a, all N rows of tile b. */
template <int D, int M, int N>
static __device__ __forceinline__ void product_rows(float s[M][N / 8][4], const bf16 *a, int row,
                                                    const bf16 *b)
{
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
        for (int n = 0; n < N / 8; n++) s[m][n][0] = s[m][n][1] = s[m][n][2] = s[m][n][3] = 0;
#pragma unroll
    for (int k = 0; k < D / 16; k++) {
        uint32_t af[M][4];
#pragma unroll
        for (int m = 0; m < M; m++) tile_a<D>(af[m], a, row + 16 * m, 16 * k);
#pragma unroll
        for (int n = 0; n < N / 16; n++) {
            uint32_t bf[4];
            tile_b_rows<D>(bf, b, 16 * n, 16 * k);
#pragma unroll
            for (int m = 0; m < M; m++) {
                multiply_add(s[m][2 * n], af[m], bf[0], bf[1]);
                multiply_add(s[m][2 * n + 1], af[m], bf[2], bf[3]);
            }
        }
    }
}

/* Computes acc[16 M, D] += bf16(s)[16 M, N] b[N, D]. */
template <int D, int M, int N>
static __device__ __forceinline__ void product_columns(float acc[M][D / 8][4],
                                                       const float s[M][N / 8][4], const bf16 *b)
{
#pragma unroll
    for (int k = 0; k < N / 16; k++) {
        uint32_t af[M][4];
#pragma unroll
        for (int m = 0; m < M; m++) {
            af[m][0] = pack(s[m][2 * k][0], s[m][2 * k][1]);
            af[m][1] = pack(s[m][2 * k][2], s[m][2 * k][3]);
            af[m][2] = pack(s[m][2 * k + 1][0], s[m][2 * k + 1][1]);
            af[m][3] = pack(s[m][2 * k + 1][2], s[m][2 * k + 1][3]);
        }
#pragma unroll
        for (int d = 0; d < D / 16; d++) {
            uint32_t bf[4];
            tile_b_columns<D>(bf, b, 16 * k, 16 * d);
#pragma unroll
            for (int m = 0; m < M; m++) {
                multiply_add(acc[m][2 * d], af[m], bf[0], bf[1]);
                multiply_add(acc[m][2 * d + 1], af[m], bf[2], bf[3]);
            }
        }
    }
}

#endif
