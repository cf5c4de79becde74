/* SPDX-License-Identifier: Apache-2.0 */
/* The arithmetic of the grid of ranks. */
#include "parallel/mesh.h"

int mesh_ranks(const struct mesh *m)
{
    int n = 1;
    for (int i = 0; i < MESH_AXES; i++) n *= m->size[i];
    return n;
}

int mesh_rank_at(const int size[MESH_AXES], const int at[MESH_AXES])
{
    int r = 0;
    for (int i = MESH_AXES - 1; i >= 0; i--) r = r * size[i] + at[i];
    return r;
}

void mesh_locate(const int size[MESH_AXES], int r, int at[MESH_AXES])
{
    for (int i = 0; i < MESH_AXES; i++) {
        at[i] = r % size[i];
        r /= size[i];
    }
}

/* Returns the axes along which the ranks of a group differ, as bits. */
static unsigned axes_of(int group)
{
    static const unsigned axes[MESH_GROUPS - MESH_AXES] = {
        [MESH_DP_CP - MESH_AXES] = 1U << MESH_DP | 1U << MESH_CP,
        [MESH_MODEL - MESH_AXES] = 1U << MESH_TP | 1U << MESH_PP,
        [MESH_ENDS - MESH_AXES] = 1U << MESH_PP,
        [MESH_SHARD - MESH_AXES] = 1U << MESH_DP | 1U << MESH_CP,
        [MESH_EDP - MESH_AXES] = 1U << MESH_DP | 1U << MESH_CP,
        [MESH_ESHARD - MESH_AXES] = 1U << MESH_DP | 1U << MESH_CP};
    return group < MESH_AXES ? 1U << group : axes[group - MESH_AXES];
}

static bool is_end(const int size[MESH_AXES], const int at[MESH_AXES])
{
    return at[MESH_PP] == 0 || at[MESH_PP] == size[MESH_PP] - 1;
}

int mesh_members(const int size[MESH_AXES], const int at[MESH_AXES], int group, int *ranks)
{
    const unsigned axes = axes_of(group);
    int n = 0, other[MESH_AXES];
    const int all = size[MESH_TP] * size[MESH_CP] * size[MESH_DP] * size[MESH_PP];
    if (group == MESH_ENDS && !is_end(size, at)) return 0;
    for (int r = 0; r < all; r++) {
        bool in = true;
        mesh_locate(size, r, other);
        for (int i = 0; i < MESH_AXES; i++) in &= (axes >> i & 1) || other[i] == at[i];
        if (group == MESH_ENDS) in &= is_end(size, other);
        if (in) ranks[n++] = r;
    }
    return n;
}

int mesh_replicas(const struct mesh *m) { return m->size[MESH_CP] * m->size[MESH_DP]; }
static int replica_of(const int size[MESH_AXES], const int at[MESH_AXES])
{
    return at[MESH_CP] + size[MESH_CP] * at[MESH_DP];
}
int mesh_replica(const struct mesh *m) { return replica_of(m->size, m->at); }

void mesh_locate_replica(const int size[MESH_AXES], int replica, int at[MESH_AXES])
{
    at[MESH_CP] = replica % size[MESH_CP];
    at[MESH_DP] = replica / size[MESH_CP];
}

/* Returns true if ranks i and j of MESH_DP_CP are in one of the groups that divide it. */
static bool are_together(const struct mesh *m, int group, int i, int j)
{
    const int S = m->shard, E = m->experts;
    switch (group) {
    case MESH_SHARD:
        return i / S == j / S;
    case MESH_REPLICATE:
        return i % S == j % S;
    case MESH_EP:
        return i / E == j / E;
    case MESH_EDP:
        return i % E == j % E;
    default: /* MESH_ESHARD */
        return i / S == j / S && i % E == j % E;
    }
}

int mesh_divided_members(const struct mesh *m, int group, int *ranks)
{
    const int all = mesh_members(m->size, m->at, MESH_DP_CP, ranks), own = mesh_replica(m);
    int n = 0;
    for (int i = 0; i < all; i++)
        if (are_together(m, group, i, own)) ranks[n++] = ranks[i];
    return n;
}

int mesh_expert_rows(const struct mesh *m, int *end)
{
    const int own = mesh_replica(m), first = own - own % m->experts, cp = m->size[MESH_CP];
    *end = (first + m->experts - 1) / cp + 1;
    return first / cp;
}

bool mesh_writes(const struct mesh *m) { return mesh_rank_at(m->size, m->at) == 0; }

bool mesh_cuts(const struct mesh *m)
{
    return m->size[MESH_TP] * m->size[MESH_PP] * m->experts > 1;
}

void mesh_params(const struct mesh *m, const int at[MESH_AXES], struct params_options *o)
{
    o->tp = m->size[MESH_TP];
    o->at = at[MESH_TP];
    o->stages = m->size[MESH_PP];
    o->stage = at[MESH_PP];
    o->chunks = m->chunks;
    o->ep = m->experts;
    o->ep_at = replica_of(m->size, at) % m->experts;
    o->ep_key = m->experts_key;
}
