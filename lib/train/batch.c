/* SPDX-License-Identifier: Apache-2.0 */
/* Rows to the arrays that a forward pass reads. */
#include "train/batch.h"

#include "base/hash.h"
#include "base/mem.h"

int batch_init(struct batch *b, int64_t capacity, struct err *e)
{
    const size_t n = (size_t)capacity;
    *b = (struct batch){.capacity = capacity};
    b->b.ids = mem_alloc(n, sizeof *b->b.ids, e);
    b->b.pos = mem_alloc(n, sizeof *b->b.pos, e);
    b->b.sample = mem_alloc(n, sizeof *b->b.sample, e);
    b->b.cu = mem_alloc(n + 1, sizeof *b->b.cu, e);
    b->b.rows = mem_alloc(n, sizeof *b->b.rows, e);
    b->b.target = mem_alloc(n, sizeof *b->b.target, e);
    b->b.weight = mem_alloc(n, sizeof *b->b.weight, e);
    if (b->b.ids && b->b.pos && b->b.sample && b->b.cu && b->b.rows && b->b.target && b->b.weight)
        return 0;
    batch_free(b);
    return -1;
}

void batch_free(struct batch *b)
{
    mem_free(b->b.ids);
    mem_free(b->b.pos);
    mem_free(b->b.sample);
    mem_free(b->b.cu);
    mem_free(b->b.rows);
    mem_free(b->b.target);
    mem_free(b->b.weight);
    *b = (struct batch){0};
}

/* A sample's name for dropout: where it came from, whatever row and rank it is in now. */
static int32_t name_of(const struct feed_sample *x)
{
    const uint64_t source[2] = {x->source.file, x->source.row};
    return (int32_t)(hash64(source, sizeof source, 0) & INT32_MAX);
}

/* Row t - 1 predicts token t. */
static void put_sample(struct net_batch *b, const struct feed_step *s, const struct feed_sample *x)
{
    if (x->n == 0) return;
    const int32_t name = name_of(x);
    b->cu[b->docs++] = (int32_t)b->T;
    for (uint32_t i = 0; i < x->n; i++, b->T++) {
        float w = s->weights[x->first + i];
        b->ids[b->T] = (int32_t)s->ids[x->first + i];
        b->pos[b->T] = (int32_t)i;
        b->sample[b->T] = name;
        if (i == 0 || !(w > 0)) continue;
        b->rows[b->targets] = (int32_t)b->T - 1;
        b->target[b->targets] = b->ids[b->T];
        b->weight[b->targets++] = w;
    }
    if (x->n > b->max_len) b->max_len = x->n;
}

size_t batch_take(struct batch *b, const struct feed_step *s, size_t row)
{
    struct net_batch *n = &b->b;
    n->T = n->targets = n->max_len = 0;
    n->docs = 0;
    for (; row < s->nrows; row++) {
        const struct feed_row *r = &s->rows[row];
        if (b->owner && b->owner[row] != b->rank) continue;
        if (n->T + (int64_t)r->tokens > b->capacity) break;
        for (uint32_t i = 0; i < r->samples; i++) put_sample(n, s, &s->samples[r->first + i]);
    }
    n->cu[n->docs] = (int32_t)n->T;
    return row;
}

double batch_squares(const struct batch *b, const struct model *m)
{
    double sum = 0;
    for (int32_t d = 0; d < b->b.docs; d++)
        sum += model_squares(m, (double)(b->b.cu[d + 1] - b->b.cu[d]));
    return sum;
}
