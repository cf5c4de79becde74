/* SPDX-License-Identifier: Apache-2.0 */
/* Collectives among the ranks of a job: pieces of device memory are copied to the host, exchanged
 * through the plugin there, added up in rank order, and copied back. A device whose copy fails goes
 * on with whatever it has, so that nobody waits for it, and reports the failure at the end. */
#include <string.h>

#include "base/mem.h"
#include "comm/comm.h"

/* One staging buffer of two halves: what is sent, and what comes. */
struct ranks {
    struct comm c;
    struct world *world;
};
static struct world *world_of(struct comm *c) { return ((struct ranks *)c)->world; }
static char *sent(struct comm *c) { return c->staging; }
static char *came(struct comm *c) { return (char *)c->staging + COMM_STAGING / 2; }

/* Elements of each rank's block that fit half the buffer. */
static size_t piece(const struct comm *c, enum dtype t)
{
    size_t n = COMM_STAGING / 2 / (size_t)c->size / dtype_size(t);
    return n / 64 * 64;
}

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

/* The first failure of the device counts; the host's buffer then holds zeros. */
struct copies {
    struct device *d;
    int rc;
    struct err *e;
};
static void down(struct copies *k, void *host, const void *device, size_t n)
{
    struct err later;
    if (n == 0) return;
    if (k->d->ops->download(k->d, host, device, n, k->rc ? &later : k->e)) {
        memset(host, 0, n);
        k->rc = -1;
    }
}
static void up(struct copies *k, void *device, const void *host, size_t n)
{
    if (n) k->d->ops->upload(k->d, device, host, n);
}

#define FOLD(type, how)                                                                            \
    do {                                                                                           \
        type *restrict y = into;                                                                   \
        for (int r = 0; r < ranks; r++) {                                                          \
            const type *restrict x = (const type *)from + (size_t)r * n;                           \
            for (size_t i = 0; i < n; i++) y[i] = r == 0 ? x[i] : how;                             \
        }                                                                                          \
    } while (0)
#define LARGER (x[i] > y[i] ? x[i] : y[i])

static int check_type(enum dtype t, struct err *e)
{
    if (t == DT_F32 || t == DT_F64) return 0;
    return err_set(e, ERR_INTERNAL, "collectives do not reduce %s", dtype_name(t));
}

/* into[n] = the ranks' blocks of n elements, one after the other: ((r0 + r1) + r2) + ... */
static void fold(void *into, const void *from, int ranks, size_t n, enum dtype t, enum comm_op op)
{
    if (t == DT_F32 && op == COMM_SUM)
        FOLD(float, y[i] + x[i]);
    else if (t == DT_F64 && op == COMM_SUM)
        FOLD(double, y[i] + x[i]);
    else if (t == DT_F32)
        FOLD(float, LARGER);
    else
        FOLD(double, LARGER);
}

static void ranks_close(struct comm *c) { mem_free(c); }

/* Every rank reduces its share of each piece, and all gather the shares. The last share may hang
 * over the end of buf: what is there is never looked at. */
static int ranks_all_reduce(struct comm *c, void *buf, size_t n, enum dtype t, enum comm_op op,
                            struct err *e)
{
    const size_t size = dtype_size(t), ranks = (size_t)c->size;
    struct copies k = {.d = c->device, .e = e};
    if (check_type(t, e)) return -1;
    for (size_t at = 0; at < n;) {
        const size_t len = least(n - at, piece(c, t) * ranks), each = (len + ranks - 1) / ranks;
        char *place = (char *)buf + at * size, *mine = sent(c) + (size_t)c->rank * each * size;
        memset(sent(c) + len * size, 0, (each * ranks - len) * size);
        down(&k, sent(c), place, len * size);
        if (world_exchange(world_of(c), came(c), sent(c), each * size, e)) return -1;
        fold(mine, came(c), c->size, each, t, op);
        if (world_gather(world_of(c), sent(c), mine, each * size, e)) return -1;
        up(&k, place, sent(c), len * size);
        at += len;
    }
    return k.rc;
}

