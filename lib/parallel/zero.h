/* SPDX-License-Identifier: Apache-2.0 */
/* Data parallelism over a flat allocation of trained elements: which rank sums and updates which
 * part. ZeRO-0: every rank has all gradients and updates everything. ZeRO-1 (sharded): a rank has
 * the summed gradients and the optimizer's state of its own part alone, updates that, and gathers
 * the weights. Both sum in rank order and take the norm by parts, so their results are equal bits.
 */
#ifndef SFT_PARALLEL_ZERO_H
#define SFT_PARALLEL_ZERO_H

#include "model/plan.h"
#include "parallel/mesh.h"

/* Parts are equal when the elements are a multiple of this for each rank. */
enum { ZERO_ALIGN = 64 };

struct zero {
    struct comm *dp;
    bool sharded;
    size_t total;      /* elements, a multiple of ZERO_ALIGN times the ranks */
    size_t begin, end; /* this rank's part */
    size_t held, past; /* elements [held, past) whose state this rank has: its part, or all */
};
void zero_init(struct zero *z, const struct mesh *m, size_t total, bool sharded);
/* Declares the host memory that sums and gathers of elements of type t go through; nothing for one
 * rank. */
void zero_plan(struct zero *z, struct plan *p, enum dtype t);

/* These queue collectives behind the device's work, and the device's further work behind them.
 * Their failures are kept for mesh_finish. */
/* gradients[total]: the ranks' sum in the rank's part; in the others too unless sharded. */
void zero_reduce(const struct zero *z, void *gradients, enum dtype t);
/* *x (double, on the device) becomes the sum of the ranks'. */
void zero_sum(const struct zero *z, double *x);
/* weights[total]: every part as the rank that updated it has it. */
void zero_gather(const struct zero *z, void *weights, enum dtype t);

/* The common part of [begin, end) and [from, to); empty: *begin = *end. */
void zero_clip(size_t *begin, size_t *end, size_t from, size_t to);

#endif
