/* SPDX-License-Identifier: Apache-2.0 */
/* The order of a stage's forward and backward passes over the micro-batches of a step. */
#ifndef SFT_MODEL_SCHEDULE_H
#define SFT_MODEL_SCHEDULE_H

#include <stdbool.h>

/* 1F1B (Narayanan et al. 2021): a stage first runs as many forward passes as there are stages after
 * it, then alternates one forward and one backward pass, then runs the remaining backward passes.
 * With one stage this is forward and backward of each micro-batch. */
struct schedule {
    int stage, stages; /* this stage, from 0; stages 0 is 1 */
    int micro_batches;
    bool forward_only; /* validation */
};
enum action_kind { FORWARD, BACKWARD };
struct action {
    enum action_kind kind;
    int micro_batch; /* from 0 */
    int pass;        /* index of the stage's pass that has it */
};

/* Returns the largest number of passes that a stage has in flight, for any number of micro-batches.
 */
int schedule_passes(int stage, int stages);
/* Returns the number of actions. */
int schedule_length(const struct schedule *s);
/* Returns action i. A backward pass has the same `pass` as the forward pass of its micro-batch. */
struct action schedule_action(const struct schedule *s, int i);

#endif
