/* SPDX-License-Identifier: Apache-2.0 */
/* Integer arithmetic, dot products and carry chains. */
#include "conform_elementwise.h"

static struct family here("int");

static int64_t clamp(int64_t x, int64_t low, int64_t high)
{
    return x < low ? low : x > high ? high : x;
}

static int dot4(uint32_t a, uint32_t b, int c, int a_signed, int b_signed)
{
    for (int i = 0; i < 4; i++) {
        const int x = a >> 8 * i & 255, y = b >> 8 * i & 255;
        c = (int)((unsigned)c +
                  (unsigned)((a_signed ? (int8_t)x : x) * (b_signed ? (int8_t)y : y)));
    }
    return c;
}

/* PTX leaves division by zero open; NVIDIA's code gives all bits. */
template <class T> static T quotient(T a, T b)
{
    if (b == 0) return (T) ~(T)0;
    return (T)-1 < 0 && b == (T)-1 ? (T)(0 - (uint64_t)a) : (T)(a / b);
}

template <class T> static T remainder_of(T a, T b)
{
    if (b == 0) return (T) ~(T)0;
    return (T)-1 < 0 && b == (T)-1 ? (T)0 : (T)(a % b);
}

typedef __int128 wide;
typedef unsigned __int128 uwide;

BI("add.s32", s32, s32, s32, (uint32_t)a + (uint32_t)b)
BI("add.u32", u32, u32, u32, a + b)
BI("add.sat.s32", s32, s32, s32, clamp((int64_t)a + b, INT32_MIN, INT32_MAX))
BI("add.s64", s64, s64, s64, (uint64_t)a + (uint64_t)b)
BI("add.u64", u64, u64, u64, a + b)
BI("add.s16", s16, s16, s16, a + b)
BI("add.u16", u16, u16, u16, a + b)
BI("sub.s32", s32, s32, s32, (uint32_t)a - (uint32_t)b)
BI("sub.sat.s32", s32, s32, s32, clamp((int64_t)a - b, INT32_MIN, INT32_MAX))
BI("sub.s64", s64, s64, s64, (uint64_t)a - (uint64_t)b)
BI("sub.s16", s16, s16, s16, a - b)
BI("mul.lo.s32", s32, s32, s32, (uint32_t)a *(uint32_t)b)
BI("mul.lo.u32", u32, u32, u32, a *b)
BI("mul.hi.s32", s32, s32, s32, ((int64_t)a * b) >> 32)
BI("mul.hi.u32", u32, u32, u32, ((uint64_t)a * b) >> 32)
BI("mul.wide.s32", s64, s32, s32, (int64_t)a *b)
BI("mul.wide.u32", u64, u32, u32, (uint64_t)a *b)
BI("mul.wide.s16", s32, s16, s16, (int32_t)a *b)
BI("mul.wide.u16", u32, u16, u16, (uint32_t)a *b)
BI("mul.lo.s16", s16, s16, s16, (uint32_t)a *(uint32_t)b)
BI("mul.hi.s16", s16, s16, s16, ((int32_t)a * b) >> 16)
BI("mul.hi.u16", u16, u16, u16, ((uint32_t)a * b) >> 16)
BI("mul.lo.s64", s64, s64, s64, (uint64_t)a *(uint64_t)b)
BI("mul.lo.u64", u64, u64, u64, a *b)
BI("mul.hi.s64", s64, s64, s64, ((wide)a * b) >> 64)
BI("mul.hi.u64", u64, u64, u64, ((uwide)a * b) >> 64)
BI("mul24.lo.s32", s32, s32, s32, (int64_t)(a << 8 >> 8) * (b << 8 >> 8))
BI("mul24.hi.u32", u32, u32, u32, ((uint64_t)(a & 0xffffff) * (b & 0xffffff)) >> 16)
TRI("mad.lo.s32", s32, s32, s32, s32, (uint32_t)a *(uint32_t)b + (uint32_t)c)
TRI("mad.lo.u32", u32, u32, u32, u32, a *b + c)
TRI("mad.hi.s32", s32, s32, s32, s32, (uint32_t)(((int64_t)a * b) >> 32) + (uint32_t)c)
TRI("mad.hi.sat.s32", s32, s32, s32, s32, clamp((((int64_t)a * b) >> 32) + c, INT32_MIN, INT32_MAX))
TRI("mad.hi.u32", u32, u32, u32, u32, (uint32_t)(((uint64_t)a * b) >> 32) + c)
TRI("mad.wide.s32", s64, s32, s32, s64, (uint64_t)((int64_t)a *b) + (uint64_t)c)
TRI("mad.wide.u32", u64, u32, u32, u64, (uint64_t)a *b + c)
TRI("mad.wide.s16", s32, s16, s16, s32, (uint32_t)(a *b) + (uint32_t)c)
TRI("mad.wide.u16", u32, u16, u16, u32, (uint32_t)a *b + c)
TRI("mad.lo.s16", s16, s16, s16, s16, (uint32_t)a *(uint32_t)b + (uint32_t)c)
TRI("mad.lo.s64", s64, s64, s64, s64, (uint64_t)a *(uint64_t)b + (uint64_t)c)
TRI("mad.hi.u64", u64, u64, u64, u64, (uint64_t)(((uwide)a * b) >> 64) + c)
TRI("mad24.lo.s32", s32, s32, s32, s32)
TRI("sad.s32", s32, s32, s32, s32,
    (a < b ? (uint32_t)b - (uint32_t)a : (uint32_t)a - (uint32_t)b) + (uint32_t)c)
