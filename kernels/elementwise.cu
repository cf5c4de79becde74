/* SPDX-License-Identifier: Apache-2.0 */
/* Operations on single elements: activations, rotary positions, dropout, sums, casts.
 * Bytes: each operand once; limit: 85 % of the copy rate. */
#include <type_traits>

#include "element.cuh"
#include "ops/dropout.h"
#include "random.cuh"

/* ---- activations ---- */
static __device__ __forceinline__ float sigmoid(float x) { return 1 / (1 + __expf(-x)); }

/* Returns f(x) of the function A, and f'(x) in slope; lib/ops/ref/activation.c has the formulas. */
template <enum act A> static __device__ __forceinline__ float curve(float x, float &slope)
{
    if constexpr (A == ACT_RELU2) {
        const float r = x < 0 ? 0 : x; /* NaN stays NaN */
        slope = 2 * r;
        return r * r;
    } else if constexpr (A == ACT_GELU) {
        const float below = 0.5f * (1 + erff(0.70710678f * x));
        slope = below + x * (0.39894228f * __expf(-0.5f * x * x));
        return x * below;
    } else { /* x sigmoid(z) */
        const float z = A == ACT_SILU ? x : 1.59576912f * x * (1 + 0.044715f * x * x);
        const float dz = A == ACT_SILU ? 1 : 1.59576912f * (1 + 3 * 0.044715f * x * x);
        const float s = sigmoid(z);
        slope = s * (1 + x * dz * (1 - s));
        return x * s;
    }
}

template <typename T, int N, enum act A, bool GATED>
__global__ void activation(const struct op_activation a)
{
    const int64_t row = a.I / N, width = GATED ? 2 * a.I : a.I, rows = a.count ? *a.count : a.T;
    for (int64_t i = grid_index(); i < rows * row; i += grid_size()) {
        const T *const x = (const T *)a.x + i / row * width + i % row * N;
        float g[N], u[N], slope;
        load<T, N>(g, x);
        if (GATED) load<T, N>(u, x + a.I);
#pragma unroll
        for (int k = 0; k < N; k++) g[k] = curve<A>(g[k], slope) * (GATED ? u[k] : 1);
        store<T, N>((T *)a.y + i * N, g);
    }
}

template <typename T, int N, enum act A, bool GATED>
__global__ void activation_back(const struct op_activation_grad a)
{
    const int64_t row = a.I / N, width = GATED ? 2 * a.I : a.I, rows = a.count ? *a.count : a.T;
    for (int64_t i = grid_index(); i < rows * row; i += grid_size()) {
        const int64_t at = i / row * width + i % row * N;
        const T *const x = (const T *)a.x + at;
        T *const dx = (T *)a.dx + at;
        float g[N], u[N], dy[N], y[N];
        load<T, N>(g, x);
        if (GATED) load<T, N>(u, x + a.I);
        load<T, N>(dy, (const T *)a.dy + i * N);
#pragma unroll
        for (int k = 0; k < N; k++) {
            float slope;
            const float f = curve<A>(g[k], slope), up = GATED ? u[k] : 1;
            y[k] = f * up;
            g[k] = dy[k] * up * slope;
            u[k] = dy[k] * f;
        }
        store<T, N>(dx, g);
        if (GATED) store<T, N>(dx + a.I, u);
        if (a.y) store<T, N>((T *)a.y + i * N, y);
    }
}

/* Calls f with the function and whether it is gated, as constants. */
template <enum act A> using act_of = std::integral_constant<enum act, A>;
template <typename F> static int by_act(enum act act, bool gated, F f)
{
    auto run = [&](auto kind) {
        return gated ? f(kind, std::true_type()) : f(kind, std::false_type());
    };
    if (act == ACT_SILU) return run(act_of<ACT_SILU>());
    if (act == ACT_GELU) return run(act_of<ACT_GELU>());
    if (act == ACT_GELU_TANH) return run(act_of<ACT_GELU_TANH>());
    if (act == ACT_RELU2) return run(act_of<ACT_RELU2>());
    return cudaErrorInvalidValue;
}

