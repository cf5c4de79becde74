/* SPDX-License-Identifier: Apache-2.0 */
/* Products of each expert's rows, in one launch: a block finds the expert of its tile from starts,
 * and blocks that have none end. FLOPs: 2 n k for each row; limit: the rate of mma.sync, about
 * two thirds of that of wgmma, which grouped_sm90.cu uses. */
#include "grouped.cuh"
#include "hopper.cuh"

/* ---- bf16, by tensor cores ---- */
enum { BM = 128, BN = 128, BK = 64, STAGES = 3, WARP_M = 64, WARP_N = 32 };

/* An operand's tile of BK of the depth by 128: with DEEP rows of BK elements each, else BK rows. */
template <bool DEEP> struct operand {
    enum { D = DEEP ? BK : BM, ROWS = DEEP ? BM : BK, SIZE = tile<D>::STRIDE * ROWS };
};
static_assert(BM == BN, "both operands have tiles of one shape");

/* Starts copying a tile; elements beyond `rows` rows and `columns` columns, multiples of 8, become
 * zeros. */
template <int D, int ROWS>
static __device__ __forceinline__ void copy_part(bf16 *dst, const bf16 *src, int64_t stride,
                                                 int64_t rows, int64_t columns)
{
    constexpr int CHUNKS = tile<D>::CHUNKS;
#pragma unroll
    for (int i = threadIdx.x; i < ROWS * CHUNKS; i += THREADS) {
        const int row = i / CHUNKS, at = i % CHUNKS * 8;
        const bool ok = row < rows && at < columns;
        copy_async(dst + row * tile<D>::STRIDE + at, src + (ok ? row * stride + at : 0), ok);
    }
}

/* Starts copying the tile of 128 rows (or columns) from `first` on and of the depth from `at` on of
 * an operand stored [size,depth] if DEEP, else [depth,size], with rows of `stride` elements. */
template <bool DEEP>
static __device__ __forceinline__ void copy_operand(bf16 *dst, const bf16 *x, int64_t stride,
                                                    int64_t first, int64_t size, int64_t at,
                                                    int64_t depth)
{
    typedef operand<DEEP> O;
    const int64_t rows = DEEP ? size - first : depth - at;
    const int64_t columns = DEEP ? depth - at : size - first;
    x += DEEP ? first * stride + at : at * stride + first;
    copy_part<O::D, O::ROWS>(dst, x, stride, rows, columns);
}

/* Loads the operand a of multiply_add from a tile of rows of the depth: rows of a are columns
 * [col, col + 16) of the tile, its columns are rows [row, row + 16). */
template <int D>
static __device__ __forceinline__ void tile_a_columns(uint32_t r[4], const bf16 *t, int row,
                                                      int col)
{
    const int lane = threadIdx.x % 32;
    load_matrices_transposed(r, t + (row + lane % 8 + lane / 16 * 8) * tile<D>::STRIDE + col +
                                    (lane / 8 & 1) * 8);
}

/* Adds the product of a stage's tiles to the 64 x 32 sums of a warp. */
template <bool A, bool B>
static __device__ __forceinline__ void multiply(float sum[4][4][4], const bf16 *a, const bf16 *b,
                                                int m, int n)
{
#pragma unroll
    for (int k = 0; k < BK; k += 16) {
        uint32_t af[4], bf[2][4];
#pragma unroll
        for (int j = 0; j < 2; j++)
            if (B)
                tile_b_rows<operand<B>::D>(bf[j], b, n + 16 * j, k);
            else
                tile_b_columns<operand<B>::D>(bf[j], b, k, n + 16 * j);
#pragma unroll
        for (int i = 0; i < 4; i++) {
            if (A)
                tile_a<operand<A>::D>(af, a, m + 16 * i, k);
            else
                tile_a_columns<operand<A>::D>(af, a, k, m + 16 * i);
#pragma unroll
            for (int j = 0; j < 4; j++)
                multiply_add(sum[i][j], af, bf[j / 2][j % 2 * 2], bf[j / 2][j % 2 * 2 + 1]);
        }
    }
}

/* A: rows of a are stored, else columns; B: columns of b are stored, else rows. */
template <bool A, bool B, typename C>
__global__ void __launch_bounds__(THREADS, 2) grouped_tiles(const struct op_grouped a)
{
    extern __shared__ __align__(16) bf16 tiles[];
    constexpr int STAGE = operand<A>::SIZE + operand<B>::SIZE;
    const part p = find_part(a, BM, BN);
    if (p.row >= p.m || (p.depth == 0 && a.accumulate)) return;
    const int warp = threadIdx.x / 32, m = warp % 2 * WARP_M, n = warp / 2 * WARP_N;
    const int64_t steps = (p.depth + BK - 1) / BK;
    auto copy = [&](int64_t step) {
        bf16 *const to = tiles + step % STAGES * STAGE;
        if (step < steps) {
            copy_operand<A>(to, (const bf16 *)a.a + p.a, A ? p.depth : p.m, p.row, p.m, step * BK,
                            p.depth);
            copy_operand<B>(to + operand<A>::SIZE, (const bf16 *)a.b + p.b, B ? p.depth : p.n,
                            p.column, p.n, step * BK, p.depth);
        }
        copy_commit();
    };
    float sum[4][4][4] = {};
    for (int step = 0; step < STAGES - 1; step++) copy(step);
    for (int64_t step = 0; step < steps; step++) {
        copy_wait<STAGES - 2>();
        __syncthreads();
        copy(step + STAGES - 1);
        const bf16 *const at = tiles + step % STAGES * STAGE;
        multiply<A, B>(sum, at, at + operand<A>::SIZE, m, n);
    }
#pragma unroll
    for (int i = 0; i < 4; i++)
        put_sums<C, 4>(a, p, sum[i], p.row + m + 16 * i, p.column + n);
}

