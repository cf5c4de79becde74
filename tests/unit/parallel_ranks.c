/* SPDX-License-Identifier: Apache-2.0 */
/* A model cut among ranks, by tensors, by tensors and rows, by layers, or both, beside data
 * parallelism, with what tests/dist/grid.c leaves out: five steps of the trainer have the losses of
 * one rank, the same bits every time, and a rank allocates its part alone.
 * tests/cli/ranks_parallel.sh starts it as several ranks; alone it is one. */
#include "job.h"

enum { ROWS = 4, LAYERS = 4 };
enum { NARROW = 2000 }; /* times as far from one rank may a computation with bf16 logits be */

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
        if (job_starts((void *)(uintptr_t)prefix, p->name) && (!cut || shard_is_cut(p->shard)))
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
static void tell(const char *name, const struct job *j, const struct job *alone, double weights)
{
    if (!w->place.rank)
        printf("# %s: loss %.6f to %.6f, off by %.1e, norm by %.1e, weights by %.1e\n", name,
               alone->loss[0], alone->loss[JOB_STEPS - 1], job_off(j->loss, alone->loss),
               job_off(j->norm, alone->norm), weights);
}

/* Losses, norms and weights are one rank's; bits: losses bit by bit. */
static void runs(const struct form *f, const char *how, const struct job_layout *l, bool bits)
{
    char name[160];
    static struct job alone, first, second;
    const double wide = f->narrow ? NARROW : 1;
    bool ok = job_open(&alone, f, NULL, "cpu") && job_run(&alone);
    const bool ran = job_open(&first, f, l, device_name) && job_run(&first);
    snprintf(name, sizeof name, "%s, %s: losses and norms are those of one rank", f->name, how);
    ok &= ran && job_near(first.loss, alone.loss, 1e-6 * wide, "loss") &&
          job_near(first.norm, alone.norm, f->narrow ? 1e-2 : 1e-6, "norm") &&
          alone.loss[JOB_STEPS - 1] < alone.loss[0];
    if (ran) tell(name, &first, &alone, off(&first, &alone));
    all_agree(name, ok);
    snprintf(name, sizeof name, "%s, %s: so are the weights", f->name, how);
    all_agree(name, ran && off(&first, &alone) < 2e-5 * wide);
    snprintf(name, sizeof name, "%s, %s: ranks agree on what they share", f->name, how);
    all_agree(name, ran && same_copies(&first, &alone));
    snprintf(name, sizeof name, "%s, %s: a second run has the same bits", f->name, how);
    ok = job_open(&second, f, l, device_name) && job_run(&second);
    ok = ok && ran && job_same(&first, &second) && same_weights(&first, &second);
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
    const struct job_layout tp = {.sizes = {.axis = {n, 1, 1, 1}}},
                            pp = {.sizes = {.axis = {1, 1, 1, n}}};
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

static void refuses(const struct form *f, const struct job_layout *l, const char *what)
{
    struct err e = {0};
    struct job j = {.d = device_open("cpu", 1, &e)};
    const struct trainer_options o = job_options(f, l);
    bool ok = w->place.size == 1 || (mesh_open(&j.mesh, &l->sizes, w, j.d, &e) == 0 &&
                                     trainer_init(&j.t, &f->m, &o, &j.mesh, j.d, &e) &&
                                     e.code == ERR_CONFIG && strstr(e.msg, what));
    if (!ok) printf("# %s\n", e.msg);
    job_close(&j);
    all_agree(what, ok);
}

/* Stages add up a tied gradient in another order than one rank, and nothing else. */
static bool exact(const struct form *f) { return !f->m.tied || f->frozen; }

static void all_forms(const struct form *forms, size_t n)
{
    const int ranks = w->place.size;
    const struct job_layout tp = {.sizes = {.axis = {ranks, 1, 1, 1}}},
                            pp = {.sizes = {.axis = {1, 1, 1, ranks}}};
    const struct job_layout rows = {.sizes = tp.sizes, .sequence = true};
    for (size_t i = 0; i < n; i++) {
        runs(&forms[i], "tensor parallel", &tp, ranks == 1);
        runs(&forms[i], "sequence parallel", &rows, ranks == 1);
        runs(&forms[i], "pipeline parallel", &pp, ranks == 1 || exact(&forms[i]));
    }
}

/* Two axes at a time, and stages between the first and the last, on four ranks. */
static void grids(const struct form *forms, size_t n)
{
    static const struct {
        const char *name;
        struct job_layout l;
    } grid[] = {
        {"tensor and pipeline parallel", {.sizes = {.axis = {2, 1, 1, 2}}}},
        {"sequence and pipeline parallel", {.sizes = {.axis = {2, 1, 1, 2}}, .sequence = true}},
        {"tensor and data parallel", {.sizes = {.axis = {2, 1, 2, 1}}}},
        {"pipeline and data parallel", {.sizes = {.axis = {1, 1, 2, 2}}}},
        {"four stages", {.sizes = {.axis = {1, 1, 1, 4}}}}};
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < sizeof grid / sizeof *grid; k++)
            runs(&forms[i], grid[k].name, &grid[k].l, k == 4 && exact(&forms[i]));
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
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        forms[i].rows = ROWS;
        forms[i].batches = 2;
        forms[i].rate = 5e-3;
        forms[i].epsilon = 1e-5;
    }
    const size_t n = sizeof forms / sizeof *forms - !job_has_bf16();
    if (w->place.size == 4) { /* the others are in the grid */
        grids(&forms[1], 1);
        grids(&forms[4], n - 4);
    } else {
        const int ranks = w->place.size;
        all_forms(forms, n);
        halves(&forms[0]);
        plain.layers = 1;
        forms[0].m = plain;
        refuses(&forms[0], &(struct job_layout){.sizes = {.axis = {1, 1, 1, ranks}}},
                "num_hidden_layers");
    }
    world_leave(w, 1);
    return test_failed;
}
