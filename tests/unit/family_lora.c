/* SPDX-License-Identifier: Apache-2.0 */
/* Two adapters of a model of every family against peft: on all linear layers, and on some by name.
 * The same layers have one, with the same names of their tensors, and the loss and all gradients
 * are peft's.
 *
 * usage: family_lora [FAMILY]  only those whose name has this text */
#include "adapter/adapter.h"
#include "family.h"

static void say(const char *text) { printf("# %s\n", text); }

/* Exactly these tensors are trained. */
static bool same_names(const struct params *t, const struct json *want)
{
    size_t trained = 0;
    bool same = true;
    for (size_t i = 0; i < t->count; i++) {
        if (!t->p[i].trained) continue;
        trained++;
        if (json_get(want, t->p[i].name)) continue;
        printf("# peft has no %s\n", t->p[i].name);
        same = false;
    }
    if (trained != want->count) printf("# %zu tensors, peft has %zu\n", trained, want->count);
    return same && trained == want->count;
}

static double gradients(struct rig *r, const struct json *c)
{
    struct err e;
    struct trainer_report x;
    struct feed_step s = rig_step(0);
    double bad = trainer_gradients(&r->t, &s, &x, &e) ? INFINITY : 0;
    bad = worse(bad, apart(x.loss, golden_number(c, "loss")) * 10);
    bad = worse(bad, golden_gradients(&r->t.weights, json_get(c, "gradients"), 2e-5));
    feed_step_free(&s);
    return bad;
}

static void adapted(struct family *f, const struct json *c, struct adapter *a, const char *device)
{
    char name[GOLDEN_NAME];
    struct rig r;
    struct err e = {0};
    struct trainer_options o = {
        .compute = DT_F32, .recompute = RECOMPUTE_SELECTIVE, .tokens = 30, .optimizer = f->adamw};
    adapter_params(a, &o.params);
    const bool open = rig_open(&r, device, &f->m, o);
    const bool named = open && adapter_check(a, &r.t.weights.params, "base", say, &e) == 0 &&
                       same_names(&r.t.weights.params, json_get(c, "gradients"));
    golden_name(name, c, device, "an adapter is on peft's layers");
    CHECK(name, named);
    const double bad = named ? gradients(&r, c) : INFINITY;
    golden_name(name, c, device, "loss and gradients are peft's");
    printf("# %s: worst %.2g\n", name, bad);
    CHECK(name, bad <= 2e-5);
    rig_close(&r);
}

static void check_adapter(struct family *f, const struct json *c, const char *device)
{
    struct err e = {0};
    char target[100];
    const struct json *t = json_get(c, "target");
    snprintf(target, sizeof target, "%.*s", STR_FMT(t->s));
    struct adapter *a =
        adapter_new(&(struct adapter_options){.target = target,
                                              .rank = (int64_t)golden_number(f->g.root, "rank"),
                                              .alpha = golden_number(f->g.root, "alpha"),
                                              .seed = 1},
                    &f->m, &e);
    CHECK_IN(f->name, "its adapter is read", a != NULL);
    if (a) adapted(f, c, a, device);
    adapter_free(a);
}

static void check(struct family *f, const char *arg)
{
    (void)arg;
    const struct json *cases = json_get(f->g.root, "adapters");
    CHECK_IN(f->name, "two adapters are compared", cases && cases->count == 2);
    for (size_t i = 0; cases && i < cases->count; i++) {
        check_adapter(f, &cases->items[i], "ref");
        check_adapter(f, &cases->items[i], "cpu");
    }
}

int main(int argc, char **argv)
{
    families_check(check, NULL, argc > 1 ? argv[1] : NULL);
    TEST_END();
}
