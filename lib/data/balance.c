/* SPDX-License-Identifier: Apache-2.0 */
/* The longest-processing-time rule: the largest load is at most 4/3 of the optimum. */
#include "data/balance.h"

#include <stdlib.h>

#include "base/mem.h"

int balance_init(struct balance *b, const struct model *m, int ranks, struct err *e)
{
    *b = (struct balance){.model = m, .ranks = (uint32_t)ranks};
    b->load = mem_alloc((size_t)ranks, sizeof *b->load, e);
    return b->load ? 0 : -1;
}

void balance_free(struct balance *b)
{
    mem_free(b->owner);
    mem_free(b->load);
    mem_free(b->order);
    *b = (struct balance){0};
}

static double cost(const struct balance *b, const struct feed_step *s, const struct feed_row *r)
{
    double targets = 0, squares = 0;
    for (uint32_t i = 0; i < r->samples; i++) {
        const struct feed_sample *x = &s->samples[r->first + i];
        squares += model_squares(b->model, (double)x->n);
        for (uint32_t t = 0; t < x->n; t++) targets += s->weights[x->first + t] > 0;
    }
    return model_flops(b->model, (double)r->tokens, targets, squares);
}

/* Falling cost; rows of equal cost in their order. */
static int by_cost(const void *x, const void *y)
{
    const struct balance_row *a = x, *b = y;
    if (a->cost < b->cost || a->cost > b->cost) return a->cost > b->cost ? -1 : 1;
    return a->row < b->row ? -1 : a->row > b->row;
}

int balance_rows(struct balance *b, const struct feed_step *s, struct err *e)
{
    if (b->ranks == 1) return 0;
    if (mem_grow(&b->owner, &b->owner_cap, s->nrows, sizeof *b->owner, e) ||
        mem_grow(&b->order, &b->order_cap, s->nrows, sizeof *b->order, e))
        return -1;
    for (size_t i = 0; i < s->nrows; i++)
        b->order[i] = (struct balance_row){cost(b, s, &s->rows[i]), i};
    if (s->nrows) qsort(b->order, s->nrows, sizeof *b->order, by_cost);
    for (uint32_t r = 0; r < b->ranks; r++) b->load[r] = 0;
    for (size_t i = 0; i < s->nrows; i++) {
        uint32_t to = 0;
        for (uint32_t r = 1; r < b->ranks; r++)
            if (b->load[r] < b->load[to]) to = r;
        b->load[to] += b->order[i].cost;
        b->owner[b->order[i].row] = to;
    }
    return 0;
}
