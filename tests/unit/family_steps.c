/* SPDX-License-Identifier: Apache-2.0 */
/* Ten steps of AdamW in fp32 of a model of every family, within 1e-6 of PyTorch's: each loss, and
 * every tensor at the end, relative to its length. The norm of the gradient is within 1e-6 of that
 * of PyTorch in double: in models with norms of results it has the roundings of all layers, and so
 * PyTorch's in fp32 is as far off, up to 8e-7.
 *
 * usage: family_steps [FAMILY]  only those whose name has this text */
#include "family.h"

enum { STEPS = 10 };
static const double limit = 1e-6;

/* The worst tensor's distance in norm and projections, relative to its norm: a projection on random
 * signs differs by about as much as the tensor. `least` is lowered to how far the one that moved
 * least did, of its length. */
static double compare(struct weights *w, const struct json *want, double *least)
{
    double worst = 0;
    struct err e;
    for (size_t i = 0; i < w->params.count; i++) {
        const struct param *p = &w->params.p[i];
        const struct json *x = json_get(want, p->name);
        float *v = malloc(p->n * sizeof *v);
        double off = INFINITY;
        if (x && weights_get(w, w->values, w->compute, p->offset, p->n, v, &e) == 0)
            off = golden_tensor(p->name, v, p->n, x);
        if (!(off <= limit)) printf("# %s: %.2g\n", p->name, off);
        worst = worse(worst, off);
        *least = fmin(*least, golden_number(x, "moved") / golden_number(x, "norm"));
        free(v);
    }
    return w->params.count == want->count ? worst : INFINITY;
}

static void follow(struct family *f, const char *device)
{
    char name[GOLDEN_NAME];
    struct rig r;
    struct err e;
    const struct json *want = json_get(f->g.root, "steps");
    double losses = 0, norms = 0, least = INFINITY;
    const bool open =
        rig_open(&r, device, &f->m,
                 (struct trainer_options){.compute = DT_F32,
                                          .recompute = RECOMPUTE_SELECTIVE,
                                          .tokens = 30, /* several micro-batches a step */
                                          .optimizer = f->adamw});
    for (uint32_t k = 0; open && k < STEPS; k++) {
        struct trainer_report x = {0};
        struct feed_step s = rig_step(k);
        if (trainer_step(&r.t, &s, f->rate, &x, &e)) losses = INFINITY;
        losses = worse(losses, apart(x.loss, golden_at(json_get(want, "losses"), k)));
        norms = worse(norms, apart(x.grad_norm, golden_at(json_get(want, "norms"), k)));
        feed_step_free(&s);
    }
    const double off = open ? compare(&r.t.weights, json_get(want, "weights"), &least) : INFINITY;
    golden_name(name, f->g.root, device, "ten steps of AdamW are PyTorch's");
    printf("# %s: losses %.1e, norms %.1e, weights %.1e of their length; moved by %.2g\n", name,
           losses, norms, off, least);
    CHECK(name, losses <= limit && norms <= limit && off <= limit && least > 1e-3);
    rig_close(&r);
}

static void check(struct family *f, const char *arg)
{
    (void)arg;
    follow(f, "ref");
    follow(f, "cpu");
}

int main(int argc, char **argv)
{
    families_check(check, NULL, argc > 1 ? argv[1] : NULL);
    TEST_END();
}
