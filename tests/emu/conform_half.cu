/* SPDX-License-Identifier: Apache-2.0 */
/* f16, bf16 and their pairs: arithmetic. */
#include "conform_elementwise.h"

static struct family here("half");

static uint16_t h_add(uint32_t a, uint32_t b) { return d2h(sum_odd(h2d(a), h2d(b))); }
static uint16_t h_sub(uint32_t a, uint32_t b) { return d2h(sum_odd(h2d(a), -h2d(b))); }
static uint16_t h_mul(uint32_t a, uint32_t b) { return d2h(h2d(a) * h2d(b)); }
static uint16_t h_fma(uint32_t a, uint32_t b, uint32_t c)
{
    return d2h(fma_odd(h2d(a), h2d(b), h2d(c)));
}
static uint16_t b_add(uint32_t a, uint32_t b) { return d2b(sum_odd(b2d(a), b2d(b))); }
static uint16_t b_sub(uint32_t a, uint32_t b) { return d2b(sum_odd(b2d(a), -b2d(b))); }
static uint16_t b_mul(uint32_t a, uint32_t b) { return d2b(b2d(a) * b2d(b)); }
static uint16_t b_fma(uint32_t a, uint32_t b, uint32_t c)
{
    return d2b(fma_odd(b2d(a), b2d(b), b2d(c)));
}
static uint16_t h_ftz(uint32_t a) { return (uint16_t)((a & 0x7c00) ? a : a & 0x8000); }
static uint16_t h_sat(uint32_t a)
{
    const double x = h2d(a);
    return x > 0 ? (x < 1 ? (uint16_t)a : 0x3c00) : 0;
}
/* relu keeps NaN. */
static uint16_t relu(uint32_t a, uint32_t infinity)
{
    return (a & 0x7fff) > infinity ? 0x7fff : (a & 0x8000) ? 0 : (uint16_t)a;
}
static uint16_t h_fma_relu(uint32_t a, uint32_t b, uint32_t c)
{
    return relu(h_fma(a, b, c), 0x7c00);
}
static uint16_t b_fma_relu(uint32_t a, uint32_t b, uint32_t c)
{
    return relu(b_fma(a, b, c), 0x7f80);
}
/* The bits of sign and magnitude order the numbers, -0 before +0. */
static int key(uint32_t a) { return (a & 0x8000) ? -(int)(a & 0x7fff) - 1 : (int)(a & 0x7fff); }
static uint16_t pick(uint32_t a, uint32_t b, uint32_t infinity, int high, int nan)
{
    a &= 0xffff, b &= 0xffff;
    const int a_nan = (a & 0x7fff) > infinity, b_nan = (b & 0x7fff) > infinity;
    if (a_nan || b_nan) return (nan || (a_nan && b_nan)) ? 0x7fff : (uint16_t)(a_nan ? b : a);
    return (uint16_t)((key(a) > key(b)) == high ? a : b);
}
#define H_MIN(a, b)     pick(a, b, 0x7c00, 0, 0)
#define H_MAX(a, b)     pick(a, b, 0x7c00, 1, 0)
#define H_MIN_NAN(a, b) pick(a, b, 0x7c00, 0, 1)
#define H_MAX_NAN(a, b) pick(a, b, 0x7c00, 1, 1)
#define B_MIN(a, b)     pick(a, b, 0x7f80, 0, 0)
#define B_MAX(a, b)     pick(a, b, 0x7f80, 1, 0)
#define B_MIN_NAN(a, b) pick(a, b, 0x7f80, 0, 1)
#define B_MAX_NAN(a, b) pick(a, b, 0x7f80, 1, 1)
#define LOW(a)          ((a)&0xffff)
#define HIGH(a)         ((a) >> 16)
#define PAIR2(f)        pair(f(LOW(a), LOW(b)), f(HIGH(a), HIGH(b)))
#define PAIR3(f)        pair(f(LOW(a), LOW(b), LOW(c)), f(HIGH(a), HIGH(b), HIGH(c)))

