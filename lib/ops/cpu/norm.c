/* SPDX-License-Identifier: Apache-2.0 */
/* RMSNorm with the residual addition before it. Limit: memory bandwidth (a row stays in L1). */
#include "ops/cpu/cpu.h"

enum { ROWS = 64 }; /* rows whose part of dw is summed before it is added to the total */

/* Calls f(..., offset of the gain, type, type of the residual stream), so that f is compiled for
 * each. */
#define BY_OFFSET(a, f, ...)                                                                       \
    ((a)->gain_offset > 0 ? BY_STREAM(a, f, __VA_ARGS__, 1) : BY_STREAM(a, f, __VA_ARGS__, 0))
#define BY_STREAM(a, f, ...)                                                                       \
    ((a)->dtype != DT_BF16 ? f(__VA_ARGS__, DT_F32, DT_F32)                                        \
     : (a)->wide           ? f(__VA_ARGS__, DT_BF16, DT_F32)                                       \
                           : f(__VA_ARGS__, DT_BF16, DT_BF16))

/* Returns lanes of s = x + r. */
INLINE vf stream(const void *x, const void *r, int64_t i, enum dtype xt, enum dtype st,
                 int64_t left)
{
    vf v = v_get(x, i, xt, left);
    if (r) v += v_get(r, i, st, left);
    return r || xt != st ? v_round(v, st) : v;
}

static float norm_rstd(const struct op_rmsnorm *a, int64_t row, float sum)
{
    if (a->squares)
        return 1 / sqrtf(((const float *)a->squares)[row] / (float)a->all + (float)a->eps);
    return 1 / sqrtf(sum / (float)a->H + (float)a->eps);
}

/* Returns lanes of the gain. */
INLINE vf gain(const void *w, int64_t i, int offset, enum dtype t, int64_t left)
{
    vf v = v_get(w, i, t, left);
    return offset ? v + (float)offset : v;
}

/* t, xt, st and yt are the types of w, x, s and y. */
INLINE void norm_types(const struct op_rmsnorm *a, int64_t row, int offset, enum dtype t,
                       enum dtype xt, enum dtype st, enum dtype yt)
{
    const int64_t H = a->H, at = row * H, strided = norm_at(row, H, a->heads, a->stride);
    const void *x = elem(a->x, strided, xt), *r = a->r ? elem(a->r, at, st) : NULL;
    void *y = elem(a->y, strided, yt), *s = a->s ? elem(a->s, at, st) : NULL;
    vf sum = v_set(0);
    for (int64_t i = 0; i < H; i += VL) {
        vf v = stream(x, r, i, xt, st, H - i);
        sum = v_fma(v, v, sum);
        if (s) v_put(s, i, st, H - i, v);
    }
    const float rstd = norm_rstd(a, row, v_sum(sum));
    if (a->rstd) ((float *)a->rstd)[row] = rstd;
    for (int64_t i = 0; i < H; i += VL) { /* x may alias s */
        vf v = s ? v_get(s, i, st, H - i) : stream(x, r, i, xt, st, H - i);
        v_put(y, i, yt, H - i, v * rstd * gain(a->w, i, offset, t, H - i));
    }
}

INLINE void norm_row(const struct op_rmsnorm *a, int64_t row, int offset, enum dtype t,
                     enum dtype st)
{
    norm_types(a, row, offset, t, st, st, t);
}
INLINE void norm_branch(const struct op_rmsnorm *a, int64_t row, enum dtype t)
{
    norm_types(a, row, (int)a->gain_offset, t, DT_F32, t, DT_F32);
}

CPU_OP(rmsnorm)
{
    const int64_t rows = norm_rows(a->T, a->heads);
    if (a->branch)
        PARALLEL_FOR(d, row, rows) BY_DTYPE(a->dtype, norm_branch, a, row);
    else
        PARALLEL_FOR(d, row, rows) BY_OFFSET(a, norm_row, a, row);
}

