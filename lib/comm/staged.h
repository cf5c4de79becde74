/* SPDX-License-Identifier: Apache-2.0 */
/* Collectives through host memory: pieces of device memory are copied to a staging buffer,
 * exchanged by the plugin of the world, reduced in rank order, and copied back. Internal to
 * lib/comm. */
#ifndef SFT_COMM_STAGED_H
#define SFT_COMM_STAGED_H

#include "comm/comm_impl.h"

/* A group of several ranks that communicate through the host. */
struct staged {
    struct comm c;
    struct world *world;
    comm_handle group;
    struct comm_queue *queue; /* NULL: the device has queues */
    bool threaded;            /* the queue belongs to this group and has a thread */
    uint64_t queued;          /* number of the last call in the queue */
    char members[COMM_MEMBERS];
};
static inline struct staged *staged_of(struct comm *c) { return (struct staged *)c; }

/* Bytes of the staging buffer, see comm_room. */
size_t staged_room(const struct comm *c, size_t largest);
/* Runs one collective on the calling thread; comm_fail keeps a failure. A device whose copy fails
 * takes part with zeros, so that no other rank waits for it. */
void staged_run(struct comm *c, const struct comm_call *k);

#endif
