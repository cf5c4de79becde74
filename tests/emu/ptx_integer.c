/* SPDX-License-Identifier: Apache-2.0 */
/* Integer arithmetic that is rare: carries, saturation, dot products, 24 bits, pairs of 16 bits,
 * masks, and permutations of bytes by a mode. */
#include <stdlib.h>
#include <string.h>

#include "emu.h"

enum operation {
    ADD,
    SUB,
    MAD_LO,
    MAD_HI,
    DOT4,
    DOT2,
    MUL24,
    MAD24,
    SAD,
    ABSDIFF4,
    MIN16,
    MAX16,
    ADD16,
    SHIFT_AMOUNT,
    EXTEND,
    MASK,
    PERMUTE
};
/* Bits of instr.combine. */
enum { SETS_CARRY = 1, TAKES_CARRY = 2, SATURATES = 4, HIGH = 8, CLAMPS = 16, SUMS = 32 };
enum { F4E, B4E, RC8, ECL, ECR, RC16 }; /* instr.compare of PERMUTE */

static uint64_t all_bits(struct type t) { return t.bits == 64 ? ~0ull : (1ull << t.bits) - 1; }

/* ---- sums with carries ---- */
/* Adds; a difference is a + ~b + 1, whose carry is the complement of the borrow. */
static uint64_t sum(const struct instr *i, uint64_t a, uint64_t b, bool subtracts, bool *carry)
{
    const uint64_t mask = all_bits(i->type);
    const bool in = i->combine & TAKES_CARRY ? *carry : 0;
    if (subtracts) b = ~b & mask;
    const unsigned __int128 s = (unsigned __int128)(a & mask) + (b & mask) + (subtracts ? !in : in);
    if (i->combine & SETS_CARRY) *carry = (s >> i->type.bits & 1) != subtracts;
    return (uint64_t)s & mask;
}

static int64_t clamped(int64_t x)
{
    return x < INT32_MIN ? INT32_MIN : x > INT32_MAX ? INT32_MAX : x;
}

static uint64_t saturated(const struct instr *i, uint64_t a, uint64_t b, uint64_t c)
{
    const int64_t x = (int32_t)a, y = (int32_t)b, z = (int32_t)c;
    return (uint64_t)clamped(i->mode == ADD ? x + y : i->mode == SUB ? x - y : (x * y >> 32) + z);
}

static uint64_t mad(const struct instr *i, uint64_t a, uint64_t b, uint64_t c, bool *carry)
{
    const bool sign = i->type.kind == 's';
    const uint64_t p =
        sign ? (uint64_t)((int64_t)(int32_t)a * (int32_t)b) : (uint64_t)(uint32_t)a * (uint32_t)b;
    return sum(i, i->mode == MAD_HI ? p >> 32 : p & 0xffffffff, c, false, carry);
}

/* ---- dot products ---- */
static int64_t part(uint64_t x, int at, int bits, bool sign)
{
    const uint64_t v = x >> at & ((1ull << bits) - 1);
    return sign && v >> (bits - 1) ? (int64_t)v - (1ll << bits) : (int64_t)v;
}

static uint64_t dot(const struct instr *i, uint64_t a, uint64_t b, uint64_t c)
{
    const bool sa = i->type.kind == 's', sb = i->from.kind == 's';
    const int n = i->mode == DOT4 ? 4 : 2, width = 32 / n, from = i->combine & HIGH ? 16 : 0;
    for (int k = 0; k < n; k++)
        c += (uint64_t)(part(a, k * width, width, sa) * part(b, from + k * 8, 8, sb));
    return c;
}

static uint64_t product24(const struct instr *i, uint64_t a, uint64_t b)
{
    const bool sign = i->type.kind == 's';
    const uint64_t p = (uint64_t)(part(a, 0, 24, sign) * part(b, 0, 24, sign));
    return i->combine & HIGH ? p >> 16 : p;
}

/* ---- differences, pairs ---- */
static uint64_t distance(const struct instr *i, uint64_t a, uint64_t b)
{
    if (i->type.bits == 64) return a > b ? a - b : b - a;
    const int64_t d = part(a, 0, i->type.bits, i->type.kind == 's') -
                      part(b, 0, i->type.bits, i->type.kind == 's');
    return (uint64_t)(d < 0 ? -d : d);
}

