/* SPDX-License-Identifier: Apache-2.0 */
/* The group of one rank: collectives copy at most, on the device, and there is no other rank. */
#include "base/mem.h"
#include "comm/comm.h"

struct self {
    struct comm c;
    bool failed;
    struct err why;
};

static void self_close(struct comm *c) { mem_free(c); }

static size_t self_room(const struct comm *c, size_t largest)
{
    (void)c, (void)largest;
    return 0;
}

static void fail(struct comm *c, const struct err *e)
{
    struct self *s = (struct self *)c;
    if (!s->failed) s->why = *e;
    s->failed = true;
}

/* dst = src, after what the device was given before. */
static void copy(struct comm *c, const struct comm_call *k, size_t size)
{
    size_t bytes;
    struct err e;
    if (mem_mul(k->n, size, &bytes)) {
        err_set(&e, ERR_INTERNAL, "a collective of %zu elements is too large", k->n);
        fail(c, &e);
    } else if (k->dst != k->src && bytes) {
        op_copy_rows(c->device, &(struct op_copy_rows){.y = k->dst,
                                                       .x = k->src,
                                                       .rows = 1,
                                                       .bytes = bytes,
                                                       .y_stride = bytes,
                                                       .x_stride = bytes});
    }
}

/* Rank 0 may send to itself, as in a ring of one. */
static void self_run(struct comm *c, const struct comm_call *k)
{
    struct err e;
    const bool sends = k->kind == COMM_SEND_RECEIVE;
    if (sends && k->to == COMM_NOBODY && k->from == COMM_NOBODY) return;
    if (k->to != 0 || k->from != 0 || (sends && k->n != k->received)) {
        err_set(&e, ERR_INTERNAL, "rank %d or %d of a group of 1", k->to, k->from);
        fail(c, &e);
    } else if (k->dst != k->src) {
        copy(c, k, sends ? 1 : dtype_size(k->type));
    }
}

static void self_join(struct comm *c) { (void)c; }

static int self_finish(struct comm *c, struct err *e)
{
    struct self *s = (struct self *)c;
    if (!s->failed) return 0;
    if (e) *e = s->why;
    s->failed = false;
    return -1;
}

static const struct comm_ops self_ops = {.name = "self",
                                         .close = self_close,
                                         .room = self_room,
                                         .run = self_run,
                                         .join = self_join,
                                         .finish = self_finish};

struct comm *comm_self(struct device *d, struct err *e)
{
    struct self *s = mem_alloc(1, sizeof *s, e);
    if (!s) return NULL;
    s->c = (struct comm){.ops = &self_ops, .rank = 0, .size = 1, .device = d};
    return &s->c;
}
