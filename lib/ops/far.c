/* SPDX-License-Identifier: Apache-2.0 */
/* The test backend "far": another device behind two queues, with memory that faults on access from
 * outside. Operations and host calls are copied into a queue and run late: at the next download,
 * sync or wait, or when a queue is full. The memory is readable only then, and an upload reads its
 * source only then. The two queues advance at speeds drawn from a seed, one entry at a time. This
 * backend therefore exposes without a GPU: a host that reads device memory, a caller that assumes
 * that an operation has run or changes the source of a pending upload, and work of one queue that
 * does not wait for the result of the other. */
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "ops/far_memory.h"
#include "ops/table.h"

enum {
    QUEUE = 1 << 20, /* bytes of waiting entries */
    BURST = 16       /* entries that a queue runs at one speed */
};
enum { UPLOAD = OP_COUNT, CALL, AFTER, MARK }; /* kinds of entry beside the operations */

struct entry {
    size_t size, next; /* size of the payload; offset of the next entry */
    int op;            /* or UPLOAD, CALL, AFTER, MARK */
    void (*fn)(void *arg);
    uint64_t until;          /* entries of the other queue that must run before this one */
    struct device_work work; /* scratch at the time of queueing */
};
struct copy { /* payload of an upload */
    void *dst;
    const void *src;
    size_t n;
};
struct line {
    char *bytes;
    size_t at, used; /* offsets of the next entry to run and of the end */
    uint64_t pushed, done;
};
struct far {
    struct device d;
    struct device *inner;
    struct far_memory memory;
    struct line queue[DEVICE_QUEUES];
    uint64_t seed, drawn;        /* random numbers drawn so far */
    int speed;                   /* entries of every 8 that the first queue runs */
    uint64_t mark[DEVICE_MARKS]; /* entries of the first queue before the mark */
    bool draining;
};

static struct far *far_of(struct device *d) { return (struct far *)d; }

static void far_access(struct far *f, enum far_access how)
{
    struct err e;
    if (far_memory_access(&f->memory, how, &e)) device_fail(f->inner, &e);
}

/* ---- running queued work ---- */
/* Draws a speed. Speeds are odd or equal, so that each queue is sometimes far ahead of the other.
 */
static int draw(struct far *f)
{
    static const int speeds[] = {0, 1, 4, 7, 8};
    uint32_t words[4];
    rng_words(f->seed, RNG_TEST, f->drawn / BURST, 1, words);
    f->speed = speeds[words[0] % (sizeof speeds / sizeof *speeds)];
    rng_words(f->seed, RNG_TEST, f->drawn++, 2, words);
    return (int)(words[0] % 8) < f->speed ? QUEUE_COMPUTE : QUEUE_COMM;
}

static const struct entry *next_of(const struct line *q)
{
    return q->at < q->used ? (const struct entry *)(q->bytes + q->at) : NULL;
}

static bool ready(const struct far *f, int q)
{
    const struct entry *x = next_of(&f->queue[q]);
    return x && f->queue[!q].done >= x->until;
}

static void run_entry(struct far *f, struct line *q)
{
    struct entry *x = (struct entry *)(q->bytes + q->at);
    const struct copy *up = (const struct copy *)(x + 1);
    f->inner->work[QUEUE_COMPUTE] = x->work;
    if (x->op == UPLOAD)
        f->inner->ops->upload(f->inner, up->dst, up->src, up->n);
    else if (x->op == CALL)
        x->fn(x + 1);
    else if (x->op == MARK)
        f->inner->ops->mark(f->inner, *(const int *)(x + 1));
    else if (x->op != AFTER)
        f->inner->ops->run(f->inner, (enum op_id)x->op, x + 1, x->size);
    q->at = x->next;
    q->done++;
}

/* Runs until the first queue has run `entries` entries in total, or no entry is left. An entry
 * waits only for entries that were queued before it, so one queue is always ready. */
static void far_drain_to(struct far *f, uint64_t entries)
{
    if (!next_of(&f->queue[QUEUE_COMPUTE]) && !next_of(&f->queue[QUEUE_COMM])) return;
    far_access(f, FAR_WRITE);
    f->draining = true;
    while (f->queue[QUEUE_COMPUTE].done < entries) {
        const int first = draw(f), q = ready(f, first) ? first : !first;
        if (!ready(f, q)) break;
        run_entry(f, &f->queue[q]);
    }
    f->draining = false;
    for (int q = 0; q < DEVICE_QUEUES; q++)
        if (!next_of(&f->queue[q])) f->queue[q].at = f->queue[q].used = 0;
    far_access(f, FAR_NONE);
}
static void far_drain(struct far *f) { far_drain_to(f, UINT64_MAX); }

