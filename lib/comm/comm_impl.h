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

/* Enclose the running of a collective: comm_begin, comm_count for what this rank sends to others,
 * comm_end, which adds it up and records it in the trace. */
void comm_begin(struct comm *c, const struct comm_call *k);
void comm_count(struct comm *c, size_t bytes);
void comm_count_each(struct comm *c, size_t bytes); /* so many to every other rank */
void comm_end(struct comm *c);

/* ---- call.c ---- */
enum { COMM_MEMBERS = 80 };
/* Fails with ERR_INTERNAL when an argument is wrong, which it then is on every rank. */
int comm_check(const struct comm *c, const struct comm_call *k, struct err *e);
/* Returns the rows of all_to_all before those of a rank. */
size_t comm_rows_before(const int32_t *rows, int rank);
/* text = "ranks 0, 2 and 4", for comm_prefix. */
void comm_name_members(char text[COMM_MEMBERS], const int *ranks, int n);
/* Puts "all_reduce of 100 fp32 among ranks 0 and 1" before a message. Returns -1. */
int comm_prefix(struct err *e, const struct comm_call *k, const char *members);

/* ---- nccl.c ---- */
/* Returns true if the groups of a device exchange its memory directly: it has queues of which the
 * host cannot be a step. Their staging is device memory. */
static inline bool comm_direct(const struct device *d) { return d->ops->after && !d->ops->call; }
/* Opens a group of n > 1 ranks, `rank` of which is this one, on such a device. */
struct comm *nccl_group_open(struct world *w, struct device *d, const int *ranks, int n, int rank,
                             struct err *e);
/* Bytes of the staging memory, see comm_room. */
size_t nccl_room(const struct comm *c, size_t largest);

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
    bool limited; /* by world.timeout */
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

/* ---- mark.c ---- */
/* Takes a place on the board for a group of ranks[0, n), until world_unmark. NULL when there is
 * none, as in a world of one; NULL is fine for the others. */
struct board_slot *world_mark(struct world *w, const char *label, const int *ranks, int n);
void world_unmark(struct board_slot *slot);
/* Show on the board that this rank is in a collective of the group, its number-th, and no longer.
 */
void world_enter(struct world *w, struct board_slot *slot, unsigned kind, uint64_t number);
void world_exit(struct world *w, struct board_slot *slot);
/* Returns seconds of the clock that measures waiting. */
double world_clock(const struct world *w);
/* Returns 0 while this rank, which waits since that time, may go on to do so. Else breaks the world
 * and returns -1 with ERR_DEVICE and who is missing. */
int world_late(struct world *w, double since, struct err *e);

#endif
