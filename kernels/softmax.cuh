/* SPDX-License-Identifier: Apache-2.0 */
/* The running softmax of rows of scores that a warp holds as accumulators of products: lane l has
 * rows l / 4 and l / 4 + 8 of each 16, and of each 8 columns those at l % 4 * 2 and the next. */
#ifndef SFT_KERNELS_SOFTMAX_CUH
#define SFT_KERNELS_SOFTMAX_CUH

#include "attention.cuh"

template <int M> struct softmax {
    float max[M][2], sum[M][2];
    __device__ __forceinline__ softmax()
    {
#pragma unroll
        for (int m = 0; m < M; m++)
            for (int i = 0; i < 2; i++) max[m][i] = -INFINITY, sum[m][i] = 0;
    }
};

static __device__ __forceinline__ float quad_max(float x)
{
    x = fmaxf(x, __shfl_xor_sync(~0u, x, 1));
    return fmaxf(x, __shfl_xor_sync(~0u, x, 2));
}
static __device__ __forceinline__ float quad_sum(float x)
{
    x += __shfl_xor_sync(~0u, x, 1);
    return x + __shfl_xor_sync(~0u, x, 2);
}

/* Replaces s by exp2(scale s - row maximum) and takes it into the sums; shrink: the factor by which
 * sums of earlier keys fall short of the new maximum. */
template <int M, int N>
static __device__ __forceinline__ void softmax_step(struct softmax<M> &r, float s[M][N / 8][4],
                                                    float shrink[M][2], float scale)
{
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
        for (int i = 0; i < 2; i++) {
            float x = r.max[m][i];
#pragma unroll
            for (int n = 0; n < N / 8; n++) x = fmaxf(x, fmaxf(s[m][n][2 * i], s[m][n][2 * i + 1]));
            x = quad_max(x);
            const float base = x == -INFINITY ? 0 : x * scale;
            shrink[m][i] = exp2_fast(r.max[m][i] * scale - base);
            r.max[m][i] = x;
            float sum = r.sum[m][i] * shrink[m][i];
#pragma unroll
            for (int n = 0; n < N / 8; n++)
#pragma unroll
                for (int j = 2 * i; j < 2 * i + 2; j++) {
                    s[m][n][j] = exp2_fast(fmaf(s[m][n][j], scale, -base));
                    sum += s[m][n][j];
                }
            r.sum[m][i] = sum;
        }
}

template <int D, int M>
static __device__ __forceinline__ void softmax_shrink(float acc[M][D / 8][4],
                                                      const float shrink[M][2])
{
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
        for (int d = 0; d < D / 8; d++)
#pragma unroll
            for (int j = 0; j < 4; j++) acc[m][d][j] *= shrink[m][j / 2];
}

/* Returns the log of the sum of exp of row i of m; sum: r.sum over the quad. */
template <int M>
static __device__ __forceinline__ float softmax_log(const struct softmax<M> &r, int m, int i,
                                                    float sum, float scale)
{
    return sum > 0 ? (r.max[m][i] * scale + log2f(sum)) / LOG2E : -INFINITY;
}

/* Masks the keys from `key` on that the rows of this warp do not see; `row` is its first row. */
template <int M, int N>
static __device__ __forceinline__ void hide(float s[M][N / 8][4], const struct sight &see, int row,
                                            int key)
{
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const int r = row + 16 * m + lane / 4 + 8 * i;
            const int from = see.from(r), to = min(see.to(r), see.k_end);
#pragma unroll
            for (int n = 0; n < N / 8; n++)
#pragma unroll
                for (int j = 0; j < 2; j++) {
                    const int c = key + 8 * n + lane % 4 * 2 + j;
                    if (c < from || c >= to) s[m][n][2 * i + j] = -INFINITY;
                }
        }
}

#endif
