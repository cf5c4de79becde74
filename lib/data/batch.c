/* SPDX-License-Identifier: Apache-2.0 */
/* Copies rows into the arrays that a forward pass reads. */
#include "data/batch.h"

#include "base/hash.h"

/* Names a sample for dropout by its source, so that neither its row nor its rank matters. */
static int32_t name_of(const struct feed_sample *x)
{
    const uint64_t source[2] = {x->source.file, x->source.row};
    return (int32_t)(hash64(source, sizeof source, 0) & INT32_MAX);
}

/* Appends a sample. Row t - 1 predicts token t. */
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

/* Returns the row after those that a micro-batch from `row` on takes, and *tokens of them. */
static size_t cut(const struct batch *b, const struct feed_step *s, size_t row, int64_t *tokens)
{
    for (*tokens = 0; row < s->nrows; row++) {
        if (!owns(b, row)) continue;
        if (*tokens + (int64_t)s->rows[row].tokens > b->capacity) break;
        *tokens += (int64_t)s->rows[row].tokens;
    }
    return row;
}

size_t batch_take(const struct batch *b, const struct feed_step *s, size_t row,
                  struct micro_batch *to)
{
    int64_t tokens;
    const size_t end = cut(b, s, row, &tokens);
    to->T = to->targets = to->max_len = 0;
    to->docs = 0;
    for (; row < end; row++) {
        const struct feed_row *r = &s->rows[row];
        for (uint32_t i = 0; i < r->samples && owns(b, row); i++)
            put_sample(to, s, &s->samples[r->first + i]);
    }
    to->cu[to->docs] = (int32_t)to->T;
    micro_batch_sort(to);
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

double batch_squares(const struct micro_batch *b, const struct model *m)
{
    double sum = 0;
    for (int32_t d = 0; d < b->docs; d++)
        sum += model_squares(m, (double)(b->cu[d + 1] - b->cu[d]));
    return sum;
}
