/* SPDX-License-Identifier: Apache-2.0 */
/* Copies rows into the arrays that a forward pass reads. */
#include "data/batch.h"

#include "base/hash.h"
#include "data/chunks.h"

/* Names a sample for dropout by its source, so that neither its row nor its rank matters. */
static int32_t name_of(const struct feed_sample *x)
{
    const uint64_t source[2] = {x->source.file, x->source.row};
    return (int32_t)(hash64(source, sizeof source, 0) & INT32_MAX);
}

/* Appends tokens [from, to) of a sample. The row of a token predicts the next one, which may be in
 * a chunk of another rank. */
static void put_tokens(struct micro_batch *b, const struct feed_step *s,
                       const struct feed_sample *x, int64_t from, int64_t to)
{
    const uint32_t *ids = s->ids + x->first;
    const float *weights = s->weights + x->first;
    const int32_t name = name_of(x);
    for (int64_t i = from; i < to; i++, b->T++) {
        b->ids[b->T] = (int32_t)ids[i];
        b->pos[b->T] = (int32_t)i;
        b->sample[b->T] = name;
        if (i + 1 == x->n || !(weights[i + 1] > 0)) continue;
        b->rows[b->targets] = (int32_t)b->T;
        b->target[b->targets] = (int32_t)ids[i + 1];
        b->weight[b->targets++] = weights[i + 1];
    }
}

static int64_t targets_of(const struct feed_step *s, const struct feed_sample *x)
{
    int64_t n = 0;
    for (uint32_t i = 1; i < x->n; i++) n += s->weights[x->first + i] > 0;
    return n;
}

/* Records where the tokens of a document of n tokens, which the micro-batch is about to get, lie in
 * the gathered blocks. */
static void put_places(struct micro_batch *b, const struct chunks *k, int64_t n)
{
    for (int rank = 0; rank < k->ranks; rank++) {
        int64_t row = rank * b->keys.each + chunks_tokens(k, rank);
        for (int second = 0; second < 2; second++) {
            const int c = second ? 2 * k->ranks - 1 - rank : rank;
            const int64_t end = chunks_begin(k, n, c + 1);
            for (int64_t i = chunks_begin(k, n, c); i < end; i++, row++) {
                b->keys.row[b->all + i] = (int32_t)row;
                b->keys.token[row] = (int32_t)(b->all + i);
            }
        }
    }
}

/* Appends the chunks of a sample that rank `at` has. */
static void put_chunks(struct micro_batch *b, const struct feed_step *s,
                       const struct feed_sample *x, struct chunks *k, int at)
{
    put_places(b, k, x->n);
    b->keys.cu[b->docs] = (int32_t)b->all;
    for (int second = 0; second < 2; second++) {
        const int c = second ? 2 * k->ranks - 1 - at : at, range = 2 * b->docs + second;
        const int64_t end = chunks_begin(k, x->n, c + 1);
        b->cu[range] = (int32_t)b->T;
        b->keys.end[range] = (int32_t)(b->all + end);
        put_tokens(b, s, x, chunks_begin(k, x->n, c), end);
    }
    chunks_add(k, x->n);
}

/* Appends a sample, or this rank's chunks of it. */
static void put_sample(struct micro_batch *b, const struct feed_step *s,
                       const struct feed_sample *x, struct chunks *k, int at)
{
    if (x->n == 0) return;
    if (k->ranks > 1) {
        put_chunks(b, s, x, k, at);
    } else {
        b->cu[b->docs] = (int32_t)b->T;
        put_tokens(b, s, x, 0, x->n);
    }
    b->docs++;
    b->all += x->n;
    b->all_targets += targets_of(s, x);
    if (x->n > b->max_len) b->max_len = x->n;
}

/* Starts a micro-batch of so many tokens. */
static void begin(struct micro_batch *b, const struct chunks *k, int64_t tokens)
{
    b->T = b->targets = b->all = b->all_targets = b->max_len = b->keys.each = 0;
    b->docs = 0;
    if (k->ranks <= 1) return;
    b->keys.each = (tokens + k->ranks - 1) / k->ranks;
    for (int64_t i = 0; i < k->ranks * b->keys.each; i++) b->keys.token[i] = (int32_t)tokens;
}

static void end(struct micro_batch *b, const struct chunks *k)
{
    b->cu[k->ranks > 1 ? 2 * b->docs : b->docs] = (int32_t)b->T;
    if (k->ranks > 1) b->keys.cu[b->docs] = (int32_t)b->all;
    micro_batch_sort(b);
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
    const size_t past = cut(b, s, row, &tokens);
    struct chunks k = {.ranks = b->ranks};
    begin(to, &k, tokens);
    for (; row < past; row++) {
        const struct feed_row *r = &s->rows[row];
        for (uint32_t i = 0; i < r->samples && owns(b, row); i++)
            put_sample(to, s, &s->samples[r->first + i], &k, b->at);
    }
    end(to, &k);
    return row;
}

size_t batch_skip(const struct batch *b, const struct feed_step *s, size_t row, int64_t *tokens)
{
    do row = cut(b, s, row, tokens);
    while (*tokens == 0 && row < s->nrows);
    if (b->ranks > 1) *tokens = (*tokens + b->ranks - 1) / b->ranks;
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
    const int32_t *cu = b->keys.each ? b->keys.cu : b->cu;
    double sum = 0;
    for (int32_t d = 0; d < b->docs; d++) sum += model_squares(m, (double)(cu[d + 1] - cu[d]));
    return sum;
}
