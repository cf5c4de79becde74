/* SPDX-License-Identifier: Apache-2.0 */
/* RMSNorm with the residual addition before it, and its gradient. One block per row. Bytes: each
 * operand once, except that the second pass of the gradient reads s from the cache; limit: 85 % of
 * the copy rate. */
#include "element.cuh"
#include "ops/cuda_rules.h"

static __device__ __forceinline__ int64_t row_at(int64_t row, int64_t H, int heads, int64_t stride)
{
    return heads > 0 ? row / heads * stride + row % heads * H : row * H;
}

/* T: type of y and w; S: type of x, r and s. N: elements that a thread handles at once. */
template <typename T, typename S, int N> __global__ void norm_forward(const struct op_rmsnorm a)
{
    __shared__ float part[32];
    const int64_t row = blockIdx.x, at = row_at(row, a.H, a.heads, a.stride), dense = row * a.H;
    const S *x = (const S *)a.x + at, *r = a.r ? (const S *)a.r + dense : NULL;
    S *s = a.s ? (S *)a.s + dense : NULL;
    float v[N], u[N], sum = 0;
    for (int64_t i = threadIdx.x * N; i < a.H; i += blockDim.x * N) {
        load<S, N>(v, x + i);
        if (r) load<S, N>(u, r + i);
#pragma unroll
        for (int k = 0; k < N; k++) {
            if (r) {
                S rounded;
                from_float(rounded, v[k] + u[k]);
                v[k] = to_float(rounded);
            }
            sum += v[k] * v[k];
        }
        if (s) store<S, N>(s + i, v);
    }
    const float rstd = 1 / sqrtf(block_sum(sum, part) / (float)a.H + (float)a.eps);
    if (a.rstd && threadIdx.x == 0) ((float *)a.rstd)[row] = rstd;
    T *y = (T *)a.y + at;
    for (int64_t i = threadIdx.x * N; i < a.H; i += blockDim.x * N) {
        load<S, N>(v, x + i);
        if (r) load<S, N>(u, r + i);
        float w[N];
        load<T, N>(w, (const T *)a.w + i);
#pragma unroll
        for (int k = 0; k < N; k++) {
            if (r) {
                S rounded;
                from_float(rounded, v[k] + u[k]);
                v[k] = to_float(rounded);
            }
            v[k] = v[k] * rstd * w[k];
        }
        store<T, N>(y + i, v);
    }
}

/* Computes dx of the rows blockIdx.x, blockIdx.x + gridDim.x, ...; their sum of dw goes to
 * partial[gridDim.x, H], where each thread owns the same columns for all rows. */
template <typename T, typename S, int N>
__global__ void norm_backward(const struct op_rmsnorm_grad a, float *partial, int64_t rows)
{
    __shared__ float part[32];
    float *const own = partial + (int64_t)blockIdx.x * a.H;
    if (a.dw)
        for (int64_t i = threadIdx.x * N; i < a.H; i += blockDim.x * N)
            for (int k = 0; k < N; k++) own[i + k] = 0;
    for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
        const int64_t at = row_at(row, a.H, a.heads, a.stride), dense = row * a.H;
        const float rstd = ((const float *)a.rstd)[row];
        float s[N], dy[N], w[N], r[N], sum = 0;
        for (int64_t i = threadIdx.x * N; i < a.H; i += blockDim.x * N) {
            load<S, N>(s, (const S *)a.s + at + i);
            load<T, N>(dy, (const T *)a.dy + at + i);
            load<T, N>(w, (const T *)a.w + i);
#pragma unroll
            for (int k = 0; k < N; k++) sum += dy[k] * w[k] * s[k] * rstd;
        }
        const float mean = block_sum(sum, part) / (float)a.H;
        for (int64_t i = threadIdx.x * N; i < a.H; i += blockDim.x * N) {
            float dx[N], y[N];
            load<S, N>(s, (const S *)a.s + at + i);
            load<T, N>(dy, (const T *)a.dy + at + i);
            load<T, N>(w, (const T *)a.w + i);
            if (a.dres) load<T, N>(r, (const T *)a.dres + at + i);
#pragma unroll
            for (int k = 0; k < N; k++) {
                const float n = s[k] * rstd;
                dx[k] = rstd * (dy[k] * w[k] - n * mean) + (a.dres ? r[k] : 0);
                y[k] = n * w[k];
                if (a.dw) own[i + k] += dy[k] * n;
            }
            if (a.y) store<T, N>((T *)a.y + dense + i, y);
            store<T, N>((T *)a.dx + at + i, dx);
        }
    }
}