int kernel_activation(const struct op_activation *a, const struct kernel_context *c)
{
    return by_type(a->dtype, [&](auto t) {
        typedef decltype(t) T;
        return by_act(a->act, a->gated, [&](auto act, auto gated) {
            constexpr int N = 16 / sizeof(T);
            const bool fast = aligned(a->x, a->I, sizeof(T)) && aligned(a->y, a->I, sizeof(T));
            auto run = [&](auto kernel, int n) {
                kernel<<<blocks_for(a->T * a->I / n), THREADS, 0, c->stream>>>(*a);
                return (int)cudaGetLastError();
            };
            return fast ? run(activation<T, N, act(), gated()>, N)
                        : run(activation<T, 1, act(), gated()>, 1);
        });
    });
}

int kernel_activation_grad(const struct op_activation_grad *a, const struct kernel_context *c)
{
    return by_type(a->dtype, [&](auto t) {
        typedef decltype(t) T;
        return by_act(a->act, a->gated, [&](auto act, auto gated) {
            constexpr int N = 16 / sizeof(T);
            const bool fast = aligned(a->x, a->I, sizeof(T)) && aligned(a->dx, a->I, sizeof(T)) &&
                              aligned(a->dy, a->I, sizeof(T)) &&
                              (!a->y || aligned(a->y, a->I, sizeof(T)));
            auto run = [&](auto kernel, int n) {
                kernel<<<blocks_for(a->T * a->I / n), THREADS, 0, c->stream>>>(*a);
                return (int)cudaGetLastError();
            };
            return fast ? run(activation_back<T, N, act(), gated()>, N)
                        : run(activation_back<T, 1, act(), gated()>, 1);
        });
    });
}

/* ---- rotary positions ---- */
/* Returns the number of elements of a head that rotate. */
static __host__ __device__ __forceinline__ int64_t rope_dims(const struct op_rope &a)
{
    return a.rotary > 0 ? a.rotary : a.dim;
}

/* Rotates N pairs at once: (x[i], x[i + pairs]), or (x[2i], x[2i + 1]) if they are interleaved. */
template <typename T, int N, bool INTERLEAVED, bool SCALED>
__global__ void rope(const struct op_rope a)
{
    constexpr int STEP = INTERLEAVED ? 2 : 1, NEXT = INTERLEAVED ? 1 : N;
    const int64_t pairs = rope_dims(a) / 2, parts = pairs / N, row = a.heads * parts;
    for (int64_t i = grid_index(); i < a.T * row; i += grid_size()) {
        const int64_t t = i / row, head = i % row / parts, at = i % row % parts * N;
        T *const x = (T *)a.x + t * a.stride + head * a.dim + STEP * at;
        T *const rest = x + (INTERLEAVED ? N : pairs);
        const int64_t angle = a.pos[t] * pairs + at;
        float v[2 * N], cosines[N], sines[N];
        load<T, N>(v, x);
        load<T, N>(v + N, rest);
        load<float, N>(cosines, (const float *)a.cos + angle);
        load<float, N>(sines, (const float *)a.sin + angle);
        const float scale = SCALED && head < a.scaled ? ((const float *)a.scale)[a.pos[t]] : 1;
#pragma unroll
        for (int k = 0; k < N; k++) {
            const float c = SCALED ? cosines[k] * scale : cosines[k];
            const float turned = SCALED ? sines[k] * scale : sines[k];
            const float s = a.inverse ? -turned : turned;
            float &first = v[STEP * k], &second = v[STEP * k + NEXT];
            const float u = first;
            first = u * c - second * s;
            second = second * c + u * s;
        }
        store<T, N>(x, v);
        store<T, N>(rest, v + N);
    }
}

template <typename T, int N>
static void launch_rope(const struct op_rope *a, const struct kernel_context *c)
{
    const unsigned blocks = blocks_for(a->T * a->heads * (rope_dims(*a) / 2) / N);
    if (a->interleaved && a->scale)
        rope<T, N, true, true><<<blocks, THREADS, 0, c->stream>>>(*a);
    else if (a->interleaved)
        rope<T, N, true, false><<<blocks, THREADS, 0, c->stream>>>(*a);
    else if (a->scale)
        rope<T, N, false, true><<<blocks, THREADS, 0, c->stream>>>(*a);
    else
        rope<T, N, false, false><<<blocks, THREADS, 0, c->stream>>>(*a);
}

