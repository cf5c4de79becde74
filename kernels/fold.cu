/* SPDX-License-Identifier: Apache-2.0 */
/* The reduction of the ranks' blocks in rank order.
 * Bytes: ranks + 1 times the block; limit: 85 % of the copy rate. */
#include "fold.h"

#include "element.cuh"

static __device__ __forceinline__ double to_sum(double x) { return x; }
static __device__ __forceinline__ float to_sum(float x) { return x; }
static __device__ __forceinline__ float to_sum(bf16 x) { return __bfloat162float(x); }
static __device__ __forceinline__ void from_sum(double &y, double x) { y = x; }
static __device__ __forceinline__ void from_sum(float &y, float x) { y = x; }
/* A NaN keeps its upper bits, as on the host. */
static __device__ __forceinline__ void from_sum(bf16 &y, float x)
{
    const uint32_t u = __float_as_uint(x);
    y = isnan(x) ? __ushort_as_bfloat16((unsigned short)(u >> 16 | 0x40)) : __float2bfloat16_rn(x);
}

/* One thread reduces N successive elements. */
template <typename T, int N> __global__ void fold(const struct fold a)
{
    typedef decltype(to_sum(T())) S;
    for (int64_t i = grid_index(); i < (int64_t)a.n / N; i += grid_size()) {
        S y[N];
        for (int r = 0; r < a.ranks; r++) {
            const T *const block =
                r == a.rank ? (const T *)a.own
                            : (const T *)a.others + (size_t)(r - (r > a.rank)) * a.n;
            const pack_of<T, N> x = *(const pack_of<T, N> *)(block + i * N);
#pragma unroll
            for (int k = 0; k < N; k++) {
                const S v = to_sum(x.v[k]);
                y[k] = r == 0 ? v : !a.largest ? y[k] + v : v > y[k] ? v : y[k];
            }
        }
        pack_of<T, N> out;
#pragma unroll
        for (int k = 0; k < N; k++) from_sum(out.v[k], y[k]);
        *(pack_of<T, N> *)((T *)a.into + i * N) = out;
    }
}

template <typename T> static int launch(const struct fold *a, cudaStream_t stream)
{
    constexpr int N = 16 / sizeof(T);
    const int64_t n = (int64_t)a->n;
    if (aligned(a->into, n, sizeof(T)) && aligned(a->own, n, sizeof(T)) &&
        aligned(a->others, n, sizeof(T)))
        fold<T, N><<<blocks_for(n / N), THREADS, 0, stream>>>(*a);
    else
        fold<T, 1><<<blocks_for(n), THREADS, 0, stream>>>(*a);
    return (int)cudaGetLastError();
}

int kernel_fold(const struct fold *a, cudaStream_t stream)
{
    switch (a->type) {
    case DT_F32:
        return launch<float>(a, stream);
    case DT_BF16:
        return launch<bf16>(a, stream);
    case DT_F64:
        return launch<double>(a, stream);
    default:
        return cudaErrorInvalidValue;
    }
}
