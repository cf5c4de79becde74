/* SPDX-License-Identifier: Apache-2.0 */
/* mma.sync of integers, 8-bit floats and f64, and with sums in f16. */
#include <stdlib.h>
#include <string.h>

#include "half.h"
#include "order.h"

enum element { E_F16, E_E4M3, E_E5M2, E_S8, E_U8, E_S4, E_U4 }; /* instr.compare, combine: A, B */
enum { ROWS = 16, COLUMNS = 8, DEPTH = 64 };

static int bits_of(int e) { return e == E_F16 ? 16 : e == E_S4 || e == E_U4 ? 4 : 8; }

static double element(int e, uint32_t v)
{
    switch (e) {
    case E_F16:
        return half_value(HALF_F16, (uint16_t)v);
    case E_E4M3:
    case E_E5M2:
        return fp8_value(e == E_E5M2, (uint8_t)v);
    case E_S8:
        return (int8_t)v;
    case E_S4:
        return (int8_t)(v << 4) >> 4;
    default:
        return v;
    }
}

/* Fills values [row][k] from a fragment of A, or of B, whose columns are the rows here. */
static void gather(struct warp *w, const struct instr *i, int group, double (*to)[DEPTH])
{
    const int e = group == 1 ? i->compare : i->combine, bits = bits_of(e), packed = 32 / bits;
    const uint32_t mask = (1u << bits) - 1;
    for (int r = 0; r < group_size(i, group); r++) {
        const uint32_t *x = narrow(w, operand(i, group) + r);
        const int half = group == 1 ? r / 2 : r, below = group == 1 && r & 1 ? 8 : 0;
        for (int l = 0; l < LANES; l++)
            for (int k = 0; k < packed; k++)
                to[l / 4 + below][(l % 4 + half * 4) * packed + k] =
                    element(e, x[l] >> k * bits & mask);
    }
}

/* One accumulator: c plus the sum, as the type of D keeps it. */
static uint32_t added(const struct instr *i, uint32_t c, double sum)
{
    float f;
    if (i->type.kind == 's') {
        const int64_t v = (int32_t)c + (int64_t)sum;
        return i->sat ? (uint32_t)(v > INT32_MAX   ? INT32_MAX
                                   : v < INT32_MIN ? INT32_MIN
                                                   : v)
                      : (uint32_t)v;
    }
    if (i->type.bits == 16) return half_round(HALF_F16, half_value(HALF_F16, (uint16_t)c) + sum, 0);
    memcpy(&f, &c, sizeof f);
    f = (float)(f + sum);
    memcpy(&c, &f, sizeof f);
    return f != f ? 0x7fffffff : c;
}

static void mma(struct warp *w, const struct instr *i, uint32_t on)
{
    double a[ROWS][DEPTH] = {{0}}, b[COLUMNS][DEPTH] = {{0}};
    const int packed = 32 / i->type.bits, depth = i->count;
    (void)on;
    gather(w, i, 1, a);
    gather(w, i, 2, b);
    for (int r = 0; r < group_size(i, 0); r++) {
        const uint32_t *c = narrow(w, operand(i, 3) + r);
        uint32_t *d = narrow(w, operand(i, 0) + r);
        for (int l = 0; l < LANES; l++) {
            uint32_t out = 0;
            for (int p = 0; p < packed; p++) {
                const int e = r * packed + p;
                double sum = 0;
                for (int k = 0; k < depth; k++)
                    sum += a[l / 4 + 8 * (e / 2)][k] * b[l % 4 * 2 + e % 2][k];
                out |= (added(i, packed == 2 ? c[l] >> 16 * p & 0xffff : c[l], sum)) << 16 * p;
            }
            d[l] = out;
        }
    }
    order_warp(w);
}

static void mma_f64(struct warp *w, const struct instr *i, uint32_t on)
{
    const double *a = (const double *)wide(w, operand(i, 1)),
                 *b = (const double *)wide(w, operand(i, 2));
    (void)on;
    for (int e = 0; e < 2; e++) {
        const double *c = (const double *)wide(w, operand(i, 3) + e);
        double *d = (double *)wide(w, operand(i, 0) + e);
        for (int l = 0; l < LANES; l++) {
            double sum = c[l];
            for (int k = 0; k < 4; k++) sum += a[l / 4 * 4 + k] * b[(l % 4 * 2 + e) * 4 + k];
            d[l] = sum;
        }
    }
    order_warp(w);
}

/* ---- opcodes ---- */
static bool element_of(const char **p, uint8_t *e)
{
    static const char *const names[] = {"f16", "e4m3", "e5m2", "s8", "u8", "s4", "u4"};
    for (uint8_t k = 0; k < sizeof names / sizeof *names; k++)
        if (ptx_suffix(p, names[k])) return *e = k, true;
    return false;
}

bool decode_mma_small(struct instr *i)
{
    const char *p = i->text + 3;
    struct type c;
    char *end;
    if (!strcmp(i->text, "mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64"))
        return i->run = mma_f64, true;
    if (!ptx_suffix(&p, "sync") || !ptx_suffix(&p, "aligned") || strncmp(p, ".m16n8k", 7))
        return false;
    i->count = (uint8_t)strtoul(p + 7, &end, 10);
    p = end;
    if (!ptx_suffix(&p, "row") || !ptx_suffix(&p, "col")) return false;
    i->sat = ptx_suffix(&p, "satfinite");
    i->run = mma;
    return ptx_type(&p, &i->type) && element_of(&p, &i->compare) && element_of(&p, &i->combine) &&
           ptx_type(&p, &c) && !*p && i->groups == 4 && i->count <= DEPTH;
}
