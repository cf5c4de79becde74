/* SPDX-License-Identifier: Apache-2.0 */
/* A group for planning memory: it has the size and the staging buffer of a real group, but its
 * collectives fail. */
#include "base/mem.h"
#include "comm/staged.h"

static void planned_close(struct comm *c) { mem_free(c); }

static void planned_run(struct comm *c, const struct comm_call *k)
{
    struct err e;
    err_set(&e, ERR_INTERNAL, "%s in a group that is only planned", comm_kind_name(k->kind));
    comm_fail(c, &e);
}

static void planned_join(struct comm *c) { (void)c; }

static size_t planned_room(const struct comm *c, size_t largest)
{
    return (c->direct ? nccl_room : staged_room)(c, largest);
}

static const struct comm_ops planned_ops = {.name = "planned",
                                            .close = planned_close,
                                            .room = planned_room,
                                            .run = planned_run,
                                            .join = planned_join,
                                            .finish = comm_take_failure};

struct comm *comm_planned(struct device *d, int size, struct err *e)
{
    if (size == 1) return comm_self(d, e);
    struct comm *c = mem_alloc(1, sizeof *c, e);
    if (c)
        *c = (struct comm){.ops = &planned_ops,
                           .label = "planned",
                           .size = size,
                           .device = d,
                           .direct = comm_direct(d)};
    return c;
}
