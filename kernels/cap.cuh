/* SPDX-License-Identifier: Apache-2.0 */
/* Soft caps: cap tanh(x / cap), of scores and of logits. */
#ifndef SFT_KERNELS_CAP_CUH
#define SFT_KERNELS_CAP_CUH

#include <cuda_runtime.h>

/* The error is 2e-7, absolute. */
static __device__ __forceinline__ float tanh_fast(float x)
{
    return 1 - __fdividef(2.0f, __expf(2 * x) + 1);
}

/* The value of a logit, with CAP under its cap. */
template <bool CAP> static __device__ __forceinline__ float capped(float x, float cap)
{
    return CAP ? cap * tanh_fast(x / cap) : x;
}
/* The derivative of capped() where it has the value y. */
template <bool CAP> static __device__ __forceinline__ float cap_slope(float y, float cap)
{
    return CAP ? 1 - y / cap * (y / cap) : 1;
}

/* Replaces the scores of a warp by tanh(s * scale / cap); `scale` is scale / cap. */
template <int M, int N>
static __device__ __forceinline__ void cap_scores(float s[M][N / 8][4], float scale)
{
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
        for (int n = 0; n < N / 8; n++)
#pragma unroll
            for (int j = 0; j < 4; j++) s[m][n][j] = tanh_fast(s[m][n][j] * scale);
}

#endif
