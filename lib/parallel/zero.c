/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of a flat allocation among data-parallel ranks, and their exchange. */
#include "parallel/zero.h"

#include "comm/comm.h"

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

/* The smallest collective is that of a sum: one double. */
void zero_plan(struct zero *z, struct plan *p, enum dtype t)
{
    size_t largest;
    if (mem_mul(z->total, dtype_size(t), &largest)) largest = SIZE_MAX;
    const size_t room = comm_room(z->dp, largest > sizeof(double) ? largest : sizeof(double));
    if (room) plan_add_host(p, PLAN_COMMUNICATION, "collectives", room, &z->dp->staging);
}

static char *at(void *base, size_t element, enum dtype t)
{
    return (char *)base + element * dtype_size(t);
}

void zero_reduce(const struct zero *z, void *gradients, enum dtype t)
{
    if (z->sharded)
        comm_reduce_scatter(z->dp, at(gradients, z->begin, t), gradients, z->end - z->begin, t);
    else
        comm_all_reduce(z->dp, gradients, z->total, t, COMM_SUM);
    comm_join(z->dp);
}

void zero_sum(const struct zero *z, double *x)
{
    comm_all_reduce(z->dp, x, 1, DT_F64, COMM_SUM);
    comm_join(z->dp);
}

void zero_gather(const struct zero *z, void *weights, enum dtype t)
{
    if (!z->sharded) return;
    comm_all_gather(z->dp, weights, at(weights, z->begin, t), z->end - z->begin, t);
    comm_join(z->dp);
}

void zero_clip(size_t *begin, size_t *end, size_t from, size_t to)
{
    if (*begin < from) *begin = from;
    if (*end > to) *end = to;
    if (*end < *begin) *end = *begin;
}
