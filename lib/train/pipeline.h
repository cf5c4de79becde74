/* SPDX-License-Identifier: Apache-2.0 */
/* A step's micro-batches through the stages of a model: this rank runs its stage's schedule, and
 * exchanges the residual stream and its gradient with the stages before and behind. With one stage
 * nothing is exchanged. */
#ifndef SFT_TRAIN_PIPELINE_H
#define SFT_TRAIN_PIPELINE_H

#include "data/batch.h"
#include "model/stage.h"
#include "parallel/mesh.h"
#include "train/span.h"

struct pipeline {
    struct stage *stage;
    const struct batch *batch; /* how a step is cut: the same on all ranks of MESH_MODEL */
    struct comm *pp;           /* the stages in their order; NULL: there is one */
    int at, stages;
};
/* The caller's hooks; may be NULL. */
struct pipeline_watch {
    struct spans *spans;
    double *forward, *backward;    /* seconds; see span.h */
    const struct layer_done *done; /* told of by the last backward pass; may be NULL */
    /* Each micro-batch, once. */
    void (*took)(void *arg, const struct micro_batch *b);
    void *arg;
};

void pipeline_init(struct pipeline *p, struct stage *s, const struct batch *b,
                   const struct mesh *m);
/* Queues forward and backward passes of micro_batches, the number that batch_count gives for s: the
 * gradients of scale * sum(w * NLL) are added up, and the last stage's loss. */
void pipeline_train(struct pipeline *p, const struct feed_step *s, int micro_batches, double scale,
                    const struct pipeline_watch *w);
/* Forward passes alone; the last stage adds up its loss. */
void pipeline_validate(struct pipeline *p, const struct feed_step *s, int micro_batches);
/* The bytes of the largest message between stages; 0: there is one stage. */
size_t pipeline_message(const struct pipeline *p);

#endif
