/* SPDX-License-Identifier: Apache-2.0 */
/* All ranks of a job: small exchanges of host memory, and agreement on what went wrong. Everybody
 * calls the same functions in the same order. */
#ifndef SFT_COMM_WORLD_H
#define SFT_COMM_WORLD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "comm/plugin.h"

enum { WORLD_NOTE = 64 };
struct world {
    struct comm_place place;          /* rank, size, ... */
    const struct comm_plugin *plugin; /* NULL: a world of one */
    void *board;                      /* WORLD_NOTE bytes a rank, for what is small */
    atomic_bool broken;               /* an exchange failed: others may wait for ever */
};
/* This process alone: one for everybody, which is never changed. */
struct world *world_self(void);
/* Loads the plugin and meets the other ranks. */
int world_join(struct world *w, const char *plugin, struct err *e);
/* Leaves in peace; or, after a failed exchange, ends every rank with status (and does not return).
 */
void world_leave(struct world *w, int status);

/* dst[size * bytes] = everybody's src in rank order; src may be this rank's block of dst. */
int world_gather(struct world *w, void *dst, const void *src, size_t bytes, struct err *e);
int world_exchange(struct world *w, void *dst, const void *src, size_t bytes_each, struct err *e);
int world_broadcast(struct world *w, void *buf, size_t bytes, int root, struct err *e);
int world_send(struct world *w, const void *buf, size_t bytes, int to, struct err *e);
int world_receive(struct world *w, void *buf, size_t bytes, int from, struct err *e);
int world_barrier(struct world *w, struct err *e);
/* Messages beside all others, where place.beside is set by another thread too, one at a time. They
 * wait in short naps, for the CPU is wanted elsewhere, and until the world is broken at most. */
int world_side_send(struct world *w, const void *buf, size_t bytes, int to, struct err *e);
int world_side_receive(struct world *w, void *buf, size_t bytes, int from, struct err *e);

/* rc, and e when it is not 0, are this rank's. 0 when everybody's is 0; else -1, and everybody has
 * the error of the lowest rank that failed. */
int world_agree(struct world *w, int rc, struct err *e);
/* Everybody's note of at most WORLD_NOTE bytes in rank order, valid until the next call; NULL on
 * failure. Allocates nothing. */
const void *world_notes(struct world *w, const void *note, size_t bytes, struct err *e);
/* Whether v is true on any rank, for all to know: 1 or 0; -1 on failure. */
int world_any(struct world *w, bool v, struct err *e);
/* What to compute with on this rank when `cpus` were its own: ranks of the same node that may run
 * on the same set of CPUs share them. At least 1. */
int world_share_cpus(struct world *w, int cpus, int *share, struct err *e);

#endif
