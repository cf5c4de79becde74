/* SPDX-License-Identifier: Apache-2.0 */
/* The list of buffers, and the table that --plan prints. */
#include "model/plan.h"

#include <limits.h>
#include <stdint.h>

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

void plan_behind(struct plan *p, size_t first)
{
    struct plan before = {.b = p->b, .count = first}, moved = {.b = p->b + first};
    if (p->failed) return;
    moved.count = p->count - first;
    const int then = plan_after(&before), last = then + plan_after(&moved);
    for (size_t i = 0; i < moved.count; i++) {
        struct plan_buffer *b = &moved.b[i];
        if (b->host) continue;
        const bool always = b->begin == PLAN_ALWAYS;
        b->begin = always ? then : b->begin + then;
        b->end = always ? last : b->end + then;
    }
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

/* Sets peak[c] to the largest number of bytes of each class that live at one time. -1: no memory.
 */
static int class_peaks(const struct plan *p, size_t peak[PLAN_CLASSES])
{
    const size_t times = (size_t)plan_after(p) + 1;
    size_t always[PLAN_CLASSES] = {0};
    /* [times][PLAN_CLASSES]: bytes that begin at that time, less those that ended before it */
    size_t(*change)[PLAN_CLASSES] = mem_alloc(times, sizeof *change, NULL);
    if (!change) return -1;
    for (size_t i = 0; i < p->count; i++) {
        const struct plan_buffer *b = &p->b[i];
        if (b->begin == PLAN_ALWAYS) always[b->class] += b->bytes;
        if (b->begin == PLAN_ALWAYS || b->begin > b->end) continue;
        change[b->begin][b->class] += b->bytes;
        change[b->end + 1][b->class] -= b->bytes;
    }
    for (int c = 0; c < PLAN_CLASSES; c++) {
        size_t live = peak[c] = always[c];
        for (size_t t = 0; t < times; t++) {
            live += change[t][c];
            if (live > peak[c]) peak[c] = live;
        }
    }
    mem_free(change);
    return 0;
}

struct class_sum {
    size_t buffers, bytes, peak;
};
/* Sets the sums of all classes; marks b as failed without memory. */
static void class_sums(const struct plan *p, struct class_sum s[PLAN_CLASSES], struct buf *b)
{
    size_t peak[PLAN_CLASSES] = {0};
    if (class_peaks(p, peak)) b->failed = true;
    for (int c = 0; c < PLAN_CLASSES; c++) s[c] = (struct class_sum){.peak = peak[c]};
    for (size_t i = 0; i < p->count; i++) {
        s[p->b[i].class].buffers++;
        s[p->b[i].class].bytes += p->b[i].bytes;
    }
}

static double mib(size_t n) { return (double)n / (1 << 20); }

void plan_print(const struct plan *p, struct buf *b)
{
    struct class_sum sum[PLAN_CLASSES];
    class_sums(p, sum, b);
    buf_printf(b, "%-18s %8s %12s %12s\n", "memory", "buffers", "sum MiB", "peak MiB");
    for (int c = 0; c < PLAN_CLASSES; c++) {
        buf_printf(b, "%-18s %8zu %12.1f %12.1f\n", class_name[c], sum[c].buffers,
                   mib(sum[c].bytes), mib(sum[c].peak));
    }
    buf_printf(b, "%-18s %8zu %12s %12.1f\n", "allocation", p->count, "", mib(plan_size(p)));
}

void plan_json(const struct plan *p, struct buf *b)
{
    struct class_sum sum[PLAN_CLASSES];
    class_sums(p, sum, b);
    buf_puts(b, "\"classes\":{");
    for (int c = 0; c < PLAN_CLASSES; c++) {
        buf_printf(b, "%s\"%s\":{\"buffers\":%zu,\"bytes\":%zu,\"peak\":%zu}", c ? "," : "",
                   class_name[c], sum[c].buffers, sum[c].bytes, sum[c].peak);
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
