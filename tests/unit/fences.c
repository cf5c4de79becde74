/* SPDX-License-Identifier: Apache-2.0 */
/* Every buffer of the memory plan with a page after it that nobody may touch, in place of a
 * neighbour: whatever is computed stays inside, and is what it is in the one allocation, where
 * buffers that do not live at the same time share memory. tests/cli/ranks.sh starts it as several
 * ranks; alone it is one. */
#include "fence.h"
#include "rig.h"
#include "world.h"

enum { LENGTH = 700, TOKENS = 720, STEPS = 5, ROOM = 1 << 20 };

static bool every(void *arg, const char *module)
{
    (void)arg, (void)module;
    return true;
}

struct form {
    const char *name;
    struct model model;
    struct trainer_options o;
};

/* Moves the plan's buffers apart; their contents are made anew. */
static bool fence(struct trainer *t)
{
    const struct plan *p = &t->memory.plan;
    for (size_t i = 0; i < p->count; i++)
        if (!(*p->b[i].slot = fence_alloc(p->b[i].bytes))) return false;
    memory_use(&t->memory);
    stage_bind(&t->stage);
    weights_fill_rotary(&t->weights);
    return true;
}

static bool open_form(struct rig *r, const struct form *f, bool fenced)
{
    struct err e;
    *r = (struct rig){.device = device_open("cpu", 2, &e)};
    if (!r->device || open_mesh(&r->mesh, w, r->device, &e) ||
        trainer_init(&r->t, &f->model, &f->o, &r->mesh, r->device, &e) ||
        trainer_alloc(&r->t, &e) || (fenced && !fence(&r->t))) {
        printf("# %s: %s\n", f->name, e.msg);
        return false;
    }
    tiny_weights(&r->t.weights, optimizer_master(&r->t.optimizer));
    return true;
}

/* Documents of any length up to LENGTH; in step 0 a full one, in step 1 single tokens. */
static struct feed_step step_of(uint32_t k, int vocab)
{
    int lengths[16], docs = 0;
    for (uint32_t left = 2000; docs < 16 && left > 0; docs++) {
        uint32_t n = k == 0   ? LENGTH
                     : k == 1 ? 1
                              : 1 + tiny_hash("len", 16 * k + (uint32_t)docs) % 300;
        if (n > left) n = left;
        lengths[docs] = (int)n;
        left -= n;
    }
    return rig_rows(lengths, docs, vocab, 1000 * k);
}

/* Every tensor of a checkpoint, as the saver reads it: to the end of the staging buffer. */
static int read_contents(struct trainer *t, uint64_t *sum, struct err *e)
{
    const struct saver_list *c = &t->layout.list;
    if (t->layout.exchanges) return 0;
    for (size_t i = 0; i < c->ntensors && t->staging; i++) {
        const struct saver_tensor *x = &c->tensors[i];
        const size_t bytes = x->n * dtype_size(x->dtype);
        char *to = (char *)t->staging + t->staging_bytes - (bytes + 63) / 64 * 64;
        if (x->read(x->arg, x->at, x->n, x->dtype, to, e)) return -1;
        *sum = hash64(to, bytes, *sum);
    }
    return 0;
}

/* A hash of all that comes of STEPS steps; 0: failed. */
static uint64_t train(const struct form *f, bool fenced)
{
    struct rig r;
    struct err e = {0};
    uint64_t sum = 1;
    int rc = open_form(&r, f, fenced) ? 0 : -1;
    for (uint32_t k = 0; k < STEPS && rc == 0; k++) {
        struct trainer_report x;
        struct feed_step s = step_of(k, (int)f->model.vocab);
        rc = trainer_step(&r.t, &s, 1e-2, &x, &e) || trainer_peak(&r.t, &e) < 0 ||
             read_contents(&r.t, &sum, &e);
        const double numbers[2] = {x.loss, x.grad_norm};
        sum = hash64(numbers, sizeof numbers, sum);
        feed_step_free(&s);
    }
    if (rc) printf("# %s: %s\n", f->name, e.msg);
    const struct weights *v = &r.t.weights;
    const size_t parts = v->own.parts ? (size_t)v->own.parts : 1;
    if (rc == 0)
        sum = hash64(v->own.parts ? v->own.flat : v->values,
                     v->params.total / parts * dtype_size(v->compute), sum);
    rig_close(&r);
    return rc ? 0 : sum;
}

static void stays_inside(struct form f)
{
    char name[120];
    f.o.length = LENGTH;
    f.o.tokens = TOKENS;
    f.o.staging = ROOM;
    f.o.saved_dtype = DT_F32;
    if (!(f.o.optimizer.epsilon > 0)) f.o.optimizer = (struct optimizer_options)RIG_ADAMW;
    const uint64_t apart = train(&f, true), packed = train(&f, false);
    snprintf(name, sizeof name, "%s: stays inside its buffers", f.name);
    all_agree(name, apart && apart == packed);
}

int main(void)
{
    struct err e;
    if (!join()) return test_failed;
    struct model m = tiny_model(true, true), q = tiny_model(false, false);
    m.positions = q.positions = LENGTH;
    q.qk_norm = true;
    q.window = 37;
    q.window_layers[0] = 1;
    const struct lora_options lora = {
        .rank = 5, .scale = 2, .dropout = 0.25, .seed = 3, .target = every};
    const struct optimizer_options sgd = {.kind = OPTIMIZER_SGD, .momentum = 0.9, .epsilon = 1};
    struct optimizer_options small = RIG_ADAMW;
    small.no_master = true;
    small.moments = DT_BF16;
    stays_inside((struct form){"fp32", m, {.recompute = RECOMPUTE_NONE}});
    stays_inside((struct form){"fp32, selective", q, {.recompute = RECOMPUTE_SELECTIVE}});
    stays_inside((struct form){"fp32, full, in parts",
                               m,
                               {.recompute = RECOMPUTE_FULL, .zero_stage = 1, .optimizer = sgd}});
    stays_inside((struct form){
        "fp32, adapters", q, {.recompute = RECOMPUTE_SELECTIVE, .params = {.lora = lora}}});
    stays_inside((struct form){"fp32, ZeRO-0, ranks first", m, {.ranks_first = true}});
    stays_inside(
        (struct form){"fp32, ZeRO-2", m, {.recompute = RECOMPUTE_SELECTIVE, .zero_stage = 2}});
    stays_inside(
        (struct form){"fp32, full, ZeRO-3", q, {.recompute = RECOMPUTE_FULL, .zero_stage = 3}});
    stays_inside(
        (struct form){"fp32, adapters, ZeRO-3", m, {.zero_stage = 3, .params = {.lora = lora}}});
    struct device *cpu = device_open("cpu", 1, &e);
    const bool narrow = cpu && device_has_bf16(cpu);
    device_close(cpu);
    if (narrow) {
        stays_inside((struct form){"bf16", q, {.compute = DT_BF16, .recompute = RECOMPUTE_NONE}});
        stays_inside((struct form){"bf16 alone, selective, in parts",
                                   m,
                                   {.compute = DT_BF16,
                                    .recompute = RECOMPUTE_SELECTIVE,
                                    .zero_stage = 1,
                                    .optimizer = small}});
        stays_inside((struct form){
            "bf16, adapters, full",
            q,
            {.compute = DT_BF16, .recompute = RECOMPUTE_FULL, .params = {.lora = lora}}});
    }
    if (narrow)
        stays_inside((struct form){
            "bf16, ZeRO-3", m, {.compute = DT_BF16, .gradient = DT_BF16, .zero_stage = 3}});
    world_leave(w, 1);
    TEST_END();
}
