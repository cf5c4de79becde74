/* SPDX-License-Identifier: Apache-2.0 */
/* Arithmetic and comparisons of f16, bf16 and their pairs. */
#include <math.h>
#include <string.h>

#include "compare.h"
#include "half.h"

enum operation { ADD, SUB, MUL, FMA, MIN, MAX, NEG, ABS, EX2, TANH };
enum { RELU = 1, WITH_NAN = 2, XORSIGN = 4, OOB = 8 }; /* bits of instr.combine */
enum { OOB_NAN = 0x7ff7 };

static enum half_format format_of(const struct instr *i)
{
    return i->type.kind == 'h' ? HALF_BF16 : HALF_F16;
}

/* ---- one number ---- */
static uint16_t flushed(enum half_format f, uint16_t a)
{
    return a & (f == HALF_F16 ? 0x7c00 : 0x7f80) ? a : a & 0x8000;
}

static uint16_t saturated(enum half_format f, uint16_t a)
{
    const double x = half_value(f, a);
    return x > 0 ? (x < 1 ? a : half_round(f, 1, 0)) : 0;
}

/* The smaller or larger magnitude, with the product of the signs. */
static uint16_t pick(const struct instr *i, uint16_t a, uint16_t b)
{
    const enum half_format f = format_of(i);
    const bool larger = i->mode == MAX, nan = i->combine & WITH_NAN;
    if (!(i->combine & XORSIGN)) return half_pick(f, a, b, larger, nan);
    const uint16_t r = half_pick(f, a & 0x7fff, b & 0x7fff, larger, nan);
    return half_nan(f, r) ? r : (uint16_t)(r | ((a ^ b) & 0x8000));
}

static uint16_t computed(const struct instr *i, uint16_t a, uint16_t b, uint16_t c)
{
    const enum half_format f = format_of(i);
    switch ((enum operation)i->mode) {
    case ADD:
        return half_add(f, a, b);
    case SUB:
        return half_add(f, a, half_nan(f, b) ? b : b ^ 0x8000);
    case MUL:
        return half_mul(f, a, b);
    case FMA:
        return i->combine & OOB && (a == OOB_NAN || b == OOB_NAN) ? 0 : half_fma(f, a, b, c);
    case MIN:
    case MAX:
        return pick(i, a, b);
    case NEG:
        return half_nan(f, a) ? 0x7fff : a ^ 0x8000;
    case ABS:
        return half_nan(f, a) ? 0x7fff : a & 0x7fff;
    case EX2:
        return half_round(f, exp2(half_value(f, a)), 0);
    default:
        return half_round(f, tanh(half_value(f, a)), 0);
    }
}

static uint16_t result(const struct instr *i, uint16_t a, uint16_t b, uint16_t c)
{
    const enum half_format f = format_of(i);
    if (i->ftz) a = flushed(f, a), b = flushed(f, b), c = flushed(f, c);
    uint16_t r = computed(i, a, b, c);
    if (i->ftz) r = flushed(f, r);
    if (i->sat) r = saturated(f, r);
    if (i->combine & RELU && !half_nan(f, r) && r & 0x8000) r = 0;
    return r;
}

static void arithmetic(struct warp *w, const struct instr *i, uint32_t on)
{
    uint32_t *d = narrow(w, operand(i, 0));
    const uint32_t *x = narrow(w, operand(i, 1)), *y = narrow(w, operand(i, i->groups > 2 ? 2 : 1)),
                   *z = narrow(w, operand(i, i->groups > 3 ? 3 : 1));
    for (int l = 0; l < LANES; l++) {
        if (!(on >> l & 1)) continue;
        uint32_t r = result(i, (uint16_t)x[l], (uint16_t)y[l], (uint16_t)z[l]);
        if (i->count == 2)
            r |= (uint32_t)result(i, (uint16_t)(x[l] >> 16), (uint16_t)(y[l] >> 16),
                                  (uint16_t)(z[l] >> 16))
                 << 16;
        d[l] = r;
    }
}

/* ---- comparisons ---- */
static bool holds(int relation, double a, double b)
{
    const bool nan = isnan(a) || isnan(b);
    switch (relation >= EQU && relation <= GEU ? relation - EQU : relation) {
    case EQ:
        return relation == EQ ? a == b : nan || a == b;
    case NE:
        return relation == NE ? !nan && a != b : nan || a != b;
    case LT:
        return relation == LT ? a < b : nan || a < b;
    case LE:
        return relation == LE ? a <= b : nan || a <= b;
    case GT:
        return relation == GT ? a > b : nan || a > b;
    case GE:
        return relation == GE ? a >= b : nan || a >= b;
    case NUM:
        return !nan;
    default:
        return nan;
    }
}

