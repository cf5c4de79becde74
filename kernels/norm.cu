/* SPDX-License-Identifier: Apache-2.0 */
/* RMSNorm with the residual addition before it, one block per row, and its gradient. Bytes: each
 * operand once; limit: 85 % of the copy rate. On an H200 the gradient has 95 % at 7B's shape. It
 * had 84 % while dres was read after the sum of a row, and eight warps a block summed the parts of
 * dw. */
#include "element.cuh"
#include "ops/cuda_rules.h"

static __device__ __forceinline__ int64_t row_at(int64_t row, int64_t H, int heads, int64_t stride)
{
    return heads > 0 ? row / heads * stride + row % heads * H : row * H;
}

/* Loads N floats, rounded to type T. */
template <typename T, int N>
static __device__ __forceinline__ void load_rounded(float v[N], const float *x)
{
    load<float, N>(v, x);
#pragma unroll
    for (int k = 0; k < N; k++) {
        T rounded;
        from_float(rounded, v[k]);
        v[k] = to_float(rounded);
    }
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
    sum = block_sum(sum, part) / (float)a.H;
    if (a.squares) sum = ((const float *)a.squares)[row] / (float)a.all;
    const float rstd = 1 / sqrtf(sum + (float)a.eps);
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
            v[k] = v[k] * rstd * (a.gain_offset + w[k]);
        }
        store<T, N>(y + i, v);
    }
}

/* The norm of a branch: x and y are float, s has type T, to which x is rounded first. */
template <typename T, int N> __global__ void norm_branch(const struct op_rmsnorm a)
{
    __shared__ float part[32];
    const int64_t row = blockIdx.x, at = row * a.H;
    const float *x = (const float *)a.x + at;
    T *s = a.s ? (T *)a.s + at : NULL;
    float v[N], w[N], sum = 0;
    for (int64_t i = threadIdx.x * N; i < a.H; i += blockDim.x * N) {
        load_rounded<T, N>(v, x + i);
#pragma unroll
        for (int k = 0; k < N; k++) sum += v[k] * v[k];
        if (s) store<T, N>(s + i, v);
    }
    const float rstd = 1 / sqrtf(block_sum(sum, part) / (float)a.H + (float)a.eps);
    if (a.rstd && threadIdx.x == 0) ((float *)a.rstd)[row] = rstd;
    float *y = (float *)a.y + at;
    for (int64_t i = threadIdx.x * N; i < a.H; i += blockDim.x * N) {
        load_rounded<T, N>(v, x + i); /* y may alias x: a thread has the same columns again */
        load<T, N>(w, (const T *)a.w + i);
#pragma unroll
        for (int k = 0; k < N; k++) v[k] = v[k] * rstd * (a.gain_offset + w[k]);
        store<float, N>(y + i, v);
    }
}

/* Computes the dot product of a row of a and of b in a block. */
template <typename T, int N> __global__ void row_dot(const struct op_row_dot a)
{
    __shared__ float part[32];
    const int64_t row = blockIdx.x, at = row * a.stride;
    float x[N], y[N], w[N], sum = 0;
    for (int64_t i = threadIdx.x * N; i < a.H; i += blockDim.x * N) {
        load<T, N>(x, (const T *)a.a + at + i);
        load<T, N>(y, (const T *)a.b + at + i);
        if (a.w) load<T, N>(w, (const T *)a.w + i);
#pragma unroll
        for (int k = 0; k < N; k++) sum += a.w ? x[k] * (a.gain_offset + w[k]) * y[k] : x[k] * y[k];
    }
    sum = block_sum(sum, part);
    if (threadIdx.x == 0) ((float *)a.y)[row] = sum;
}

/* Computes dx of the rows blockIdx.x, blockIdx.x + gridDim.x, ...; their sum of dw goes to
 * partial[gridDim.x, H]. A thread has PACKS x N columns, the same for all rows: a row is read once,
 * and dw is summed in registers. */
