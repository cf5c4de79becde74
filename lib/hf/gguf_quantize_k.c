/* SPDX-License-Identifier: Apache-2.0 */
/* Quantizes super-blocks of 256 elements to Q4_K and Q6_K with the search of ggml's reference
 * (make_qkx2_quants, make_qx_quants): several scales are tried for each sub-block, a least-squares
 * fit follows each, and the one with the least weighted error is kept. All sub-blocks are searched
 * side by side: element i of sub-block j lies at [i][j], so that a compiler makes vectors of the
 * loops over j. Every sum adds up in the order of the elements, as in the reference. */
#include <math.h>
#include <string.h>

#include "hf/dtype.h"
#include "hf/gguf_impl.h"

enum { SUPER = 256 };

/* Rounds to the nearest integer, ties to even: fp32 has no fraction at 1.5 * 2^23. */
static float nearest(float f) { return f + 12582912.0f - 12582912.0f; }
/* NaN, which a sub-block of equal elements leads to, becomes low. */
static float bound(float f, float low, float high) { return f > low ? f < high ? f : high : low; }

static float half_at(const unsigned char *p) { return f16_to_f32((uint16_t)(p[0] | p[1] << 8)); }

/* ---- Q4_K: x = scale * q - min, q from 0 to 15, in 8 sub-blocks of 32 ---- */
enum { SUBS4 = 8, SUB4 = SUPER / SUBS4, STEPS4 = 20, MOST4 = 15 };

/* The best fit of each sub-block so far: q = nearest(inverse * (x - base)). low: its minimum, which
 * the next steps begin from. */
struct fit4 {
    float x[SUB4][SUBS4], w[SUB4][SUBS4], l[SUB4][SUBS4];
    float sum_w[SUBS4], sum_x[SUBS4];
    float low[SUBS4], high[SUBS4], scale[SUBS4], error[SUBS4];
    float inverse[SUBS4], base[SUBS4];
};

static void load4(const float *x, struct fit4 *f)
{
    float squares[SUBS4] = {0};
    memset(f, 0, sizeof *f);
    for (int i = 0; i < SUB4; i++)
        for (int j = 0; j < SUBS4; j++) f->x[i][j] = x[SUB4 * j + i];
    for (int j = 0; j < SUBS4; j++) f->high[j] = f->x[0][j];
    for (int i = 0; i < SUB4; i++)
        for (int j = 0; j < SUBS4; j++) {
            const float v = f->x[i][j];
            squares[j] += v * v;
            f->low[j] = v < f->low[j] ? v : f->low[j];
            f->high[j] = v > f->high[j] ? v : f->high[j];
        }
    for (int j = 0; j < SUBS4; j++) squares[j] = sqrtf(squares[j] / SUB4);
    for (int i = 0; i < SUB4; i++)
        for (int j = 0; j < SUBS4; j++) {
            const float w = squares[j] + fabsf(f->x[i][j]);
            f->w[i][j] = w;
            f->sum_w[j] += w;
            f->sum_x[j] += w * f->x[i][j];
        }
}

static void round4(struct fit4 *f, const float inverse[SUBS4])
{
    for (int i = 0; i < SUB4; i++)
        for (int j = 0; j < SUBS4; j++)
            f->l[i][j] = bound(nearest(inverse[j] * (f->x[i][j] - f->low[j])), 0, MOST4);
}

static void error4(const struct fit4 *f, const float scale[SUBS4], const float low[SUBS4],
                   float error[SUBS4])
{
    for (int j = 0; j < SUBS4; j++) error[j] = 0;
    for (int i = 0; i < SUB4; i++)
        for (int j = 0; j < SUBS4; j++) {
            const float diff = scale[j] * f->l[i][j] + low[j] - f->x[i][j];
            error[j] += f->w[i][j] * (diff * diff);
        }
}

/* Fits scale and minimum to the rounded elements. Where there is no fit, scale is NaN. */
static void solve4(const struct fit4 *f, float scale[SUBS4], float low[SUBS4])
{
    float sum_l[SUBS4] = {0}, sum_l2[SUBS4] = {0}, sum_xl[SUBS4] = {0};
    for (int i = 0; i < SUB4; i++)
        for (int j = 0; j < SUBS4; j++) {
            const float wl = f->w[i][j] * f->l[i][j];
            sum_l[j] += wl;
            sum_l2[j] += wl * f->l[i][j];
            sum_xl[j] += wl * f->x[i][j];
        }
    for (int j = 0; j < SUBS4; j++) {
        const float d = f->sum_w[j] * sum_l2[j] - sum_l[j] * sum_l[j];
        scale[j] = (f->sum_w[j] * sum_xl[j] - f->sum_x[j] * sum_l[j]) / d;
        low[j] = (sum_l2[j] * f->sum_x[j] - sum_l[j] * sum_xl[j]) / d;
        if (low[j] > 0) {
            low[j] = 0;
            scale[j] = sum_xl[j] / sum_l2[j];
        }
        if (!(d > 0)) scale[j] = NAN;
    }
}

