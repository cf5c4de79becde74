/* SPDX-License-Identifier: Apache-2.0 */
/* The placement of buffers by lifetime, and the table that --plan prints. */
#include "model/plan.h"

#include <limits.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"

enum { ALIGN = 256 }; /* bytes */

static const char *const class_name[PLAN_CLASSES] = {
    "weights",   "master",        "moments", "gradients",          "activations",
    "workspace", "communication", "data",    "checkpoint_staging", "reserve"};

void plan_add(struct plan *p, enum plan_class class, const char *name, int layer, size_t count,
              size_t size, int begin, int end, void **slot)
{
    size_t bytes;
    *slot = NULL;
    if (p->failed) return;
    if (mem_mul(count, size, &bytes) || bytes > SIZE_MAX / 4) {
        err_set(&p->why, ERR_MEMORY, "%s: %zu times %zu bytes do not fit in memory", name, count,
                size);
        p->failed = true;
        return;
    }
    if (mem_grow(&p->b, &p->cap, p->count + 1, sizeof *p->b, &p->why)) {
        p->failed = true;
        return;
    }
    bytes = (bytes + ALIGN - 1) / ALIGN * ALIGN;
    if (begin == PLAN_ALWAYS) end = INT_MAX;
    p->b[p->count++] = (struct plan_buffer){.class = class,
                                            .name = name,
                                            .layer = layer,
                                            .bytes = bytes ? bytes : ALIGN,
                                            .begin = begin,
                                            .end = end,
                                            .slot = slot};
}

void plan_add_host(struct plan *p, enum plan_class class, const char *name, size_t bytes,
                   void **slot)
{
    plan_add(p, class, name, -1, bytes, 1, PLAN_ALWAYS, 0, slot);
    if (!p->failed) p->b[p->count - 1].host = true;
}

int plan_after(const struct plan *p)
{
    int last = 0;
    for (size_t i = 0; i < p->count; i++)
        if (p->b[i].begin != PLAN_ALWAYS && p->b[i].end > last) last = p->b[i].end;
    return last + 1;
}

/* Compares buffers by size, the largest first, then by order of addition: the classic heuristic for
 * this packing problem. */
static int by_size(const void *x, const void *y)
{
    const struct plan_buffer *const *a = x, *const *b = y;
    if ((*a)->bytes != (*b)->bytes) return (*a)->bytes > (*b)->bytes ? -1 : 1;
    return *a < *b ? -1 : *a > *b;
}

static bool together(const struct plan_buffer *a, const struct plan_buffer *b)
{
    return a->host == b->host && a->begin <= b->end && b->begin <= a->end;
}

/* Returns the lowest offset at which `w` fits beside the n placed buffers, which are sorted by
 * offset. It is the first gap between the buffers whose lifetimes overlap that of w. */
static size_t lowest_fit(struct plan_buffer *const *placed, size_t n, const struct plan_buffer *w)
{
    size_t at = 0;
    for (size_t i = 0; i < n && placed[i]->offset < at + w->bytes; i++) {
        const struct plan_buffer *b = placed[i];
        if (together(b, w) && b->offset + b->bytes > at) at = b->offset + b->bytes;
    }
    return at;
}

/* Inserts a buffer and keeps the list sorted by offset. */
static void insert(struct plan_buffer **placed, size_t n, struct plan_buffer *w)
{
    for (; n > 0 && placed[n - 1]->offset > w->offset; n--) placed[n] = placed[n - 1];
    placed[n] = w;
}

static int place_all(struct plan *p, struct plan_buffer *const *order, struct plan_buffer **placed,
                     struct err *e)
{
    p->total = p->host = 0;
    for (size_t i = 0; i < p->count; i++) {
        struct plan_buffer *w = order[i];
        size_t end;
        w->offset = lowest_fit(placed, i, w);
        if (mem_add(w->offset, w->bytes, &end) || end > SIZE_MAX / 4)
            return err_set(e, ERR_MEMORY, "the memory plan does not fit in the address space");
        size_t *total = w->host ? &p->host : &p->total;
        if (end > *total) *total = end;
        insert(placed, i, w);
    }
    return 0;
}

