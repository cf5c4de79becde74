/* SPDX-License-Identifier: Apache-2.0 */
/* The one table of collectives among the ranks of a group, as operations on device memory.
 *
 * A call queues its collective behind the work that the device has been given so far and returns.
 * The buffers belong to the group until comm_join or comm_finish: before that the caller neither
 * writes what a collective reads nor reads what it writes. A failure is kept for comm_finish.
 * All ranks of a group call the same collectives in the same order with the same sizes. Sums run in
 * rank order, bf16 is summed in fp32 and rounded once, so a result depends neither on timing nor on
 * the implementation. */
#ifndef SFT_COMM_COMM_H
#define SFT_COMM_COMM_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "comm/world.h"
#include "ops/ops.h"

enum comm_op { COMM_SUM, COMM_MAX };
enum { COMM_NOBODY = -1 }; /* as the other end of comm_send_receive */

/* An implementation's table; callers use the functions below. */
enum comm_kind {
    COMM_ALL_REDUCE,
    COMM_REDUCE_SCATTER,
    COMM_ALL_GATHER,
    COMM_ALL_TO_ALL,
    COMM_BROADCAST,
    COMM_SEND_RECEIVE,
    COMM_KINDS
};
struct comm_call {
    enum comm_kind kind;
    enum comm_op op;
    enum dtype type;
    int to, from; /* of send_receive; `from` is also the root of a broadcast */
    void *dst;
    const void *src;
    size_t n;        /* elements: of a block where there is one for each rank, else of the buffer;
                      * bytes of broadcast and send_receive */
    size_t received; /* bytes that send_receive receives */
};
struct comm;
struct comm_ops {
    const char *name;
    void (*close)(struct comm *c);
    size_t (*room)(const struct comm *c, size_t largest);
    void (*run)(struct comm *c, const struct comm_call *call);
    void (*join)(struct comm *c);
    int (*finish)(struct comm *c, struct err *e);
};
struct comm {
    const struct comm_ops *ops;
    int rank, size; /* of this process in the group; ranks of the group */
    struct device *device;
    void *staging; /* `room` bytes of host memory, given by the owner of the memory plan before the
                    * first collective; see comm_room */
    size_t room;
};

/* The group of one rank: collectives copy at most. */
struct comm *comm_self(struct device *d, struct err *e);
/* The group of ranks[0 .. n), numbers of the world, in that order. Every one of them calls this,
 * and no other rank does; groups that share a rank are opened in the same order everywhere. Device,
 * world and the staging memory must outlive the group; a world of several ranks waits no longer
 * for a collective than world.timeout. NULL on failure. */
struct comm *comm_group(struct world *w, struct device *d, const int *ranks, int n, struct err *e);
/* A group of `size` ranks for planning memory only: its collectives fail. */
struct comm *comm_planned(struct device *d, int size, struct err *e);
/* Runs what is queued. NULL is fine. */
void comm_close(struct comm *c);

/* Bytes of host memory that c stages through, when no collective has more than `largest` bytes of
 * device memory on a rank. The same on all ranks of the group. Sets c->room. */
size_t comm_room(struct comm *c, size_t largest);

/* buf[n] = the ranks' sum or largest element. t: DT_F32, DT_F64 or DT_BF16. */
void comm_all_reduce(struct comm *c, void *buf, size_t n, enum dtype t, enum comm_op op);
/* dst[n_each] = the sum of the ranks' src[size * n_each] at block `rank`; dst may be that block.
 * Types as for comm_all_reduce. */
void comm_reduce_scatter(struct comm *c, void *dst, const void *src, size_t n_each, enum dtype t);
/* dst[size * n_each] = the ranks' src[n_each] in rank order; src may be this rank's block of dst.
 */
void comm_all_gather(struct comm *c, void *dst, const void *src, size_t n_each, enum dtype t);
/* Block p of src[size * n_each] goes to rank p, whose block for this rank becomes block p of dst,
 * which is other memory. */
void comm_all_to_all(struct comm *c, void *dst, const void *src, size_t n_each, enum dtype t);
/* buf = the bytes of rank `root` of the group. */
void comm_broadcast(struct comm *c, void *buf, size_t bytes, int root);
/* Sends src to rank `to` while dst comes from rank `from`, so that all ranks of a ring may call it
 * at once. Either may be COMM_NOBODY. */
void comm_send_receive(struct comm *c, const void *src, size_t sent, int to, void *dst,
                       size_t received, int from);

/* Work that the device is given from now on begins after all collectives so far. */
void comm_join(struct comm *c);
/* The host waits for all collectives so far: 0, or the first failure since the last call.
 * ERR_DEVICE when a rank is lost or has not come for world.timeout seconds; the message tells which
 * collective this rank waited for. The world is then broken and its ranks have to end. */
int comm_finish(struct comm *c, struct err *e);

#endif
