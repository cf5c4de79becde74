/* SPDX-License-Identifier: Apache-2.0 */
/* Assigns a step's rows to ranks, so that all ranks compute about the same. */
#ifndef SFT_DATA_BALANCE_H
#define SFT_DATA_BALANCE_H

#include "data/feed.h"
#include "model/model.h"

struct balance {
    const struct model *model;
    uint32_t ranks;
    uint32_t *owner; /* [rows of the last step] NULL: rank 0 owns all */
    size_t owner_cap;
    double *load; /* [ranks] floating-point operations */
    struct balance_row {
        double cost;
        size_t row;
    } * order;
    size_t order_cap;
};
int balance_init(struct balance *d, const struct model *m, int ranks, struct err *e);
void balance_free(struct balance *d);
/* Heaviest rows first, each to the rank that has least so far: a function of the step alone, so
 * that every rank comes to the same. */
int balance_rows(struct balance *d, const struct feed_step *s, struct err *e);

#endif
