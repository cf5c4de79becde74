/* SPDX-License-Identifier: Apache-2.0 */
/* Arenas, and (pointer, length) strings. */
#include <string.h>

#include "base/mem.h"

/* ---- arenas: a list of blocks, newest first; allocations come from the newest ---- */
struct arena_block {
    struct arena_block *next;
    size_t len, cap;
    max_align_t data[];
};
enum { BLOCK_MIN = 16 << 10, BLOCK_MAX = 4 << 20 }; /* bytes, header included */

/* Blocks double up to BLOCK_MAX; a larger request gets a block of its own size. */
static struct arena_block *block_new(struct arena *a, size_t n)
{
    const size_t head = sizeof(struct arena_block);
    size_t total = a->head ? (a->head->cap + head) * 2 : BLOCK_MIN, least;
    if (mem_add(n, head, &least)) return NULL;
    if (total > BLOCK_MAX) total = BLOCK_MAX;
    if (total < least) total = least;
    struct arena_block *b = mem_resize(NULL, 0, total, NULL);
    if (!b) return NULL;
    *b = (struct arena_block){.next = a->head, .cap = total - head};
    a->head = b;
    return b;
}

/* Returns n bytes, not zeroed. The size is rounded up to the strictest alignment. */
static void *arena_take(struct arena *a, size_t n, struct err *e)
{
    const size_t align = sizeof(max_align_t);
    size_t room, used;
    if (mem_add(n ? n : 1, align - 1, &room)) goto fail;
    room -= room % align;
    if (mem_add(a->used, room, &used)) goto fail;
    if (a->max && used > a->max) {
        err_set(e, ERR_MEMORY, "more than %zu bytes of memory needed", a->max);
        return NULL;
    }
    struct arena_block *b = a->head;
    if (!b || b->cap - b->len < room) b = block_new(a, room);
    if (!b) goto fail;
    void *p = (char *)b->data + b->len;
    b->len += room;
    a->used = used;
    return p;
fail:
    err_set(e, ERR_MEMORY, "out of memory (%zu bytes wanted)", n);
    return NULL;
}

void *arena_alloc(struct arena *a, size_t n, struct err *e)
{
    void *p = arena_take(a, n, e);
    return p ? memset(p, 0, n) : NULL;
}

void *arena_copy(struct arena *a, const void *src, size_t n, struct err *e)
{
    char *p = n < SIZE_MAX ? arena_take(a, n + 1, e) : NULL;
    if (!p) return NULL;
    if (n) memcpy(p, src, n);
    p[n] = 0;
    return p;
}

/* Keeps the largest block, because the next use is likely as large as this one. */
void arena_reset(struct arena *a)
{
    struct arena_block *keep = NULL;
    for (struct arena_block *b = a->head, *next; b; b = next) {
        next = b->next;
        if (!keep || b->cap > keep->cap) {
            mem_free(keep);
            keep = b;
        } else {
            mem_free(b);
        }
    }
    if (keep) {
        keep->next = NULL;
        keep->len = 0;
    }
    a->head = keep;
    a->used = 0;
}

void arena_free(struct arena *a)
{
    for (struct arena_block *b = a->head, *next; b; b = next) {
        next = b->next;
        mem_free(b);
    }
    a->head = NULL;
    a->used = 0;
}

/* ---- strings ---- */
bool str_eq(struct str a, struct str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool str_is(struct str a, const char *z) { return str_eq(a, str_z(z)); }

struct str str_z(const char *z) { return (struct str){z, strlen(z)}; }
