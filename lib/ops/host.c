/* SPDX-License-Identifier: Apache-2.0 */
/* A device in host memory: "device pointers" are plain pointers and operations run when called. */
#include <string.h>
#include <sys/mman.h>

#include "base/log.h"
#include "base/mem.h"
#include "ops/table.h"

enum { HUGE_PAGE = 2 << 20 };

static struct host_device *host(struct device *d) { return (struct host_device *)d; }

void device_fail(struct device *d, const struct err *e)
{
    struct host_device *h = host(d);
    if (h->failed) return;
    h->failed = true;
    h->error = *e;
}

static void host_close(struct device *d)
{
    if (host(d)->release) host(d)->release(d);
    mem_free(d);
}

/* Allocates memory; large buffers use huge pages where available, because matrix products touch
 * many pages. */
static void *host_alloc(struct device *d, size_t bytes, struct err *e)
{
    (void)d;
    const size_t align = bytes >= HUGE_PAGE ? HUGE_PAGE : 64;
    void *p = mem_aligned(align, bytes, e);
    if (!p)
        err_prefix(e, "the device");
    else if (align == HUGE_PAGE)
        madvise(p, (bytes + align - 1) & ~(align - 1), MADV_HUGEPAGE);
    return p;
}

static void host_free(struct device *d, void *p, size_t bytes)
{
    (void)d, (void)bytes;
    mem_free(p);
}

void *host_plain_alloc(struct device *d, size_t bytes, struct err *e)
{
    (void)d;
    void *p = mem_aligned(64, bytes ? bytes : 1, e);
    if (p) memset(p, 0, bytes);
    return p;
}

void host_plain_free(struct device *d, void *p, size_t bytes)
{
    (void)d, (void)bytes;
    mem_free(p);
}

static void host_upload(struct device *d, void *dst, const void *src, size_t n)
{
    (void)d;
    if (n) memcpy(dst, src, n);
}

static int host_sync(struct device *d, struct err *e)
{
    struct host_device *h = host(d);
    if (!h->failed) return 0;
    h->failed = false;
    return err_set(e, h->error.code, "%s", h->error.msg);
}

static int host_download(struct device *d, void *dst, const void *src, size_t n, struct err *e)
{
    if (host_sync(d, e)) return -1;
    if (n) memcpy(dst, src, n);
    return 0;
}

static int host_peek(struct device *d, void *dst, const void *src, size_t n, struct err *e)
{
    (void)d, (void)e;
    if (n) memcpy(dst, src, n);
    return 0;
}

static void host_mark(struct device *d, int slot) { host(d)->mark[slot] = log_clock(); }
static double host_between(struct device *d, int from, int to)
{
    return host(d)->mark[to] - host(d)->mark[from];
}

static void host_reached(struct device *d, int slot) { (void)d, (void)slot; }

static size_t host_work(struct device *d, enum op_id op, const void *args)
{
    op_work_fn *f = (unsigned)op < OP_COUNT ? host(d)->table->work[op] : NULL;
    return f ? f(d, args) : 0;
}

static void host_run(struct device *d, enum op_id op, const void *args, size_t size)
{
    struct err e;
    if (size != op_args_size(op)) {
        err_set(&e, ERR_INTERNAL, "%s: arguments of %zu bytes", op_name(op), size);
        device_fail(d, &e);
        return;
    }
    host(d)->table->run[op](d, args);
}

static const struct ops host_ops = {.close = host_close,
                                    .alloc = host_alloc,
                                    .free = host_free,
                                    .host_alloc = host_plain_alloc,
                                    .host_free = host_plain_free,
                                    .upload = host_upload,
                                    .download = host_download,
                                    .peek = host_peek,
                                    .poke = host_upload,
                                    .sync = host_sync,
                                    .work = host_work,
                                    .run = host_run,
                                    .mark = host_mark,
                                    .between = host_between,
                                    .reached = host_reached};

struct host_device *host_open(const char *name, const struct op_table *t, int threads,
                              struct err *e)
{
    struct host_device *h = mem_alloc(1, sizeof *h, e);
    if (!h) return NULL;
    h->ops = host_ops;
    h->ops.name = name;
    h->d = (struct device){.ops = &h->ops, .threads = threads, .head = HOST_HEAD};
    h->table = t;
    return h;
}
