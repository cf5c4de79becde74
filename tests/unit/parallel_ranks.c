/* SPDX-License-Identifier: Apache-2.0 */
/* A model cut among ranks, by tensors, by layers, or both, beside data parallelism: five steps of
 * the trainer have the losses of one rank, the same bits every time, and a rank allocates its part
 * alone. tests/cli/ranks_parallel.sh starts it as several ranks; alone it is one. */
#include "mesh.h"
#include "tiny.h"
#include "train/trainer.h"
#include "world.h"

enum { STEPS = 5, ROWS = 4, DOCS = 3, TOKENS = 17, LAYERS = 4 };
enum { NARROW = 2000 }; /* times as far from one rank may a computation with bf16 logits be */
static const int lengths[ROWS][DOCS] = {{5, 1, 9}, {3, 12, 2}, {4, 4, 4}, {9, 7, 1}};
static const char *device_name = "cpu";

struct form {
    const char *name;
    struct model m;
    enum recompute recompute;
    const char *frozen; /* prefix of the names of frozen tensors; NULL: none is */
    bool lora;
    double dropout;
    double max_norm; /* of the gradient; 0: it is not clipped */
    int64_t chunk;   /* the most targets of the head's chunks; 0: as the device has it */
    bool narrow;     /* bf16 computation and, on several ranks, logits */
};

/* A trainer of one rank, or of all, and what came of its steps. */
struct job {
    struct device *d;
    struct mesh mesh;
    struct trainer t;
    double loss[STEPS], norm[STEPS];
    bool open;
};

/* ---- a job ---- */
static bool starts(void *arg, const char *name) { return strncmp(name, arg, strlen(arg)) == 0; }
static bool every(void *arg, const char *module)
{
    (void)arg, (void)module;
    return true;
}

static struct trainer_options options(const struct form *f)
{
    struct trainer_options o = {.compute = f->narrow ? DT_BF16 : DT_F32,
                                .recompute = f->recompute,
                                .tokens = TOKENS,
                                .length = TOKENS,
                                .optimizer = {.kind = OPTIMIZER_ADAMW,
                                              .beta1 = 0.9,
                                              .beta2 = 0.999,
                                              .epsilon = 1e-5,
                                              .weight_decay = 0.1,
                                              .max_norm = f->max_norm}};
    if (f->frozen) {
        o.params.frozen = starts;
        o.params.arg = (void *)(uintptr_t)f->frozen;
    }
    if (f->lora)
        o.params.lora = (struct lora_options){
            .rank = 3, .scale = 1.5, .dropout = f->dropout, .seed = 42, .target = every};
    return o;
}

/* sizes NULL: this rank alone. */
static bool job_open(struct job *j, const struct form *f, const struct mesh_sizes *sizes,
                     const char *device)
{
    struct err e = {0};
    struct trainer_options o = options(f);
    *j = (struct job){.d = device_open(device, 1, &e)};
    bool ok = j->d && (sizes ? mesh_open(&j->mesh, sizes, w, j->d, &e)
                             : open_mesh_alone(&j->mesh, j->d, &e)) == 0;
    if (ok && sizes && f->chunk) j->d->head.most = f->chunk;
    if (sizes && f->narrow) o.logits = DT_BF16;
    ok = ok && trainer_init(&j->t, &f->m, &o, &j->mesh, j->d, &e) == 0 &&
         trainer_alloc(&j->t, &e) == 0;
    if (!ok) printf("# %s\n", e.msg);
    if (ok) tiny_weights(&j->t.weights, optimizer_master(&j->t.optimizer));
    return j->open = ok;
}

static void job_close(struct job *j)
{
    trainer_close(&j->t);
    mesh_close(&j->mesh);
    device_close(j->d);
}

