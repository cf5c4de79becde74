/* SPDX-License-Identifier: Apache-2.0 */
/* Allocates all memory: from the system, or from the reserve of a sealed program. */
#include "base/mem.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/heap.h"

static int no_memory(struct err *e, size_t n)
{
    return err_set(e, ERR_MEMORY, "out of memory (%zu bytes wanted)", n);
}

/* ---- the reserve ---- */
static struct heap *_Atomic reserve;
static uint64_t beyond;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* protects the reserve and `beyond` */

size_t mem_reserve(size_t room) { return heap_bytes(room); }

void mem_seal(void *block, size_t room)
{
    beyond = 0;
    reserve = heap_make(block, room);
}

void mem_unseal(void)
{
    struct heap *h = reserve;
    reserve = NULL;
    if (h) heap_end(h);
}

struct mem_sealed mem_sealed(void)
{
    struct heap *h = reserve;
    if (!h) return (struct mem_sealed){0};
    pthread_mutex_lock(&lock);
    const struct mem_sealed s = {heap_room(h), heap_peak(h), beyond};
    pthread_mutex_unlock(&lock);
    return s;
}

/* Allocates from the reserve; NULL when the caller must use the system. */
static void *take(size_t align, size_t bytes)
{
    struct heap *h = reserve;
    if (!h) return NULL;
    pthread_mutex_lock(&lock);
    void *p = align > HEAP_PAGE ? NULL : heap_alloc(h, bytes);
    beyond += !p;
    pthread_mutex_unlock(&lock);
    return p;
}

/* Returns the reserve if p lies in it, else NULL. */
static struct heap *owner(const void *p)
{
    struct heap *h = reserve;
    return h && heap_has(h, p) ? h : NULL;
}

static bool fits(struct heap *h, void *p, size_t bytes)
{
    pthread_mutex_lock(&lock);
    const bool yes = heap_fit(h, p, bytes);
    pthread_mutex_unlock(&lock);
    return yes;
}

/* ---- allocation ---- */
static int array_bytes(size_t count, size_t size, size_t *n, struct err *e)
{
    if (!mem_mul(count, size, n)) return 0;
    return err_set(e, ERR_MEMORY, "out of memory (%zu times %zu bytes wanted)", count, size);
}

static void *from_system(size_t n, struct err *e)
{
    void *p = calloc(n ? n : 1, 1);
    if (!p) no_memory(e, n);
    return p;
}

void *mem_alloc(size_t count, size_t size, struct err *e)
{
    size_t n;
    if (array_bytes(count, size, &n, e)) return NULL;
    void *p = take(1, n);
    return p ? memset(p, 0, n) : from_system(n, e);
}

void *mem_lasting(size_t count, size_t size, struct err *e)
{
    size_t n;
    return array_bytes(count, size, &n, e) ? NULL : from_system(n, e);
}

void *mem_aligned(size_t align, size_t bytes, struct err *e)
{
    size_t n;
    void *p = NULL;
    if (align < sizeof(void *)) align = sizeof(void *);
    if (mem_add(bytes ? bytes : 1, align - 1, &n)) {
        no_memory(e, bytes);
        return NULL;
    }
    n &= ~(align - 1);
    if (!(p = take(align, n)) && posix_memalign(&p, align, n)) {
        no_memory(e, bytes);
        return NULL;
    }
    return p;
}

/* A block from the system moves into the reserve when it is resized. */
void *mem_resize(void *p, size_t had, size_t bytes, struct err *e)
{
    struct heap *h = owner(p);
    if (!bytes) bytes = 1;
    if (h && fits(h, p, bytes)) return p;
    void *to = take(1, bytes);
    if (!to && !h) {
        if (!(to = realloc(p, bytes))) no_memory(e, bytes);
        return to;
    }
    if (!to && !(to = malloc(bytes))) {
        no_memory(e, bytes);
        return NULL;
    }
    if (p) memcpy(to, p, had < bytes ? had : bytes);
    mem_free(p);
    return to;
}

void mem_free(void *p)
{
    struct heap *h = owner(p);
    if (!h) {
        free(p);
        return;
    }
    pthread_mutex_lock(&lock);
    heap_free(h, p);
    pthread_mutex_unlock(&lock);
}

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
    grown = mem_resize(old, *cap * size, bytes, e);
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
    char *p = mem_resize(NULL, 0, room, e);
    if (!p) return NULL;
    if (n) memcpy(p, s, n);
    p[n] = 0;
    return p;
}
