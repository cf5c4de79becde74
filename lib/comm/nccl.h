/* SPDX-License-Identifier: Apache-2.0 */
/* Groups of GPUs. Internal to lib/comm. */
#ifndef SFT_COMM_NCCL_H
#define SFT_COMM_NCCL_H

#include "comm/comm_impl.h"
#include "comm/nccl_plugin.h"

enum { NCCL_CALLS = NCCL_NOTES / 2 }; /* calls whose progress is observed */

/* A group of several ranks that exchange device memory by NCCL. Two notes in the queue enclose each
 * call. */
struct nccl {
    struct device_watch watch; /* first, so that a struct device_watch * is one of these */
    struct comm c;
    struct world *world;
    const struct nccl_plugin *plugin;
    struct nccl_group *group; /* NULL: not open, or aborted */
    char members[COMM_MEMBERS];
    struct comm_call ring[NCCL_CALLS];
    uint64_t queued, done; /* calls so far; those that the device has completed or that failed */
    uint64_t begun;        /* 1 + the number of the call that the device is in; 0: none */
    double since;          /* when that was noticed, by world_clock */
};
static inline struct nccl *nccl_of(struct comm *c)
{
    return (struct nccl *)(void *)((char *)c - offsetof(struct nccl, c));
}

/* ---- nccl_calls.c ---- */
/* Turns a code of the plugin into an error. 0 if it is none, else -1. */
int nccl_check(struct nccl *n, int code, struct err *e);
/* Waits until NCCL has taken the last call; not for the device. */
int nccl_settle(struct nccl *n, struct err *e);
/* Queues the work of a collective. -1 when this rank cannot take part. */
int nccl_queue_call(struct nccl *n, const struct comm_call *k, struct err *e);

#endif
