/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes that a rank sends in the steps of a job, by group and call, beside the closed formulas
 * of docs/parallel.md. Much of a tiny model is alignment, so the formulas are taken with it: of
 * buckets, of blocks that ranks sum or gather, of rows. Then both are equal. */
#ifndef SFT_TEST_WIRE_H
#define SFT_TEST_WIRE_H

#include "buckets.h"
#include "comm/comm.h"
#include "data/chunks.h"
#include "model/schedule.h"

enum { WIRE_SQUARES = 512 }; /* elements of a group of squares of the norm */

struct wire {
    const struct job *j;
    const struct mesh *mesh;
    struct memory_sizes s;
    struct bucket bucket[BUCKETS];
    uint64_t hidden, layers;                 /* layers of this rank */
    uint64_t passes;                         /* n: the most micro-batches of a rank */
    size_t c, g;                             /* bytes of the compute type; of a gradient */
    bool first, last;                        /* the stage has the embedding; the head */
    int zero, parts;                         /* the stage of ZeRO; ranks that share one copy */
    bool ranks_first;                        /* sums over the ranks in each micro-batch */
    uint64_t bytes[MESH_GROUPS][COMM_KINDS]; /* of a step */
    uint64_t routed;                         /* of all_to_all in all steps */
};

/* Adds so many calls on n elements, of all ranks in a reduce_scatter or an all_gather. An
 * all_reduce sends blocks of equal size; what NCCL cannot divide goes to all ranks. */
static void wire_add(struct wire *x, int group, enum comm_kind kind, uint64_t calls, uint64_t n,
                     size_t size)
{
    const struct comm *comm = mesh_group(x->mesh, group);
    const uint64_t R = comm ? (uint64_t)comm->size : 1;
    uint64_t each = n / R;
    if (!comm) return;
    if (kind == COMM_ALL_REDUCE) each = comm->direct ? 2 * each + n % R : 2 * ((n + R - 1) / R);
    if (kind == COMM_BROADCAST) each = n;
    each = kind == COMM_SEND_RECEIVE ? n : (R - 1) * each;
    x->bytes[group][kind] += calls * each * size;
}

/* ---- once a step ---- */
static void wire_trained(struct wire *x, bool experts, uint64_t calls, uint64_t n)
{
    const int all = experts ? MESH_EDP : MESH_DP_CP, shard = experts ? MESH_ESHARD : MESH_SHARD;
    const uint64_t sums = calls * (x->ranks_first ? x->passes : 1);
    if (x->zero == 0 && !x->ranks_first) wire_add(x, all, COMM_ALL_REDUCE, calls, n, x->g);
    if (x->zero == 0 && x->ranks_first) wire_add(x, all, COMM_REDUCE_SCATTER, sums, n, x->g);
    if (x->zero == 0 && x->ranks_first) wire_add(x, all, COMM_ALL_GATHER, calls, n, x->g);
    if (x->zero == 1) wire_add(x, all, COMM_REDUCE_SCATTER, sums, n, x->g);
    if (x->zero == 1) wire_add(x, all, COMM_ALL_GATHER, calls, n, x->c);
    if (x->zero >= 2) wire_add(x, shard, COMM_REDUCE_SCATTER, sums, n, x->g);
    if (x->zero == 2) wire_add(x, shard, COMM_ALL_GATHER, calls, n, x->c);
}

/* Adjacent tensors with partial gradients are one call. */
static void wire_partial(struct wire *x, const struct bucket *k)
{
    uint64_t run = 0;
    const uint64_t calls = k->count * (x->ranks_first ? x->passes : 1);
    for (const struct bucket_block *b = k->b; b < k->b + BUCKET_BLOCKS; b++) {
        if (b->n == 0 || !b->trained) continue;
        if (b->partial != 1) {
            wire_add(x, MESH_TP, COMM_ALL_REDUCE, calls, run, x->g);
            run = 0;
        }
        if (b->partial) run = aligned(run, BUCKET_ALIGN) + b->n;
    }
    wire_add(x, MESH_TP, COMM_ALL_REDUCE, calls, run, x->g);
}