int kernel_rope(const struct op_rope *a, const struct kernel_context *c)
{
    return by_type(a->dtype, [&](auto t) {
        typedef decltype(t) T;
        const bool fast = aligned(a->x, a->stride, 2 * sizeof(T)) && rope_dims(*a) % 8 == 0 &&
                          a->dim * sizeof(T) % 16 == 0 && aligned(a->cos, 4, 4) &&
                          aligned(a->sin, 4, 4);
        if (fast)
            launch_rope<T, 4>(a, c);
        else
            launch_rope<T, 1>(a, c);
        return (int)cudaGetLastError();
    });
}

/* ---- dropout: ops/dropout.h defines the dropped elements ---- */
template <typename T>
__global__ void dropout(const struct op_dropout a, uint32_t bound, uint32_t site, float factor)
{
    const int64_t tile = a.first / 128, tiles = (a.first + a.H + 127) / 128 - tile;
    const int64_t lanes = a.T * tiles * 16;
    for (int64_t i = grid_index(); i < lanes; i += grid_size()) {
        const int64_t t = i / (tiles * 16), lane = tile * 16 + i % (tiles * 16);
        uint32_t word[4] = {~0u, ~0u, ~0u, ~0u};
        if (bound)
            philox((uint32_t)a.pos[t], (uint32_t)a.sample[t], (uint32_t)lane, site, a.key, word);
#pragma unroll
        for (int k = 0; k < 8; k++) {
            const int64_t column = lane / 16 * 128 + 16 * k + lane % 16 - a.first;
            const int64_t at = t * a.H + column;
            if (column < 0) continue;
            if (column >= a.H) break;
            const bool dropped = bound && (word[k / 2] >> (k % 2 * 16) & 0xffff) < bound;
            const float y = dropped ? 0 : factor * to_float(((const T *)a.x)[at]);
            from_float(((T *)a.y)[at], a.add ? to_float(((T *)a.y)[at]) + y : y);
        }
    }
}

int kernel_dropout(const struct op_dropout *a, const struct kernel_context *c)
{
    const uint32_t bound = dropout_bound(a), site = dropout_site(a);
    const float factor = (float)dropout_factor(a);
    return by_type(a->dtype, [&](auto t) {
        const int64_t tiles = (a->first + a->H + 127) / 128 - a->first / 128;
        dropout<decltype(t)>
            <<<blocks_for(a->T * tiles * 16), THREADS, 0, c->stream>>>(*a, bound, site, factor);
        return (int)cudaGetLastError();
    });
}

/* ---- sums and casts ---- */
template <typename T, int N> __global__ void add(const struct op_add a)
{
    for (int64_t i = grid_index(); i < a.n / N; i += grid_size()) {
        float x[N], y[N];
        load<T, N>(x, (const T *)a.a + i * N);
        load<T, N>(y, (const T *)a.b + i * N);
#pragma unroll
        for (int k = 0; k < N; k++) x[k] += y[k];
        store<T, N>((T *)a.y + i * N, x);
    }
}

int kernel_add(const struct op_add *a, const struct kernel_context *c)
{
    return by_type(a->dtype, [&](auto t) {
        typedef decltype(t) T;
        constexpr int N = 16 / sizeof(T);
        const bool fast = aligned(a->a, a->n, sizeof(T)) && aligned(a->b, a->n, sizeof(T)) &&
                          aligned(a->y, a->n, sizeof(T));
        if (fast)
            add<T, N><<<blocks_for(a->n / N), THREADS, 0, c->stream>>>(*a);
        else
            add<T, 1><<<blocks_for(a->n), THREADS, 0, c->stream>>>(*a);
        return (int)cudaGetLastError();
    });
}

template <typename T, typename F, int N> __global__ void cast(const struct op_cast a)
{
    for (int64_t i = grid_index(); i < a.n / N; i += grid_size()) {
        float x[N];
        load<F, N>(x, (const F *)a.x + i * N);
        store<T, N>((T *)a.y + i * N, x);
    }
}

int kernel_cast(const struct op_cast *a, const struct kernel_context *c)
{
    return by_type(a->to, [&](auto to) {
        return by_type(a->from, [&](auto from) {
            typedef decltype(to) T;
            typedef decltype(from) F;
            if (aligned(a->x, a->n, 4) && aligned(a->y, a->n, 4) && a->n % 8 == 0)
                cast<T, F, 4><<<blocks_for(a->n / 4), THREADS, 0, c->stream>>>(*a);
            else
                cast<T, F, 1><<<blocks_for(a->n), THREADS, 0, c->stream>>>(*a);
            return (int)cudaGetLastError();
        });
    });
}
