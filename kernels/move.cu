/* SPDX-License-Identifier: Apache-2.0 */
/* Operations that move or add rows: embedding and its gradient, gather, scatter, copies, bias
 * gradients. Bytes: each operand once; limit: 85 % of the copy rate. */
#include "element.cuh"
#include "ops/cuda_rules.h"

int add_partial_sums(void *y, enum dtype type, const float *partial, int64_t n, int blocks,
                     cudaStream_t stream);

/* Copies x row rows[t] (rows NULL: t) to y row t, or x row t to y row rows[t] when scattering. A
 * row has n units of type U. */
template <typename U>
__global__ void move_rows(U *y, const U *x, const int32_t *rows, int64_t count, int64_t n,
                          int64_t y_step, int64_t x_step, bool scatter)
{
    for (int64_t i = grid_index(); i < count * n; i += grid_size()) {
        const int64_t t = i / n, at = i % n, other = rows ? rows[t] : t;
        y[(scatter ? other : t) * y_step + at] = x[(scatter ? t : other) * x_step + at];
    }
}

struct rows {
    void *y;
    const void *x;
    const int32_t *rows;
    int64_t count;
    size_t bytes, y_stride, x_stride; /* units of a row */
    bool scatter;
};

template <typename U> static int move_units(const struct rows &r, cudaStream_t stream)
{
    const int64_t n = (int64_t)(r.bytes / sizeof(U));
    move_rows<U><<<blocks_for(r.count * n), THREADS, 0, stream>>>(
        (U *)r.y, (const U *)r.x, r.rows, r.count, n, (int64_t)(r.y_stride / sizeof(U)),
        (int64_t)(r.x_stride / sizeof(U)), r.scatter);
    return cudaGetLastError();
}

static int move_all(const struct rows &r, cudaStream_t stream)
{
    const size_t all = (uintptr_t)r.y | (uintptr_t)r.x | r.bytes | r.y_stride | r.x_stride;
    if (r.count == 0 || r.bytes == 0) return 0;
    if (all % 16 == 0) return move_units<uint4>(r, stream);
    if (all % 4 == 0) return move_units<uint32_t>(r, stream);
    return move_units<uint8_t>(r, stream);
}

/* Copies rows of n units of the ids [first, first + V); rows of other ids are 0. */
template <typename U>
__global__ void embed_rows(U *y, const U *w, const int32_t *ids, int64_t T, int64_t n,
                           int64_t first, int64_t V)
{
    for (int64_t i = grid_index(); i < T * n; i += grid_size()) {
        const int64_t row = ids[i / n] - first;
        y[i] = row >= 0 && row < V ? w[row * n + i % n] : U{};
    }
}

template <typename U> static int embed_units(const struct op_embed *a, cudaStream_t stream)
{
    const int64_t n = a->H * (int64_t)type_size(a->dtype) / (int64_t)sizeof(U);
    embed_rows<U><<<blocks_for(a->T * n), THREADS, 0, stream>>>((U *)a->y, (const U *)a->w, a->ids,
                                                                a->T, n, a->first, a->V);
    return cudaGetLastError();
}

int kernel_embed(const struct op_embed *a, const struct kernel_context *c)
{
    const size_t size = type_size(a->dtype);
    if (a->T == 0 || a->H == 0) return 0;
    if (aligned(a->y, a->H, size) && aligned(a->w, a->H, size))
        return embed_units<uint4>(a, c->stream);
    return size == 2 ? embed_units<uint16_t>(a, c->stream) : embed_units<uint32_t>(a, c->stream);
}

int kernel_gather(const struct op_gather *a, const struct kernel_context *c)
{
    const size_t bytes = (size_t)a->H * type_size(a->dtype);
    const struct rows r = {a->y, a->x, a->rows, a->n, bytes, bytes, bytes, false};
    return move_all(r, c->stream);
}

int kernel_scatter(const struct op_scatter *a, const struct kernel_context *c)
{
    const size_t bytes = (size_t)a->H * type_size(a->dtype);
    const struct rows r = {a->y, a->x, a->rows, a->n, bytes, bytes, bytes, true};
    const int rc = cudaMemsetAsync(a->y, 0, (size_t)a->T * bytes, c->stream);
    return rc ? rc : move_all(r, c->stream);
}