static void keep4(struct fit4 *f, int j, float inverse, float scale, float low)
{
    f->inverse[j] = inverse;
    f->base[j] = f->low[j];
    f->scale[j] = scale;
    f->low[j] = low;
}

static void search4(struct fit4 *f)
{
    float inverse[SUBS4], scale[SUBS4], low[SUBS4], error[SUBS4];
    for (int j = 0; j < SUBS4; j++) {
        inverse[j] = MOST4 / (f->high[j] - f->low[j]);
        keep4(f, j, inverse[j], 1 / inverse[j], f->low[j]);
    }
    round4(f, inverse);
    error4(f, f->scale, f->low, f->error);
    for (int step = 0; step <= STEPS4; step++) {
        for (int j = 0; j < SUBS4; j++)
            inverse[j] = (-1.0f + 0.1f * (float)step + MOST4) / (f->high[j] - f->low[j]);
        round4(f, inverse);
        solve4(f, scale, low);
        error4(f, scale, low, error);
        for (int j = 0; j < SUBS4; j++)
            if (error[j] < f->error[j]) {
                keep4(f, j, inverse[j], scale[j], low[j]);
                f->error[j] = error[j];
            }
    }
}

/* Puts the 6-bit scale and minimum of sub-block j where k_scale_min of gguf_quant.c reads them. */
static void put_scale_min(unsigned char *s, int j, int scale, int min)
{
    if (j < 4) {
        s[j] |= (unsigned char)scale;
        s[j + 4] |= (unsigned char)min;
    } else {
        s[j + 4] = (unsigned char)((scale & 15) | (min & 15) << 4);
        s[j - 4] |= (unsigned char)(scale >> 4 << 6);
        s[j] |= (unsigned char)(min >> 4 << 6);
    }
}

/* The quants of a sub-block for the scale and minimum as stored; those of the search where the
 * stored scale is 0. */
static void finish4(const struct fit4 *f, int j, float d, float min, unsigned char *q)
{
    for (int i = 0; i < SUB4; i++) {
        const float v = d != 0 ? (f->x[i][j] + min) / d : f->inverse[j] * (f->x[i][j] - f->base[j]);
        q[SUB4 * j + i] = (unsigned char)bound(nearest(v), 0, MOST4);
    }
}

void gguf_quantize_q4_k(const float *x, unsigned char *to)
{
    struct fit4 f;
    unsigned char q[SUPER];
    float most_scale = 0, most_min = 0;
    load4(x, &f);
    const struct fit4 start = f;
    search4(&f);
    for (int j = 0; j < SUBS4; j++) {
        if (!isfinite(MOST4 / (start.high[j] - start.low[j])))
            f.scale[j] = f.inverse[j] = 0, f.low[j] = start.low[j];
        most_scale = fmaxf(most_scale, f.scale[j]);
        most_min = fmaxf(most_min, -f.low[j]);
    }
    const float is = most_scale > 0 ? 63 / most_scale : 0, im = most_min > 0 ? 63 / most_min : 0;
    gguf_put_half(to, most_scale / 63);
    gguf_put_half(to + 2, most_min / 63);
    memset(to + 4, 0, 12);
    for (int j = 0; j < SUBS4; j++) {
        const int scale = (int)bound(nearest(is * f.scale[j]), 0, 63);
        const int min = (int)bound(nearest(im * -f.low[j]), 0, 63);
        put_scale_min(to + 4, j, scale, min);
        finish4(&f, j, half_at(to) * (float)scale, half_at(to + 2) * (float)min, q);
    }
    for (int i = 0; i < SUPER / 2; i++) {
        const int low = i / 32 * 64 + i % 32;
        to[16 + i] = (unsigned char)(q[low] | q[low + 32] << 4);
    }
}

/* ---- Q6_K: x = scale * q, q from -32 to 31, in 16 sub-blocks of 16 ---- */
enum { SUBS6 = 16, SUB6 = SUPER / SUBS6, STEPS6 = 9, HALF6 = 32 };
#define TINY 1e-15f /* a sub-block whose elements are all smaller is zero */

