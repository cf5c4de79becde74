/* SPDX-License-Identifier: Apache-2.0 */
/* Arithmetic of f32 and f64; approximations use the exact functions of the host. */
#include <fenv.h>
#include <math.h>
#include <string.h>

#include "emu.h"

enum { NAN_F32 = 0x7fffffff };
static inline float f32_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}
static inline uint32_t bits_of(float x)
{
    uint32_t b;
    memcpy(&b, &x, sizeof b);
    return x != x ? NAN_F32 : b;
}
static inline double f64_of(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}
static inline uint64_t bits_of_f64(double x)
{
    uint64_t b;
    memcpy(&b, &x, sizeof b);
    return b;
}
/* Quiets a NaN and keeps its sign, even when negated. */
static inline double quiet(double x) { return f64_of(bits_of_f64(x) | 1ull << 51); }
static inline float flushed(float x, bool ftz)
{
    return ftz && fabsf(x) < 0x1p-126f ? copysignf(0, x) : x;
}
static inline float saturated(float x, bool sat) { return !sat ? x : x > 0 ? (x < 1 ? x : 1) : 0; }

enum rounding { ROUND_NEAREST, ROUND_ZERO, ROUND_DOWN, ROUND_UP };
static void set_rounding(int mode)
{
    static const int modes[] = {FE_TONEAREST, FE_TOWARDZERO, FE_DOWNWARD, FE_UPWARD};
    fesetround(modes[mode]);
}

/* Finishes a result; with .ftz it flushes a result that is below 2^-126 before rounding. */
static inline float finish(const struct instr *i, float x, double exact)
{
    const bool tiny = i->ftz && fabsf(x) == 0x1p-126f && fabs(exact) < 0x1p-126;
    return saturated(flushed(tiny ? copysignf(0, x) : x, i->ftz), i->sat);
}
/* exact: the result before rounding, where a double holds it; else r. */
#define F32(name, arity, expr)                                                                     \
    F32_ANY(name, arity, expr, r)                                                                  \
    F32_PLAIN(name, arity, expr)
#define F32_ANY(name, arity, expr, exact)                                                          \
    static void name##_f32(struct warp *w, const struct instr *i, uint32_t on)                     \
    {                                                                                              \
        uint32_t *d = narrow(w, operand(i, 0));                                                    \
        const uint32_t *x = narrow(w, operand(i, 1)),                                              \
                       *y = narrow(w, operand(i, arity > 1 ? 2 : 1)),                              \
                       *z = narrow(w, operand(i, arity > 2 ? 3 : 1));                              \
        if (i->mode) set_rounding(i->mode);                                                        \
        EACH_LANE(on, const volatile float a = flushed(f32_of(x[l]), i->ftz);                      \
                  const volatile float b = flushed(f32_of(y[l]), i->ftz);                          \
                  const volatile float c = flushed(f32_of(z[l]), i->ftz); (void)b; (void)c;        \
                  const volatile float r = expr; d[l] = bits_of(finish(i, r, exact)););            \
        if (i->mode) set_rounding(ROUND_NEAREST);                                                  \
    }
/* The common case: round to nearest, keep subnormals. */
#define F32_PLAIN(name, arity, expr)                                                               \
    static void name##_f32_plain(struct warp *w, const struct instr *i, uint32_t on)               \
    {                                                                                              \
        uint32_t *d = narrow(w, operand(i, 0));                                                    \
        const uint32_t *x = narrow(w, operand(i, 1)),                                              \
                       *y = narrow(w, operand(i, arity > 1 ? 2 : 1)),                              \
                       *z = narrow(w, operand(i, arity > 2 ? 3 : 1));                              \
        EACH_LANE(on, const float a = f32_of(x[l]); const float b = f32_of(y[l]);                  \
                  const float c = f32_of(z[l]); (void)b; (void)c; d[l] = bits_of(expr););          \
    }
