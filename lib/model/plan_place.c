/* SPDX-License-Identifier: Apache-2.0 */
/* The placement of buffers by lifetime: first fit, the largest buffers first. The placed buffers
 * are in blocks, which a search passes at once where all of a block, or none, is in its way. */
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "model/plan.h"

enum { BLOCK = 256 };

/* Placed buffers, sorted by offset. */
struct block {
    struct plan_buffer *b[BLOCK];
    size_t n;
    size_t top;                /* the largest end of its buffers */
    size_t gap;                /* the largest number of bytes between them that none of them has */
    int first_end, last_begin; /* a lifetime that overlaps these overlaps all of them */
    int last_end, first_begin; /* one outside these overlaps none */
};
/* The buffers that are placed in one allocation. */
struct shelf {
    struct block **block; /* by offset */
    size_t n, cap;
    size_t total; /* the end of the last buffer */
};

static void shelf_free(struct shelf *s)
{
    for (size_t i = 0; i < s->n; i++) mem_free(s->block[i]);
    mem_free(s->block);
}

/* Compares buffers by size, the largest first, then by order of addition: the classic heuristic for
 * this packing problem. */
static int by_size(const void *x, const void *y)
{
    const struct plan_buffer *const *a = x, *const *b = y;
    if ((*a)->bytes != (*b)->bytes) return (*a)->bytes > (*b)->bytes ? -1 : 1;
    return *a < *b ? -1 : *a > *b;
}

static void summarize(struct block *k)
{
    k->top = k->gap = 0;
    k->first_end = k->first_begin = INT_MAX;
    k->last_end = k->last_begin = INT_MIN;
    for (size_t i = 0; i < k->n; i++) {
        const struct plan_buffer *b = k->b[i];
        if (i > 0 && b->offset > k->top && b->offset - k->top > k->gap) k->gap = b->offset - k->top;
        if (b->offset + b->bytes > k->top) k->top = b->offset + b->bytes;
        if (b->end < k->first_end) k->first_end = b->end;
        if (b->end > k->last_end) k->last_end = b->end;
        if (b->begin < k->first_begin) k->first_begin = b->begin;
        if (b->begin > k->last_begin) k->last_begin = b->begin;
    }
}

/* Passes the buffers of a block: raises *at to the lowest offset behind those in the way of w. True
 * when w fits below the rest of them. */
static bool pass_block(const struct block *k, const struct plan_buffer *w, size_t *at)
{
    if (k->b[0]->offset >= *at + w->bytes) return true;
    if (k->last_end < w->begin || k->first_begin > w->end) return false;
    if (k->first_end >= w->begin && k->last_begin <= w->end && k->gap < w->bytes) {
        if (k->top > *at) *at = k->top;
        return false;
    }
    for (size_t i = 0; i < k->n; i++) {
        const struct plan_buffer *b = k->b[i];
        if (b->offset >= *at + w->bytes) return true;
        bool together = b->begin <= w->end && w->begin <= b->end;
        if (together && b->offset + b->bytes > *at) *at = b->offset + b->bytes;
    }
    return false;
}

/* Returns the lowest offset at which w fits beside the placed buffers. It is the first gap between
 * those whose lifetimes overlap that of w. */
static size_t lowest_fit(const struct shelf *s, const struct plan_buffer *w)
{
    size_t at = 0;
    for (size_t i = 0; i < s->n && !pass_block(s->block[i], w, &at);) i++;
    return at;
}

/* Makes room for a block at index i. */
static struct block *add_block(struct shelf *s, size_t i, struct err *e)
{
    struct block *k;
    if (mem_grow(&s->block, &s->cap, s->n + 1, sizeof *s->block, e)) return NULL;
    if (!(k = mem_alloc(1, sizeof *k, e))) return NULL;
    memmove(s->block + i + 1, s->block + i, (s->n++ - i) * sizeof *s->block);
    return s->block[i] = k;
}

/* Moves the upper half of a full block to a new one behind it. */
static int split_block(struct shelf *s, size_t i, struct err *e)
{
    struct block *upper = add_block(s, i + 1, e), *lower = s->block[i];
    if (!upper) return -1;
    upper->n = lower->n / 2;
    lower->n -= upper->n;
    memcpy(upper->b, lower->b + lower->n, upper->n * sizeof *upper->b);
    summarize(upper);
    return 0;
}

static int insert(struct shelf *s, struct plan_buffer *w, struct err *e)
{
    size_t i = 0, at;
    if (s->n == 0 && !add_block(s, 0, e)) return -1;
    while (i + 1 < s->n && s->block[i + 1]->b[0]->offset <= w->offset) i++;
    if (s->block[i]->n == BLOCK) {
        if (split_block(s, i, e)) return -1;
        if (s->block[i + 1]->b[0]->offset <= w->offset) i++;
    }
    struct block *k = s->block[i];
    for (at = k->n++; at > 0 && k->b[at - 1]->offset > w->offset; at--) k->b[at] = k->b[at - 1];
    k->b[at] = w;
    summarize(k);
    return 0;
}

static int place(struct shelf *s, struct plan_buffer *w, struct err *e)
{
    size_t end;
    w->offset = lowest_fit(s, w);
    if (mem_add(w->offset, w->bytes, &end) || end > SIZE_MAX / 4)
        return err_set(e, ERR_MEMORY, "the memory plan does not fit in the address space");
    if (end > s->total) s->total = end;
    return insert(s, w, e);
}

int plan_place(struct plan *p, struct err *e)
{
    struct shelf device = {0}, host = {0};
    if (p->failed) {
        if (e) *e = p->why;
        return -1;
    }
    struct plan_buffer **order = mem_alloc(p->count, sizeof *order, e);
    if (!order) return -1;
    for (size_t i = 0; i < p->count; i++) order[i] = &p->b[i];
    qsort(order, p->count, sizeof *order, by_size);
    int rc = 0;
    for (size_t i = 0; i < p->count && rc == 0; i++)
        rc = place(order[i]->host ? &host : &device, order[i], e);
    p->total = device.total;
    p->host = host.total;
    shelf_free(&device);
    shelf_free(&host);
    mem_free(order);
    return rc;
}
