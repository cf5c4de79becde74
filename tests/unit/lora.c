/* SPDX-License-Identifier: Apache-2.0 */
/* LoRA against peft: loss, every gradient, ten steps of AdamW; the same bytes whatever is kept for
 * backward, also with dropout, and the same masks however a step is cut; the plan's saving. */
#include "golden.h"

/* The modules that each case of tests/oracle/make_peft_golden.py adapts, and trains as a whole. */
struct choice {
    const char *targets[8], *layer, *whole[3];
};
static const struct choice choices[] = {
    {{"q_proj", "v_proj"}, "layers.", {NULL}},
    {{"_proj"}, "layers.", {"lm_head", "input_layernorm"}},
    {{"k_proj", "o_proj", "up_proj", "down_proj"}, "layers.1.", {"embed_tokens"}},
    {{"k_proj", "gate_proj", "up_proj"}, "layers.", {NULL}},
};

static bool has(const char *name, const char *const *words)
{
    for (; *words; words++)
        if (strstr(name, *words)) return true;
    return false;
}
static bool target(void *arg, const char *module)
{
    const struct choice *c = arg;
    return strstr(module, c->layer) && has(module, c->targets);
}
static bool frozen(void *arg, const char *name)
{
    const struct choice *c = arg;
    return !has(name, c->whole);
}

struct form {
    const char *device;
    enum dtype dtype;
    enum recompute recompute;
    int64_t tokens, rank;
    double scale, dropout;
    bool tied, bias;
};

static bool open_form(struct rig *r, const struct form *f, const struct choice *c)
{
    const struct model m = tiny_model(f->tied, f->bias);
    void *choice = (void *)(uintptr_t)c;
    return rig_open(r, f->device, &m,
                    (struct trainer_options){.compute = f->dtype,
                                             .recompute = f->recompute,
                                             .tokens = f->tokens,
                                             .params = {.frozen = frozen,
                                                        .arg = choice,
                                                        .lora = {.rank = f->rank,
                                                                 .scale = f->scale,
                                                                 .dropout = f->dropout,
                                                                 .seed = 42,
                                                                 .target = target,
                                                                 .arg = choice}},
                                             .optimizer = RIG_ADAMW});
}

static void against_peft(const struct json *c, const struct choice *choice, const char *device)
{
    char name[GOLDEN_NAME];
    struct rig r;
    struct err e;
    struct trainer_report x;
    const struct form f = {.device = device,
                           .dtype = DT_F32,
                           .recompute = RECOMPUTE_SELECTIVE,
                           .tokens = 30,
                           .rank = (int64_t)golden_number(c, "rank"),
                           .scale = golden_number(c, "scale"),
                           .tied = golden_flag(c, "tied"),
                           .bias = golden_flag(c, "bias")};
    const struct json *grads = json_get(c, "gradients"), *want = json_get(c, "curve");
    if (!open_form(&r, &f, choice)) return;
    size_t trained = 0;
    for (size_t i = 0; i < r.t.weights.params.count; i++)
        trained += r.t.weights.params.p[i].trained;
    struct feed_step s = rig_step(0);
    double bad = trainer_gradients(&r.t, &s, &x, &e) || trained != grads->count ? INFINITY : 0;
    bad = worse(bad, apart(x.loss, golden_number(c, "loss")) * 10);
    bad = worse(bad, golden_gradients(&r.t.weights, grads, 1e-4));
    feed_step_free(&s);
    golden_name(name, c, device, "loss and gradients equal peft's");
    printf("# %s: worst %.2g\n", name, bad);
    CHECK(name, bad <= 1e-4);
    bad = 0;
    for (uint32_t k = 0; k < 10; k++) {
        s = rig_step(k);
        if (trainer_step(&r.t, &s, 1e-2, &x, &e)) bad = INFINITY;
        bad = worse(bad, apart(x.loss, golden_at(json_get(want, "losses"), k)));
        bad = worse(bad, apart(x.grad_norm, golden_at(json_get(want, "norms"), k)) / 10);
        feed_step_free(&s);
    }
    golden_name(name, c, device, "ten steps follow peft's");
    printf("# %s: worst %.2g\n", name, bad);
    CHECK(name, bad <= 1e-4);
    rig_close(&r);
}

