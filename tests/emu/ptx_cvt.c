/* SPDX-License-Identifier: Apache-2.0 */
/* Conversions among integers, f16, bf16, f32 and f64. */
#include <fenv.h>
#include <math.h>
#include <string.h>

#include "emu.h"
#include "half.h"

enum { KEEP, NEAREST, ZERO, DOWN, UP, AWAY };

/* A format of 16 bits. */
struct format {
    int exponent, mantissa; /* bits */
};
static const struct format half = {5, 10}, bfloat = {8, 7};

static double expand(const struct format *f, uint32_t bits)
{
    const int bias = (1 << (f->exponent - 1)) - 1;
    const uint32_t e = bits >> f->mantissa & ((1u << f->exponent) - 1),
                   m = bits & ((1u << f->mantissa) - 1);
    double v;
    if (e == (1u << f->exponent) - 1)
        v = m ? NAN : INFINITY;
    else if (e == 0)
        v = ldexp(m, 1 - bias - f->mantissa);
    else
        v = ldexp(m | 1u << f->mantissa, (int)e - bias - f->mantissa);
    return bits >> (f->exponent + f->mantissa) ? -v : v;
}

/* Rounds x; long double represents every 64-bit integer. */
static long double round_by(int mode, long double x)
{
    switch (mode) {
    case ZERO:
        return truncl(x);
    case DOWN:
        return floorl(x);
    case UP:
        return ceill(x);
    case AWAY:
        return roundl(x);
    default:
        return nearbyintl(x);
    }
}

static uint32_t shrink(const struct format *f, long double x, int mode)
{
    const int bias = (1 << (f->exponent - 1)) - 1, width = f->exponent + f->mantissa;
    const uint32_t sign = signbit(x) ? 1u << width : 0, top = (1u << f->exponent) - 1;
    if (isnan(x)) return (1u << width) - 1;
    if (isinf(x)) return sign | top << f->mantissa;
    int e = x == 0 ? -bias : ilogbl(x);
    if (e < 1 - bias) e = 1 - bias;
    const long double unit = ldexpl(1, e - f->mantissa), r = fabsl(round_by(mode, x / unit)) * unit;
    if (r == 0) return sign;
    if (r > ldexpl((2 << f->mantissa) - 1, bias - f->mantissa)) {
        const bool stays = mode == ZERO || (mode == DOWN && !sign) || (mode == UP && sign);
        return sign | (stays ? (top << f->mantissa) - 1 : top << f->mantissa);
    }
    const int b = ilogbl(r);
    if (b < 1 - bias) return sign | (uint32_t)ldexpl(r, bias - 1 + f->mantissa);
    return sign | (((uint32_t)(b + bias) << f->mantissa) +
                   (uint32_t)(ldexpl(r, f->mantissa - b) - ldexpl(1, f->mantissa)));
}

static double clamp01(double x) { return x > 0 ? (x < 1 ? x : 1) : 0; }

/* ---- by type ---- */
static double real_of(const struct instr *i, struct type t, uint64_t bits)
{
    if (t.bits == 64) {
        double x;
        memcpy(&x, &bits, sizeof x);
        return x;
    }
    if (t.bits == 32) {
        const uint32_t b = (uint32_t)bits;
        float x;
        memcpy(&x, &b, sizeof x);
        return i->ftz && fabsf(x) < 0x1p-126f ? copysignf(0, x) : x;
    }
    return expand(t.kind == 'h' ? &bfloat : &half, (uint32_t)bits & 0xffff);
}

static int fe_of(int mode)
{
    return mode == ZERO   ? FE_TOWARDZERO
           : mode == DOWN ? FE_DOWNWARD
           : mode == UP   ? FE_UPWARD
                          : FE_TONEAREST;
}

/* Sets the rounding mode; nearest is the default of the host. */
static void round_as(int mode)
{
    if (fe_of(mode) != FE_TONEAREST) fesetround(fe_of(mode));
}
static void round_nearest(int mode)
{
    if (fe_of(mode) != FE_TONEAREST) fesetround(FE_TONEAREST);
}

