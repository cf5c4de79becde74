/* SPDX-License-Identifier: Apache-2.0 */
/* Data parallelism over the buckets of the trained elements: which rank sums and updates which
 * part. Every bucket is cut in equal parts, one a rank. ZeRO-0: each rank has all gradients and
 * updates everything. ZeRO-1 (sharded): a rank has the summed gradients and the optimizer's state
 * of its own parts alone, updates those, and gathers the weights. Both sum in rank order and take
 * the norm by parts, so their results are equal bits. */
#ifndef SFT_PARALLEL_ZERO_H
#define SFT_PARALLEL_ZERO_H

#include "model/plan.h"
#include "parallel/mesh.h"

/* Parts are equal when the elements of a bucket are a multiple of this for each rank. */
enum { ZERO_ALIGN = 64 };

struct zero {
    struct comm *dp;
    int ranks, at;               /* data-parallel ranks, and this one among them */
    int parts, part;             /* the state here is part `part` of `parts` of every bucket */
    bool sharded;                /* parts is ranks, not 1 */
    const struct params *params; /* with params_options.multiple = ZERO_ALIGN * ranks */
};
/* params must outlive z. */
void zero_init(struct zero *z, const struct mesh *m, const struct params *params, bool sharded);
/* Declares the host memory that the group's collectives go through: sums and gathers of elements of
 * type t, and others of up to so many bytes. Nothing for one rank. */
void zero_plan(struct zero *z, struct plan *p, enum dtype t, size_t others);
/* This rank's part of a bucket, whose summed gradients it has in either mode. */
struct params_part zero_part(const struct zero *z, size_t bucket);
/* The elements of a bucket that this rank updates: its part, or all of them. */
struct params_part zero_held(const struct zero *z, size_t bucket);
/* The number of elements that this rank has the optimizer's state of. */
size_t zero_count(const struct zero *z);

/* ---- collectives: queued; failures are kept for mesh_finish ---- */
/* The reduction of a step's gradients[params.trained] of type t: afterwards this rank's parts are
 * the ranks' sums, and unless sharded all elements are. Buckets are queued from the last to the
 * first. zero_layer_done queues a bucket as soon as its gradients are complete, so that it is
 * reduced beside the rest of backward; zero_reduce_rest queues the others. All ranks queue the same
 * collectives in the same order, and no bit of a result depends on when they do. */
struct zero_reduction {
    const struct zero *z;
    void *gradients;
    enum dtype t;
    size_t left; /* buckets that are not queued yet */
};
struct zero_reduction zero_reduce(const struct zero *z, void *gradients, enum dtype t);
/* For struct layer_done: the gradients of this layer and of the later ones are complete. */
void zero_layer_done(void *reduction, int layer);
/* Queues the buckets that are left, when all gradients are complete. The work that the device is
 * given afterwards waits for all sums. */
void zero_reduce_rest(struct zero_reduction *r);
/* Sums *x, a double on the device, over the ranks. */
void zero_sum(const struct zero *z, double *x);
/* Gathers weights[params.trained] of type t: each part from the rank that updated it. */
void zero_gather(const struct zero *z, void *weights, enum dtype t);

#endif
