/* SPDX-License-Identifier: Apache-2.0 */
/* Rows to the arrays that a forward pass reads. */
#include "train/batch.h"

#include "base/hash.h"
#include "base/mem.h"

enum { ARRAYS = 7, ITEM = 4, ALIGN = 64 }; /* of int32_t and float */

/* One more: cu has the end too. */
static size_t array_bytes(int64_t capacity)
{
    return ((size_t)capacity + 1 + ALIGN / ITEM - 1) / (ALIGN / ITEM) * ALIGN;
}

size_t batch_bytes(int64_t capacity) { return ARRAYS * array_bytes(capacity); }

int batch_init(struct batch *b, int64_t capacity, void *memory, struct err *e)
{
    const size_t each = array_bytes(capacity);
    *b = (struct batch){.capacity = capacity};
    char *at = memory ? memory : (b->own = mem_alloc(ARRAYS, each, e));
    if (!at) return -1;
    b->b.ids = (void *)at;
    b->b.pos = (void *)(at + each);
    b->b.sample = (void *)(at + 2 * each);
    b->b.cu = (void *)(at + 3 * each);
    b->b.rows = (void *)(at + 4 * each);
    b->b.target = (void *)(at + 5 * each);
    b->b.weight = (void *)(at + 6 * each);
    return 0;
}

void batch_free(struct batch *b)
{
    mem_free(b->own);
    *b = (struct batch){0};
}

/* A sample's name for dropout: where it came from, whatever row and rank it is in now. */
static int32_t name_of(const struct feed_sample *x)
{
    const uint64_t source[2] = {x->source.file, x->source.row};
    return (int32_t)(hash64(source, sizeof source, 0) & INT32_MAX);
}

/* Row t - 1 predicts token t. */
static void put_sample(struct micro_batch *b, const struct feed_step *s,
                       const struct feed_sample *x)
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

static bool owns(const struct batch *b, size_t row)
{
    return !b->owner || b->owner[row] == b->rank;
}

/* The row behind those that a micro-batch from `row` on takes, and their tokens. */
static size_t cut(const struct batch *b, const struct feed_step *s, size_t row, int64_t *tokens)
{
    for (*tokens = 0; row < s->nrows; row++) {
        if (!owns(b, row)) continue;
        if (*tokens + (int64_t)s->rows[row].tokens > b->capacity) break;
        *tokens += (int64_t)s->rows[row].tokens;
    }
    return row;
}

size_t batch_take(struct batch *b, const struct feed_step *s, size_t row)
{
    struct micro_batch *n = &b->b;
    int64_t tokens;
    const size_t end = cut(b, s, row, &tokens);
    n->T = n->targets = n->max_len = 0;
    n->docs = 0;
    for (; row < end; row++) {
        const struct feed_row *r = &s->rows[row];
        for (uint32_t i = 0; i < r->samples && owns(b, row); i++)
            put_sample(n, s, &s->samples[r->first + i]);
    }
    n->cu[n->docs] = (int32_t)n->T;
    return row;
}

int batch_count(const struct batch *b, const struct feed_step *s, struct err *e)
{
    int n = 0;
    int64_t tokens;
    for (size_t row = 0, next; row < s->nrows; row = next) {
        next = cut(b, s, row, &tokens);
        if (next == row) return err_set(e, ERR_INTERNAL, "a row does not fit the micro-batch");
        n += tokens > 0;
    }
    return n;
}

double batch_squares(const struct batch *b, const struct model *m)
{
    double sum = 0;
    for (int32_t d = 0; d < b->b.docs; d++)
        sum += model_squares(m, (double)(b->b.cu[d + 1] - b->b.cu[d]));
    return sum;
}
