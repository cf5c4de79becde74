/* SPDX-License-Identifier: Apache-2.0 */
/* A ring of memory between two threads: one puts pieces in, the other takes them out in the same
 * order. What is between them is bounded by the memory, and each side waits for the other. Neither
 * can fail: who does not want the pieces any more takes and drops them until the last. */
#ifndef SFT_SAVE_RING_IMPL_H
#define SFT_SAVE_RING_IMPL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct ring_piece {
    const void *p; /* at a multiple of 64 bytes from the memory's start */
    size_t bytes;
    int tag; /* whatever ring_publish was given */
};
struct ring;
/* Of `bytes` bytes of memory, the owner's. NULL on failure. */
struct ring *ring_open(void *memory, size_t bytes, struct err *e);
void ring_close(struct ring *r); /* while nobody waits in it; NULL is fine */
/* What a piece takes of the memory. */
size_t ring_room(size_t bytes);
/* Before a row of pieces, while neither side is at it: there is none in the ring, and more come. */
void ring_begin(struct ring *r);

/* One side. Space in one piece, of at most the ring's memory, when there is some; it counts as put
 * in when it is published. */
void *ring_reserve(struct ring *r, size_t bytes);
void ring_publish(struct ring *r, int tag);
void ring_end(struct ring *r); /* no piece follows */

/* The other. The oldest piece, when there is one; false after the last. It stays where it is until
 * it is given back. */
bool ring_take(struct ring *r, struct ring_piece *p);
void ring_give_back(struct ring *r);

#endif
