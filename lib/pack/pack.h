/* SPDX-License-Identifier: Apache-2.0 */
/* Bin packing, and the composition of optimizer steps (docs/packing.md). */
#ifndef SFT_PACK_PACK_H
#define SFT_PACK_PACK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* ---- bins ---- */
/* Best-fit decreasing: takes the items by decreasing length (equal lengths in their order) and puts
 * each into the fullest bin with enough room. O(n log capacity). */
#define PACK_MAX_LENGTH ((uint32_t)1 << 24)
struct binner;
struct binner *binner_new(uint32_t capacity, struct err *e); /* 1 to PACK_MAX_LENGTH */
/* Sets bin_of[i], the bin of item i, for n items of 1 to capacity tokens, and *bins, the number of
 * bins. Bins are numbered in the order of their first items. 0, or -1 with ERR_MEMORY. */
int binner_run(struct binner *b, const uint32_t *lengths, uint32_t n, uint32_t *bin_of,
               uint32_t *bins, struct err *e);
void binner_free(struct binner *b);

/* ---- steps ---- */
enum pack_by { PACK_BY_STEP, PACK_BY_EPOCH, PACK_NOT };
struct pack_options {
    enum pack_by
        by; /* batch: best fit per step; dense: best fit per epoch; none: a sample per row */
    uint32_t length;       /* tokens per row */
    uint32_t global_batch; /* samples per step; dense: rows per step */
    double epochs;
    uint64_t seed;
    bool in_order; /* keeps the order of the input instead of a permutation for each epoch */
};
struct pack_row {
    uint64_t step, epoch;    /* from 0 */
    const uint32_t *samples; /* in the order of the epoch */
    uint32_t n;
};
/* Calls row for every row of the plan in training order, until it returns -1. The plan depends only
 * on the arguments, so that two calls, one to count and one to write, give the same rows.
 * lengths[n]: tokens of each sample, 1 to o->length; n >= 1. Returns 0 or -1. */
int pack_plan(const struct pack_options *o, const uint32_t *lengths, uint32_t n,
              int (*row)(void *arg, const struct pack_row *row, struct err *e), void *arg,
              struct err *e);

#endif
