/* SPDX-License-Identifier: Apache-2.0 */
/* The sum of squares of a step's gradients. */
#ifndef SFT_TRAIN_NORM_H
#define SFT_TRAIN_NORM_H

#include "model/weights.h"
#include "parallel/zero.h"

/* op_sum adds up to NORM_GROUP squares in fp32 and the results in double, so its rounding depends
 * on the elements of each group. Here a group is NORM_GROUP adjacent elements of the canonical
 * order, counted from the begin of each range, and each bucket has a sum of its own: the head's is
 * the last of them. These sums are added in the order of the layers. So the norm's bits depend
 * neither on the owners of elements within the group of data-parallel ranks nor on the stages of a
 * pipeline. A group that is on several ranks is collected in `edges`. Where ranks share out the
 * experts, a group ends with a rank's share. */
enum { NORM_GROUP = 512 };
struct norm {
    struct weights *weights;
    const struct zero *zero;
    double *sums;  /* [buckets] on the device: squares of the layers, see norm_buckets */
    double *total; /* [buckets] on the host */
    double *sumsq; /* on the device: the sum of all */
    void *edges;   /* [groups, NORM_GROUP] of the gradients' type; NULL: there are none */
    size_t groups; /* of the buckets of all data-parallel ranks, then of those of experts, which the
                    * ranks with the same experts have */
    size_t experts; /* the number of the latter */
};
/* Returns the number of buckets of the whole model: the embedding, the layers, and the head. */
size_t norm_buckets(const struct norm *n);
/* Initialises n. weights and zero must outlive n. Returns the bytes of its largest collective, and
 * in *experts of the largest one among the ranks with the same experts. */
size_t norm_plan(struct norm *n, struct weights *w, const struct zero *z, struct plan *plan,
                 size_t *experts);
/* Computes the sums of this rank's buckets, of the summed gradients of all data-parallel ranks.
 * Queues collectives. */
void norm_sum(struct norm *n);
/* Adds up the sums, after those of all ranks of the model are added to them, on the device and in
 * *sumsq. Waits for the device. */
int norm_total(struct norm *n, double *sumsq, struct err *e);

#endif
