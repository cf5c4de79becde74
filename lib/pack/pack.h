/* SPDX-License-Identifier: Apache-2.0 */
/* Bin packing, and the composition of optimizer steps (docs/packing.md). */
#ifndef SFT_PACK_PACK_H
#define SFT_PACK_PACK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* ---- bins ---- */
/* Best-fit decreasing: items by falling length (equal lengths in their order), each into the
 * fullest bin that still takes it. O(n log capacity). */
#define PACK_MAX_LENGTH ((uint32_t)1 << 24)
struct binner;
struct binner *binner_new(uint32_t capacity, struct err *e); /* 1 to PACK_MAX_LENGTH */
/* bin_of[i] for n items of 1 to capacity tokens; *bins is their number. Bins are numbered by their
 * first item. */
int binner_run(struct binner *b, const uint32_t *lengths, uint32_t n, uint32_t *bin_of,
               uint32_t *bins, struct err *e);
void binner_free(struct binner *b);

/* ---- steps ---- */
enum pack_by { PACK_BY_STEP, PACK_BY_EPOCH, PACK_NOT };
struct pack_options {
    enum pack_by by; /* batch: best fit in each step; dense: in each epoch; none: a sample a row */
    uint32_t length; /* of a row, tokens */
    uint32_t global_batch; /* samples a step; dense: rows a step */
    double epochs;
    uint64_t seed;
    bool in_order; /* file order instead of a permutation for each epoch */
};
struct pack_row {
    uint64_t step, epoch;    /* from 0 */
    const uint32_t *samples; /* in the order of the epoch */
    uint32_t n;
};
/* Calls row for every row of the plan in training order, until it returns -1. The plan is a
 * function of the arguments alone, so it may be gone through twice: to count and to write. lengths:
 * of each of the n >= 1 samples, 1 to o->length. */
int pack_plan(const struct pack_options *o, const uint32_t *lengths, uint32_t n,
              int (*row)(void *arg, const struct pack_row *row, struct err *e), void *arg,
              struct err *e);

#endif
