/* SPDX-License-Identifier: Apache-2.0 */
/* Logic, shifts, bit fields, permutations and moves of integers. */
#include "conform_elementwise.h"

static struct family here("bits");

static int64_t shift_left(int64_t a, uint32_t b, int bits)
{
    return b >= (uint32_t)bits ? 0 : (int64_t)((uint64_t)a << b);
}

template <class T> static T shift_right(T a, uint32_t b)
{
    const uint32_t bits = 8 * sizeof(T);
    return b >= bits ? (T)((T)(a >> (bits - 1)) >> 1) : (T)(a >> b);
}

static uint32_t lut(uint32_t a, uint32_t b, uint32_t c, int table)
{
    uint32_t z = 0;
    for (int i = 0; i < 32; i++) {
        const int at = (int)((a >> i & 1) << 2 | (b >> i & 1) << 1 | (c >> i & 1));
        z |= (uint32_t)(table >> at & 1) << i;
    }
    return z;
}

static uint32_t permute(uint32_t a, uint32_t b, uint32_t c)
{
    const uint64_t bytes = (uint64_t)b << 32 | a;
    uint32_t z = 0;
    for (int i = 0; i < 4; i++) {
        const uint32_t s = c >> 4 * i & 15, byte = (uint32_t)(bytes >> 8 * (s & 7)) & 255;
        z |= ((s & 8) ? (byte & 128 ? 255u : 0u) : byte) << 8 * i;
    }
    return z;
}

template <class T> static T field(T a, uint32_t b, uint32_t c)
{
    const int top = 8 * (int)sizeof(T) - 1, pos = b & 255, len = c & 255;
    T z = 0;
    const int sign_at = pos + len - 1 < top ? pos + len - 1 : top;
    const int sign = len && (T)-1 < 0 ? (int)(a >> sign_at & 1) : 0;
    typedef uint64_t U;
    U bits = 0;
    for (int i = 0; i <= top; i++)
        bits |= (U)(i < len && pos + i <= top ? (int)(a >> (pos + i) & 1) : sign) << i;
    z = (T)bits;
    return z;
}

static uint32_t insert(uint32_t a, uint32_t b, uint32_t pos, uint32_t len)
{
    uint32_t z = b;
    for (uint32_t i = 0; i < len && pos + i < 32; i++)
        z = (z & ~(1u << (pos + i))) | (a >> i & 1) << (pos + i);
    return z;
}

static uint32_t reverse(uint32_t a)
{
    uint32_t z = 0;
    for (int i = 0; i < 32; i++) z |= (a >> i & 1) << (31 - i);
    return z;
}

static int leading(uint64_t a, int bits)
{
    int n = 0;
    while (n < bits && !(a >> (bits - 1 - n) & 1)) n++;
    return n;
}

BI("and.b32", u32, u32, u32, a &b)
BI("or.b32", u32, u32, u32, a | b)
BI("xor.b32", u32, u32, u32, a ^ b)
UN("not.b32", u32, u32, ~a)
BI("and.b64", u64, u64, u64, a &b)
BI("or.b64", u64, u64, u64, a | b)
BI("xor.b64", u64, u64, u64, a ^ b)
UN("not.b64", u64, u64, ~a)
BI("and.b16", u16, u16, u16, a &b)
BI("or.b16", u16, u16, u16, a | b)
BI("xor.b16", u16, u16, u16, a ^ b)
UN("not.b16", u16, u16, ~a)
UN("cnot.b32", u32, u32, a == 0)
UN("cnot.b64", u64, u64, a == 0)
BIX("and.pred", PRED("setp.ne.u32 p, %1, 0; setp.gt.s32 q, %2, 5; and.pred p, p, q;"), u32, s32,
    s32, a != 0 && b > 5)
BIX("or.pred", PRED("setp.lt.s32 p, %1, 0; setp.gt.s32 q, %2, 5; or.pred p, p, q;"), u32, s32, s32,
    a<0 || b> 5)
BIX("xor.pred", PRED("setp.lt.s32 p, %1, 0; setp.gt.s32 q, %2, 5; xor.pred p, p, q;"), u32, s32,
    s32, (a < 0) ^ (b > 5))
