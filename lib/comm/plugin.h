/* SPDX-License-Identifier: Apache-2.0 */
/* What a plugin that joins the ranks of a job must offer. It is a library of its own, loaded only
 * under a launcher, so that the program neither links nor needs MPI. All memory here is the host's.
 */
#ifndef SFT_COMM_PLUGIN_H
#define SFT_COMM_PLUGIN_H

#include <stddef.h>

#include "base/err.h"

/* Raised when anything below changes: a plugin of another build is refused. */
enum { COMM_PLUGIN_VERSION = 2 };
#define COMM_PLUGIN_SYMBOL "sft_comm_plugin"

struct comm_place {
    int rank, size;           /* in the job */
    int node;                 /* lowest rank on this node */
    int node_rank, node_size; /* among the ranks of this node */
    int beside;               /* the side channel may have a thread of its own, on all ranks */
    char library[96];         /* what stands behind the plugin, in a line */
};

/* Functions but side_* are called by the one thread that called start, by all ranks in the same
 * order; sizes are below 1 GiB. They return 0, or a code for explain(). */
struct comm_plugin {
    int version; /* COMM_PLUGIN_VERSION */
    int (*start)(struct comm_place *place);
    int (*finish)(void);
    void (*abandon)(int status); /* ends all ranks of the job, which exit with status */
    /* Block p of src goes to rank p, whose block for this rank becomes block p of dst. */
    int (*exchange)(void *dst, const void *src, size_t bytes_each);
    /* Everybody's src, in rank order. src may be this rank's block of dst. */
    int (*gather)(void *dst, const void *src, size_t bytes_each);
    int (*broadcast)(void *buf, size_t bytes, int root);
    int (*send)(const void *buf, size_t bytes, int to);
    int (*receive)(void *buf, size_t bytes, int from);
    int (*barrier)(void);
    /* Messages that the others cannot mix with. One transfer at a time: it has begun when side_send
     * or side_receive returns, goes on while side_done is asked, and the memory is the plugin's
     * until that says so. By one thread at a time, which is the one above unless `beside`. */
    int (*side_send)(const void *buf, size_t bytes, int to);
    int (*side_receive)(void *buf, size_t bytes, int from);
    int (*side_done)(int *done);
    void (*explain)(int code, char *text, size_t size);
};

/* Loads NAME.so (name: "mpi"): from the folder SFT_PLUGIN_PATH, else ../lib/sft beside the folder
 * of the program. ERR_DEVICE saying what to install when it is missing. It stays loaded. */
const struct comm_plugin *comm_plugin_load(const char *name, struct err *e);

#endif
