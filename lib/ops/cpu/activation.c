/* SPDX-License-Identifier: Apache-2.0 */
/* Activations, plain or as gates. Limit: memory bandwidth, if exp and a division cost less than
 * reading 3 elements. See lib/ops/ref/activation.c for the formulas. */
#include "ops/cpu/cpu.h"

/* f(x), f'(x) */
struct curve {
    vf f, slope;
};

INLINE vf sigmoid(vf x) { return 1 / (1 + v_exp(-v_max(x, v_set(-88)))); }

INLINE struct curve silu(vf x)
{
    const vf s = sigmoid(x), f = x * s;
    return (struct curve){f, s + f * (1 - s)};
}

/* Computes x sigmoid(z): (1 + tanh(z / 2)) / 2 is sigmoid(z). */
INLINE struct curve gelu_tanh(vf x)
{
    const float c = 1.59576912f, cube = 0.044715f; /* 2 sqrt(2 / pi) */
    const vf square = x * x, s = sigmoid(c * x * (1 + cube * square)), f = x * s;
    return (struct curve){f, s + f * (1 - s) * (c * (1 + 3 * cube * square))};
}

/* Returns the normal distribution function at x, given exp(-x^2 / 2): half of erfc(|x| / sqrt(2))
 * by formula 7.1.26 of Abramowitz and Stegun, whose error is below 1e-7. */
INLINE vf normal(vf x, vf e)
{
    const vf t = 1 / (1 + 0.23164189f * v_max(x, -x));
    vf p = v_set(1.061405429f);
    p = v_fma(p, t, v_set(-1.453152027f));
    p = v_fma(p, t, v_set(1.421413741f));
    p = v_fma(p, t, v_set(-0.284496736f));
    p = v_fma(p, t, v_set(0.254829592f));
    const vf tail = 0.5f * p * t * e;
    return v_select(x < 0, tail, 1 - tail);
}

INLINE struct curve gelu(vf x)
{
    const vf e = v_exp(-0.5f * x * x), p = normal(x, e);
    return (struct curve){x * p, p + x * (0.39894228f * e)};
}

INLINE struct curve relu2(vf x)
{
    const vf r = v_max(v_set(0), x); /* in this order NaN stays NaN */
    return (struct curve){r * r, 2 * r};
}

INLINE struct curve curve(vf x, enum act act)
{
    return act == ACT_SILU        ? silu(x)
           : act == ACT_GELU      ? gelu(x)
           : act == ACT_GELU_TANH ? gelu_tanh(x)
                                  : relu2(x);
}

/* Calls f(..., act, gated, type), so that f is compiled for each. */
#define BY_ACT(a, f, ...)                                                                          \
    ((a)->act == ACT_SILU        ? BY_GATE(a, f, __VA_ARGS__, ACT_SILU)                            \
     : (a)->act == ACT_GELU      ? BY_GATE(a, f, __VA_ARGS__, ACT_GELU)                            \
     : (a)->act == ACT_GELU_TANH ? BY_GATE(a, f, __VA_ARGS__, ACT_GELU_TANH)                       \
                                 : BY_GATE(a, f, __VA_ARGS__, ACT_RELU2))
#define BY_GATE(a, f, ...)                                                                         \
    ((a)->gated ? BY_DTYPE((a)->dtype, f, __VA_ARGS__, true)                                       \
                : BY_DTYPE((a)->dtype, f, __VA_ARGS__, false))

INLINE void row_of(const struct op_activation *a, int64_t row, enum act act, bool gated,
                   enum dtype t)
{
    const int64_t I = a->I;
    const void *x = elem(a->x, (gated ? 2 : 1) * row * I, t), *u = elem(x, I, t);
    void *y = elem(a->y, row * I, t);
    for (int64_t i = 0; i < I; i += VL) {
        vf f = curve(v_get(x, i, t, I - i), act).f;
        v_put(y, i, t, I - i, gated ? f * v_get(u, i, t, I - i) : f);
    }
}

CPU_OP(activation)
{
    const int64_t rows = a->count ? *a->count : a->T;
    PARALLEL_FOR(d, row, rows) BY_ACT(a, row_of, a, row);
}

INLINE void grad_row(const struct op_activation_grad *a, int64_t row, enum act act, bool gated,
                     enum dtype t)
{
    const int64_t I = a->I, at = (gated ? 2 : 1) * row * I;
    const void *x = elem(a->x, at, t), *u = elem(x, I, t), *dy = elem(a->dy, row * I, t);
    void *dx = elem(a->dx, at, t), *du = elem(dx, I, t), *y = a->y ? elem(a->y, row * I, t) : NULL;
    for (int64_t i = 0; i < I; i += VL) {
        const int64_t left = I - i;
        vf grad = v_get(dy, i, t, left), up = gated ? v_get(u, i, t, left) : v_set(1);
        struct curve c = curve(v_get(x, i, t, left), act);
        if (y) v_put(y, i, t, left, gated ? c.f * up : c.f);
        v_put(dx, i, t, left, gated ? grad * up * c.slope : grad * c.slope);
        if (gated) v_put(du, i, t, left, grad * c.f);
    }
}

CPU_OP(activation_grad)
{
    const int64_t rows = a->count ? *a->count : a->T;
    PARALLEL_FOR(d, row, rows) BY_ACT(a, grad_row, a, row);
}
