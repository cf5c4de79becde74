/* SPDX-License-Identifier: Apache-2.0 */
/* A buddy allocator: gives out parts of one block of memory, in powers of two, and joins what comes
 * back. It asks the system for nothing and locks nothing. */
#ifndef SFT_BASE_HEAP_H
#define SFT_BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>

enum {
    HEAP_ATOM = 256, /* bytes of the smallest part */
    HEAP_PAGE = 4096 /* parts are aligned to their size, but no more than to this */
};

struct heap;
/* Bytes of a block from which `room` bytes can be given out; SIZE_MAX when that is too large. */
size_t heap_bytes(size_t room);
/* Lays a heap into a block of heap_bytes(room), which stays the caller's. */
struct heap *heap_make(void *block, size_t room);
/* From now on the block is plain memory again, whatever was given out. */
void heap_end(struct heap *h);

/* At least `bytes` bytes, not zeroed; NULL when there is no such part. O(log n), as all below. */
void *heap_alloc(struct heap *h, size_t bytes);
/* p is given out: false for any other address. */
bool heap_free(struct heap *h, void *p);
/* What p, which is given out, may be used for becomes `bytes`, where it is; false: it is too small.
 */
bool heap_fit(struct heap *h, void *p, size_t bytes);
/* p is in the block. */
bool heap_has(const struct heap *h, const void *p);
size_t heap_room(const struct heap *h); /* bytes that can be given out */
size_t heap_used(const struct heap *h); /* that are, with what was added to make powers of two */
size_t heap_most(const struct heap *h); /* that were at any time */

#endif