static int ranks_reduce_scatter(struct comm *c, void *dst, const void *src, size_t n_each,
                                enum dtype t, struct err *e)
{
    const size_t size = dtype_size(t);
    struct copies k = {.d = c->device, .e = e};
    if (check_type(t, e)) return -1;
    for (size_t at = 0; at < n_each;) {
        const size_t len = least(n_each - at, piece(c, t));
        for (size_t r = 0; r < (size_t)c->size; r++)
            down(&k, sent(c) + r * len * size, (const char *)src + (r * n_each + at) * size,
                 len * size);
        if (world_exchange(world_of(c), came(c), sent(c), len * size, e)) return -1;
        fold(sent(c), came(c), c->size, len, t, COMM_SUM);
        up(&k, (char *)dst + at * size, sent(c), len * size);
        at += len;
    }
    return k.rc;
}

static int ranks_all_gather(struct comm *c, void *dst, const void *src, size_t n_each, enum dtype t,
                            struct err *e)
{
    const size_t size = dtype_size(t);
    struct copies k = {.d = c->device, .e = e};
    for (size_t at = 0; at < n_each;) {
        const size_t len = least(n_each - at, piece(c, t));
        down(&k, came(c), (const char *)src + at * size, len * size);
        if (world_gather(world_of(c), sent(c), came(c), len * size, e)) return -1;
        for (size_t r = 0; r < (size_t)c->size; r++)
            up(&k, (char *)dst + (r * n_each + at) * size, sent(c) + r * len * size, len * size);
        at += len;
    }
    return k.rc;
}

static int ranks_broadcast(struct comm *c, void *buf, size_t bytes, int root, struct err *e)
{
    struct copies k = {.d = c->device, .e = e};
    for (size_t at = 0; at < bytes;) {
        const size_t n = least(bytes - at, COMM_STAGING);
        if (c->rank == root) down(&k, sent(c), (char *)buf + at, n);
        if (world_broadcast(world_of(c), sent(c), n, root, e)) return -1;
        if (c->rank != root) up(&k, (char *)buf + at, sent(c), n);
        at += n;
    }
    return k.rc;
}

static int ranks_send(struct comm *c, const void *buf, size_t bytes, int to, struct err *e)
{
    struct copies k = {.d = c->device, .e = e};
    for (size_t at = 0; at < bytes;) {
        const size_t n = least(bytes - at, COMM_STAGING);
        down(&k, sent(c), (const char *)buf + at, n);
        if (world_send(world_of(c), sent(c), n, to, e)) return -1;
        at += n;
    }
    return k.rc;
}

static int ranks_recv(struct comm *c, void *buf, size_t bytes, int from, struct err *e)
{
    struct copies k = {.d = c->device, .e = e};
    for (size_t at = 0; at < bytes;) {
        const size_t n = least(bytes - at, COMM_STAGING);
        if (world_receive(world_of(c), sent(c), n, from, e)) return -1;
        up(&k, (char *)buf + at, sent(c), n);
        at += n;
    }
    return k.rc;
}

static int ranks_barrier(struct comm *c, struct err *e) { return world_barrier(world_of(c), e); }

static const struct comm_ops ranks_ops = {.name = "mpi",
                                          .close = ranks_close,
                                          .all_reduce = ranks_all_reduce,
                                          .reduce_scatter = ranks_reduce_scatter,
                                          .all_gather = ranks_all_gather,
                                          .broadcast = ranks_broadcast,
                                          .send = ranks_send,
                                          .recv = ranks_recv,
                                          .barrier = ranks_barrier};

struct comm *comm_mpi(struct world *w, struct device *d, struct err *e)
{
    struct ranks *r = mem_alloc(1, sizeof *r, e);
    if (!r) return NULL;
    r->world = w;
    r->c =
        (struct comm){.ops = &ranks_ops, .rank = w->place.rank, .size = w->place.size, .device = d};
    if ((size_t)w->place.size <= COMM_STAGING / 2 / 64 / sizeof(double)) return &r->c;
    mem_free(r);
    err_set(e, ERR_CONFIG, "%d ranks are too many for collectives on the host", w->place.size);
    return NULL;
}
