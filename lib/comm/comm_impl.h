/* SPDX-License-Identifier: Apache-2.0 */
/* Internal declarations of lib/comm: failures, the queue of collectives, sums in rank order,
 * waiting in a world. */
#ifndef SFT_COMM_COMM_IMPL_H
#define SFT_COMM_COMM_IMPL_H

#include "comm/comm.h"

/* ---- comm.c ---- */
/* Keeps the first failure of a group for comm_finish. Returns -1. */
int comm_fail(struct comm *c, const struct err *e);
/* Returns 0, or -1 with the kept failure, which it forgets. */
int comm_take_failure(struct comm *c, struct err *e);

/* ---- queue.c: calls that run in order, on a thread of the queue or on the caller's thread ---- */
struct comm_queue;
/* Runs one call; comm_fail keeps its failure. */
typedef void comm_run_fn(struct comm *c, const struct comm_call *call);
/* thread: the queue has a thread that runs the calls. Otherwise comm_queue_wait runs them, and
 * comm_queue_push when the queue is full; all groups of a world share such a queue, so that the
 * calls of several groups keep their order. */
struct comm_queue *comm_queue_open(bool thread, struct err *e);
void comm_queue_close(struct comm_queue *q); /* runs the queued calls; NULL is fine */
/* Copies the call. Returns its number, for comm_queue_wait. */
uint64_t comm_queue_push(struct comm_queue *q, comm_run_fn *run, struct comm *c,
                         const struct comm_call *call);
/* Returns when call `number` and all earlier ones have run. */
void comm_queue_wait(struct comm_queue *q, uint64_t number);

/* ---- fold.c ---- */
/* into[n] = ((block 0 + block 1) + block 2) + ..., or the elementwise maximum, of the `ranks`
 * blocks of n elements at `from`. bf16 is reduced in fp32 and rounded once. t: DT_F32, DT_F64 or
 * DT_BF16.
 */
void comm_fold(void *into, const void *from, int ranks, size_t n, enum dtype t, enum comm_op op);

/* ---- world.c ---- */
struct world_wait {
    double limit; /* seconds; 0: none */
    bool sleep;   /* sleep between polls: the transfer is not urgent */
};
/* Waits for a transfer; `code` is the result of the function that began it. Returns 0, or -1 when
 * the plugin fails, the limit passes, or another thread has found the world broken; the world is
 * then broken. */
int world_complete(struct world *w, struct comm_transfer *t, int code, struct world_wait how,
                   struct err *e);
/* Returns 0, or -1 with ERR_DEVICE when the world is broken. */
int world_check(const struct world *w, struct err *e);
/* Returns the queue that all groups share when only one thread may call the plugin. */
struct comm_queue *world_queue(struct world *w, struct err *e);

#endif
