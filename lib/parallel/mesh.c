/* SPDX-License-Identifier: Apache-2.0 */
/* Making a mesh, and the arithmetic of parts. */
#include "parallel/mesh.h"

int mesh_world(struct mesh *m, struct world *w, struct device *d, struct err *e)
{
    *m = (struct mesh){.size = {w->place.size, 1, 1, 1}, .at = {w->place.rank}, .world = w};
    for (int i = 0; i < MESH_AXES; i++) {
        m->comm[i] = m->size[i] > 1 ? comm_mpi(w, d, e) : comm_self(d, e);
        if (m->comm[i]) continue;
        mesh_close(m);
        return -1;
    }
    return 0;
}

int mesh_self(struct mesh *m, struct device *d, struct err *e)
{
    return mesh_world(m, world_self(), d, e);
}

void mesh_close(struct mesh *m)
{
    for (int i = 0; i < MESH_AXES; i++) {
        comm_close(m->comm[i]);
        m->comm[i] = NULL;
    }
}

void mesh_part(size_t n, size_t align, int parts, int at, size_t *begin, size_t *end)
{
    size_t units = n / align + (n % align != 0);
    *begin = (size_t)shard_begin(units, parts, at) * align;
    *end = (size_t)shard_begin(units, parts, at + 1) * align;
    if (*begin > n) *begin = n;
    if (*end > n) *end = n;
}

int mesh_shard(const struct mesh *m, const struct param *p, struct shard_block *b, struct err *e)
{
    const uint64_t columns = p->rank == 2 ? p->shape[1] : 1;
    const int tp = m->size[MESH_TP];
    if (shard_cut(p->shard, p->shape[0], columns, tp, m->at[MESH_TP], b) == 0) return 0;
    return err_set(e, ERR_CONFIG, "%s: %llu does not divide by tensor_model_parallel_size %d",
                   p->name, (unsigned long long)(p->shard == SHARD_COLUMNS ? columns : p->shape[0]),
                   tp);
}
