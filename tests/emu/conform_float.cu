/* SPDX-License-Identifier: Apache-2.0 */
/* f32 and f64 arithmetic. */
#include "conform_elementwise.h"

static struct family here("float");

/* The exact result, as far as its size against 2^-126 goes. */
static double exactly(char op, double a, double b)
{
    return op == '+' ? a + b : op == '-' ? a - b : op == '*' ? a * b : a / b;
}

/* A result is flushed if it is tiny before it is rounded. */
static float flush(double exact, float z) { return fabs(exact) < 0x1p-126 ? copysignf(0, z) : z; }

static float flushed(enum round_mode mode, char op, float a, float b)
{
    a = ftz(a), b = ftz(b);
    return flush(exactly(op, a, b), rounded(mode, op, a, b));
}

static float flushed_fma(enum round_mode mode, float a, float b, float c)
{
    a = ftz(a), b = ftz(b), c = ftz(c);
    return flush(fma_odd(a, b, c), rounded_fma(mode, a, b, c));
}

#define ROUND2(op, c)                                                                              \
    BI(#op ".rn.f32", f32, f32, f32, rounded(RN, c, a, b))                                         \
    BI(#op ".rz.f32", f32, f32, f32, rounded(RZ, c, a, b))                                         \
    BI(#op ".rm.f32", f32, f32, f32, rounded(RM, c, a, b))                                         \
    BI(#op ".rp.f32", f32, f32, f32, rounded(RP, c, a, b))                                         \
    BI(#op ".rn.f64", f64, f64, f64, rounded(RN, c, a, b))                                         \
    BI(#op ".rz.f64", f64, f64, f64, rounded(RZ, c, a, b))                                         \
    BI(#op ".rm.f64", f64, f64, f64, rounded(RM, c, a, b))                                         \
    BI(#op ".rp.f64", f64, f64, f64, rounded(RP, c, a, b))
#define FTZ_SAT2(op, c)                                                                            \
    BI(#op ".f32", f32, f32, f32, rounded(RN, c, a, b))                                            \
    BI(#op ".f64", f64, f64, f64, rounded(RN, c, a, b))                                            \
    BI(#op ".ftz.f32", f32, f32, f32, flushed(RN, c, a, b))                                        \
    BI(#op ".rn.ftz.f32", f32, f32, f32, flushed(RN, c, a, b))                                     \
    BI(#op ".rp.ftz.f32", f32, f32, f32, flushed(RP, c, a, b))                                     \
    BI(#op ".sat.f32", f32, f32, f32, sat(rounded(RN, c, a, b)))                                   \
    BI(#op ".rn.ftz.sat.f32", f32, f32, f32, sat(flushed(RN, c, a, b)))
ROUND2(add, '+')
ROUND2(sub, '-')
ROUND2(mul, '*')
ROUND2(div, '/')
FTZ_SAT2(add, '+')
FTZ_SAT2(sub, '-')
FTZ_SAT2(mul, '*')
BI("div.rn.ftz.f32", f32, f32, f32, flushed(RN, '/', a, b))
BI("div.rz.ftz.f32", f32, f32, f32, flushed(RZ, '/', a, b))

TRI("fma.rn.f32", f32, f32, f32, f32, rounded_fma(RN, a, b, c))
TRI("fma.rz.f32", f32, f32, f32, f32, rounded_fma(RZ, a, b, c))
TRI("fma.rm.f32", f32, f32, f32, f32, rounded_fma(RM, a, b, c))
TRI("fma.rp.f32", f32, f32, f32, f32, rounded_fma(RP, a, b, c))
TRI("fma.rn.ftz.f32", f32, f32, f32, f32, flushed_fma(RN, a, b, c))
TRI("fma.rz.ftz.f32", f32, f32, f32, f32, flushed_fma(RZ, a, b, c))
TRI("fma.rn.sat.f32", f32, f32, f32, f32, sat(rounded_fma(RN, a, b, c)))
TRI("fma.rn.ftz.sat.f32", f32, f32, f32, f32, sat(flushed_fma(RN, a, b, c)))
TRI("mad.rn.f32", f32, f32, f32, f32, rounded_fma(RN, a, b, c))
TRI("mad.rn.ftz.f32", f32, f32, f32, f32, flushed_fma(RN, a, b, c))
TRI("fma.rn.f64", f64, f64, f64, f64, rounded_fma(RN, a, b, c))
TRI("fma.rz.f64", f64, f64, f64, f64, rounded_fma(RZ, a, b, c))
TRI("fma.rm.f64", f64, f64, f64, f64, rounded_fma(RM, a, b, c))
TRI("fma.rp.f64", f64, f64, f64, f64, rounded_fma(RP, a, b, c))

#define ROOTS(op, ...)                                                                             \
    UN(op ".rn.f32", f32, f32, rounded(RN, __VA_ARGS__))                                           \
    UN(op ".rz.f32", f32, f32, rounded(RZ, __VA_ARGS__))                                           \
    UN(op ".rm.f32", f32, f32, rounded(RM, __VA_ARGS__))                                           \
    UN(op ".rp.f32", f32, f32, rounded(RP, __VA_ARGS__))                                           \
    UN(op ".rn.f64", f64, f64, rounded(RN, __VA_ARGS__))                                           \
    UN(op ".rz.f64", f64, f64, rounded(RZ, __VA_ARGS__))                                           \
    UN(op ".rm.f64", f64, f64, rounded(RM, __VA_ARGS__))                                           \
    UN(op ".rp.f64", f64, f64, rounded(RP, __VA_ARGS__))
ROOTS("rcp", '/', (A::reg)1, a)
ROOTS("sqrt", 's', a, a)
UN("rcp.rn.ftz.f32", f32, f32, flushed(RN, '/', 1, a))
UN("sqrt.rn.ftz.f32", f32, f32, rounded(RN, 's', ftz(a), 0.0f))
UN("sqrt.rz.ftz.f32", f32, f32, rounded(RZ, 's', ftz(a), 0.0f))

static float lower(float a, float b)
{
    if (a == 0 && b == 0) return signbit(a) ? a : b;
    return fminf(a, b);
}
static float higher(float a, float b)
{
    if (a == 0 && b == 0) return signbit(a) ? b : a;
    return fmaxf(a, b);
}
static double lower64(double a, double b) { return a == b ? (signbit(a) ? a : b) : fmin(a, b); }
static double higher64(double a, double b) { return a == b ? (signbit(a) ? b : a) : fmax(a, b); }

BI("min.f32", f32, f32, f32, isnan(a) ? b : isnan(b) ? a : lower(a, b))
BI("max.f32", f32, f32, f32, isnan(a) ? b : isnan(b) ? a : higher(a, b))
BI("min.ftz.f32", f32, f32, f32, isnan(a) ? ftz(b) : isnan(b) ? ftz(a) : lower(ftz(a), ftz(b)))
BI("max.ftz.f32", f32, f32, f32, isnan(a) ? ftz(b) : isnan(b) ? ftz(a) : higher(ftz(a), ftz(b)))
BI("min.NaN.f32", f32, f32, f32, isnan(a) || isnan(b) ? NAN : lower(a, b))
BI("max.NaN.f32", f32, f32, f32, isnan(a) || isnan(b) ? NAN : higher(a, b))
BI("max.ftz.NaN.f32", f32, f32, f32, isnan(a) || isnan(b) ? NAN : higher(ftz(a), ftz(b)))
BI("min.f64", f64, f64, f64, isnan(a) ? b : isnan(b) ? a : lower64(a, b))
BI("max.f64", f64, f64, f64, isnan(a) ? b : isnan(b) ? a : higher64(a, b))
#if CONFORM_SM >= 90
BI("min.xorsign.abs.f32", f32, f32, f32)
BI("max.xorsign.abs.f32", f32, f32, f32)
BI("max.NaN.xorsign.abs.f32", f32, f32, f32)
#endif
UN("abs.f32", f32, f32, fabsf(a))
UN("abs.ftz.f32", f32, f32, fabsf(ftz(a)))
UN("neg.f32", f32, f32, -a)
UN("neg.ftz.f32", f32, f32, -ftz(a))
UN("abs.f64", f64, f64, fabs(a))
UN("neg.f64", f64, f64, -a)