/* Counts the layers of a kind that are in neither of two buffers when a pass uses them. */
static uint64_t wire_missed(const struct wire *x, int kind)
{
    const int pp = x->mesh->size[MESH_PP], stage = x->mesh->at[MESH_PP];
    const int parts = pp * x->mesh->chunks;
    const struct schedule s = {stage, pp, x->mesh->chunks, (int)x->passes, false};
    const uint64_t all = (uint64_t)x->s.m->layers;
    struct action a;
    int at = 0, held[2] = {-1, -1};
    uint64_t n = 0;
    while (schedule_next(&s, &at, &a)) {
        const int begin = (int)shard_begin(all, parts, a.chunk * pp + stage);
        const int end = (int)shard_begin(all, parts, a.chunk * pp + stage + 1);
        for (int i = begin; i < end; i++) {
            const int l = a.kind == FORWARD ? i : begin + end - 1 - i;
            if (l == held[0]) continue;
            n += l != held[1] && model_is_sparse(x->s.m, l) == (kind == SPARSE);
            held[1] = held[0];
            held[0] = l;
        }
    }
    return n;
}

/* G, the layers of a kind that ZeRO-3 gathers in a step. */
static uint64_t wire_gathered(const struct wire *x, int kind)
{
    const uint64_t L = (uint64_t)x->s.layers[kind], n = x->passes;
    const uint64_t later = (uint64_t)(x->mesh->size[MESH_PP] - x->mesh->at[MESH_PP] - 1);
    if (x->mesh->chunks > 1 || L < x->layers) return wire_missed(x, kind);
    return L > 2 ? L + (2 * n - 1) * (L - 2) + 4 * (later < n - 1 ? later : n - 1) : L;
}

static void wire_buckets(struct wire *x)
{
    const uint64_t ends = x->first && x->last && !x->s.m->tied ? x->passes : 1;
    const int ep = x->parts > 1 ? x->mesh->experts : 1;
    uint64_t parts = 0; /* the elements of this rank's */
    for (int i = 0; i < BUCKETS; i++) {
        const struct bucket *k = &x->bucket[i];
        const bool end = i == BUCKET_EMBEDDING || i == BUCKET_HEAD, experts = i == BUCKET_EXPERTS;
        const uint64_t gathers =
            end ? ends : wire_gathered(x, i == BUCKET_SPARSE || experts ? SPARSE : DENSE);
        const int group = experts ? MESH_ESHARD : MESH_SHARD;
        parts += k->count * k->trained / (uint64_t)(experts ? x->parts / ep : x->parts);
        wire_trained(x, experts, k->count, k->trained);
        wire_partial(x, k);
        if (x->zero < 3) continue;
        wire_add(x, group, COMM_ALL_GATHER, gathers, k->trained, x->c);
        wire_add(x, group, COMM_ALL_GATHER, gathers, k->frozen, x->c);
    }
    if (x->parts < mesh_replicas(x->mesh))
        wire_add(x, MESH_REPLICATE, COMM_ALL_REDUCE, 1, parts, x->g);
}

/* The gradient of a tied embedding at the ends: all of it, or this rank's part of its bucket. */
static void wire_tied(struct wire *x)
{
    const struct bucket *k = &x->bucket[BUCKET_EMBEDDING];
    const uint64_t parts = x->ranks_first ? (uint64_t)x->parts : 1, n = k->b[0].n;
    const uint64_t each = k->trained / parts;
    const uint64_t begin = (uint64_t)mesh_replica(x->mesh) % parts * each, end = begin + each;
    if (x->s.m->tied && begin < n)
        wire_add(x, MESH_ENDS, COMM_ALL_REDUCE, 1, (end < n ? end : n) - begin, x->g);
}