#define F64(name, arity, expr)                                                                     \
    static void name##_f64(struct warp *w, const struct instr *i, uint32_t on)                     \
    {                                                                                              \
        uint64_t *d = wide(w, operand(i, 0));                                                      \
        const uint64_t *x = wide(w, operand(i, 1)), *y = wide(w, operand(i, arity > 1 ? 2 : 1)),   \
                       *z = wide(w, operand(i, arity > 2 ? 3 : 1));                                \
        if (i->mode) set_rounding(i->mode);                                                        \
        EACH_LANE(on, const volatile double a = f64_of(x[l]);                                      \
                  const volatile double b = f64_of(y[l]); const volatile double c = f64_of(z[l]);  \
                  (void)b; (void)c; const volatile double r = expr; d[l] = bits_of_f64(r););       \
        if (i->mode) set_rounding(ROUND_NEAREST);                                                  \
    }
F32(add, 2, a + b)
F32(sub, 2, a - b)
F32_ANY(mul, 2, a *b, (double)a *b)
F32_PLAIN(mul, 2, a *b)
F32(div, 2, a / b)
/* Divides; divisors above 2^126 give 0, or NaN for infinity, as on a device. */
static inline float near_quotient(float a, float b)
{
    if (!(fabsf(b) > 0x1p126f) || isinf(b)) return a / b;
    return isinf(a) ? NAN : copysignf(0, a) * copysignf(1, b);
}
F32_ANY(div_approx, 2, near_quotient(a, b), r)
F32(fma, 3, fmaf(a, b, c))
F32(rcp, 1, 1 / a)
F32(sqrt, 1, sqrtf(a))
F32(neg, 1, -a)
F32(abs, 1, fabsf(a))
F64(add, 2, a + b)
F64(sub, 2, a - b)
F64(mul, 2, a *b)
F64(div, 2, a / b)
F64(fma, 3, fma(a, b, c))
F64(rcp, 1, 1 / a)
F64(sqrt, 1, sqrt(a))
F64(neg, 1, a != a ? quiet(a) : -a)
F64(abs, 1, a != a ? quiet(a) : fabs(a))

/* Returns the minimum; -0 is less than +0, and a number is preferred to a NaN. */
static inline float least(float a, float b)
{
    return a != a ? b : b != b ? a : a < b || (a == b && signbit(a)) ? a : b;
}
static inline float most(float a, float b)
{
    return a != a ? b : b != b ? a : a > b || (a == b && signbit(b)) ? a : b;
}
static inline double least64(double a, double b)
{
    return a != a ? b : b != b ? a : a < b || (a == b && signbit(a)) ? a : b;
}
static inline double most64(double a, double b)
{
    return a != a ? b : b != b ? a : a > b || (a == b && signbit(b)) ? a : b;
}
F32(min, 2, least(a, b))
F32(max, 2, most(a, b))
F32_ANY(min_nan, 2, a != a || b != b ? NAN : least(a, b), r)
F32_ANY(max_nan, 2, a != a || b != b ? NAN : most(a, b), r)
/* .xorsign.abs: of the magnitudes, with the product of the signs. */
static inline float signed_as(float r, float a, float b)
{
    return r != r ? r : signbit(a) != signbit(b) ? -r : r;
}
F32_ANY(min_xorsign, 2, signed_as(least(fabsf(a), fabsf(b)), a, b), r)
F32_ANY(max_xorsign, 2, signed_as(most(fabsf(a), fabsf(b)), a, b), r)
F32_ANY(max_nan_xorsign, 2, a != a || b != b ? NAN : signed_as(most(fabsf(a), fabsf(b)), a, b), r)
F64(min, 2, least64(a, b))
F64(max, 2, most64(a, b))
F32(ex2, 1, exp2f(a))
F32(lg2, 1, log2f(a))
F32(rsqrt, 1, (float)(1 / sqrt((double)a)))
F64(rsqrt, 1, 1 / sqrt(a))
/* These approximations read the upper half of the operand; one below 2^-1022 counts as 0. */
static inline double upper(double x)
{
    const double u = f64_of(bits_of_f64(x) & 0xffffffff00000000ull);
    return fabs(u) < 0x1p-1022 ? copysign(0, u) : u;
}
static inline double kept(double x) { return fabs(x) < 0x1p-1022 ? copysign(0, x) : x; }
F64(rcp_ftz, 1, kept(1 / upper(a)))
F64(rsqrt_ftz, 1, 1 / sqrt(upper(a)))
/* The sign of a and the other bits of b, NaN's too. */
static void copysign_f32(struct warp *w, const struct instr *i, uint32_t on)
{
    uint32_t *d = narrow(w, operand(i, 0));
    const uint32_t *x = narrow(w, operand(i, 1)), *y = narrow(w, operand(i, 2));
    EACH_LANE(on, d[l] = (x[l] & 1u << 31) | (y[l] & ~(1u << 31)););
}
static void copysign_f64(struct warp *w, const struct instr *i, uint32_t on)
{
    uint64_t *d = wide(w, operand(i, 0));
    const uint64_t *x = wide(w, operand(i, 1)), *y = wide(w, operand(i, 2));
    EACH_LANE(on, d[l] = (x[l] & 1ull << 63) | (y[l] & ~(1ull << 63)););
}
F32(sin, 1, sinf(a))
F32(cos, 1, cosf(a))
F32(tanh, 1, tanhf(a))

