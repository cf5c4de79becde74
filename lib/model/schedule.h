/* SPDX-License-Identifier: Apache-2.0 */
/* The order of the forward and backward passes of a pipeline's stages over the micro-batches of a
 * step, and of the messages between them. */
#ifndef SFT_MODEL_SCHEDULE_H
#define SFT_MODEL_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>

/* 1F1B and interleaved 1F1B (Narayanan et al. 2021). A stage has one or more chunks of layers: a
 * micro-batch runs through chunk 0 of all stages, then through chunk 1 of all stages, and so on. A
 * stage first runs forward passes alone, then alternates one forward and one backward pass, then
 * runs the remaining backward passes. With one stage this is forward and backward of each
 * micro-batch.
 *
 * With several chunks micro-batches run in groups of as many as there are stages: a group runs
 * through a chunk of the stage, then through the next one. If the number of micro-batches is not a
 * multiple, the last group is filled up with empty micro-batches, whose actions are left out. So
 * there is a schedule for every number, and it needs no more memory than one of whole groups. */
struct schedule {
    int stage, stages; /* this stage, from 0; stages 0 is 1 */
    int chunks;        /* 0 is 1 */
    int micro_batches;
    bool forward_only; /* validation */
};
enum action_kind { FORWARD, BACKWARD };
struct action {
    enum action_kind kind;
    int chunk, micro_batch; /* from 0 */
};

/* Returns the largest number of forward passes that wait for their backward pass in a stage, for
 * any number of micro-batches. */
int schedule_passes(int stage, int stages, int chunks);
/* Sets *a to the first action from position *at on, and *at to the position after it. Positions
 * begin at 0. Returns false if there is none. */
bool schedule_next(const struct schedule *s, int *at, struct action *a);

/* ---- all stages of a pipeline ---- */
/* A walk through all actions and messages of a step in one order, in which every message comes
 * after the action that makes it and before the action that needs it. It is the same on each rank.
 * If each of them takes part in its own actions and messages as they come, none waits for another
 * that waits for it. */
struct schedule_walk {
    int stages, chunks, micro_batches; /* as in struct schedule */
    bool forward_only;
    /* Called with each action of each stage. */
    void (*act)(void *arg, int stage, const struct action *a);
    /* Called with the messages of stage a and of the stage after it, b, which come at one time: the
     * input of a forward action of b, from a, and the result of a backward action of b, for a.
     * Either may be NULL. The last stage comes before the first. */
    void (*exchange)(void *arg, int a, int b, const struct action *forward,
                     const struct action *backward);
    void *arg;
};
/* A stage of a walk. */
struct schedule_place {
    struct action next, last;   /* the next action; that of the last round */
    int at, done[BACKWARD + 1]; /* position after `next`; order of the last action of each kind */
    bool more, runs, ran;       /* there is a next one; it runs in this round; it ran in the last */
};
/* Walks; place[stages] is memory for it. Returns false if stages wait for each other, which is a
 * fault in the schedule. */
bool schedule_walk(const struct schedule_walk *w, struct schedule_place *place);

#endif