/* All gradients after two steps, as they lie; free(). */
static float *two_steps(const struct form *f, const struct choice *c, double *loss, size_t *n)
{
    struct rig r;
    struct err e;
    struct trainer_report x = {0};
    if (!open_form(&r, f, c)) return NULL;
    *n = r.t.weights.params.trained;
    float *g = malloc(*n * sizeof *g);
    for (uint32_t k = 0; k < 2; k++) {
        struct feed_step s = rig_step(k);
        if (trainer_step(&r.t, &s, 1e-2, &x, &e) ||
            weights_get(&r.t.weights, r.t.weights.gradients, DT_F32, 0, *n, g, &e))
            printf("not ok step: %s\n", e.msg);
        feed_step_free(&s);
    }
    *loss = x.loss;
    rig_close(&r);
    return g;
}

static void layouts(const char *device, double dropout)
{
    static const enum recompute policies[] = {RECOMPUTE_NONE, RECOMPUTE_SELECTIVE, RECOMPUTE_FULL};
    static const int64_t tokens[] = {32, 23};
    char name[128];
    struct form f = {.device = device,
                     .dtype = DT_BF16,
                     .recompute = RECOMPUTE_NONE,
                     .tokens = RIG_TOKENS,
                     .rank = 3,
                     .scale = 0.75,
                     .dropout = dropout,
                     .bias = true};
    double loss, other;
    size_t n, m;
    float *first = two_steps(&f, &choices[1], &loss, &n);
    for (int i = 1; i < 3; i++) {
        f.recompute = policies[i];
        float *g = two_steps(&f, &choices[1], &other, &m);
        snprintf(name, sizeof name, "%s, dropout %g: the same bytes with recomputation %d", device,
                 dropout, i);
        CHECK(name, m == n && memcmp(first, g, n * sizeof *g) == 0 && loss == other);
        free(g);
    }
    free(first);
    f.dtype = DT_F32;
    f.tokens = RIG_TOKENS;
    first = two_steps(&f, &choices[1], &loss, &n);
    for (int i = 0; i < 2; i++) {
        f.tokens = tokens[i];
        float *g = two_steps(&f, &choices[1], &other, &m);
        snprintf(name, sizeof name, "%s, dropout %g: the same result in more micro-batches", device,
                 dropout);
        CHECK(name, apart(other, loss) <= 1e-6 && distance(g, first, n) <= 1e-4);
        free(g);
    }
    free(first);
}

/* Dropout changes training and not validation; its mean is no dropout. */
static void dropping(const char *device)
{
    struct form f = {.device = device,
                     .dtype = DT_F32,
                     .recompute = RECOMPUTE_NONE,
                     .tokens = RIG_TOKENS,
                     .rank = 4,
                     .scale = 2,
                     .tied = true};
    struct err e;
    struct rig with, without;
    struct trainer_report x, y;
    struct feed_step s = rig_step(0);
    if (!open_form(&without, &f, &choices[0])) return;
    f.dropout = 0.1;
    if (!open_form(&with, &f, &choices[0])) return;
    double first = 0, sum = 0;
    bool fine = trainer_gradients(&without.t, &s, &y, &e) == 0, differs = false;
    for (int k = 0; k < 16; k++) {
        with.t.step = (uint64_t)k;
        fine &= trainer_gradients(&with.t, &s, &x, &e) == 0;
        if (k == 0) first = x.loss;
        differs |= k && fabs(x.loss - first) > 1e-7;
        sum += x.loss;
    }
    CHECK("lora dropout: each step drops others", fine && differs);
    CHECK("lora dropout: the mean loss is about that without dropout",
          apart(sum / 16, y.loss) < 0.02);
    with.t.step = 0;
    CHECK("lora dropout: the same step drops the same",
          trainer_gradients(&with.t, &s, &x, &e) == 0 && x.loss == first);
    const struct micro_batch *b = &with.t.stage.pass[0].b;
    double a, c;
    lora_drop(&with.t.stage, false, 0);
    a = tiny_loss(&with.t.stage, b, false);
    c = tiny_loss(&without.t.stage, b, false);
    CHECK("lora dropout: validation drops nothing", apart(a, c) < 1e-6);
    feed_step_free(&s);
    rig_close(&with);
    rig_close(&without);
}

