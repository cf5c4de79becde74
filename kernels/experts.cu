/* SPDX-License-Identifier: Apache-2.0 */
/* Mixtures of experts: the choice of experts and the order of rows, sums of the experts' results,
 * the weight of an expert of all tokens.
 * The counts of rows stay on the device. Integers are counted by shared atomics, whose results have
 * no order; sums of fractions have a fixed one. */
#include "element.cuh"
#include "ops/cuda_rules.h"

enum { WARPS = THREADS / 32, ALL = ~0u };

static unsigned warps_for(int64_t n) { return blocks_for(n, WARPS); }
static __device__ __forceinline__ int64_t grid_warp() { return grid_index() / 32; }
static __device__ __forceinline__ int64_t grid_warps() { return grid_size() / 32; }

/* ---- the choice ---- */
/* Logit x of expert e, in the order of choice: largest first, on a tie the lowest index. */
struct ranked {
    float x;
    int e;
};
static __device__ __forceinline__ bool precedes(const ranked &a, const ranked &b)
{
    return a.x > b.x || (a.x == b.x && a.e < b.e);
}
static __device__ __forceinline__ ranked rank_of(const float *x, int e)
{
    return {isnan(x[e]) ? -INFINITY : x[e], e};
}

/* Returns to a whole warp the first of E logits behind `last` in the order. */
static __device__ __forceinline__ ranked next_of(const float *x, int E, const ranked &last)
{
    ranked best = {-INFINITY, E};
    for (int e = threadIdx.x % 32; e < E; e += 32) {
        const ranked r = rank_of(x, e);
        if (precedes(last, r) && precedes(r, best)) best = r;
    }
#pragma unroll
    for (int k = 16; k; k >>= 1) {
        const ranked r = {__shfl_xor_sync(ALL, best.x, k), __shfl_xor_sync(ALL, best.e, k)};
        if (precedes(r, best)) best = r;
    }
    return best;
}

/* A warp for each token. prob may be the memory of the logits: each lane reads its own elements
 * before it writes them, and all have chosen by then. */
__global__ void route_tokens(const struct op_route a)
{
    const int lane = threadIdx.x % 32;
    for (int64_t t = grid_warp(); t < a.T; t += grid_warps()) {
        const float *x = (const float *)a.logits + t * a.E;
        float *p = (float *)a.prob + t * a.E, *w = (float *)a.weight + t * a.K;
        int32_t *expert = a.expert + t * a.K;
        ranked last = {INFINITY, -1};
        for (int k = 0; k < a.K; k++) {
            last = next_of(x, a.E, last);
            if (lane == 0) expert[k] = last.e;
        }
        float max = -INFINITY, sum = 0, chosen = 0;
        for (int e = lane; e < a.E; e += 32) max = fmaxf(max, x[e]);
        max = warp_max(max);
        for (int e = lane; e < a.E; e += 32) sum += expf(x[e] - max);
        sum = warp_sum(sum);
        for (int e = lane; e < a.E; e += 32) p[e] = expf(x[e] - max) / sum;
        __syncwarp();
        for (int k = lane; k < a.K; k += 32) chosen += p[expert[k]];
        chosen = a.normalise ? warp_sum(chosen) : 1;
        for (int k = lane; k < a.K; k += 32) w[k] = p[expert[k]] / chosen;
    }
    const int64_t rest = (a.padded - a.T) * a.K;
    for (int64_t i = grid_index(); i < rest; i += grid_size()) {
        a.expert[a.T * a.K + i] = -1;
        ((float *)a.weight)[a.T * a.K + i] = 0;
    }
}

int kernel_route(const struct op_route *a, const struct kernel_context *c)
{
    if (a->padded == 0) return 0;
    route_tokens<<<warps_for(a->padded), THREADS, 0, c->stream>>>(*a);
    return cudaGetLastError();
}

/* ---- the ranks of a token's experts ---- */
/* A thread for each token looks for the next rank among all choices: K is small. */
__global__ void find_peers(const struct op_peers a)
{
    for (int64_t t = grid_index(); t < a.T; t += grid_size()) {
        const int32_t *expert = a.expert + t * a.K;
        int last = -1;
        for (int w = 0; w < a.W; w++) {
            int next = INT_MAX;
            for (int k = 0; k < a.K; k++) {
                const int rank = expert[k] < 0 ? -1 : expert[k] / a.each;
                if (rank > last && rank < next) next = rank;
            }
            a.peer[t * a.W + w] = next == INT_MAX ? -1 : next;
            last = next;
        }
    }
}

int kernel_peers(const struct op_peers *a, const struct kernel_context *c)
{
    if (a->T == 0) return 0;
    find_peers<<<blocks_for(a->T), THREADS, 0, c->stream>>>(*a);
    return cudaGetLastError();
}

