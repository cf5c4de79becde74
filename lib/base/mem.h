/* SPDX-License-Identifier: Apache-2.0 */
/* Memory: checked allocation and arenas. */
#ifndef SFT_BASE_MEM_H
#define SFT_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* The compiler warns about a call whose result is not used. */
#define MUST_CHECK __attribute__((warn_unused_result))

/* Allocates count * size zeroed bytes, at least one, or NULL with ERR_MEMORY; checks the product
 * for overflow. Released by mem_free(). */
MUST_CHECK void *mem_alloc(size_t count, size_t size, struct err *e);
/* As mem_alloc, but from the system also in a sealed program, for what outlives the seal. */
MUST_CHECK void *mem_lasting(size_t count, size_t size, struct err *e);

/* Allocates `bytes` bytes, not zeroed, at a multiple of `align` (a power of two), or NULL with
 * ERR_MEMORY. */
MUST_CHECK void *mem_aligned(size_t align, size_t bytes, struct err *e);
/* Resizes p, which is NULL or from mem_alloc, to `bytes` bytes. Keeps the first `had` bytes, or as
 * many as fit; new bytes are not zeroed. NULL with ERR_MEMORY leaves p unchanged. */
MUST_CHECK void *mem_resize(void *p, size_t had, size_t bytes, struct err *e);
/* Releases an allocation of any of these; NULL is fine. */
void mem_free(void *p);

/* Grows *array, which holds *cap elements of `size` bytes, to at least `need` elements; new ones
 * are not zeroed. Returns 0, or -1 with ERR_MEMORY and *array unchanged. `array` points to a
 * pointer of any type. */
MUST_CHECK int mem_grow(void *array, size_t *cap, size_t need, size_t size, struct err *e);

/* Copies n bytes and appends a NUL; released by mem_free(). */
MUST_CHECK char *mem_strndup(const void *s, size_t n, struct err *e);

/* A program that must not take more memory from the system seals itself: from then on, allocations
 * come from a block that it already has. Allocations that do not fit still come from the system and
 * are counted. */
/* Bytes of a block for `room` bytes of allocations, each rounded up to a power of two. */
size_t mem_reserve(size_t room);
/* Seals the program with a block of mem_reserve(room) bytes, which the caller keeps owning. */
void mem_seal(void *block, size_t room);
/* Returns to the system's allocator. Allocations in the block must not be used or released after
 * this. */
void mem_unseal(void);
struct mem_sealed {
    size_t room, most; /* bytes: of the block, and the most in use at any time */
    uint64_t beyond;   /* allocations that did not fit into the block */
};
struct mem_sealed mem_sealed(void); /* counts since mem_seal; zeroes when not sealed */

/* Both return true on overflow; else they set *r. */
static inline bool mem_mul(size_t a, size_t b, size_t *r)
{
    return __builtin_mul_overflow(a, b, r);
}
static inline bool mem_add(size_t a, size_t b, size_t *r)
{
    return __builtin_add_overflow(a, b, r);
}

/* Memory that is released all at once. Zero-initialise; `max` bounds the total in bytes (0: no
 * bound). */
struct arena {
    struct arena_block *head;
    size_t used, max;
};
/* Allocates n zeroed bytes aligned for any type, or NULL with ERR_MEMORY. */
MUST_CHECK void *arena_alloc(struct arena *a, size_t n, struct err *e);
/* Copies the n bytes at src and appends a NUL; NULL with ERR_MEMORY. */
MUST_CHECK void *arena_copy(struct arena *a, const void *src, size_t n, struct err *e);
void arena_reset(struct arena *a); /* ends all allocations, keeps one block for reuse */
void arena_free(struct arena *a);

/* n bytes at p, without a NUL. */
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