static void saving(void)
{
    const struct form f = {.device = "ref",
                           .dtype = DT_BF16,
                           .recompute = RECOMPUTE_NONE,
                           .tokens = RIG_TOKENS,
                           .rank = 2,
                           .scale = 1,
                           .tied = true};
    struct rig r;
    if (!open_form(&r, &f, &choices[0])) return;
    const struct params *p = &r.t.weights.params;
    /* two layers, r (in + out) for q and for v */
    const size_t adapter = 2 * 2 * ((24 + 32) + (24 + 16)), page = 256;
    CHECK("lora memory: only the adapter is trained", p->elements_trained == adapter);
    const size_t state = p->trained * 4;
    CHECK("lora memory: gradients, master and moments are those of the adapter",
          tiny_planned(&r.t.memory.plan, PLAN_GRADIENTS) <= state + page &&
              tiny_planned(&r.t.memory.plan, PLAN_MASTER) <= state + page &&
              tiny_planned(&r.t.memory.plan, PLAN_MOMENTS) <= 2 * (state + page) &&
              p->trained < 1024);
    rig_close(&r);
}

/* A as peft begins, B zero: the first loss is the base's. */
static void beginning(void)
{
    struct form f = {.device = "cpu",
                     .dtype = DT_F32,
                     .recompute = RECOMPUTE_NONE,
                     .tokens = RIG_TOKENS,
                     .rank = 8,
                     .scale = 2,
                     .tied = true};
    struct rig r;
    struct err e;
    if (!open_form(&r, &f, &choices[1])) return;
    struct weights *w = &r.t.weights;
    const int l[] = {17, 9};
    struct micro_batch b = tiny_batch(l, 2, 97, 0);
    struct device *d = device_open("cpu", 1, &e);
    struct tiny *base = tiny_open(&w->m, d, DT_F32, RECOMPUTE_NONE, RIG_TOKENS);
    CHECK("lora: an adapter begins", lora_start(w, 7, NULL, &e) == 0);
    CHECK("lora: the first loss is the base's",
          fabs(tiny_loss(&r.t.stage, &b, false) - tiny_loss(&base->s, &b, false)) < 1e-7);
    double most = 0, square = 0;
    size_t count = 0;
    for (size_t i = 0; i < w->params.count; i++) {
        const struct param *p = &w->params.p[i];
        float v[8 * 64];
        if (!strstr(p->name, "lora_A")) continue;
        if (weights_get(w, w->values, DT_F32, p->offset, p->n, v, &e)) most = INFINITY;
        for (size_t j = 0; j < p->n; j++) {
            double x = (double)v[j] * sqrt((double)p->shape[1]);
            most = fmax(most, fabs(x));
            square += x * x;
            count++;
        }
    }
    CHECK("lora: A is uniform within 1/sqrt(in)",
          most <= 1 && most > 0.99 && fabs(square / (double)count - 1.0 / 3) < 0.01);
    tiny_close(base);
    tiny_free(&b);
    device_close(d);
    rig_close(&r);
}

int main(int argc, char **argv)
{
    static const char *const both[] = {"ref", "cpu", NULL};
    const char *const one[] = {argc > 1 ? argv[1] : NULL, NULL};
    struct golden g = golden_open("tests/golden/peft/train.json");
    const struct json *cases = g.root ? json_get(g.root, "cases") : NULL;
    CHECK("lora: the golden file has all choices",
          cases && cases->count == sizeof choices / sizeof *choices);
    for (const char *const *d = argc > 1 ? one : both; cases && *d; d++) {
        for (size_t i = 0; i < cases->count; i++) against_peft(&cases->items[i], &choices[i], *d);
        if (strcmp(*d, "ref") != 0) layouts(*d, 0);
        layouts(*d, 0.3);
        dropping(*d);
    }
    saving();
    beginning();
    golden_close(&g);
    TEST_END();
}