static uint32_t float_bits(double x, int mode, bool ftz)
{
    uint32_t b;
    if (isnan(x)) return 0x7fffffff;
    round_as(mode);
    volatile float r = (float)x;
    round_nearest(mode);
    float v = r;
    if (ftz && fabsf(v) < 0x1p-126f) v = copysignf(0, v);
    memcpy(&b, &v, sizeof b);
    return b;
}

/* Narrows a NaN from double; it keeps its sign and the upper bits of its payload. */
static uint64_t narrow_nan(const struct format *f, uint64_t raw)
{
    const uint64_t all = ((1ull << f->exponent) - 1) << f->mantissa;
    const uint64_t payload = (raw | 1ull << 51) >> (52 - f->mantissa) & ((1ull << f->mantissa) - 1);
    return raw >> 63 << (f->exponent + f->mantissa) | all | payload;
}

/* Widens a NaN to double; it keeps its whole payload. */
static uint64_t widen_nan(struct type from, uint64_t raw)
{
    const int mantissa = from.bits == 64 ? 52 : from.bits == 32 ? 23 : from.kind == 'h' ? 7 : 10;
    const uint64_t payload = (raw & ((1ull << mantissa) - 1)) << (52 - mantissa);
    return (raw >> (from.bits - 1) & 1) << 63 | 0x7ff8000000000000ull | payload;
}

static uint64_t bits_of_real(const struct instr *i, double x, uint64_t raw)
{
    uint64_t b;
    if (i->sat) x = clamp01(x);
    if (i->type.bits == 64) {
        if (isnan(x)) return widen_nan(i->from, i->ftz ? 0x7fffffff : raw);
        memcpy(&b, &x, sizeof b);
        return b;
    }
    if (i->type.bits == 32) {
        if (isnan(x) && i->from.bits == 64)
            return (uint32_t)((raw >> 32 & 0x80000000u) | 0x7fc00000u | (raw >> 29 & 0x3fffff));
        return float_bits(x, i->mode, i->ftz);
    }
    const struct format *f = i->type.kind == 'h' ? &bfloat : &half;
    if (isnan(x) && i->from.bits == 64) return narrow_nan(f, raw);
    if (i->mode == NEAREST) return half_round(i->type.kind == 'h' ? HALF_BF16 : HALF_F16, x, 0);
    return shrink(f, x, i->mode);
}

static uint64_t integer_of(const struct instr *i, double x)
{
    const int bits = i->type.bits;
    const bool sign = i->type.kind == 's';
    if (isnan(x)) {
        if (bits == 64) return 1ull << 63;
        return i->from.bits == 64 && bits == 32 ? 0x80000000u : 0;
    }
    x = (double)round_by(i->mode, x);
    const double low = sign ? -ldexp(1, bits - 1) : 0, high = ldexp(1, sign ? bits - 1 : bits);
    if (x < low) x = low;
    if (x >= high) return sign ? (1ull << (bits - 1)) - 1 : bits == 64 ? ~0ull : (1ull << bits) - 1;
    return sign ? (uint64_t)(int64_t)x : (uint64_t)x;
}

static uint64_t extended(struct type t, uint64_t bits)
{
    if (t.bits == 64) return bits;
    const int up = 64 - t.bits;
    return t.kind == 's' ? (uint64_t)((int64_t)(bits << up) >> up) : bits << up >> up;
}

static uint64_t clamped(const struct instr *i, uint64_t v)
{
    const struct type t = i->type;
    const bool negative = i->from.kind == 's' && (int64_t)v < 0;
    const uint64_t most = t.kind == 's'  ? (1ull << (t.bits - 1)) - 1
                          : t.bits == 64 ? ~0ull
                                         : (1ull << t.bits) - 1;
    if (negative) {
        if (t.kind == 'u') return 0;
        const int64_t least = -(int64_t)most - 1;
        return (int64_t)v < least ? (uint64_t)least : v;
    }
    return v > most ? most : v;
}

