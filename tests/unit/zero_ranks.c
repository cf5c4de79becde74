/* SPDX-License-Identifier: Apache-2.0 */
/* Sums of gradients, bucket by bucket: beside backward they are those made after it, and those of
 * whole buffers, bit for bit; and the stages of ZeRO train alike. tests/cli/ranks.sh starts it as
 * several ranks, with a device's name; alone it is one. */
#include "comm/comm.h"
#include "rig.h"
#include "world.h"

static const char *device = "cpu";

struct form {
    const char *name;
    bool tied, sharded;
    int idle; /* a rank without a micro-batch; -1: there is none */
    int layers;
};

/* A model with room for the collectives of its gradients. */
struct part {
    struct device *d;
    struct mesh mesh;
    struct memory memory;
    struct weights w;
    struct stage s;
    struct zero z;
};

static int part_plan(struct part *p, const struct form *f, struct err *e)
{
    struct model m = tiny_model(f->tied, true);
    struct tiny_options o = tiny_options(DT_F32, RECOMPUTE_SELECTIVE, 32);
    m.layers = f->layers;
    o.w.params.multiple = ZERO_ALIGN * (size_t)w->place.size;
    if (!(p->d = device_open(device, 1, e)) || open_mesh(&p->mesh, w, p->d, e) ||
        weights_init(&p->w, &m, &o.w, p->d, &p->memory.plan, e) ||
        stage_init(&p->s, &p->w, &o.s, &p->memory.plan, e))
        return -1;
    zero_init(&p->z, &p->mesh, &p->w.params, f->sharded, false);
    zero_plan(&p->z, &p->mesh, &p->memory.plan, DT_F32, 0, 0);
    return memory_place(&p->memory, &p->w.device, tiny_rehearse, &p->s, e) ||
                   memory_alloc(&p->memory, e)
               ? -1
               : 0;
}

static bool part_open(struct part *p, const struct form *f)
{
    struct err e = {0};
    *p = (struct part){0};
    if (part_plan(p, f, &e)) {
        printf("# %s: %s\n", f->name, e.msg);
        return false;
    }
    stage_bind(&p->s);
    weights_fill_rotary(&p->w);
    tiny_weights(&p->w, NULL);
    return true;
}

static void part_close(struct part *p)
{
    stage_free(&p->s);
    weights_free(&p->w);
    mesh_close(&p->mesh);
    memory_free(&p->memory);
    device_close(p->d);
}

/* ---- one step's gradients ---- */
/* The hook, which notes what is queued when it returns. */
struct watch {
    struct zero_reduction *sum;
    const struct params *params;
    bool early, right; /* something was queued before the end; and never too much or too little */
};
static void watch(void *arg, int layer)
{
    struct watch *x = arg;
    zero_layer_done(x->sum, layer);
    for (size_t i = 0; i < x->params->nbuckets; i++)
        x->right &= (x->params->buckets[i].layer >= layer) == (i >= x->sum->left);
    x->early |= layer >= 0 && x->sum->left < x->params->nbuckets;
}

static void backward(struct part *p, const struct form *f, struct zero_reduction *sum,
                     struct watch *x)
{
    const int lengths[] = {5, 1, 9, 3};
    const struct layer_done done = {watch, x};
    struct micro_batch b = tiny_batch(lengths, 4, (int)p->w.m.vocab, 100U * (unsigned)p->z.at);
    weights_begin(&p->w);
    op_zero(p->d, &(struct op_zero){.y = p->s.loss, .bytes = sizeof(double)});
    if (p->z.at == f->idle) {
        weights_clear(&p->w, 0, p->w.params.trained);
    } else {
        tiny_upload(&p->s, p->s.pass, &b);
        stage_forward(&p->s, p->s.pass);
        stage_backward(&p->s, p->s.pass, 1, x ? &done : NULL);
    }
    if (sum) zero_reduce_rest(sum);
    tiny_free(&b);
}

/* The gradients; free(). */
static float *gradients(struct part *p)
{
    struct err e = {0};
    const size_t bytes = p->w.params.trained * sizeof(float);
    float *g = malloc(bytes);
    if (mesh_finish(&p->mesh, &e) || p->d->ops->download(p->d, g, p->w.gradients, bytes, &e)) {
        printf("# %s\n", e.msg);
        test_failed = 1;
    }
    return g;
}

/* The elements whose sums this rank must have are the same bytes. */
static bool same(const struct part *p, const float *a, const float *b)
{
    bool ok = true;
    for (size_t i = 0; i < p->w.params.nbuckets; i++) {
        const struct params_part own = zero_part(&p->z, i);
        const struct params_bucket *k = &p->w.params.buckets[i];
        const size_t begin = p->z.stage ? own.begin : k->begin;
        const size_t end = p->z.stage ? own.end : k->end;
        ok &= memcmp(a + begin, b + begin, (end - begin) * sizeof *a) == 0;
    }
    return ok;
}

