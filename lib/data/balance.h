/* SPDX-License-Identifier: Apache-2.0 */
/* Assigns a step's rows to ranks, so that all compute about equally long. */
#ifndef SFT_DATA_BALANCE_H
#define SFT_DATA_BALANCE_H

#include "data/step.h"
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
int balance_init(struct balance *b, const struct model *m, int ranks, struct err *e);
void balance_free(struct balance *b);
/* Assigns the rows in falling order of cost, each to the rank with the least so far. The result
 * depends on the step alone, so it is the same on every rank. */
int balance_rows(struct balance *b, const struct feed_step *s, struct err *e);

#endif
