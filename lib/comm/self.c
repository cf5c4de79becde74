/* SPDX-License-Identifier: Apache-2.0 */
/* The group of one rank: collectives copy at most, and there is nobody to send to. */

#include "base/mem.h"
#include "comm/comm.h"

static void self_close(struct comm *c) { mem_free(c); }

static int self_all_reduce(struct comm *c, void *buf, size_t n, enum dtype t, enum comm_op op,
                           struct err *e)
{
    (void)c, (void)buf, (void)n, (void)t, (void)op, (void)e;
    return 0;
}

/* dst = src, on the device, after what was queued there before. */
static int self_copy(struct comm *c, void *dst, const void *src, size_t n, enum dtype t,
                     struct err *e)
{
    size_t bytes;
    if (mem_mul(n, dtype_size(t), &bytes))
        return err_set(e, ERR_INTERNAL, "collective of %zu elements is too large", n);
    if (dst != src && bytes)
        op_copy_rows(c->device, &(struct op_copy_rows){.y = dst,
                                                       .x = src,
                                                       .rows = 1,
                                                       .bytes = bytes,
                                                       .y_stride = bytes,
                                                       .x_stride = bytes});
    return 0;
}

static int self_rank(int rank, const char *what, struct err *e)
{
    return rank == 0 ? 0 : err_set(e, ERR_INTERNAL, "%s rank %d of a group of 1", what, rank);
}

static int self_broadcast(struct comm *c, void *buf, size_t bytes, int root, struct err *e)
{
    (void)c, (void)buf, (void)bytes;
    return self_rank(root, "broadcast from", e);
}

static int self_send(struct comm *c, const void *buf, size_t bytes, int to, struct err *e)
{
    (void)c, (void)buf, (void)bytes;
    return err_set(e, ERR_INTERNAL, "send to rank %d in a group of 1", to);
}

static int self_recv(struct comm *c, void *buf, size_t bytes, int from, struct err *e)
{
    (void)c, (void)buf, (void)bytes;
    return err_set(e, ERR_INTERNAL, "receive from rank %d in a group of 1", from);
}

static int self_barrier(struct comm *c, struct err *e)
{
    (void)c, (void)e;
    return 0;
}

static const struct comm_ops self_ops = {.name = "self",
                                         .close = self_close,
                                         .all_reduce = self_all_reduce,
                                         .reduce_scatter = self_copy,
                                         .all_gather = self_copy,
                                         .broadcast = self_broadcast,
                                         .send = self_send,
                                         .recv = self_recv,
                                         .barrier = self_barrier};

struct comm *comm_self(struct device *d, struct err *e)
{
    struct comm *c = mem_alloc(1, sizeof *c, e);
    if (c) *c = (struct comm){.ops = &self_ops, .rank = 0, .size = 1, .device = d};
    return c;
}

void comm_close(struct comm *c)
{
    if (c) c->ops->close(c);
}