static bool is_real(struct type t) { return t.kind == 'f' || t.kind == 'h'; }

/* Extends a signed result to the width of the register. */
static uint64_t converted(const struct instr *i, uint64_t raw)
{
    if (is_real(i->from)) {
        double x = real_of(i, i->from, raw);
        if (!is_real(i->type)) return integer_of(i, x);
        if (i->from.kind == 'h' && i->type.bits == 32 && i->type.kind == 'f' && !i->sat)
            return (raw & 0xffff) << 16;
        if (i->mode && i->type.bits == i->from.bits && i->type.kind == i->from.kind)
            x = (double)round_by(i->mode, x);
        return bits_of_real(i, x, raw);
    }
    const uint64_t v = extended(i->from, raw);
    if (!is_real(i->type)) return i->sat ? clamped(i, v) : extended(i->type, v);
    if (i->type.bits == 64 || i->type.bits == 32) {
        uint64_t b = 0;
        round_as(i->mode);
        if (i->type.bits == 64) {
            volatile double d = i->from.kind == 's' ? (double)(int64_t)v : (double)v;
            memcpy(&b, (const void *)&d, sizeof d);
        } else {
            volatile float f = i->from.kind == 's' ? (float)(int64_t)v : (float)v;
            if (i->sat) f = (float)clamp01(f);
            memcpy(&b, (const void *)&f, sizeof f);
        }
        round_nearest(i->mode);
        return b;
    }
    const long double whole = i->from.kind == 's' ? (long double)(int64_t)v : (long double)v;
    return shrink(i->type.kind == 'h' ? &bfloat : &half, i->sat ? clamp01((double)whole) : whole,
                  i->mode);
}

static void cvt(struct warp *w, const struct instr *i, uint32_t on)
{
    const struct operand *d = operand(i, 0), *x = operand(i, 1);
    EACH_LANE(on, const uint64_t v = converted(i, lane_get(w, x, l)); lane_put(w, d, l, v););
}

/* Common cases that the compiler vectorises. */
static void cvt_wide_s32(struct warp *w, const struct instr *i, uint32_t on)
{
    uint64_t *d = wide(w, operand(i, 0));
    const int32_t *x = (const int32_t *)narrow(w, operand(i, 1));
    EACH_LANE(on, d[l] = (uint64_t)(int64_t)x[l];);
}
static void cvt_wide_u32(struct warp *w, const struct instr *i, uint32_t on)
{
    uint64_t *d = wide(w, operand(i, 0));
    const uint32_t *x = narrow(w, operand(i, 1));
    EACH_LANE(on, d[l] = x[l];);
}
static void cvt_narrow_64(struct warp *w, const struct instr *i, uint32_t on)
{
    uint32_t *d = narrow(w, operand(i, 0));
    const uint64_t *x = wide(w, operand(i, 1));
    EACH_LANE(on, d[l] = (uint32_t)x[l];);
}

static void cvt_sat_f32(struct warp *w, const struct instr *i, uint32_t on)
{
    float *d = (float *)narrow(w, operand(i, 0));
    const float *x = (const float *)narrow(w, operand(i, 1));
    EACH_LANE(on, const float v = x[l]; d[l] = v > 0 ? (v < 1 ? v : 1) : 0;);
}
static void cvt_from_bf16(struct warp *w, const struct instr *i, uint32_t on)
{
    uint32_t *d = narrow(w, operand(i, 0));
    const uint32_t *x = narrow(w, operand(i, 1));
    EACH_LANE(on, d[l] = x[l] << 16;);
}
static inline uint32_t bf16_of(uint32_t f32)
{
    const bool nan = (f32 & 0x7fffffff) > 0x7f800000;
    return nan ? 0x7fff : (f32 + 0x7fff + (f32 >> 16 & 1)) >> 16;
}
static void cvt_bf16(struct warp *w, const struct instr *i, uint32_t on)
{
    uint32_t *d = narrow(w, operand(i, 0));
    const uint32_t *x = narrow(w, operand(i, 1));
    EACH_LANE(on, d[l] = bf16_of(x[l]););
}
static void cvt_pair_bf16(struct warp *w, const struct instr *i, uint32_t on)
{
    uint32_t *d = narrow(w, operand(i, 0));
    const uint32_t *high = narrow(w, operand(i, 1)), *low = narrow(w, operand(i, 2));
    EACH_LANE(on, d[l] = bf16_of(high[l]) << 16 | bf16_of(low[l]););
}