INLINE void dot_row(const struct op_row_dot *a, int64_t row, enum dtype t)
{
    const void *x = elem(a->a, row * a->stride, t), *y = elem(a->b, row * a->stride, t);
    vf sum = v_set(0);
    for (int64_t i = 0; i < a->H; i += VL) {
        vf v = v_get(x, i, t, a->H - i);
        if (a->w) v *= gain(a->w, i, (int)a->gain_offset, t, a->H - i);
        sum = v_fma(v, v_get(y, i, t, a->H - i), sum);
    }
    ((float *)a->y)[row] = v_sum(sum);
}

CPU_OP(row_dot) { PARALLEL_FOR(d, row, a->T) BY_DTYPE(a->dtype, dot_row, a, row); }

/* Computes the gradient of a row; see lib/ops/ref/norm.c for the formula. */
INLINE void grad_row(const struct op_rmsnorm_grad *a, int64_t row, float *dw, int offset,
                     enum dtype t, enum dtype st)
{
    const int64_t H = a->H, at = row * H, strided = norm_at(row, H, a->heads, a->stride);
    const void *s = elem(a->s, strided, st), *dy = elem(a->dy, strided, t);
    const void *dres = a->dres ? elem(a->dres, strided, t) : NULL;
    void *dx = elem(a->dx, strided, t), *y = a->y ? elem(a->y, at, t) : NULL;
    const float rstd = ((const float *)a->rstd)[row];
    vf sum = v_set(0);
    for (int64_t i = 0; i < H; i += VL) {
        vf g = v_get(dy, i, t, H - i) * gain(a->w, i, offset, t, H - i);
        sum = v_fma(g, v_get(s, i, st, H - i), sum);
    }
    const float mean = a->dots ? ((const float *)a->dots)[row] * rstd / (float)a->all
                               : v_sum(sum) * rstd / (float)H;
    for (int64_t i = 0; i < H; i += VL) {
        const int64_t left = H - i;
        vf n = v_get(s, i, st, left) * rstd, g = v_get(dy, i, t, left);
        vf w = gain(a->w, i, offset, t, left);
        vf out = (g * w - n * mean) * rstd;
        if (dres) out += v_get(dres, i, t, left);
        if (y) v_put(y, i, t, left, n * w);
        v_put(dw, i, DT_F32, left, v_fma(g, n, v_get(dw, i, DT_F32, left)));
        v_put(dx, i, t, left, out);
    }
}

INLINE void grad_rows(const struct op_rmsnorm_grad *a, int64_t block, float *dw, int offset,
                      enum dtype t, enum dtype st)
{
    const int64_t end = cpu_min((block + 1) * ROWS, norm_rows(a->T, a->heads));
    memset(dw, 0, (size_t)a->H * sizeof *dw);
    for (int64_t row = block * ROWS; row < end; row++) grad_row(a, row, dw, offset, t, st);
}

static int64_t grad_blocks(const struct op_rmsnorm_grad *a)
{
    return cpu_blocks(norm_rows(a->T, a->heads), ROWS);
}

CPU_WORK(rmsnorm_grad)
{
    (void)d;
    return (size_t)(grad_blocks(a) * a->H) * sizeof(float);
}

static void add_gradient(void *dw, int64_t i, enum dtype t, float x)
{
    float *f = dw;
    uint16_t *h = dw;
    if (t == DT_BF16)
        h[i] = bf16_from_f32(bf16_to_f32(h[i]) + x);
    else
        f[i] += x;
}

CPU_OP(rmsnorm_grad)
{
    const int64_t blocks = grad_blocks(a);
    float *part = device_work(d)->p;
    PARALLEL_FOR(d, b, blocks) BY_OFFSET(a, grad_rows, a, b, part + b * a->H);
    if (!a->dw) return;
    PARALLEL_FOR(d, i, a->H)
    {
        float sum = 0;
        for (int64_t b = 0; b < blocks; b++) sum += part[b * a->H + i];
        add_gradient(a->dw, i, a->dw_dtype, sum);
    }
}
