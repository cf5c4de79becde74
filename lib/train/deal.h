/* SPDX-License-Identifier: Apache-2.0 */
/* Dealing a step's rows to ranks, so that all have about the same to compute. */
#ifndef SFT_TRAIN_DEAL_H
#define SFT_TRAIN_DEAL_H

#include "model/model.h"
#include "train/feed.h"

struct deal {
    const struct model *model;
    uint32_t ranks;
    uint32_t *owner; /* [rows] of the step dealt last; NULL: all are rank 0's */
    size_t owner_cap;
    double *load; /* [ranks] floating-point operations */
    struct deal_row {
        double cost;
        size_t row;
    } * order;
    size_t order_cap;
};
int deal_init(struct deal *d, const struct model *m, int ranks, struct err *e);
void deal_free(struct deal *d);
/* Heaviest rows first, each to the rank that has least so far: a function of the step alone, so
 * that every rank comes to the same. */
int deal_rows(struct deal *d, const struct feed_step *s, struct err *e);

#endif
