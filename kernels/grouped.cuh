/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the kernels of experts' products: which expert and rows a block has, and how a warp
 * stores its sums. */
#ifndef SFT_KERNELS_GROUPED_CUH
#define SFT_KERNELS_GROUPED_CUH

#include "element.cuh"

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
    int e, first;    /* the expert; the first row of a, or of the depth */
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
        p.e = e, p.first = first;
        p.a = first * a.k, p.b = first * a.n, p.c = e * a.k * a.n;
        p.m = a.k, p.depth = a.starts[e + 1] - first, p.row = (int64_t)blockIdx.y * BM;
    } else {
        const place x = find_rows(a.starts, a.E, (int)blockIdx.y, BM);
        p.e = x.e, p.first = x.first;
        p.a = x.first * a.k, p.b = x.e * a.k * a.n, p.c = x.first * a.n;
        p.m = x.rows, p.depth = a.k;
    }
    return p;
}

/* Blocks in x, y and z: columns; tiles of rows, at most one for each expert above their quotient;
 * experts of a gradient. */
static inline dim3 grid_of(const struct op_grouped *a, int BM, int BN)
{
    const int64_t columns = (a->n + BN - 1) / BN;
    return a->weights ? dim3((unsigned)columns, (unsigned)((a->k + BM - 1) / BM), (unsigned)a->E)
                      : dim3((unsigned)columns, (unsigned)(a->rows / BM + a->E));
}

/* Stores, or adds to c, the sums d of 16 rows and 8 N columns from `row` and `column` on. Lane l has
 * rows l/4 and l/4 + 8, in d[j] columns 8 j + l%4*2 and the next. Neighbours exchange two sums each,
 * so that a lane has 4 successive columns. A row of c is read before any of it is written, so that
 * latencies overlap. */
template <typename C, int N>
static __device__ __forceinline__ void put_sums(const struct op_grouped &a, const part &p,
                                                float (&d)[N][4], int64_t row, int64_t column)
{
    const int lane = threadIdx.x % 32;
    const bool odd = lane & 1;
#pragma unroll
    for (int j = 0; j < N; j += 2)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const float got = __shfl_xor_sync(ALL, odd ? d[j][i] : d[j + 1][i], 1);
            (odd ? d[j][i] : d[j + 1][i]) = got;
        }
    column += 8 * odd + (lane & 2) * 2;
    const int columns = (int)(p.n - column);
#pragma unroll
    for (int half = 0; half < 2; half++) {
        const int64_t r = row + lane / 4 + 8 * half;
        C *const c = (C *)a.c + p.c + r * p.n + column;
        auto each = [&](auto f) {
#pragma unroll
            for (int j = 0; j < N; j += 2)
                if (r < p.m && 8 * j < columns)
                    f(c + 8 * j, &d[j][2 * half], &d[j + 1][2 * half]);
        };
        if (a.accumulate)
            each([](const C *c, float *x, float *y) {
                float was[4];
                load<C, 4>(was, c);
                x[0] += was[0], x[1] += was[1], y[0] += was[2], y[1] += was[3];
            });
        each([](C *c, const float *x, const float *y) {
            const float now[4] = {x[0], x[1], y[0], y[1]};
            store<C, 4>(c, now);
        });
    }
}

/* kernels/grouped_sm90.cu: bf16 operands whose rows are aligned to 16 bytes, on compute capability
 * 9.0; rows, n, k and E are above 0. Returns 0 or a cudaError_t. */
int grouped_hopper(const struct op_grouped *a, cudaStream_t stream);

#endif
