/* SPDX-License-Identifier: Apache-2.0 */
/* Micro-batches: as many whole rows of a step as fit, in order, real tokens only. */
#ifndef SFT_TRAIN_BATCH_H
#define SFT_TRAIN_BATCH_H

#include "model/stage.h"
#include "train/feed.h"

struct batch {
    struct micro_batch b;
    int64_t capacity;      /* tokens */
    const uint32_t *owner; /* [rows of the step] their ranks; NULL: all are this one's */
    uint32_t rank;
    void *own; /* the arrays' memory, if it was allocated */
};
/* Bytes of the arrays. */
size_t batch_bytes(int64_t capacity);
/* memory: batch_bytes(capacity), which must outlive b; NULL: it is allocated. */
int batch_init(struct batch *b, int64_t capacity, void *memory, struct err *e);
void batch_free(struct batch *b);
/* The micro-batches with tokens that b->rank's rows of s make; -1 where a row is longer than the
 * capacity. */
int batch_count(const struct batch *b, const struct feed_step *s, struct err *e);
/* Fills b with rows of s from `row` on, those that b->rank owns, and returns the row after them. */
size_t batch_take(struct batch *b, const struct feed_step *s, size_t row);
/* Of its documents, as model_flops wants it. */
double batch_squares(const struct batch *b, const struct model *m);

#endif