/* ---- the order of rows ---- */
/* A warp, the only one of its block, takes the choices of chunk blockIdx.x in order, 32 at a time;
 * next[e] is the number of those of expert e so far, or the row of the next one. Calls f(choice,
 * row); row -1: the expert is not of the list. */
template <typename F>
static __device__ __forceinline__ void take_chunk(const struct op_dispatch &a, int *next, F f)
{
    const int64_t n = a.T * a.K, begin = (int64_t)blockIdx.x * CUDA_ROUTE_CHUNK;
    const int64_t end = min(begin + CUDA_ROUTE_CHUNK, n);
    for (int64_t at = begin; at < end; at += 32) {
        const int64_t i = at + threadIdx.x;
        const int chosen = i < end ? a.expert[i] - a.first : -1;
        const int e = chosen >= 0 && chosen < a.E ? chosen : -1;
        const unsigned same = __match_any_sync(ALL, e), before = same & ((1u << threadIdx.x) - 1);
        if (i < end) f(i, e < 0 ? -1 : next[e] + __popc(before));
        __syncwarp();
        if (e >= 0 && before == 0) next[e] += __popc(same);
        __syncwarp();
    }
}

/* counts[chunk,E] */
__global__ void count_choices(const struct op_dispatch a, int *counts)
{
    extern __shared__ int next[];
    for (int e = threadIdx.x; e < a.E; e += 32) next[e] = 0;
    __syncwarp();
    take_chunk(a, next, [](int64_t, int) {});
    for (int e = threadIdx.x; e < a.E; e += 32) counts[(int64_t)blockIdx.x * a.E + e] = next[e];
}

/* Returns the sum over the lower threads of a block of THREADS, and as *all that over all. */
static __device__ __forceinline__ int sum_before(int x, int *part, int *all)
{
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    int sum = x;
#pragma unroll
    for (int k = 1; k < 32; k <<= 1) {
        const int y = __shfl_up_sync(ALL, sum, k);
        if (lane >= k) sum += y;
    }
    __syncthreads();
    if (lane == 31) part[warp] = sum;
    __syncthreads();
    *all = 0;
    for (int k = 0; k < WARPS; k++) {
        if (k < warp) sum += part[k];
        *all += part[k];
    }
    return sum - x;
}

/* Turns counts into the first row of each chunk and expert, and writes starts; one block. */
__global__ void place_chunks(const struct op_dispatch a, int *counts, int chunks)
{
    __shared__ int part[WARPS];
    int first = 0;
    for (int from = 0; from < a.E; from += THREADS) {
        const int e = from + (int)threadIdx.x;
        int rows = 0, all;
#pragma unroll 8
        for (int k = 0; k < chunks; k++)
            if (e < a.E) rows += counts[(int64_t)k * a.E + e];
        int row = first + sum_before(rows, part, &all);
        if (e < a.E) a.starts[e] = row;
#pragma unroll 8
        for (int k = 0; k < chunks; k++) {
            if (e >= a.E) continue;
            const int64_t at = (int64_t)k * a.E + e;
            const int n = counts[at];
            counts[at] = row;
            row += n;
        }
        first += all;
    }
    if (threadIdx.x == 0) a.starts[a.E] = first;
}

__global__ void place_choices(const struct op_dispatch a, const int *counts)
{
    extern __shared__ int next[];
    for (int e = threadIdx.x; e < a.E; e += 32) next[e] = counts[(int64_t)blockIdx.x * a.E + e];
    __syncwarp();
    take_chunk(a, next, [&](int64_t i, int row) {
        a.row[i] = row;
        if (row >= 0) a.token[row] = (int32_t)(i / a.K);
    });
}

int kernel_dispatch(const struct op_dispatch *a, const struct kernel_context *c)
{
    const size_t bytes = (size_t)a->E * sizeof(int);
    const unsigned chunks = (unsigned)cuda_route_chunks(a->T, a->K);
    int *counts = (int *)c->work;
    const int rc = cudaMemsetAsync(a->token, 0xff, (size_t)a->rows * sizeof(int32_t), c->stream);
    if (rc) return rc;
    if (chunks) count_choices<<<chunks, 32, bytes, c->stream>>>(*a, counts);
    place_chunks<<<1, THREADS, 0, c->stream>>>(*a, counts, (int)chunks);
    if (chunks) place_choices<<<chunks, 32, bytes, c->stream>>>(*a, counts);
    return cudaGetLastError();
}

