/* SPDX-License-Identifier: Apache-2.0 */
/* Conversions with .relu and .satfinite, to tf32 and fp8, and packing of integers. */
#include <math.h>
#include <string.h>

#include "emu.h"
#include "half.h"

enum { TO_HALF, TO_PAIR, TO_TF32, TO_FP8, FROM_FP8, PACK }; /* instr.mode */
enum { RELU = 1, FINITE = 2 };                              /* bits of instr.combine */
enum { NEAREST, ZERO, AWAY };                               /* instr.compare */

static float f32_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* ---- one number ---- */
static uint32_t relu(const struct instr *i, uint32_t bits, uint32_t sign)
{
    return i->combine & RELU && bits & sign ? 0 : bits;
}

/* Rounds f32 to f16 or bf16, toward zero by cutting what the nearest one adds. */
static uint16_t to_half(const struct instr *i, uint32_t bits)
{
    const enum half_format f = i->type.kind == 'h' ? HALF_BF16 : HALF_F16;
    const uint16_t infinity = f == HALF_F16 ? 0x7c00 : 0x7f80;
    const double x = f32_of(bits);
    if (isnan(x)) return 0x7fff;
    uint16_t r = half_round(f, x, 0);
    if (i->compare == ZERO && fabs(half_value(f, r)) > fabs(x)) r--;
    if (i->combine & FINITE && (r & 0x7fff) == infinity) r--;
    return (uint16_t)relu(i, r, 0x8000);
}

static uint32_t to_tf32(const struct instr *i, uint32_t x)
{
    const bool nan = (x & 0x7fffffff) > 0x7f800000, infinite = (x & 0x7fffffff) == 0x7f800000;
    if (nan && i->compare == AWAY) return x & 0xffffe000;
    if (nan) return 0x7fffe000;
    if (i->compare == NEAREST && !infinite) x += 0xfff + (x >> 13 & 1);
    if (i->compare == AWAY && !infinite) x += 0x1000;
    return relu(i, x & 0xffffe000, 0x80000000);
}

/* Rounds to nearest even among the 256 values; what is too large becomes the largest. */
static uint8_t to_fp8(const struct instr *i, double x)
{
    const bool e5m2 = i->type.kind == '5';
    const int most = e5m2 ? 0x7b : 0x7e;
    if (isnan(x)) return 0x7f;
    const uint8_t sign = signbit(x) ? 0x80 : 0;
    if (sign && i->combine & RELU) return 0;
    const double a = fabs(x);
    int low = 0, high = most;
    while (low < high) { /* the largest value that is not above a */
        const int mid = (low + high + 1) / 2;
        if (fp8_value(e5m2, (uint8_t)mid) <= a)
            low = mid;
        else
            high = mid - 1;
    }
    if (low < most) {
        const double below = a - fp8_value(e5m2, (uint8_t)low),
                     above = fp8_value(e5m2, (uint8_t)(low + 1)) - a;
        if (above < below || (above == below && low & 1)) low++;
    }
    return sign | (uint8_t)low;
}

static uint16_t from_fp8(const struct instr *i, uint8_t bits)
{
    const uint16_t r = half_round(HALF_F16, fp8_value(i->from.kind == '5', bits), 0);
    return r == 0x7fff ? r : (uint16_t)relu(i, r, 0x8000);
}

static uint32_t packed(const struct instr *i, uint32_t x, uint32_t y, uint32_t rest)
{
    const int bits = i->type.bits;
    const bool sign = i->type.kind == 's';
    const int32_t low = sign ? -(1 << (bits - 1)) : 0,
                  high = sign ? (1 << (bits - 1)) - 1 : (1 << bits) - 1, a = (int32_t)x,
                  b = (int32_t)y;
    const uint32_t mask = (1u << bits) - 1;
    const uint32_t top = (uint32_t)(a < low    ? low
                                    : a > high ? high
                                               : a) &
                         mask,
                   bottom = (uint32_t)(b < low    ? low
                                       : b > high ? high
                                                  : b) &
                            mask;
    return (i->groups > 3 ? rest << 2 * bits : 0) | top << bits | bottom;
}

