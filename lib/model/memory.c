/* SPDX-License-Identifier: Apache-2.0 */
/* Placement of a plan by a rehearsal of the run, and its allocation. */
#include "model/memory.h"

#include <stdint.h>
#include <string.h>

#include "base/mem.h"

/* ---- the rehearsal: a device that computes nothing and records the scratch sizes ---- */
struct rehearsal {
    struct device device;
    struct device *real;
    size_t most[DEVICE_QUEUES];
};

static void rehearse_run(struct device *d, enum op_id op, const void *args, size_t size)
{
    struct rehearsal *r = (struct rehearsal *)d;
    (void)size;
    size_t want = r->real->ops->work(r->real, op, args);
    if (want > r->most[d->queue]) r->most[d->queue] = want;
}
static void rehearse_upload(struct device *d, void *dst, const void *src, size_t n)
{
    (void)d, (void)dst, (void)src, (void)n;
}
static int rehearse_sync(struct device *d, struct err *e)
{
    (void)d, (void)e;
    return 0;
}
static const struct ops rehearse_ops = {
    .name = "rehearsal", .run = rehearse_run, .upload = rehearse_upload, .sync = rehearse_sync};

/* Adds the scratch buffers to the plan. The first queue has a buffer even if it is empty. */
static void plan_scratch(struct memory *m, const size_t most[DEVICE_QUEUES])
{
    static const char *const names[] = {"scratch", "scratch, second queue"};
    for (int q = 0; q < DEVICE_QUEUES; q++) {
        if (q > 0 && most[q] == 0) continue;
        plan_add(&m->plan, PLAN_WORKSPACE, names[q], -1, most[q], 1, PLAN_ALWAYS, 0, &m->work[q].p);
        m->work[q].bytes = m->plan.b[m->plan.count - 1].bytes;
    }
}

int memory_place(struct memory *m, struct device **device, void (*rehearse)(void *arg), void *arg,
                 struct err *e)
{
    struct rehearsal r = {.device = {.ops = &rehearse_ops, .threads = (*device)->threads},
                          .real = *device};
    m->device = *device;
    if (plan_place(&m->plan, e)) return -1;
    void *const nowhere = (void *)(uintptr_t)4096; /* addresses that are never read */
    plan_bind(&m->plan, nowhere, nowhere);
    *device = &r.device;
    rehearse(arg);
    *device = r.real;
    if (r.real->ops->sync(r.real, e)) return -1; /* a scratch size could not be computed */
    plan_scratch(m, r.most);
    return plan_place(&m->plan, e);
}

void memory_use(struct memory *m) { memcpy(m->device->work, m->work, sizeof m->work); }

int memory_alloc(struct memory *m, struct err *e)
{
    m->arena = m->device->ops->alloc(m->device, m->plan.total, e);
    if (!m->arena) return err_prefix(e, "the memory plan");
    m->host = m->device->ops->host_alloc(m->device, m->plan.host, e);
    if (!m->host) return err_prefix(e, "the memory plan");
    plan_bind(&m->plan, m->arena, m->host);
    /* Write to both allocations now: if the system overcommits memory, the run fails here and not
     * later. */
    memset(m->host, 0, m->plan.host);
    memory_use(m);
    op_zero(m->device, &(struct op_zero){.y = m->arena, .bytes = m->plan.total});
    return 0;
}

void memory_free(struct memory *m)
{
    if (m->arena) {
        m->device->ops->free(m->device, m->arena, m->plan.total);
        memset(m->device->work, 0, sizeof m->device->work);
    }
    plan_free(&m->plan);
    if (m->host) m->device->ops->host_free(m->device, m->host, m->plan.host);
    *m = (struct memory){0};
}