UNX("not.pred", PRED("setp.lt.s32 p, %1, 0; not.pred p, p;"), u32, s32, a >= 0)
UNX("mov.pred", PRED("setp.lt.s32 q, %1, 0; mov.pred p, q;"), u32, s32, a < 0)
BI("shl.b32", u32, u32, sh, shift_left(a, b, 32))
BI("shl.b64", u64, u64, sh, shift_left(a, b, 64))
BI("shl.b16", u16, u16, sh, shift_left(a, b, 16))
BI("shr.u32", u32, u32, sh, shift_right(a, b))
BI("shr.s32", s32, s32, sh, shift_right(a, b))
BI("shr.b32", u32, u32, sh, shift_right(a, b))
BI("shr.u64", u64, u64, sh, shift_right(a, b))
BI("shr.s64", s64, s64, sh, shift_right(a, b))
BI("shr.u16", u16, u16, sh, shift_right(a, b))
BI("shr.s16", s16, s16, sh, shift_right(a, b))
TRI("shf.l.wrap.b32", u32, u32, u32, sh, ((uint64_t)b << 32 | a) << (c & 31) >> 32)
TRI("shf.r.wrap.b32", u32, u32, u32, sh, ((uint64_t)b << 32 | a) >> (c & 31))
TRI("shf.l.clamp.b32", u32, u32, u32, sh, ((uint64_t)b << 32 | a) << (c < 32 ? c : 32) >> 32)
TRI("shf.r.clamp.b32", u32, u32, u32, sh, ((uint64_t)b << 32 | a) >> (c < 32 ? c : 32))
TRI("bfe.u32", u32, u32, sh, sh, field(a, b, c))
TRI("bfe.s32", s32, s32, sh, sh, field(a, b, c))
/* Above 255, NVIDIA's code for 64 bits does not take the low byte that PTX asks for. */
TRI("bfe.u64", u64, u64, pos, pos, field(a, b, c))
TRI("bfe.s64", s64, s64, pos, pos, field(a, b, c))
TRIX("bfi.b32/3,7", "bfi.b32 %0, %1, %2, 3, 7;", u32, u32, u32, u32, insert(a, b, 3, 7))
TRIX("bfi.b32/28,9", "bfi.b32 %0, %1, %2, 28, 9;", u32, u32, u32, u32, insert(a, b, 28, 9))
TRIX("bfi.b32/c,c", "bfi.b32 %0, %1, %2, %3, %3;", u32, u32, u32, small, insert(a, b, c, c))
TRIX("bfi.b64/c,c", "bfi.b64 %0, %1, %2, %3, %3;", u64, u64, u64, small)
UN("brev.b32", u32, u32, reverse(a))
UN("brev.b64", u64, u64, (uint64_t)reverse((uint32_t)a) << 32 | reverse((uint32_t)(a >> 32)))
UN("popc.b32", u32, u32, __builtin_popcount(a))
UN("popc.b64", u32, u64, __builtin_popcountll(a))
UN("clz.b32", u32, u32, leading(a, 32))
UN("clz.b64", u32, u64, leading(a, 64))
UN("bfind.u32", u32, u32, 31 - leading(a, 32))
UN("bfind.s32", u32, s32, 31 - leading(a < 0 ? ~a : a, 32))
UN("bfind.u64", u32, u64, 63 - leading(a, 64))
UN("bfind.shiftamt.u32", u32, u32, a ? leading(a, 32) : 0xffffffff)
BI("szext.wrap.s32", s32, s32, sh)
BI("szext.clamp.u32", u32, u32, sh)
BI("bmsk.clamp.b32", u32, sh, sh)
BI("bmsk.wrap.b32", u32, sh, sh)
TRI("prmt.b32", u32, u32, u32, u32, permute(a, b, c))
TRI("prmt.b32.f4e", u32, u32, u32, u32)
TRI("prmt.b32.b4e", u32, u32, u32, u32)
TRI("prmt.b32.rc8", u32, u32, u32, u32)
TRI("prmt.b32.ecl", u32, u32, u32, u32)
TRI("prmt.b32.ecr", u32, u32, u32, u32)
TRI("prmt.b32.rc16", u32, u32, u32, u32)
TRIX("prmt.b32/0x5410", "prmt.b32 %0, %1, %2, 0x5410U;", u32, u32, u32, u32, permute(a, b, 0x5410))
TRIX("prmt.b32/0x7632", "prmt.b32 %0, %1, %2, 0x7632U;", u32, u32, u32, u32, permute(a, b, 0x7632))
#define LOP3(table)                                                                                \
    TRIX("lop3.b32/" #table, "lop3.b32 %0, %1, %2, %3, " #table ";", u32, u32, u32, u32,           \
         lut(a, b, c, table))
LOP3(0x96)
LOP3(0xe8)
LOP3(0xca)
LOP3(0x80)
LOP3(0xfe)
LOP3(0x3c)
LOP3(0x01)
LOP3(0xb8)
LOP3(0xea)
LOP3(0x6a)
TRIX("lop3.or.b32",
     "{.reg .pred p, q; setp.lt.s32 q, %1, 0; lop3.or.b32 %0|p, %1, %2, %3, 0x80, q; selp.b32 %0, "
     "%0, 7, p;}",
     u32, u32, u32, u32, (lut(a, b, c, 0x80) || (int)a < 0) ? lut(a, b, c, 0x80) : 7)
UNX("mov.b64/{r,r}", "{.reg .u32 l, h; mov.b64 {l, h}, %1; mov.b64 %0, {h, l};}", u64, u64,
    a << 32 | a >> 32)
UNX("mov.b32/{h,h}", "{.reg .u16 l, h; mov.b32 {l, h}, %1; mov.b32 %0, {h, l};}", u32, u32,
    a << 16 | a >> 16)
UNX("mov.b64/{h,h,h,h}",
    "{.reg .u16 e, f, g, h; mov.b64 {e, f, g, h}, %1; mov.b64 %0, {g, h, f, e};}", u64, u64,
    (a >> 32 & 0xffffffff) | (a >> 16 & 0xffff) << 32 | (a & 0xffff) << 48)
UNX("mov.b16/{b,b}", "{.reg .b8 l, h; mov.b16 {l, h}, %1; mov.b16 %0, {h, l};}", u16, u16,
    a << 8 | a >> 8)
UNX("mov.b32/{b,b,b,b}",
    "{.reg .b8 e, f, g, h; mov.b32 {e, f, g, h}, %1; mov.b32 %0, {h, g, f, e};}", u32, u32,
    __builtin_bswap32(a))
UNX("mov.u32", "mov.u32 %0, %1;", u32, u32, a)
UNX("mov.u32/immediate", "{.reg .u32 t; mov.u32 t, 0xdeadbeef; xor.b32 %0, t, %1;}", u32, u32,
    a ^ 0xdeadbeef)
UNX("mov.f32/immediate", "{.reg .f32 t; mov.f32 t, 0f3FB504F3; mov.b32 %0, t; xor.b32 %0, %0, %1;}",
    u32, u32, a ^ 0x3fb504f3)
UNX("mov.f64/immediate",
    "{.reg .f64 t; mov.f64 t, 0d3FF6A09E667F3BCD; mov.b64 %0, t; xor.b64 %0, %0, %1;}", u64, u64,
    a ^ 0x3ff6a09e667f3bcd)
