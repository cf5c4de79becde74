/* SPDX-License-Identifier: Apache-2.0 */
/* Micro-batches: as many whole rows of a step as fit, in order, real tokens only. */
#ifndef SFT_DATA_BATCH_H
#define SFT_DATA_BATCH_H

#include "data/feed.h"
#include "model/micro_batch.h"
#include "model/model.h"

/* How a step is cut. */
struct batch {
    int64_t capacity;      /* tokens */
    const uint32_t *owner; /* [rows of the step] their ranks; NULL: all are this one's */
    uint32_t rank;
};
/* The micro-batches with tokens that b->rank's rows of s make; -1 where a row is longer than the
 * capacity. */
int batch_count(const struct batch *b, const struct feed_step *s, struct err *e);
/* Fills `to`, which has room for the capacity, with rows of s from `row` on, those that b->rank
 * owns, and returns the row after them. */
size_t batch_take(const struct batch *b, const struct feed_step *s, size_t row,
                  struct micro_batch *to);
/* The sum over its documents, as model_flops wants it. */
double batch_squares(const struct micro_batch *b, const struct model *m);

#endif
