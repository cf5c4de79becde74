/* SPDX-License-Identifier: Apache-2.0 */
/* Training with what the optimizer keeps in bf16: on a tiny model at a small learning rate, weights
 * without a master that are rounded at random follow those with a master in fp32, and weights that
 * are rounded to nearest do not; what is kept is in the plan with its size. */
#include "rig.h"
#include "test.h"

enum { STEPS = 100 };

static bool open_with(struct rig *r, const char *device, const struct optimizer_options *o)
{
    const struct model m = tiny_model(true, false);
    return rig_open(r, device, &m,
                    (struct trainer_options){.compute = DT_BF16,
                                             .recompute = RECOMPUTE_NONE,
                                             .tokens = RIG_TOKENS,
                                             .optimizer = *o});
}

/* As if there were no master and the weights were rounded to nearest. */
static int forget_master(struct rig *r)
{
    struct weights *w = &r->t.weights;
    struct err e;
    int rc = 0;
    for (size_t i = 0; i < w->params.count && rc == 0; i++) {
        const struct param *p = &w->params.p[i];
        float *v = malloc(p->n * sizeof *v);
        rc = weights_get(w, w->values, DT_BF16, p->offset, p->n, v, &e);
        if (rc == 0) weights_set(w, optimizer_master(&r->t.optimizer), p, 0, p->n, v);
        free(v);
    }
    return rc;
}

/* The loss after so many steps on four batches in turn, as a mean over these; -1: failed. *before:
 * that of the first four steps. */
static double train(const char *device, const struct optimizer_options *o, double lr, bool nearest,
                    double *before)
{
    struct rig r;
    struct err e;
    double last = 0, first = 0;
    bool fine = open_with(&r, device, o);
    for (uint32_t k = 0; k < STEPS && fine; k++) {
        struct trainer_report x;
        struct feed_step s = rig_step(k % 4);
        fine = trainer_step(&r.t, &s, lr, &x, &e) == 0 && (!nearest || forget_master(&r) == 0);
        if (k < 4) first += x.loss / 4;
        if (k >= STEPS - 4) last += x.loss / 4;
        feed_step_free(&s);
    }
    rig_close(&r);
    if (before) *before = first;
    return fine ? last : -1;
}

static void follows(const char *device, const char *name, struct optimizer_options o, double lr)
{
    char what[120];
    double before;
    const double master = train(device, &o, lr, false, &before);
    const double nearest = train(device, &o, lr, true, NULL);
    o.no_master = true;
    o.moments = DT_BF16;
    const double random = train(device, &o, lr, false, NULL);
    printf("# %s %s: loss from %.4f to %.4f with a master, %.4f without, %.4f to nearest\n", device,
           name, before, master, random, nearest);
    snprintf(what, sizeof what, "%s: %s in bf16 alone falls as with a master, within 5 %%", device,
             name);
    CHECK(what,
          master > 0 && before - master > 0.1 && fabs(random - master) < 0.05 * (before - master));
    snprintf(what, sizeof what, "%s: %s to nearest falls less than two thirds of it", device, name);
    CHECK(what, nearest > 0 && before - nearest < 2.0 / 3 * (before - master));
}

/* Bytes an element of master and moments, and the names of what is saved. */
static void kept(const char *name, const struct optimizer_options *o, double master, double moments,
                 const char *parts)
{
    struct rig r;
    char got[120] = "", what[160];
    struct save_part part[OPTIMIZER_PARTS];
    if (!open_with(&r, "ref", o)) return;
    const double n = (double)r.t.weights.params.trained;
    const int count = optimizer_parts(&r.t.optimizer, part);
    for (int i = 0; i < count; i++) {
        const size_t at = strlen(got);
        snprintf(got + at, sizeof got - at, "%s%s %s", at ? ", " : "", part[i].name,
                 dtype_name(part[i].type));
    }
    snprintf(what, sizeof what, "optimizer: %s keeps %s", name, got);
    const double a = (double)tiny_planned(&r.t.memory.plan, PLAN_MASTER) / n,
                 b = (double)tiny_planned(&r.t.memory.plan, PLAN_MOMENTS) / n;
    CHECK(what, strcmp(got, parts) == 0 && fabs(a - master) < 0.05 && fabs(b - moments) < 0.05);
    rig_close(&r);
}

int main(void)
{
    const struct optimizer_options adamw = {.beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8};
    const struct optimizer_options sgd = {.kind = OPTIMIZER_SGD, .momentum = 0.9};
    struct optimizer_options o = adamw;
    kept("AdamW", &o, 4, 8, "master fp32, exp_avg fp32, exp_avg_sq fp32");
    o.moments = DT_BF16;
    kept("AdamW", &o, 4, 4, "master fp32, exp_avg bf16, exp_avg_sq bf16");
    o.no_master = true;
    kept("AdamW", &o, 0, 4, "exp_avg bf16, exp_avg_sq bf16");
    o = sgd;
    kept("SGD with momentum", &o, 4, 4, "master fp32, momentum_buffer fp32");
    o.momentum = 0;
    kept("SGD", &o, 4, 0, "master fp32");
    o.no_master = true;
    kept("SGD", &o, 0, 0, "");

    struct err e;
    struct device *cpu = device_open("cpu", 1, &e);
    const bool narrow = cpu && device_has_bf16(cpu);
    device_close(cpu);
    follows("ref", "AdamW", adamw, 1e-4);
    follows("ref", "SGD", sgd, 2e-4);
    if (narrow) follows("cpu", "AdamW", adamw, 1e-4);
    TEST_END();
}