/* Step k: ROWS rows, each of which is a micro-batch of its own. */
static void fill(struct feed_step *s, int k, int64_t vocab)
{
    static uint32_t ids[ROWS * TOKENS];
    static float weights[ROWS * TOKENS];
    static struct feed_sample samples[ROWS * DOCS];
    static struct feed_row rows[ROWS];
    *s = (struct feed_step){.ids = ids, .weights = weights, .samples = samples, .rows = rows};
    for (int r = 0; r < ROWS; r++) {
        rows[r] = (struct feed_row){.first = s->nsamples, .samples = DOCS};
        for (int d = 0; d < DOCS; d++) {
            const uint32_t n = (uint32_t)lengths[r][d];
            samples[s->nsamples++] =
                (struct feed_sample){{0, (uint64_t)(r * DOCS + d)}, s->tokens, n};
            for (uint32_t i = 0; i < n; i++, s->tokens++) {
                const uint32_t h =
                    tiny_hash("ids", (uint32_t)(k * ROWS * TOKENS) + (uint32_t)s->tokens);
                ids[s->tokens] = h % (uint32_t)vocab;
                weights[s->tokens] = i == 0 || h >> 30 == 0 ? 0 : h >> 30 == 1 ? 0.5F : 1;
                s->weight += (double)weights[s->tokens];
                s->label_tokens += weights[s->tokens] > 0;
            }
            rows[r].tokens += n;
        }
    }
    s->nrows = ROWS;
}

/* Two batches in turn, so that the loss falls. */
static bool job_run(struct job *j)
{
    struct err e = {0};
    bool ok = j->open;
    for (int k = 0; ok && k < STEPS; k++) {
        struct feed_step s;
        struct trainer_report r;
        fill(&s, k % 2, j->t.weights.whole.vocab);
        ok = trainer_gradients(&j->t, &s, &r, &e) == 0 && trainer_update(&j->t, 5e-3, &e) == 0;
        j->loss[k] = r.loss;
        j->norm[k] = r.grad_norm;
    }
    if (j->open && !ok) printf("# %s\n", e.msg);
    return ok;
}

/* ---- its weights ---- */
static float *values(struct job *j, const struct param *p)
{
    struct err e;
    float *v = malloc(p->n * sizeof *v);
    struct weights *of = &j->t.weights;
    if (weights_get(of, of->values, of->compute, p->offset, p->n, v, &e)) v[0] = NAN;
    return v;
}

static bool same_weights(struct job *a, struct job *b)
{
    const struct params *t = &a->t.weights.params;
    bool same = t->count == b->t.weights.params.count;
    for (size_t i = 0; same && i < t->count; i++) {
        float *x = values(a, &t->p[i]), *y = values(b, &b->t.weights.params.p[i]);
        same = memcmp(x, y, t->p[i].n * sizeof *x) == 0;
        free(x);
        free(y);
    }
    return same;
}

/* The largest difference of this rank's weights from those of a rank that has all of them. */
static double off(struct job *part, struct job *whole)
{
    double most = 0;
    const struct params *t = &part->t.weights.params, *all = &whole->t.weights.params;
    for (size_t i = 0; i < t->count; i++) {
        const struct param *p = &t->p[i], *q = params_find(all, p->name, strlen(p->name));
        float *x = values(part, p), *y = values(whole, q);
        for (struct param_run r = {0}; param_next(p, SIZE_MAX, &r);)
            for (size_t k = 0; k < r.n; k++)
                most = fmax(most, fabs((double)x[r.at + k] - (double)y[r.whole + k]));
        free(x);
        free(y);
    }
    return most;
}

static uint64_t hash(uint64_t h, const float *v, size_t n)
{
    const unsigned char *p = (const void *)v;
    for (size_t i = 0; i < n * sizeof *v; i++) h = (h ^ p[i]) * 1099511628211u;
    return h;
}

/* True where all ranks that have this tensor whole, or the same part, have the same bits of it. */
static bool one_of(struct job *j, const char *name, bool cut)
{
    struct note {
        uint64_t hash;
        int tp;
        bool has;
    } mine = {14695981039346656037u, cut ? j->mesh.at[MESH_TP] : 0, false};
    struct err e;
    const struct param *p = params_find(&j->t.weights.params, name, strlen(name));
    if (p) {
        float *v = values(j, p);
        mine.hash = hash(mine.hash, v, p->n);
        mine.has = true;
        free(v);
    }
    const struct note *all = world_notes(w, &mine, sizeof mine, &e);
    bool same = all != NULL;
    for (int r = 0; same && r < w->place.size; r++)
        same = !mine.has || !all[r].has || all[r].tp != mine.tp || all[r].hash == mine.hash;
    return same;
}

static bool same_copies(struct job *j, struct job *whole)
{
    bool same = true;
    const struct params *all = &whole->t.weights.params;
    for (size_t i = 0; i < all->count; i++)
        same &= EXPECT("copies", one_of(j, all->p[i].name, shard_is_cut(all->p[i].shard)));
    return same;
}

