/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the steps of a window, deals their micro-batches to the ranks, computes this rank's, and
 * gathers the sums of all samples. The micro-batches are the same for any number of ranks, and so
 * are the losses, bit for bit. */
#include "window.h"

#include <math.h>
#include <string.h>

enum {
    WINDOW_STEPS = 256, /* at most */
    WINDOW_PIECES = 8,  /* micro-batches of each rank, about */
};

/* A micro-batch: rows from `row` on of a step, whose samples are w->sums[first, first + n). */
struct piece {
    size_t step, row, first, n;
    int rank;
};

int window_open(struct window *w, struct eval *v, struct feed *f, int64_t length, struct err *e)
{
    *w = (struct window){.v = v, .feed = f, .batch = {.capacity = length}};
    w->steps = mem_alloc(WINDOW_STEPS, sizeof *w->steps, e);
    w->nll = w->steps ? mem_alloc((size_t)length, sizeof *w->nll, e) : NULL;
    w->load = w->nll ? mem_alloc((size_t)mesh_ranks(&v->mesh), sizeof *w->load, e) : NULL;
    return w->load ? 0 : -1;
}

void window_close(struct window *w)
{
    for (size_t i = 0; w->steps && i < WINDOW_STEPS; i++) feed_step_free(&w->steps[i]);
    mem_free(w->steps);
    mem_free(w->sums);
    mem_free(w->pieces);
    mem_free(w->blocks);
    mem_free(w->nll);
    mem_free(w->load);
}

/* ---- reading ---- */
struct note {
    int32_t more;
    uint64_t steps, checksum;
};

/* Files of one name may differ from host to host, and one host may fail to read its own. */
static int check_same(const struct window *w, struct err *e)
{
    const struct mesh *m = &w->v->mesh;
    const struct note mine = {w->more, w->n, feed_checksum(w->feed)};
    const struct note *all = mesh_notes(m, &mine, sizeof mine, e);
    bool same = all != NULL;
    for (int r = 0; same && r < mesh_ranks(m); r++)
        same = all[r].more == all[0].more && all[r].steps == all[0].steps &&
               all[r].checksum == all[0].checksum;
    if (same) return 0;
    if (!all || mesh_agree(m, w->more < 0 ? -1 : 0, e)) return -1;
    return err_set(e, ERR_DATA,
                   "%s: not the same stream on all ranks; copy it to all hosts, or into a folder "
                   "that they share",
                   feed_name(w->feed));
}

int window_read(struct window *w, struct err *e)
{
    const size_t ranks = (size_t)mesh_ranks(&w->v->mesh);
    const size_t wanted = ranks > 1 ? ranks * WINDOW_PIECES * (size_t)w->batch.capacity : 1;
    size_t tokens = 0;
    w->n = 0;
    do {
        w->more = feed_next(w->feed, &w->steps[w->n], e);
        if (w->more == 1) tokens += w->steps[w->n++].tokens;
    } while (w->more == 1 && tokens < wanted && w->n < WINDOW_STEPS);
    return check_same(w, e);
}

/* ---- dealing ---- */
/* Returns the rank that has had the fewest tokens, which now gets so many more. */
static int least(struct window *w, int64_t tokens)
{
    int to = 0;
    for (int r = 1; r < mesh_ranks(&w->v->mesh); r++)
        if (w->load[r] < w->load[to]) to = r;
    w->load[to] += (size_t)tokens;
    return to;
}

static int deal_step(struct window *w, size_t k, struct err *e)
{
    const struct feed_step *s = &w->steps[k];
    if (batch_count(&w->batch, s, e) < 0) return -1;
    for (size_t row = 0, next; row < s->nrows; row = next) {
        int64_t tokens;
        struct piece p = {.step = k, .row = row, .first = w->nsums};
        next = batch_skip(&w->batch, s, row, &tokens);
        for (size_t r = row; r < next; r++) p.n += s->rows[r].samples;
        p.rank = least(w, tokens);
        if (mem_grow(&w->pieces, &w->pieces_cap, w->npieces + 1, sizeof *w->pieces, e)) return -1;
        w->pieces[w->npieces++] = p;
        w->nsums += p.n;
    }
    return 0;
}