template <bool A, bool B, typename C>
static int start_tiles(const struct op_grouped *a, cudaStream_t stream)
{
    const int bytes = STAGES * (operand<A>::SIZE + operand<B>::SIZE) * (int)sizeof(bf16);
    const int rc = cudaFuncSetAttribute(grouped_tiles<A, B, C>,
                                        cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
    if (rc) return rc;
    grouped_tiles<A, B, C><<<grid_of(a, BM, BN), THREADS, bytes, stream>>>(*a);
    return cudaGetLastError();
}

/* ---- fp32, and bf16 whose rows begin at odd addresses ---- */
enum { PLAIN = 64, PLAIN_K = 16 };

/* A thread has 4 x 4 sums, of rows and columns 16 apart. */
template <typename T, typename C> __global__ void grouped_plain(const struct op_grouped a)
{
    __shared__ float left[PLAIN_K][PLAIN + 1], right[PLAIN_K][PLAIN + 1];
    const part p = find_part(a, PLAIN, PLAIN);
    if (p.row >= p.m || (p.depth == 0 && a.accumulate)) return;
    const T *const x = (const T *)a.a + p.a, *const y = (const T *)a.b + p.b;
    const int64_t a_row = a.weights ? 1 : a.k, a_step = a.weights ? a.k : 1;
    const bool turned = a.tb && !a.weights;
    const int64_t b_column = turned ? a.k : 1, b_step = turned ? 1 : a.n;
    const int m = threadIdx.x / 16, n = threadIdx.x % 16;
    float sum[4][4] = {};
    for (int64_t at = 0; at < p.depth; at += PLAIN_K) {
        for (int i = threadIdx.x; i < PLAIN * PLAIN_K; i += THREADS) {
            /* successive threads read successive elements */
            const int ai = a.weights ? i % PLAIN : i / PLAIN_K,
                      ak = a.weights ? i / PLAIN : i % PLAIN_K;
            const int bi = turned ? i / PLAIN_K : i % PLAIN, bk = turned ? i % PLAIN_K : i / PLAIN;
            const int64_t row = p.row + ai, column = p.column + bi;
            left[ak][ai] =
                row < p.m && at + ak < p.depth ? to_float(x[row * a_row + (at + ak) * a_step]) : 0;
            right[bk][bi] = column < p.n && at + bk < p.depth
                                ? to_float(y[column * b_column + (at + bk) * b_step])
                                : 0;
        }
        __syncthreads();
        for (int k = 0; k < PLAIN_K; k++)
#pragma unroll
            for (int i = 0; i < 4; i++)
#pragma unroll
                for (int j = 0; j < 4; j++) sum[i][j] += left[k][m + 16 * i] * right[k][n + 16 * j];
        __syncthreads();
    }
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) {
            const int64_t row = p.row + m + 16 * i, column = p.column + n + 16 * j;
            if (row >= p.m || column >= p.n) continue;
            C *const c = (C *)a.c + p.c + row * p.n + column;
            from_float(*c, a.accumulate ? to_float(*c) + sum[i][j] : sum[i][j]);
        }
}

static int run_plain(const struct op_grouped *a, cudaStream_t stream)
{
    return by_type(a->ab_dtype, [&](auto t) {
        return by_type(a->c_dtype, [&](auto u) {
            grouped_plain<decltype(t), decltype(u)>
                <<<grid_of(a, PLAIN, PLAIN), THREADS, 0, stream>>>(*a);
            return (int)cudaGetLastError();
        });
    });
}

static bool fits_tiles(const struct op_grouped *a)
{
    const size_t all = (uintptr_t)a->a | (uintptr_t)a->b | (uintptr_t)a->c;
    return a->ab_dtype == DT_BF16 && all % 16 == 0 && a->n % 8 == 0 && a->k % 8 == 0;
}

int kernel_grouped(const struct op_grouped *a, const struct kernel_context *c)
{
    if (a->E == 0 || a->n == 0 || (a->weights ? a->k == 0 : a->rows == 0)) return 0;
    if (!fits_tiles(a)) return run_plain(a, c->stream);
    if (a->rows > 0 && a->k > 0 && is_hopper()) return grouped_hopper(a, c->stream);
    return by_type(a->c_dtype, [&](auto u) {
        typedef decltype(u) C;
        return a->weights ? start_tiles<false, false, C>(a, c->stream)
               : a->tb    ? start_tiles<true, true, C>(a, c->stream)
                          : start_tiles<true, false, C>(a, c->stream);
    });
}