/* Adds to y[n] the sum over the blocks of partial[blocks, n], in order. */
template <typename G> __global__ void add_partial(G *y, const float *partial, int64_t n, int blocks)
{
    for (int64_t i = grid_index(); i < n; i += grid_size()) {
        float sum = 0;
        for (int b = 0; b < blocks; b++) sum += partial[b * n + i];
        from_float(y[i], to_float(y[i]) + sum);
    }
}

int add_partial_sums(void *y, enum dtype type, const float *partial, int64_t n, int blocks,
                     cudaStream_t stream)
{
    return by_type(type, [&](auto g) {
        add_partial<<<blocks_for(n), THREADS, 0, stream>>>((decltype(g) *)y, partial, n, blocks);
        return (int)cudaGetLastError();
    });
}

static int threads_for(int64_t H, int N)
{
    const int64_t t = (H / N + 31) / 32 * 32;
    return (int)(t < 32 ? 32 : t > 512 ? 512 : t);
}

int kernel_rmsnorm(const struct op_rmsnorm *a, const struct kernel_context *c)
{
    const int64_t rows = norm_rows(a->T, a->heads), step = a->heads > 0 ? a->stride : a->H;
    if (rows == 0) return 0;
    return by_type(a->dtype, [&](auto t) {
        typedef decltype(t) T;
        const bool wide = a->wide || a->dtype == DT_F32;
        bool fast = aligned(a->x, a->H, sizeof(T)) && aligned(a->y, step, sizeof(T)) &&
                    aligned(a->w, a->H, sizeof(T)) && (!a->r || aligned(a->r, a->H, sizeof(T))) &&
                    (!a->s || aligned(a->s, a->H, sizeof(T)));
        auto run = [&](auto kernel, int N) {
            kernel<<<(unsigned)rows, threads_for(a->H, N), 0, c->stream>>>(*a);
            return (int)cudaGetLastError();
        };
        if (wide)
            return fast ? run(norm_forward<T, float, 4>, 4) : run(norm_forward<T, float, 1>, 1);
        return fast ? run(norm_forward<T, T, 16 / sizeof(T)>, 16 / sizeof(T))
                    : run(norm_forward<T, T, 1>, 1);
    });
}

int kernel_rmsnorm_grad(const struct op_rmsnorm_grad *a, const struct kernel_context *c)
{
    const int64_t rows = norm_rows(a->T, a->heads), step = a->heads > 0 ? a->stride : a->H;
    const int blocks = cuda_norm_blocks(rows);
    if (rows == 0) return 0;
    int rc = by_type(a->dtype, [&](auto t) {
        typedef decltype(t) T;
        const bool wide = a->wide || a->dtype == DT_F32;
        bool fast = aligned(a->s, step, sizeof(T)) && aligned(a->dy, step, sizeof(T)) &&
                    aligned(a->dx, a->H, sizeof(T)) && aligned(a->w, a->H, sizeof(T)) &&
                    (!a->dres || aligned(a->dres, step, sizeof(T))) &&
                    (!a->y || aligned(a->y, a->H, sizeof(T)));
        auto run = [&](auto kernel, int N) {
            kernel<<<(unsigned)blocks, threads_for(a->H, N), 0, c->stream>>>(*a, (float *)c->work,
                                                                             rows);
            return (int)cudaGetLastError();
        };
        if (wide)
            return fast ? run(norm_backward<T, float, 4>, 4) : run(norm_backward<T, float, 1>, 1);
        return fast ? run(norm_backward<T, T, 16 / sizeof(T)>, 16 / sizeof(T))
                    : run(norm_backward<T, T, 1>, 1);
    });
    if (rc || !a->dw) return rc;
    return add_partial_sums(a->dw, a->dw_dtype, (const float *)c->work, a->H, blocks, c->stream);
}