int kernel_copy_rows(const struct op_copy_rows *a, const struct kernel_context *c)
{
    const struct rows r = {a->y, a->x, NULL, a->rows, a->bytes, a->y_stride, a->x_stride, false};
    return move_all(r, c->stream);
}

int kernel_zero(const struct op_zero *a, const struct kernel_context *c)
{
    return cudaMemsetAsync(a->y, 0, a->bytes, c->stream);
}

/* A block adds the rows of one distinct id in order, N columns of type G per thread: ids run in
 * parallel and no sum depends on timing. Several rows are read before the first is added, so that
 * their latencies overlap where an id has many rows. */
enum { EMBED_THREADS = 128, EMBED_ROWS = 8 };
template <typename T, typename G, int N> __global__ void embed_back(const struct op_embed_grad a)
{
    const int64_t h = ((int64_t)blockIdx.y * EMBED_THREADS + threadIdx.x) * N;
    const int from = a.starts[blockIdx.x], to = a.starts[blockIdx.x + 1];
    const int64_t id = a.ids[a.order[from]] - a.first;
    if (h >= a.H || id < 0 || id >= a.V) return;
    G *dw = (G *)a.dw + id * a.H + h;
    const T *dy = (const T *)a.dy + h;
    float sum[N], row[EMBED_ROWS][N];
    load<G, N>(sum, dw);
    for (int k = from; k < to; k += EMBED_ROWS) {
#pragma unroll
        for (int r = 0; r < EMBED_ROWS; r++)
            if (k + r < to) load<T, N>(row[r], dy + a.order[k + r] * a.H);
#pragma unroll
        for (int r = 0; r < EMBED_ROWS; r++)
            for (int i = 0; k + r < to && i < N; i++) sum[i] += row[r][i];
    }
    store<G, N>(dw, sum);
}

int kernel_embed_grad(const struct op_embed_grad *a, const struct kernel_context *c)
{
    if (a->H == 0 || a->unique == 0) return 0;
    const bool wide = aligned(a->dy, a->H, 2) && aligned(a->dw, a->H, 2);
    const int64_t each = EMBED_THREADS * (wide ? 8 : 1);
    const dim3 grid((unsigned)a->unique, (unsigned)((a->H + each - 1) / each));
    return by_type(a->dtype, [&](auto t) {
        return by_type(a->dw_dtype, [&](auto g) {
            typedef decltype(t) T;
            typedef decltype(g) G;
            if (wide)
                embed_back<T, G, 8><<<grid, EMBED_THREADS, 0, c->stream>>>(*a);
            else
                embed_back<T, G, 1><<<grid, EMBED_THREADS, 0, c->stream>>>(*a);
            return (int)cudaGetLastError();
        });
    });
}

/* ---- bias ---- */
enum { BIAS_PARTS = CUDA_BIAS_PARTS };

/* partial[part, n]: sums over the rows of the part, in order. */
template <typename T> __global__ void bias_back(const struct op_bias_grad a, float *partial)
{
    const int64_t column = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    const int64_t from = a.T * blockIdx.y / gridDim.y, to = a.T * (blockIdx.y + 1) / gridDim.y;
    if (column >= a.n) return;
    float sum = 0;
    for (int64_t t = from; t < to; t++) sum += to_float(((const T *)a.dy)[t * a.n + column]);
    partial[blockIdx.y * a.n + column] = sum;
}

int kernel_bias_grad(const struct op_bias_grad *a, const struct kernel_context *c)
{
    if (a->n == 0 || a->T == 0) return 0;
    const dim3 grid((unsigned)((a->n + THREADS - 1) / THREADS), BIAS_PARTS);
    const int rc = by_type(a->dtype, [&](auto t) {
        bias_back<decltype(t)><<<grid, THREADS, 0, c->stream>>>(*a, (float *)c->work);
        return (int)cudaGetLastError();
    });
    if (rc) return rc;
    return add_partial_sums(a->db, a->db_dtype, (const float *)c->work, a->n, BIAS_PARTS,
                            c->stream);
}
