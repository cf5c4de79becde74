/* SPDX-License-Identifier: Apache-2.0 */
/* The collectives through a staging buffer in host memory. */
#include "comm/staged.h"

#include <string.h>

enum {
    MAX_STAGING = 8 << 20, /* bytes: larger pieces are not faster */
    UNIT = 64              /* elements: piece sizes are multiples, so that pieces stay aligned */
};

/* The staging buffer has two halves: one for sending, one for receiving. */
static size_t half(const struct comm *c) { return c->room / 2; }
static char *send_half(struct comm *c) { return c->staging; }
static char *receive_half(struct comm *c) { return (char *)c->staging + half(c); }

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

/* Elements of each rank's block that fit half the buffer. */
static size_t piece(const struct comm *c, size_t size)
{
    return half(c) / (size_t)c->size / size / UNIT * UNIT;
}

size_t staged_room(const struct comm *c, size_t largest)
{
    const size_t least_half = (size_t)c->size * UNIT * sizeof(double);
    size_t bytes = least(largest, MAX_STAGING / 2);
    bytes = (bytes + least_half - 1) / least_half * least_half;
    return 2 * (bytes ? bytes : least_half);
}

/* ---- transfers between ranks ---- */
static int complete(struct staged *s, int code, struct comm_transfer *t)
{
    struct err e;
    const struct world_wait how = {.limited = true};
    return world_complete(s->world, t, code, how, &e) ? comm_fail(&s->c, &e) : 0;
}

/* Exchanges the blocks of the two halves, `each` bytes per rank. */
static int exchange(struct staged *s, size_t each)
{
    struct comm_transfer t = {0};
    comm_count_each(&s->c, each);
    const int code =
        s->world->plugin->exchange(s->group, receive_half(&s->c), send_half(&s->c), each, &t);
    return complete(s, code, &t);
}

static int gather(struct staged *s, void *dst, const void *src, size_t each)
{
    struct comm_transfer t = {0};
    comm_count_each(&s->c, each);
    return complete(s, s->world->plugin->gather(s->group, dst, src, each, &t), &t);
}

/* ---- copies between device and host, n bytes ---- */
static void to_host(struct staged *s, void *to, const void *from, size_t n)
{
    struct err e;
    struct device *d = s->c.device;
    if (n == 0) return;
    if ((s->threaded ? d->ops->peek : d->ops->download)(d, to, from, n, &e) == 0) return;
    memset(to, 0, n);
    comm_fail(&s->c, &e);
}

static void to_device(struct staged *s, void *to, const void *from, size_t n)
{
    struct device *d = s->c.device;
    if (n) (s->threaded ? d->ops->poke : device_upload)(d, to, from, n);
}

/* Copies elements [at, at + len) of every block of src to the send half. */
static void blocks_to_host(struct staged *s, const struct comm_call *k, size_t at, size_t len)
{
    const size_t size = dtype_size(k->type);
    for (size_t r = 0; r < (size_t)s->c.size; r++)
        to_host(s, send_half(&s->c) + r * len * size, (const char *)k->src + (r * k->n + at) * size,
                len * size);
}

static void blocks_to_device(struct staged *s, const struct comm_call *k, size_t at, size_t len,
                             const char *from)
{
    const size_t size = dtype_size(k->type);
    for (size_t r = 0; r < (size_t)s->c.size; r++)
        to_device(s, (char *)k->dst + (r * k->n + at) * size, from + r * len * size, len * size);
}

/* ---- the collectives: loops over pieces of the buffers ---- */
/* Every rank reduces one segment of each piece, then all ranks gather the segments. Zeros fill the
 * last segment beyond the end of the buffer. */
static int all_reduce(struct staged *s, const struct comm_call *k)
{
    struct comm *c = &s->c;
    const size_t size = dtype_size(k->type), ranks = (size_t)c->size;
    for (size_t at = 0; at < k->n;) {
        const size_t len = least(k->n - at, piece(c, size) * ranks);
        const size_t each = (len + ranks - 1) / ranks;
        char *place = (char *)k->dst + at * size, *all = send_half(c);
        char *mine = all + (size_t)c->rank * each * size;
        memset(all + len * size, 0, (each * ranks - len) * size);
        to_host(s, all, place, len * size);
        if (exchange(s, each * size)) return -1;
        comm_fold(mine, receive_half(c), c->size, each, k->type, k->op);
        if (gather(s, all, mine, each * size)) return -1;
        to_device(s, place, all, len * size);
        at += len;
    }
    return 0;
}

static int reduce_scatter(struct staged *s, const struct comm_call *k)
{
    struct comm *c = &s->c;
    const size_t size = dtype_size(k->type);
    for (size_t at = 0; at < k->n;) {
        const size_t len = least(k->n - at, piece(c, size));
        blocks_to_host(s, k, at, len);
        if (exchange(s, len * size)) return -1;
        comm_fold(send_half(c), receive_half(c), c->size, len, k->type, COMM_SUM);
        to_device(s, (char *)k->dst + at * size, send_half(c), len * size);
        at += len;
    }
    return 0;
}

