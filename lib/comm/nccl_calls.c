/* SPDX-License-Identifier: Apache-2.0 */
/* The collectives of a group of GPUs. Messages go from buffer to buffer. Sums are ours: the blocks
 * of the other ranks come into the staging memory, and a kernel reduces them in rank order, so that
 * the result depends neither on NCCL's algorithms nor on the pieces. */
#include "comm/nccl.h"

#include <sched.h>

enum {
    MAX_STAGING = 64 << 20, /* bytes: about 9 MB from each of 7 peers, at which links are busy */
    UNIT = 64 /* elements: sizes of pieces are multiples, so that blocks stay aligned */
};

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

/* The other ranks have a block each; the last elements of a sum are one block, of fewer elements
 * than there are ranks. */
size_t nccl_room(const struct comm *c, size_t largest)
{
    const size_t peers = (size_t)c->size - 1, ranks = (size_t)c->size;
    const size_t unit = peers * (ranks > UNIT ? ranks : UNIT) * sizeof(double);
    const size_t bytes = least(largest, MAX_STAGING);
    return (bytes + unit - 1) / unit * unit + (bytes ? 0 : unit);
}

/* Elements of a rank's block of which the staging holds one from each other rank. */
static size_t piece(const struct comm *c, size_t size)
{
    return c->room / ((size_t)c->size - 1) / size / UNIT * UNIT;
}

/* ---- results ---- */
int nccl_check(struct nccl *n, int code, struct err *e)
{
    char text[500];
    if (!code) return 0;
    n->plugin->explain(code, text, sizeof text);
    return err_set(e, ERR_DEVICE, "rank %d: %s", n->world->place.rank, text);
}

int nccl_settle(struct nccl *n, struct err *e)
{
    const double start = world_clock(n->world);
    for (;;) {
        bool done = true;
        if (nccl_check(n, n->plugin->settled(n->group, &done), e)) return -1;
        if (done) return 0;
        if (world_check(n->world, e)) return -1;
        if (world_late(n->world, start, e)) return -1;
        sched_yield();
    }
}

/* ---- messages ---- */
/* Ends a group of messages. An error of one of them comes first. */
static int end(struct nccl *n, int code, struct err *e)
{
    const int rc = n->plugin->end();
    return nccl_check(n, code ? code : rc, e) ? -1 : nccl_settle(n, e);
}

/* Sends `bytes` at src + p * stride to each other rank p, and receives its block into `to`, where
 * the blocks of the other ranks follow one another. */
static int exchange(struct nccl *n, char *to, const char *src, size_t stride, size_t bytes,
                    struct err *e)
{
    const struct nccl_plugin *p = n->plugin;
    comm_count_each(&n->c, bytes);
    int code = p->begin();
    if (code) return nccl_check(n, code, e);
    for (int r = 0; r < n->c.size; r++) {
        const size_t slot = (size_t)(r > n->c.rank ? r - 1 : r);
        if (r == n->c.rank) continue;
        if (!code) code = p->send(n->group, src + (size_t)r * stride, bytes, r);
        if (!code) code = p->receive(n->group, to + slot * bytes, bytes, r);
    }
    return end(n, code, e);
}

static int gather(struct nccl *n, void *dst, const void *src, size_t bytes, struct err *e)
{
    comm_count_each(&n->c, bytes);
    return nccl_check(n, n->plugin->gather(n->group, dst, src, bytes), e) ? -1 : nccl_settle(n, e);
}

/* dst[len] = the reduction of the ranks' blocks for this rank: that for rank p begins at src + p *
 * stride on every rank. dst may be the own block. */
static int reduce(struct nccl *n, const struct comm_call *k, char *dst, const char *src,
                  size_t stride, size_t len, struct err *e)
{
    const char *own = src + (size_t)n->c.rank * stride;
    const size_t bytes = len * dtype_size(k->type);
    if (exchange(n, n->c.staging, src, stride, bytes, e)) return -1;
    return nccl_check(
        n, n->plugin->fold(n->group, dst, own, n->c.staging, len, k->type, k->op == COMM_MAX), e);
}

/* ---- the collectives ---- */
/* Each rank reduces a block of every piece, then all gather the blocks. The elements that are left,
 * fewer than ranks, go to every rank, which reduces them itself. */
