/* SPDX-License-Identifier: Apache-2.0 */
/* Products of each expert's rows, in one launch: a block finds the expert of its tile from starts,
 * and blocks that have none end. FLOPs: 2 n k for each row; limit: the rate of mma.sync, about
 * two thirds of that of wgmma on compute capability 9.0. */
#include "element.cuh"
#include "tile.cuh"

enum { ALL = ~0u };

/* A tile of `rows` rows from row `first` on, all of expert e. */
struct place {
    int e, first, rows;
};

/* Returns tile number `tile` of up to `size` rows; its rows are 0 when there are not so many. Every
 * warp of a block finds the same. */
static __device__ __forceinline__ place find_rows(const int32_t *starts, int E, int tile, int size)
{
    const int lane = threadIdx.x % 32;
    int before = 0;
    for (int from = 0; from < E; from += 32) {
        const int e = from + lane, first = e < E ? starts[e] : 0;
        const int rows = e < E ? starts[e + 1] - first : 0, tiles = (rows + size - 1) / size;
        int sum = tiles;
#pragma unroll
        for (int k = 1; k < 32; k <<= 1) {
            const int x = __shfl_up_sync(ALL, sum, k);
            if (lane >= k) sum += x;
        }
        const unsigned behind = __ballot_sync(ALL, before + sum > tile);
        if (behind) {
            const int owner = __ffs((int)behind) - 1;
            const int at = (tile - before - __shfl_sync(ALL, sum - tiles, owner)) * size;
            return {from + owner, __shfl_sync(ALL, first, owner) + at,
                    min(size, __shfl_sync(ALL, rows, owner) - at)};
        }
        before += __shfl_sync(ALL, sum, 31);
    }
    return {0, 0, 0};
}

/* The part of one expert's product that a block computes: c[m,n] (+)= a[m,depth] b[depth,n] for
 * elements of c in rows [row, m) and columns [column, n). */
struct part {
    int64_t a, b, c; /* the first elements of the operands */
    int64_t m, n, depth;
    int64_t row, column;
};
static __device__ __forceinline__ part find_part(const struct op_grouped &a, int BM, int BN)
{
    part p = {};
    p.n = a.n;
    p.column = (int64_t)blockIdx.x * BN;
    if (a.weights) {
        const int e = (int)blockIdx.z, first = a.starts[e];
        p.a = first * a.k, p.b = first * a.n, p.c = e * a.k * a.n;
        p.m = a.k, p.depth = a.starts[e + 1] - first, p.row = (int64_t)blockIdx.y * BM;
    } else {
        const place x = find_rows(a.starts, a.E, (int)blockIdx.y, BM);
        p.a = x.first * a.k, p.b = x.e * a.k * a.n, p.c = x.first * a.n;
        p.m = x.rows, p.depth = a.k;
    }
    return p;
}

/* Blocks in x, y and z: columns; tiles of rows, at most one for each expert above their quotient;
 * experts of a gradient. */
static dim3 grid_of(const struct op_grouped *a, int BM, int BN)
{
    const int64_t columns = (a->n + BN - 1) / BN;
    return a->weights ? dim3((unsigned)columns, (unsigned)((a->k + BM - 1) / BM), (unsigned)a->E)
                      : dim3((unsigned)columns, (unsigned)(a->rows / BM + a->E));
}

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

/* Rounds, or adds, two successive sums to c. */
template <typename C>
static __device__ __forceinline__ void put_pair(C *c, float x, float y, bool accumulate)
{
    float pair[2] = {x, y}, was[2];
    if (accumulate) {
        load<C, 2>(was, c);
        pair[0] += was[0], pair[1] += was[1];
    }
    store<C, 2>(c, pair);
}

template <typename C>
static __device__ __forceinline__ void put_sums(const struct op_grouped &a, const part &p,
                                                const float sum[4][4][4], int m, int n)
{
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int i = 0; i < 8; i++) {
        const int64_t row = p.row + m + 8 * i + lane / 4;
        if (row >= p.m) continue;
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const int64_t column = p.column + n + 8 * j + lane % 4 * 2;
            if (column >= p.n) continue;
            put_pair((C *)a.c + p.c + row * p.n + column, sum[i / 2][j][i % 2 * 2],
                     sum[i / 2][j][i % 2 * 2 + 1], a.accumulate);
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
    put_sums<C>(a, p, sum, m, n);
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
    return by_type(a->c_dtype, [&](auto u) {
        typedef decltype(u) C;
        return a->weights ? start_tiles<false, false, C>(a, c->stream)
               : a->tb    ? start_tiles<true, true, C>(a, c->stream)
                          : start_tiles<true, false, C>(a, c->stream);
    });
}
