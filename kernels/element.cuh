/* SPDX-License-Identifier: Apache-2.0 */
/* Elements of any type as float, several at a time, and sums over a warp and over a block. */
#ifndef SFT_KERNELS_ELEMENT_CUH
#define SFT_KERNELS_ELEMENT_CUH

#include <cuda_bf16.h>
#include <cuda_runtime.h>
#include <math.h>

#include "kernels.h"

typedef __nv_bfloat16 bf16;

static __device__ __forceinline__ float to_float(float x) { return x; }
static __device__ __forceinline__ float to_float(bf16 x) { return __bfloat162float(x); }
static __device__ __forceinline__ void from_float(float &y, float x) { y = x; }
static __device__ __forceinline__ void from_float(bf16 &y, float x) { y = __float2bfloat16_rn(x); }

/* N successive elements, read and written in one access where they take 16 bytes. */
template <typename T, int N> struct __align__(N * sizeof(T)) pack_of { T v[N]; };
template <typename T, int N> static __device__ __forceinline__ void load(float y[N], const T *x)
{
    const pack_of<T, N> p = *(const pack_of<T, N> *)x;
#pragma unroll
    for (int i = 0; i < N; i++) y[i] = to_float(p.v[i]);
}
template <typename T, int N> static __device__ __forceinline__ void store(T *y, const float x[N])
{
    pack_of<T, N> p;
#pragma unroll
    for (int i = 0; i < N; i++) from_float(p.v[i], x[i]);
    *(pack_of<T, N> *)y = p;
}

static __device__ __forceinline__ float warp_sum(float x)
{
#pragma unroll
    for (int k = 16; k; k >>= 1) x += __shfl_xor_sync(~0u, x, k);
    return x;
}
static __device__ __forceinline__ float warp_max(float x)
{
#pragma unroll
    for (int k = 16; k; k >>= 1) x = fmaxf(x, __shfl_xor_sync(~0u, x, k));
    return x;
}
/* Returns to every thread the sum over a block of whole warps; part: 32 floats of shared memory. */
static __device__ __forceinline__ float block_sum(float x, float *part)
{
    x = warp_sum(x);
    __syncthreads();
    if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = x;
    __syncthreads();
    return warp_sum(threadIdx.x % 32 < blockDim.x / 32 ? part[threadIdx.x % 32] : 0);
}
static __device__ __forceinline__ float block_max(float x, float *part)
{
    x = warp_max(x);
    __syncthreads();
    if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = x;
    __syncthreads();
    return warp_max(threadIdx.x % 32 < blockDim.x / 32 ? part[threadIdx.x % 32] : -INFINITY);
}

/* ---- launching ---- */
enum { THREADS = 256, MOST_BLOCKS = 132 * 16 };
/* Returns the number of blocks for n units of work; a block of THREADS threads handles `each` units
 * per iteration of a grid-wide loop. */
static inline unsigned blocks_for(int64_t n, int64_t each = THREADS)
{
    const int64_t b = (n + each - 1) / each;
    return (unsigned)(b < 1 ? 1 : b > MOST_BLOCKS ? MOST_BLOCKS : b);
}
static __device__ __forceinline__ int64_t grid_index()
{
    return (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
}
static __device__ __forceinline__ int64_t grid_size() { return (int64_t)gridDim.x * blockDim.x; }

/* Returns true if rows of n elements of `size` bytes at p can be accessed 16 bytes at a time. */
static inline bool aligned(const void *p, int64_t n, size_t size)
{
    return (uintptr_t)p % 16 == 0 && n * (int64_t)size % 16 == 0;
}

static inline size_t type_size(enum dtype t) { return t == DT_BF16 ? 2 : 4; }

/* Calls f with a value of the C++ type: f(float()) or f(bf16()). */
template <typename F> static int by_type(enum dtype t, F f)
{
    if (t == DT_F32) return f(float());
    if (t == DT_BF16) return f(bf16());
    return cudaErrorInvalidValue;
}

#endif
