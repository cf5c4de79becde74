/* SPDX-License-Identifier: Apache-2.0 */
/* Comparing training with the values that tests/oracle/make_train_golden.py wrote. */
#ifndef SFT_TEST_GOLDEN_H
#define SFT_TEST_GOLDEN_H

#include "base/io.h"
#include "base/json.h"
#include "rig.h"
#include "test.h"

struct golden {
    struct buf text;
    struct arena arena;
    const struct json *root; /* NULL: not there */
};
TINY struct golden golden_open(const char *path)
{
    struct err e = {0};
    struct golden g = {0};
    if (io_slurp(path, (size_t)8 << 20, &g.text, &e) == 0)
        g.root = json_parse(g.text.data, g.text.len, &g.arena, &e);
    if (!g.root) printf("# %s\n", e.msg);
    return g;
}
TINY void golden_close(struct golden *g)
{
    arena_free(&g->arena);
    buf_free(&g->text);
}

TINY double golden_number(const struct json *object, const char *key)
{
    double v = NAN;
    const struct json *x = json_get(object, key);
    if (x) json_real(x, &v);
    return v;
}
TINY double golden_at(const struct json *array, size_t i)
{
    double v = NAN;
    if (array && i < array->count) json_real(&array->items[i], &v);
    return v;
}
TINY bool golden_flag(const struct json *object, const char *key)
{
    const struct json *v = json_get(object, key);
    return v && v->kind == JSON_BOOL && v->truth;
}
/* "CASE on DEVICE: WHAT", what a check of one of the file's cases is called. */
enum { GOLDEN_NAME = 200 };
TINY void golden_name(char out[GOLDEN_NAME], const struct json *c, const char *device,
                      const char *what)
{
    const struct json *v = json_get(c, "name");
    const int n = v->s.n < 120 ? (int)v->s.n : 120;
    snprintf(out, GOLDEN_NAME, "%.*s on %s: %s", n, v->s.p, device, what);
}

TINY double apart(double got, double want) { return fabs(got - want) / fabs(want); }
/* |x - y| / |y| of vectors. */
TINY double distance(const float *x, const float *y, size_t n)
{
    double off = 0, size = 0;
    for (size_t i = 0; i < n; i++) {
        off += ((double)x[i] - (double)y[i]) * ((double)x[i] - (double)y[i]);
        size += (double)y[i] * (double)y[i];
    }
    return sqrt(off / size);
}
/* The larger; what is not a number is worse than all. */
TINY double worse(double a, double b) { return isnan(a) || isnan(b) ? INFINITY : fmax(a, b); }

static double dot_signs(const char *name, int j, const float *g, size_t n)
{
    char key[128];
    double sum = 0;
    snprintf(key, sizeof key, "%s#%d", name, j);
    /* the hash of the name is the same for all elements: tiny_hash with it taken out */
    uint32_t base = 2166136261u;
    for (const char *p = key; *p; p++) base = (base ^ (unsigned char)*p) * 16777619u;
    for (size_t i = 0; i < n; i++) {
        uint32_t x = base + (uint32_t)i * 0x9e3779b1u;
        x ^= x >> 16;
        x *= 0x85ebca6bu;
        x ^= x >> 13;
        x *= 0xc2b2ae35u;
        sum += (x ^ x >> 16) >> 31 ? -(double)g[i] : (double)g[i];
    }
    return sum;
}

/* The worst difference of the norm, projections and (where given) elements of the n values of
 * tensor `name`, relative to the norm. */
TINY double golden_tensor(const char *name, const float *g, size_t n, const struct json *want)
{
    const double norm = want ? golden_number(want, "norm") : NAN;
    double sum = 0;
    for (size_t j = 0; j < n; j++) sum += (double)g[j] * (double)g[j];
    if (norm == 0) return sum > 0 ? INFINITY : 0; /* an expert without a token */
    const struct json *signs = want ? json_get(want, "projections") : NULL;
    double bad = signs && signs->count ? fabs(sqrt(sum) - norm) / norm : INFINITY;
    for (size_t j = 0; signs && j < signs->count; j++)
        bad = worse(bad, fabs(dot_signs(name, (int)j, g, n) - golden_at(signs, j)) / norm);
    const struct json *all = want ? json_get(want, "all") : NULL;
    double off = 0;
    for (size_t j = 0; all && j < n; j++) {
        double d = (double)g[j] - golden_at(all, j);
        off += d * d;
    }
    return worse(bad, sqrt(off) / norm);
}

/* The worst difference of any gradient. Prints the tensor when it is above `limit`. */
TINY double golden_gradients(struct weights *w, const struct json *want, double limit)
{
    double worst = 0;
    struct err e;
    for (size_t i = 0; i < w->params.count; i++) {
        const struct param *p = &w->params.p[i];
        if (!p->trained) continue;
        float *g = malloc(p->n * sizeof *g);
        double bad = INFINITY;
        if (g && weights_get(w, w->gradients, w->accum, p->offset, p->n, g, &e) == 0)
            bad = golden_tensor(p->name, g, p->n, json_get(want, p->name));
        if (!(bad <= limit)) printf("# %s: %g\n", p->name, bad);
        worst = worse(worst, bad);
        free(g);
    }
    return worst;
}

#endif