template <typename T, typename S, int N, int PACKS>
__global__ void __launch_bounds__(512)
    norm_backward(const struct op_rmsnorm_grad a, float *partial, int64_t rows)
{
    __shared__ float part[32];
    float dw[PACKS][N] = {};
    for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
        const int64_t at = row_at(row, a.H, a.heads, a.stride), dense = row * a.H;
        const float rstd = ((const float *)a.rstd)[row];
        float s[PACKS][N], dy[PACKS][N], w[N], sum = 0;
        pack_of<T, N> dres[PACKS] = {}; /* read before the sum is waited for */
#pragma unroll
        for (int p = 0; p < PACKS; p++) {
            const int64_t i = (p * blockDim.x + threadIdx.x) * N;
            if (i >= a.H) break;
            load<S, N>(s[p], (const S *)a.s + at + i);
            load<T, N>(dy[p], (const T *)a.dy + at + i);
            load<T, N>(w, (const T *)a.w + i);
            if (a.dres) dres[p] = *(const pack_of<T, N> *)((const T *)a.dres + at + i);
#pragma unroll
            for (int k = 0; k < N; k++) sum += dy[p][k] * (a.gain_offset + w[k]) * s[p][k] * rstd;
        }
        float mean = block_sum(sum, part) / (float)a.H;
        if (a.dots) mean = ((const float *)a.dots)[row] * rstd / (float)a.all;
#pragma unroll
        for (int p = 0; p < PACKS; p++) {
            const int64_t i = (p * blockDim.x + threadIdx.x) * N;
            if (i >= a.H) break;
            float dx[N], y[N];
            load<T, N>(w, (const T *)a.w + i);
#pragma unroll
            for (int k = 0; k < N; k++) {
                const float n = s[p][k] * rstd, gain = a.gain_offset + w[k];
                dx[k] = rstd * (dy[p][k] * gain - n * mean) + to_float(dres[p].v[k]);
                y[k] = n * gain;
                dw[p][k] += dy[p][k] * n;
            }
            if (a.y) store<T, N>((T *)a.y + dense + i, y);
            store<T, N>((T *)a.dx + at + i, dx);
        }
    }
    if (!a.dw) return;
#pragma unroll
    for (int p = 0; p < PACKS; p++) {
        const int64_t i = (p * blockDim.x + threadIdx.x) * N;
        if (i < a.H) store<float, N>(partial + (int64_t)blockIdx.x * a.H + i, dw[p]);
    }
}

/* The same for rows of any length, read twice; dw is summed in partial itself. */
template <typename T, typename S>
__global__ void norm_backward_long(const struct op_rmsnorm_grad a, float *partial, int64_t rows)
{
    __shared__ float part[32];
    float *const own = partial + (int64_t)blockIdx.x * a.H;
    for (int64_t i = threadIdx.x; a.dw && i < a.H; i += blockDim.x) own[i] = 0;
    for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
        const int64_t at = row_at(row, a.H, a.heads, a.stride);
        const S *const s = (const S *)a.s + at;
        const T *const dy = (const T *)a.dy + at, *const w = (const T *)a.w;
        const float rstd = ((const float *)a.rstd)[row];
        float sum = 0;
        for (int64_t i = threadIdx.x; i < a.H; i += blockDim.x)
            sum += to_float(dy[i]) * (a.gain_offset + to_float(w[i])) * to_float(s[i]) * rstd;
        float mean = block_sum(sum, part) / (float)a.H;
        if (a.dots) mean = ((const float *)a.dots)[row] * rstd / (float)a.all;
        for (int64_t i = threadIdx.x; i < a.H; i += blockDim.x) {
            const float n = to_float(s[i]) * rstd, d = to_float(dy[i]);
            const float gain = a.gain_offset + to_float(w[i]);
            const float more = a.dres ? to_float(((const T *)a.dres)[at + i]) : 0;
            if (a.dw) own[i] += d * n;
            if (a.y) from_float(((T *)a.y)[row * a.H + i], n * gain);
            from_float(((T *)a.dx)[at + i], rstd * (d * gain - n * mean) + more);
        }
    }
}

/* Adds to y[n] the sum over the blocks of partial[blocks, n]. A block has 32 columns; each of its
 * warps sums a part of the blocks in order, and the first adds these in order: one thread that sums
 * hundreds of parts would take longer than the kernel that made them. */
template <typename G> __global__ void add_partial(G *y, const float *partial, int64_t n, int blocks)
{
    __shared__ float sums[32][32];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
    const int from = blocks * warp / warps, to = blocks * (warp + 1) / warps;
    const int64_t i = (int64_t)blockIdx.x * 32 + lane;
    float sum = 0;
    if (i < n) {
#pragma unroll 8
        for (int b = from; b < to; b++) sum += partial[b * n + i];
    }
    sums[warp][lane] = sum;
    __syncthreads();
    if (warp > 0 || i >= n) return;
    for (int k = 1; k < warps; k++) sum += sums[k][lane];
    from_float(y[i], to_float(y[i]) + sum);
}

int add_partial_sums(void *y, enum dtype type, const float *partial, int64_t n, int blocks,
                     cudaStream_t stream)
{
    const int warps = blocks > 64 ? 32 : 8; /* each adds 8 parts or more */
    return by_type(type, [&](auto g) {
        add_partial<<<(unsigned)((n + 31) / 32), 32 * warps, 0, stream>>>((decltype(g) *)y, partial,
                                                                          n, blocks);
        return (int)cudaGetLastError();
    });
}