int plan_place(struct plan *p, struct err *e)
{
    if (p->failed) {
        if (e) *e = p->why;
        return -1;
    }
    struct plan_buffer **order = mem_alloc(p->count, 2 * sizeof *order, e);
    if (!order) return -1;
    for (size_t i = 0; i < p->count; i++) order[i] = &p->b[i];
    qsort(order, p->count, sizeof *order, by_size);
    int rc = place_all(p, order, order + p->count, e);
    mem_free(order);
    return rc;
}

void plan_bind(const struct plan *p, void *base, void *host)
{
    for (size_t i = 0; i < p->count; i++)
        *p->b[i].slot = (char *)(p->b[i].host ? host : base) + p->b[i].offset;
}

void plan_free(struct plan *p)
{
    mem_free(p->b);
    *p = (struct plan){0};
}

/* Returns the largest number of bytes of a class that live at one time; that time is some buffer's
 * begin. */
static size_t class_peak(const struct plan *p, enum plan_class c)
{
    size_t peak = 0;
    for (size_t i = 0; i < p->count; i++) {
        size_t live = 0;
        int t = p->b[i].begin;
        for (size_t j = 0; j < p->count; j++) {
            const struct plan_buffer *b = &p->b[j];
            if (b->class == c && (b->begin == PLAN_ALWAYS || (b->begin <= t && t <= b->end)))
                live += b->bytes;
        }
        if (live > peak) peak = live;
    }
    return peak;
}

struct class_sum {
    size_t buffers, bytes, peak;
};
static struct class_sum class_sum(const struct plan *p, enum plan_class c)
{
    struct class_sum s = {0};
    for (size_t i = 0; i < p->count; i++) {
        if (p->b[i].class != c) continue;
        s.buffers++;
        s.bytes += p->b[i].bytes;
    }
    s.peak = s.buffers ? class_peak(p, c) : 0;
    return s;
}

static double mib(size_t n) { return (double)n / (1 << 20); }

void plan_print(const struct plan *p, struct buf *b)
{
    buf_printf(b, "%-18s %8s %12s %12s\n", "memory", "buffers", "sum MiB", "peak MiB");
    for (int c = 0; c < PLAN_CLASSES; c++) {
        struct class_sum s = class_sum(p, (enum plan_class)c);
        buf_printf(b, "%-18s %8zu %12.1f %12.1f\n", class_name[c], s.buffers, mib(s.bytes),
                   mib(s.peak));
    }
    buf_printf(b, "%-18s %8zu %12s %12.1f\n", "allocation", p->count, "", mib(plan_size(p)));
}

void plan_json(const struct plan *p, struct buf *b)
{
    buf_puts(b, "\"classes\":{");
    for (int c = 0; c < PLAN_CLASSES; c++) {
        struct class_sum s = class_sum(p, (enum plan_class)c);
        buf_printf(b, "%s\"%s\":{\"buffers\":%zu,\"bytes\":%zu,\"peak\":%zu}", c ? "," : "",
                   class_name[c], s.buffers, s.bytes, s.peak);
    }
    buf_puts(b, "},\"buffers\":[");
    for (size_t i = 0; i < p->count; i++) {
        const struct plan_buffer *q = &p->b[i];
        buf_printf(b, "%s{\"class\":\"%s\",\"name\":\"%s\",", i ? "," : "", class_name[q->class],
                   q->name);
        if (q->layer >= 0) buf_printf(b, "\"layer\":%d,", q->layer);
        if (q->begin != PLAN_ALWAYS) buf_printf(b, "\"begin\":%d,\"end\":%d,", q->begin, q->end);
        buf_printf(b, "\"bytes\":%zu,\"offset\":%zu}", q->bytes,
                   q->offset + (q->host ? p->total : 0));
    }
    buf_printf(b, "],\"total\":%zu,\"host\":%zu", plan_size(p), p->host);
}
