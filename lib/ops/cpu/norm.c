/* SPDX-License-Identifier: Apache-2.0 */
/* RMSNorm with the residual addition before it. Limit: memory bandwidth (a row stays in L1). */
#include "ops/cpu/cpu.h"

enum { ROWS = 64 }; /* rows whose share of dw is summed before it joins the others */

INLINE void norm_row(const struct op_rmsnorm *a, int64_t row, enum dtype t)
{
    const int64_t H = a->H, at = row * H, strided = norm_at(row, H, a->heads, a->stride);
    const void *x = elem(a->x, strided, t), *r = a->r ? elem(a->r, at, t) : NULL;
    void *y = elem(a->y, strided, t), *s = a->s ? elem(a->s, at, t) : NULL;
    vf sum = v_set(0);
    for (int64_t i = 0; i < H; i += VL) {
        vf v = v_get(x, i, t, H - i);
        if (r) v = v_round(v + v_get(r, i, t, H - i), t);
        sum = v_fma(v, v, sum);
        if (s) v_put(s, i, t, H - i, v);
        v_put(y, i, t, H - i, v); /* for now: read again below */
    }
    const float rstd = 1 / sqrtf(v_sum(sum) / (float)H + (float)a->eps);
    if (a->rstd) ((float *)a->rstd)[row] = rstd;
    for (int64_t i = 0; i < H; i += VL)
        v_put(y, i, t, H - i, v_get(y, i, t, H - i) * rstd * v_get(a->w, i, t, H - i));
}

CPU_OP(rmsnorm)
{
    PARALLEL_FOR(d, row, norm_rows(a->T, a->heads)) BY_DTYPE(a->dtype, norm_row, a, row);
}

/* See lib/ops/ref/norm.c for the formula. */
INLINE void grad_row(const struct op_rmsnorm_grad *a, int64_t row, float *dw, enum dtype t)
{
    const int64_t H = a->H, at = row * H, strided = norm_at(row, H, a->heads, a->stride);
    const void *s = elem(a->s, strided, t), *dy = elem(a->dy, strided, t);
    const void *dres = a->dres ? elem(a->dres, strided, t) : NULL;
    void *dx = elem(a->dx, strided, t), *y = a->y ? elem(a->y, at, t) : NULL;
    const float rstd = ((const float *)a->rstd)[row];
    vf sum = v_set(0);
    for (int64_t i = 0; i < H; i += VL)
        sum = v_fma(v_get(dy, i, t, H - i) * v_get(a->w, i, t, H - i), v_get(s, i, t, H - i), sum);
    const float mean = v_sum(sum) * rstd / (float)H;
    for (int64_t i = 0; i < H; i += VL) {
        const int64_t left = H - i;
        vf n = v_get(s, i, t, left) * rstd, g = v_get(dy, i, t, left), w = v_get(a->w, i, t, left);
        vf out = (g * w - n * mean) * rstd;
        if (dres) out += v_get(dres, i, t, left);
        if (y) v_put(y, i, t, left, n * w);
        v_put(dw, i, DT_F32, left, v_fma(g, n, v_get(dw, i, DT_F32, left)));
        v_put(dx, i, t, left, out);
    }
}

INLINE void grad_rows(const struct op_rmsnorm_grad *a, int64_t block, float *dw, enum dtype t)
{
    const int64_t end = cpu_min((block + 1) * ROWS, norm_rows(a->T, a->heads));
    memset(dw, 0, (size_t)a->H * sizeof *dw);
    for (int64_t row = block * ROWS; row < end; row++) grad_row(a, row, dw, t);
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

CPU_OP(rmsnorm_grad)
{
    const int64_t blocks = grad_blocks(a);
    float *part = d->work, *dw = a->dw;
    PARALLEL_FOR(d, b, blocks) BY_DTYPE(a->dtype, grad_rows, a, b, part + b * a->H);
    if (!dw) return;
    PARALLEL_FOR(d, i, a->H)
    {
        float sum = 0;
        for (int64_t b = 0; b < blocks; b++) sum += part[b * a->H + i];
        dw[i] += sum;
    }
}
