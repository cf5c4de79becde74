/* SPDX-License-Identifier: Apache-2.0 */
/* Attention in fp32, and for shapes that the tensor-core kernels do not support: one warp per query
 * or key. The order of all sums is fixed. For checks, not for speed. */
#include "attention.cuh"
#include "element.cuh"

enum { MOST_DIM = 256, EACH = MOST_DIM / 32, WARPS = 4 };

/* A row of `dim` elements, spread over the lanes of a warp. */
struct row {
    float v[EACH];
};
template <typename T> static __device__ __forceinline__ row load_row(const T *x, int dim)
{
    row r;
#pragma unroll
    for (int k = 0; k < EACH; k++) {
        const int c = threadIdx.x % 32 + 32 * k;
        r.v[k] = c < dim ? to_float(x[c]) : 0;
    }
    return r;
}
template <typename T>
static __device__ __forceinline__ void store_row(T *y, const row &r, int dim, float scale)
{
#pragma unroll
    for (int k = 0; k < EACH; k++) {
        const int c = threadIdx.x % 32 + 32 * k;
        if (c < dim) from_float(y[c], r.v[k] * scale);
    }
}
static __device__ __forceinline__ float dot(const row &x, const row &y)
{
    float sum = 0;
#pragma unroll
    for (int k = 0; k < EACH; k++) sum += x.v[k] * y.v[k];
    return warp_sum(sum);
}
static __device__ __forceinline__ void add_scaled(row &y, const row &x, float a)
{
#pragma unroll
    for (int k = 0; k < EACH; k++) y.v[k] += a * x.v[k];
}

/* Returns the range of cu that row i lies in; -1: none. */
static __device__ __forceinline__ int document_of(const int32_t *cu, int docs, int64_t i)
{
    if (docs == 0 || i < cu[0] || i >= cu[docs]) return -1;
    int low = 0, high = docs;
    while (high - low > 1) {
        const int mid = (low + high) / 2;
        if (cu[mid] <= i)
            low = mid;
        else
            high = mid;
    }
    return low;
}

/* The score of a pair from its product. */
static __device__ __forceinline__ float score(const struct op_attention &a, float product)
{
    const float s = (float)a.scale * product, cap = (float)a.cap;
    return cap > 0 ? cap * tanhf(s / cap) : s;
}
/* The derivative of the score by scale * product, where it is s. */
static __device__ __forceinline__ float slope(const struct op_attention &a, float s)
{
    return a.cap > 0 ? cap_slope<true>(s, (float)a.cap) : 1;
}

template <typename T> __global__ void plain_forward(const struct op_attention a)
{
    const int64_t i = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32;
    const int head = blockIdx.y, kv_head = head / (a.heads / a.kv_heads);
    if (i >= a.Tq) return;
    const int doc = document_of(a.cu_q, query_ranges(a), i);
    row o = {};
    float max = -INFINITY, sum = 0;
    if (doc >= 0) {
        const struct sight see(a, doc);
        const row q = load_row((const T *)a.q + i * a.q_stride + head * a.dim, a.dim);
        for (int j = see.from((int)i), to = min(see.to((int)i), see.k_end); j < to; j++) {
            const int64_t at = j * a.kv_stride + kv_head * a.dim;
            const float s = score(a, dot(q, load_row((const T *)a.k + at, a.dim)));
            const float more = fmaxf(max, s), shrink = expf(max - more), p = expf(s - more);
#pragma unroll
            for (int k = 0; k < EACH; k++) o.v[k] *= shrink;
            sum = sum * shrink + p;
            add_scaled(o, load_row((const T *)a.v + at, a.dim), p);
            max = more;
        }
    }
    store_row((T *)a.o + i * a.o_stride + head * a.dim, o, a.dim, sum > 0 ? 1 / sum : 0);
    if (a.lse && threadIdx.x % 32 == 0 && doc >= 0)
        ((float *)a.lse)[head * a.Tq + i] = sum > 0 ? max + logf(sum) : -INFINITY;
}

struct plain_grad {
    struct op_attention f;
    const void *dout, *o, *lse;
    void *dq, *dk, *dv;
    bool wide;
};

