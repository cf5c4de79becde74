/* SPDX-License-Identifier: Apache-2.0 */
/* Sums of gradients, bucket by bucket: beside backward they are those made after it, and those of
 * whole buffers, bit for bit; and ZeRO-0 and ZeRO-1 train alike. tests/cli/ranks.sh starts it as
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
    zero_init(&p->z, &p->mesh, &p->w.params, f->sharded);
    zero_plan(&p->z, &p->memory.plan, DT_F32, 0);
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
        const size_t begin = p->z.sharded ? own.begin : k->begin;
        const size_t end = p->z.sharded ? own.end : k->end;
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
struct outcome {
    double norm, loss;
    uint16_t *values; /* of all weights, in bf16 */
    size_t n;
};

/* A few steps. */
static bool train(struct outcome *o, struct trainer_options t)
{
    struct rig r = {0};
    struct err e = {0};
    const struct model m = tiny_model(true, false);
    t.compute = DT_BF16;
    t.recompute = RECOMPUTE_NONE;
    t.tokens = RIG_TOKENS;
    t.length = 32;
    r.device = device_open(device, 1, &e);
    bool ok = r.device && open_mesh(&r.mesh, w, r.device, &e) == 0 &&
              trainer_init(&r.t, &m, &t, &r.mesh, r.device, &e) == 0 &&
              trainer_alloc(&r.t, &e) == 0;
    if (ok) tiny_weights(&r.t.weights, optimizer_master(&r.t.optimizer));
    for (uint32_t k = 0; k < 4 && ok; k++) {
        struct trainer_report x;
        struct feed_step s = rig_step(k);
        ok = trainer_step(&r.t, &s, 1e-2, &x, &e) == 0;
        o->norm = x.grad_norm;
        o->loss = x.loss;
        feed_step_free(&s);
    }
    o->n = ok ? r.t.weights.params.total : 0;
    o->values = malloc(o->n * sizeof *o->values + 1);
    if (ok)
        ok = r.device->ops->download(r.device, o->values, r.t.weights.values, o->n * 2, &e) == 0;
    if (!ok) printf("# %s\n", e.msg);
    rig_close(&r);
    return ok;
}

static void alike(const char *name, struct trainer_options t)
{
    struct outcome a = {0}, b = {0};
    char what[160];
    bool ok = train(&a, t);
    t.shard_optimizer = true;
    ok &= train(&b, t);
    ok &= a.n == b.n && memcmp(a.values, b.values, a.n * 2) == 0;
    ok &= !(a.norm < b.norm) && !(a.norm > b.norm) && !(a.loss < b.loss) && !(a.loss > b.loss);
    snprintf(what, sizeof what, "training: %s: ZeRO-0 and ZeRO-1 give the same weights and norm",
             name);
    all_agree(what, ok && a.norm > 0);
    free(a.values);
    free(b.values);
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
    struct trainer_options t = {.optimizer = RIG_ADAMW};
    alike("master weights", t);
    t.optimizer.no_master = true;
    t.optimizer.moments = DT_BF16;
    alike("all in bf16, rounded at random", t);
    world_leave(w, 1);
    return test_failed;
}