static int all_reduce(struct nccl *n, const struct comm_call *k, struct err *e)
{
    const size_t size = dtype_size(k->type), ranks = (size_t)n->c.size, most = piece(&n->c, size);
    for (size_t at = 0; at < k->n;) {
        char *place = (char *)k->dst + at * size;
        size_t each = least((k->n - at) / ranks, most);
        if (each > UNIT) each -= each % UNIT;
        const size_t len = each ? each * ranks : least(k->n - at, most), block = each * size;
        char *mine = place + (size_t)n->c.rank * block;
        if (reduce(n, k, mine, place, block, each ? each : len, e)) return -1;
        if (each && gather(n, place, mine, block, e)) return -1;
        at += len;
    }
    return 0;
}

static int reduce_scatter(struct nccl *n, const struct comm_call *k, struct err *e)
{
    const size_t size = dtype_size(k->type), most = piece(&n->c, size);
    for (size_t at = 0; at < k->n;) {
        const size_t len = least(k->n - at, most);
        if (reduce(n, k, (char *)k->dst + at * size, (const char *)k->src + at * size, k->n * size,
                   len, e))
            return -1;
        at += len;
    }
    return 0;
}

static int all_gather(struct nccl *n, const struct comm_call *k, struct err *e)
{
    return k->n ? gather(n, k->dst, k->src, k->n * dtype_size(k->type), e) : 0;
}

/* Queues the messages of this rank with all others; a message of no row is none. */
static int exchange_rows(struct nccl *n, const struct comm_call *k)
{
    const struct nccl_plugin *p = n->plugin;
    const char *src = k->src;
    char *dst = k->dst;
    int code = 0;
    for (int r = 0; r < n->c.size && !code; r++) {
        const size_t out = (size_t)k->sends[r] * k->n, in = (size_t)k->accepts[r] * k->n;
        const bool other = r != n->c.rank;
        if (other && out) code = p->send(n->group, src, out, r);
        if (other && in && !code) code = p->receive(n->group, dst, in, r);
        if (other) comm_count(&n->c, out);
        src += out;
        dst += in;
    }
    return code;
}

static int all_to_all(struct nccl *n, const struct comm_call *k, struct err *e)
{
    const size_t from = comm_rows_before(k->sends, n->c.rank) * k->n,
                 to = comm_rows_before(k->accepts, n->c.rank) * k->n,
                 own = (size_t)k->sends[n->c.rank] * k->n;
    const int code = n->plugin->begin();
    if (code) return nccl_check(n, code, e);
    if (end(n, exchange_rows(n, k), e)) return -1;
    return nccl_check(
        n, n->plugin->copy(n->group, (char *)k->dst + to, (const char *)k->src + from, own), e);
}

static int broadcast(struct nccl *n, const struct comm_call *k, struct err *e)
{
    if (!k->n) return 0;
    if (n->c.rank == k->from) comm_count_each(&n->c, k->n);
    const int code = n->plugin->broadcast(n->group, k->dst, k->n, k->from);
    return nccl_check(n, code, e) ? -1 : nccl_settle(n, e);
}

static int send_receive(struct nccl *n, const struct comm_call *k, struct err *e)
{
    const size_t out = k->to < 0 ? 0 : k->n, in = k->from < 0 ? 0 : k->received;
    if (!out && !in) return 0;
    if (k->to != n->c.rank) comm_count(&n->c, out);
    int code = n->plugin->begin();
    if (code) return nccl_check(n, code, e);
    if (out) code = n->plugin->send(n->group, k->src, out, k->to);
    if (in && !code) code = n->plugin->receive(n->group, k->dst, in, k->from);
    return end(n, code, e);
}

int nccl_queue_call(struct nccl *n, const struct comm_call *k, struct err *e)
{
    static int (*const kinds[COMM_KINDS])(struct nccl *, const struct comm_call *, struct err *) = {
        [COMM_ALL_REDUCE] = all_reduce, [COMM_REDUCE_SCATTER] = reduce_scatter,
        [COMM_ALL_GATHER] = all_gather, [COMM_ALL_TO_ALL] = all_to_all,
        [COMM_BROADCAST] = broadcast,   [COMM_SEND_RECEIVE] = send_receive};
    comm_begin(&n->c, k);
    const int rc = kinds[k->kind](n, k, e);
    comm_end(&n->c);
    return rc;
}
