/* SPDX-License-Identifier: Apache-2.0 */
/* AdamW and SGD: their state, and the update of what is trained. */
#ifndef SFT_TRAIN_OPTIMIZER_H
#define SFT_TRAIN_OPTIMIZER_H

#include "model/weights.h"
#include "parallel/zero.h"
#include "save/layout.h"

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
/* Buffers have the elements [zero.held, zero.past) of weights.params.trained, and the pointers are
 * where element 0 would be: the same offsets hold everywhere. */
struct optimizer {
    struct optimizer_options o;
    struct weights *weights;
    struct zero zero;   /* what this rank sums, holds and updates */
    void *master;       /* real; the weights themselves where they are of that type, or NULL */
    void *m, *v;        /* moments; m is SGD's momentum; NULL: there is none */
    enum dtype moments; /* their type */
    void *sumsq;        /* double: of the gradient */
    /* Where an update must stop for now; see optimizer_gate. */
    size_t (*gate)(void *arg, size_t at);
    void *gate_arg;
};

/* Adds the state of the weights' optimizer to the plan. sharded: each data-parallel rank of the
 * mesh has its part. */
void optimizer_plan(struct optimizer *p, const struct optimizer_options *o, struct weights *w,
                    struct plan *plan, const struct mesh *m, bool sharded);
/* After the plan was bound, and at the start of a rehearsal. */
void optimizer_bind(struct optimizer *p);
/* True if master weights are stored beside those of the computation. */
bool optimizer_has_master(const struct optimizer *p);
/* Those; NULL when there are none. */
void *optimizer_master(const struct optimizer *p);
enum { OPTIMIZER_PARTS = 3 };
/* Fills `part` with the state that is saved, in this order; returns how many there are. */
int optimizer_parts(struct optimizer *p, struct save_part part[OPTIMIZER_PARTS]);
/* *sumsq = the sum of the squares of the gradients in this rank's part. */
void optimizer_norm(struct optimizer *p);
/* Updates go through `gate`, which returns the first element after `at` that must not be changed
 * yet, a multiple of 64, and may wait for the first. NULL: all may. */
void optimizer_gate(struct optimizer *p, size_t (*gate)(void *arg, size_t at), void *arg);
/* Update k, counted from 1. */
void optimizer_update(struct optimizer *p, double lr, uint64_t k);

#endif
