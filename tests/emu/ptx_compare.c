/* SPDX-License-Identifier: Apache-2.0 */
/* Comparisons into predicates or registers, and selections. */
#include <math.h>
#include <string.h>

#include "compare.h"

#define COMPARE(a, b)                                                                              \
    switch (i->compare) {                                                                          \
    case EQ:                                                                                       \
        EACH_LANE(on, r |= (uint32_t)((a) == (b)) << l;);                                          \
        break;                                                                                     \
    case NE:                                                                                       \
        EACH_LANE(on, r |= (uint32_t)((a) < (b) || (a) > (b)) << l;);                              \
        break;                                                                                     \
    case LT:                                                                                       \
        EACH_LANE(on, r |= (uint32_t)((a) < (b)) << l;);                                           \
        break;                                                                                     \
    case LE:                                                                                       \
        EACH_LANE(on, r |= (uint32_t)((a) <= (b)) << l;);                                          \
        break;                                                                                     \
    case GT:                                                                                       \
        EACH_LANE(on, r |= (uint32_t)((a) > (b)) << l;);                                           \
        break;                                                                                     \
    case GE:                                                                                       \
        EACH_LANE(on, r |= (uint32_t)((a) >= (b)) << l;);                                          \
        break;                                                                                     \
    case EQU:                                                                                      \
        EACH_LANE(on, r |= (uint32_t) !((a) < (b) || (a) > (b)) << l;);                            \
        break;                                                                                     \
    case NEU:                                                                                      \
        EACH_LANE(on, r |= (uint32_t) !((a) == (b)) << l;);                                        \
        break;                                                                                     \
    case LTU:                                                                                      \
        EACH_LANE(on, r |= (uint32_t) !((a) >= (b)) << l;);                                        \
        break;                                                                                     \
    case LEU:                                                                                      \
        EACH_LANE(on, r |= (uint32_t) !((a) > (b)) << l;);                                         \
        break;                                                                                     \
    case GTU:                                                                                      \
        EACH_LANE(on, r |= (uint32_t) !((a) <= (b)) << l;);                                        \
        break;                                                                                     \
    case GEU:                                                                                      \
        EACH_LANE(on, r |= (uint32_t) !((a) < (b)) << l;);                                         \
        break;                                                                                     \
    case NUM:                                                                                      \
        EACH_LANE(on, r |= (uint32_t)((a) == (a) && (b) == (b)) << l;);                            \
        break;                                                                                     \
    default:                                                                                       \
        EACH_LANE(on, r |= (uint32_t) !((a) == (a) && (b) == (b)) << l;);                          \
    }
#define COMPARER(name, R, T)                                                                       \
    static uint32_t name(struct warp *w, const struct instr *i, uint32_t on)                       \
    {                                                                                              \
        uint32_t r = 0;                                                                            \
        const void *x = R(w, operand(i, 1)), *y = R(w, operand(i, 2));                             \
        COMPARE(T(x, l, i->ftz), T(y, l, i->ftz))                                                  \
        return r;                                                                                  \
    }
#define AT_S16(p, l, f) ((int16_t)((const uint32_t *)(p))[l])
#define AT_U16(p, l, f) ((uint16_t)((const uint32_t *)(p))[l])
#define AT_S32(p, l, f) (((const int32_t *)(p))[l])
#define AT_U32(p, l, f) (((const uint32_t *)(p))[l])
#define AT_S64(p, l, f) (((const int64_t *)(p))[l])
#define AT_U64(p, l, f) (((const uint64_t *)(p))[l])
#define AT_F64(p, l, f) (((const double *)(p))[l])
static inline float at_f32(const void *p, int l, bool ftz)
{
    const float x = ((const float *)p)[l];
    return ftz && fabsf(x) < 0x1p-126f ? 0 : x;
}
#define AT_F32(p, l, f) at_f32(p, l, f)
COMPARER(compare_s16, narrow, AT_S16)
COMPARER(compare_u16, narrow, AT_U16)
COMPARER(compare_s32, narrow, AT_S32)
COMPARER(compare_u32, narrow, AT_U32)
COMPARER(compare_s64, wide, AT_S64)
COMPARER(compare_u64, wide, AT_U64)
COMPARER(compare_f32, narrow, AT_F32)
COMPARER(compare_f64, wide, AT_F64)

static uint32_t compared(struct warp *w, const struct instr *i, uint32_t on)
{
    const bool sign = i->type.kind == 's';
    if (i->type.kind == 'f')
        return i->type.bits == 64 ? compare_f64(w, i, on) : compare_f32(w, i, on);
    if (i->type.bits == 16) return sign ? compare_s16(w, i, on) : compare_u16(w, i, on);
    if (i->type.bits == 32) return sign ? compare_s32(w, i, on) : compare_u32(w, i, on);
    return sign ? compare_s64(w, i, on) : compare_u64(w, i, on);
}

uint32_t compare_combined(const struct instr *i, uint32_t r, uint32_t c)
{
    return i->combine == COMBINE_AND   ? r & c
           : i->combine == COMBINE_OR  ? r | c
           : i->combine == COMBINE_XOR ? r ^ c
                                       : r;
}

static void setp(struct warp *w, const struct instr *i, uint32_t on)
{
    const uint32_t r = compared(w, i, on);
    const uint32_t c = i->combine ? predicate(w, operand(i, 3)) : 0;
    const struct operand *p = operand(i, 0);
    const bool two = group_size(i, 0) > 1;
    const uint32_t q = compare_combined(i, ~r, c);
    predicate_put(w, p, on, compare_combined(i, r, c));
    if (two) predicate_put(w, p + 1, on, q);
}

