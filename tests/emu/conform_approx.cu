/* SPDX-License-Identifier: Apache-2.0 */
/* Approximations. Their last bits are the hardware's own, so each has a tolerance, from the PTX
 * manual's bounds. "mix:X" bounds the error by X times the larger of 1 and the result. */
#include "conform_elementwise.h"

static struct family here("approx");

static float tiny_quotient(float a, float b)
{
    /* div.approx gives 0, or NaN for infinity, where b is above 2^126. */
    if (fabsf(b) > 0x1p126f && !isinf(b) && !isnan(b)) return isinf(a) ? NAN : a * b * 0;
    return (float)((double)a / b);
}

UNT("ex2.approx.f32", "ulp:2", f32, f32, exp2((double)a))
UNT("ex2.approx.ftz.f32", "ulp:2", f32, f32, ftz((float)exp2((double)ftz(a))))
UNTX("ex2.approx.ftz.f32/moderate", "ulp:2", "ex2.approx.ftz.f32 %0, %1;", f32, f32m,
     exp2((double)a))
UNT("lg2.approx.f32", "mix:2.4e-7", f32, f32, log2((double)a))
UNT("lg2.approx.ftz.f32", "mix:2.4e-7", f32, f32, log2((double)ftz(a)))
UNTX("lg2.approx.f32/moderate", "mix:2.4e-7", "lg2.approx.f32 %0, %1;", f32, f32p, log2((double)a))
UNT("rcp.approx.f32", "ulp:1", f32, f32, 1 / (double)a)
UNT("rcp.approx.ftz.f32", "ulp:1", f32, f32, ftz((float)(1 / (double)ftz(a))))
UNT("sqrt.approx.f32", "ulp:2", f32, f32, sqrt((double)a))
UNT("sqrt.approx.ftz.f32", "ulp:2", f32, f32, sqrt((double)ftz(a)))
UNTX("sqrt.approx.f32/moderate", "ulp:2", "sqrt.approx.f32 %0, %1;", f32, f32p, sqrt((double)a))
UNT("rsqrt.approx.f32", "ulp:2", f32, f32, 1 / sqrt((double)a))
UNT("rsqrt.approx.ftz.f32", "ulp:2", f32, f32, 1 / sqrt((double)ftz(a)))
UNTX("rsqrt.approx.f32/moderate", "ulp:2", "rsqrt.approx.f32 %0, %1;", f32, f32p,
     1 / sqrt((double)a))
UNTX("sin.approx.f32/small", "abs:7e-7", "sin.approx.f32 %0, %1;", f32, f32s, sin((double)a))
UNTX("cos.approx.f32/small", "abs:7e-7", "cos.approx.f32 %0, %1;", f32, f32s, cos((double)a))
UNTX("sin.approx.ftz.f32/small", "abs:7e-7", "sin.approx.ftz.f32 %0, %1;", f32, f32s,
     sin((double)a))
UNTX("cos.approx.ftz.f32/small", "abs:7e-7", "cos.approx.ftz.f32 %0, %1;", f32, f32s,
     cos((double)a))
UNTX("sin.approx.f32/moderate", "abs:4e-5", "sin.approx.f32 %0, %1;", f32, f32m, sin((double)a))
UNTX("cos.approx.f32/moderate", "abs:4e-5", "cos.approx.f32 %0, %1;", f32, f32m, cos((double)a))
UNTX("sin.approx.f32/wide", "any", "sin.approx.f32 %0, %1;", f32, f32)
UNTX("cos.approx.ftz.f32/wide", "any", "cos.approx.ftz.f32 %0, %1;", f32, f32)
UNT("tanh.approx.f32", "rel:5e-4", f32, f32, tanh((double)a))
UNTX("tanh.approx.f32/moderate", "rel:5e-4", "tanh.approx.f32 %0, %1;", f32, f32m, tanh((double)a))
BIT("div.approx.f32", "ulp:2", f32, f32, f32, tiny_quotient(a, b))
BIT("div.approx.ftz.f32", "ulp:2", f32, f32, f32, ftz(tiny_quotient(ftz(a), ftz(b))))
BIT("div.full.f32", "ulp:2", f32, f32, f32, (double)a / b)
BIT("div.full.ftz.f32", "ulp:2", f32, f32, f32, ftz((float)((double)ftz(a) / ftz(b))))
BIX_(__COUNTER__, "div.approx.f32/moderate", "ulp:2", "div.approx.f32 %0, %1, %2;", f32, f32m, f32m,
     (double)a / b)
BIX_(__COUNTER__, "div.full.f32/moderate", "ulp:2", "div.full.f32 %0, %1, %2;", f32, f32m, f32m,
     (double)a / b)
UNT("rcp.approx.ftz.f64", "rel:1e-6", f64, f64)
UNT("rsqrt.approx.f64", "rel:1e-6", f64, f64)
UNT("rsqrt.approx.ftz.f64", "rel:1e-6", f64, f64)

#define PAIR1(f, of, to) pair(to(f(of((a)&0xffff))), to(f(of((a) >> 16))))
UNT("ex2.approx.f16", "ulp:1", f16, f16, d2h(exp2(h2d(a))))
UNT("ex2.approx.f16x2", "ulp:1", f16x2, f16x2, PAIR1(exp2, h2d, d2h))
UNT("tanh.approx.f16", "abs:5e-4", f16, f16, d2h(tanh(h2d(a))))
UNT("tanh.approx.f16x2", "abs:5e-4", f16x2, f16x2, PAIR1(tanh, h2d, d2h))
#if CONFORM_SM >= 90
UNT("ex2.approx.ftz.bf16", "ulp:1", bf16, bf16)
UNT("ex2.approx.ftz.bf16x2", "ulp:1", bf16x2, bf16x2)
UNT("tanh.approx.bf16", "rel:0.008", bf16, bf16, d2b(tanh(b2d(a))))
UNT("tanh.approx.bf16x2", "rel:0.008", bf16x2, bf16x2, PAIR1(tanh, b2d, d2b))
#endif
