/* SPDX-License-Identifier: Apache-2.0 */
/* A model cut into stages, each on a device of its own, run by the 1F1B schedule with what crosses
 * a boundary copied through the host: the same loss and gradients, bit for bit, as one stage. */
#include "model/schedule.h"
#include "test.h"
#include "tiny.h"

enum { MOST = 3, PARTS = 4, BATCHES = 4, DOCS = 3, TOKENS = 17, HIDDEN = 24, LAYERS = 5 };
static const int lengths[BATCHES][DOCS] = {{5, 1, 9}, {3, 12, 2}, {4, 4, 4}, {9, 7, 1}};

struct form {
    const char *name;
    struct model m;
    enum recompute recompute;
    const char *frozen; /* prefix of the names of frozen tensors; NULL: none is */
    bool lora;
};

/* One stage after another of a model, and what they have sent for each micro-batch. Part c * stages
 * + i is chunk c of stage i. */
struct pipe {
    int stages, chunks;
    struct device *device[MOST];
    struct tiny *at[MOST];
    int done[MOST];                                  /* position in its schedule */
    float forward[PARTS][BATCHES][TOKENS * HIDDEN];  /* output of a part */
    float backward[PARTS][BATCHES][TOKENS * HIDDEN]; /* gradient of its input */
    bool sent[PARTS][2][BATCHES];                    /* by kind of action */
    struct micro_batch batch[BATCHES];
    double weight;                  /* of all targets */
    const struct layer_done *watch; /* of stage 0; NULL: nobody listens */
};

static bool starts(void *arg, const char *name) { return strncmp(name, arg, strlen(arg)) == 0; }
static bool every(void *arg, const char *module)
{
    (void)arg, (void)module;
    return true;
}

static struct tiny *open_stage(const struct form *f, struct device *d, int stage, int stages,
                               int chunks, bool gradients)
{
    struct tiny_options o = tiny_options(DT_F32, f->recompute, TOKENS);
    o.w.gradients = gradients;
    o.w.params.stages = stages;
    o.w.params.stage = stage;
    o.w.params.chunks = chunks;
    o.s.passes = gradients ? schedule_passes(stage, stages, chunks) : 1;
    if (f->frozen) {
        o.w.params.frozen = starts;
        o.w.params.arg = (void *)(uintptr_t)f->frozen;
    }
    if (f->lora)
        o.w.params.lora = (struct lora_options){
            .rank = 3, .scale = 1.5, .dropout = 0.3, .seed = 42, .target = every};
    struct tiny *t = tiny_open_with(&f->m, d, &o);
    if (t && f->lora) lora_drop(&t->s, true, 5);
    return t;
}

static bool pipe_open(struct pipe *p, const struct form *f, const char *device, int stages,
                      int chunks, bool gradients)
{
    struct err e;
    *p = (struct pipe){.stages = stages, .chunks = chunks};
    for (int i = 0; i < stages; i++) {
        if (!(p->device[i] = device_open(device, 1, &e))) return false;
        p->at[i] = open_stage(f, p->device[i], i, stages, chunks, gradients);
        if (!p->at[i]) return false;
    }
    for (int k = 0; k < BATCHES; k++) {
        p->batch[k] = tiny_batch(lengths[k], DOCS, (int)f->m.vocab, 100 * (uint32_t)k);
        p->weight += tiny_weight(&p->batch[k]);
    }
    return true;
}

static void pipe_close(struct pipe *p)
{
    for (int i = 0; i < p->stages; i++) {
        tiny_close(p->at[i]);
        device_close(p->device[i]);
    }
    for (int k = 0; k < BATCHES; k++) tiny_free(&p->batch[k]);
}

static void up(struct tiny *t, void *to, const float *from, int64_t T)
{
    struct device *d = t->w.device;
    device_upload(d, to, from, (size_t)(T * HIDDEN) * sizeof *from);
}
static void down(struct tiny *t, float *to, const void *from, int64_t T)
{
    struct err e;
    struct device *d = t->w.device;
    if (d->ops->download(d, to, from, (size_t)(T * HIDDEN) * sizeof *to, &e))
        printf("not ok stages: %s\n", e.msg);
}

/* Runs action a of stage i, if what it needs was sent. */
static bool act(struct pipe *p, int i, struct action a, bool forward_only)
{
    struct tiny *t = p->at[i];
    const struct micro_batch *b = &p->batch[a.micro_batch];
    const int k = a.micro_batch, part = a.chunk * p->stages + i;
    const int from = a.kind == FORWARD ? part - 1 : part + 1;
    const bool outside = from < 0 || from == p->stages * p->chunks;
    if (!outside && !p->sent[from][a.kind][k]) return false;
    struct pass *pass =
        a.kind == FORWARD ? stage_claim(&t->s, a.chunk, k) : stage_pass(&t->s, a.chunk, k);
    if (a.kind == FORWARD) {
        tiny_upload(&t->s, pass, b);
        if (!outside) up(t, stage_input(&t->s, pass), p->forward[from][k], b->T);
        stage_forward(&t->s, pass);
        if (!pass->at->head) down(t, p->forward[part][k], stage_output(pass), b->T);
        if (forward_only && pass->at->head) stage_loss(&t->s, pass);
    } else {
        if (!outside) up(t, stage_gradient(pass), p->backward[from][k], b->T);
        stage_backward(&t->s, pass, 1 / p->weight, k == BATCHES - 1 ? p->watch : NULL);
        if (part > 0) down(t, p->backward[part][k], stage_gradient(pass), b->T);
    }
    if (a.kind == BACKWARD || forward_only) stage_release(pass);
    return p->sent[part][a.kind][k] = true;
}

