/* SPDX-License-Identifier: Apache-2.0 */
#include "conform_compare.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "conform_number.h"

/* Types whose elements hold one or two numbers. */
static const struct layout {
    const char *type;
    unsigned size, parts;
    const struct number *number; /* NULL: integers, f32 or f64 */
} layouts[] = {
    {"b8", 1, 1, NULL},      {"s8", 4, 1, NULL},   {"u8", 4, 1, NULL},      {"s16", 2, 1, NULL},
    {"u16", 2, 1, NULL},     {"s32", 4, 1, NULL},  {"u32", 4, 1, NULL},     {"s64", 8, 1, NULL},
    {"u64", 8, 1, NULL},     {"f16", 2, 1, &F16},  {"bf16", 2, 1, &BF16},   {"f16x2", 4, 2, &F16},
    {"bf16x2", 4, 2, &BF16}, {"tf32", 4, 1, &F32}, {"e4m3x2", 2, 2, &E4M3}, {"e5m2x2", 2, 2, &E5M2},
    {"f32", 4, 1, &F32},     {"f64", 8, 1, NULL},
};

static const struct layout *layout_of(const char *type)
{
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++)
        if (!strcmp(layouts[i].type, type)) return &layouts[i];
    fprintf(stderr, "conform: no type %s\n", type);
    abort();
}

unsigned type_size(const char *type) { return layout_of(type)->size; }

static double part_value(const struct layout *l, uint64_t bits, unsigned part)
{
    if (l->number) {
        const unsigned width = 1 + l->number->exponent + l->number->mantissa;
        return number_value(l->number,
                            (uint32_t)(bits >> part * width) & (uint32_t)((1ull << width) - 1));
    }
    double x;
    memcpy(&x, &bits, sizeof x);
    return !strcmp(l->type, "f64") ? x : (double)(int64_t)bits;
}

/* The distance of two numbers of a format, in units of the last place of the wanted one. */
static double ulps(const struct layout *l, double got, double want)
{
    const int mantissa = l->number ? l->number->mantissa : 52;
    const int lowest = l->number ? 2 - (1 << (l->number->exponent - 1)) : -1022;
    int e = want == 0 ? lowest : ilogb(want);
    if (e < lowest) e = lowest;
    return ldexp(fabs(got - want), mantissa - e);
}

static int within(const struct layout *l, double got, double want, const char *tolerance)
{
    if (isnan(got) || isnan(want)) return isnan(got) && isnan(want);
    if (got == want) return 1;
    if (!tolerance || isinf(got) || isinf(want)) return 0;
    const double limit = atof(tolerance + 4);
    if (!strncmp(tolerance, "ulp:", 4)) return ulps(l, got, want) <= limit;
    if (!strncmp(tolerance, "rel:", 4)) return fabs(got - want) <= limit * fabs(want);
    if (!strncmp(tolerance, "mix:", 4)) return fabs(got - want) <= limit * fmax(1, fabs(want));
    return !strncmp(tolerance, "abs:", 4) && fabs(got - want) <= limit;
}

static int same_element(const struct layout *l, uint64_t got, uint64_t want, const char *tolerance,
                        enum strictness strict)
{
    if (got == want || (tolerance && !strcmp(tolerance, "any"))) return 1;
    const int numbers = l->number || !strcmp(l->type, "f64");
    if (!numbers || (!tolerance && strict == STRICT)) return 0;
    for (unsigned part = 0; part < l->parts; part++) {
        const double a = part_value(l, got, part), b = part_value(l, want, part);
        if (!tolerance && a == b && signbit(a) != signbit(b)) return 0;
        if (!within(l, a, b, tolerance)) return 0;
    }
    return 1;
}

int same_values(const struct form *f, const char *got, const char *want, enum strictness strict,
                char *why, size_t size)
{
    const struct layout *l = layout_of(f->type);
    unsigned bad = 0;
    for (unsigned i = 0; i < f->out_bytes / l->size; i += f->every) {
        uint64_t a = 0, b = 0;
        memcpy(&a, got + i * l->size, l->size);
        memcpy(&b, want + i * l->size, l->size);
        if (same_element(l, a, b, f->tolerance, strict)) continue;
        if (bad++ == 0)
            snprintf(why, size, "element %u is %llx, not %llx", i, (unsigned long long)a,
                     (unsigned long long)b);
    }
    const size_t at = strlen(why);
    if (bad > 1) snprintf(why + at, size - at, " (%u such)", bad);
    return bad == 0;
}

struct golden {
    char *text;
};

struct golden *golden_read(const char *path)
{
    enum { LARGEST = 1 << 24 };
    FILE *file = fopen(path, "r");
    if (!file) return NULL;
    struct golden *g = (struct golden *)malloc(sizeof *g);
    g->text = (char *)malloc(LARGEST);
    g->text[fread(g->text, 1, LARGEST - 1, file)] = 0;
    fclose(file);
    return g;
}

/* The hex words after the form's line, or NULL. */
static const char *golden_find(const struct golden *g, const struct form *f)
{
    char start[200];
    const int n = snprintf(start, sizeof start, "form %s ", f->name);
    for (const char *line = g->text; line; line = strchr(line, '\n')) {
        if (*line == '\n') line++;
        if (!strncmp(line, start, (size_t)n)) return strchr(line, '\n');
    }
    return NULL;
}

int golden_values(const struct golden *g, const struct form *f, char *values)
{
    const unsigned size = type_size(f->type);
    const char *at = golden_find(g, f);
    if (!at) return 0;
    for (unsigned i = 0; i < f->out_bytes / size; i += f->every) {
        char *end;
        const uint64_t v = strtoull(at, &end, 16);
        if (end == at) return 0;
        memcpy(values + i * size, &v, size);
        at = end;
    }
    return 1;
}

int golden_holds(const struct golden *g, const struct form *f, const char *got, char *why,
                 size_t size)
{
    const struct layout *l = layout_of(f->type);
    static char values[1 << 19];
    if (!golden_values(g, f, values))
        return snprintf(why, size, "the golden file has no such form"), 0;
    for (unsigned i = 0; i < f->out_bytes / l->size; i += f->every) {
        uint64_t a = 0, b = 0;
        memcpy(&a, got + i * l->size, l->size);
        memcpy(&b, values + i * l->size, l->size);
        if (same_element(l, a, b, f->tolerance, STRICT)) continue;
        snprintf(why, size, "element %u is %llx, in the golden file %llx", i, (unsigned long long)a,
                 (unsigned long long)b);
        return 0;
    }
    return 1;
}