/* ---- its bytes ---- */
static size_t elements(const struct job *j, const char *prefix, bool cut)
{
    size_t n = 0;
    for (size_t i = 0; i < j->t.weights.params.count; i++) {
        const struct param *p = &j->t.weights.params.p[i];
        if (starts((void *)(uintptr_t)prefix, p->name) && (!cut || shard_is_cut(p->shard)))
            n += p->n;
    }
    return n;
}

static size_t planned(const struct job *j)
{
    const struct plan *p = &j->t.memory.plan;
    return tiny_planned(p, PLAN_WEIGHTS) + tiny_planned(p, PLAN_GRADIENTS) +
           tiny_planned(p, PLAN_MOMENTS);
}

/* ---- the checks ---- */
static bool near_all(const double *a, const double *b, double most, const char *what)
{
    bool ok = true;
    for (int k = 0; k < STEPS; k++) {
        if (fabs(a[k] - b[k]) <= most * fmax(1, fabs(b[k]))) continue;
        printf("# rank %d: %s of step %d: %.9g, alone %.9g\n", w->place.rank, what, k + 1, a[k],
               b[k]);
        ok = false;
    }
    return ok;
}

static void tell(const char *name, const struct job *j, const struct job *alone, double weights)
{
    double loss = 0, norm = 0;
    for (int k = 0; k < STEPS; k++) {
        loss = fmax(loss, fabs(j->loss[k] - alone->loss[k]));
        norm = fmax(norm, fabs(j->norm[k] / alone->norm[k] - 1));
    }
    if (!w->place.rank)
        printf("# %s: loss %.6f to %.6f, off by %.1e, norm by %.1e, weights by %.1e\n", name,
               alone->loss[0], alone->loss[STEPS - 1], loss, norm, weights);
}

/* Losses, norms and weights are one rank's; bits: losses bit by bit. */
static void runs(const struct form *f, const char *how, const struct mesh_sizes *sizes, bool bits)
{
    char name[160];
    static struct job alone, first, second;
    const double wide = f->narrow ? NARROW : 1;
    bool ok = job_open(&alone, f, NULL, "cpu") && job_run(&alone);
    const bool ran = job_open(&first, f, sizes, device_name) && job_run(&first);
    snprintf(name, sizeof name, "%s, %s: losses and norms are those of one rank", f->name, how);
    ok &= ran && near_all(first.loss, alone.loss, 1e-6 * wide, "loss") &&
          near_all(first.norm, alone.norm, 1e-5 * wide, "norm") &&
          alone.loss[STEPS - 1] < alone.loss[0];
    if (ran) tell(name, &first, &alone, off(&first, &alone));
    all_agree(name, ok);
    snprintf(name, sizeof name, "%s, %s: so are the weights", f->name, how);
    all_agree(name, ran && off(&first, &alone) < 2e-5 * wide);
    snprintf(name, sizeof name, "%s, %s: ranks agree on what they share", f->name, how);
    all_agree(name, ran && same_copies(&first, &alone));
    snprintf(name, sizeof name, "%s, %s: a second run has the same bits", f->name, how);
    ok = job_open(&second, f, sizes, device_name) && job_run(&second);
    ok = ok && ran && memcmp(first.loss, second.loss, sizeof first.loss) == 0 &&
         memcmp(first.norm, second.norm, sizeof first.norm) == 0 && same_weights(&first, &second);
    all_agree(name, ok);
    snprintf(name, sizeof name, "%s, %s: losses have the bits of one rank", f->name, how);
    /* the run alone has a whole head with logits in fp32 */
    if (bits && !f->chunk && !f->narrow)
        all_agree(name, ran && memcmp(first.loss, alone.loss, sizeof first.loss) == 0);
    job_close(&second);
    job_close(&first);
    job_close(&alone);
}

/* A rank has its part of the matrices, or of the layers, and allocates no more. */
static void halves(const struct form *f)
{
    const int n = w->place.size;
    const struct mesh_sizes tp = {{n, 1, 1, 1}}, pp = {{1, 1, 1, n}};
    static struct job alone, cut, staged;
    bool ok = job_open(&alone, f, NULL, "cpu") && job_open(&cut, f, &tp, device_name) &&
              job_open(&staged, f, &pp, device_name);
    const size_t parts = (size_t)n, edge = 64 << 10; /* vectors, alignment, an uneven vocabulary */
    all_agree("a rank has its part of each matrix of the layers",
              ok && parts * elements(&cut, "model.layers.", true) ==
                        elements(&alone, "model.layers.", true));
    all_agree("a rank has its part of the layers",
              ok && parts * elements(&staged, "model.layers.", false) ==
                        elements(&alone, "model.layers.", false));
    all_agree("and plans memory for that alone",
              ok && parts * planned(&cut) < planned(&alone) + parts * edge &&
                  planned(&staged) < planned(&alone) / parts + parts * edge);
    job_close(&staged);
    job_close(&cut);
    job_close(&alone);
}