/* The same on all ranks. Makes room for the sums of all samples, and for their exchange. */
static int deal(struct window *w, struct err *e)
{
    const int ranks = mesh_ranks(&w->v->mesh);
    w->npieces = w->nsums = w->most = 0;
    for (size_t k = 0; k < w->n; k++)
        if (deal_step(w, k, e)) return -1;
    for (int r = 0; r < ranks; r++) {
        size_t n = 0;
        for (size_t i = 0; i < w->npieces; i++) n += w->pieces[i].rank == r ? w->pieces[i].n : 0;
        if (n > w->most) w->most = n;
    }
    if (mem_grow(&w->sums, &w->cap, w->nsums, sizeof *w->sums, e)) return -1;
    return ranks == 1 ? 0
                      : mem_grow(&w->blocks, &w->blocks_cap, (size_t)ranks * w->most,
                                 sizeof *w->blocks, e);
}

/* ---- computing ---- */
/* Adds the loss of token t of x, a target of weight weight > 0. */
static void add_target(struct sums *s, const struct feed_sample *x, uint32_t t, double weight,
                       float nll)
{
    s->loss += weight * (double)nll;
    s->weight += weight;
    s->label_tokens++;
    if (isfinite(nll) || s->bad) return;
    s->bad = 1;
    s->source = x->source;
    s->token = t;
}

/* nll has the losses of the targets, in the order of the samples' tokens. */
static void add_samples(const struct feed_step *s, const struct piece *p, struct sums *to,
                        const float *nll)
{
    const size_t first = s->rows[p->row].first;
    for (size_t i = 0; i < p->n; i++) {
        const struct feed_sample *x = &s->samples[first + i];
        to[i] = (struct sums){.samples = 1, .tokens = x->n};
        for (uint32_t t = 0; t < x->n; t++) {
            const double weight = (double)s->weights[x->first + t];
            if (weight > 0) add_target(&to[i], x, t, weight, *nll++);
        }
    }
}

static int compute(struct window *w, const struct piece *piece, struct err *e)
{
    struct eval *v = w->v;
    struct pass *p = &v->stage.pass[0];
    const struct feed_step *s = &w->steps[piece->step];
    stage_refill(&v->stage, p);
    batch_take(&w->batch, s, piece->row, &p->b);
    if (p->b.T) {
        stage_upload(&v->stage, p);
        stage_forward(&v->stage, p);
        stage_loss(&v->stage, p);
    }
    if (weights_get(&v->weights, p->nll, v->weights.accum, 0, (size_t)p->b.targets, w->nll, e))
        return -1;
    add_samples(s, piece, w->sums + piece->first, w->nll);
    return 0;
}

static int compute_mine(struct window *w, struct err *e)
{
    struct world *world = w->v->mesh.world;
    for (size_t i = 0; i < w->npieces; i++) {
        const struct piece *p = &w->pieces[i];
        if (p->rank != world->place.rank) continue;
        world_step(world, w->steps[p->step].step + 1);
        if (compute(w, p, e)) return -1;
    }
    return 0;
}

/* ---- exchange ---- */
/* Copies the sums of a rank's samples from their places to its block, or back. */
static void copy(struct window *w, int rank, bool back)
{
    struct sums *block = w->blocks + (size_t)rank * w->most;
    for (size_t i = 0; i < w->npieces; i++) {
        const struct piece *p = &w->pieces[i];
        if (p->rank != rank) continue;
        memcpy(back ? w->sums + p->first : block, back ? block : w->sums + p->first,
               p->n * sizeof *block);
        block += p->n;
    }
}

static int gather(struct window *w, struct err *e)
{
    const struct mesh *m = &w->v->mesh;
    const int ranks = mesh_ranks(m), mine = m->world->place.rank;
    if (ranks == 1 || w->most == 0) return 0;
    copy(w, mine, false);
    if (mesh_gather(m, w->blocks, w->blocks + (size_t)mine * w->most, w->most * sizeof *w->blocks,
                    e))
        return -1;
    for (int r = 0; r < ranks; r++) copy(w, r, true);
    return 0;
}

int window_compute(struct window *w, struct err *e)
{
    const int rc = deal(w, e) || compute_mine(w, e) ? -1 : 0;
    return mesh_agree(&w->v->mesh, rc, e) || gather(w, e) ? -1 : 0;
}
