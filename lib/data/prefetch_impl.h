/* SPDX-License-Identifier: Apache-2.0 */
/* A thread prefetches steps into memory of a planned size. */
#ifndef SFT_DATA_PREFETCH_IMPL_H
#define SFT_DATA_PREFETCH_IMPL_H

#include "data/feed.h"

/* Returns an empty step whose arrays lie in memory, feed_room_bytes(room, 0). */
struct feed_step prefetch_step(const struct feed_room *r, void *memory);

struct prefetch;
/* read(arg, s, e) reads the next step into s, whose arrays have the room's capacities: 1, or 0 at
 * the end, or -1. With depth 0 prefetch_next calls it; else a thread does, at most depth steps
 * before. memory: feed_room_bytes(room, depth), which must outlive the result. */
struct prefetch *prefetch_new(const struct feed_room *room, unsigned depth, void *memory,
                              int (*read)(void *arg, struct feed_step *s, struct err *e), void *arg,
                              struct err *e);
/* Returns what `read` returned, in the same order: a failure comes when its step is asked for, and
 * at every call after that. *s stays valid until the next call, and is not freed. */
int prefetch_next(struct prefetch *p, struct feed_step *s, struct err *e);
/* Ends the thread, without waiting for its input. NULL is fine. */
void prefetch_free(struct prefetch *p);

#endif