static void refuses(const struct form *f, const struct mesh_sizes *sizes, const char *what)
{
    struct err e = {0};
    struct job j = {.d = device_open("cpu", 1, &e)};
    const struct trainer_options o = options(f);
    bool ok = w->place.size == 1 || (mesh_open(&j.mesh, sizes, w, j.d, &e) == 0 &&
                                     trainer_init(&j.t, &f->m, &o, &j.mesh, j.d, &e) &&
                                     e.code == ERR_CONFIG && strstr(e.msg, what));
    if (!ok) printf("# %s\n", e.msg);
    job_close(&j);
    all_agree(what, ok);
}

/* Stages add up a tied gradient and a norm in another order than one rank, and nothing else. */
static bool exact(const struct form *f) { return !(f->m.tied && !f->frozen) && f->max_norm <= 0; }

static void all_forms(const struct form *forms, size_t n)
{
    const int ranks = w->place.size;
    const struct mesh_sizes tp = {{ranks, 1, 1, 1}}, pp = {{1, 1, 1, ranks}};
    for (size_t i = 0; i < n; i++) {
        if (forms[i].dropout <= 0) runs(&forms[i], "tensor parallel", &tp, ranks == 1);
        runs(&forms[i], "pipeline parallel", &pp, ranks == 1 || exact(&forms[i]));
    }
}

/* Two axes at a time, and stages between the first and the last, on four ranks. */
static void grids(const struct form *forms, size_t n)
{
    static const struct {
        const char *name;
        struct mesh_sizes sizes;
    } grid[] = {{"tensor and pipeline parallel", {{2, 1, 1, 2}}},
                {"tensor and data parallel", {{2, 1, 2, 1}}},
                {"pipeline and data parallel", {{1, 1, 2, 2}}},
                {"four stages", {{1, 1, 1, 4}}}};
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < sizeof grid / sizeof *grid; k++)
            if (k >= 2 || forms[i].dropout <= 0)
                runs(&forms[i], grid[k].name, &grid[k].sizes, k == 3 && exact(&forms[i]));
}

static bool has_bf16(void)
{
    struct err e;
    struct device *d = device_open("cpu", 1, &e);
    const bool has = d && device_has_bf16(d);
    device_close(d);
    return has;
}

int main(int argc, char **argv)
{
    struct model plain = tiny_model(false, true), tied = tiny_model(true, false), rich = plain;
    if (argc > 1) device_name = argv[1];
    if (!join()) return test_failed;
    rich.family = hf_family_find("qwen3");
    rich.qk_norm = rich.o_bias = rich.mlp_bias = true;
    plain.layers = tied.layers = rich.layers = LAYERS;
    struct form forms[] = {
        {.name = "biases of q, k and v", .m = plain},
        {.name = "tied, clipped, a head in chunks", .m = tied, .max_norm = 1, .chunk = 5},
        {.name = "norms of q and k", .m = rich, .recompute = RECOMPUTE_SELECTIVE},
        {.name = "adapters, recomputed, clipped",
         .m = rich,
         .recompute = RECOMPUTE_FULL,
         .frozen = "model.",
         .lora = true,
         .max_norm = 1},
        {.name = "dropped adapters", .m = tied, .frozen = "model.", .lora = true, .dropout = 0.3},
        {.name = "first layers frozen", .m = plain, .frozen = "model.layers.0", .max_norm = 1},
        {.name = "bf16 logits", .m = tied, .max_norm = 1, .chunk = 5, .narrow = true},
    };
    const size_t n = sizeof forms / sizeof *forms - !has_bf16();
    if (w->place.size == 4) {
        grids(forms, n);
    } else {
        const int ranks = w->place.size;
        all_forms(forms, n);
        halves(&forms[0]);
        refuses(&forms[4], &(struct mesh_sizes){{ranks, 1, 1, 1}}, "lora_dropout");
        plain.layers = 1;
        forms[0].m = plain;
        refuses(&forms[0], &(struct mesh_sizes){{1, 1, 1, ranks}}, "num_hidden_layers");
    }
    world_leave(w, 1);
    return test_failed;
}
