/* SPDX-License-Identifier: Apache-2.0 */
/* Checked allocation, arenas and (pointer, length) strings. */
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static int no_memory(struct err *e, size_t n)
{
    return err_set(e, ERR_MEMORY, "out of memory (%zu bytes wanted)", n);
}

void *mem_alloc(size_t count, size_t size, struct err *e)
{
    size_t n;
    if (mem_mul(count, size, &n)) {
        err_set(e, ERR_MEMORY, "out of memory (%zu times %zu bytes wanted)", count, size);
        return NULL;
    }
    void *p = calloc(n ? n : 1, 1);
    if (!p) no_memory(e, n);
    return p;
}

void *mem_aligned(size_t align, size_t bytes, struct err *e)
{
    size_t n;
    void *p = NULL;
    if (align < sizeof(void *)) align = sizeof(void *);
    if (mem_add(bytes ? bytes : 1, align - 1, &n) || posix_memalign(&p, align, n & ~(align - 1))) {
        no_memory(e, bytes);
        return NULL;
    }
    return p;
}

void *mem_resize(void *p, size_t bytes, struct err *e)
{
    void *to = realloc(p, bytes ? bytes : 1);
    if (!to) no_memory(e, bytes);
    return to;
}

void mem_free(void *p) { free(p); }

int mem_grow(void *array, size_t *cap, size_t need, size_t size, struct err *e)
{
    if (need <= *cap) return 0;
    size_t want = *cap + *cap / 2, bytes;
    if (want < need) want = need;
    if (want < 16) want = 16;
    if (mem_mul(want, size, &bytes))
        return err_set(e, ERR_MEMORY, "out of memory (%zu times %zu bytes wanted)", want, size);
    void *old, *grown;
    memcpy(&old, array, sizeof old); /* array is the address of a pointer of any type */
    grown = mem_resize(old, bytes, e);
    if (!grown) return -1;
    memcpy(array, &grown, sizeof grown);
    *cap = want;
    return 0;
}

char *mem_strndup(const void *s, size_t n, struct err *e)
{
    size_t room;
    if (mem_add(n, 1, &room)) {
        no_memory(e, n);
        return NULL;
    }
    char *p = mem_resize(NULL, room, e);
    if (!p) return NULL;
    if (n) memcpy(p, s, n);
    p[n] = 0;
    return p;
}

/* ---- arenas: a list of blocks, the newest first; only the newest is filled further ---- */
struct arena_block {
    struct arena_block *next;
    size_t len, cap;
    max_align_t data[];
};
enum { BLOCK_MIN = 16 << 10, BLOCK_MAX = 4 << 20 };

/* Blocks double up to BLOCK_MAX; a larger request gets a block of its own size. */
static struct arena_block *block_new(struct arena *a, size_t n)
{
    size_t cap = a->head ? a->head->cap * 2 : BLOCK_MIN, total;
    if (cap > BLOCK_MAX) cap = BLOCK_MAX;
    if (cap < n) cap = n;
    if (mem_add(cap, sizeof(struct arena_block), &total)) return NULL;
    struct arena_block *b = mem_resize(NULL, total, NULL);
    if (!b) return NULL;
    *b = (struct arena_block){.next = a->head, .cap = cap};
    a->head = b;
    return b;
}

/* n bytes, not zeroed; a multiple of the strictest alignment is taken. */
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
    no_memory(e, n);
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

/* The largest block stays: the next use is likely as large as this one. */
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
