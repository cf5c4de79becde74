/* SPDX-License-Identifier: Apache-2.0 */
/* All ranks of a job: small exchanges of host memory, and agreement on errors. All ranks call the
 * same functions in the same order. */
#ifndef SFT_COMM_WORLD_H
#define SFT_COMM_WORLD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "comm/plugin.h"

enum { WORLD_NOTE = 64 };
struct comm_queue;
struct watch;
/* The program's part when its job ends because a rank died, stands still or waited in vain. Called
 * by a thread of the world. */
struct world_hooks {
    void (*tell)(void *arg, const char *text); /* prints the reason; on one rank of a node */
    void (*end)(void *arg); /* ends the process, which had ten seconds to end by itself */
    void *arg;
    const char *advice; /* the end of that reason: what to do; NULL: nothing */
};
struct world {
    struct comm_place place;          /* rank, size, ... */
    const struct comm_plugin *plugin; /* NULL: a world of one */
    _Atomic double timeout;           /* seconds that a rank may stand still, and that a collective
                                       * waits as long as no rank works outside of collectives; the
                                       * owner may set it at any time; 0: no limit */
    atomic_bool broken;               /* a rank is lost: waiting for the others may never end */
    struct world_hooks hooks;         /* the owner sets them before world_join */
    struct watch *watch;              /* see watch.h; NULL: a world of one */
    void *notes;                      /* size * WORLD_NOTE bytes, for world_notes */
    comm_handle side;                 /* all ranks, for world_side_send and world_side_receive */
    struct comm_queue *queue;         /* see comm_impl.h; NULL until a group needs it */
};
/* Returns the world of this process alone, a constant that all callers share. */
struct world *world_self(void);
/* Loads the plugin and connects to the other ranks. From then on a thread watches them: when one
 * dies or stands still, the world is broken. w must stay where it is. 0, or -1 with ERR_DEVICE. */
int world_join(struct world *w, const char *plugin, struct err *e);
/* Disconnects; all groups must be closed. In a broken world it ends every rank with this exit
 * status instead and does not return. */
void world_leave(struct world *w, int status);

/* Tells the others which step this rank trains, from 1 on, for their messages. */
void world_step(struct world *w, uint64_t step);
/* Prints a failure as log_fail does, and returns its exit status. If the world is broken one rank
 * prints its reason, for which the others wait for some seconds; else those print that are not
 * silent. */
int world_fail(struct world *w, bool silent, const struct err *e);

/* The launcher begins to end all ranks: looks for most of a second whether that is because a host
 * is silent, which then is the reason. */
void world_doubt(struct world *w);

/* Copies buf of rank `root` to all ranks. Waits without limit, because `root` may wait for input.
 */
int world_broadcast(struct world *w, void *buf, size_t bytes, int root, struct err *e);
/* Send and receive messages on a separate channel, one at a time; another thread may call them if
 * place.threads is set. They sleep between polls, and wait without limit unless the world breaks.
 */
int world_side_send(struct world *w, const void *buf, size_t bytes, int to, struct err *e);
int world_side_receive(struct world *w, void *buf, size_t bytes, int from, struct err *e);

/* Combines the results of all ranks. Returns 0 when rc is 0 on all of them; else -1, and *e is the
 * error of the lowest rank that failed, on all ranks. */
int world_agree(struct world *w, int rc, struct err *e);
/* Gathers a small value, of at most WORLD_NOTE bytes, from every rank. Returns the values in rank
 * order, valid until the next call; NULL with ERR_DEVICE on failure, also when a rank does not
 * answer within the timeout. Allocates nothing. */
const void *world_notes(struct world *w, const void *note, size_t bytes, struct err *e);
/* Gathers `each` bytes from every rank: dst[size * each] = the ranks' src[each] in rank order. It
 * waits as world_notes does. */
int world_gather(struct world *w, void *dst, const void *src, size_t each, struct err *e);
/* Returns 1 when v is true on any rank, else 0, on all ranks; -1 on failure. */
int world_any(struct world *w, bool v, struct err *e);
/* Divides this rank's `cpus` CPUs by the number of ranks on its node that run on the same set of
 * CPUs. *share is at least 1. */
int world_share_cpus(struct world *w, int cpus, int *share, struct err *e);

#endif
