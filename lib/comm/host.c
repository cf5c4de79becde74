/* SPDX-License-Identifier: Apache-2.0 */
/* Collectives through the host's memory: pieces of device memory are copied to a staging buffer,
 * exchanged through the world's plugin, added up in rank order, and copied back. They run in the
 * second queue of a device that has queues; else on a thread of the group where the device and the
 * plugin allow another thread; else on the thread that joins or finishes, by the same code. A
 * device whose copy fails takes part with zeros, so that no rank waits for it, and its failure is
 * reported at the end. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "comm/comm_impl.h"

enum {
    MOST_STAGING = 8 << 20, /* bytes: larger pieces are not faster */
    UNIT = 64               /* elements: pieces are multiples, so that they stay aligned */
};

struct host {
    struct comm c;
    struct world *world;
    comm_handle group;
    struct comm_queue *queue; /* NULL: the device's own is used */
    bool own;                 /* the queue is the group's, with a thread */
    uint64_t queued;          /* number of the last call in it */
    bool failed; /* since the last comm_finish; of the queue's thread until that has run */
    struct err why;
    char members[80]; /* "ranks 0, 2 and 4", for messages */
};
static struct host *host_of(struct comm *c) { return (struct host *)c; }

/* The staging buffer has two halves: for what is sent, and for what comes. */
static size_t half(const struct comm *c) { return c->room / 2; }
static char *sent(struct comm *c) { return c->staging; }
static char *came(struct comm *c) { return (char *)c->staging + half(c); }

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

/* Elements of each rank's block that fit half the buffer. */
static size_t piece(const struct comm *c, size_t size)
{
    return half(c) / (size_t)c->size / size / UNIT * UNIT;
}

static size_t host_room(const struct comm *c, size_t largest)
{
    const size_t least_half = (size_t)c->size * UNIT * sizeof(double);
    size_t bytes = largest < MOST_STAGING / 2 ? largest : MOST_STAGING / 2;
    bytes = (bytes + least_half - 1) / least_half * least_half;
    return 2 * (bytes ? bytes : least_half);
}

/* ---- one call, on the queue's thread ---- */
static int fail(struct host *h, const struct err *e)
{
    if (!h->failed) h->why = *e;
    h->failed = true;
    return -1;
}

static int complete(struct host *h, int code, struct comm_transfer *t)
{
    struct err e;
    const struct world_wait how = {.limit = h->world->timeout};
    return world_complete(h->world, t, code, how, &e) ? fail(h, &e) : 0;
}

static int exchange(struct host *h, size_t each)
{
    struct comm_transfer t = {0};
    return complete(h, h->world->plugin->exchange(h->group, came(&h->c), sent(&h->c), each, &t),
                    &t);
}

static int gather(struct host *h, void *dst, const void *src, size_t each)
{
    struct comm_transfer t = {0};
    return complete(h, h->world->plugin->gather(h->group, dst, src, each, &t), &t);
}

static void down(struct host *h, void *to, const void *from, size_t n)
{
    struct err e;
    struct device *d = h->c.device;
    if (n == 0) return;
    if ((h->own ? d->ops->peek : d->ops->download)(d, to, from, n, &e) == 0) return;
    memset(to, 0, n);
    fail(h, &e);
}

static void up(struct host *h, void *to, const void *from, size_t n)
{
    struct device *d = h->c.device;
    if (n) (h->own ? d->ops->poke : d->ops->upload)(d, to, from, n);
}

/* Every rank reduces its share of each piece, and all gather the shares. The last share may hang
 * over the end of the buffer; it is filled with zeros. */
static int all_reduce(struct host *h, const struct comm_call *k)
{
    struct comm *c = &h->c;
    const size_t size = dtype_size(k->type), ranks = (size_t)c->size;
    for (size_t at = 0; at < k->n;) {
        const size_t len = least(k->n - at, piece(c, size) * ranks);
        const size_t each = (len + ranks - 1) / ranks;
        char *place = (char *)k->dst + at * size, *mine = sent(c) + (size_t)c->rank * each * size;
        memset(sent(c) + len * size, 0, (each * ranks - len) * size);
        down(h, sent(c), place, len * size);
        if (exchange(h, each * size)) return -1;
        comm_fold(mine, came(c), c->size, each, k->type, k->op);
        if (gather(h, sent(c), mine, each * size)) return -1;
        up(h, place, sent(c), len * size);
        at += len;
    }
    return 0;
}

/* Elements [at, at + len) of every block of src are copied to the host. */
static void down_blocks(struct host *h, const struct comm_call *k, size_t at, size_t len)
{
    const size_t size = dtype_size(k->type);
    for (size_t r = 0; r < (size_t)h->c.size; r++)
        down(h, sent(&h->c) + r * len * size, (const char *)k->src + (r * k->n + at) * size,
             len * size);
}

static void up_blocks(struct host *h, const struct comm_call *k, size_t at, size_t len,
                      const char *from)
{
    const size_t size = dtype_size(k->type);
    for (size_t r = 0; r < (size_t)h->c.size; r++)
        up(h, (char *)k->dst + (r * k->n + at) * size, from + r * len * size, len * size);
}