/* ---- queueing ---- */
/* Appends an entry; its size must fit an empty queue. The entry is valid until the next call. */
static struct entry *far_push(struct far *f, int q, int op, const void *p, size_t size)
{
    const size_t room = (sizeof(struct entry) + size + 63) / 64 * 64;
    struct line *l = &f->queue[q];
    if (l->used + room > QUEUE) far_drain(f);
    struct entry *x = (struct entry *)(l->bytes + l->used);
    *x = (struct entry){.size = size, .next = l->used + room, .op = op, .work = f->d.work[q]};
    if (size) memcpy(x + 1, p, size);
    l->used += room;
    l->pushed++;
    return x;
}

static void far_run(struct device *d, enum op_id op, const void *args, size_t size)
{
    struct err e;
    if (size <= QUEUE / 2) {
        far_push(far_of(d), (int)d->queue, (int)op, args, size);
        return;
    }
    err_set(&e, ERR_INTERNAL, "%s: arguments of %zu bytes", op_name(op), size);
    device_fail(far_of(d)->inner, &e);
}

static void far_upload(struct device *d, void *dst, const void *src, size_t n)
{
    struct far *f = far_of(d);
    const struct copy up = {dst, src, n};
    if (f->draining)
        f->inner->ops->upload(f->inner, dst, src, n);
    else
        far_push(f, QUEUE_COMPUTE, UPLOAD, &up, sizeof up);
}

static void far_call(struct device *d, enum device_queue q, void (*fn)(void *arg), const void *arg,
                     size_t size)
{
    far_push(far_of(d), (int)q, CALL, arg, size)->fn = fn;
}

static void far_after(struct device *d, enum device_queue q)
{
    struct far *f = far_of(d);
    struct entry *x = far_push(f, (int)q, AFTER, NULL, 0);
    x->until = f->queue[!q].pushed;
}

static void far_mark(struct device *d, int slot)
{
    struct far *f = far_of(d);
    if (f->draining) return;
    far_push(f, QUEUE_COMPUTE, MARK, &slot, sizeof slot);
    f->mark[slot] = f->queue[QUEUE_COMPUTE].pushed;
}

static void far_reached(struct device *d, int slot)
{
    struct far *f = far_of(d);
    if (!f->draining) far_drain_to(f, f->mark[slot]);
}

static double far_between(struct device *d, int from, int to)
{
    far_drain(far_of(d));
    return far_of(d)->inner->ops->between(far_of(d)->inner, from, to);
}

static void far_wait(struct device *d, enum device_queue q)
{
    (void)q;
    far_drain(far_of(d));
}

static int far_sync(struct device *d, struct err *e)
{
    far_drain(far_of(d));
    return far_of(d)->inner->ops->sync(far_of(d)->inner, e);
}

static int far_download(struct device *d, void *dst, const void *src, size_t n, struct err *e)
{
    struct far *f = far_of(d);
    if (f->draining) return f->inner->ops->download(f->inner, dst, src, n, e);
    if (far_sync(d, e)) return -1;
    far_access(f, FAR_READ);
    int rc = f->inner->ops->download(f->inner, dst, src, n, e);
    far_access(f, FAR_NONE);
    return rc;
}

/* ---- memory ---- */
static void *far_alloc(struct device *d, size_t bytes, struct err *e)
{
    return far_memory_alloc(&far_of(d)->memory, bytes, e);
}

static void far_free(struct device *d, void *p, size_t bytes)
{
    far_drain(far_of(d));
    far_memory_free(&far_of(d)->memory, p, bytes);
}

/* ---- the device ---- */
static size_t far_work(struct device *d, enum op_id op, const void *args)
{
    return far_of(d)->inner->ops->work(far_of(d)->inner, op, args);
}

static void far_close(struct device *d)
{
    struct far *f = far_of(d);
    far_drain(f);
    far_memory_end(&f->memory);
    device_close(f->inner);
    for (int q = 0; q < DEVICE_QUEUES; q++) mem_free(f->queue[q].bytes);
    mem_free(f);
}

static const struct ops far_ops = {.name = "far",
                                   .close = far_close,
                                   .alloc = far_alloc,
                                   .free = far_free,
                                   .host_alloc = host_plain_alloc,
                                   .host_free = host_plain_free,
                                   .upload = far_upload,
                                   .download = far_download,
                                   .sync = far_sync,
                                   .work = far_work,
                                   .run = far_run,
                                   .mark = far_mark,
                                   .between = far_between,
                                   .reached = far_reached,
                                   .call = far_call,
                                   .after = far_after,
                                   .wait = far_wait};

struct device *far_open(struct device *inner, uint64_t seed, struct err *e)
{
    struct far *f = mem_alloc(1, sizeof *f, e);
    if (!f) {
        device_close(inner);
        return NULL;
    }
    *f = (struct far){.d = {.ops = &far_ops,
                            .threads = inner->threads,
                            .head = inner->head,
                            .has_bf16 = inner->has_bf16},
                      .inner = inner,
                      .seed = seed};
    for (int q = 0; q < DEVICE_QUEUES; q++) {
        if ((f->queue[q].bytes = mem_alloc(QUEUE, 1, e))) continue;
        far_close(&f->d);
        return NULL;
    }
    return &f->d;
}
