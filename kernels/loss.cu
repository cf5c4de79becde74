/* SPDX-License-Identifier: Apache-2.0 */
/* Softmax cross-entropy, argmax, and sums of whole arrays. One block per row of logits. Bytes: the
 * logits twice (the second pass from the cache where a row fits), dlogits once. */
#include "cap.cuh"
#include "element.cuh"
#include "ops/cuda_rules.h"

/* The running maximum and the sum of exp(x - maximum). */
struct log_sum {
    float max, sum;
    __device__ __forceinline__ void take(float x)
    {
        if (x > max) {
            sum = sum * __expf(max - x) + 1;
            max = x;
        } else {
            sum += __expf(x - max);
        }
    }
};

/* Returns the log_sum of a row of V logits to every thread of the block; shared: 32 floats. */
template <int N, bool CAP, typename L>
static __device__ struct log_sum row_log_sum(const L *x, int64_t V, float cap, float *shared)
{
    struct log_sum own = {-INFINITY, 0};
    float v[N];
    for (int64_t j = threadIdx.x * N; j < V; j += blockDim.x * N) {
        load<L, N>(v, x + j);
#pragma unroll
        for (int k = 0; k < N; k++) own.take(capped<CAP>(v[k], cap));
    }
    const float max = block_max(own.max, shared);
    const float sum = own.max == -INFINITY ? 0 : own.sum * __expf(own.max - max);
    return {max, block_sum(sum, shared)};
}

/* Returns the log_sum of row t from the parts of all ranks in order; *hit: the target's logit. */
static __device__ struct log_sum joined(const struct op_xent &a, int64_t t, float *hit)
{
    struct log_sum r = {-INFINITY, 0};
    const float *const part = (const float *)a.parts + t * 3;
    for (int i = 0; i < a.ranks; i++) r.max = fmaxf(r.max, part[i * a.n * 3]);
    *hit = 0;
    for (int i = 0; i < a.ranks; i++) {
        const float *const p = part + i * a.n * 3;
        r.sum += p[1] * __expf(p[0] - r.max);
        *hit += p[2];
    }
    return r;
}

/* T: type of dlogits; L: type of logits. */
template <typename T, typename L, int N, bool CAP> __global__ void xent(const struct op_xent a)
{
    __shared__ float part[32];
    const int64_t t = blockIdx.x;
    const L *const x = (const L *)a.logits + t * a.V;
    const int64_t target = a.target[t] - (a.parts ? a.first : 0); /* in x */
    const bool counts = a.target[t] >= 0 && a.target[t] < (a.parts ? a.all : a.V);
    const float cap = (float)a.cap;
    float v[N], hit = 0;
    struct log_sum row;
    if (a.parts) {
        row = joined(a, t, &hit);
    } else {
        row = row_log_sum<N, CAP>(x, a.V, cap, part);
        if (counts) hit = capped<CAP>(to_float(x[target]), cap);
    }
    const float base = row.max + logf(row.sum);
    if (threadIdx.x == 0) ((float *)a.nll)[t] = counts ? base - hit : 0;
    if (!a.dlogits) return;
    __syncthreads(); /* dlogits may alias logits: read x[target] before it is written */
    const float scale = counts ? ((const float *)a.weight)[t] * (float)a.scale : 0;
    T *const d = (T *)a.dlogits + t * a.V;
    for (int64_t j = threadIdx.x * N; j < a.V; j += blockDim.x * N) {
        load<L, N>(v, x + j);
#pragma unroll
        for (int k = 0; k < N; k++) {
            const float y = capped<CAP>(v[k], cap);
            v[k] = scale * (__expf(y - base) - (j + k == target)) * cap_slope<CAP>(y, cap);
        }
        store<T, N>(d + j, v);
    }
}

template <bool CAP> static int launch_xent(const struct op_xent *a, cudaStream_t stream)
{
    return by_type(a->d_dtype, [&](auto t) {
        return by_type(a->logits_dtype, [&](auto l) {
            typedef decltype(t) T;
            typedef decltype(l) L;
            const bool fast = aligned(a->logits, a->V, sizeof(L)) &&
                              (!a->dlogits || aligned(a->dlogits, a->V, sizeof(T)));
            if (fast)
                xent<T, L, 4, CAP><<<(unsigned)a->n, 512, 0, stream>>>(*a);
            else
                xent<T, L, 1, CAP><<<(unsigned)a->n, 512, 0, stream>>>(*a);
            return (int)cudaGetLastError();
        });
    });
}

int kernel_xent(const struct op_xent *a, const struct kernel_context *c)
{
    if (a->n == 0) return 0;
    return a->cap > 0 ? launch_xent<true>(a, c->stream) : launch_xent<false>(a, c->stream);
}