/* A warp for each token: dlogits = prob (g - sum of prob g) for the gradient g by prob. */
template <typename D> __global__ void route_back(const struct op_route_grad a)
{
    const int lane = threadIdx.x % 32;
    for (int64_t t = grid_warp(); t < a.T; t += grid_warps()) {
        const float *p = (const float *)a.prob + t * a.E, *dw = (const float *)a.dweight + t * a.K;
        const int32_t *expert = a.expert + t * a.K;
        float chosen = 0, dot = 0, mean = 0;
        for (int k = lane; k < a.K; k += 32) {
            chosen += p[expert[k]];
            dot += p[expert[k]] * dw[k];
        }
        chosen = warp_sum(chosen), dot = warp_sum(dot);
        const float shift = a.normalise ? dot / chosen : 0, scale = a.normalise ? 1 / chosen : 1;
        auto pooled = [&](int e) { return a.pool ? (float)(a.balance * a.pool[e]) : 0; };
        for (int k = lane; k < a.K; k += 32) mean += p[expert[k]] * (dw[k] - shift) * scale;
        for (int e = lane; e < a.E && a.pool; e += 32) mean += p[e] * pooled(e);
        mean = warp_sum(mean);
        for (int e = lane; e < a.E; e += 32) {
            float g = pooled(e);
            for (int k = 0; k < a.K; k++)
                if (expert[k] == e) g += (dw[k] - shift) * scale;
            from_float(((D *)a.dlogits)[t * a.E + e], p[e] * (g - mean));
        }
    }
}

int kernel_route_grad(const struct op_route_grad *a, const struct kernel_context *c)
{
    if (a->T == 0) return 0;
    return by_type(a->d_dtype, [&](auto d) {
        route_back<decltype(d)><<<warps_for(a->T), THREADS, 0, c->stream>>>(*a);
        return (int)cudaGetLastError();
    });
}

/* ---- the load ---- */
enum { LOAD_WARPS = 32 };

/* A block for 32 experts: a warp sums every 32nd row in order, then the warps' sums are added in
 * order. */
__global__ void add_load(const struct op_load a)
{
    __shared__ double part[LOAD_WARPS][33];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, e = (int)blockIdx.x * 32 + lane;
    double sum = 0;
#pragma unroll 8
    for (int64_t t = warp; t < a.T; t += LOAD_WARPS)
        if (e < a.E) sum += (double)((const float *)a.prob)[t * a.E + e];
    part[warp][lane] = sum;
    __syncthreads();
    if (warp > 0 || e >= a.E) return;
    for (int k = 1; k < LOAD_WARPS; k++) sum += part[k][lane];
    a.pool[e] += a.starts[e + 1] - a.starts[e];
    a.pool[a.E + e] += sum;
}

int kernel_load(const struct op_load *a, const struct kernel_context *c)
{
    if (a->E == 0) return 0;
    add_load<<<(unsigned)(a->E + 31) / 32, 32 * LOAD_WARPS, 0, c->stream>>>(*a);
    return cudaGetLastError();
}

/* One warp. */
__global__ void add_load_loss(const struct op_load_loss a)
{
    double sum = 0;
    for (int e = threadIdx.x; e < a.E; e += 32) sum += a.pool[e] * a.pool[a.E + e];
#pragma unroll
    for (int k = 16; k; k >>= 1) sum += __shfl_xor_sync(ALL, sum, k);
    if (threadIdx.x == 0) *a.sum += a.scale * sum;
}

int kernel_load_loss(const struct op_load_loss *a, const struct kernel_context *c)
{
    add_load_loss<<<1, 32, 0, c->stream>>>(*a);
    return cudaGetLastError();
}

/* ---- sums of the experts' results ---- */
template <typename Z, typename Y, int N> __global__ void combine(const struct op_combine a)
{
    const int64_t each = a.H / N;
    for (int64_t i = grid_index(); i < a.T * each; i += grid_size()) {
        const int64_t t = i / each, at = i % each * N;
        Y *const y = (Y *)a.y + t * a.H + at;
        float sum[N] = {}, z[N];
        if (a.add) load<Y, N>(sum, y);
        for (int k = 0; k < a.K; k++) {
            const int64_t choice = t * a.K + k;
            if (a.row[choice] < 0) continue;
            const float w = a.weight ? ((const float *)a.weight)[choice] : 1;
            load<Z, N>(z, (const Z *)a.z + a.row[choice] * a.H + at);
#pragma unroll
            for (int j = 0; j < N; j++) sum[j] += w * z[j];
        }
        store<Y, N>(y, sum);
    }
}

int kernel_combine(const struct op_combine *a, const struct kernel_context *c)
{
    const bool wide = aligned(a->z, a->H, 2) && aligned(a->y, a->H, 2);
    if (a->T == 0 || a->H == 0) return 0;
    return by_type(a->dtype, [&](auto z) {
        return by_type(a->y_dtype, [&](auto y) {
            typedef decltype(z) Z;
            typedef decltype(y) Y;
            auto run = [&](auto kernel, int64_t n) {
                kernel<<<blocks_for(a->T * a->H / n), THREADS, 0, c->stream>>>(*a);
                return (int)cudaGetLastError();
            };
            return wide ? run(combine<Z, Y, 8>, 8) : run(combine<Z, Y, 1>, 1);
        });
    });
}

