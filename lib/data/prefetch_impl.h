/* SPDX-License-Identifier: Apache-2.0 */
/* Steps in memory of a size known beforehand, prefetched by a thread. Internal to lib/data. */
#ifndef SFT_DATA_PREFETCH_IMPL_H
#define SFT_DATA_PREFETCH_IMPL_H

#include "data/feed.h"

/* An empty step whose arrays lie in memory, feed_room_bytes(room, 0). */
struct feed_step prefetch_step(const struct feed_room *r, void *memory);

struct prefetch;
/* read(arg, s, e) reads the next step into s, whose arrays have the room's capacities: 1, or 0 at
 * the end, or -1. With depth 0 it is called when a step is wanted; else by a thread, at most depth
 * steps before. memory: feed_room_bytes(room, depth), which must outlive the result. */
struct prefetch *prefetch_new(const struct feed_room *room, unsigned depth, void *memory,
                              int (*read)(void *arg, struct feed_step *s, struct err *e), void *arg,
                              struct err *e);
/* As read, in the same order: the failure of a step comes when that step is asked for, and again
 * after that. *s stays valid until the next call, and is not to be freed. */
int prefetch_next(struct prefetch *a, struct feed_step *s, struct err *e);
/* Does not wait for input that the thread waits for; nothing is read after it. NULL is fine. */
void prefetch_free(struct prefetch *a);

#endif
