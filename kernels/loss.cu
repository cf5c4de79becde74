/* SPDX-License-Identifier: Apache-2.0 */
/* Softmax cross-entropy, argmax, and sums of whole arrays. One block a row of logits.
 * Bytes: the logits twice (the second pass from the cache where a row fits), dlogits once. */
#include "element.cuh"

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

template <typename T, int N> __global__ void xent(const struct op_xent a)
{
    __shared__ float part[32];
    const int64_t t = blockIdx.x;
    const float *const x = (const float *)a.logits + t * a.V;
    const int32_t target = a.target[t];
    const bool counts = target >= 0 && target < a.V;
    struct log_sum own = {-INFINITY, 0};
    float v[N];
    for (int64_t j = threadIdx.x * N; j < a.V; j += blockDim.x * N) {
        load<float, N>(v, x + j);
#pragma unroll
        for (int k = 0; k < N; k++) own.take(v[k]);
    }
    const float max = block_max(own.max, part);
    const float sum = block_sum(own.max == -INFINITY ? 0 : own.sum * __expf(own.max - max), part);
    const float base = max + logf(sum);
    if (threadIdx.x == 0) ((float *)a.nll)[t] = counts ? base - x[target] : 0;
    if (!a.dlogits) return;
    __syncthreads(); /* dlogits may be logits: x[target] is read before it is written */
    const float scale = counts ? ((const float *)a.weight)[t] * (float)a.scale : 0;
    T *const d = (T *)a.dlogits + t * a.V;
    for (int64_t j = threadIdx.x * N; j < a.V; j += blockDim.x * N) {
        load<float, N>(v, x + j);
#pragma unroll
        for (int k = 0; k < N; k++) v[k] = scale * (__expf(v[k] - base) - (j + k == target));
        store<T, N>(d + j, v);
    }
}

int kernel_xent(const struct op_xent *a, const struct kernel_context *c)
{
    if (a->n == 0) return 0;
    return by_type(a->d_dtype, [&](auto t) {
        typedef decltype(t) T;
        const bool fast =
            aligned(a->logits, a->V, 4) && (!a->dlogits || aligned(a->dlogits, a->V, sizeof(T)));
        if (fast)
            xent<T, 4><<<(unsigned)a->n, 512, 0, c->stream>>>(*a);
        else
            xent<T, 1><<<(unsigned)a->n, 512, 0, c->stream>>>(*a);
        return (int)cudaGetLastError();
    });
}

static __global__ void argmax(const struct op_argmax a)
{
    __shared__ float best[512];
    __shared__ int32_t at[512];
    const float *const x = (const float *)a.logits + (int64_t)blockIdx.x * a.V;
    float most = -INFINITY;
    int32_t where = INT32_MAX;
    for (int64_t j = threadIdx.x; j < a.V; j += blockDim.x)
        if (x[j] > most || where == INT32_MAX) most = x[j], where = (int32_t)j;
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
    argmax<<<(unsigned)a->n, 512, 0, c->stream>>>(*a);
    return cudaGetLastError();
}

/* ---- sums in double, by fixed parts ---- */
enum { SUM_BLOCKS = 528 };

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

size_t sum_work(const struct op_sum *) { return SUM_BLOCKS * sizeof(double); }

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
