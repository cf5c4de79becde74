/* SPDX-License-Identifier: Apache-2.0 */
/* The composition of steps. Each epoch is an order of all samples; what is cut from it are steps
 * (batch, none) or bins that are assigned to steps (dense). */
#include <inttypes.h>
#include <math.h>

#include "base/mem.h"
#include "base/rng.h"
#include "pack/pack.h"

/* Rows of dense packing are permuted by their own numbers, not by those that permuted the samples.
 */
#define ROWS_EPOCH ((uint64_t)1 << 63)

struct plan {
    const struct pack_options *o;
    const uint32_t *lengths;
    uint32_t n;
    int (*row)(void *arg, const struct pack_row *row, struct err *e);
    void *arg;
    uint64_t epoch, step, steps; /* steps: where the plan ends */
    uint32_t *order;             /* (n) the epoch's order */
    struct binner *binner;
    /* Bins of the last packing, m items: items of bin k are sorted[start[k] .. start[k + 1]). */
    uint32_t *length_of, *bin_of, *sorted, *start, *rows;
    uint32_t bins;
};

static int give(struct plan *p, const uint32_t *samples, uint32_t n, struct err *e)
{
    return p->row(p->arg, &(struct pack_row){p->step, p->epoch, samples, n}, e);
}

/* Packs m samples of the order from position `at`; bins keep the order, and are ordered by it. */
static int pack(struct plan *p, uint32_t at, uint32_t m, struct err *e)
{
    const uint32_t *samples = p->order + at;
    for (uint32_t i = 0; i < m; i++) p->length_of[i] = p->lengths[samples[i]];
    if (binner_run(p->binner, p->length_of, m, p->bin_of, &p->bins, e) < 0) return -1;
    for (uint32_t k = 0; k <= p->bins; k++) p->start[k] = 0;
    for (uint32_t i = 0; i < m; i++) p->start[p->bin_of[i]]++;
    for (uint32_t k = 0, sum = 0; k <= p->bins; k++) {
        sum += p->start[k];
        p->start[k] = sum; /* the end of bin k; filling from behind moves it to the start */
    }
    for (uint32_t i = m; i-- > 0;) p->sorted[--p->start[p->bin_of[i]]] = samples[i];
    return 0;
}

static int give_bin(struct plan *p, uint32_t k, struct err *e)
{
    return give(p, p->sorted + p->start[k], p->start[k + 1] - p->start[k], e);
}

static uint32_t smaller(uint64_t a, uint64_t b) { return (uint32_t)(a < b ? a : b); }

/* batch and none: a step is the next global_batch samples of the order. */
static int epoch_by_step(struct plan *p, struct err *e)
{
    for (uint32_t at = 0, m; at < p->n && p->step < p->steps; at += m, p->step++) {
        m = smaller(p->n - at, p->o->global_batch);
        if (p->o->by == PACK_NOT) {
            for (uint32_t i = 0; i < m; i++)
                if (give(p, p->order + at + i, 1, e) < 0) return -1;
            continue;
        }
        if (pack(p, at, m, e) < 0) return -1;
        for (uint32_t k = 0; k < p->bins; k++)
            if (give_bin(p, k, e) < 0) return -1;
    }
    return 0;
}

/* dense: all samples are packed, and a step is the next global_batch bins in a shuffled order. */
static int epoch_by_bins(struct plan *p, struct err *e)
{
    for (uint32_t k = 0; k < p->bins; k++) p->rows[k] = k;
    if (!p->o->in_order) rng_permutation(p->o->seed, p->epoch | ROWS_EPOCH, p->rows, p->bins);
    for (uint32_t at = 0, m; at < p->bins && p->step < p->steps; at += m, p->step++) {
        m = smaller(p->bins - at, p->o->global_batch);
        for (uint32_t i = 0; i < m; i++)
            if (give_bin(p, p->rows[at + i], e) < 0) return -1;
    }
    return 0;
}

static int order_epoch(struct plan *p, struct err *e)
{
    for (uint32_t i = 0; i < p->n; i++) p->order[i] = i;
    if (!p->o->in_order) rng_permutation(p->o->seed, p->epoch, p->order, p->n);
    return p->o->by == PACK_BY_EPOCH ? pack(p, 0, p->n, e) : 0;
}

/* As in transformers: ceil(epochs * steps of an epoch), so that 0.5 epochs of 5 steps are 3. The
 * number of bins is that of any order, because best fit sees lengths only. */
static int count_steps(struct plan *p, struct err *e)
{
    uint64_t units = p->o->by == PACK_BY_EPOCH ? p->bins : p->n;
    uint64_t each = (units + p->o->global_batch - 1) / p->o->global_batch;
    double steps = ceil(p->o->epochs * (double)each * (1 - 1e-12)); /* 1.1 * 10 is 11 */
    if (!(steps >= 1) || steps > 9e15)
        return err_set(e, ERR_USAGE, "%g epochs of %" PRIu64 " steps", p->o->epochs, each);
    p->steps = (uint64_t)steps;
    return 0;
}

static int run(struct plan *p, struct err *e)
{
    if (order_epoch(p, e) < 0 || count_steps(p, e) < 0) return -1;
    for (;;) {
        int rc = p->o->by == PACK_BY_EPOCH ? epoch_by_bins(p, e) : epoch_by_step(p, e);
        if (rc < 0 || p->step == p->steps) return rc;
        p->epoch++;
        if (order_epoch(p, e) < 0) return -1;
    }
}

static int prepare(struct plan *p, struct err *e)
{
    size_t m = p->o->by == PACK_BY_EPOCH ? p->n : smaller(p->n, p->o->global_batch);
    if (!(p->order = mem_alloc(p->n, sizeof *p->order, e))) return -1;
    if (p->o->by == PACK_NOT) return 0;
    if (!(p->binner = binner_new(p->o->length, e)) ||
        !(p->length_of = mem_alloc(m, sizeof *p->length_of, e)) ||
        !(p->bin_of = mem_alloc(m, sizeof *p->bin_of, e)) ||
        !(p->sorted = mem_alloc(m, sizeof *p->sorted, e)) ||
        !(p->start = mem_alloc(m + 1, sizeof *p->start, e)))
        return -1;
    p->rows = p->length_of; /* lengths are not needed once the bins are made */
    return 0;
}

int pack_plan(const struct pack_options *o, const uint32_t *lengths, uint32_t n,
              int (*row)(void *arg, const struct pack_row *row, struct err *e), void *arg,
              struct err *e)
{
    struct plan p = {.o = o, .lengths = lengths, .n = n, .row = row, .arg = arg};
    if (n == 0 || o->global_batch == 0 || n == UINT32_MAX)
        return err_set(e, ERR_DATA, "a plan of %u samples, %u a step", (unsigned)n,
                       (unsigned)o->global_batch);
    int rc = prepare(&p, e);
    if (rc == 0) rc = run(&p, e);
    binner_free(p.binner);
    mem_free(p.order);
    mem_free(p.length_of);
    mem_free(p.bin_of);
    mem_free(p.sorted);
    mem_free(p.start);
    return rc;
}