static int threads_for(int64_t H, int N)
{
    const int64_t t = (H / N + 31) / 32 * 32;
    return (int)(t < 32 ? 32 : t > 512 ? 512 : t);
}

static int start_branch(const struct op_rmsnorm *a, const struct kernel_context *c)
{
    return by_type(a->dtype, [&](auto t) {
        typedef decltype(t) T;
        auto run = [&](auto kernel, int N) {
            kernel<<<(unsigned)a->T, threads_for(a->H, N), 0, c->stream>>>(*a);
            return (int)cudaGetLastError();
        };
        const bool fast = aligned(a->x, a->H, sizeof(T)) && aligned(a->y, a->H, sizeof(T)) &&
                          aligned(a->w, a->H, sizeof(T)) &&
                          (!a->s || aligned(a->s, a->H, sizeof(T)));
        return fast ? run(norm_branch<T, 4>, 4) : run(norm_branch<T, 1>, 1);
    });
}

int kernel_row_dot(const struct op_row_dot *a, const struct kernel_context *c)
{
    if (a->T == 0) return 0;
    return by_type(a->dtype, [&](auto t) {
        typedef decltype(t) T;
        auto run = [&](auto kernel, int N) {
            kernel<<<(unsigned)a->T, threads_for(a->H, N), 0, c->stream>>>(*a);
            return (int)cudaGetLastError();
        };
        constexpr int N = 16 / sizeof(T);
        const bool fast = aligned(a->a, a->stride, sizeof(T)) &&
                          aligned(a->b, a->stride, sizeof(T)) && a->H % N == 0 &&
                          (!a->w || aligned(a->w, a->H, sizeof(T)));
        return fast ? run(row_dot<T, N>, N) : run(row_dot<T, 1>, 1);
    });
}

int kernel_rmsnorm(const struct op_rmsnorm *a, const struct kernel_context *c)
{
    const int64_t rows = norm_rows(a->T, a->heads), step = a->heads > 0 ? a->stride : a->H;
    if (rows == 0) return 0;
    if (a->branch) return start_branch(a, c);
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

/* Starts norm_backward with as few packs a thread as 512 threads need. */
template <typename T, typename S, int N>
static int start_backward(const struct op_rmsnorm_grad *a, int64_t rows, float *partial,
                          cudaStream_t stream)
{
    const int64_t packs = (a->H + N - 1) / N;
    auto run = [&](auto kernel) {
        kernel<<<(unsigned)cuda_norm_blocks(rows, a->H), threads_for(a->H, N), 0, stream>>>(
            *a, partial, rows);
        return (int)cudaGetLastError();
    };
    if (packs <= 512) return run(norm_backward<T, S, N, 1>);
    if (packs <= 1024) return run(norm_backward<T, S, N, 2>);
    if constexpr (N < 8) { /* else registers do not suffice */
        if (packs <= 2048) return run(norm_backward<T, S, N, 4>);
    }
    return run(norm_backward_long<T, S>);
}

int kernel_rmsnorm_grad(const struct op_rmsnorm_grad *a, const struct kernel_context *c)
{
    const int64_t rows = norm_rows(a->T, a->heads), step = a->heads > 0 ? a->stride : a->H;
    const int blocks = cuda_norm_blocks(rows, a->H);
    if (rows == 0) return 0;
    int rc = by_type(a->dtype, [&](auto t) {
        typedef decltype(t) T;
        const bool wide = a->wide || a->dtype == DT_F32;
        bool fast = aligned(a->s, step, sizeof(T)) && aligned(a->dy, step, sizeof(T)) &&
                    aligned(a->dx, a->H, sizeof(T)) && aligned(a->w, a->H, sizeof(T)) &&
                    (!a->dres || aligned(a->dres, step, sizeof(T))) &&
                    (!a->y || aligned(a->y, a->H, sizeof(T)));
        float *const partial = (float *)c->work;
        constexpr int N = 16 / sizeof(T);
        if (wide)
            return fast ? start_backward<T, float, N>(a, rows, partial, c->stream)
                        : start_backward<T, float, 1>(a, rows, partial, c->stream);
        return fast ? start_backward<T, T, N>(a, rows, partial, c->stream)
                    : start_backward<T, T, 1>(a, rows, partial, c->stream);
    });
    if (rc || !a->dw) return rc;
    return add_partial_sums(a->dw, a->dw_dtype, (const float *)c->work, a->H, blocks, c->stream);
}
