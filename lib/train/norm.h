/* SPDX-License-Identifier: Apache-2.0 */
/* The sum of squares of a step's gradients. */
#ifndef SFT_TRAIN_NORM_H
#define SFT_TRAIN_NORM_H

#include "model/weights.h"
#include "parallel/zero.h"

/* op_sum adds up to NORM_GROUP squares in fp32 and the results in double, so its rounding depends
 * on the elements of each group. Here a group is NORM_GROUP adjacent elements of the canonical
 * order, counted from the begin of each range and of each of `ranks` equal parts of the order.
 * Buckets and owners of elements then change the norm only in the last bits of a double. A group
 * that is in several buckets or on several ranks is collected in `edges`. */
enum { NORM_GROUP = 512 };
struct norm {
    struct weights *weights;
    const struct zero *zero;
    size_t each; /* positions of one of the equal parts */
    void *sumsq; /* double, on the device */
    void *edges; /* [groups, NORM_GROUP] of the gradients' type; NULL: there are none */
    size_t groups;
};
/* Initialises n. weights and zero must outlive n. Returns the bytes of its largest collective. */
size_t norm_plan(struct norm *n, struct weights *w, const struct zero *z, struct plan *plan);
/* Computes *sumsq = the sum of the squares of the summed gradients of all ranks. Queues
 * collectives. */
void norm_sum(struct norm *n);

#endif
