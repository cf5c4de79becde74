/* SPDX-License-Identifier: Apache-2.0 */
/* The longest-processing-time rule: the largest load is at most 4/3 of the optimum. */
#include "data/balance.h"

#include <stdlib.h>

#include "base/mem.h"

int balance_init(struct balance *d, const struct model *m, int ranks, struct err *e)
{
    *d = (struct balance){.model = m, .ranks = (uint32_t)ranks};
    d->load = mem_alloc((size_t)ranks, sizeof *d->load, e);
    return d->load ? 0 : -1;
}

void balance_free(struct balance *d)
{
    mem_free(d->owner);
    mem_free(d->load);
    mem_free(d->order);
    *d = (struct balance){0};
}

static double cost(const struct balance *d, const struct feed_step *s, const struct feed_row *r)
{
    double targets = 0, squares = 0;
    for (uint32_t i = 0; i < r->samples; i++) {
        const struct feed_sample *x = &s->samples[r->first + i];
        squares += model_squares(d->model, (double)x->n);
        for (uint32_t t = 0; t < x->n; t++) targets += s->weights[x->first + t] > 0;
    }
    return model_flops(d->model, (double)r->tokens, targets, squares);
}

/* Falling cost; rows of equal cost in their order. */
static int by_cost(const void *x, const void *y)
{
    const struct balance_row *a = x, *b = y;
    if (a->cost < b->cost || a->cost > b->cost) return a->cost > b->cost ? -1 : 1;
    return a->row < b->row ? -1 : a->row > b->row;
}

int balance_rows(struct balance *d, const struct feed_step *s, struct err *e)
{
    if (d->ranks == 1) return 0;
    if (mem_grow(&d->owner, &d->owner_cap, s->nrows, sizeof *d->owner, e) ||
        mem_grow(&d->order, &d->order_cap, s->nrows, sizeof *d->order, e))
        return -1;
    for (size_t i = 0; i < s->nrows; i++)
        d->order[i] = (struct balance_row){cost(d, s, &s->rows[i]), i};
    if (s->nrows) qsort(d->order, s->nrows, sizeof *d->order, by_cost);
    for (uint32_t r = 0; r < d->ranks; r++) d->load[r] = 0;
    for (size_t i = 0; i < s->nrows; i++) {
        uint32_t to = 0;
        for (uint32_t r = 1; r < d->ranks; r++)
            if (d->load[r] < d->load[to]) to = r;
        d->load[to] += d->order[i].cost;
        d->owner[d->order[i].row] = to;
    }
    return 0;
}
