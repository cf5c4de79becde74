/* SPDX-License-Identifier: Apache-2.0 */
/* Integer arithmetic, logic, shifts and bit fields. Behaviour that the manual leaves undefined
 * follows an H100; see tests/golden/ptx/README.md. */
#include <stdlib.h>
#include <string.h>

#include "emu.h"

/* Lanes of 16 bits use registers of 32 bits. L: type of the lane in a register; T: type of the
 * computation; R: accessor of the registers. */
#define UNARY(name, R, L, T, expr)                                                                 \
    static void name(struct warp *w, const struct instr *i, uint32_t on)                           \
    {                                                                                              \
        L *d = (L *)R(w, operand(i, 0));                                                           \
        const L *x = (const L *)R(w, operand(i, 1));                                               \
        EACH_LANE(on, const T a = (T)x[l]; d[l] = (L)(expr););                                     \
    }
#define BINARY(name, R, L, T, expr)                                                                \
    static void name(struct warp *w, const struct instr *i, uint32_t on)                           \
    {                                                                                              \
        L *d = (L *)R(w, operand(i, 0));                                                           \
        const L *x = (const L *)R(w, operand(i, 1)), *y = (const L *)R(w, operand(i, 2));          \
        EACH_LANE(on, const T a = (T)x[l]; const T b = (T)y[l]; d[l] = (L)(expr););                \
    }
#define TERNARY(name, R, L, T, expr)                                                               \
    static void name(struct warp *w, const struct instr *i, uint32_t on)                           \
    {                                                                                              \
        L *d = (L *)R(w, operand(i, 0));                                                           \
        const L *x = (const L *)R(w, operand(i, 1)), *y = (const L *)R(w, operand(i, 2)),          \
                *z = (const L *)R(w, operand(i, 3));                                               \
        EACH_LANE(on, const T a = (T)x[l]; const T b = (T)y[l]; const T c = (T)z[l];               \
                  d[l] = (L)(expr););                                                              \
    }
/* The product of two lanes is twice as wide as the lanes. */
#define WIDE(name, L, T, P)                                                                        \
    static void mul_##name(struct warp *w, const struct instr *i, uint32_t on)                     \
    {                                                                                              \
        const struct operand *d = operand(i, 0);                                                   \
        const uint32_t *x = narrow(w, operand(i, 1)), *y = narrow(w, operand(i, 2));               \
        EACH_LANE(on, lane_put(w, d, l, (uint64_t)((P)(T)x[l] * (P)(T)y[l])););                    \
    }                                                                                              \
    static void mad_##name(struct warp *w, const struct instr *i, uint32_t on)                     \
    {                                                                                              \
        const struct operand *d = operand(i, 0), *z = operand(i, 3);                               \
        const uint32_t *x = narrow(w, operand(i, 1)), *y = narrow(w, operand(i, 2));               \
        EACH_LANE(on, const uint64_t p = (uint64_t)((P)(T)x[l] * (P)(T)y[l]);                      \
                  lane_put(w, d, l, p + lane_get(w, z, l)););                                      \
    }
WIDE(wide_s32, uint32_t, int32_t, int64_t)
WIDE(wide_u32, uint32_t, uint32_t, uint64_t)
WIDE(wide_s16, uint32_t, int16_t, int32_t)
WIDE(wide_u16, uint32_t, uint16_t, uint32_t)

