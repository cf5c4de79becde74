/* SPDX-License-Identifier: Apache-2.0 */
/* Comparisons and selections: setp, set, selp, slct, testp, copysign. */
#include "conform_elementwise.h"

static struct family here("setp");

#define SETP(op, type, con_type, ...)                                                              \
    BIX(op, PRED(op " p, %1, %2;"), u32, con_type, con_type, __VA_ARGS__)
#define INTEGERS(type)                                                                             \
    SETP("setp.eq." #type, type, type, a == b)                                                     \
    SETP("setp.ne." #type, type, type, a != b)                                                     \
    SETP("setp.lt." #type, type, type, a < b)                                                      \
    SETP("setp.le." #type, type, type, a <= b)                                                     \
    SETP("setp.gt." #type, type, type, a > b)                                                      \
    SETP("setp.ge." #type, type, type, a >= b)
#define FLOATS(type)                                                                               \
    SETP("setp.eq." #type, type, type, a == b)                                                     \
    SETP("setp.ne." #type, type, type, a<b || a> b)                                                \
    SETP("setp.lt." #type, type, type, a < b)                                                      \
    SETP("setp.le." #type, type, type, a <= b)                                                     \
    SETP("setp.gt." #type, type, type, a > b)                                                      \
    SETP("setp.ge." #type, type, type, a >= b)                                                     \
    SETP("setp.equ." #type, type, type, !(a < b || a > b))                                         \
    SETP("setp.neu." #type, type, type, !(a == b))                                                 \
    SETP("setp.ltu." #type, type, type, !(a >= b))                                                 \
    SETP("setp.leu." #type, type, type, !(a > b))                                                  \
    SETP("setp.gtu." #type, type, type, !(a <= b))                                                 \
    SETP("setp.geu." #type, type, type, !(a < b))                                                  \
    SETP("setp.num." #type, type, type, a == a && b == b)                                          \
    SETP("setp.nan." #type, type, type, !(a == a && b == b))
#define HALVES(type, v)                                                                            \
    SETP("setp.eq." #type, type, type, v(a) == v(b))                                               \
    SETP("setp.ne." #type, type, type, v(a) < v(b) || v(a) > v(b))                                 \
    SETP("setp.lt." #type, type, type, v(a) < v(b))                                                \
    SETP("setp.le." #type, type, type, v(a) <= v(b))                                               \
    SETP("setp.gt." #type, type, type, v(a) > v(b))                                                \
    SETP("setp.ge." #type, type, type, v(a) >= v(b))                                               \
    SETP("setp.equ." #type, type, type, !(v(a) < v(b) || v(a) > v(b)))                             \
    SETP("setp.neu." #type, type, type, !(v(a) == v(b)))                                           \
    SETP("setp.ltu." #type, type, type, !(v(a) >= v(b)))                                           \
    SETP("setp.leu." #type, type, type, !(v(a) > v(b)))                                            \
    SETP("setp.gtu." #type, type, type, !(v(a) <= v(b)))                                           \
    SETP("setp.geu." #type, type, type, !(v(a) < v(b)))                                            \
    SETP("setp.num." #type, type, type, v(a) == v(a) && v(b) == v(b))                              \
    SETP("setp.nan." #type, type, type, !(v(a) == v(a) && v(b) == v(b)))

INTEGERS(s32)
INTEGERS(u32)
INTEGERS(s64)
INTEGERS(u64)
INTEGERS(s16)
INTEGERS(u16)
SETP("setp.eq.b32", b32, u32, a == b)
SETP("setp.ne.b64", b64, u64, a != b)
SETP("setp.eq.b16", b16, u16, a == b)
SETP("setp.lo.u32", u32, u32, a < b)
SETP("setp.ls.u32", u32, u32, a <= b)
SETP("setp.hi.u32", u32, u32, a > b)
SETP("setp.hs.u32", u32, u32, a >= b)
FLOATS(f32)
FLOATS(f64)
HALVES(f16, h2d)
SETP("setp.lt.ftz.f32", f32, f32, ftz(a) < ftz(b))
SETP("setp.eq.ftz.f32", f32, f32, ftz(a) == ftz(b))
SETP("setp.leu.ftz.f32", f32, f32, !(ftz(a) > ftz(b)))
SETP("setp.nan.ftz.f32", f32, f32, a != a || b != b)

BIX("setp.lt.and.s32", PRED("setp.gt.s32 q, %1, 9; setp.lt.and.s32 p, %1, %2, q;"), u32, s32, s32,
    a<b && a> 9)
BIX("setp.lt.or.s32", PRED("setp.gt.s32 q, %1, 9; setp.lt.or.s32 p, %1, %2, q;"), u32, s32, s32,
    a<b || a> 9)
BIX("setp.lt.xor.s32", PRED("setp.gt.s32 q, %1, 9; setp.lt.xor.s32 p, %1, %2, q;"), u32, s32, s32,
    (a < b) != (a > 9))
BIX("setp.lt.and.s32/!", PRED("setp.gt.s32 q, %1, 9; setp.lt.and.s32 p, %1, %2, !q;"), u32, s32,
    s32, a < b && !(a > 9))
BIX("setp.lt.s32/p|q",
    "{.reg .pred p, q; setp.lt.s32 p|q, %1, %2; selp.u32 %0, 1, 0, p; @q add.u32 %0, %0, 2;}", u32,
    s32, s32, a < b ? 1 : 2)
BIX("setp.lt.and.f32/p|q",
    "{.reg .pred p, q, r; setp.gt.f32 r, %1, 0f3F800000; setp.lt.and.f32 p|q, %1, %2, r; "
    "selp.u32 %0, 1, 0, p; @q add.u32 %0, %0, 2;}",
    u32, f32, f32, (a < b && a > 1 ? 1 : 0) + (!(a < b) && a > 1 ? 2 : 0))
#define PAIR_COMPARE(op, type, v, cmp)                                                             \
    BIX(op "." #type "/p|q",                                                                       \
        "{.reg .pred p, q; " op "." #type " p|q, %1, %2; selp.u32 %0, 1, 0, p; "                   \
        "@q add.u32 %0, %0, 2;}",                                                                  \
        u32, type, type, (v(a) cmp v(b) ? 1 : 0) + (v(a >> 16) cmp v(b >> 16) ? 2 : 0))
PAIR_COMPARE("setp.lt", f16x2, h2d, <)
PAIR_COMPARE("setp.eq", f16x2, h2d, ==)
PAIR_COMPARE("setp.ge", f16x2, h2d, >=)

BI("set.lt.u32.s32", u32, s32, s32, a < b ? 0xffffffff : 0)
BI("set.ge.f32.s32", f32, s32, s32, a >= b ? 1 : 0)
BI("set.lt.u32.f32", u32, f32, f32, a < b ? 0xffffffff : 0)
BI("set.gtu.s32.f32", s32, f32, f32, !(a <= b) ? -1 : 0)
BI("set.eq.f32.f32", f32, f32, f32, a == b ? 1 : 0)
BI("set.nan.f32.f32", f32, f32, f32, a != a || b != b ? 1 : 0)
BI("set.lt.u32.u64", u32, u64, u64, a < b ? 0xffffffff : 0)
BI("set.lt.f32.f64", f32, f64, f64, a < b ? 1 : 0)
BI("set.eq.f16x2.f16x2", f16x2, f16x2, f16x2,
   pair(h2d(a) == h2d(b) ? 0x3c00 : 0, h2d(a >> 16) == h2d(b >> 16) ? 0x3c00 : 0))
BI("set.gtu.f16x2.f16x2", f16x2, f16x2, f16x2,
   pair(!(h2d(a) <= h2d(b)) ? 0x3c00 : 0, !(h2d(a >> 16) <= h2d(b >> 16)) ? 0x3c00 : 0))
BI("set.lt.f16.f16", f16, f16, f16, h2d(a) < h2d(b) ? 0x3c00 : 0)
BI("set.nan.f16.f16", f16, f16, f16, isnan(h2d(a)) || isnan(h2d(b)) ? 0x3c00 : 0)
#if CONFORM_SM >= 90
HALVES(bf16, b2d)
PAIR_COMPARE("setp.lt", bf16x2, b2d, <)
PAIR_COMPARE("setp.eq", bf16x2, b2d, ==)
PAIR_COMPARE("setp.neu", bf16x2, b2d, !=)
BI("set.eq.u32.bf16x2", u32, bf16x2, bf16x2,
   pair(b2d(a) == b2d(b) ? 0xffff : 0, b2d(a >> 16) == b2d(b >> 16) ? 0xffff : 0))
BI("set.lt.u32.f16x2", u32, f16x2, f16x2,
   pair(h2d(a) < h2d(b) ? 0xffff : 0, h2d(a >> 16) < h2d(b >> 16) ? 0xffff : 0))
BI("set.eq.bf16x2.bf16x2", bf16x2, bf16x2, bf16x2,
   pair(b2d(a) == b2d(b) ? 0x3f80 : 0, b2d(a >> 16) == b2d(b >> 16) ? 0x3f80 : 0))
BI("set.ltu.bf16x2.bf16x2", bf16x2, bf16x2, bf16x2,
   pair(!(b2d(a) >= b2d(b)) ? 0x3f80 : 0, !(b2d(a >> 16) >= b2d(b >> 16)) ? 0x3f80 : 0))
BI("set.nan.bf16.bf16", bf16, bf16, bf16, isnan(b2d(a)) || isnan(b2d(b)) ? 0x3f80 : 0)
#endif

TRIX("selp.b32", "{.reg .pred p; setp.lt.s32 p, %3, 5; selp.b32 %0, %1, %2, p;}", u32, u32, u32,
     s32, c < 5 ? a : b)
TRIX("selp.b64", "{.reg .pred p; setp.lt.s32 p, %3, 5; selp.b64 %0, %1, %2, p;}", u64, u64, u64,
     s32, c < 5 ? a : b)
TRIX("selp.b16", "{.reg .pred p; setp.lt.s32 p, %3, 5; selp.b16 %0, %1, %2, p;}", u16, u16, u16,
     s32, c < 5 ? a : b)
TRIX("selp.f32", "{.reg .pred p; setp.lt.s32 p, %3, 5; selp.f32 %0, %1, %2, p;}", f32, f32, f32,
     s32, c < 5 ? a : b)
TRIX("selp.f64", "{.reg .pred p; setp.lt.s32 p, %3, 5; selp.f64 %0, %1, %2, p;}", f64, f64, f64,
     s32, c < 5 ? a : b)
TRI("slct.u32.s32", u32, u32, u32, s32, c >= 0 ? a : b)
TRI("slct.f32.s32", f32, f32, f32, s32, c >= 0 ? a : b)
TRI("slct.b64.s32", u64, u64, u64, s32, c >= 0 ? a : b)
TRI("slct.b32.f32", u32, u32, u32, f32, c >= 0 ? a : b)
TRI("slct.ftz.u32.f32", u32, u32, u32, f32, ftz(c) >= 0 ? a : b)
TRIX("@p/add", "{.reg .pred p; setp.lt.s32 p, %3, 5; mov.u32 %0, %1; @p add.u32 %0, %1, %2;}", u32,
     u32, u32, s32, c < 5 ? a + b : a)
TRIX("@!p/add", "{.reg .pred p; setp.lt.s32 p, %3, 5; mov.u32 %0, %1; @!p add.u32 %0, %1, %2;}",
     u32, u32, u32, s32, c < 5 ? a : a + b)

/* Zero counts as normal. */
#define TESTP(op, type, ...) UNX(op "." #type, PRED(op "." #type " p, %1;"), u32, type, __VA_ARGS__)
TESTP("testp.finite", f32, isfinite(a))
TESTP("testp.infinite", f32, isinf(a))
TESTP("testp.number", f32, !isnan(a))
TESTP("testp.notanumber", f32, isnan(a))
TESTP("testp.normal", f32, isnormal(a) || a == 0)
TESTP("testp.subnormal", f32, fpclassify(a) == FP_SUBNORMAL)
TESTP("testp.finite", f64, isfinite(a))
TESTP("testp.notanumber", f64, isnan(a))
TESTP("testp.subnormal", f64, fpclassify(a) == FP_SUBNORMAL)
BI("copysign.f32", f32, f32, f32, copysignf(b, a))
BI("copysign.f64", f64, f64, f64, copysign(b, a))
