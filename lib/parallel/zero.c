/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of a flat allocation among data-parallel ranks, and their exchange. */
#include "parallel/zero.h"

void zero_init(struct zero *z, const struct mesh *m, size_t total, bool sharded)
{
    const int ranks = m->size[MESH_DP];
    *z = (struct zero){
        .dp = m->comm[MESH_DP], .sharded = sharded && ranks > 1, .total = total, .past = total};
    mesh_part(total, ZERO_ALIGN, ranks, m->at[MESH_DP], &z->begin, &z->end);
    if (!z->sharded) return;
    z->held = z->begin;
    z->past = z->end;
}

static char *at(void *base, size_t element, enum dtype t)
{
    return (char *)base + element * dtype_size(t);
}

int zero_reduce(const struct zero *z, void *gradients, enum dtype t, struct err *e)
{
    const struct comm_ops *ops = z->dp->ops;
    if (!z->sharded) return ops->all_reduce(z->dp, gradients, z->total, t, COMM_SUM, e);
    return ops->reduce_scatter(z->dp, at(gradients, z->begin, t), gradients, z->end - z->begin, t,
                               e);
}

int zero_sum(const struct zero *z, double *x, struct err *e)
{
    return z->dp->ops->all_reduce(z->dp, x, 1, DT_F64, COMM_SUM, e);
}

int zero_gather(const struct zero *z, void *weights, enum dtype t, struct err *e)
{
    if (!z->sharded) return 0;
    return z->dp->ops->all_gather(z->dp, weights, at(weights, z->begin, t), z->end - z->begin, t,
                                  e);
}

void zero_clip(size_t *begin, size_t *end, size_t from, size_t to)
{
    if (*begin < from) *begin = from;
    if (*end > to) *end = to;
    if (*end < *begin) *end = *begin;
}
