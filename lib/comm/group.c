/* SPDX-License-Identifier: Apache-2.0 */
/* Groups of several ranks. A GPU exchanges its memory directly, see nccl.c. On other devices the
 * collectives go through the host: in the second queue of a device that has queues; else on a
 * thread of the group, if the device and the plugin support another thread; else on the thread that
 * joins or finishes, by the same code. */
#include "base/mem.h"
#include "comm/staged.h"

/* ---- the queue: of the device, or of lib/comm ---- */
struct queued {
    struct comm *c;
    struct comm_call call;
};
static void run_queued(void *arg)
{
    const struct queued *x = arg;
    staged_run(x->c, &x->call);
}

/* A device without queues needs no order: it has finished all earlier work. */
static void enqueue(struct staged *s, const struct comm_call *k)
{
    struct device *d = s->c.device;
    const struct queued x = {&s->c, *k};
    if (s->queue) {
        s->queued = comm_queue_push(s->queue, staged_run, &s->c, k);
        return;
    }
    d->ops->after(d, QUEUE_COMM);
    d->ops->call(d, QUEUE_COMM, run_queued, &x, sizeof x);
}

static void wait_queue(struct staged *s)
{
    struct device *d = s->c.device;
    if (s->queue)
        comm_queue_wait(s->queue, s->queued);
    else
        d->ops->wait(d, QUEUE_COMM);
}

/* ---- the operations of a group ---- */
/* A wrong argument is wrong on every rank, so every rank stops before the exchange. */
static void group_run(struct comm *c, const struct comm_call *k)
{
    struct err e;
    struct staged *s = staged_of(c);
    if (comm_check(c, k, &e) == 0) {
        enqueue(s, k);
        return;
    }
    wait_queue(s);
    comm_fail(c, &e);
}

/* A device without queues runs later work when the host submits it, so the host waits here. */
static void group_join(struct comm *c)
{
    struct staged *s = staged_of(c);
    if (s->queue)
        wait_queue(s);
    else
        c->device->ops->after(c->device, QUEUE_COMPUTE);
}

static int group_finish(struct comm *c, struct err *e)
{
    wait_queue(staged_of(c));
    return comm_take_failure(c, e);
}

static void group_close(struct comm *c)
{
    struct staged *s = staged_of(c);
    if (s->group) wait_queue(s);
    if (s->threaded) comm_queue_close(s->queue);
    if (s->group && !s->world->broken) s->world->plugin->group_close(s->group);
    world_unmark(c->slot);
    mem_free(s);
}

static const struct comm_ops group_ops = {.name = "host",
                                          .close = group_close,
                                          .room = staged_room,
                                          .run = group_run,
                                          .join = group_join,
                                          .finish = group_finish};

/* ---- opening ---- */
static int open_group(struct staged *s, const int *ranks, struct err *e)
{
    struct comm *c = &s->c;
    const struct ops *ops = c->device->ops;
    s->threaded = !ops->call && s->world->place.threads && ops->peek && ops->poke;
    if (!ops->call) {
        s->queue = s->threaded ? comm_queue_open(true, e) : world_queue(s->world, e);
        if (!s->queue) return -1;
    }
    struct comm_transfer none = {0};
    const int code = s->world->plugin->group_open(ranks, c->size, &s->group);
    return code ? world_complete(s->world, &none, code, (struct world_wait){0}, e) : 0;
}

static struct comm *staged_open(struct world *w, struct device *d, const int *ranks, int n,
                                int rank, struct err *e)
{
    struct staged *s = mem_alloc(1, sizeof *s, e);
    if (!s) return NULL;
    s->c = (struct comm){.ops = &group_ops, .label = "group", .rank = rank, .size = n, .device = d};
    s->world = w;
    comm_name_members(s->members, ranks, n);
    if (open_group(s, ranks, e) == 0) return &s->c;
    comm_close(&s->c);
    return NULL;
}

struct comm *comm_group(struct world *w, struct device *d, const int *ranks, int n, struct err *e)
{
    int rank = 0;
    if (n == 1) return comm_self(d, e);
    while (rank < n && ranks[rank] != w->place.rank) rank++;
    if (rank == n) {
        err_set(e, ERR_INTERNAL, "rank %d opens a group without itself", w->place.rank);
        return NULL;
    }
    struct comm *c = comm_direct(d) ? nccl_group_open(w, d, ranks, n, rank, e)
                                    : staged_open(w, d, ranks, n, rank, e);
    if (c) c->slot = world_mark(w, c->label, ranks, n);
    return c;
}
