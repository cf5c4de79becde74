/* SPDX-License-Identifier: Apache-2.0 */
/* The group of one rank: a collective is at most a copy on the device. */
#include "base/mem.h"
#include "comm/comm_impl.h"

static void self_close(struct comm *c) { mem_free(c); }

static size_t self_room(const struct comm *c, size_t largest)
{
    (void)c, (void)largest;
    return 0;
}

/* dst = src, after the earlier work of the device. */
static void copy(struct comm *c, const struct comm_call *k, size_t size)
{
    size_t bytes;
    struct err e;
    if (mem_mul(k->n, size, &bytes)) {
        err_set(&e, ERR_INTERNAL, "a collective of %zu elements is too large", k->n);
        comm_fail(c, &e);
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
        comm_fail(c, &e);
    } else if (k->kind == COMM_ALL_TO_ALL) {
        copy(c, k, (size_t)k->sends[0]);
    } else if (k->dst != k->src) {
        copy(c, k, sends ? 1 : dtype_size(k->type));
    }
}

static void self_join(struct comm *c) { (void)c; }

static const struct comm_ops self_ops = {.name = "self",
                                         .close = self_close,
                                         .room = self_room,
                                         .run = self_run,
                                         .join = self_join,
                                         .finish = comm_take_failure};

struct comm *comm_self(struct device *d, struct err *e)
{
    struct comm *c = mem_alloc(1, sizeof *c, e);
    if (c) *c = (struct comm){.ops = &self_ops, .label = "self", .rank = 0, .size = 1, .device = d};
    return c;
}