static void sums(const struct form *f)
{
    char name[160];
    struct part p;
    bool ok = part_open(&p, f), beside = false, right = true, whole = false;
    if (ok) {
        struct zero_reduction sum = zero_reduce(&p.z, p.w.gradients, DT_F32);
        struct watch x = {&sum, &p.w.params, p.z.at == f->idle, true};
        backward(&p, f, &sum, &x);
        float *early = gradients(&p);
        sum = zero_reduce(&p.z, p.w.gradients, DT_F32);
        backward(&p, f, &sum, NULL);
        float *late = gradients(&p);
        backward(&p, f, NULL, NULL);
        comm_all_reduce(p.z.dp, p.w.gradients, p.w.params.trained, DT_F32, COMM_SUM);
        float *all = gradients(&p);
        right = x.right && x.early;
        beside = same(&p, early, late);
        whole = same(&p, early, all) && all[p.w.params.layers[0].qkv] != 0;
        free(early);
        free(late);
        free(all);
    }
    snprintf(name, sizeof name, "sums: %s: a bucket is queued when its layers are complete",
             f->name);
    all_agree(name, ok && right);
    snprintf(name, sizeof name, "sums: %s: beside backward as after it", f->name);
    all_agree(name, beside);
    snprintf(name, sizeof name, "sums: %s: those of the whole buffer", f->name);
    all_agree(name, whole);
    part_close(&p);
}

/* ---- training ---- */
/* The outcome of a few steps on this rank: its parts of all buckets. */
struct outcome {
    double norm, loss;
    char *values, *gradients; /* of the first step */
    size_t value_bytes, gradient_bytes;
};
static void outcome_free(struct outcome *o)
{
    free(o->values);
    free(o->gradients);
    *o = (struct outcome){0};
}

/* A kind of run. */
struct kind {
    const char *name;
    struct trainer_options t;
    bool tied;
    const char *frozen; /* a word of the names of frozen tensors */
    bool lora;
};

static bool is_frozen(void *arg, const char *name) { return strstr(name, arg) != NULL; }
static bool every(void *arg, const char *module)
{
    (void)arg, (void)module;
    return true;
}

typedef void *own_fn(const struct weights *w, size_t bucket, size_t element);
/* Downloads this rank's parts of the first n buckets. */
static char *parts_of(struct trainer *t, own_fn *own, size_t n, enum dtype type, size_t *bytes)
{
    struct err e;
    const struct zero *z = &t->optimizer.zero;
    struct device *d = t->weights.device;
    char *out = malloc(t->weights.params.total / (size_t)z->ranks * dtype_size(type) + 1);
    *bytes = 0;
    for (size_t b = 0; b < n; b++) {
        const struct params_part part = zero_part(z, b);
        const size_t size = (part.end - part.begin) * dtype_size(type);
        if (d->ops->download(d, out + *bytes, own(&t->weights, b, part.begin), size, &e))
            test_failed = 1;
        *bytes += size;
    }
    return out;
}

/* A stage of ZeRO; ranks_first: it sums over the ranks in each micro-batch. */
struct level {
    int stage;
    bool ranks_first;
};
static struct trainer_options options_of(const struct kind *k, int64_t tokens, struct level level)
{
    struct trainer_options t = k->t;
    t.zero_stage = level.stage;
    t.ranks_first = level.ranks_first;
    t.tokens = tokens;
    t.length = 32;
    if (k->frozen) {
        t.params.frozen = is_frozen;
        t.params.arg = (void *)(uintptr_t)k->frozen;
    }
    if (k->lora) t.params.lora = (struct lora_options){.rank = 3, .scale = 1, .target = every};
    return t;
}

static bool steps(struct rig *r, struct outcome *o, struct err *e)
{
    bool ok = true;
    for (uint32_t k = 0; k < 4 && ok; k++) {
        struct trainer_report x;
        struct feed_step s = rig_step(k);
        ok = trainer_step(&r->t, &s, 1e-2, &x, e) == 0;
        o->norm = x.grad_norm;
        o->loss = x.loss;
        feed_step_free(&s);
        if (k == 0 && ok)
            o->gradients = parts_of(&r->t, weights_own_gradient, r->t.weights.params.nbuckets,
                                    r->t.weights.gradient, &o->gradient_bytes);
    }
    return ok;
}

/* Trains with micro-batches of up to so many tokens. */
static bool train(struct outcome *o, const struct kind *k, int64_t tokens, struct level level)
{
    struct rig r = {0};
    struct err e = {0};
    struct model m = tiny_model(k->tied, false);
    m.layers = 5;
    const struct trainer_options t = options_of(k, tokens, level);
    r.device = device_open(device, 1, &e);
    bool ok = r.device && open_mesh(&r.mesh, w, r.device, &e) == 0 &&
              trainer_init(&r.t, &m, &t, &r.mesh, r.device, &e) == 0 &&
              trainer_alloc(&r.t, &e) == 0;
    *o = (struct outcome){0};
    if (ok) tiny_weights(&r.t.weights, optimizer_master(&r.t.optimizer));
    ok = ok && steps(&r, o, &e);
    const struct params *p = &r.t.weights.params;
    if (ok)
        o->values = parts_of(&r.t, weights_own_value, p->nbuckets + p->nfrozen, r.t.weights.compute,
                             &o->value_bytes);
    if (!ok) printf("# %s\n", e.msg);
    rig_close(&r);
    return ok;
}