/* A warp for each choice. dz may be the memory of z: a lane reads elements before it writes them.
 */
template <typename T, typename Z, int N>
__global__ void combine_back(const struct op_combine_grad a)
{
    for (int64_t i = grid_warp(); i < a.T * a.K; i += grid_warps()) {
        const T *dy = (const T *)a.dy + i / a.K * a.H;
        const int64_t row = a.row[i] * a.H;
        const float w = ((const float *)a.weight)[i];
        float sum = 0, g[N], z[N];
        for (int64_t at = threadIdx.x % 32 * N; at < a.H && row >= 0; at += 32 * N) {
            load<T, N>(g, dy + at);
            load<Z, N>(z, (const Z *)a.z + row + at);
#pragma unroll
            for (int j = 0; j < N; j++) {
                sum += g[j] * z[j];
                g[j] *= w;
            }
            store<T, N>((T *)a.dz + row + at, g);
        }
        sum = warp_sum(sum);
        if (threadIdx.x % 32 == 0) ((float *)a.dweight)[i] = sum;
    }
}

int kernel_combine_grad(const struct op_combine_grad *a, const struct kernel_context *c)
{
    const bool wide = aligned(a->dy, a->H, 2) && aligned(a->dz, a->H, 2) && aligned(a->z, a->H, 2);
    if (a->T == 0) return 0;
    return by_type(a->dtype, [&](auto t) {
        return by_type(a->z_dtype, [&](auto z) {
            typedef decltype(t) T;
            typedef decltype(z) Z;
            auto run = [&](auto kernel) {
                kernel<<<warps_for(a->T * a->K), THREADS, 0, c->stream>>>(*a);
                return (int)cudaGetLastError();
            };
            return wide ? run(combine_back<T, Z, 8>) : run(combine_back<T, Z, 1>);
        });
    });
}

/* ---- the weight of an expert of all tokens ---- */
static __device__ __forceinline__ float gate_of(const void *gate, int64_t t)
{
    return 1 / (1 + expf(-((const float *)gate)[t]));
}

template <typename T, int N> __global__ void gate(const struct op_gate a)
{
    const int64_t each = a.I / N;
    for (int64_t i = grid_index(); i < a.T * each; i += grid_size()) {
        const float w = gate_of(a.gate, i / each);
        float x[N];
        load<T, N>(x, (const T *)a.x + i * N);
#pragma unroll
        for (int j = 0; j < N; j++) x[j] *= w;
        store<T, N>((T *)a.y + i * N, x);
    }
}

int kernel_gate(const struct op_gate *a, const struct kernel_context *c)
{
    const bool wide = aligned(a->x, a->I, 2) && aligned(a->y, a->I, 2);
    if (a->T == 0 || a->I == 0) return 0;
    return by_type(a->dtype, [&](auto t) {
        typedef decltype(t) T;
        auto run = [&](auto kernel, int64_t n) {
            kernel<<<blocks_for(a->T * a->I / n), THREADS, 0, c->stream>>>(*a);
            return (int)cudaGetLastError();
        };
        return wide ? run(gate<T, 8>, 8) : run(gate<T, 1>, 1);
    });
}

/* A warp for each token. dx may be the memory of dy: a lane reads elements before it writes them.
 */
template <typename T, int N> __global__ void gate_back(const struct op_gate_grad a)
{
    for (int64_t t = grid_warp(); t < a.T; t += grid_warps()) {
        const int64_t row = t * a.I;
        const float w = gate_of(a.gate, t);
        float sum = 0, g[N], y[N];
        for (int64_t at = threadIdx.x % 32 * N; at < a.I; at += 32 * N) {
            load<T, N>(g, (const T *)a.dy + row + at);
            load<T, N>(y, (const T *)a.y + row + at);
#pragma unroll
            for (int j = 0; j < N; j++) {
                sum += g[j] * y[j];
                g[j] *= w;
            }
            store<T, N>((T *)a.dx + row + at, g);
        }
        sum = warp_sum(sum);
        if (threadIdx.x % 32 == 0) from_float(((T *)a.dgate)[t], (1 - w) * sum);
    }
}

int kernel_gate_grad(const struct op_gate_grad *a, const struct kernel_context *c)
{
    const bool wide = aligned(a->dy, a->I, 2) && aligned(a->y, a->I, 2) && aligned(a->dx, a->I, 2);
    if (a->T == 0) return 0;
    return by_type(a->dtype, [&](auto t) {
        typedef decltype(t) T;
        auto run = [&](auto kernel) {
            kernel<<<warps_for(a->T), THREADS, 0, c->stream>>>(*a);
            return (int)cudaGetLastError();
        };
        return wide ? run(gate_back<T, 8>) : run(gate_back<T, 1>);
    });
}