#define BOTH2(op, type, f)                                                                         \
    BI(op "." #type, type, type, type, f(a, b))                                                    \
    BI(op "." #type "x2", type##x2, type##x2, type##x2, PAIR2(f))
#define BOTH3(op, type, f)                                                                         \
    TRI(op "." #type, type, type, type, type, f(a, b, c))                                          \
    TRI(op "." #type "x2", type##x2, type##x2, type##x2, type##x2, PAIR3(f))
#define H_ADD_FTZ(a, b)    h_ftz(h_add(h_ftz(a), h_ftz(b)))
#define H_MUL_FTZ(a, b)    h_ftz(h_mul(h_ftz(a), h_ftz(b)))
#define H_FMA_FTZ(a, b, c) h_ftz(h_fma(h_ftz(a), h_ftz(b), h_ftz(c)))
#define H_ADD_SAT(a, b)    h_sat(h_add(a, b))
#define H_MUL_SAT(a, b)    h_sat(h_mul(a, b))
#define H_FMA_SAT(a, b, c) h_sat(h_fma(a, b, c))

BOTH2("add", f16, h_add)
BOTH2("add.rn", f16, h_add)
BOTH2("add.ftz", f16, H_ADD_FTZ)
BOTH2("add.sat", f16, H_ADD_SAT)
BOTH2("sub", f16, h_sub)
BOTH2("sub.rn", f16, h_sub)
BOTH2("mul", f16, h_mul)
BOTH2("mul.rn", f16, h_mul)
BOTH2("mul.ftz", f16, H_MUL_FTZ)
BOTH2("mul.sat", f16, H_MUL_SAT)
BOTH3("fma.rn", f16, h_fma)
BOTH3("fma.rn.ftz", f16, H_FMA_FTZ)
BOTH3("fma.rn.sat", f16, H_FMA_SAT)
BOTH3("fma.rn.relu", f16, h_fma_relu)
BOTH2("min", f16, H_MIN)
BOTH2("max", f16, H_MAX)
BOTH2("min.NaN", f16, H_MIN_NAN)
BOTH2("max.NaN", f16, H_MAX_NAN)
UN("neg.f16", f16, f16, a ^ 0x8000)
UN("abs.f16", f16, f16, a & 0x7fff)
UN("neg.f16x2", f16x2, f16x2, a ^ 0x80008000)
UN("abs.f16x2", f16x2, f16x2, a & 0x7fff7fff)
UN("neg.ftz.f16x2", f16x2, f16x2)

BOTH3("fma.rn", bf16, b_fma)
BOTH3("fma.rn.relu", bf16, b_fma_relu)
BOTH2("min", bf16, B_MIN)
BOTH2("max", bf16, B_MAX)
BOTH2("min.NaN", bf16, B_MIN_NAN)
BOTH2("max.NaN", bf16, B_MAX_NAN)
UN("neg.bf16", bf16, bf16, a ^ 0x8000)
UN("abs.bf16", bf16, bf16, a & 0x7fff)
UN("neg.bf16x2", bf16x2, bf16x2, a ^ 0x80008000)
UN("abs.bf16x2", bf16x2, bf16x2, a & 0x7fff7fff)
/* How cuda_bf16.h adds and multiplies below sm_90: fma with 1, and with -0. */
BIX("fma.rn.bf16x2/add", "{.reg .b32 t; mov.b32 t, 0x3f803f80U; fma.rn.bf16x2 %0, %1, t, %2;}",
    bf16x2, bf16x2, bf16x2, PAIR2(b_add))
BIX("fma.rn.bf16x2/sub", "{.reg .b32 t; mov.b32 t, 0xbf80bf80U; fma.rn.bf16x2 %0, %2, t, %1;}",
    bf16x2, bf16x2, bf16x2, PAIR2(b_sub))
BIX("fma.rn.bf16x2/mul", "{.reg .b32 t; mov.b32 t, 0x80008000U; fma.rn.bf16x2 %0, %1, %2, t;}",
    bf16x2, bf16x2, bf16x2, PAIR2(b_mul))
#if CONFORM_SM >= 90
BOTH2("add", bf16, b_add)
BOTH2("add.rn", bf16, b_add)
BOTH2("sub", bf16, b_sub)
BOTH2("sub.rn", bf16, b_sub)
BOTH2("mul", bf16, b_mul)
BOTH2("mul.rn", bf16, b_mul)
BI("min.xorsign.abs.f16", f16, f16, f16)
BI("max.xorsign.abs.bf16x2", bf16x2, bf16x2, bf16x2)
TRI("fma.rn.oob.bf16", bf16, bf16, bf16, bf16)
TRI("fma.rn.oob.relu.bf16x2", bf16x2, bf16x2, bf16x2, bf16x2)
TRI("fma.rn.oob.f16x2", f16x2, f16x2, f16x2, f16x2)
#endif