static int reduce_scatter(struct host *h, const struct comm_call *k)
{
    struct comm *c = &h->c;
    const size_t size = dtype_size(k->type);
    for (size_t at = 0; at < k->n;) {
        const size_t len = least(k->n - at, piece(c, size));
        down_blocks(h, k, at, len);
        if (exchange(h, len * size)) return -1;
        comm_fold(sent(c), came(c), c->size, len, k->type, COMM_SUM);
        up(h, (char *)k->dst + at * size, sent(c), len * size);
        at += len;
    }
    return 0;
}

static int all_gather(struct host *h, const struct comm_call *k)
{
    struct comm *c = &h->c;
    const size_t size = dtype_size(k->type);
    for (size_t at = 0; at < k->n;) {
        const size_t len = least(k->n - at, piece(c, size));
        down(h, came(c), (const char *)k->src + at * size, len * size);
        if (gather(h, sent(c), came(c), len * size)) return -1;
        up_blocks(h, k, at, len, sent(c));
        at += len;
    }
    return 0;
}

static int all_to_all(struct host *h, const struct comm_call *k)
{
    const size_t size = dtype_size(k->type);
    for (size_t at = 0; at < k->n;) {
        const size_t len = least(k->n - at, piece(&h->c, size));
        down_blocks(h, k, at, len);
        if (exchange(h, len * size)) return -1;
        up_blocks(h, k, at, len, came(&h->c));
        at += len;
    }
    return 0;
}

static int broadcast(struct host *h, const struct comm_call *k)
{
    struct comm *c = &h->c;
    for (size_t at = 0; at < k->n;) {
        struct comm_transfer t = {0};
        const size_t n = least(k->n - at, half(c));
        if (c->rank == k->from) down(h, sent(c), (const char *)k->src + at, n);
        if (complete(h, h->world->plugin->broadcast(h->group, sent(c), n, k->from, &t), &t))
            return -1;
        if (c->rank != k->from) up(h, (char *)k->dst + at, sent(c), n);
        at += n;
    }
    return 0;
}

/* Both directions go piece by piece until the longer one is over. */
static int send_receive(struct host *h, const struct comm_call *k)
{
    struct comm *c = &h->c;
    const size_t out = k->to < 0 ? 0 : k->n, in = k->from < 0 ? 0 : k->received;
    for (size_t at = 0; at < out || at < in; at += half(c)) {
        struct comm_transfer t = {0};
        const size_t o = at < out ? least(out - at, half(c)) : 0;
        const size_t i = at < in ? least(in - at, half(c)) : 0;
        down(h, sent(c), (const char *)k->src + at, o);
        const int code = h->world->plugin->send_receive(h->group, sent(c), o, o ? k->to : -1,
                                                        came(c), i, i ? k->from : -1, &t);
        if (complete(h, code, &t)) return -1;
        up(h, (char *)k->dst + at, came(c), i);
    }
    return 0;
}

static const struct {
    const char *name;
    int (*run)(struct host *h, const struct comm_call *k);
} kinds[COMM_KINDS] = {[COMM_ALL_REDUCE] = {"all_reduce", all_reduce},
                       [COMM_REDUCE_SCATTER] = {"reduce_scatter", reduce_scatter},
                       [COMM_ALL_GATHER] = {"all_gather", all_gather},
                       [COMM_ALL_TO_ALL] = {"all_to_all", all_to_all},
                       [COMM_BROADCAST] = {"broadcast", broadcast},
                       [COMM_SEND_RECEIVE] = {"send_receive", send_receive}};

/* In a broken world no rank can be met any more. */
static void run_call(struct comm *c, const struct comm_call *k)
{
    struct err e;
    struct host *h = host_of(c);
    const bool had = h->failed;
    if (world_gone(h->world, &e))
        fail(h, &e);
    else
        kinds[k->kind].run(h, k);
    if (h->failed && !had)
        err_prefix(&h->why, "%s of %zu %s among %s", kinds[k->kind].name, k->n,
                   k->kind == COMM_BROADCAST || k->kind == COMM_SEND_RECEIVE ? "bytes"
                                                                             : dtype_name(k->type),
                   h->members);
}

/* ---- the queue: the device's, or one of lib/comm ---- */
struct queued {
    struct comm *c;
    struct comm_call call;
};
static void run_queued(void *arg)
{
    const struct queued *x = arg;
    run_call(x->c, &x->call);
}

/* A device without queues has done all work that it was given. */
static void enqueue(struct host *h, const struct comm_call *k)
{
    struct device *d = h->c.device;
    const struct queued x = {&h->c, *k};
    if (h->queue) {
        h->queued = comm_queue_push(h->queue, run_call, &h->c, k);
        return;
    }
    d->ops->after(d, QUEUE_COMM);
    d->ops->call(d, QUEUE_COMM, run_queued, &x, sizeof x);
}

static void wait_queue(struct host *h)
{
    struct device *d = h->c.device;
    if (h->queue)
        comm_queue_wait(h->queue, h->queued);
    else
        d->ops->wait(d, QUEUE_COMM);
}

