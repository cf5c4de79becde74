/* SPDX-License-Identifier: Apache-2.0 */
/* Data parallelism over the buckets of the trained elements: it decides which rank sums and updates
 * which part. Every bucket is cut in equal parts, one per rank. Stage 0: each rank has all
 * gradients and updates everything. Stage 1: a rank has the summed gradients and the optimizer's
 * state of its own parts only, updates these, and gathers the weights. Stage 2: it also has no more
 * of the gradients, which are summed over the ranks after each micro-batch. Stage 3: nor of the
 * weights. The passes of stages 2 and 3 do this themselves, see model/parts.c. All sum in rank
 * order and compute the norm by parts, so stages 0 and 1 have equal bits, stages 2 and 3 have, and
 * all have where no rank has more than one micro-batch a step: the first two add up a rank's
 * micro-batches before they add up ranks, for one exchange a step. With ranks_first these, too, add
 * up ranks in each micro-batch, as stage 2 does it, and all have equal bits: stage 1 has no more of
 * the gradients than stage 2, and stage 0 gathers the sums at the end of the step. Hybrid (stages 2
 * and 3): groups of ranks share one copy of what is in parts, and the sums of their parts are added
 * up over the groups. The parts of a bucket of experts are those of the ranks of such a group that
 * have the same ones. */
#ifndef SFT_PARALLEL_ZERO_H
#define SFT_PARALLEL_ZERO_H

#include "model/plan.h"
#include "model/weights.h"
#include "parallel/mesh.h"

/* The parts are equal if the elements of a bucket are a multiple of this for each rank. */
enum { ZERO_ALIGN = 64 };

struct zero {
    struct comm *dp;
    struct comm *shard, *replicate; /* hybrid: parts of dp; else dp, and this rank alone */
    struct comm *experts; /* the ranks of dp with this rank's experts, which sum their buckets
                           * in stages 0 and 1 */
    struct comm *eshard;  /* those of them in `shard`, which sum their buckets from stage 2
                           * on, and gather them */
    int ranks, at;        /* number of data-parallel ranks; this rank's part, of as many as
                           * there are ranks, which lies in its part of `parts` */
    int experts_at;       /* the same for buckets of experts, see zero_at */
    int parts, part;      /* this rank's state is part `part` of `parts` of every bucket */
    int stage;            /* 0 to 3; 0 for one rank */
    bool ranks_first;     /* gradients are summed over the ranks in each micro-batch, and
                           * then over micro-batches; false for one rank */
    const struct params *params; /* with params_options.multiple = ZERO_ALIGN * ranks */
};
/* Initialises z. params, made for the mesh, must outlive z. ranks_first: also in stages 0 and 1.
 */
void zero_init(struct zero *z, const struct mesh *m, const struct params *params, int stage,
               bool ranks_first);
/* Returns what of the weights is in parts, and on which ranks. */
struct weights_parts zero_parts(const struct mesh *m, int stage, bool ranks_first);
/* Declares the staging of the groups' collectives: sums and gathers of elements of type t, and
 * others of up to this many bytes, also among the ranks with the same experts. Does nothing for one
 * rank. */
void zero_plan(const struct zero *z, const struct mesh *m, struct plan *p, enum dtype t,
               size_t others, size_t experts);
/* Returns the number of the part of a bucket that this rank has, of as many parts as there are
 * data-parallel ranks; see params_part. */
int zero_at(const struct zero *z, size_t bucket);
/* Returns this rank's part of a bucket, whose summed gradients it has in both modes. */
struct params_part zero_part(const struct zero *z, size_t bucket);
/* Returns the elements of a bucket that this rank updates: its part, or all of them. */
struct params_part zero_held(const struct zero *z, size_t bucket);
/* Returns the number of elements whose optimizer state this rank has. */
size_t zero_count(const struct zero *z);

/* ---- collectives: queued; mesh_finish reports failures ---- */
/* The reduction of a step's gradients[params.trained] of type t in stages 0 and 1, unless
 * ranks_first: it sums all elements over the ranks, or this rank's parts. Buckets are queued from
 * the last to the first. zero_layer_done queues a bucket as soon as its gradients are complete, so
 * the reduction overlaps the rest of the backward pass; zero_reduce_rest queues the others. All
 * ranks queue the same collectives in the same order, and the time of queuing does not change the
 * result. */
struct zero_reduction {
    const struct zero *z;
    void *gradients;
    enum dtype t;
    size_t left; /* buckets that are not queued yet */
};
struct zero_reduction zero_reduce(const struct zero *z, void *gradients, enum dtype t);
/* Queues the buckets of this layer and of later layers, whose gradients are complete; for struct
 * layer_done. */
void zero_layer_done(void *reduction, int layer);
/* Queues the remaining buckets, after all gradients are complete. Later work on the device waits
 * for all sums. */
void zero_reduce_rest(struct zero_reduction *r);
/* Completes the sums of a step that the passes have made in parts: over the groups of hybrid
 * sharding, or, in stage 0, from the rank that has each part. */
void zero_end_sums(const struct zero *z, const struct weights *w);
/* Sums *x, a double on the device, over the ranks. */
void zero_sum(const struct zero *z, double *x);
/* Gathers weights[params.trained] of type t after an update in stages 1 and 2: each part from the
 * rank that updated it. */
void zero_gather(const struct zero *z, void *weights, enum dtype t);

#endif