/* Loss and norm. */
static void wire_numbers(struct wire *x)
{
    const uint64_t sums = (uint64_t)x->s.m->layers + 2;
    const size_t size = sizeof(double);
    const struct norm *norm = &x->j->t.optimizer.norm;
    const uint64_t others = norm->groups - norm->experts;
    wire_add(x, MESH_DP_CP, COMM_ALL_REDUCE, 1, others * WIRE_SQUARES, x->g);
    wire_add(x, MESH_EDP, COMM_ALL_REDUCE, 1, norm->experts * WIRE_SQUARES, x->g);
    wire_add(x, MESH_DP_CP, COMM_ALL_REDUCE, 1, sums, size);
    wire_add(x, MESH_DP_CP, COMM_ALL_REDUCE, 1, 1, size);
    wire_add(x, MESH_MODEL, COMM_ALL_REDUCE, 1, sums, size);
    if (x->last) wire_add(x, MESH_PP, COMM_BROADCAST, 1, 1, size);
}

/* ---- a micro-batch ---- */
/* Tokens and targets of this rank; tokens of all ranks of cp. */
struct wire_rows {
    uint64_t T, C, all;
};

static struct wire_rows wire_rows(const struct wire *x, const struct feed_step *s,
                                  const struct feed_row *r)
{
    const int cp = x->mesh->size[MESH_CP], at = x->mesh->at[MESH_CP];
    struct wire_rows t = {.all = r->tokens};
    struct chunks k = {.ranks = cp};
    for (const struct feed_sample *p = s->samples + r->first, *e = p + r->samples; p < e; p++) {
        for (int second = 0; second < 2; second++) {
            const int c = second ? 2 * cp - 1 - at : at;
            const int64_t end = chunks_begin(&k, p->n, c + 1);
            for (int64_t i = chunks_begin(&k, p->n, c); i < end; i++, t.T++)
                t.C += i + 1 < p->n && s->weights[p->first + (uint64_t)i + 1] > 0;
        }
        chunks_add(&k, p->n);
    }
    return t;
}

static void wire_tensor(struct wire *x, const struct wire_rows *t)
{
    const bool cut = x->j->t.o.shard_rows, full = x->j->f->recompute == RECOMPUTE_FULL;
    const enum comm_kind sum = cut ? COMM_REDUCE_SCATTER : COMM_ALL_REDUCE;
    const uint64_t tp = (uint64_t)x->mesh->size[MESH_TP], L = x->layers;
    const uint64_t n = (cut ? aligned(t->T, tp) : t->T) * x->hidden;
    const uint64_t again = x->s.m->post_norm ? 4 : 3; /* o, and what a norm behind the MLP takes */
    if (x->first) wire_add(x, MESH_TP, sum, 1, n, x->c);
    wire_add(x, MESH_TP, sum, (full ? again : 2) * L, n, WIDTH);
    if (x->s.m->qk_norm == HF_QK_NORM_ROW)
        wire_add(x, MESH_TP, COMM_ALL_REDUCE, (x->j->f->recompute ? 3 : 2) * L, 2 * n / x->hidden,
                 WIDTH);
    wire_add(x, MESH_TP, sum, 2 * L, n, x->c);
    if (x->last) wire_add(x, MESH_TP, sum, 1, cut ? n : t->C * x->hidden, x->c);
    if (x->last) wire_add(x, MESH_TP, COMM_ALL_GATHER, 1, 3 * t->C * tp, WIDTH);
    if (!cut) return;
    wire_add(x, MESH_TP, COMM_ALL_GATHER, (full ? 8 : 6) * L + x->last, n, x->c);
    if (x->first && !x->j->f->lora) wire_add(x, MESH_TP, COMM_ALL_GATHER, 1, n, x->c);
}

static void wire_context(struct wire *x, const struct wire_rows *t)
{
    const uint64_t K = 2 * (uint64_t)x->s.k, L = x->layers;
    const uint64_t n = aligned(t->all, (uint64_t)x->mesh->size[MESH_CP]) * K;
    const bool again = x->j->f->recompute != RECOMPUTE_NONE;
    wire_add(x, MESH_CP, COMM_ALL_GATHER, again ? 2 * L : L, n, x->c);
    wire_add(x, MESH_CP, COMM_REDUCE_SCATTER, L, n, WIDTH);
}

