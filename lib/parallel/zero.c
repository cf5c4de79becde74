/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of the buckets that data-parallel ranks own, and their exchange. */
#include "parallel/zero.h"

#include "base/mem.h"
#include "comm/comm.h"
#include "parallel/collect.h"

void zero_init(struct zero *z, const struct mesh *m, const struct params *params, int stage)
{
    const int ranks = mesh_replicas(m), at = mesh_replica(m);
    const int shard = stage >= 2 && m->shard ? m->shard : ranks;
    *z = (struct zero){.dp = m->comm[MESH_DP_CP],
                       .shard = m->comm[stage >= 2 ? MESH_SHARD : MESH_DP_CP],
                       .replicate = m->comm[MESH_REPLICATE],
                       .ranks = ranks,
                       .at = at % shard * (ranks / shard) + at / shard,
                       .parts = 1,
                       .params = params};
    z->stage = ranks > 1 ? stage : 0;
    if (z->stage == 0) return;
    z->parts = shard;
    z->part = at % shard;
}

struct weights_parts zero_parts(const struct mesh *m, int stage)
{
    return (struct weights_parts){
        .group = mesh_group(m, MESH_SHARD), .gradients = stage >= 2, .values = stage >= 3};
}

/* The smallest collective is the sum of one double. */
void zero_plan(struct zero *z, struct plan *p, enum dtype t, size_t others)
{
    const size_t sums = zero_count(z) * dtype_size(t);
    size_t largest = others > sizeof(double) ? others : sizeof(double), bytes;
    for (size_t i = 0; i < z->params->nbuckets; i++) {
        const struct params_bucket *b = &z->params->buckets[i];
        if (mem_mul(b->end - b->begin, dtype_size(t), &bytes)) bytes = SIZE_MAX;
        if (bytes > largest) largest = bytes;
    }
    mesh_plan_group(z->shard, largest, p);
    if (z->shard == z->dp) return;
    mesh_plan_group(z->dp, others > sizeof(double) ? others : sizeof(double), p);
    mesh_plan_group(z->replicate, sums > sizeof(double) ? sums : sizeof(double), p);
}

struct params_part zero_part(const struct zero *z, size_t bucket)
{
    return params_part(z->params, bucket, z->ranks, z->at);
}

struct params_part zero_held(const struct zero *z, size_t bucket)
{
    return params_part(z->params, bucket, z->parts, z->part);
}

size_t zero_count(const struct zero *z) { return z->params->trained / (size_t)z->parts; }

static char *at(void *base, size_t element, enum dtype t)
{
    return (char *)base + element * dtype_size(t);
}

/* ---- gradients ---- */
struct zero_reduction zero_reduce(const struct zero *z, void *gradients, enum dtype t)
{
    return (struct zero_reduction){z, gradients, t, z->stage < 2 ? z->params->nbuckets : 0};
}

static void reduce_bucket(const struct zero_reduction *r, size_t bucket)
{
    const struct zero *z = r->z;
    const struct params_bucket *b = &z->params->buckets[bucket];
    const struct params_part own = zero_part(z, bucket);
    void *begin = at(r->gradients, b->begin, r->t);
    if (z->stage == 1)
        comm_reduce_scatter(z->dp, at(r->gradients, own.begin, r->t), begin, own.end - own.begin,
                            r->t);
    else
        comm_all_reduce(z->dp, begin, b->end - b->begin, r->t, COMM_SUM);
}

void zero_layer_done(void *reduction, int layer)
{
    struct zero_reduction *r = reduction;
    while (r->left > 0 && r->z->params->buckets[r->left - 1].layer >= layer)
        reduce_bucket(r, --r->left);
}

void zero_reduce_rest(struct zero_reduction *r)
{
    while (r->left > 0) reduce_bucket(r, --r->left);
    comm_join(r->z->dp);
}

void zero_sum_groups(const struct zero *z, const struct weights *w)
{
    if (z->shard == z->dp) return;
    collect_sum(w->device, z->replicate, w->sum.flat, zero_count(z), w->gradient);
    collect_join(w->device, z->replicate);
}

void zero_sum(const struct zero *z, double *x)
{
    comm_all_reduce(z->dp, x, 1, DT_F64, COMM_SUM);
    comm_join(z->dp);
}

/* ---- weights ---- */
void zero_gather(const struct zero *z, void *weights, enum dtype t)
{
    if (z->stage != 1 && z->stage != 2) return;
    for (size_t i = 0; i < z->params->nbuckets; i++) {
        const struct params_part own = zero_held(z, i);
        comm_all_gather(z->shard, at(weights, z->params->buckets[i].begin, t),
                        at(weights, own.begin, t), own.end - own.begin, t);
    }
    comm_join(z->shard);
}
