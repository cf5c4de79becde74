/* SPDX-License-Identifier: Apache-2.0 */
/* The pipeline of a step's micro-batches through the stages of a model: this rank runs its stage's
 * schedule, and exchanges the residual stream and its gradient with the previous and next stage.
 * With one stage nothing is exchanged. */
#ifndef SFT_TRAIN_PIPELINE_H
#define SFT_TRAIN_PIPELINE_H

#include "data/batch.h"
#include "model/schedule.h"
#include "model/stage.h"
#include "parallel/mesh.h"
#include "train/span.h"

struct pipeline {
    struct stage *stage;
    const struct batch *batch; /* the partition of a step, the same on all ranks of MESH_MODEL */
    struct comm *pp;           /* the stages in order; NULL: there is one */
    int at, stages, chunks;
    struct schedule_place *place; /* [stages] */
    size_t *row;      /* [chunks] the row of the step at which a chunk's next micro-batch begins */
    int first, peers; /* with the micro-batches of the data-parallel ranks [first, first + peers)
                       * ranks share out the experts; peers 0: this rank has all */
    size_t *peer;     /* [chunks, peers] the same rows of each of them */
};
/* The caller's hooks; may be NULL. */
struct pipeline_watch {
    struct spans *spans;
    double *forward, *backward;    /* seconds; see span.h */
    const struct layer_done *done; /* the last backward pass calls it; may be NULL */
    /* Called once for each micro-batch. */
    void (*took)(void *arg, const struct micro_batch *b);
    void *arg;
};

void pipeline_init(struct pipeline *p, struct stage *s, const struct batch *b,
                   const struct mesh *m);
/* Declares memory on the host. */
void pipeline_plan(struct pipeline *p, struct plan *plan);
/* Queues forward and backward passes of micro_batches, the number that batch_count returns for s.
 * Adds up the gradients of scale * sum(w * NLL), and the last stage's loss. */
void pipeline_train(struct pipeline *p, const struct feed_step *s, int micro_batches, double scale,
                    const struct pipeline_watch *w);
/* Runs forward passes only; the last stage adds up its loss. */
void pipeline_validate(struct pipeline *p, const struct feed_step *s, int micro_batches);
/* Returns the bytes of the largest message between stages; 0: there is one stage. */
size_t pipeline_message(const struct pipeline *p);

#endif