static const struct {
    const char *name;
    execute *f32, *plain, *f64;
} table[] = {
#define BOTH(name) {#name, name##_f32, name##_f32_plain, name##_f64},
#define ONLY(name) {#name, name##_f32, name##_f32_plain, NULL},
    BOTH(add) BOTH(sub) BOTH(mul) BOTH(div) BOTH(fma) BOTH(rcp) BOTH(sqrt) BOTH(neg) BOTH(abs)
        BOTH(min) BOTH(max) ONLY(ex2) ONLY(lg2) BOTH(rsqrt) ONLY(sin) ONLY(cos)
            ONLY(tanh){"mad", fma_f32, fma_f32_plain, fma_f64},
    {"copysign", copysign_f32, copysign_f32, copysign_f64},
};

static bool rounding(const char **p, struct instr *i)
{
    static const char *const words[] = {"rn", "rz", "rm", "rp"};
    for (uint8_t k = 0; k < 4; k++)
        if (ptx_suffix(p, words[k])) return i->mode = k, true;
    return false;
}

bool decode_float(struct instr *i)
{
    const char *p = i->text + strcspn(i->text, ".");
    const size_t n = (size_t)(p - i->text);
    bool nan = false, approx = false, xorsign = false;
    for (;;) {
        if (rounding(&p, i) || ptx_suffix(&p, "full")) continue;
        if (ptx_suffix(&p, "approx")) {
            approx = true;
            continue;
        }
        if (ptx_suffix(&p, "ftz"))
            i->ftz = true;
        else if (ptx_suffix(&p, "sat"))
            i->sat = true;
        else if (ptx_suffix(&p, "NaN"))
            nan = true;
        else if (ptx_suffix(&p, "xorsign"))
            xorsign = ptx_suffix(&p, "abs");
        else
            break;
    }
    if (!ptx_type(&p, &i->type) || *p || i->type.kind != 'f' || i->type.bits == 16) return false;
    if (approx && i->type.bits == 64 && strncmp(i->text, "rcp.", 4) &&
        strncmp(i->text, "rsqrt.", 6))
        return false;
    const bool plain = !i->ftz && !i->sat && !i->mode;
    for (size_t k = 0; k < sizeof table / sizeof *table; k++) {
        if (strlen(table[k].name) != n || strncmp(table[k].name, i->text, n)) continue;
        execute *run = i->type.bits == 64 ? table[k].f64 : plain ? table[k].plain : table[k].f32;
        if (approx && i->ftz && run == rcp_f64) run = rcp_ftz_f64;
        if (approx && i->ftz && run == rsqrt_f64) run = rsqrt_ftz_f64;
        if (approx && table[k].f32 == div_f32) run = div_approx_f32;
        if (nan && table[k].f32 == min_f32) run = min_nan_f32;
        if (nan && table[k].f32 == max_f32) run = max_nan_f32;
        if (xorsign && table[k].f32 == min_f32) run = min_xorsign_f32;
        if (xorsign && table[k].f32 == max_f32) run = nan ? max_nan_xorsign_f32 : max_xorsign_f32;
        if (!run) return false;
        i->run = run;
        return true;
    }
    return false;
}