TRI("sad.u32", u32, u32, u32, u32, (a < b ? b - a : a - b) + c)
TRI("sad.u16", u16, u16, u16, u16, (a < b ? b - a : a - b) + c)
TRI("sad.u64", u64, u64, u64, u64, (a < b ? b - a : a - b) + c)
BI("div.s32", s32, s32, s32, quotient(a, b))
BI("div.u32", u32, u32, u32, quotient(a, b))
BI("div.s64", s64, s64, s64, quotient(a, b))
BI("div.u64", u64, u64, u64, quotient(a, b))
BI("div.s16", s16, s16, s16, quotient(a, b))
BI("div.u16", u16, u16, u16, quotient(a, b))
BI("rem.s32", s32, s32, s32, remainder_of(a, b))
BI("rem.u32", u32, u32, u32, remainder_of(a, b))
BI("rem.s64", s64, s64, s64, remainder_of(a, b))
BI("rem.u64", u64, u64, u64, remainder_of(a, b))
BI("rem.s16", s16, s16, s16, remainder_of(a, b))
BI("rem.u16", u16, u16, u16, remainder_of(a, b))
BI("min.s32", s32, s32, s32, a < b ? a : b)
BI("min.u32", u32, u32, u32, a < b ? a : b)
BI("max.s32", s32, s32, s32, a > b ? a : b)
BI("max.u32", u32, u32, u32, a > b ? a : b)
BI("min.s64", s64, s64, s64, a < b ? a : b)
BI("min.u64", u64, u64, u64, a < b ? a : b)
BI("max.s64", s64, s64, s64, a > b ? a : b)
BI("max.u64", u64, u64, u64, a > b ? a : b)
BI("min.s16", s16, s16, s16, a < b ? a : b)
BI("max.u16", u16, u16, u16, a > b ? a : b)
UN("abs.s32", s32, s32, a < 0 ? 0 - (uint32_t)a : (uint32_t)a)
UN("abs.s64", s64, s64, a < 0 ? 0 - (uint64_t)a : (uint64_t)a)
UN("abs.s16", s16, s16, a < 0 ? -a : a)
UN("neg.s32", s32, s32, 0 - (uint32_t)a)
UN("neg.s64", s64, s64, 0 - (uint64_t)a)
UN("neg.s16", s16, s16, -a)
TRI("dp4a.s32.s32", s32, u32, u32, s32, dot4(a, b, c, 1, 1))
TRI("dp4a.u32.u32", u32, u32, u32, u32, dot4(a, b, c, 0, 0))
TRI("dp4a.s32.u32", s32, u32, u32, s32, dot4(a, b, c, 1, 0))
TRI("dp4a.u32.s32", s32, u32, u32, s32, dot4(a, b, c, 0, 1))
TRI("dp2a.lo.s32.s32", s32, u32, u32, s32)
TRI("dp2a.hi.u32.u32", u32, u32, u32, u32)
TRI("vabsdiff4.u32.u32.u32", u32, u32, u32, u32)
TRI("vabsdiff4.u32.u32.u32.add", u32, u32, u32, u32)
BIX("add.cc.u32+addc.u32", "{.reg .u32 t; add.cc.u32 t, %1, %2; addc.u32 %0, %1, 0;}", u32, u32,
    u32, a + ((uint64_t)a + b >> 32))
BIX("add.cc.u32+addc.cc.u32+addc.u32",
    "{.reg .u32 t; add.cc.u32 t, %1, %2; addc.cc.u32 t, t, %1; addc.u32 %0, t, 0;}", u32, u32, u32)
BIX("sub.cc.u32+subc.u32", "{.reg .u32 t; sub.cc.u32 t, %1, %2; subc.u32 %0, %1, 0;}", u32, u32,
    u32, a - (a < b))
BIX("sub.cc.u32+subc.cc.u32+subc.u32",
    "{.reg .u32 t; sub.cc.u32 t, %1, %2; subc.cc.u32 t, t, %1; subc.u32 %0, t, %2;}", u32, u32, u32)
BIX("add.cc.u64+addc.u64", "{.reg .u64 t; add.cc.u64 t, %1, %2; addc.u64 %0, %1, 0;}", u64, u64,
    u64, a + (a + b < a))
BIX("add.cc.s64+addc.cc.s64+addc.s64",
    "{.reg .u64 t; add.cc.s64 t, %1, %2; addc.cc.s64 t, t, %1; addc.s64 %0, t, 0;}", s64, s64, s64)
BIX("sub.cc.u64+subc.u64", "{.reg .u64 t; sub.cc.u64 t, %1, %2; subc.u64 %0, %1, 0;}", u64, u64,
    u64, a - (a < b))
TRIX("mad.lo.cc.u32+madc.hi.u32",
     "{.reg .u32 t; mad.lo.cc.u32 t, %1, %2, %3; madc.hi.u32 %0, %1, %2, %3;}", u32, u32, u32, u32,
     (((uint64_t)a * b) >> 32) + c + ((uint64_t)(a * b) + c >> 32))
TRIX("mad.lo.cc.u32+madc.lo.cc.u32+addc.u32",
     "{.reg .u32 t; mad.lo.cc.u32 t, %1, %2, %3; madc.lo.cc.u32 t, %2, %3, t; addc.u32 %0, t, 0;}",
     u32, u32, u32, u32)
#if CONFORM_SM >= 90
BI("add.u16x2", u32, u32, u32, pair((uint16_t)(a + b), (uint16_t)((a >> 16) + (b >> 16))))
BI("min.s16x2", u32, u32, u32)
BI("max.u16x2", u32, u32, u32)
#endif