static void wire_pipeline(struct wire *x, const struct wire_rows *t)
{
    const uint64_t tp = (uint64_t)x->mesh->size[MESH_TP], V = (uint64_t)x->mesh->chunks;
    const uint64_t rows = x->j->t.o.shard_rows ? aligned(t->T, tp) / tp : t->T;
    wire_add(x, MESH_PP, COMM_SEND_RECEIVE, V - x->last, rows * x->hidden, WIDTH);
    wire_add(x, MESH_PP, COMM_SEND_RECEIVE, V - x->first, rows * x->hidden, x->c);
    if (x->s.m->router_loss <= 0) return;
    const uint64_t E = (uint64_t)x->s.m->experts; /* the load, behind each of these messages */
    wire_add(x, MESH_PP, COMM_SEND_RECEIVE, 2 * V - x->last - x->first, 2 * E, sizeof(double));
}

/* ---- a step: each row is a micro-batch ---- */
static bool wire_owns(const struct job *j, size_t row, int rank)
{
    const uint32_t *owner = j->t.balance.owner;
    return !owner || owner[row] == (uint32_t)rank;
}

static uint64_t wire_passes(const struct job *j, const struct feed_step *s)
{
    uint64_t most = 0;
    for (int rank = 0; rank < j->mesh.size[MESH_DP]; rank++) {
        uint64_t n = 0;
        for (size_t i = 0; i < s->nrows; i++) n += wire_owns(j, i, rank);
        if (n > most) most = n;
    }
    return most;
}

/* ---- ranks that share out the experts ---- */
/* How many rows go where depends on the router, so it is read from the messages: the first one
 * behind the counts of all ranks has the choices, each of which is sent once. */
static struct {
    const struct comm_ops *real;
    struct comm_ops ops;
    bool counted;        /* the last collective gathered the counts */
    uint64_t went, came; /* rows of choices to and from other ranks */
} wire_route;

static uint64_t wire_others(const struct comm *c, const int32_t *rows)
{
    uint64_t n = 0;
    for (int r = 0; r < c->size; r++) n += r == c->rank ? 0 : (uint64_t)rows[r];
    return n;
}

static void wire_run(struct comm *c, const struct comm_call *k)
{
    if (k->kind == COMM_ALL_TO_ALL && wire_route.counted) {
        wire_route.went += wire_others(c, k->sends);
        wire_route.came += wire_others(c, k->accepts);
    }
    wire_route.counted = k->kind == COMM_ALL_GATHER && k->type == DT_I32;
    wire_route.real->run(c, k);
}

/* Watches the messages of a job from now on. Returns true. */
TINY bool wire_watch(const struct job *j)
{
    struct comm *c = mesh_group(&j->mesh, MESH_EP);
    if (!c) return true;
    wire_route.real = c->ops;
    wire_route.ops = *c->ops;
    wire_route.ops.run = wire_run;
    wire_route.went = wire_route.came = 0;
    c->ops = &wire_route.ops;
    return true;
}

/* Returns true if a rank of those that share out the experts has a micro-batch of that number. */
static bool wire_routes(const struct wire *x, const struct feed_step *s, uint64_t pass)
{
    int end;
    for (int rank = mesh_expert_rows(x->mesh, &end); rank < end; rank++) {
        uint64_t n = 0;
        for (size_t i = 0; i < s->nrows; i++) n += wire_owns(x->j, i, rank);
        if (n > pass) return true;
    }
    return false;
}

/* Adds to the bytes of all steps those of rows of n elements, for each row that goes to the rank of
 * an expert, or comes back. */
static void wire_dispatch(struct wire *x, const struct feed_step *s)
{
    uint64_t passes = 0;
    const bool full = x->j->f->recompute == RECOMPUTE_FULL;
    const uint64_t times = full ? 2 : 1, ranks = (uint64_t)x->mesh->experts,
                   L = (uint64_t)x->s.layers[SPARSE], H = x->hidden, K = (uint64_t)x->s.m->chosen,
                   to = times * 2 * K * WIDTH + (times + 2) * H * x->c,
                   back = H * WIDTH + H * x->c + K * WIDTH;
    for (uint64_t i = 0; i < x->passes; i++) passes += wire_routes(x, s, i);
    wire_add(x, MESH_EP, COMM_ALL_GATHER, times * L * passes, ranks * (ranks + 1), WIDTH);
    x->routed = (wire_route.went * to + wire_route.came * back) / times;
}