#define SIGNED_(t, R, L, T, U, D)                                                                  \
    BINARY(add_##t, R, L, U, a + b)                                                                \
    BINARY(sub_##t, R, L, U, a - b)                                                                \
    BINARY(mul_lo_##t, R, L, U, (U)((uint64_t)a * b))                                              \
    BINARY(mul_hi_##t, R, L, T, (D)a *b >> 8 * sizeof(T))                                          \
    TERNARY(mad_lo_##t, R, L, U, (U)((uint64_t)a * b + c))                                         \
    TERNARY(mad_hi_##t, R, L, T, (U)(((D)a * b) >> 8 * sizeof(T)) + (U)c)                          \
    BINARY(div_##t, R, L, T, divide_##t(a, b))                                                     \
    BINARY(rem_##t, R, L, T, remain_##t(a, b))                                                     \
    BINARY(min_##t, R, L, T, a < b ? a : b)                                                        \
    BINARY(max_##t, R, L, T, a > b ? a : b)
/* Division by zero gives all ones. The lowest number over -1 is itself, with remainder 0. */
#define DIVIDE_SIGNED(t, T, U)                                                                     \
    static inline T divide_##t(T a, T b)                                                           \
    {                                                                                              \
        return b == 0 ? (T)-1 : b == -1 ? (T)(0 - (U)a) : (T)(a / b);                              \
    }                                                                                              \
    static inline T remain_##t(T a, T b) { return b == 0 ? (T)-1 : b == -1 ? 0 : (T)(a % b); }
#define DIVIDE_UNSIGNED(t, T)                                                                      \
    static inline T divide_##t(T a, T b) { return b == 0 ? (T)-1 : (T)(a / b); }                   \
    static inline T remain_##t(T a, T b) { return b == 0 ? (T)-1 : (T)(a % b); }
DIVIDE_SIGNED(s16, int16_t, uint16_t)
DIVIDE_SIGNED(s32, int32_t, uint32_t)
DIVIDE_SIGNED(s64, int64_t, uint64_t)
DIVIDE_UNSIGNED(u16, uint16_t)
DIVIDE_UNSIGNED(u32, uint32_t)
DIVIDE_UNSIGNED(u64, uint64_t)
SIGNED_(s16, narrow, uint32_t, int16_t, uint16_t, int32_t)
SIGNED_(u16, narrow, uint32_t, uint16_t, uint16_t, uint32_t)
SIGNED_(s32, narrow, uint32_t, int32_t, uint32_t, int64_t)
SIGNED_(u32, narrow, uint32_t, uint32_t, uint32_t, uint64_t)
SIGNED_(s64, wide, uint64_t, int64_t, uint64_t, __int128)
SIGNED_(u64, wide, uint64_t, uint64_t, uint64_t, unsigned __int128)

#define NEGATE(t, R, L, T, U)                                                                      \
    UNARY(neg_##t, R, L, U, 0 - a)                                                                 \
    UNARY(abs_##t, R, L, T, a < 0 ? (U)0 - (U)a : (U)a)
NEGATE(s16, narrow, uint32_t, int16_t, uint16_t)
NEGATE(s32, narrow, uint32_t, int32_t, uint32_t)
NEGATE(s64, wide, uint64_t, int64_t, uint64_t)

#define LOGIC(t, R, L, T)                                                                          \
    BINARY(and_##t, R, L, T, a &b)                                                                 \
    BINARY(or_##t, R, L, T, a | b)                                                                 \
    BINARY(xor_##t, R, L, T, a ^ b)                                                                \
    UNARY(not_##t, R, L, T, (T)~a)                                                                 \
    UNARY(cnot_##t, R, L, T, a == 0)
LOGIC(b16, narrow, uint32_t, uint16_t)
LOGIC(b32, narrow, uint32_t, uint32_t)
LOGIC(b64, wide, uint64_t, uint64_t)

/* Shift amounts beyond the width are clamped to it; amounts have 32 bits for every type. */
#define SHIFT(name, R, L, T, expr)                                                                 \
    static void name(struct warp *w, const struct instr *i, uint32_t on)                           \
    {                                                                                              \
        enum { BITS = 8 * sizeof(T) };                                                             \
        L *d = (L *)R(w, operand(i, 0));                                                           \
        const L *x = (const L *)R(w, operand(i, 1));                                               \
        const uint32_t *y = narrow(w, operand(i, 2));                                              \
        EACH_LANE(on, const T a = (T)x[l]; const uint32_t n = y[l]; d[l] = (L)(expr););            \
    }
#define LEFT(t, R, L, T) SHIFT(shl_##t, R, L, T, n >= BITS ? 0 : (T)((uint64_t)a << n))
LEFT(b16, narrow, uint32_t, uint16_t)
LEFT(b32, narrow, uint32_t, uint32_t)
LEFT(b64, wide, uint64_t, uint64_t)
#define RIGHT(t, R, L, T, U)                                                                       \
    SHIFT(shr_##t, R, L, T,                                                                        \
          n >= BITS ? (a < (T)1 && (T)-1 < (T)1 && a != 0 ? (U)-1 : 0) : (U)(a >> n))
RIGHT(u16, narrow, uint32_t, uint16_t, uint16_t)
RIGHT(u32, narrow, uint32_t, uint32_t, uint32_t)
RIGHT(u64, wide, uint64_t, uint64_t, uint64_t)
RIGHT(s16, narrow, uint32_t, int16_t, uint16_t)
RIGHT(s32, narrow, uint32_t, int32_t, uint32_t)
RIGHT(s64, wide, uint64_t, int64_t, uint64_t)

static inline uint32_t funnel(uint32_t low, uint32_t high, uint32_t n, bool left)
{
    const uint64_t both = (uint64_t)high << 32 | low;
    return left ? (uint32_t)(both << n >> 32) : (uint32_t)(both >> n);
}
TERNARY(shf_l_wrap, narrow, uint32_t, uint32_t, funnel(a, b, c & 31, true))
TERNARY(shf_r_wrap, narrow, uint32_t, uint32_t, funnel(a, b, c & 31, false))
TERNARY(shf_l_clamp, narrow, uint32_t, uint32_t, c >= 32 ? a : funnel(a, b, c, true))
TERNARY(shf_r_clamp, narrow, uint32_t, uint32_t, c >= 32 ? b : funnel(a, b, c, false))

/* Selects bytes of two words by selector; bit 3 of a selector repeats the sign of the byte. */
static inline uint32_t permute(uint32_t a, uint32_t b, uint32_t c)
{
    const uint64_t both = (uint64_t)b << 32 | a;
    uint32_t out = 0;
    for (int k = 0; k < 4; k++) {
        const uint32_t s = c >> 4 * k & 15;
        uint32_t byte = (uint32_t)(both >> 8 * (s & 7)) & 255;
        if (s & 8) byte = byte & 128 ? 255 : 0;
        out |= byte << 8 * k;
    }
    return out;
}
TERNARY(prmt_b32, narrow, uint32_t, uint32_t, permute(a, b, c))

#define COUNT(name, R, L, T, expr)                                                                 \
    static void name(struct warp *w, const struct instr *i, uint32_t on)                           \
    {                                                                                              \
        uint32_t *d = narrow(w, operand(i, 0));                                                    \
        const L *x = (const L *)R(w, operand(i, 1));                                               \
        EACH_LANE(on, const T a = (T)x[l]; d[l] = (uint32_t)(expr););                              \
    }
static inline int highest(uint64_t a) { return a ? 63 - __builtin_clzll(a) : -1; }
COUNT(popc_b32, narrow, uint32_t, uint32_t, __builtin_popcount(a))
COUNT(popc_b64, wide, uint64_t, uint64_t, __builtin_popcountll(a))
COUNT(clz_b32, narrow, uint32_t, uint32_t, 31 - highest(a))
COUNT(clz_b64, wide, uint64_t, uint64_t, 63 - highest(a))
COUNT(bfind_u32, narrow, uint32_t, uint32_t, highest(a))
COUNT(bfind_u64, wide, uint64_t, uint64_t, highest(a))
COUNT(bfind_s32, narrow, uint32_t, int32_t, highest((uint32_t)(a < 0 ? ~a : a)))
COUNT(bfind_s64, wide, uint64_t, int64_t, highest((uint64_t)(a < 0 ? ~a : a)))
static inline uint64_t reversed(uint64_t a, int bits)
{
    uint64_t r = 0;
    for (int k = 0; k < bits; k++) r |= (a >> k & 1) << (bits - 1 - k);
    return r;
}
UNARY(brev_b32, narrow, uint32_t, uint32_t, reversed(a, 32))
UNARY(brev_b64, wide, uint64_t, uint64_t, reversed(a, 64))

static inline uint64_t low_bits(uint32_t n) { return n >= 64 ? ~0ull : (1ull << n) - 1; }
static inline uint64_t extract(uint64_t a, uint32_t at, uint32_t n, int bits, bool sign)
{
    at &= 255, n &= 255;
    uint64_t top = 0;
    if (sign && n) {
        const uint32_t last = at + n - 1 < (uint32_t)bits - 1 ? at + n - 1 : (uint32_t)bits - 1;
        top = a >> last & 1 ? ~0ull : 0;
    }
    const uint32_t there = at >= (uint32_t)bits      ? 0
                           : n < (uint32_t)bits - at ? n
                                                     : (uint32_t)bits - at;
    const uint64_t field = there ? a >> at & low_bits(there) : 0;
    return n ? field | (top & ~low_bits(there)) : 0;
}
static inline uint64_t insert(uint64_t a, uint64_t b, uint32_t at, uint32_t n, int bits)
{
    at &= 255, n &= 255;
    if (at >= (uint32_t)bits) return b;
    const uint64_t mask = low_bits(n) << at;
    return (b & ~mask) | (a << at & mask);
}
#define FIELD(t, R, L, bits, sign)                                                                 \
    static void bfe_##t(struct warp *w, const struct instr *i, uint32_t on)                        \
    {                                                                                              \
        L *d = R(w, operand(i, 0));                                                                \
        const L *x = R(w, operand(i, 1));                                                          \
        const uint32_t *at = narrow(w, operand(i, 2)), *n = narrow(w, operand(i, 3));              \
        EACH_LANE(on, d[l] = (L)extract(x[l], at[l], n[l], bits, sign););                          \
    }
FIELD(u32, narrow, uint32_t, 32, false)
FIELD(s32, narrow, uint32_t, 32, true)
FIELD(u64, wide, uint64_t, 64, false)
FIELD(s64, wide, uint64_t, 64, true)
#define INSERT(t, R, L, bits)                                                                      \
    static void bfi_##t(struct warp *w, const struct instr *i, uint32_t on)                        \
    {                                                                                              \
        L *d = R(w, operand(i, 0));                                                                \
        const L *x = R(w, operand(i, 1)), *y = R(w, operand(i, 2));                                \
        const uint32_t *at = narrow(w, operand(i, 3)), *n = narrow(w, operand(i, 4));              \
        EACH_LANE(on, d[l] = (L)insert(x[l], y[l], at[l], n[l], bits););                           \
    }
INSERT(b32, narrow, uint32_t, 32)
INSERT(b64, wide, uint64_t, 64)

/* Computes any function of three bits from its table of eight. */
static void lop3(struct warp *w, const struct instr *i, uint32_t on)
{
    uint32_t *d = narrow(w, operand(i, 0));
    const uint32_t *x = narrow(w, operand(i, 1)), *y = narrow(w, operand(i, 2)),
                   *z = narrow(w, operand(i, 3)), table = narrow(w, operand(i, 4))[0];
    EACH_LANE(on, uint32_t r = 0;
              for (int k = 0; k < 8; k++) if (table >> k & 1) r |=
              (k & 4 ? x[l] : ~x[l]) & (k & 2 ? y[l] : ~y[l]) & (k & 1 ? z[l] : ~z[l]);
              d[l] = r;);
}

/* Predicates have one bit per lane. */
#define PREDICATES(name, expr)                                                                     \
    static void name##_pred(struct warp *w, const struct instr *i, uint32_t on)                    \
    {                                                                                              \
        const uint32_t a = predicate(w, operand(i, 1));                                            \
        const uint32_t b = i->groups > 2 ? predicate(w, operand(i, 2)) : 0;                        \
        (void)b;                                                                                   \
        predicate_put(w, operand(i, 0), on, expr);                                                 \
    }
PREDICATES(and, a &b)
PREDICATES(or, a | b)
PREDICATES(xor, a ^ b)
PREDICATES(not, ~a)

static const struct {
    const char *name;
    execute *run;
} table[] = {
#define ARITHMETIC(t)                                                                              \
    {"add." #t, add_##t}, {"sub." #t, sub_##t}, {"mul.lo." #t, mul_lo_##t},                        \
        {"mul.hi." #t, mul_hi_##t}, {"mad.lo." #t, mad_lo_##t}, {"mad.hi." #t, mad_hi_##t},        \
        {"div." #t, div_##t}, {"rem." #t, rem_##t}, {"min." #t, min_##t}, {"max." #t, max_##t},
    ARITHMETIC(s16) ARITHMETIC(u16) ARITHMETIC(s32) ARITHMETIC(u32) ARITHMETIC(s64) ARITHMETIC(u64)
#define PRODUCTS(t) {"mul.wide." #t, mul_wide_##t}, {"mad.wide." #t, mad_wide_##t},
        PRODUCTS(s16) PRODUCTS(u16) PRODUCTS(s32) PRODUCTS(u32)
#define NEGATIONS(t) {"neg." #t, neg_##t}, {"abs." #t, abs_##t},
            NEGATIONS(s16) NEGATIONS(s32) NEGATIONS(s64)
#define BITS(t)                                                                                    \
    {"and." #t, and_##t}, {"or." #t, or_##t}, {"xor." #t, xor_##t}, {"not." #t, not_##t},          \
        {"cnot." #t, cnot_##t}, {"shl." #t, shl_##t},
                BITS(b16) BITS(b32) BITS(b64)
#define RIGHTS(t) {"shr." #t, shr_##t},
                    RIGHTS(u16) RIGHTS(u32) RIGHTS(u64) RIGHTS(s16) RIGHTS(s32)
                        RIGHTS(s64){"shr.b16", shr_u16},
    {"shr.b32", shr_u32},
    {"shr.b64", shr_u64},
    {"shf.l.wrap.b32", shf_l_wrap},
    {"shf.r.wrap.b32", shf_r_wrap},
    {"shf.l.clamp.b32", shf_l_clamp},
    {"shf.r.clamp.b32", shf_r_clamp},
    {"prmt.b32", prmt_b32},
    {"lop3.b32", lop3},
    {"popc.b32", popc_b32},
    {"popc.b64", popc_b64},
    {"clz.b32", clz_b32},
    {"clz.b64", clz_b64},
    {"bfind.u32", bfind_u32},
    {"bfind.u64", bfind_u64},
    {"bfind.s32", bfind_s32},
    {"bfind.s64", bfind_s64},
    {"brev.b32", brev_b32},
    {"brev.b64", brev_b64},
    {"bfe.u32", bfe_u32},
    {"bfe.s32", bfe_s32},
    {"bfe.u64", bfe_u64},
    {"bfe.s64", bfe_s64},
    {"bfi.b32", bfi_b32},
    {"bfi.b64", bfi_b64},
    {"and.pred", and_pred},
    {"or.pred", or_pred},
    {"xor.pred", xor_pred},
    {"not.pred", not_pred},
};

bool decode_alu(struct instr *i)
{
    for (size_t k = 0; k < sizeof table / sizeof *table; k++)
        if (!strcmp(table[k].name, i->text)) {
            i->run = table[k].run;
            return true;
        }
    return false;
}
