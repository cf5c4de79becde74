/* SPDX-License-Identifier: Apache-2.0 */
/* A window of a stream: the steps that are read and computed before their losses are counted. One
 * process has one step at a time; ranks have several, so that each has micro-batches to compute
 * before they meet. */
#ifndef SFT_CMD_EVAL_WINDOW_H
#define SFT_CMD_EVAL_WINDOW_H

#include "data/batch.h"
#include "sums.h"

struct window {
    struct eval *v;
    struct feed *feed;
    struct feed_step *steps; /* [WINDOW_STEPS] */
    size_t n;                /* steps of this window */
    int more;                /* of the last read: 1; 0: the stream has ended; -1: it failed */
    struct sums *sums;       /* of each sample of the steps, in their order; on all ranks */
    size_t nsums, cap;
    /* private */
    struct batch batch;
    struct piece *pieces; /* the micro-batches, in their order */
    size_t npieces, pieces_cap;
    struct sums *blocks; /* [ranks][most] those of the samples that each rank has computed */
    size_t blocks_cap, most;
    float *nll;   /* [capacity] */
    size_t *load; /* [ranks] tokens that each has had so far */
};

/* Takes a freshly opened stream, whose rows have up to `length` tokens; window_close may be called
 * also after a failure. The ranks call these together; on failure they have not yet agreed on it.
 */
int window_open(struct window *w, struct eval *v, struct feed *f, int64_t length, struct err *e);
void window_close(struct window *w);

/* Reads the next steps, and sets w->more; if that is -1, *e is this rank's error, and w->n steps
 * are before it. Returns 0, or -1 on all ranks if they have not read the same. */
int window_read(struct window *w, struct err *e);
/* Computes w->sums. Returns 0, or -1 on all ranks. */
int window_compute(struct window *w, struct err *e);

#endif