static int all_gather(struct staged *s, const struct comm_call *k)
{
    struct comm *c = &s->c;
    const size_t size = dtype_size(k->type);
    for (size_t at = 0; at < k->n;) {
        const size_t len = least(k->n - at, piece(c, size));
        to_host(s, receive_half(c), (const char *)k->src + at * size, len * size);
        if (gather(s, send_half(c), receive_half(c), len * size)) return -1;
        blocks_to_device(s, k, at, len, send_half(c));
        at += len;
    }
    return 0;
}

static int broadcast(struct staged *s, const struct comm_call *k)
{
    struct comm *c = &s->c;
    for (size_t at = 0; at < k->n;) {
        struct comm_transfer t = {0};
        const size_t n = least(k->n - at, half(c));
        if (c->rank == k->from) {
            to_host(s, send_half(c), (const char *)k->src + at, n);
            comm_count_each(c, n);
        }
        const int code = s->world->plugin->broadcast(s->group, send_half(c), n, k->from, &t);
        if (complete(s, code, &t)) return -1;
        if (c->rank != k->from) to_device(s, (char *)k->dst + at, send_half(c), n);
        at += n;
    }
    return 0;
}

/* Bytes to one rank, and bytes from one, which may be COMM_NOBODY. */
struct messages {
    const char *src;
    char *dst;
    size_t sent, received;
    int to, from;
};

/* Both directions advance piece by piece until the longer one ends. */
static int transfer(struct staged *s, const struct messages *m)
{
    struct comm *c = &s->c;
    for (size_t at = 0; at < m->sent || at < m->received; at += half(c)) {
        struct comm_transfer t = {0};
        const size_t o = at < m->sent ? least(m->sent - at, half(c)) : 0;
        const size_t i = at < m->received ? least(m->received - at, half(c)) : 0;
        to_host(s, send_half(c), m->src + at, o);
        if (m->to != c->rank) comm_count(c, o);
        const int code =
            s->world->plugin->send_receive(s->group, send_half(c), o, o ? m->to : COMM_NOBODY,
                                           receive_half(c), i, i ? m->from : COMM_NOBODY, &t);
        if (complete(s, code, &t)) return -1;
        to_device(s, m->dst + at, receive_half(c), i);
    }
    return 0;
}

static int send_receive(struct staged *s, const struct comm_call *k)
{
    return transfer(s, &(struct messages){.src = k->src,
                                          .dst = k->dst,
                                          .sent = k->to < 0 ? 0 : k->n,
                                          .received = k->from < 0 ? 0 : k->received,
                                          .to = k->to,
                                          .from = k->from});
}

/* Copies this rank's own rows. */
static void keep(struct staged *s, char *dst, const char *src, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += half(&s->c)) {
        const size_t n = least(bytes - at, half(&s->c));
        to_host(s, send_half(&s->c), src + at, n);
        to_device(s, dst + at, send_half(&s->c), n);
    }
}

/* In turn i each rank sends to the i-th behind it, and receives from the i-th before it. */
static int all_to_all(struct staged *s, const struct comm_call *k)
{
    const int size = s->c.size, rank = s->c.rank;
    for (int i = 0; i < size; i++) {
        const int to = (rank + i) % size, from = (rank + size - i) % size;
        const struct messages m = {
            .src = (const char *)k->src + comm_rows_before(k->sends, to) * k->n,
            .dst = (char *)k->dst + comm_rows_before(k->accepts, from) * k->n,
            .sent = (size_t)k->sends[to] * k->n,
            .received = (size_t)k->accepts[from] * k->n,
            .to = to,
            .from = from};
        if (i == 0)
            keep(s, m.dst, m.src, m.sent);
        else if (transfer(s, &m))
            return -1;
    }
    return 0;
}

static int (*const kinds[COMM_KINDS])(struct staged *s, const struct comm_call *k) = {
    [COMM_ALL_REDUCE] = all_reduce, [COMM_REDUCE_SCATTER] = reduce_scatter,
    [COMM_ALL_GATHER] = all_gather, [COMM_ALL_TO_ALL] = all_to_all,
    [COMM_BROADCAST] = broadcast,   [COMM_SEND_RECEIVE] = send_receive};

/* In a broken world the other ranks do not answer, so the collective fails at once. */
void staged_run(struct comm *c, const struct comm_call *k)
{
    struct err e;
    struct staged *s = staged_of(c);
    const bool failed_before = c->failed;
    comm_begin(c, k);
    world_enter(s->world, c->slot, k->kind, ++c->begun);
    if (world_check(s->world, &e))
        comm_fail(c, &e);
    else
        kinds[k->kind](s, k);
    world_exit(s->world, c->slot);
    comm_end(c);
    if (c->failed && !failed_before) comm_prefix(&c->why, k, s->members);
}