template <typename L, int N, bool CAP> __global__ void xent_part(const struct op_xent_part a)
{
    __shared__ float shared[32];
    const int64_t t = blockIdx.x, target = a.target[t] - a.first;
    const L *const x = (const L *)a.logits + t * a.V;
    const struct log_sum row = row_log_sum<N, CAP>(x, a.V, (float)a.cap, shared);
    float *const part = (float *)a.part + t * 3;
    if (threadIdx.x > 0) return;
    part[0] = row.max;
    part[1] = row.sum;
    const bool here = target >= 0 && target < a.V;
    part[2] = here ? capped<CAP>(to_float(x[target]), (float)a.cap) : 0;
}

template <bool CAP> static int launch_part(const struct op_xent_part *a, cudaStream_t stream)
{
    return by_type(a->logits_dtype, [&](auto l) {
        typedef decltype(l) L;
        if (aligned(a->logits, a->V, sizeof(L)))
            xent_part<L, 4, CAP><<<(unsigned)a->n, 512, 0, stream>>>(*a);
        else
            xent_part<L, 1, CAP><<<(unsigned)a->n, 512, 0, stream>>>(*a);
        return (int)cudaGetLastError();
    });
}

int kernel_xent_part(const struct op_xent_part *a, const struct kernel_context *c)
{
    if (a->n == 0) return 0;
    return a->cap > 0 ? launch_part<true>(a, c->stream) : launch_part<false>(a, c->stream);
}

template <typename L> __global__ void argmax(const struct op_argmax a)
{
    __shared__ float best[512];
    __shared__ int32_t at[512];
    const L *const x = (const L *)a.logits + (int64_t)blockIdx.x * a.V;
    float most = -INFINITY;
    int32_t where = INT32_MAX;
    for (int64_t j = threadIdx.x; j < a.V; j += blockDim.x)
        if (to_float(x[j]) > most || where == INT32_MAX) most = to_float(x[j]), where = (int32_t)j;
    best[threadIdx.x] = most;
    at[threadIdx.x] = where;
    for (int k = blockDim.x / 2; k; k /= 2) {
        __syncthreads();
        if (threadIdx.x >= k) continue;
        const int o = threadIdx.x + k;
        if (best[o] > best[threadIdx.x] ||
            (best[o] == best[threadIdx.x] && at[o] < at[threadIdx.x])) {
            best[threadIdx.x] = best[o];
            at[threadIdx.x] = at[o];
        }
    }
    if (threadIdx.x == 0) a.y[blockIdx.x] = at[0];
}

int kernel_argmax(const struct op_argmax *a, const struct kernel_context *c)
{
    if (a->n == 0) return 0;
    return by_type(a->dtype, [&](auto l) {
        argmax<decltype(l)><<<(unsigned)a->n, 512, 0, c->stream>>>(*a);
        return (int)cudaGetLastError();
    });
}

/* ---- sums in double, by fixed parts ---- */
enum { SUM_BLOCKS = CUDA_SUM_BLOCKS };

template <typename T> __global__ void sum_parts(const struct op_sum a, double *part)
{
    __shared__ double own[THREADS];
    double sum = 0;
    for (int64_t i = grid_index(); i < a.n; i += grid_size()) {
        const double x = to_float(((const T *)a.x)[i]);
        sum += a.squares ? x * x : a.w ? x * (double)to_float(((const T *)a.w)[i]) : x;
    }
    own[threadIdx.x] = sum;
    for (int k = THREADS / 2; k; k /= 2) {
        __syncthreads();
        if (threadIdx.x < k) own[threadIdx.x] += own[threadIdx.x + k];
    }
    if (threadIdx.x == 0) part[blockIdx.x] = own[0];
}

static __global__ void sum_all(double *sum, const double *part, int n)
{
    __shared__ double own[THREADS];
    double x = 0;
    for (int i = threadIdx.x; i < n; i += THREADS) x += part[i];
    own[threadIdx.x] = x;
    for (int k = THREADS / 2; k; k /= 2) {
        __syncthreads();
        if (threadIdx.x < k) own[threadIdx.x] += own[threadIdx.x + k];
    }
    if (threadIdx.x == 0) *sum += own[0];
}

int kernel_sum(const struct op_sum *a, const struct kernel_context *c)
{
    if (a->n == 0) return 0;
    const int rc = by_type(a->dtype, [&](auto t) {
        sum_parts<decltype(t)><<<SUM_BLOCKS, THREADS, 0, c->stream>>>(*a, (double *)c->work);
        return (int)cudaGetLastError();
    });
    if (rc) return rc;
    sum_all<<<1, THREADS, 0, c->stream>>>(a->sum, (const double *)c->work, SUM_BLOCKS);
    return cudaGetLastError();
}
