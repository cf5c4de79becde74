/* SPDX-License-Identifier: Apache-2.0 */
/* Inside lib/comm: the queue of a group's collectives, sums in rank order, waiting in a world. */
#ifndef SFT_COMM_COMM_IMPL_H
#define SFT_COMM_COMM_IMPL_H

#include "comm/comm.h"

/* ---- queue.c: calls that run in order, on a thread of the queue or on the caller's ---- */
struct comm_queue;
/* Runs one call; the call's failure is c's to keep. */
typedef void comm_run_fn(struct comm *c, const struct comm_call *call);
/* thread: a thread of its own runs the calls. Else they run in comm_queue_wait (and in
 * comm_queue_push when the queue is full): that queue is shared by all groups of a world, so that
 * calls of several groups keep their order. */
struct comm_queue *comm_queue_open(bool thread, struct err *e);
void comm_queue_close(struct comm_queue *q); /* runs what is queued; NULL is fine */
/* Copies the call. Returns its number, for comm_queue_wait. */
uint64_t comm_queue_push(struct comm_queue *q, comm_run_fn *run, struct comm *c,
                         const struct comm_call *call);
/* Returns when call `number` and all before it have run. */
void comm_queue_wait(struct comm_queue *q, uint64_t number);

/* ---- fold.c ---- */
/* into[n] = ((block 0 + block 1) + block 2) + ... of the `ranks` blocks of n elements at `from`, or
 * the largest of them. bf16 runs in fp32 and is rounded once. t: DT_F32, DT_F64 or DT_BF16. */
void comm_fold(void *into, const void *from, int ranks, size_t n, enum dtype t, enum comm_op op);

/* ---- world.c ---- */
struct world_wait {
    double limit; /* seconds; 0: none */
    bool nap;     /* sleeps between two looks: nobody is in a hurry */
};
/* Waits for a transfer that `code`, of the function that began it, says has begun. -1: the plugin
 * failed, the limit is over, or another thread found the world broken; the world is then broken. */
int world_complete(struct world *w, struct comm_transfer *t, int code, struct world_wait how,
                   struct err *e);
/* -1 with ERR_DEVICE when the world is broken. */
int world_gone(const struct world *w, struct err *e);
/* The queue that groups share where only one thread may call the plugin. */
struct comm_queue *world_queue(struct world *w, struct err *e);

#endif