static bool is_same(const struct outcome *a, const struct outcome *b)
{
    return a->value_bytes == b->value_bytes && a->gradient_bytes == b->gradient_bytes &&
           memcmp(a->values, b->values, a->value_bytes) == 0 &&
           memcmp(a->gradients, b->gradients, a->gradient_bytes) == 0 && a->norm > 0 &&
           !(a->norm < b->norm) && !(a->norm > b->norm) && !(a->loss < b->loss) &&
           !(a->loss > b->loss);
}

/* Stages 0 and 1 that sum over the ranks in each micro-batch are stage 2; o: of all stages. */
static void sums_first(const struct kind *k, int64_t tokens, const struct outcome o[4])
{
    char what[160];
    struct outcome first;
    for (int stage = 0; stage < 2; stage++) {
        const bool ok = train(&first, k, tokens, (struct level){stage, true});
        snprintf(what, sizeof what, "training: %s, ranks first: ZeRO-%d is ZeRO-2", k->name, stage);
        all_agree(what, ok && is_same(&o[2], &first));
        outcome_free(&first);
    }
}

/* All stages are equal where a rank has one micro-batch at most; else the first two are, and the
 * last two, and all nearly so; and all where all sum over the ranks first. */
static void alike(const struct kind *k)
{
    enum { ONE = RIG_TOKENS, SOME = 24 };
    char what[160];
    struct outcome o[4];
    for (int several = 0; several < 2; several++) {
        bool ok = true;
        for (int i = 0; i < 4; i++)
            ok &= train(&o[i], k, several ? SOME : ONE, (struct level){i, false});
        for (int i = 1; i < 4 && !several; i++) {
            snprintf(what, sizeof what, "training: %s, one micro-batch: ZeRO-%d is ZeRO-0", k->name,
                     i);
            all_agree(what, ok && is_same(&o[0], &o[i]));
        }
        for (int i = 0; i < 4 && several; i += 2) {
            snprintf(what, sizeof what, "training: %s, some micro-batches: ZeRO-%d is ZeRO-%d",
                     k->name, i + 1, i);
            all_agree(what, ok && is_same(&o[i], &o[i + 1]));
        }
        snprintf(what, sizeof what, "training: %s: ZeRO-3 has the loss of ZeRO-0 within 1e-%d",
                 k->name, k->t.compute == DT_BF16 ? 2 : 6);
        if (several)
            all_agree(what, ok && fabs(o[3].loss - o[0].loss) <=
                                      (k->t.compute == DT_BF16 ? 1e-2 : 1e-6) * o[0].loss);
        if (several && ok) sums_first(k, SOME, o);
        for (int i = 0; i < 4; i++) outcome_free(&o[i]);
    }
}

static void trainings(void)
{
    const struct optimizer_options adamw = RIG_ADAMW;
    struct optimizer_options small = adamw, plain = adamw;
    small.no_master = true;
    small.moments = DT_BF16;
    plain.epsilon = 1e-6;
    const struct trainer_options bf16 = {.compute = DT_BF16, .optimizer = adamw};
    struct trainer_options fp32 = {.compute = DT_F32, .optimizer = plain};
    struct trainer_options narrow = bf16, full = fp32, random = bf16;
    narrow.gradient = DT_BF16;
    full.recompute = RECOMPUTE_FULL;
    random.optimizer = small;
    const struct kind kinds[] = {
        {"master weights", bf16, true, NULL, false},
        {"all in bf16, rounded at random", random, true, NULL, false},
        {"gradients in bf16", narrow, false, NULL, false},
        {"fp32, untied", fp32, false, NULL, false},
        {"fp32, tied, recomputed", full, true, NULL, false},
        {"frozen layers", fp32, false, "layers.1.", false},
        {"frozen from below", fp32, true, "embed", false},
        {"adapters", fp32, true, "", true},
        {"adapters, recomputed, untied", full, false, "", true},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) alike(&kinds[i]);
}

int main(int argc, char **argv)
{
    if (argc > 1) device = argv[1];
    if (!join()) return test_failed;
    const int last = w->place.size > 1 ? w->place.size - 1 : -1;
    const struct form forms[] = {
        {"tied", true, false, -1, 2},
        {"tied, in parts", true, true, -1, 2},
        {"untied, in parts", false, true, -1, 2},
        {"one rank without rows", true, false, last, 2},
        {"in parts, one rank without rows", false, true, last, 2},
        {"more buckets than a queue holds", true, true, last, 70},
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) sums(&forms[i]);
    trainings();
    world_leave(w, 1);
    return test_failed;
}
