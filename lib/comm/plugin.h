/* SPDX-License-Identifier: Apache-2.0 */
/* The interface of a plugin that connects the ranks of a job. A plugin is a separate library,
 * loaded only under a launcher, so that the program does not depend on MPI. All buffers are host
 * memory.
 */
#ifndef SFT_COMM_PLUGIN_H
#define SFT_COMM_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Must change with everything below: a plugin with another version is refused. */
enum { COMM_PLUGIN_VERSION = 3 };
#define COMM_PLUGIN_SYMBOL "sft_comm_plugin"

/* A handle of the plugin for a group of ranks or a part of a transfer. */
typedef intptr_t comm_handle;

struct comm_place {
    int rank, size;           /* in the job */
    int node;                 /* lowest rank on this node */
    int node_rank, node_size; /* among the ranks of this node */
    int threads;              /* 1: several threads may call the plugin at once, on all ranks */
    comm_handle all;          /* the group of all ranks */
    char library[96];         /* name and version of the library, one line */
};

/* A transfer in progress. The plugin owns its buffers until `test` sets *done. */
struct comm_transfer {
    comm_handle part[2];
};

/* Functions return 0, or a code for explain(). All ranks of a group call its functions in the same
 * order, from one thread at a time; unless place.threads is set, only from the thread that called
 * start. Ranks are numbers in the group. A transfer begins with the call and progresses during
 * calls of `test`. Sizes are in bytes, below 1 GiB. */
struct comm_plugin {
    int version; /* COMM_PLUGIN_VERSION */
    int (*start)(struct comm_place *place);
    int (*finish)(void);
    void (*abandon)(int status); /* ends all ranks of the job with this exit status */
    /* Opens the group of ranks[0, n) of the job, in this order; only these ranks call it. */
    int (*group_open)(const int *ranks, int n, comm_handle *group);
    int (*group_close)(comm_handle group);
    /* Sends block p of src to rank p, and receives block p of dst from it. */
    int (*exchange)(comm_handle group, void *dst, const void *src, size_t bytes_each,
                    struct comm_transfer *t);
    /* dst = src of all ranks in rank order; src may be this rank's block of dst. */
    int (*gather)(comm_handle group, void *dst, const void *src, size_t bytes_each,
                  struct comm_transfer *t);
    int (*broadcast)(comm_handle group, void *buf, size_t bytes, int root, struct comm_transfer *t);
    /* to = -1 sends nothing, from = -1 receives nothing. */
    int (*send_receive)(comm_handle group, const void *src, size_t sent, int to, void *dst,
                        size_t received, int from, struct comm_transfer *t);
    int (*test)(struct comm_transfer *t, int *done);
    void (*explain)(int code, char *text, size_t size); /* the message of an error code */
};

/* Loads NAME.so (name: "mpi") as plugin_load does. NULL with ERR_DEVICE and a message that says
 * what to install. */
const struct comm_plugin *comm_plugin_load(const char *name, struct err *e);

#endif