/* The best fit of each sub-block so far: q = nearest(inverse * x). most: the element of greatest
 * magnitude. */
struct fit6 {
    float x[SUB6][SUBS6];
    float most[SUBS6], inverse[SUBS6], scale[SUBS6], best[SUBS6];
};

static void load6(const float *x, struct fit6 *f)
{
    memset(f, 0, sizeof *f);
    for (int i = 0; i < SUB6; i++)
        for (int j = 0; j < SUBS6; j++) {
            const float v = x[SUB6 * j + i];
            f->x[i][j] = v;
            f->most[j] = fabsf(v) > fabsf(f->most[j]) ? v : f->most[j];
        }
}

static void sums6(const struct fit6 *f, const float inverse[SUBS6], float xl[SUBS6],
                  float l2[SUBS6])
{
    for (int j = 0; j < SUBS6; j++) xl[j] = l2[j] = 0;
    for (int i = 0; i < SUB6; i++)
        for (int j = 0; j < SUBS6; j++) {
            const float v = f->x[i][j], w = v * v;
            const float l = bound(nearest(inverse[j] * v), -HALF6, HALF6 - 1);
            xl[j] += w * v * l;
            l2[j] += w * l * l;
        }
}

static void search6(struct fit6 *f)
{
    float inverse[SUBS6], xl[SUBS6], l2[SUBS6];
    for (int j = 0; j < SUBS6; j++) f->inverse[j] = -HALF6 / f->most[j];
    sums6(f, f->inverse, xl, l2);
    for (int j = 0; j < SUBS6; j++) {
        f->scale[j] = l2[j] != 0 ? xl[j] / l2[j] : 0;
        f->best[j] = f->scale[j] * xl[j];
    }
    for (int step = -STEPS6; step <= STEPS6; step++) {
        if (step == 0) continue;
        for (int j = 0; j < SUBS6; j++) inverse[j] = -(HALF6 + 0.1f * (float)step) / f->most[j];
        sums6(f, inverse, xl, l2);
        for (int j = 0; j < SUBS6; j++) {
            if (!(l2[j] > 0 && xl[j] * xl[j] > f->best[j] * l2[j])) continue;
            f->inverse[j] = inverse[j];
            f->scale[j] = xl[j] / l2[j];
            f->best[j] = f->scale[j] * xl[j];
        }
    }
    for (int j = 0; j < SUBS6; j++)
        if (fabsf(f->most[j]) < TINY) f->scale[j] = 0;
}

/* The quants of a sub-block for its scale as stored; those of the search where that is 0. */
static void finish6(const struct fit6 *f, int j, float d, unsigned char *q)
{
    const bool zero = fabsf(f->most[j]) < TINY;
    for (int i = 0; i < SUB6; i++) {
        const float v = d != 0 ? f->x[i][j] / d : f->inverse[j] * f->x[i][j];
        const int l = (int)bound(nearest(v), -HALF6, HALF6 - 1) + HALF6;
        q[SUB6 * j + i] = (unsigned char)(zero ? 0 : l);
    }
}

/* Puts the quants where dequant_q6_k of gguf_quant.c reads them. */
static void put_quants6(const unsigned char *q, unsigned char *to)
{
    memset(to, 0, 192);
    for (int k = 0; k < SUPER; k++) {
        const int half = k / 128, g = k % 128 / 32, i = k % 32;
        to[64 * half + 32 * (g % 2) + i] |= (unsigned char)((q[k] & 15) << g / 2 * 4);
        to[128 + 32 * half + i] |= (unsigned char)(q[k] >> 4 << 2 * g);
    }
}

void gguf_quantize_q6_k(const float *x, unsigned char *to)
{
    struct fit6 f;
    unsigned char q[SUPER];
    float most = 0;
    load6(x, &f);
    search6(&f);
    for (int j = 0; j < SUBS6; j++)
        if (fabsf(f.scale[j]) > fabsf(most)) most = f.scale[j];
    if (fabsf(most) < TINY) {
        memset(to, 0, 210);
        return;
    }
    const float inverse = -128 / most;
    gguf_put_half(to + 208, 1 / inverse);
    for (int j = 0; j < SUBS6; j++) {
        const int scale = (int)bound(nearest(inverse * f.scale[j]), -128, 127);
        to[192 + j] = (unsigned char)scale;
        finish6(&f, j, half_at(to + 208) * (float)scale, q);
    }
    put_quants6(q, to);
}
