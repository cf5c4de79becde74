/* SPDX-License-Identifier: Apache-2.0 */
/* A job of the trainer on the ranks of a test: a tiny model, arranged in a layout of ranks, and
 * the same five steps for each layout. One rank alone is what the others are compared with. */
#ifndef SFT_TEST_JOB_H
#define SFT_TEST_JOB_H

#include "mesh.h"
#include "tiny.h"
#include "train/trainer.h"
#include "world.h"

enum { JOB_STEPS = 5, JOB_ROWS = 9, JOB_DOCS = 3, JOB_TOKENS = 17 };
static const char *device_name = "cpu";

/* A model and the way to train it. */
struct form {
    const char *name;
    struct model m;
    enum recompute recompute;
    const char *frozen; /* prefix of the names of frozen tensors; NULL: none is */
    bool lora;
    double dropout;
    double max_norm;      /* of the gradient; 0: it is not clipped */
    int64_t chunk;        /* the most targets of the head's chunks; 0: as the device has it */
    bool narrow;          /* bf16 computation */
    int64_t tokens;       /* of a micro-batch; 0: JOB_TOKENS */
    int rows;             /* of a step, each of which is a micro-batch; at most JOB_ROWS */
    int batches;          /* in turn: with few of them the loss falls */
    double rate, epsilon; /* of AdamW */
};
/* An arrangement of the ranks. */
struct job_layout {
    struct mesh_sizes sizes;
    int zero;         /* the stage of ZeRO */
    bool ranks_first; /* gradients are summed over the ranks in each micro-batch */
    bool sequence;    /* sequence parallelism */
};

/* A trainer of one rank, or of all, and what came of its steps. */
struct job {
    const struct form *f;
    struct device *d;
    struct mesh mesh;
    struct trainer t;
    double loss[JOB_STEPS], norm[JOB_STEPS];
    bool open;
};

TINY bool job_starts(void *arg, const char *name) { return strncmp(name, arg, strlen(arg)) == 0; }
TINY bool job_every(void *arg, const char *module)
{
    (void)arg, (void)module;
    return true;
}

/* l NULL: this rank alone. */
TINY struct trainer_options job_options(const struct form *f, const struct job_layout *l)
{
    struct trainer_options o = {.compute = f->narrow ? DT_BF16 : DT_F32,
                                .recompute = f->recompute,
                                .tokens = f->tokens ? f->tokens : JOB_TOKENS,
                                .length = f->tokens ? f->tokens : JOB_TOKENS,
                                .zero_stage = l ? l->zero : 0,
                                .ranks_first = l && l->ranks_first,
                                .shard_rows = l && l->sequence,
                                .optimizer = {.kind = OPTIMIZER_ADAMW,
                                              .beta1 = 0.9,
                                              .beta2 = 0.999,
                                              .epsilon = f->epsilon,
                                              .weight_decay = 0.1,
                                              .max_norm = f->max_norm}};
    if (f->frozen) {
        o.params.frozen = job_starts;
        o.params.arg = (void *)(uintptr_t)f->frozen;
    }
    if (f->lora)
        o.params.lora = (struct lora_options){
            .rank = 3, .scale = 1.5, .dropout = f->dropout, .seed = 42, .target = job_every};
    return o;
}

/* Opens a device; "cuda" is this rank's GPU. */
TINY struct device *job_device(const char *name, struct err *e)
{
    char gpu[16];
    snprintf(gpu, sizeof gpu, "cuda:%d", w->place.node_rank);
    return device_open(strcmp(name, "cuda") == 0 ? gpu : name, 1, e);
}

/* The chunks and the bf16 logits of a form are those of several ranks: one rank alone has a whole
 * head with logits in fp32. */
TINY bool job_plan(struct job *j, const struct form *f, const struct job_layout *l,
                   const char *device)
{
    struct err e = {0};
    struct trainer_options o = job_options(f, l);
    *j = (struct job){.f = f, .d = job_device(device, &e)};
    bool ok = j->d && (l ? mesh_open(&j->mesh, &l->sizes, w, j->d, &e)
                         : open_mesh_alone(&j->mesh, j->d, &e)) == 0;
    if (ok && l && f->chunk) j->d->head.most = f->chunk;
    if (l && f->narrow) o.logits = DT_BF16;
    ok = ok && trainer_init(&j->t, &f->m, &o, &j->mesh, j->d, &e) == 0;
    if (!ok) printf("# %s\n", e.msg);
    return ok;
}

