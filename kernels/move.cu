/* SPDX-License-Identifier: Apache-2.0 */
/* Operations that move or add rows: embedding and its gradient, gather, scatter, copies, bias
 * gradients. Bytes: each operand once; limit: 85 % of the copy rate. */
#include "element.cuh"
#include "ops/cuda_rules.h"

/* Counters by which a block knows that it is the last of some; 0 between kernels. Kernels that use
 * them run on one stream. */
enum { TICKETS = 1 << 16 };
static __device__ unsigned tickets[TICKETS];

/* Returns true to the threads of the block that calls this as the last of n with a ticket: it then
 * sees what the others wrote before. All threads of a block call it. */
static __device__ __forceinline__ bool last_of(unsigned ticket, unsigned n)
{
    __threadfence();
    __syncthreads();
    const int last =
        __syncthreads_or(threadIdx.x == 0 && atomicInc(&tickets[ticket], n - 1) == n - 1);
    __threadfence();
    return last;
}

/* Copies x row rows[t] (rows NULL: t) to y row t, or x row t to y row rows[t] when scattering; does
 * nothing where rows[t] is below 0. A row has n units of type U. */
template <typename U>
__global__ void move_rows(U *y, const U *x, const int32_t *rows, int64_t count, int64_t n,
                          int64_t y_step, int64_t x_step, bool scatter)
{
    for (int64_t i = grid_index(); i < count * n; i += grid_size()) {
        const int64_t t = i / n, at = i % n, other = rows ? rows[t] : t;
        if (other < 0) continue;
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

/* ---- gradient of the embedding ---- */
/* Rows of the same id follow one another in `order`: a run. A block sums a run of up to EMBED_RUN
 * rows, N columns of type G per thread. Longer ones (one token may be a large part of a text) are
 * cut where `order` passes multiples of EMBED_RUN; their parts are summed by a block for each
 * window between these, and the last of a run's blocks adds them in order. In a window at most two
 * long runs have parts: part 2 w of window w is that of the run that begins before it, 2 w + 1 that
 * of the run that begins in it and goes on. Bytes: dy once, dw of the ids twice. */
enum { EMBED_THREADS = 64, EMBED_ROWS = 4, EMBED_PARTS = 2, EMBED_RUN = CUDA_EMBED_RUN };

/* A long run's part, or where `to` is 0 none. */
struct run_part {
    int run, from, to;
};
/* Returns false if no run of more than EMBED_RUN rows passes from row edge - 1 of `order` to row
 * edge, as short runs show without a search: a long one has more than half a window on one side. */
static __device__ __forceinline__ bool long_run_crosses(const struct op_embed_grad &a, int edge)
{
    const int rows = a.starts[a.unique];
    auto id = [&](int k) { return k < 0 || k >= rows ? -1 : a.ids[a.order[k]]; };
    const int own = id(edge), before = id(edge - 1), far_before = id(edge - 1 - EMBED_RUN / 2),
              far_after = id(edge + EMBED_RUN / 2);
    return own == before && (own == far_before || own == far_after);
}
/* Returns part i of a window; `crosses`: a long run passes its begin (i 0) or its end (i 1). */
static __device__ __forceinline__ run_part find_part(const struct op_embed_grad &a, int window,
                                                     int i, bool crosses)
{
    const int begin = window * EMBED_RUN, end = min(begin + EMBED_RUN, a.starts[a.unique]);
    const int row = i ? end - 1 : begin;
    if (begin >= end || !crosses) return {};
    int low = 0, high = (int)a.unique;
    while (high - low > 1) {
        const int mid = (low + high) / 2;
        if (a.starts[mid] <= row)
            low = mid;
        else
            high = mid;
    }
    const int from = a.starts[low], to = a.starts[low + 1];
    if (to - from <= EMBED_RUN || (from >= begin) != i) return {};
    return {low, max(from, begin), min(to, end)};
}

/* Adds rows [from, to) of `order` in order, after the values at `own` if there are any. Several
 * rows are read before the first is added, so that their latencies overlap. */
template <typename T, typename G, int N>
static __device__ __forceinline__ void add_rows(float (&sum)[N], const struct op_embed_grad &a,
                                                int from, int to, int64_t h, const G *own)
{
    const T *dy = (const T *)a.dy + h;
    pack_of<T, N> row[EMBED_ROWS];
    for (int k = from; k < to; k += EMBED_ROWS) {
#pragma unroll
        for (int r = 0; r < EMBED_ROWS; r++)
            if (k + r < to) row[r] = *(const pack_of<T, N> *)(dy + a.order[k + r] * a.H);
        if (own && k == from) load<G, N>(sum, own);
#pragma unroll
        for (int r = 0; r < EMBED_ROWS; r++)
            for (int i = 0; k + r < to && i < N; i++) sum[i] += to_float(row[r].v[i]);
    }
}

static __device__ __forceinline__ int64_t row_of_run(const struct op_embed_grad &a, int run)
{
    const int64_t id = a.ids[a.order[a.starts[run]]] - a.first;
    return id >= 0 && id < a.V ? id : -1;
}

/* Adds to dw the parts of the long run that begins in window `first` and ends in window `last`. */
template <typename G, int N>
static __device__ __forceinline__ void join_parts(G *dw, const float *partial, int64_t H, int first,
                                                  int last)
{
    float sum[N];
    load<G, N>(sum, dw);
    for (int from = first; from <= last; from += EMBED_PARTS) {
        float more[EMBED_PARTS][N];
#pragma unroll
        for (int i = 0; i < EMBED_PARTS; i++)
            if (from + i <= last)
                load<float, N>(more[i], partial + (2 * (from + i) + (from + i == first)) * H);
#pragma unroll
        for (int i = 0; i < EMBED_PARTS; i++)
            for (int k = 0; from + i <= last && k < N; k++) sum[k] += more[i][k];
    }
    store<G, N>(dw, sum);
}

/* Sums a part of a long run, N columns of each thread, and if it is the last of the run's, adds
 * them; `live` threads have columns. All threads of a block call it. */
template <typename T, typename G, int N>
static __device__ __forceinline__ void back_part(const struct op_embed_grad &a, float *partial,
                                                 const run_part &p, int part, int64_t h, bool live)
{
    const int64_t row = p.to ? row_of_run(a, p.run) : -1;
    if (row < 0) return;
    if (live) {
        float sum[N] = {};
        add_rows<T, G, N>(sum, a, p.from, p.to, h, NULL);
        store<float, N>(partial + part * a.H + h, sum);
    }
    const int first = a.starts[p.run] / EMBED_RUN, last = (a.starts[p.run + 1] - 1) / EMBED_RUN;
    if (last_of(first * gridDim.y + blockIdx.y, last - first + 1) && live)
        join_parts<G, N>((G *)a.dw + row * a.H + h, partial + h, a.H, first, last);
}

template <typename T, typename G, int N>
static __device__ __forceinline__ void back_window(const struct op_embed_grad &a, float *partial,
                                                   int window, int64_t h)
{
    const int begin = window * EMBED_RUN;
    const bool before = long_run_crosses(a, begin), behind = long_run_crosses(a, begin + EMBED_RUN);
#pragma unroll 1
    for (int i = 0; i < 2; i++)
        back_part<T, G, N>(a, partial, find_part(a, window, i, i ? behind : before), 2 * window + i, h,
                           h < a.H);
}

/* Blocks [0, windows) have the parts of long runs, which take longest, the others the short runs. */
template <typename T, typename G, int N>
__global__ void __launch_bounds__(EMBED_THREADS, 12)
    embed_back(const struct op_embed_grad a, float *partial, int windows)
{
    const int64_t h = ((int64_t)blockIdx.y * EMBED_THREADS + threadIdx.x) * N;
    const int run = (int)blockIdx.x - windows;
    if (run < 0) return back_window<T, G, N>(a, partial, (int)blockIdx.x, h);
    const int from = a.starts[run], to = a.starts[run + 1];
    const int64_t row = row_of_run(a, run);
    if (to - from > EMBED_RUN || row < 0 || h >= a.H) return;
    G *const dw = (G *)a.dw + row * a.H + h;
    float sum[N] = {};
    add_rows<T, G, N>(sum, a, from, to, h, dw);
    store<G, N>(dw, sum);
}

template <typename T, typename G, int N>
static int start_embed(const struct op_embed_grad *a, float *partial, cudaStream_t stream)
{
    const int64_t windows = cuda_embed_windows(a->T), each = EMBED_THREADS * N;
    const int64_t columns = (a->H + each - 1) / each;
    if (windows * columns > TICKETS) return cudaErrorInvalidValue;
    const dim3 grid((unsigned)(a->unique + windows), (unsigned)columns);
    embed_back<T, G, N><<<grid, EMBED_THREADS, 0, stream>>>(*a, partial, (int)windows);
    return cudaGetLastError();
}

int kernel_embed_grad(const struct op_embed_grad *a, const struct kernel_context *c)
{
    if (a->H == 0 || a->unique == 0) return 0;
    const bool wide = aligned(a->dy, a->H, 2) && aligned(a->dw, a->H, 2);
    return by_type(a->dtype, [&](auto t) {
        return by_type(a->dw_dtype, [&](auto g) {
            typedef decltype(t) T;
            typedef decltype(g) G;
            return wide ? start_embed<T, G, 16 / sizeof(T)>(a, (float *)c->work, c->stream)
                        : start_embed<T, G, 1>(a, (float *)c->work, c->stream);
        });
    });
}

/* ---- bias ---- */
/* A block has BIAS_WARPS warps; a multiprocessor holds BIAS_RESIDENT blocks. Loads are made in groups
 * of BIAS_GROUP rows or BIAS_PARTS parts, since a load that waits for the addition before it takes as
 * long as a group; with more rows registers spill. */
enum { BIAS_WARPS = 8, BIAS_RESIDENT = 4, BIAS_GROUP = 4, BIAS_PARTS = 16 };

/* sums[n]: the block's sums over its rows. Lane l of each warp has N columns; a warp sums every
 * eighth row in order, then the warps' sums are added in order. of_warp is shared memory. */
template <typename T, int N>
static __device__ __forceinline__ void sum_rows(const struct op_bias_grad &a, float *sums,
                                                float (*of_warp)[32 * N])
{
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int64_t column = ((int64_t)blockIdx.x * 32 + lane) * N;
    const int count = (int)a.T, rows = (count + (int)gridDim.y - 1) / (int)gridDim.y;
    const int from = (int)blockIdx.y * rows + warp, to = min(count, (int)(blockIdx.y + 1) * rows);
    const int64_t step = BIAS_WARPS * a.n;
    const T *dy = (const T *)a.dy + from * a.n + column;
    float sum[N] = {};
    for (int t = from; t < to && column < a.n; t += BIAS_GROUP * BIAS_WARPS) {
        pack_of<T, N> row[BIAS_GROUP] = {};
#pragma unroll
        for (int r = 0; r < BIAS_GROUP; r++, dy += step)
            if (t + r * BIAS_WARPS < to) row[r] = *(const pack_of<T, N> *)dy;
#pragma unroll
        for (int r = 0; r < BIAS_GROUP; r++)
#pragma unroll
            for (int k = 0; k < N; k++) sum[k] += to_float(row[r].v[k]);
    }
#pragma unroll
    for (int k = 0; k < N; k++) of_warp[warp][k * 32 + lane] = sum[k];
    __syncthreads();
    for (int i = threadIdx.x; i < 32 * N; i += 32 * BIAS_WARPS) {
        float all = of_warp[0][i];
#pragma unroll
        for (int k = 1; k < BIAS_WARPS; k++) all += of_warp[k][i];
        const int64_t at = ((int64_t)blockIdx.x * 32 + i % 32) * N + i / 32;
        if (at < a.n) sums[at] = all;
    }
}

/* Returns y plus x[0], x[step], ... x[(n - 1) step], added in order. */
static __device__ __forceinline__ float add_strided(float y, const float *x, int n, int64_t step)
{
    for (int from = 0; from < n; from += BIAS_PARTS) {
        float group[BIAS_PARTS];
#pragma unroll
        for (int i = 0; i < BIAS_PARTS; i++) group[i] = from + i < n ? x[(from + i) * step] : 0;
#pragma unroll
        for (int i = 0; i < BIAS_PARTS; i++) y += group[i];
    }
    return y;
}

/* Block (x, y) sums part y of the rows for 32 N columns. The last block of these columns adds the
 * parts to db, in order. */
template <typename T, typename G, int N>
__global__ void __launch_bounds__(32 * BIAS_WARPS, BIAS_RESIDENT)
    bias_back(const struct op_bias_grad a, float *partial)
{
    __shared__ float of_warp[BIAS_WARPS][32 * N];
    const int64_t begin = (int64_t)blockIdx.x * 32 * N;
    sum_rows<T, N>(a, partial + blockIdx.y * a.n, of_warp);
    if (!last_of(blockIdx.x, gridDim.y)) return;
    for (int64_t i = begin + threadIdx.x; i < begin + 32 * N && i < a.n; i += 32 * BIAS_WARPS) {
        G &db = ((G *)a.db)[i];
        from_float(db, add_strided(to_float(db), partial + i, (int)gridDim.y, a.n));
    }
}

int kernel_bias_grad(const struct op_bias_grad *a, const struct kernel_context *c)
{
    if (a->n == 0 || a->T == 0) return 0;
    return by_type(a->dtype, [&](auto t) {
        return by_type(a->db_dtype, [&](auto g) {
            typedef decltype(t) T;
            typedef decltype(g) G;
            constexpr int N = 16 / sizeof(T);
            auto run = [&](auto kernel, int64_t each) {
                const int64_t width = 32 * each, columns = (a->n + width - 1) / width;
                const dim3 grid((unsigned)columns, (unsigned)cuda_bias_parts(a->n, width));
                if (columns > TICKETS) return (int)cudaErrorInvalidValue;
                kernel<<<grid, 32 * BIAS_WARPS, 0, c->stream>>>(*a, (float *)c->work);
                return (int)cudaGetLastError();
            };
            return aligned(a->dy, a->n, sizeof(T)) ? run(bias_back<T, G, N>, N)
                                                   : run(bias_back<T, G, 1>, 1);
        });
    });
}
