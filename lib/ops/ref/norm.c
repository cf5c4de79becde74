/* SPDX-License-Identifier: Apache-2.0 */
/* Reference of RMSNorm (Zhang and Sennrich 2019) with the residual addition before it. */
#include "ref.h"

/* The type of the residual stream. */
static enum dtype stream_type(enum dtype t, bool wide) { return wide ? real_of(t) : t; }

static REAL rounded(REAL x, enum dtype t)
{
    if (t == DT_BF16) return (REAL)bf16_to_f32(bf16_from_f32((float)x));
    return t == DT_F32 ? (REAL)(float)x : x;
}

/* Returns element i of the row's s = x + r, rounded to its type as the backward pass reads it. */
static REAL residual(const struct op_rmsnorm *a, int64_t row, int64_t i)
{
    const enum dtype t = stream_type(a->dtype, a->wide);
    const enum dtype x = stream_type(a->dtype, a->wide || a->branch);
    REAL s = get(a->x, norm_at(row, a->H, a->heads, a->stride) + i, x);
    if (a->r) s += get(a->r, row * a->H + i, t);
    return rounded(s, t);
}

/* Returns 1 / (the root of the mean square of the row). */
static REAL norm_rstd(const struct op_rmsnorm *a, int64_t row)
{
    REAL sum = 0;
    for (int64_t i = 0; i < a->H; i++) sum += residual(a, row, i) * residual(a, row, i);
    if (a->squares) sum = get(a->squares, row, real_of(a->dtype));
    return 1 / sqrt(sum / (REAL)(a->squares ? a->all : a->H) + (REAL)a->eps);
}

/* Returns what element i of a normalised row is multiplied with. */
static REAL gain(const void *w, int64_t i, enum dtype t, float offset)
{
    return (REAL)offset + get(w, i, t);
}

REF_OP(rmsnorm)
{
    for (int64_t row = 0; row < norm_rows(a->T, a->heads); row++) {
        const int64_t y = norm_at(row, a->H, a->heads, a->stride);
        const REAL rstd = norm_rstd(a, row);
        if (a->rstd) put(a->rstd, row, real_of(a->dtype), rstd);
        for (int64_t i = 0; i < a->H; i++) {
            REAL s = residual(a, row, i);
            if (a->s) put(a->s, row * a->H + i, stream_type(a->dtype, a->wide), s);
            put(a->y, y + i, stream_type(a->dtype, a->branch),
                s * rstd * gain(a->w, i, a->dtype, a->gain_offset));
        }
    }
}

/* Adds to dw the sum over rows of dy * n; runs first because dx may overwrite the inputs. */
static void add_dw(const struct op_rmsnorm_grad *a, enum dtype real, enum dtype wide)
{
    const enum dtype to = kept_as(a->dw_dtype, real);
    for (int64_t i = 0; i < a->H; i++) {
        REAL sum = get(a->dw, i, to);
        for (int64_t row = 0; row < norm_rows(a->T, a->heads); row++) {
            const int64_t at = norm_at(row, a->H, a->heads, a->stride) + i;
            const REAL n = get(a->s, at, wide) * get(a->rstd, row, real);
            sum += get(a->dy, at, a->dtype) * n;
        }
        put(a->dw, i, to, sum);
    }
}

/* With n = s * rstd, g = dy * u and u the gain:  ds = rstd * (g - n * mean(g * n)),  dw = sum over
 * t of dy * n */
REF_OP(rmsnorm_grad)
{
    enum dtype t = a->dtype, real = real_of(t), wide = stream_type(t, a->wide);
    const float offset = a->gain_offset;
    if (a->dw) add_dw(a, real, wide);
    for (int64_t row = 0; row < norm_rows(a->T, a->heads); row++) {
        const int64_t at = row * a->H, d = norm_at(row, a->H, a->heads, a->stride);
        REAL rstd = get(a->rstd, row, real), mean = 0;
        for (int64_t i = 0; i < a->H; i++)
            mean += get(a->dy, d + i, t) * gain(a->w, i, t, offset) * get(a->s, d + i, wide) * rstd;
        if (a->dots) mean = get(a->dots, row, real) * rstd;
        mean /= (REAL)(a->dots ? a->all : a->H);
        for (int64_t i = 0; i < a->H; i++) {
            REAL n = get(a->s, d + i, wide) * rstd, dy = get(a->dy, d + i, t);
            REAL u = gain(a->w, i, t, offset), dx = rstd * (dy * u - n * mean);
            if (a->dres) dx += get(a->dres, d + i, t);
            if (a->y) put(a->y, at + i, t, n * u);
            put(a->dx, d + i, t, dx);
        }
    }
}

REF_OP(row_dot)
{
    for (int64_t row = 0; row < a->T; row++) {
        REAL sum = 0;
        for (int64_t i = 0; i < a->H; i++) {
            const int64_t at = row * a->stride + i;
            const REAL w = a->w ? gain(a->w, i, a->dtype, a->gain_offset) : 1;
            sum += get(a->a, at, a->dtype) * get(a->b, at, a->dtype) * w;
        }
        put(a->y, row, real_of(a->dtype), sum);
    }
}

REF_OP(bias_grad)
{
    const enum dtype to = kept_as(a->db_dtype, real_of(a->dtype));
    for (int64_t i = 0; i < a->n; i++) {
        REAL sum = get(a->db, i, to);
        for (int64_t t = 0; t < a->T; t++) sum += get(a->dy, t * a->n + i, a->dtype);
        put(a->db, i, to, sum);
    }
}
