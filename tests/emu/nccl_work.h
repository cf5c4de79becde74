/* SPDX-License-Identifier: Apache-2.0 */
/* Communicators of the emulated NCCL, and their calls as work of streams. */
#ifndef EMU_NCCL_WORK_H
#define EMU_NCCL_WORK_H

#include "../../lib/comm/nccl_abi.h"
#include "wire.h"

struct ncclComm {
    struct ncclComm *next;
    struct wire *wire;
    int rank, ranks;
    bool blocking, complete, aborted, finalizing;
    uint64_t issued, finished;
    struct op *pending; /* not yet in its stream */
    int polls, async;
};
extern char nccl_error[400]; /* text of the last error */

#define LOCK(...)                                                                                  \
    pthread_mutex_lock(&runtime_lock);                                                             \
    __VA_ARGS__                                                                                    \
    pthread_mutex_unlock(&runtime_lock)

/* Prints and keeps why a call is refused. Returns the result. */
int nccl_refuse(int result, const char *why);

/* The functions below are called with the lock. */
/* Adds a communicator, whose messages a thread serves from then on. */
void nccl_add(struct ncclComm *c);
/* Returns true when all ranks have opened the communicator. */
bool nccl_complete(struct ncclComm *c);
/* Queues a call; if the communicator does not block, nccl_poll does. */
int nccl_issue(struct ncclComm *c, struct op *o);
/* Returns the state of a communicator, which it advances. */
int nccl_poll(struct ncclComm *c);

#endif