static struct wire wire_begin(const struct job *j, const struct feed_step *s)
{
    const int R = mesh_replicas(&j->mesh), zero = R > 1 ? j->t.o.zero_stage : 0;
    struct wire x = {.j = j,
                     .mesh = &j->mesh,
                     .s = memory_sizes(j, &j->t.weights.whole),
                     .hidden = (uint64_t)j->t.weights.whole.hidden,
                     .passes = wire_passes(j, s),
                     .c = j->f->narrow ? 2 : WIDTH,
                     .g = WIDTH,
                     .first = has_embedding(j),
                     .last = has_head(j),
                     .zero = zero,
                     .ranks_first = R > 1 && (zero >= 2 || j->t.o.ranks_first),
                     .parts = zero >= 2 ? j->mesh.shard : R};
    x.layers = (uint64_t)x.s.all_layers;
    buckets_of(j, &x.s, x.bucket);
    return x;
}

static struct wire wire_step(const struct job *j, const struct feed_step *s)
{
    struct wire x = wire_begin(j, s);
    wire_buckets(&x);
    wire_tied(&x);
    wire_numbers(&x);
    if (mesh_group(x.mesh, MESH_EP)) wire_dispatch(&x, s);
    for (size_t i = 0; i < s->nrows; i++) {
        const struct wire_rows t = wire_rows(&x, s, &s->rows[i]);
        if (!wire_owns(j, i, j->mesh.at[MESH_DP])) continue;
        wire_tensor(&x, &t);
        wire_context(&x, &t);
        wire_pipeline(&x, &t);
    }
    return x;
}

/* ---- the counters ---- */
/* Compares a group's counters with the formulas of all groups that are the same one. */
static bool wire_group(const struct wire *x, int group)
{
    const struct comm *c = mesh_group(x->mesh, group);
    bool ok = true;
    for (int g = 0; g < group; g++)
        if (mesh_group(x->mesh, g) == c) return true;
    for (int kind = 0; kind < COMM_KINDS; kind++) {
        uint64_t n = 0;
        for (int g = group; g < MESH_GROUPS; g++)
            if (mesh_group(x->mesh, g) == c) n += JOB_STEPS * x->bytes[g][kind];
        if (kind == COMM_ALL_TO_ALL && c == mesh_group(x->mesh, MESH_EP)) n += x->routed;
        if (c->sent[kind].bytes == n) continue;
        printf("# rank %d: %s of %s: %llu bytes are sent, the formulas say %llu\n", w->place.rank,
               comm_kind_name((enum comm_kind)kind), c->label,
               (unsigned long long)c->sent[kind].bytes, (unsigned long long)n);
        ok = false;
    }
    return ok;
}

/* The groups of squares that lie in several parts are at most these. */
static bool wire_squares(const struct wire *x)
{
    const struct params *p = &x->j->t.weights.params;
    const size_t borders = ((size_t)mesh_replicas(x->mesh) - 1) * p->nbuckets;
    size_t tensors = 0; /* stacked ones count by the pieces that this rank has of each expert */
    for (size_t i = 0; i < p->count; i++)
        tensors += p->p[i].stacked ? (size_t)param_blocks(&p->p[i]) : 1;
    const bool ok = x->j->t.optimizer.norm.groups <= borders + 2 * tensors;
    if (!ok)
        printf("# rank %d: %zu groups of squares\n", w->place.rank, x->j->t.optimizer.norm.groups);
    return ok;
}

/* Returns true if this rank has sent in the steps of a job, which have the same rows, the bytes
 * that the formulas say. */
TINY bool wire_is_sent(const struct job *j)
{
    struct feed_step s;
    job_fill(&s, 0, j->f->rows, j->t.weights.whole.vocab);
    const struct wire x = wire_step(j, &s);
    bool ok = wire_squares(&x);
    for (int g = 0; g < MESH_GROUPS; g++)
        if (mesh_group(x.mesh, g)) ok &= wire_group(&x, g);
    return ok;
}

#endif
