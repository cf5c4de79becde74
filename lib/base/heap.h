/* SPDX-License-Identifier: Apache-2.0 */
/* A buddy allocator: allocates parts of one block of memory in powers of two and joins free
 * neighbours. It never allocates from the system and takes no lock. */
#ifndef SFT_BASE_HEAP_H
#define SFT_BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>

enum {
    HEAP_ATOM = 256, /* bytes of the smallest part */
    HEAP_PAGE = 4096 /* parts are aligned to their size, at most to this */
};

struct heap;
/* Bytes of a block that can hold `room` bytes of allocations; SIZE_MAX when that is too large. */
size_t heap_bytes(size_t room);
/* Makes a heap in a block of heap_bytes(room) bytes. The caller keeps owning the block. */
struct heap *heap_make(void *block, size_t room);
/* Ends the heap with all its allocations: the block is plain memory again. */
void heap_end(struct heap *h);

/* Allocates at least `bytes` bytes, not zeroed; NULL when no free part is large enough. This and
 * the functions below take O(log n). */
void *heap_alloc(struct heap *h, size_t bytes);
/* Frees p; false when no allocation starts there. */
bool heap_free(struct heap *h, void *p);
/* Resizes the allocation p in place; false when its part is too small. */
bool heap_fit(struct heap *h, void *p, size_t bytes);
/* True when p points into the block. */
bool heap_has(const struct heap *h, const void *p);
size_t heap_room(const struct heap *h); /* bytes in all */
size_t heap_peak(const struct heap *h); /* the most bytes in parts at any time */

#endif