static uint64_t distances(const struct instr *i, uint64_t a, uint64_t b, uint64_t c)
{
    uint64_t packed = 0;
    for (int k = 0; k < 32; k += 8) {
        const uint64_t d = (uint64_t)llabs(part(a, k, 8, false) - part(b, k, 8, false));
        packed |= d << k;
        c += d;
    }
    return i->combine & SUMS ? c : packed;
}

static uint64_t pairs(const struct instr *i, uint64_t a, uint64_t b)
{
    uint64_t r = 0;
    for (int k = 0; k < 32; k += 16) {
        const int64_t x = part(a, k, 16, i->type.kind == 's'),
                      y = part(b, k, 16, i->type.kind == 's');
        const int64_t v = i->mode == ADD16 ? x + y : (x < y) == (i->mode == MIN16) ? x : y;
        r |= ((uint64_t)v & 0xffff) << k;
    }
    return r;
}

/* ---- bits ---- */
static uint64_t limited(const struct instr *i, uint64_t n)
{
    n &= 0xffffffff;
    return i->combine & CLAMPS ? (n > 32 ? 32 : n) : n & 31;
}

static uint64_t permuted(int mode, uint64_t a, uint64_t b, unsigned n)
{
    const uint64_t both = b << 32 | (a & 0xffffffff);
    uint64_t r = 0;
    for (unsigned k = 0; k < 4; k++) {
        const unsigned from = mode == F4E   ? n + k
                              : mode == B4E ? (n + 8 - k) & 7
                              : mode == RC8 ? n
                              : mode == ECL ? (k > n ? k : n)
                              : mode == ECR ? (k < n ? k : n)
                                            : (n & 1) * 2 + (k & 1);
        r |= (both >> 8 * from & 255) << 8 * k;
    }
    return r;
}

static uint64_t of_bits(const struct instr *i, uint64_t a, uint64_t b, uint64_t c)
{
    if (i->mode == PERMUTE) return permuted(i->compare, a, b, c & 3);
    if (i->mode == SHIFT_AMOUNT) return (uint32_t)a ? (uint64_t)__builtin_clz((uint32_t)a) : ~0ull;
    if (i->mode == EXTEND) {
        const uint64_t n = limited(i, b);
        return n ? (uint64_t)part(a, 0, (int)n, i->type.kind == 's') : 0;
    }
    return ((1ull << limited(i, b)) - 1) << limited(i, a);
}

static uint64_t computed(const struct instr *i, uint64_t a, uint64_t b, uint64_t c, bool *carry)
{
    if (i->combine & SATURATES) return saturated(i, a, b, c);
    switch ((enum operation)i->mode) {
    case ADD:
    case SUB:
        return sum(i, a, b, i->mode == SUB, carry);
    case MAD_LO:
    case MAD_HI:
        return mad(i, a, b, c, carry);
    case DOT4:
    case DOT2:
        return dot(i, a, b, c);
    case MUL24:
        return product24(i, a, b);
    case MAD24:
        return product24(i, a, b) + c;
    case SAD:
        return c + distance(i, a, b);
    case ABSDIFF4:
        return distances(i, a, b, c);
    case MIN16:
    case MAX16:
    case ADD16:
        return pairs(i, a, b);
    default:
        return of_bits(i, a, b, c);
    }
}

static void integer(struct warp *w, const struct instr *i, uint32_t on)
{
    const struct operand *x = operand(i, 1), *y = operand(i, i->groups > 2 ? 2 : 1),
                         *z = operand(i, i->groups > 3 ? 3 : 1);
    for (int l = 0; l < LANES; l++) {
        if (!(on >> l & 1)) continue;
        bool carry = w->carry >> l & 1;
        const uint64_t r =
            computed(i, lane_get(w, x, l), lane_get(w, y, l), lane_get(w, z, l), &carry);
        w->carry = (w->carry & ~(1u << l)) | (uint32_t)carry << l;
        lane_put(w, operand(i, 0), l, i->type.bits == 16 ? r & 0xffff : r);
    }
}

