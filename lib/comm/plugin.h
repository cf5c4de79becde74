/* SPDX-License-Identifier: Apache-2.0 */
/* The functions that a plugin which joins the ranks of a job must offer. It is a library of its
 * own, loaded only under a launcher, so that the program neither links nor needs MPI. All memory
 * here is the host's.
 */
#ifndef SFT_COMM_PLUGIN_H
#define SFT_COMM_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Raised when anything below changes: a plugin of another build is refused. */
enum { COMM_PLUGIN_VERSION = 3 };
#define COMM_PLUGIN_SYMBOL "sft_comm_plugin"

/* A handle of the plugin: of a group of ranks, or of a part of a transfer. */
typedef intptr_t comm_handle;

struct comm_place {
    int rank, size;           /* in the job */
    int node;                 /* lowest rank on this node */
    int node_rank, node_size; /* among the ranks of this node */
    int threads;              /* several threads may call the plugin at a time, on all ranks */
    comm_handle all;          /* the group of all ranks */
    char library[96];         /* the library behind the plugin, in a line */
};

/* A transfer under way. The memory that it was given is the plugin's until `test` says that it is
 * done. */
struct comm_transfer {
    comm_handle part[2];
};

/* Functions return 0, or a code for explain(). Those of a group are called by all of its ranks in
 * the same order, and by one thread at a time; by the thread that called start alone, unless
 * place.threads. Ranks are numbered in the group. Transfers begin when they are called and go on
 * while `test` is called. Sizes are below 1 GiB. */
struct comm_plugin {
    int version; /* COMM_PLUGIN_VERSION */
    int (*start)(struct comm_place *place);
    int (*finish)(void);
    void (*abandon)(int status); /* ends all ranks of the job, which exit with status */
    /* The group of ranks[0 .. n) of the job, in this order; only these ranks call it. */
    int (*group_open)(const int *ranks, int n, comm_handle *group);
    int (*group_close)(comm_handle group);
    /* Block p of src goes to rank p, whose block for this rank becomes block p of dst. */
    int (*exchange)(comm_handle group, void *dst, const void *src, size_t bytes_each,
                    struct comm_transfer *t);
    /* The ranks' src, in rank order. src may be this rank's block of dst. */
    int (*gather)(comm_handle group, void *dst, const void *src, size_t bytes_each,
                  struct comm_transfer *t);
    int (*broadcast)(comm_handle group, void *buf, size_t bytes, int root, struct comm_transfer *t);
    /* to, from: -1: nothing is sent, or received. */
    int (*send_receive)(comm_handle group, const void *src, size_t sent, int to, void *dst,
                        size_t received, int from, struct comm_transfer *t);
    int (*test)(struct comm_transfer *t, int *done);
    void (*explain)(int code, char *text, size_t size);
};

/* Loads NAME.so (name: "mpi"): from the folder SFT_PLUGIN_PATH, else ../lib/sft beside the folder
 * of the program. ERR_DEVICE saying what to install when it is missing. It stays loaded. */
const struct comm_plugin *comm_plugin_load(const char *name, struct err *e);

#endif
