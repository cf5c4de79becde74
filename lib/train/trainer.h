/* SPDX-License-Identifier: Apache-2.0 */
/* The trainer: model, optimizer state and memory of one rank; one optimizer step; validation. */
#ifndef SFT_TRAIN_TRAINER_H
#define SFT_TRAIN_TRAINER_H

#include "data/balance.h"
#include "data/batch.h"
#include "data/rooms.h"
#include "model/stage.h"
#include "parallel/mesh.h"
#include "save/layout.h"
#include "train/guard.h"
#include "train/optimizer.h"
#include "train/pipeline.h"
#include "train/span.h"

struct trainer_options {
    enum dtype compute;
    enum dtype logits;   /* DT_BF16 (only with compute type bf16), or the accumulation type */
    enum dtype gradient; /* of the trained weights: DT_BF16, or the accumulation type */
    enum recompute recompute;
    int64_t tokens;               /* most tokens of a micro-batch */
    int64_t length;               /* longest document */
    struct params_options params; /* frozen and adapted parameters; the trainer sets `multiple` */
    int zero_stage;               /* 0 to 3: what data-parallel ranks have in parts */
    bool ranks_first;             /* see struct zero; so always from stage 2 on */
    bool shard_rows;              /* sequence parallelism beside tensor parallelism */
    struct optimizer_options optimizer;
    struct guard_options guard;
    /* memory of the streams; training.rows 0: no stream is read, and trainer_seal does nothing */
    struct feed_rooms rooms;
    size_t staging;         /* most bytes of staging memory for checkpoints; 0: none is saved */
    enum dtype saved_dtype; /* of the weights in them: DT_BF16 or DT_F32 */
    struct stage_options answers; /* of trainer_answers; cache 0: none are made */
    size_t answering;             /* bytes that the caller allocates while they are made */
};
struct trainer {
    struct memory memory; /* of all buffers, those of the optimizer and the host included */
    struct weights weights;
    struct stage stage;
    struct weights forward; /* the same without gradients, for `answers` */
    struct stage answers;
    struct trainer_options o;
    struct mesh *mesh;
    struct batch batch;
    struct balance balance;
    struct pipeline pipeline;
    struct params whole; /* of the model, where this rank has a part of it: trainer_params */
    struct optimizer optimizer;
    struct guard guard;
    struct spans spans;   /* of the step under way */
    struct layout layout; /* of checkpoints */
    void *steps;          /* memory of o.rooms, on the host */
    void *staging;        /* of staging_bytes, in the host's memory */
    size_t staging_bytes;
    void *reserve; /* for reserve_room bytes, in the host's memory */
    size_t reserve_room;
    bool sealed;
    uint64_t step; /* steps done: updates, and steps that the guard left out */
};

/* The figures of a step, or of a validation. */
struct trainer_report {
    double loss, grad_norm, lr; /* loss, grad_norm NAN: no token was trained */
    uint64_t tokens, label_tokens, rows, micro_batches;
    uint64_t longest; /* sample */
    double flops;
    struct {
        double step, forward, backward, optimizer; /* seconds: step by the host's clock, the others
                                                    * by the device's */
    } time;
    struct guard_finding finding; /* from trainer_step */
};

/* Plans all memory; nothing large is allocated and no weight is touched. The model is copied; mesh
 * and device must outlive the trainer. */
int trainer_init(struct trainer *t, const struct model *m, const struct trainer_options *o,
                 struct mesh *mesh, struct device *d, struct err *e);
/* Allocates the plan; weights, master and moments are zero until trainer_load or a resumed state.
 */
int trainer_alloc(struct trainer *t, struct err *e);
/* From now on until trainer_close, all allocations come from the plan (mem_seal) and must be
 * released before trainer_close. */
void trainer_seal(struct trainer *t);
int trainer_load(struct trainer *t, const struct safetensors *weights, struct err *e);
/* The parameters of the whole model, of which this rank may have a part. */
const struct params *trainer_params(const struct trainer *t);
/* Measures FLOP/s of the model's largest layer product on this device; -1 on failure. Call it
 * between steps: it overwrites activations. */
double trainer_peak(struct trainer *t, struct err *e);
/* The stage with o.answers, on the weights as they are. It uses memory of the steps, so call this
 * between steps, and again after each. */
struct stage *trainer_answers(struct trainer *t);
/* Returns true if all ranks have that stage and must extend the same documents, because none has
 * the whole model; else only the rank that writes has it. */
bool trainer_answers_together(const struct mesh *m, int zero_stage);
void trainer_close(struct trainer *t);

/* All ranks of the mesh call these together, and succeed or fail together. Each is given the whole
 * step and computes its share of the rows. */
/* Computes the gradients of the step's loss, sum(w * NLL) / sum(w), in this rank's part of
 * the weights' gradients, see zero.h. */
int trainer_gradients(struct trainer *t, const struct feed_step *s, struct trainer_report *r,
                      struct err *e);
/* Updates the weights; t->step grows by one. */
int trainer_update(struct trainer *t, double lr, struct err *e);
/* trainer_gradients, the guard, then trainer_update unless r->finding.skip. ERR_NONFINITE when the
 * guard ends the run. */
int trainer_step(struct trainer *t, const struct feed_step *s, double lr, struct trainer_report *r,
                 struct err *e);
/* The number of steps that changed the weights. */
uint64_t trainer_updates(const struct trainer *t);
/* Called after each step of a validation. */
struct trainer_watch {
    void (*step)(void *arg, uint64_t done, uint64_t all);
    void *arg;
};
/* Computes the loss over all steps that f still has, weighted by the tokens' weights. ERR_DATA
 * where no token is trained. */
int trainer_validate(struct trainer *t, struct feed *f, const struct trainer_watch *w,
                     struct trainer_report *r, struct err *e);

#endif
