/* SPDX-License-Identifier: Apache-2.0 */
/* Memory: checked allocation and arenas. */
#ifndef SFT_BASE_MEM_H
#define SFT_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* A failure that nobody looks at would be taken for something else. */
#define MUST_CHECK __attribute__((warn_unused_result))

/* count * size zeroed bytes (at least one), or NULL with ERR_MEMORY; the product is checked.
 * Released with mem_free(). */
MUST_CHECK void *mem_alloc(size_t count, size_t size, struct err *e);

/* `bytes` bytes, not zeroed, at a multiple of `align` (a power of two); or NULL with ERR_MEMORY. */
MUST_CHECK void *mem_aligned(size_t align, size_t bytes, struct err *e);
/* p, of mem_alloc or NULL, with room for `bytes` and its first `had` bytes (or as many as there is
 * room for) kept; what is new is not zeroed. NULL with ERR_MEMORY and p as it was. */
MUST_CHECK void *mem_resize(void *p, size_t had, size_t bytes, struct err *e);
/* Releases what any of these has given; NULL is fine. */
void mem_free(void *p);

/* Grows *array, which holds *cap elements of `size` bytes, to hold at least `need`; new space is
 * not zeroed. 0, or -1 with ERR_MEMORY and *array as it was. */
MUST_CHECK int mem_grow(void *array, size_t *cap, size_t need, size_t size, struct err *e);

/* A copy of n bytes followed by a NUL, released with mem_free(). */
MUST_CHECK char *mem_strndup(const void *s, size_t n, struct err *e);

/* A program that must not ask the system for more memory seals itself: from then on all that is
 * allocated lies in a block that it has. What the block has no room for still comes from the
 * system, and is counted. */
/* Bytes of a block for `room` bytes of allocations, each rounded up to a power of two. */
size_t mem_reserve(size_t room);
void mem_seal(void *block, size_t room); /* the block, of mem_reserve(room), stays the caller's */
/* The system is asked again, and the block may go: what still lies in it must not be touched or
 * released any more. */
void mem_unseal(void);
struct mem_sealed {
    size_t room, most; /* bytes: of the block, and in use at any time */
    uint64_t beyond;   /* allocations that it had no room for */
};
struct mem_sealed mem_sealed(void); /* since mem_seal; zeroes when nothing is sealed */

/* true when the result would overflow; else *r is set. */
static inline bool mem_mul(size_t a, size_t b, size_t *r)
{
    return __builtin_mul_overflow(a, b, r);
}
static inline bool mem_add(size_t a, size_t b, size_t *r)
{
    return __builtin_add_overflow(a, b, r);
}

/* An arena hands out memory that is released all at once. Zero-initialise; `max` bounds the total
 * (0: no bound). */
struct arena {
    struct arena_block *head;
    size_t used, max;
};
/* n zeroed bytes aligned for any type, or NULL with ERR_MEMORY. */
MUST_CHECK void *arena_alloc(struct arena *a, size_t n, struct err *e);
/* The same with a copy of src, a NUL appended. */
MUST_CHECK void *arena_copy(struct arena *a, const void *src, size_t n, struct err *e);
void arena_reset(struct arena *a); /* forgets everything, keeps one block for reuse */
void arena_free(struct arena *a);

/* Bytes with a length: never relies on a NUL. */
struct str {
    const char *p;
    size_t n;
};
#define STR(lit)   ((struct str){(lit), sizeof(lit) - 1})
#define STR_FMT(s) (int)((s).n > 1000000 ? 1000000 : (s).n), (s).p /* for "%.*s" */
bool str_eq(struct str a, struct str b);
bool str_is(struct str a, const char *z); /* equals the C string */
struct str str_z(const char *z);

#endif
