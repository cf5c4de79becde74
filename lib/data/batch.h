/* SPDX-License-Identifier: Apache-2.0 */
/* Cuts a step into micro-batches: each has as many whole rows as fit, in order, without padding.
 * The ranks that share a micro-batch (context parallelism) take their chunks of it. */
#ifndef SFT_DATA_BATCH_H
#define SFT_DATA_BATCH_H

#include "data/step.h"
#include "model/micro_batch.h"
#include "model/model.h"

struct batch {
    int64_t capacity;      /* tokens, of all ranks that share a micro-batch */
    int ranks, at;         /* how many share one, and this rank's index; 0: one rank */
    const uint32_t *owner; /* [rows of the step] their ranks; NULL: all are this one's */
    uint32_t rank;
};
/* Returns the most tokens of a micro-batch that a rank has. */
static inline int64_t batch_tokens(const struct batch *b)
{
    return b->ranks > 1 ? (b->capacity - 1) / b->ranks + 1 : b->capacity;
}
/* Returns how many micro-batches with tokens the rows of b->rank make; -1 when a row is longer than
 * the capacity. */
int batch_count(const struct batch *b, const struct feed_step *s, struct err *e);
/* Fills `to`, which has room for batch_tokens, with the rows of b->rank from `row` on, and returns
 * the row after them. */
size_t batch_take(const struct batch *b, const struct feed_step *s, size_t row,
                  struct micro_batch *to);
/* Passes over the next micro-batch with tokens of b->rank from `row` on, and returns the row after
 * it. *tokens: the most that a rank that shares it has; 0: there is none. */
size_t batch_skip(const struct batch *b, const struct feed_step *s, size_t row, int64_t *tokens);
/* Returns the sum of model_squares over the documents, for model_flops. */
double batch_squares(const struct micro_batch *b, const struct model *m);

#endif
