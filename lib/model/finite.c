/* SPDX-License-Identifier: Apache-2.0 */
/* The search for the first tensor with a weight that is not finite, which explains a result that is
 * not finite. */
#include <math.h>
#include <stdio.h>

#include "model/weights.h"

enum { CHUNK = 4096 };

struct found {
    size_t count, first; /* number of elements that are not finite; index of the first */
    float value;
};

/* Looks at the elements that this rank has. */
static int look(struct weights *w, const struct param *p, struct found *f, struct err *e)
{
    float x[CHUNK];
    struct param_run own = {.n = p->n};
    *f = (struct found){0};
    if (!weights_clip(w, &w->own, p, &own)) return 0;
    for (size_t at = own.at, end = own.at + own.n, c; at < end; at += c) {
        c = end - at < CHUNK ? end - at : CHUNK;
        const void *from = weights_own_value(w, p->bucket, p->offset + at);
        if (weights_get(w, from, w->compute, 0, c, x, e)) return -1;
        for (size_t i = 0; i < c; i++) {
            if (isfinite(x[i])) continue;
            if (f->count++ == 0) {
                f->first = at + i;
                f->value = x[i];
            }
        }
    }
    return 0;
}

static void describe(const struct param *p, const struct found *f, char *text, size_t size)
{
    const char *value = isnan(f->value) ? "nan" : f->value < 0 ? "-inf" : "inf";
    char place[72];
    const size_t width = p->rank > 1 ? (size_t)p->shape[1] : 1, row = f->first / width;
    const size_t rows = p->rank > 2 ? (size_t)(p->shape[0] / p->whole[0]) : 1; /* of an expert */
    if (p->rank == 3)
        snprintf(place, sizeof place, "[%zu,%zu,%zu]", row / rows, row % rows, f->first % width);
    else if (p->rank == 2)
        snprintf(place, sizeof place, "[%zu,%zu]", row, f->first % width);
    else
        snprintf(place, sizeof place, "[%zu]", f->first);
    snprintf(text, size, "tensor %s is not finite: %s at %s, %zu of its %zu elements", p->name,
             value, place, f->count, p->n);
}

static bool has_all(const struct weights *w)
{
    const struct params *p = &w->params;
    return p->has_embedding && p->has_head && p->ep == 1 && !w->tp && !w->own.parts;
}

bool weights_find_nonfinite(struct weights *w, char *text, size_t size)
{
    struct found f;
    for (size_t i = 0; i < w->params.count; i++) {
        if (look(w, &w->params.p[i], &f, NULL)) {
            snprintf(text, size, "the weights cannot be read");
            return false;
        }
        if (f.count == 0) continue;
        describe(&w->params.p[i], &f, text, size);
        return true;
    }
    snprintf(text, size, "every weight %sis finite", has_all(w) ? "" : "of this rank ");
    return false;
}