/* ---- lanes ---- */
static uint32_t converted(const struct instr *i, uint32_t x, uint32_t y, uint32_t z)
{
    switch (i->mode) {
    case TO_HALF:
        return to_half(i, x);
    case TO_PAIR:
        return (uint32_t)to_half(i, x) << 16 | to_half(i, y);
    case TO_TF32:
        return to_tf32(i, x);
    case TO_FP8:
        if (i->groups == 3) return (uint32_t)to_fp8(i, f32_of(x)) << 8 | to_fp8(i, f32_of(y));
        return (uint32_t)to_fp8(i, half_value(HALF_F16, (uint16_t)(x >> 16))) << 8 |
               to_fp8(i, half_value(HALF_F16, (uint16_t)x));
    case FROM_FP8:
        return (uint32_t)from_fp8(i, (uint8_t)(x >> 8)) << 16 | from_fp8(i, (uint8_t)x);
    default:
        return packed(i, x, y, z);
    }
}

static void cvt(struct warp *w, const struct instr *i, uint32_t on)
{
    uint32_t *d = narrow(w, operand(i, 0));
    const uint32_t *x = narrow(w, operand(i, 1)), *y = narrow(w, operand(i, i->groups > 2 ? 2 : 1)),
                   *z = narrow(w, operand(i, i->groups > 3 ? 3 : 1));
    EACH_LANE(on, d[l] = converted(i, x[l], y[l], z[l]););
}

/* ---- opcodes ---- */
static bool fp8_type(const char **p, struct type *t)
{
    if (ptx_suffix(p, "e4m3x2")) return *t = (struct type){'4', 8}, true;
    if (ptx_suffix(p, "e5m2x2")) return *t = (struct type){'5', 8}, true;
    return false;
}

static bool half_type(const char **p, struct instr *i)
{
    const bool wide = ptx_suffix(p, "bf16x2") || ptx_suffix(p, "f16x2");
    if (!wide && !ptx_suffix(p, "bf16") && !ptx_suffix(p, "f16")) return false;
    const char *name = *p - (wide ? 6 : 4);
    i->type = (struct type){!strncmp(name, "bf16", 4) ? 'h' : 'f', 16};
    i->mode = wide ? TO_PAIR : TO_HALF;
    return true;
}

static bool decode_types(struct instr *i, const char *p)
{
    if (ptx_suffix(&p, "tf32"))
        i->mode = TO_TF32;
    else if (fp8_type(&p, &i->type))
        i->mode = TO_FP8;
    else if (!half_type(&p, i))
        return false;
    i->run = cvt;
    if (i->mode == TO_PAIR && fp8_type(&p, &i->from)) return i->mode = FROM_FP8, !*p;
    if (i->mode == TO_FP8 && ptx_suffix(&p, "f16x2")) return !*p && i->groups == 2;
    return ptx_suffix(&p, "f32") && !*p && (i->mode == TO_TF32 || i->mode == TO_FP8 || i->combine);
}

static bool decode_pack(struct instr *i, const char *p)
{
    struct type from, rest;
    i->mode = PACK;
    i->run = cvt;
    if (!ptx_suffix(&p, "sat") || !ptx_type(&p, &i->type) || !ptx_type(&p, &from)) return false;
    return !*p || (ptx_type(&p, &rest) && !*p);
}

bool decode_narrow(struct instr *i)
{
    const char *p = i->text + 3;
    if (strncmp(i->text, "cvt.", 4)) return false;
    i->combine = i->compare = i->mode = 0;
    if (ptx_suffix(&p, "pack")) return decode_pack(i, p);
    for (;;) {
        if (ptx_suffix(&p, "rz"))
            i->compare = ZERO;
        else if (ptx_suffix(&p, "rna"))
            i->compare = AWAY;
        else if (ptx_suffix(&p, "relu"))
            i->combine |= RELU;
        else if (ptx_suffix(&p, "satfinite"))
            i->combine |= FINITE;
        else if (!ptx_suffix(&p, "rn"))
            break;
    }
    if (decode_types(i, p)) return true;
    i->combine = i->compare = i->mode = 0;
    return false;
}
