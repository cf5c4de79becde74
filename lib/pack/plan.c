/* SPDX-License-Identifier: Apache-2.0 */
/* Composes steps. Each epoch is an order of all samples, which is divided into steps (batch, none)
 * or packed into bins that are assigned to steps (dense). */
#include <inttypes.h>
#include <math.h>

#include "base/mem.h"
#include "base/rng.h"
#include "pack/pack.h"

/* Added to the epoch for the permutation of rows, so that it differs from that of the samples. */
#define ROWS_EPOCH ((uint64_t)1 << 63)

struct plan {
    const struct pack_options *o;
    const uint32_t *lengths;
    uint32_t n;
    int (*row)(void *arg, const struct pack_row *row, struct err *e);
    void *arg;
    uint64_t epoch, step, steps; /* steps: their number in the plan */
    uint32_t *order;             /* [n] the samples in the order of the epoch */
    struct binner *binner;
    /* The bins of the last packing of m items. Bin k has items sorted[start[k], start[k + 1]). */
    uint32_t *length_of, *bin_of, *sorted, *start, *rows;
    uint32_t bins;
};

static int emit_row(struct plan *p, const uint32_t *samples, uint32_t n, struct err *e)
{
    return p->row(p->arg, &(struct pack_row){p->step, p->epoch, samples, n}, e);
}

/* Packs m samples of the order from position `at`. Bins, and samples in a bin, keep the order. */
static int pack(struct plan *p, uint32_t at, uint32_t m, struct err *e)
{
    const uint32_t *samples = p->order + at;
    for (uint32_t i = 0; i < m; i++) p->length_of[i] = p->lengths[samples[i]];
    if (binner_run(p->binner, p->length_of, m, p->bin_of, &p->bins, e)) return -1;
    for (uint32_t k = 0; k <= p->bins; k++) p->start[k] = 0;
    for (uint32_t i = 0; i < m; i++) p->start[p->bin_of[i]]++;
    for (uint32_t k = 0, sum = 0; k <= p->bins; k++) {
        sum += p->start[k];
        p->start[k] = sum; /* the end of bin k; the loop below moves it to the start */
    }
    for (uint32_t i = m; i-- > 0;) p->sorted[--p->start[p->bin_of[i]]] = samples[i];
    return 0;
}

static int emit_bin(struct plan *p, uint32_t k, struct err *e)
{
    return emit_row(p, p->sorted + p->start[k], p->start[k + 1] - p->start[k], e);
}

static uint32_t smaller(uint64_t a, uint64_t b) { return (uint32_t)(a < b ? a : b); }

/* batch and none: a step is the next global_batch samples of the order. */
static int epoch_by_step(struct plan *p, struct err *e)
{
    for (uint32_t at = 0, m; at < p->n && p->step < p->steps; at += m, p->step++) {
        m = smaller(p->n - at, p->o->global_batch);
        if (p->o->by == PACK_NOT) {
            for (uint32_t i = 0; i < m; i++)
                if (emit_row(p, p->order + at + i, 1, e)) return -1;
            continue;
        }
        if (pack(p, at, m, e)) return -1;
        for (uint32_t k = 0; k < p->bins; k++)
            if (emit_bin(p, k, e)) return -1;
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
            if (emit_bin(p, p->rows[at + i], e)) return -1;
    }
    return 0;
}

static int order_epoch(struct plan *p, struct err *e)
{
    for (uint32_t i = 0; i < p->n; i++) p->order[i] = i;
    if (!p->o->in_order) rng_permutation(p->o->seed, p->epoch, p->order, p->n);
    return p->o->by == PACK_BY_EPOCH ? pack(p, 0, p->n, e) : 0;
}

/* Computes the number of steps as transformers does: ceil(epochs * steps per epoch), so that 0.5
 * epochs of 5 steps are 3 steps. Every epoch has the same number of bins, because best fit depends
 * only on the lengths. */
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
    if (order_epoch(p, e) || count_steps(p, e)) return -1;
    for (;;) {
        int rc = p->o->by == PACK_BY_EPOCH ? epoch_by_bins(p, e) : epoch_by_step(p, e);
        if (rc || p->step == p->steps) return rc;
        p->epoch++;
        if (order_epoch(p, e)) return -1;
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
    p->rows = p->length_of; /* reuses the memory: the lengths are not needed after packing */
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
