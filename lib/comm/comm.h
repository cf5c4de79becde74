/* SPDX-License-Identifier: Apache-2.0 */
/* Collectives among the ranks of a group, on device memory.
 *
 * A call queues its collective after all earlier work of the device and returns. The group owns the
 * buffers until comm_join or comm_finish: before that the caller must not write a buffer that a
 * collective reads, nor read one that it writes. comm_finish reports failures. All ranks of a group
 * call the same collectives in the same order with the same sizes. Sums run in rank order, and bf16
 * is summed in fp32 and rounded once, so a result depends neither on timing nor on the
 * implementation. */
#ifndef SFT_COMM_COMM_H
#define SFT_COMM_COMM_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "comm/world.h"
#include "ops/ops.h"

enum comm_op { COMM_SUM, COMM_MAX };
enum { COMM_NOBODY = -1 }; /* no peer, in comm_send_receive */

/* The interface of an implementation; callers use the functions below. */
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
    int to, from; /* peers of send_receive; `from` is also the root of a broadcast */
    void *dst;
    const void *src;
    size_t n; /* elements of a block, if there is one for each rank, else of the buffer; bytes
               * for broadcast and send_receive, of a row for all_to_all */
    size_t received;                /* bytes that send_receive receives */
    const int32_t *sends, *accepts; /* [size] rows of all_to_all to and from each rank */
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
/* The bytes that this rank has sent to others in the collectives of a kind. */
struct comm_sent {
    uint64_t calls, bytes;
};
struct comm {
    const struct comm_ops *ops;
    const char *label;       /* in messages and traces: "dp"; "group" until comm_label */
    struct board_slot *slot; /* where the other ranks see what it does; NULL: nowhere */
    uint64_t begun;          /* collectives so far */
    int rank, size;          /* of this process in the group; ranks of the group */
    struct device *device;
    void *staging; /* `room` bytes, which the owner of the memory plan sets before the first
                    * collective; see comm_room */
    size_t room;
    bool direct; /* the device's memory is exchanged directly: staging is device memory, else host
                  * memory */
    bool failed; /* since the last comm_finish; the thread of the queue writes this and why */
    struct err why;
    struct comm_sent sent[COMM_KINDS]; /* since it was opened; complete after comm_finish */
    struct {
        enum comm_kind kind;
        double began;
        uint64_t bytes; /* sent so far */
    } running;          /* the collective that runs, or is queued in a GPU */
};

/* Returns the name of a kind: "all_reduce". */
const char *comm_kind_name(enum comm_kind kind);

/* Agrees that all ranks compute on one kind of device, and each of those with a GPU on one of its
 * own. 0, or -1 on all ranks with ERR_DEVICE or ERR_CONFIG. */
int comm_check_devices(struct world *w, const struct device *d, struct err *e);

/* Opens the group of one rank, where a collective is at most a copy. */
struct comm *comm_self(struct device *d, struct err *e);
/* Opens the group of ranks[0, n), which are ranks of the world, in this order. Exactly these ranks
 * call it. GPUs exchange their memory by NCCL, which is loaded then; other devices through the
 * host, by the plugin of the world. Groups with a common rank must be opened in the same order on
 * all their ranks. Device, world and staging memory must outlive the group. A collective fails
 * after world.timeout seconds. NULL on failure. */
struct comm *comm_group(struct world *w, struct device *d, const int *ranks, int n, struct err *e);
/* Opens a group of `size` ranks for planning memory only: its collectives fail. */
struct comm *comm_planned(struct device *d, int size, struct err *e);
/* Names a group in messages, before its first collective: the same on all its ranks, and no two
 * groups of a name have a rank in common. label must outlive the group. */
void comm_label(struct comm *c, const char *label);
/* Runs the queued collectives and frees the group. NULL is fine. */
void comm_close(struct comm *c);

/* Sets c->room and returns it: the bytes that c needs for staging if most collectives have at most
 * `largest` bytes of device memory on a rank; larger ones run in more pieces. Device memory where
 * c->direct, else host memory. The same on all ranks of the group. */
size_t comm_room(struct comm *c, size_t largest);

/* buf[n] = the sum or the maximum over the ranks. t: DT_F32, DT_F64 or DT_BF16. */
void comm_all_reduce(struct comm *c, void *buf, size_t n, enum dtype t, enum comm_op op);
/* dst[n_each] = block `rank` of the sum of src[size * n_each] over the ranks; dst may be that block
 * of src. Types as for comm_all_reduce. */
void comm_reduce_scatter(struct comm *c, void *dst, const void *src, size_t n_each, enum dtype t);
/* dst[size * n_each] = src[n_each] of all ranks in rank order; src may be this rank's block of dst.
 */
void comm_all_gather(struct comm *c, void *dst, const void *src, size_t n_each, enum dtype t);
/* Sends sends[p] rows to each rank p and receives accepts[p] rows from it, which are as many as it
 * sends. src has the rows for rank 0, then those for rank 1, and so on; dst gets them in the order
 * of the ranks that they come from. The buffers must not overlap. A row has `bytes` bytes; the
 * group owns the counts as long as the buffers. */
void comm_all_to_all(struct comm *c, void *dst, const int32_t *accepts, const void *src,
                     const int32_t *sends, size_t bytes);
/* Copies buf of rank `root` of the group to buf of all its ranks. */
void comm_broadcast(struct comm *c, void *buf, size_t bytes, int root);
/* Sends src to rank `to` and at the same time receives dst from rank `from`, so that all ranks of a
 * ring may call it at once. Either may be COMM_NOBODY. Sizes in bytes. */
void comm_send_receive(struct comm *c, const void *src, size_t sent, int to, void *dst,
                       size_t received, int from);

/* Makes later work of the device start after all earlier collectives. */
void comm_join(struct comm *c);
/* Copies bytes of device memory to the host, after all earlier collectives and work of the device.
 * If one of them failed, they are zeros, and comm_finish reports it. */
void comm_read(struct comm *c, void *to, const void *from, size_t bytes);
/* Waits on the host for all earlier collectives. Returns 0, or -1 with the first failure since the
 * last call: ERR_DEVICE when a rank is lost or does not answer for world.timeout seconds, with the
 * name of the collective. The world is then broken and all its ranks have to end. */
int comm_finish(struct comm *c, struct err *e);

#endif
