/* SPDX-License-Identifier: Apache-2.0 */
/* Steps in memory of a size known beforehand, read ahead of training by a thread. Internal to
 * lib/train. */
#ifndef SFT_TRAIN_AHEAD_H
#define SFT_TRAIN_AHEAD_H

#include "train/feed.h"

/* An empty step whose arrays lie in memory, feed_room_bytes(room, 0). */
struct feed_step ahead_step(const struct feed_room *r, void *memory);

struct ahead;
/* read(arg, s, e) reads the next step into s, whose arrays have the room's capacities: 1, or 0 at
 * the end, or -1. With depth 0 it is called when a step is wanted; else by a thread, at most depth
 * steps before. memory: feed_room_bytes(room, depth), which must outlive the result. */
struct ahead *ahead_new(const struct feed_room *room, unsigned depth, void *memory,
                        int (*read)(void *arg, struct feed_step *s, struct err *e), void *arg,
                        struct err *e);
/* As read, in the same order: the failure of a step comes when that step is asked for, and again
 * after that. *s stays valid until the next call, and is not to be freed. */
int ahead_next(struct ahead *a, struct feed_step *s, struct err *e);
/* Does not wait for input that the thread waits for; nothing is read after it. NULL is fine. */
void ahead_free(struct ahead *a);

#endif