/* ---- the table ---- */
static bool reduces(const struct comm_call *k)
{
    return k->kind == COMM_ALL_REDUCE || k->kind == COMM_REDUCE_SCATTER;
}

static int check(const struct comm *c, const struct comm_call *k, struct err *e)
{
    const char *name = kinds[k->kind].name;
    if (reduces(k) && k->type != DT_F32 && k->type != DT_F64 && k->type != DT_BF16)
        return err_set(e, ERR_INTERNAL, "%s: %s is not reduced", name, dtype_name(k->type));
    if (k->to >= c->size || k->from >= c->size || k->to < -1 || k->from < -1)
        return err_set(e, ERR_INTERNAL, "%s: rank %d or %d of a group of %d", name, k->to, k->from,
                       c->size);
    return 0;
}

/* An argument that is wrong is wrong on every rank: it is found before any of them exchanges. */
static void host_run(struct comm *c, const struct comm_call *k)
{
    struct err e;
    struct host *h = host_of(c);
    if (check(c, k, &e) == 0) {
        enqueue(h, k);
        return;
    }
    wait_queue(h);
    fail(h, &e);
}

/* The host hands work to a device without queues, so what it hands over later runs later. */
static void host_join(struct comm *c)
{
    struct host *h = host_of(c);
    if (h->queue)
        wait_queue(h);
    else
        c->device->ops->after(c->device, QUEUE_COMPUTE);
}

static int host_finish(struct comm *c, struct err *e)
{
    struct host *h = host_of(c);
    wait_queue(h);
    if (!h->failed) return 0;
    if (e) *e = h->why;
    h->failed = false;
    return -1;
}

static void host_close(struct comm *c)
{
    struct host *h = host_of(c);
    if (h->group) wait_queue(h);
    if (h->own) comm_queue_close(h->queue);
    if (h->group && !h->world->broken) h->world->plugin->group_close(h->group);
    mem_free(h);
}

static const struct comm_ops host_ops = {.name = "host",
                                         .close = host_close,
                                         .room = host_room,
                                         .run = host_run,
                                         .join = host_join,
                                         .finish = host_finish};

static void name_members(struct host *h, const int *ranks, int n)
{
    size_t at = 0;
    const size_t size = sizeof h->members;
    for (int i = 0; i < n && at + 30 < size; i++) {
        const char *between = i == 0 ? "ranks " : i == n - 1 ? " and " : ", ";
        at += (size_t)snprintf(h->members + at, size - at, "%s%d", between, ranks[i]);
        if (at + 30 >= size && i < n - 1) snprintf(h->members + at, size - at, ", ...");
    }
}

static int open_group(struct host *h, const int *ranks, struct err *e)
{
    struct comm *c = &h->c;
    const struct ops *ops = c->device->ops;
    h->own = !ops->call && h->world->place.threads && ops->peek && ops->poke;
    if (!ops->call) {
        h->queue = h->own ? comm_queue_open(true, e) : world_queue(h->world, e);
        if (!h->queue) return -1;
    }
    struct comm_transfer none = {0};
    const int code = h->world->plugin->group_open(ranks, c->size, &h->group);
    return code ? world_complete(h->world, &none, code, (struct world_wait){0}, e) : 0;
}

static struct host *host_new(struct device *d, int rank, int size, struct err *e)
{
    struct host *h = mem_alloc(1, sizeof *h, e);
    if (h) h->c = (struct comm){.ops = &host_ops, .rank = rank, .size = size, .device = d};
    return h;
}

struct comm *comm_group(struct world *w, struct device *d, const int *ranks, int n, struct err *e)
{
    int rank = 0;
    if (n == 1) return comm_self(d, e);
    while (rank < n && ranks[rank] != w->place.rank) rank++;
    if (rank == n) {
        err_set(e, ERR_INTERNAL, "rank %d opens a group of others", w->place.rank);
        return NULL;
    }
    struct host *h = host_new(d, rank, n, e);
    if (!h) return NULL;
    h->world = w;
    name_members(h, ranks, n);
    if (open_group(h, ranks, e) == 0) return &h->c;
    comm_close(&h->c);
    return NULL;
}

/* ---- a group for planning ---- */
static void planned_close(struct comm *c) { mem_free(c); }
static void planned_run(struct comm *c, const struct comm_call *k)
{
    struct err e;
    err_set(&e, ERR_INTERNAL, "%s in a group that is only planned", kinds[k->kind].name);
    fail(host_of(c), &e);
}
static void planned_join(struct comm *c) { (void)c; }
static int planned_finish(struct comm *c, struct err *e)
{
    if (host_of(c)->failed && e) *e = host_of(c)->why;
    return host_of(c)->failed ? -1 : 0;
}
static const struct comm_ops planned_ops = {.name = "planned",
                                            .close = planned_close,
                                            .room = host_room,
                                            .run = planned_run,
                                            .join = planned_join,
                                            .finish = planned_finish};

struct comm *comm_planned(struct device *d, int size, struct err *e)
{
    if (size == 1) return comm_self(d, e);
    struct host *h = host_new(d, 0, size, e);
    if (!h) return NULL;
    h->c.ops = &planned_ops;
    return &h->c;
}
