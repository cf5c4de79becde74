/* SPDX-License-Identifier: Apache-2.0 */
/* Each buffer has pages of its own, whose protection changes. */
#include "ops/far_memory.h"

#include <stdint.h>
#include <sys/mman.h>

#include "base/mem.h"

enum { PAGE = 1 << 16 }; /* bytes: at least one page on any system */

/* The pages of a buffer; a page that never allows access follows, to catch overruns. */
struct far_region {
    struct far_region *next;
    char *map;
    size_t bytes;
};

static size_t pages(size_t n) { return (n + PAGE - 1) / PAGE * PAGE; }

int far_memory_access(const struct far_memory *m, enum far_access how, struct err *e)
{
    static const int protection[] = {PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE};
    int rc = 0;
    for (const struct far_region *r = m->regions; r; r = r->next)
        if (mprotect(r->map, r->bytes, protection[how]))
            rc = err_errno(e, ERR_INTERNAL, "far: cannot change the protection of %zu bytes",
                           r->bytes);
    return rc;
}

/* Returns a pointer to the buffer, which ends where the faulting page begins, up to alignment. */
static char *buffer(const struct far_region *r, size_t bytes)
{
    return r->map + r->bytes - ((bytes ? bytes : 1) + 63) / 64 * 64;
}

void *far_memory_alloc(struct far_memory *m, size_t bytes, struct err *e)
{
    struct far_region *r = mem_alloc(1, sizeof *r, e);
    if (!r) return NULL;
    r->bytes = pages(bytes ? bytes : 1);
    r->map = bytes > SIZE_MAX / 2
                 ? MAP_FAILED
                 : mmap(NULL, r->bytes + PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (r->map == MAP_FAILED) {
        mem_free(r);
        err_set(e, ERR_MEMORY, "cannot allocate %zu bytes for the device", bytes);
        return NULL;
    }
    r->next = m->regions;
    m->regions = r;
    return buffer(r, bytes);
}

/* Frees the first region of a list. */
static void release(struct far_region **at)
{
    struct far_region *r = *at;
    *at = r->next;
    munmap(r->map, r->bytes + PAGE);
    mem_free(r);
}

void far_memory_free(struct far_memory *m, void *p, size_t bytes)
{
    for (struct far_region **at = &m->regions; *at; at = &(*at)->next) {
        if (p != buffer(*at, bytes)) continue;
        release(at);
        return;
    }
}

void far_memory_end(struct far_memory *m)
{
    while (m->regions) release(&m->regions);
}
