/* SPDX-License-Identifier: Apache-2.0 */
/* Updates of weights: AdamW and SGD against PyTorch's. */
#include "golden.h"
#include "ops_backends.h"

enum { MOST = 64 };
struct state {
    double p[MOST], m[MOST], v[MOST], grad[MOST]; /* or floats */
    double sumsq;
};

static double number(const struct json *o, const char *key, double otherwise)
{
    const struct json *x = json_get(o, key);
    double v = otherwise;
    if (x && json_real(x, &v)) v = NAN;
    return v;
}

static void set(double *x, bool wide, int i, double value)
{
    if (wide)
        x[i] = value;
    else
        ((float *)x)[i] = (float)value;
}
static double get(const double *x, bool wide, int i)
{
    return wide ? x[i] : (double)((const float *)x)[i];
}

/* Gradients of step k, from 0; their squares are those of the exact numbers. */
static void fill(double *x, bool wide, int n, const char *name, double *sumsq)
{
    *sumsq = 0;
    for (int i = 0; i < n; i++) {
        const double value = (double)tiny_uniform(name, (uint32_t)i);
        set(x, wide, i, value);
        *sumsq += value * value;
    }
}

static void update(struct device *d, struct state *s, const struct json *c, int n, int k, bool wide)
{
    const struct json *o = json_get(c, "options"), *betas = json_get(o, "betas");
    const struct json *nesterov = json_get(o, "nesterov");
    const enum dtype real = wide ? DT_F64 : DT_F32;
    double b1 = NAN, b2 = NAN;
    if (betas) {
        json_real(&betas->items[0], &b1);
        json_real(&betas->items[1], &b2);
        op_adamw(d, &(struct op_adamw){.master = s->p,
                                       .m = s->m,
                                       .v = s->v,
                                       .grad = s->grad,
                                       .sumsq = &s->sumsq,
                                       .n = n,
                                       .lr = number(o, "lr", NAN),
                                       .beta1 = b1,
                                       .beta2 = b2,
                                       .eps = number(o, "eps", NAN),
                                       .weight_decay = number(o, "weight_decay", 0),
                                       .c1 = 1 - pow(b1, k + 1),
                                       .c2 = 1 - pow(b2, k + 1),
                                       .max_norm = number(c, "max_norm", 0),
                                       .dtype = real});
        return;
    }
    const double momentum = number(o, "momentum", 0);
    op_sgd(d, &(struct op_sgd){.param = s->p, /* no master: the same by another name */
                               .m = momentum > 0 ? s->m : NULL,
                               .grad = s->grad,
                               .sumsq = &s->sumsq,
                               .n = n,
                               .lr = number(o, "lr", NAN),
                               .momentum = momentum,
                               .dampening = number(o, "dampening", 0),
                               .nesterov = nesterov && nesterov->truth,
                               .weight_decay = number(o, "weight_decay", 0),
                               .max_norm = number(c, "max_norm", 0),
                               .param_dtype = real,
                               .dtype = real,
                               .random.step = (uint64_t)k + 1});
}

static double off(const double *x, const struct json *want, const char *key, int n, bool wide)
{
    const struct json *a = json_get(want, key);
    double worst = 0, v;
    if (!a) return 0; /* this optimizer has none */
    if (a->count != (size_t)n) return INFINITY;
    for (int i = 0; i < n; i++) {
        if (json_real(&a->items[i], &v)) return INFINITY;
        worst = fmax(worst, fabs(get(x, wide, i) - v));
    }
    return worst;
}
static double all_off(const struct state *s, const struct json *want, int n, bool wide)
{
    return fmax(off(s->p, want, "p", n, wide),
                fmax(off(s->m, want, "m", n, wide), off(s->v, want, "v", n, wide)));
}

static void check_torch(struct device *d, const char *backend, const struct json *g)
{
    const bool wide = strcmp(backend, "ref64") == 0;
    const int n = (int)number(g, "n", 0), steps = (int)number(g, "steps", 0);
    const struct json *cases = json_get(g, "cases");
    double worst = n < 1 || n > MOST || steps < 2 ? INFINITY : 0;
    for (size_t i = 0; i < cases->count && isfinite(worst); i++) {
        const struct json *c = &cases->items[i];
        struct state s = {.sumsq = 0};
        fill(s.p, wide, n, "p", &s.sumsq);
        for (int j = 0; j < n; j++) set(s.m, wide, j, 1e9); /* SGD must not read it at first */
        if (json_get(json_get(c, "first"), "v")) memset(s.m, 0, sizeof s.m);
        for (int k = 0; k < steps; k++) {
            char name[16];
            snprintf(name, sizeof name, "g%d", k);
            fill(s.grad, wide, n, name, &s.sumsq);
            update(d, &s, c, n, k, wide);
            if (k == 0 && json_get(json_get(c, "first"), "m"))
                worst = fmax(worst, all_off(&s, json_get(c, "first"), n, wide));
        }
        worst = fmax(worst, all_off(&s, json_get(c, "last"), n, wide));
    }
    char name[80];
    snprintf(name, sizeof name, "%s: AdamW and SGD equal PyTorch's", backend);
    printf("# %s: worst %.2g\n", name, worst);
    CHECK(name, worst <= (wide ? 1e-13 : 2e-7) && cases->count == 14);
}

int main(void)
{
    struct golden g = golden_open("tests/golden/train/update.json");
    CHECK("update: the golden file is there", g.root && json_get(g.root, "cases"));
    for (int i = 0; g.root && i < BACKENDS; i++) {
        struct device *d = backend_open(i, 1);
        if (d) check_torch(d, backends[i], g.root);
        device_close(d);
    }
    golden_close(&g);
    TEST_END();
}
