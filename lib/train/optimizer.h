/* SPDX-License-Identifier: Apache-2.0 */
/* AdamW and SGD: their state, and the update of what is trained. */
#ifndef SFT_TRAIN_OPTIMIZER_H
#define SFT_TRAIN_OPTIMIZER_H

#include "model/weights.h"
#include "parallel/zero.h"
#include "save/layout.h"
#include "train/norm.h"

enum optimizer_kind { OPTIMIZER_ADAMW, OPTIMIZER_SGD };
struct optimizer_options {
    enum optimizer_kind kind;
    double beta1, beta2, epsilon; /* AdamW */
    double momentum, dampening;   /* SGD */
    bool nesterov;
    double weight_decay;
    double max_norm;    /* of the gradient; 0: no clipping */
    bool no_master;     /* the weights of a computation in bf16 are updated themselves */
    enum dtype moments; /* DT_BF16, or real */
    uint64_t seed;      /* of what is rounded at random, which is all that is kept in bf16 */
};
struct optimizer {
    struct optimizer_options o;
    struct weights *weights;
    struct zero zero;            /* the parts that this rank sums and updates */
    struct weights_state master; /* accumulation type; none where the weights are of that type */
    struct weights_state m, v;   /* moments; m is SGD's momentum */
    struct norm norm;            /* of the gradient */
    /* See optimizer_gate; NULL: no update has to stop. */
    size_t (*gate)(void *arg, size_t at);
    void *gate_arg;
};

/* Adds the state of the weights' optimizer to the plan, and the host memory of its collectives.
 * zero_stage, ranks_first: as in parallel/zero.h; from 1 on each data-parallel rank of the mesh has
 * its part. */
void optimizer_plan(struct optimizer *p, const struct optimizer_options *o, struct weights *w,
                    struct plan *plan, const struct mesh *m, int zero_stage, bool ranks_first);
/* The stored master weights, once the plan is bound; NULL where there are none. */
const struct weights_state *optimizer_master(const struct optimizer *p);
enum { OPTIMIZER_PARTS = 3 };
/* Fills `part` with the state that is saved, in this order; returns how many there are. */
int optimizer_parts(struct optimizer *p, struct save_part part[OPTIMIZER_PARTS]);
/* Updates go in canonical order through `gate`, which returns the first position after `at` whose
 * element must not be changed yet, a multiple of 64, and may wait until there is one. NULL: all may
 * be changed. */
void optimizer_gate(struct optimizer *p, size_t (*gate)(void *arg, size_t at), void *arg);
/* Update k, counted from 1. */
void optimizer_update(struct optimizer *p, double lr, uint64_t k);

#endif
