/* SPDX-License-Identifier: Apache-2.0 */
/* The one table of collectives among the ranks of a group, on device memory. */
#ifndef SFT_COMM_COMM_H
#define SFT_COMM_COMM_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "comm/world.h"
#include "ops/ops.h"

enum comm_op { COMM_SUM, COMM_MAX };

struct comm;
struct comm_ops {
    const char *name;
    void (*close)(struct comm *c);
    /* All in place or between distinct buffers; counts in elements; ranks call in the same order.
     * Sums run in rank order, so a result does not depend on timing. */
    int (*all_reduce)(struct comm *c, void *buf, size_t n, enum dtype t, enum comm_op op,
                      struct err *e);
    int (*reduce_scatter)(struct comm *c, void *dst, const void *src, size_t n_each, enum dtype t,
                          struct err *e);
    int (*all_gather)(struct comm *c, void *dst, const void *src, size_t n_each, enum dtype t,
                      struct err *e);
    int (*broadcast)(struct comm *c, void *buf, size_t bytes, int root, struct err *e);
    int (*send)(struct comm *c, const void *buf, size_t bytes, int to, struct err *e);
    int (*recv)(struct comm *c, void *buf, size_t bytes, int from, struct err *e);
    int (*barrier)(struct comm *c, struct err *e);
};
struct comm {
    const struct comm_ops *ops;
    int rank, size;
    struct device *device;
    void *staging; /* COMM_STAGING bytes of the host's memory, given by the owner of the memory plan
                    * before the first collective of a group of several */
};
enum { COMM_STAGING = 8 << 20 };

/* The group of one: collectives copy, send and recv are errors. */
struct comm *comm_self(struct device *d, struct err *e);
/* All ranks of a world, which must outlive the group, through the host's memory. Sums are of float
 * or double. */
struct comm *comm_mpi(struct world *w, struct device *d, struct err *e);
void comm_close(struct comm *c); /* NULL is fine */

#endif
