/* SPDX-License-Identifier: Apache-2.0 */
/* All ranks of a job: small exchanges of host memory, and agreement on what went wrong. All ranks
 * call the same functions in the same order. */
#ifndef SFT_COMM_WORLD_H
#define SFT_COMM_WORLD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "comm/plugin.h"

enum { WORLD_NOTE = 64 };
struct comm_queue;
struct world {
    struct comm_place place;          /* rank, size, ... */
    const struct comm_plugin *plugin; /* NULL: a world of one */
    double timeout;                   /* seconds that a rank waits for another, set by the owner
                                       * at any time; 0: for ever */
    atomic_bool broken;               /* a rank is lost: others may wait for ever */
    void *board;                      /* WORLD_NOTE bytes a rank, for what is small */
    comm_handle side;                 /* all ranks, for world_side_send and _receive */
    struct comm_queue *queue;         /* see comm_impl.h; NULL until a group needs it */
};
/* This process alone: one object for all callers, which is never changed. */
struct world *world_self(void);
/* Loads the plugin and meets the other ranks. */
int world_join(struct world *w, const char *plugin, struct err *e);
/* Leaves after the last group was closed; in a broken world it ends every rank with status instead
 * and does not return. */
void world_leave(struct world *w, int status);

/* dst[size * bytes] = the ranks' src in rank order; src may be this rank's block of dst. ERR_DEVICE
 * when a rank does not come within the timeout. */
int world_gather(struct world *w, void *dst, const void *src, size_t bytes, struct err *e);
/* Waits as long as rank `root` takes, which may itself wait for its input. */
int world_broadcast(struct world *w, void *buf, size_t bytes, int root, struct err *e);
/* Messages beside all others, one at a time; from another thread too where place.threads is set.
 * They sleep between two looks, and wait until the world is broken at most. */
int world_side_send(struct world *w, const void *buf, size_t bytes, int to, struct err *e);
int world_side_receive(struct world *w, void *buf, size_t bytes, int from, struct err *e);

/* rc, and e when it is not 0, are this rank's. 0 when rc is 0 on all ranks; else -1, and all ranks
 * have the error of the lowest rank that failed. */
int world_agree(struct world *w, int rc, struct err *e);
/* The ranks' notes of at most WORLD_NOTE bytes in rank order, valid until the next call; NULL on
 * failure. Allocates nothing. */
const void *world_notes(struct world *w, const void *note, size_t bytes, struct err *e);
/* Tells all ranks whether v is true on any of them: 1 or 0; -1 on failure. */
int world_any(struct world *w, bool v, struct err *e);
/* Divides `cpus` CPUs that this rank could compute with alone among the ranks of its node that may
 * run on the same set of CPUs. *share is at least 1. */
int world_share_cpus(struct world *w, int cpus, int *share, struct err *e);

#endif