/* lop3.or d|p, a, b, c, table, q: p is whether d has a bit, or q. */
static void lop3_or(struct warp *w, const struct instr *i, uint32_t on)
{
    uint32_t p = predicate(w, operand(i, 5)), *d = narrow(w, operand(i, 0));
    const uint32_t *x = narrow(w, operand(i, 1)), *y = narrow(w, operand(i, 2)),
                   *z = narrow(w, operand(i, 3)), table = narrow(w, operand(i, 4))[0];
    EACH_LANE(on, uint32_t r = 0;
              for (int k = 0; k < 8; k++) if (table >> k & 1) r |=
              (k & 4 ? x[l] : ~x[l]) & (k & 2 ? y[l] : ~y[l]) & (k & 1 ? z[l] : ~z[l]);
              d[l] = r; p |= (uint32_t)(r != 0) << l;);
    predicate_put(w, operand(i, 0) + 1, on, p);
}

/* ---- opcodes ---- */
static bool by_name(struct instr *i, const char **p)
{
    static const struct {
        const char *name;
        uint8_t operation, bits;
    } all[] = {{"add", ADD, 0},
               {"addc", ADD, TAKES_CARRY},
               {"sub", SUB, 0},
               {"subc", SUB, TAKES_CARRY},
               {"mad.lo", MAD_LO, 0},
               {"madc.lo", MAD_LO, TAKES_CARRY},
               {"mad.hi", MAD_HI, 0},
               {"madc.hi", MAD_HI, TAKES_CARRY},
               {"dp4a", DOT4, 0},
               {"dp2a.lo", DOT2, 0},
               {"dp2a.hi", DOT2, HIGH},
               {"mul24.lo", MUL24, 0},
               {"mul24.hi", MUL24, HIGH},
               {"mad24.lo", MAD24, 0},
               {"mad24.hi", MAD24, HIGH},
               {"sad", SAD, 0},
               {"vabsdiff4.u32", ABSDIFF4, 0},
               {"bfind.shiftamt", SHIFT_AMOUNT, 0},
               {"szext.wrap", EXTEND, 0},
               {"szext.clamp", EXTEND, CLAMPS},
               {"bmsk.wrap", MASK, 0},
               {"bmsk.clamp", MASK, CLAMPS},
               {"min", MIN16, 0},
               {"max", MAX16, 0},
               {"prmt", PERMUTE, 0}};
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
        const size_t n = strlen(all[k].name);
        if (strncmp(i->text, all[k].name, n) || i->text[n] != '.') continue;
        i->mode = all[k].operation;
        i->combine = all[k].bits;
        *p = i->text + n;
        return true;
    }
    return false;
}

static bool decode_pair(struct instr *i, const char *p)
{
    if (strcmp(p, ".u16x2") && strcmp(p, ".s16x2")) return false;
    i->type = (struct type){p[1], 32};
    if (i->mode == ADD) i->mode = ADD16;
    i->run = integer;
    return true;
}

static bool decode_permute(struct instr *i, const char *p)
{
    static const char *const modes[] = {"f4e", "b4e", "rc8", "ecl", "ecr", "rc16"};
    if (!ptx_suffix(&p, "b32")) return false;
    for (uint8_t k = 0; k < 6; k++)
        if (ptx_suffix(&p, modes[k])) return i->compare = k, i->run = integer, true;
    return false;
}

static bool decode_plain(struct instr *i, const char *p)
{
    if (ptx_suffix(&p, "cc")) i->combine |= SETS_CARRY;
    if (ptx_suffix(&p, "sat")) i->combine |= SATURATES;
    const bool plain = i->mode <= MAD_HI && !i->combine; /* ptx_alu.c has these */
    i->run = integer;
    if (plain || !ptx_type(&p, &i->type) || i->type.kind == 'f') return false;
    if (i->mode == DOT4 || i->mode == DOT2) return ptx_type(&p, &i->from) && !*p;
    if (i->mode == ABSDIFF4 && !ptx_suffix(&p, "u32")) return false;
    if (ptx_suffix(&p, "add")) i->combine |= SUMS;
    return !*p;
}

bool decode_integer(struct instr *i)
{
    const char *p;
    if (!strcmp(i->text, "lop3.or.b32")) return i->run = lop3_or, true;
    if (by_name(i, &p)) {
        if (decode_pair(i, p)) return true;
        if (i->mode == PERMUTE ? decode_permute(i, p)
                               : i->mode != MIN16 && i->mode != MAX16 && decode_plain(i, p))
            return true;
    }
    i->mode = i->combine = i->compare = 0;
    return false;
}