TINY bool job_open(struct job *j, const struct form *f, const struct job_layout *l,
                   const char *device)
{
    struct err e = {0};
    bool ok = job_plan(j, f, l, device);
    if (ok && trainer_alloc(&j->t, &e)) {
        printf("# %s\n", e.msg);
        ok = false;
    }
    if (ok) tiny_weights(&j->t.weights, optimizer_master(&j->t.optimizer));
    return j->open = ok;
}

TINY void job_close(struct job *j)
{
    trainer_close(&j->t);
    mesh_close(&j->mesh);
    device_close(j->d);
}

/* Step k of so many rows. No two rows fit one micro-batch. */
TINY void job_fill(struct feed_step *s, int k, int nrows, int64_t vocab)
{
    static const uint32_t lengths[JOB_ROWS][JOB_DOCS] = {{5, 1, 9}, {3, 12, 2}, {4, 4, 4},
                                                         {9, 7, 1}, {6, 6, 5},  {2, 2, 13},
                                                         {8, 1, 8}, {1, 14, 1}, {7, 3, 6}};
    static uint32_t ids[JOB_ROWS * JOB_TOKENS];
    static float weights[JOB_ROWS * JOB_TOKENS];
    static struct feed_sample samples[JOB_ROWS * JOB_DOCS];
    static struct feed_row rows[JOB_ROWS];
    *s = (struct feed_step){.ids = ids, .weights = weights, .samples = samples, .rows = rows};
    for (int r = 0; r < nrows; r++) {
        rows[r] = (struct feed_row){.first = s->nsamples, .samples = JOB_DOCS};
        for (int d = 0; d < JOB_DOCS; d++) {
            const uint32_t n = lengths[r][d];
            samples[s->nsamples++] = (struct feed_sample){
                .source = {0, (uint64_t)(r * JOB_DOCS + d)}, .first = s->tokens, .n = n};
            for (uint32_t i = 0; i < n; i++, s->tokens++) {
                const uint32_t h =
                    tiny_hash("ids", (uint32_t)(k * nrows * JOB_TOKENS) + (uint32_t)s->tokens);
                ids[s->tokens] = h % (uint32_t)vocab;
                weights[s->tokens] = i == 0 || h >> 30 == 0 ? 0 : h >> 30 == 1 ? 0.5F : 1;
                s->weight += (double)weights[s->tokens];
                s->label_tokens += weights[s->tokens] > 0;
            }
            rows[r].tokens += n;
        }
    }
    s->nrows = (size_t)nrows;
}

/* Runs step k. */
TINY bool job_step(struct job *j, int k)
{
    struct err e = {0};
    struct feed_step s;
    struct trainer_report r = {0};
    if (!j->open) return false;
    job_fill(&s, k % j->f->batches, j->f->rows, j->t.weights.whole.vocab);
    const bool ok =
        trainer_gradients(&j->t, &s, &r, &e) == 0 && trainer_update(&j->t, j->f->rate, &e) == 0;
    j->loss[k] = r.loss;
    j->norm[k] = r.grad_norm;
    if (!ok) printf("# %s\n", e.msg);
    return ok;
}

TINY bool job_run(struct job *j)
{
    bool ok = true;
    for (int k = 0; ok && k < JOB_STEPS; k++) ok = job_step(j, k);
    return ok;
}

/* Both have these numbers, up to `most` of those of b, and at least of 1. */
TINY bool job_near(const double *a, const double *b, double most, const char *what)
{
    bool ok = true;
    for (int k = 0; k < JOB_STEPS; k++) {
        if (fabs(a[k] - b[k]) <= most * fmax(1, fabs(b[k]))) continue;
        printf("# rank %d: %s of step %d: %.9g, alone %.9g\n", w->place.rank, what, k + 1, a[k],
               b[k]);
        ok = false;
    }
    return ok;
}

/* The largest relative difference; infinite where one is not a number. */
TINY double job_off(const double *a, const double *b)
{
    double most = 0;
    for (int k = 0; k < JOB_STEPS; k++) {
        const double off = fabs(a[k] / b[k] - 1);
        most = isfinite(off) ? fmax(most, off) : INFINITY;
    }
    return most;
}

TINY bool job_same(const struct job *a, const struct job *b)
{
    return memcmp(a->loss, b->loss, sizeof a->loss) == 0 &&
           memcmp(a->norm, b->norm, sizeof a->norm) == 0;
}

TINY bool job_has_bf16(void)
{
    struct err e;
    struct device *d = device_open("cpu", 1, &e);
    const bool has = d && device_has_bf16(d);
    device_close(d);
    return has;
}

#endif
