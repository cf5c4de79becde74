/* SPDX-License-Identifier: Apache-2.0 */
/* The buddy allocator (Knuth, TAOCP 1, 2.5), as a binary tree over the atoms: each node covers its
 * two children and stores the order of the largest free part below it. The tree lies before the
 * parts, so the allocator never writes into a free part. */
#include "base/heap.h"

#include <limits.h>
#include <stdint.h>

#include "base/mem.h"

/* AddressSanitizer reports an access to a free part. */
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define LOCK(p, n)   __asan_poison_memory_region(p, n)
#define UNLOCK(p, n) __asan_unpoison_memory_region(p, n)
#else
#define LOCK(p, n)   ((void)(p), (void)(n))
#define UNLOCK(p, n) ((void)(p), (void)(n))
#endif

/* A part of order k has 2^k atoms. The root is node 1 and has order `top`; node i has the children
 * 2i and 2i + 1; node (1 << top) + a is atom a. The leaves beyond `atoms` are never free. */
struct heap {
    char *base;
    size_t atoms, used, peak;
    unsigned top;
    /* 1 + the order of the largest free part in node i; 0: none. An allocated node has 0, and the
     * nodes below it keep their values: free. */
    unsigned char best[];
};

/* The smallest order that covers this many atoms. */
static unsigned order_of(size_t atoms)
{
    unsigned order = 0;
    while (((size_t)1 << order) < atoms) order++;
    return order;
}

static size_t atoms_of(size_t bytes) { return bytes / HEAP_ATOM + (bytes % HEAP_ATOM != 0); }
static size_t tree_bytes(unsigned top) { return sizeof(struct heap) + ((size_t)2 << top); }

size_t heap_bytes(size_t room)
{
    if (room > SIZE_MAX / 8) return SIZE_MAX;
    const size_t atoms = atoms_of(room);
    return tree_bytes(order_of(atoms)) + atoms * HEAP_ATOM + 2 * HEAP_PAGE;
}

/* Bytes from p to the next multiple of align. */
static size_t padding(const void *p, size_t align) { return -(uintptr_t)p & (align - 1); }

/* Recomputes best[node] from its children. The node is one free part when both halves are free. */
static void join(struct heap *h, size_t node, unsigned order)
{
    const unsigned char l = h->best[2 * node], r = h->best[2 * node + 1];
    const unsigned char more = l > r ? l : r;
    h->best[node] = (unsigned char)(l == order && r == order ? order + 1 : more);
}

struct heap *heap_make(void *block, size_t room)
{
    struct heap *h = (void *)((char *)block + padding(block, _Alignof(struct heap)));
    const size_t atoms = atoms_of(room);
    const unsigned top = order_of(atoms);
    char *base = (char *)h + tree_bytes(top);
    base += padding(base, HEAP_PAGE);
    *h = (struct heap){.base = base, .atoms = atoms, .top = top};
    const size_t leaves = (size_t)1 << top;
    for (size_t a = 0; a < leaves; a++) h->best[leaves + a] = a < atoms;
    for (unsigned order = 1; order <= top; order++)
        for (size_t i = leaves >> order; i < leaves >> (order - 1); i++) join(h, i, order);
    LOCK(base, atoms * HEAP_ATOM);
    return h;
}

void heap_end(struct heap *h) { UNLOCK(h->base, h->atoms * HEAP_ATOM); }

size_t heap_room(const struct heap *h) { return h->atoms * HEAP_ATOM; }
size_t heap_peak(const struct heap *h) { return h->peak; }

bool heap_has(const struct heap *h, const void *p)
{
    return (uintptr_t)p - (uintptr_t)h->base < h->atoms * HEAP_ATOM;
}

/* Recomputes the ancestors of a node that has changed. */
static void update_parents(struct heap *h, size_t node, unsigned order)
{
    while (node > 1) {
        node /= 2;
        join(h, node, ++order);
    }
}

static char *part(const struct heap *h, size_t node, unsigned order)
{
    return h->base + ((node << order) - ((size_t)1 << h->top)) * HEAP_ATOM;
}

void *heap_alloc(struct heap *h, size_t bytes)
{
    const size_t atoms = atoms_of(bytes);
    if (atoms > h->atoms) return NULL;
    const unsigned order = order_of(atoms), want = order + 1;
    if (h->best[1] < want) return NULL;
    size_t node = 1;
    for (unsigned k = h->top; k > order; k--) { /* descend into the half that fits best */
        const unsigned l = h->best[2 * node], r = h->best[2 * node + 1];
        node = 2 * node + (l < want || (r >= want && r < l));
    }
    h->best[node] = 0;
    update_parents(h, node, order);
    h->used += (size_t)HEAP_ATOM << order;
    if (h->used > h->peak) h->peak = h->used;
    char *p = part(h, node, order);
    UNLOCK(p, bytes);
    return p;
}

/* Returns the node of the allocated part at p and sets *order; 0 when there is none. From the atom
 * upwards, the first node with best 0 is the allocated one, because the nodes below it are free. */
static size_t find(const struct heap *h, const void *p, unsigned *order)
{
    const size_t at = (size_t)((uintptr_t)p - (uintptr_t)h->base);
    if (!heap_has(h, p) || at % HEAP_ATOM) return 0;
    size_t node = ((size_t)1 << h->top) + at / HEAP_ATOM;
    for (*order = 0; node && h->best[node]; node /= 2) ++*order;
    return node && part(h, node, *order) == p ? node : 0;
}

bool heap_free(struct heap *h, void *p)
{
    unsigned order;
    const size_t node = find(h, p, &order);
    if (!node) return false;
    h->best[node] = (unsigned char)(order + 1);
    update_parents(h, node, order);
    h->used -= (size_t)HEAP_ATOM << order;
    LOCK(p, (size_t)HEAP_ATOM << order);
    return true;
}

bool heap_fit(struct heap *h, void *p, size_t bytes)
{
    unsigned order;
    if (!find(h, p, &order) || bytes > (size_t)HEAP_ATOM << order) return false;
    LOCK(p, (size_t)HEAP_ATOM << order);
    UNLOCK(p, bytes);
    return true;
}
