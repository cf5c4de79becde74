/* SPDX-License-Identifier: Apache-2.0 */
/* The test backend "far": another device behind a queue, with memory that faults when touched from
 * outside. Operations and uploads are copied into the queue and run late, at the next download or
 * sync or when it is full; only then is the memory readable. So a host that looks into device
 * memory, or a caller that relies on an operation having run, fails here and not on a GPU first. */
#include <string.h>
#include <sys/mman.h>

#include "base/mem.h"
#include "ops/table.h"

enum {
    QUEUE = 1 << 20, /* bytes of waiting operations and uploads */
    PAGE = 1 << 16,  /* at least a page, on any system */
    UPLOAD = OP_COUNT
};

/* A buffer's pages; a page that is never readable follows, to catch what runs over the end. */
struct region {
    struct region *next;
    char *map;
    size_t bytes;
};
struct entry {
    size_t size, next; /* of what follows; offset of the next entry */
    int op;            /* or UPLOAD */
    void *dst;         /* of an upload */
    void *work;        /* as it was when queued */
    size_t work_bytes;
};
struct far {
    struct device d;
    struct device *inner;
    struct region *regions;
    char *queue;
    size_t used;
};

static struct far *far_of(struct device *d) { return (struct far *)d; }
static size_t pages(size_t n) { return (n + PAGE - 1) / PAGE * PAGE; }

static void far_protect(struct far *f, int how)
{
    struct err e;
    for (struct region *r = f->regions; r; r = r->next)
        if (mprotect(r->map, r->bytes, how)) {
            err_errno(&e, ERR_INTERNAL, "far: cannot change the protection of %zu bytes", r->bytes);
            device_fail(f->inner, &e);
        }
}

static void far_drain(struct far *f)
{
    if (!f->used) return;
    far_protect(f, PROT_READ | PROT_WRITE);
    for (size_t at = 0; at < f->used;) {
        const struct entry *x = (const struct entry *)(f->queue + at);
        f->inner->work = x->work;
        f->inner->work_bytes = x->work_bytes;
        if (x->op == UPLOAD)
            f->inner->ops->upload(f->inner, x->dst, x + 1, x->size);
        else
            f->inner->ops->run(f->inner, (enum op_id)x->op, x + 1, x->size);
        at = x->next;
    }
    f->used = 0;
    far_protect(f, PROT_NONE);
}

/* Appends; size must fit an empty queue. */
static void far_push(struct far *f, int op, void *dst, const void *p, size_t size)
{
    const size_t room = (sizeof(struct entry) + size + 63) / 64 * 64;
    if (f->used + room > QUEUE) far_drain(f);
    struct entry *x = (struct entry *)(f->queue + f->used);
    *x = (struct entry){.size = size,
                        .next = f->used + room,
                        .op = op,
                        .dst = dst,
                        .work = f->d.work,
                        .work_bytes = f->d.work_bytes};
    memcpy(x + 1, p, size);
    f->used += room;
}

static void far_run(struct device *d, enum op_id op, const void *args, size_t size)
{
    struct err e;
    if (size <= QUEUE / 2) {
        far_push(far_of(d), (int)op, NULL, args, size);
        return;
    }
    err_set(&e, ERR_INTERNAL, "%s: arguments of %zu bytes", op_name(op), size);
    device_fail(far_of(d)->inner, &e);
}

static void far_upload(struct device *d, void *dst, const void *src, size_t n)
{
    enum { PART = QUEUE / 4 };
    for (size_t at = 0; at < n; at += PART)
        far_push(far_of(d), UPLOAD, (char *)dst + at, (const char *)src + at,
                 n - at < PART ? n - at : PART);
}

static int far_sync(struct device *d, struct err *e)
{
    far_drain(far_of(d));
    return far_of(d)->inner->ops->sync(far_of(d)->inner, e);
}

static int far_download(struct device *d, void *dst, const void *src, size_t n, struct err *e)
{
    struct far *f = far_of(d);
    if (far_sync(d, e)) return -1;
    far_protect(f, PROT_READ);
    int rc = f->inner->ops->download(f->inner, dst, src, n, e);
    far_protect(f, PROT_NONE);
    return rc;
}

/* Ends where the faulting page begins, but for alignment. */
static char *user_pointer(const struct region *r, size_t bytes)
{
    return r->map + r->bytes - (bytes + 63) / 64 * 64;
}

static void *far_alloc(struct device *d, size_t bytes, struct err *e)
{
    struct region *r = mem_alloc(1, sizeof *r, e);
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
    r->next = far_of(d)->regions;
    far_of(d)->regions = r;
    return user_pointer(r, bytes ? bytes : 1);
}

static void far_free(struct device *d, void *p, size_t bytes)
{
    struct far *f = far_of(d);
    far_drain(f);
    for (struct region **at = &f->regions; *at; at = &(*at)->next) {
        struct region *r = *at;
        if (p != user_pointer(r, bytes ? bytes : 1)) continue;
        *at = r->next;
        munmap(r->map, r->bytes + PAGE);
        mem_free(r);
        return;
    }
}

static size_t far_work(struct device *d, enum op_id op, const void *args)
{
    return far_of(d)->inner->ops->work(far_of(d)->inner, op, args);
}

static void far_close(struct device *d)
{
    struct far *f = far_of(d);
    far_drain(f);
    while (f->regions) {
        struct region *r = f->regions;
        f->regions = r->next;
        munmap(r->map, r->bytes + PAGE);
        mem_free(r);
    }
    device_close(f->inner);
    mem_free(f->queue);
    mem_free(f);
}

static const struct ops far_ops = {.name = "far",
                                   .close = far_close,
                                   .alloc = far_alloc,
                                   .free = far_free,
                                   .upload = far_upload,
                                   .download = far_download,
                                   .sync = far_sync,
                                   .work = far_work,
                                   .run = far_run};

struct device *far_open(struct device *inner, struct err *e)
{
    struct far *f = mem_alloc(1, sizeof *f, e);
    char *queue = f ? mem_alloc(QUEUE, 1, e) : NULL;
    if (!queue) {
        mem_free(f);
        device_close(inner);
        return NULL;
    }
    *f =
        (struct far){.d = {.ops = &far_ops, .threads = inner->threads, .has_bf16 = inner->has_bf16},
                     .inner = inner,
                     .queue = queue};
    return &f->d;
}