/* Every stage by its schedule, in any order that the messages allow. Returns the loss; NAN when the
 * stages wait for each other. */
static double run(struct pipe *p, bool forward_only)
{
    double loss = NAN;
    struct err e;
    struct tiny *last = p->at[p->stages - 1];
    for (int i = 0; i < p->stages && !forward_only; i++) weights_begin(&p->at[i]->w);
    op_zero(last->w.device, &(struct op_zero){.y = last->s.loss, .bytes = sizeof loss});
    for (int left = p->stages, moved = 1; left && moved;) {
        left = moved = 0;
        for (int i = 0; i < p->stages; i++) {
            const struct schedule s = {i, p->stages, p->chunks, BATCHES, forward_only};
            struct action a;
            int next = p->done[i];
            bool more;
            while ((more = schedule_next(&s, &next, &a)) && act(p, i, a, forward_only)) {
                p->done[i] = next;
                moved = 1;
            }
            left += more;
        }
        if (left && !moved) return NAN;
    }
    if (last->w.device->ops->download(last->w.device, &loss, last->s.loss, sizeof loss, &e))
        return NAN;
    return loss / p->weight;
}

/* ---- gradients, tensor by tensor ---- */
static float *gradient(struct tiny *t, const struct param *p)
{
    struct err e;
    float *g = malloc(p->n * sizeof *g);
    if (weights_get(&t->w, t->w.gradients, DT_F32, p->offset, p->n, g, &e)) g[0] = NAN;
    return g;
}

/* The gradients of one stage's tensors are those of the whole model. A tied matrix is in the first
 * and the last stage, each with its part of the sum. */
static bool same_gradients(struct tiny *whole, struct tiny *part)
{
    bool same = true;
    for (size_t i = 0; i < part->w.params.count; i++) {
        const struct param *p = &part->w.params.p[i];
        const struct param *q = params_find(&whole->w.params, p->name, strlen(p->name));
        if (!p->trained || (part->w.m.tied && p->offset == part->w.params.embed)) continue;
        float *a = gradient(part, p), *b = gradient(whole, q);
        if (memcmp(a, b, p->n * sizeof *a) != 0) {
            printf("# %s differs\n", p->name);
            same = false;
        }
        free(a);
        free(b);
    }
    return same;
}

static const struct param *embedding(struct tiny *t)
{
    static const char name[] = "model.embed_tokens.weight";
    return params_find(&t->w.params, name, sizeof name - 1);
}

/* The gradient of a tied matrix: the sum of both stages' gradients, in whatever order. */
static bool same_tied(struct tiny *whole, struct pipe *p)
{
    struct tiny *first = p->at[0], *last = p->at[p->stages - 1];
    const struct param *q = embedding(whole);
    if (!whole->w.m.tied || !q->trained) return true;
    float *a = gradient(first, embedding(first)), *b = gradient(last, embedding(last));
    float *want = gradient(whole, q);
    double most = 0, off = 0;
    for (size_t i = 0; i < q->n; i++) {
        most = fmax(most, fabs((double)want[i]));
        off = fmax(off, fabs((double)a[i] + (double)b[i] - (double)want[i]));
    }
    free(a);
    free(b);
    free(want);
    return most > 0 && off <= 1e-6 * most;
}

/* ---- the checks ---- */
static void cut(const struct form *f, const char *device, int stages, int chunks)
{
    char name[120];
    static struct pipe one, many; /* large */
    snprintf(name, sizeof name, "stages: %s, %s, %d x %d: loss and gradients are those of one",
             f->name, device, stages, chunks);
    bool same =
        pipe_open(&one, f, device, 1, 1, true) && pipe_open(&many, f, device, stages, chunks, true);
    const double want = same ? run(&one, false) : NAN, got = same ? run(&many, false) : NAN;
    for (int i = 0; same && i < stages; i++) same = same_gradients(one.at[0], many.at[i]);
    CHECK(name, same && want == got && want > 0 && same_tied(one.at[0], &many));
    pipe_close(&many);
    pipe_close(&one);
}

static void forward_only(const struct form *f, const char *device)
{
    static struct pipe one, many;
    bool fine = pipe_open(&one, f, device, 1, 1, false) && pipe_open(&many, f, device, 3, 1, false);
    const double want = fine ? run(&one, true) : NAN, got = fine ? run(&many, true) : NAN;
    CHECK("stages: forward only: the loss is that of one", want == got && want > 0);
    pipe_close(&many);
    pipe_close(&one);
}