static void set(struct warp *w, const struct instr *i, uint32_t on)
{
    const struct operand *d = operand(i, 0);
    const uint32_t r =
        compare_combined(i, compared(w, i, on), i->combine ? predicate(w, operand(i, 3)) : 0);
    const uint32_t yes = i->from.kind == 'f' ? 0x3f800000 : ~0u; /* from: type of the result */
    EACH_LANE(on, lane_put(w, d, l, r >> l & 1 ? yes : 0););
}

static void selp(struct warp *w, const struct instr *i, uint32_t on)
{
    const uint32_t p = predicate(w, operand(i, 3));
    const struct operand *d = operand(i, 0);
    if (i->type.bits == 64) {
        const uint64_t *x = wide(w, operand(i, 1)), *y = wide(w, operand(i, 2));
        uint64_t *to = wide(w, d);
        EACH_LANE(on, to[l] = p >> l & 1 ? x[l] : y[l];);
    } else {
        const uint32_t *x = narrow(w, operand(i, 1)), *y = narrow(w, operand(i, 2));
        uint32_t *to = narrow(w, d), keep = i->type.bits == 16 ? 0xffff : ~0u;
        EACH_LANE(on, to[l] = (p >> l & 1 ? x[l] : y[l]) & keep;);
    }
}

/* Computes slct.TYPE.CTYPE: a where c >= 0, else b. */
static void slct(struct warp *w, const struct instr *i, uint32_t on)
{
    const struct operand *d = operand(i, 0);
    const void *c = narrow(w, operand(i, 3));
    EACH_LANE(on, const bool first = i->from.kind == 'f' ? at_f32(c, l, i->ftz) >= 0
                                                         : ((const int32_t *)c)[l] >= 0;
              lane_put(w, d, l, lane_get(w, operand(i, first ? 1 : 2), l)););
}

/* Classes of testp. */
enum { TEST_FINITE, TEST_INFINITE, TEST_NUMBER, TEST_NAN, TEST_NORMAL, TEST_SUBNORMAL };
static bool tested(int kind, double x, double least)
{
    switch (kind) {
    case TEST_FINITE:
        return isfinite(x);
    case TEST_INFINITE:
        return isinf(x);
    case TEST_NUMBER:
        return !isnan(x);
    case TEST_NAN:
        return isnan(x);
    case TEST_NORMAL:
        return isfinite(x) && (x == 0 || fabs(x) >= least);
    default:
        return x != 0 && fabs(x) < least;
    }
}
static void testp(struct warp *w, const struct instr *i, uint32_t on)
{
    uint32_t r = 0;
    const struct operand *x = operand(i, 1);
    if (i->type.bits == 64)
        EACH_LANE(on, r |= (uint32_t)tested(i->mode, ((const double *)wide(w, x))[l], 0x1p-1022)
                           << l;);
    else
        EACH_LANE(on, r |= (uint32_t)tested(i->mode, ((const float *)narrow(w, x))[l], 0x1p-126)
                           << l;);
    predicate_put(w, operand(i, 0), on, r);
}

static int one_of(const char **p, const char *const *words)
{
    for (int k = 0; words[k]; k++)
        if (ptx_suffix(p, words[k])) return k;
    return -1;
}

bool compare_relation(const char **p, struct instr *i)
{
    static const char *const signs[] = {"eq",  "ne",  "lt",  "le",  "gt",  "ge",  "equ", "neu",
                                        "ltu", "leu", "gtu", "geu", "num", "nan", NULL};
    static const char *const unsigneds[] = {"lo", "ls", "hi", "hs", NULL};
    int k = one_of(p, signs);
    if (k < 0) {
        k = one_of(p, unsigneds);
        if (k < 0) return false;
        k += LT;
    }
    i->compare = (uint8_t)k;
    static const char *const words[] = {"and", "or", "xor", NULL};
    i->combine = (uint8_t)(one_of(p, words) + 1);
    if (ptx_suffix(p, "ftz")) i->ftz = true;
    return true;
}

bool decode_compare(struct instr *i)
{
    static const char *const tests[] = {"finite", "infinite",  "number", "notanumber",
                                        "normal", "subnormal", NULL};
    const char *p = i->text + strcspn(i->text, ".");
    if (!strncmp(i->text, "setp.", 5)) {
        i->run = setp;
        return compare_relation(&p, i) && ptx_type(&p, &i->type) && !*p &&
               !(i->type.kind == 'f' && i->type.bits == 16);
    }
    if (!strncmp(i->text, "set.", 4)) {
        i->run = set;
        return compare_relation(&p, i) && ptx_type(&p, &i->from) && ptx_type(&p, &i->type) && !*p &&
               i->from.bits == 32 && !(i->type.kind == 'f' && i->type.bits == 16);
    }
    if (!strncmp(i->text, "selp.", 5)) {
        i->run = selp;
        return ptx_type(&p, &i->type) && !*p;
    }
    if (!strncmp(i->text, "slct.", 5)) {
        i->run = slct;
        if (ptx_suffix(&p, "ftz")) i->ftz = true;
        return ptx_type(&p, &i->type) && ptx_type(&p, &i->from) && !*p;
    }
    if (!strncmp(i->text, "testp.", 6)) {
        const int k = one_of(&p, tests);
        i->mode = (uint8_t)(k < 0 ? 0 : k);
        i->run = testp;
        return k >= 0 && ptx_type(&p, &i->type) && !*p;
    }
    return false;
}
