/* SPDX-License-Identifier: Apache-2.0 */
/* Opening of a mesh and its groups, and exchange among all ranks. */
#include "parallel/mesh.h"

#include <string.h>

#include "base/mem.h"
#include "comm/comm.h"

const char *mesh_group_name(int group)
{
    static const char *const names[MESH_GROUPS] = {"tp",        "cp",    "dp",   "pp",
                                                   "dp_cp",     "model", "ends", "shard",
                                                   "replicate", "ep",    "edp",  "eshard"};
    return names[group];
}

/* Returns true if two groups with the same ranks stay two: gradients are reduced, or weights
 * gathered, while a layer gathers the keys of cp or exchanges the tokens of ep, which would
 * otherwise wait for them. */
static bool are_apart(const struct mesh *m, int a, int b)
{
    if ((a == MESH_EP || b == MESH_EP) && m->experts > 1) return true;
    return a == MESH_CP && b >= MESH_AXES && m->size[MESH_CP] > 1;
}

static int members(const struct mesh *m, int group, int *ranks)
{
    if (group >= MESH_SHARD) return mesh_divided_members(m, group, ranks);
    return mesh_members(m->size, m->at, group, ranks);
}

/* Returns an earlier group with the same ranks as `group`, or `group` itself if there is none. */
static int same_as(const struct mesh *m, int group, int *ranks, int *others)
{
    const int n = members(m, group, ranks);
    for (int g = 0; g < group; g++)
        if (!are_apart(m, g, group) && members(m, g, others) == n &&
            memcmp(ranks, others, (size_t)n * sizeof *ranks) == 0)
            return g;
    return group;
}

/* Opens every group that this rank is in; w NULL: for planning. */
static int open_groups(struct mesh *m, struct world *w, struct device *d, int *ranks, int *others,
                       struct err *e)
{
    for (int g = 0; g < MESH_GROUPS; g++) {
        const int n = members(m, g, ranks), same = same_as(m, g, ranks, others);
        if (n == 0) continue;
        if (same < g)
            m->comm[g] = m->comm[same];
        else
            m->comm[g] = w ? comm_group(w, d, ranks, n, e) : comm_planned(d, n, e);
        if (!m->comm[g]) return -1;
        if (same == g) comm_label(m->comm[g], mesh_group_name(g));
    }
    return 0;
}

static const char *experts_key(const struct mesh *m)
{
    return m->experts_key ? m->experts_key : "expert_model_parallel_size";
}

/* The ranks of a copy share out the experts among them. */
static int check_divides(const struct mesh *m, struct err *e)
{
    const int all = mesh_replicas(m);
    if (all % m->experts)
        return err_set(e, ERR_CONFIG,
                       "%s %d does not divide the %d data-parallel and context-parallel ranks; "
                       "choose a divisor",
                       experts_key(m), m->experts, all);
    if (all % m->shard == 0 && m->shard % m->experts == 0) return 0;
    return err_set(e, ERR_CONFIG,
                   "fsdp_size %d is not a divisor of the %d data-parallel and context-parallel "
                   "ranks that is a multiple of %s %d; choose one",
                   m->shard, all, experts_key(m), m->experts);
}

static int open_mesh(struct mesh *m, const struct mesh_sizes *s, struct world *w, struct device *d,
                     struct err *e)
{
    *m = (struct mesh){.world = w ? w : world_self()};
    memcpy(m->size, s->axis, sizeof m->size);
    m->chunks = s->chunks > 1 ? s->chunks : 1;
    m->experts = s->experts > 1 ? s->experts : 1;
    m->experts_key = s->experts_key;
    m->shard = s->shard > 0 ? s->shard : mesh_replicas(m);
    if (check_divides(m, e)) return -1;
    mesh_locate(m->size, w ? w->place.rank : 0, m->at);
    int *ranks = mem_alloc((size_t)mesh_ranks(m), 2 * sizeof *ranks, e);
    if (!ranks) return -1;
    const int rc = open_groups(m, w, d, ranks, ranks + mesh_ranks(m), e);
    mem_free(ranks);
    if (rc) mesh_close(m);
    return rc;
}

int mesh_open(struct mesh *m, const struct mesh_sizes *s, struct world *w, struct device *d,
              struct err *e)
{
    const int *n = s->axis, ranks = w->place.size;
    if (n[MESH_TP] * n[MESH_CP] * n[MESH_DP] * n[MESH_PP] == ranks) return open_mesh(m, s, w, d, e);
    *m = (struct mesh){.world = w};
    return err_set(e, ERR_CONFIG,
                   "tensor x context x data x pipeline parallelism of %d x %d x %d x %d needs "
                   "another number of ranks than %d",
                   n[MESH_TP], n[MESH_CP], n[MESH_DP], n[MESH_PP], ranks);
}

int mesh_planned(struct mesh *m, const struct mesh_sizes *s, struct device *d, struct err *e)
{
    return open_mesh(m, s, NULL, d, e);
}

void mesh_host(struct mesh *m, struct world *w)
{
    *m = (struct mesh){.size = {1, 1, 1, 1}, .chunks = 1, .experts = 1, .world = w};
    m->size[MESH_DP] = w->place.size;
    mesh_locate(m->size, w->place.rank, m->at);
}

void mesh_close(struct mesh *m)
{
    for (int g = 0; g < MESH_GROUPS; g++) {
        struct comm *c = m->comm[g];
        for (int other = g; other < MESH_GROUPS; other++)
            if (m->comm[other] == c) m->comm[other] = NULL;
        comm_close(c);
    }
}

/* Finishes each group once: for a second group with the same ranks nothing is left to do. */
int mesh_finish(const struct mesh *m, struct err *e)
{
    int rc = 0;
    for (int g = 0; g < MESH_GROUPS; g++)
        if (m->comm[g] && comm_finish(m->comm[g], rc ? NULL : e)) rc = -1;
    return rc;
}

/* ---- all ranks ---- */
int mesh_agree(const struct mesh *m, int rc, struct err *e) { return world_agree(m->world, rc, e); }
int mesh_any(const struct mesh *m, bool v, struct err *e) { return world_any(m->world, v, e); }

const void *mesh_notes(const struct mesh *m, const void *note, size_t bytes, struct err *e)
{
    return world_notes(m->world, note, bytes, e);
}

int mesh_gather(const struct mesh *m, void *dst, const void *src, size_t each, struct err *e)
{
    return world_gather(m->world, dst, src, each, e);
}

int mesh_broadcast(const struct mesh *m, void *buf, size_t bytes, struct err *e)
{
    return world_broadcast(m->world, buf, bytes, 0, e);
}

int mesh_side_send(const struct mesh *m, const void *buf, size_t bytes, int to, struct err *e)
{
    return world_side_send(m->world, buf, bytes, to, e);
}

int mesh_side_receive(const struct mesh *m, void *buf, size_t bytes, int from, struct err *e)
{
    return world_side_receive(m->world, buf, bytes, from, e);
}

bool mesh_side_threads(const struct mesh *m) { return m->world->place.threads; }
