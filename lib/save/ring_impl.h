/* SPDX-License-Identifier: Apache-2.0 */
/* A ring of memory between two threads: one puts pieces in, the other takes them out in the same
 * order. The memory bounds the pieces in between, and each side waits for the other. Neither side
 * can fail: a taker that has no more use for the pieces drops them, to the last. */
#ifndef SFT_SAVE_RING_IMPL_H
#define SFT_SAVE_RING_IMPL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct ring_piece {
    const void *p; /* at a multiple of 64 bytes from the memory's start */
    size_t bytes;
    int tag; /* as given to ring_publish */
};
struct ring;
/* Opens a ring of `bytes` bytes of memory, which stays the owner's. NULL on failure. */
struct ring *ring_open(void *memory, size_t bytes, struct err *e);
void ring_close(struct ring *r); /* while nobody waits in it; NULL is fine */
/* Returns the memory that a piece takes. */
size_t ring_room(size_t bytes);
/* Empties the ring before a sequence of pieces, while neither side uses it. */
void ring_begin(struct ring *r);

/* The putter's side. Waits for room and returns it, contiguous, for at most the ring's memory. The
 * piece is in the ring once it is published: the first `bytes` bytes, at most those reserved. */
void *ring_reserve(struct ring *r, size_t bytes);
void ring_publish(struct ring *r, size_t bytes, int tag);
void ring_end(struct ring *r); /* no piece follows */

/* The taker's side. Waits for the oldest piece; false after the last. The piece stays in place
 * until it is given back. */
bool ring_take(struct ring *r, struct ring_piece *p);
void ring_give_back(struct ring *r);

#endif