/* Returns the lanes in which the relation holds between the halves at `shift`. */
static uint32_t compared(struct warp *w, const struct instr *i, uint32_t on, int shift)
{
    const uint32_t *x = narrow(w, operand(i, 1)), *y = narrow(w, operand(i, 2));
    const enum half_format f = format_of(i);
    uint32_t r = 0;
    EACH_LANE(on, uint16_t a = (uint16_t)(x[l] >> shift); uint16_t b = (uint16_t)(y[l] >> shift);
              if (i->ftz) a = flushed(f, a), b = flushed(f, b);
              r |= (uint32_t)holds(i->compare, half_value(f, a), half_value(f, b)) << l;);
    const uint32_t c = i->combine ? predicate(w, operand(i, 3)) : 0;
    return compare_combined(i, r, c);
}

/* Sets p, and q to its complement; of a pair p is the low half's and q the high half's. */
static void setp(struct warp *w, const struct instr *i, uint32_t on)
{
    const uint32_t r = compared(w, i, on, 0);
    const uint32_t q = i->count == 2 ? compared(w, i, on, 16) : ~r;
    predicate_put(w, operand(i, 0), on, r);
    if (group_size(i, 0) > 1) predicate_put(w, operand(i, 0) + 1, on, q);
}

static void set(struct warp *w, const struct instr *i, uint32_t on)
{
    const bool real = i->from.kind != 'u'; /* from: the result's type */
    const uint32_t yes = !real ? 0xffff : i->from.kind == 'h' ? 0x3f80 : 0x3c00;
    const uint32_t low = compared(w, i, on, 0), high = i->count == 2 ? compared(w, i, on, 16) : 0;
    EACH_LANE(on, narrow(w, operand(i, 0))[l] =
                      (low >> l & 1 ? yes : 0) | (high >> l & 1 ? yes << 16 : 0););
}

/* ---- opcodes ---- */
static bool type_of(const char **p, struct type *t, uint8_t *count)
{
    static const struct {
        const char *name;
        char kind;
        uint8_t count;
    } all[] = {{"f16", 'f', 1}, {"bf16", 'h', 1}, {"f16x2", 'f', 2}, {"bf16x2", 'h', 2}};
    for (int k = 0; k < 4; k++)
        if (ptx_suffix(p, all[k].name))
            return *t = (struct type){all[k].kind, 16}, *count = all[k].count, true;
    return false;
}

static bool decode_relation(struct instr *i, const char *p, bool sets)
{
    if (!compare_relation(&p, i)) return false;
    if (sets) {
        uint8_t count = 0;
        i->from = (struct type){'u', 32};
        if (!type_of(&p, &i->from, &count) && !ptx_suffix(&p, "u32")) return false;
    }
    i->run = sets ? set : setp;
    return type_of(&p, &i->type, &i->count) && !*p;
}

static bool modifiers(const char **p, struct instr *i)
{
    i->combine = 0;
    i->ftz = i->sat = false;
    for (;;) {
        if (ptx_suffix(p, "ftz"))
            i->ftz = true;
        else if (ptx_suffix(p, "sat"))
            i->sat = true;
        else if (ptx_suffix(p, "relu"))
            i->combine |= RELU;
        else if (ptx_suffix(p, "NaN"))
            i->combine |= WITH_NAN;
        else if (ptx_suffix(p, "oob"))
            i->combine |= OOB;
        else if (ptx_suffix(p, "xorsign"))
            i->combine |= XORSIGN;
        else if (!ptx_suffix(p, "rn") && !ptx_suffix(p, "approx") && !ptx_suffix(p, "abs"))
            return true;
    }
}

bool decode_half(struct instr *i)
{
    static const char *const names[] = {"add", "sub", "mul", "fma", "min",
                                        "max", "neg", "abs", "ex2", "tanh"};
    const char *p = i->text + strcspn(i->text, ".");
    const size_t n = (size_t)(p - i->text);
    if (!strstr(p, "f16")) return false;
    if (!strncmp(i->text, "setp.", 5)) return decode_relation(i, p, false);
    if (!strncmp(i->text, "set.", 4)) return decode_relation(i, p, true);
    for (uint8_t k = 0; k < sizeof names / sizeof *names; k++) {
        if (strlen(names[k]) != n || strncmp(i->text, names[k], n)) continue;
        i->mode = k;
        i->run = arithmetic;
        return modifiers(&p, i) && type_of(&p, &i->type, &i->count) && !*p;
    }
    return false;
}