static size_t in_layers(const struct params *t)
{
    size_t n = 0;
    for (size_t i = 0; i < t->count; i++)
        if (strncmp(t->p[i].name, "model.layers.", 13) == 0) n += t->p[i].n;
    return n;
}

/* Four layers in two stages. */
static void halves(struct form f)
{
    static struct pipe one, two;
    f.m.layers = 4;
    bool fine = pipe_open(&one, &f, "cpu", 1, 1, true) && pipe_open(&two, &f, "cpu", 2, 1, true);
    const struct params *all = &one.at[0]->w.params;
    size_t sum = 0, class[2] = {0};
    for (int i = 0; fine && i < 2; i++) {
        const struct params *half = &two.at[i]->w.params;
        fine = 2 * in_layers(half) == in_layers(all);
        sum += half->elements;
        class[0] += tiny_planned(&two.at[i]->memory.plan, PLAN_WEIGHTS);
        class[1] += tiny_planned(&two.at[i]->memory.plan, PLAN_GRADIENTS);
    }
    CHECK("stages: each has its layers' tensors and no other", fine && sum == all->elements);
    const size_t bytes = all->total * sizeof(float), edge = 4096; /* alignment */
    CHECK("stages: weights and gradients are planned once in all",
          class[0] < bytes + edge && class[1] < bytes + edge);
    const int first = two.at[0]->s.o.passes, last = two.at[1]->s.o.passes;
    CHECK("stages: the plan has as many passes as are in flight", first == 2 && last == 1);
    pipe_close(&two);
    pipe_close(&one);
}

/* The layers as they are told, and the sums of their gradients then. */
struct watch {
    struct tiny *t;
    int layer[LAYERS + 2], n;
    double sum[LAYERS + 2];
};
static double layer_sum(struct tiny *t, int layer)
{
    char prefix[32];
    double sum = 0;
    snprintf(prefix, sizeof prefix, "model.layers.%d.", layer);
    if (layer < 0) snprintf(prefix, sizeof prefix, "model.embed");
    if (layer == t->w.m.layers) snprintf(prefix, sizeof prefix, "model.norm");
    for (size_t i = 0; i < t->w.params.count; i++) {
        const struct param *p = &t->w.params.p[i];
        if (!starts(prefix, p->name)) continue;
        float *g = gradient(t, p);
        for (size_t j = 0; j < p->n; j++) sum += (double)g[j] * (double)(j % 7 + 1);
        free(g);
    }
    return sum;
}
static void tell(void *arg, int layer)
{
    struct watch *w = arg;
    if (w->n == LAYERS + 2) return;
    w->layer[w->n] = layer;
    w->sum[w->n++] = layer_sum(w->t, layer);
}

/* Told once each, from the last to the first, when the gradient is complete. */
static void layers_done(const struct form *f)
{
    static struct pipe p;
    bool order = pipe_open(&p, f, "far", 1, 1, true), complete = true;
    struct watch w = {.t = p.at[0]};
    const struct layer_done done = {tell, &w};
    p.watch = &done;
    order = order && run(&p, false) > 0 && w.n == LAYERS + 2;
    for (int i = 0; i < w.n; i++) {
        order &= w.layer[i] == LAYERS - i;
        complete &= w.sum[i] != 0 && w.sum[i] == layer_sum(w.t, w.layer[i]);
    }
    CHECK("stages: layers are told from the head to the embedding", order);
    CHECK("stages: a layer that is told has its whole gradient", complete);
    pipe_close(&p);
}

int main(void)
{
    static const char *const devices[] = {"ref", "cpu", "far"};
    struct model plain = tiny_model(false, true), tied = tiny_model(true, false), rich = plain;
    plain.layers = tied.layers = rich.layers = LAYERS;
    rich.qk_norm = rich.o_bias = rich.mlp_bias = true;
    rich.window = 3;
    rich.window_layers[0] = 2;
    rich.rope = (struct rope){.type = ROPE_DYNAMIC, .theta = 10000, .factor = 2};
    rich.positions = 8;
    const struct form forms[] = {
        {.name = "plain", .m = plain},
        {.name = "all parts, selective", .m = rich, .recompute = RECOMPUTE_SELECTIVE},
        {.name = "all parts, full", .m = rich, .recompute = RECOMPUTE_FULL},
        {.name = "tied", .m = tied},
        {.name = "embedding frozen", .m = plain, .frozen = "model.embed"},
        {.name = "layers frozen", .m = plain, .frozen = "model.layers"},
        {.name = "first layer frozen", .m = plain, .frozen = "model.layers.0"},
        {.name = "adapter with dropout", .m = rich, .frozen = "model.", .lora = true},
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        for (int d = i < 3 ? 0 : 2; d < 3; d++)
            for (int stages = 2; stages <= MOST; stages++) {
                cut(&forms[i], devices[d], stages, 1);
                if (stages == 2) cut(&forms[i], devices[d], stages, 2);
            }
    forward_only(&forms[1], "far");
    halves(forms[0]);
    layers_done(&forms[0]);
    TEST_END();
}
