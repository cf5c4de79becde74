/* SPDX-License-Identifier: Apache-2.0 */
/* The order of a stage's forward and backward passes over the micro-batches of a step. */
#ifndef SFT_MODEL_SCHEDULE_H
#define SFT_MODEL_SCHEDULE_H

#include <stdbool.h>

/* 1F1B (Narayanan et al. 2021): a stage runs as many forward passes ahead as there are stages
 * behind it, then one forward and one backward in turn, then the backward passes that are left.
 * With one stage that is forward and backward of each micro-batch. */
struct schedule {
    int stage, stages; /* this stage, from 0; stages 0 is 1 */
    int micro_batches;
    bool forward_only; /* validation */
};
enum action_kind { FORWARD, BACKWARD };
struct action {
    enum action_kind kind;
    int micro_batch; /* from 0 */
    int pass;        /* which of the stage's passes holds it */
};

/* The most passes that a stage has in flight, whatever the number of micro-batches. */
int schedule_passes(int stage, int stages);
/* The number of actions. */
int schedule_length(const struct schedule *s);
/* Action i of them. A backward pass has the pass of its micro-batch's forward pass. */
struct action schedule_action(const struct schedule *s, int i);

#endif