/* Converts two values into the halves of a word; the first is the high half. */
static void cvt_pair(struct warp *w, const struct instr *i, uint32_t on)
{
    uint32_t *d = narrow(w, operand(i, 0));
    const uint32_t *high = narrow(w, operand(i, 1)), *low = narrow(w, operand(i, 2));
    const struct type from = {'f', 32};
    struct instr one = *i;
    one.from = from;
    EACH_LANE(on, d[l] = (uint32_t)(bits_of_real(&one, real_of(&one, from, high[l]), 0) << 16 |
                                    bits_of_real(&one, real_of(&one, from, low[l]), 0)););
}

static bool any_type(const char **p, struct type *t)
{
    if (ptx_suffix(p, "bf16")) return *t = (struct type){'h', 16}, true;
    return ptx_type(p, t);
}

static bool rounding(const char **p, struct instr *i)
{
    static const struct {
        const char *word;
        uint8_t mode;
    } all[] = {{"rn", NEAREST},  {"rz", ZERO},  {"rm", DOWN},  {"rp", UP}, {"rna", AWAY},
               {"rni", NEAREST}, {"rzi", ZERO}, {"rmi", DOWN}, {"rpi", UP}};
    for (size_t k = 0; k < sizeof all / sizeof *all; k++)
        if (ptx_suffix(p, all[k].word)) return i->mode = all[k].mode, true;
    return false;
}

static execute *common(const struct instr *i)
{
    const bool wide_register = operand(i, 0)->wide, wide_source = operand(i, 1)->wide;
    if (i->sat) {
        const bool f32 =
            i->type.kind == 'f' && i->from.kind == 'f' && i->type.bits == 32 && i->from.bits == 32;
        return f32 && !i->mode && !i->ftz ? cvt_sat_f32 : cvt;
    }
    if (i->from.kind == 'h' && i->type.kind == 'f' && i->type.bits == 32) return cvt_from_bf16;
    if (i->ftz) return cvt;
    if (i->type.kind == 'h' && i->from.kind == 'f' && i->from.bits == 32 && i->mode == NEAREST)
        return cvt_bf16;
    if (is_real(i->type) || is_real(i->from)) return cvt;
    if (i->type.bits == 64 && i->from.bits == 32 && wide_register && !wide_source)
        return i->from.kind == 's' ? cvt_wide_s32 : cvt_wide_u32;
    if (i->type.bits == 32 && i->from.bits == 64 && !wide_register && wide_source)
        return cvt_narrow_64;
    return cvt;
}

bool decode_cvt(struct instr *i)
{
    const char *p = i->text + 3;
    if (strncmp(i->text, "cvt.", 4)) return false;
    for (;;) {
        if (rounding(&p, i)) continue;
        if (ptx_suffix(&p, "ftz"))
            i->ftz = true;
        else if (ptx_suffix(&p, "sat"))
            i->sat = true;
        else
            break;
    }
    if (ptx_suffix(&p, "bf16x2") || ptx_suffix(&p, "f16x2")) {
        const bool b = p[-5] == 'b' || !strncmp(p - 6, "bf16x2", 6);
        i->type = (struct type){b ? 'h' : 'f', 16};
        i->run = b && i->mode == NEAREST && !i->sat && !i->ftz ? cvt_pair_bf16 : cvt_pair;
        return ptx_suffix(&p, "f32") && !*p && i->groups == 3;
    }
    if (!any_type(&p, &i->type) || !any_type(&p, &i->from) || *p) return false;
    i->run = common(i);
    return true;
}
