/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of the buckets that data-parallel ranks own, and their exchange. */
#include "parallel/zero.h"

#include "base/mem.h"
#include "comm/comm.h"
#include "parallel/collect.h"

void zero_init(struct zero *z, const struct mesh *m, const struct params *params, int stage,
               bool ranks_first)
{
    const int ranks = mesh_replicas(m), E = m->experts, shard = stage >= 2 ? m->shard : ranks;
    const int part = mesh_replica(m) % shard, copy = mesh_replica(m) / shard;
    const int copies = ranks / shard;
    *z = (struct zero){.dp = m->comm[MESH_DP_CP],
                       .shard = m->comm[stage >= 2 ? MESH_SHARD : MESH_DP_CP],
                       .replicate = m->comm[MESH_REPLICATE],
                       .experts = m->comm[MESH_EDP],
                       .eshard = m->comm[stage >= 2 ? MESH_ESHARD : MESH_EDP],
                       .ranks = ranks,
                       .at = part * copies + copy,
                       .experts_at = (part / E * copies + copy) * E + part % E,
                       .parts = 1,
                       .params = params};
    z->stage = ranks > 1 ? stage : 0;
    z->ranks_first = ranks > 1 && (ranks_first || stage >= 2);
    if (z->stage == 0) return;
    z->parts = shard;
    z->part = part;
}

struct weights_parts zero_parts(const struct mesh *m, int stage, bool ranks_first)
{
    return (struct weights_parts){.group = mesh_group(m, stage >= 2 ? MESH_SHARD : MESH_DP_CP),
                                  .experts = m->experts > 1
                                                 ? m->comm[stage >= 2 ? MESH_ESHARD : MESH_EDP]
                                                 : NULL, /* a group of one rank copies */
                                  .gradients = ranks_first || stage >= 2,
                                  .all_sums = stage == 0,
                                  .values = stage >= 3};
}

/* Returns the bytes of the largest collective on the group of most buckets, or of the experts'. */
static size_t largest_of(const struct zero *z, bool experts, enum dtype t, size_t others)
{
    size_t largest = others > sizeof(double) ? others : sizeof(double), bytes;
    for (size_t i = 0; i < z->params->nbuckets; i++) {
        const struct params_bucket *b = &z->params->buckets[i];
        if (b->experts != experts) continue;
        if (mem_mul(b->end - b->begin, dtype_size(t), &bytes)) bytes = SIZE_MAX;
        if (bytes > largest) largest = bytes;
    }
    return largest;
}

static bool is_hybrid(const struct zero *z) { return z->shard != z->dp; }

void zero_plan(const struct zero *z, const struct mesh *m, struct plan *p, enum dtype t,
               size_t others, size_t experts)
{
    size_t bytes[MESH_GROUPS] = {[MESH_DP_CP] = others};
    bytes[is_hybrid(z) ? MESH_SHARD : MESH_DP_CP] = largest_of(z, false, t, others);
    if (is_hybrid(z)) bytes[MESH_REPLICATE] = zero_count(z) * dtype_size(t);
    if (z->params->ep > 1) {
        bytes[MESH_EDP] = experts;
        bytes[is_hybrid(z) ? MESH_ESHARD : MESH_EDP] = largest_of(z, true, t, experts);
    }
    mesh_plan(m, bytes, p);
}

int zero_at(const struct zero *z, size_t bucket)
{
    return z->params->buckets[bucket].experts ? z->experts_at : z->at;
}

struct params_part zero_part(const struct zero *z, size_t bucket)
{
    return params_part(z->params, bucket, z->ranks, zero_at(z, bucket));
}

struct params_part zero_held(const struct zero *z, size_t bucket)
{
    return params_part(z->params, bucket, z->parts, z->part);
}

size_t zero_count(const struct zero *z)
{
    return params_held(z->params, z->params->nbuckets, z->parts);
}

/* Returns the ranks that exchange a bucket. */
static struct comm *group_of(const struct zero *z, size_t bucket, struct comm *others,
                             struct comm *experts)
{
    return z->params->buckets[bucket].experts ? experts : others;
}

static char *at(void *base, size_t element, enum dtype t)
{
    return (char *)base + element * dtype_size(t);
}

/* ---- gradients ---- */
struct zero_reduction zero_reduce(const struct zero *z, void *gradients, enum dtype t)
{
    return (struct zero_reduction){z, gradients, t, z->ranks_first ? 0 : z->params->nbuckets};
}

static void reduce_bucket(const struct zero_reduction *r, size_t bucket)
{
    const struct zero *z = r->z;
    const struct params_bucket *b = &z->params->buckets[bucket];
    const struct params_part own = zero_part(z, bucket);
    struct comm *group = group_of(z, bucket, z->dp, z->experts);
    void *begin = at(r->gradients, b->begin, r->t);
    if (z->stage == 1)
        comm_reduce_scatter(group, at(r->gradients, own.begin, r->t), begin, own.end - own.begin,
                            r->t);
    else
        comm_all_reduce(group, begin, b->end - b->begin, r->t, COMM_SUM);
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
    if (r->z->params->ep > 1) comm_join(r->z->experts);
}

/* Gathers a buffer of all buckets from ranks that have these parts of it. */
static void gather(const struct zero *z, void *base, enum dtype t, int parts, int part)
{
    for (size_t i = 0; i < z->params->nbuckets; i++) {
        const struct params_part own = params_part(z->params, i, parts, part);
        comm_all_gather(group_of(z, i, z->shard, z->eshard),
                        at(base, z->params->buckets[i].begin, t), at(base, own.begin, t),
                        own.end - own.begin, t);
    }
    comm_join(z->shard);
    if (z->params->ep > 1) comm_join(z->eshard);
}

void zero_end_sums(const struct zero *z, const struct weights *w)
{
    if (z->ranks_first && z->stage == 0) gather(z, w->sum.flat, w->gradient, z->ranks, z->at);
    if (!is_hybrid(z)) return;
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
    if (z->stage == 1 || z->stage == 2) gather(z, weights, t, z->parts, z->part);
}