template <typename T> __global__ void plain_dq(const struct plain_grad g)
{
    const struct op_attention &a = g.f;
    const int64_t i = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32;
    const int head = blockIdx.y, kv_head = head / (a.heads / a.kv_heads);
    if (i >= a.Tq) return;
    const int doc = document_of(a.cu_q, query_ranges(a), i);
    row dq = {};
    if (doc >= 0) {
        const struct sight see(a, doc);
        const int64_t at = i * a.o_stride + head * a.dim;
        const row q = load_row((const T *)a.q + i * a.q_stride + head * a.dim, a.dim);
        const row dout = load_row((const T *)g.dout + at, a.dim);
        const float delta = dot(dout, load_row((const T *)g.o + at, a.dim));
        const float lse = ((const float *)g.lse)[head * a.Tq + i];
        for (int j = see.from((int)i), to = min(see.to((int)i), see.k_end); j < to; j++) {
            const int64_t key = j * a.kv_stride + kv_head * a.dim;
            const row k = load_row((const T *)a.k + key, a.dim);
            const float s = score(a, dot(q, k)), p = expf(s - lse);
            const float dp = dot(dout, load_row((const T *)a.v + key, a.dim));
            add_scaled(dq, k, p * (dp - delta) * slope(a, s));
        }
    }
    store_row((T *)g.dq + i * a.q_stride + head * a.dim, dq, a.dim, (float)a.scale);
}

template <typename T> __global__ void plain_dkv(const struct plain_grad g)
{
    const struct op_attention &a = g.f;
    const int64_t j = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32;
    const int kv_head = blockIdx.y, group = a.heads / a.kv_heads;
    if (j >= a.Tk) return;
    const int doc = document_of(a.cu_k, a.docs, j);
    row dk = {}, dv = {};
    const int64_t key = j * a.kv_stride + kv_head * a.dim;
    if (doc >= 0) {
        const struct viewers see(a, doc);
        const row k = load_row((const T *)a.k + key, a.dim),
                  v = load_row((const T *)a.v + key, a.dim);
        const int from = max(see.q_begin, see.first_query((int)j)), to = see.last_query((int)j);
        for (int head = kv_head * group; head < (kv_head + 1) * group; head++)
            for (int i = from; i < to; i++) {
                const int64_t at = i * a.o_stride + head * a.dim;
                const row q = load_row((const T *)a.q + i * a.q_stride + head * a.dim, a.dim);
                const row dout = load_row((const T *)g.dout + at, a.dim);
                const float delta = dot(dout, load_row((const T *)g.o + at, a.dim));
                const float s = score(a, dot(q, k));
                const float p = expf(s - ((const float *)g.lse)[head * a.Tq + i]);
                add_scaled(dv, dout, p);
                add_scaled(dk, q, p * (dot(dout, v) - delta) * slope(a, s));
            }
    }
    if (g.wide) {
        store_row((float *)g.dk + key, dk, a.dim, (float)a.scale);
        store_row((float *)g.dv + key, dv, a.dim, 1);
    } else {
        store_row((T *)g.dk + key, dk, a.dim, (float)a.scale);
        store_row((T *)g.dv + key, dv, a.dim, 1);
    }
}

int attention_plain(const struct op_attention *a, cudaStream_t stream)
{
    const dim3 grid((unsigned)((a->Tq + WARPS - 1) / WARPS), (unsigned)a->heads);
    if (a->Tq == 0) return 0;
    if (a->dim > MOST_DIM) return cudaErrorInvalidValue;
    return by_type(a->dtype, [&](auto t) {
        plain_forward<decltype(t)><<<grid, 32 * WARPS, 0, stream>>>(*a);
        return (int)cudaGetLastError();
    });
}

int attention_grad_plain(const struct op_attention_grad *a, cudaStream_t stream)
{
    const struct op_attention *f = &a->fwd;
    const struct plain_grad g = {*f, a->dout, a->o, a->lse, a->dq, a->dk, a->dv, a->wide};
    const dim3 queries((unsigned)((f->Tq + WARPS - 1) / WARPS), (unsigned)f->heads);
    const dim3 keys((unsigned)((f->Tk + WARPS - 1) / WARPS), (unsigned)f->kv_heads);
    if (f->dim > MOST_DIM) return cudaErrorInvalidValue;
    return by_type(f->dtype, [&](auto t) {
        if (f->Tq) plain_dq<decltype(t)><<<queries, 32 * WARPS, 0, stream>>>(g);
        if (f->Tk) plain_dkv<decltype(t)><<<keys, 32 * WARPS, 0, stream>>>(g);
        return (int)cudaGetLastError();
    });
}
