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

static size_t cut(size_t units, int parts, int at)
{
    size_t each = units / (size_t)parts, more = units % (size_t)parts, i = (size_t)at;
    return each * i + (i < more ? i : more);
}

void mesh_part(size_t n, size_t align, int parts, int at, size_t *begin, size_t *end)
{
    size_t units = n / align + (n % align != 0);
    *begin = cut(units, parts, at) * align;
    *end = cut(units, parts, at + 1) * align;
    if (*begin > n) *begin = n;
    if (*end > n) *end = n;
}

int mesh_shard(const struct mesh *m, const struct param *p, struct shard_block *b, struct err *e)
{
    const uint64_t tp = (uint64_t)m->size[MESH_TP], at = (uint64_t)m->at[MESH_TP];
    *b = (struct shard_block){.rows = p->shape[0], .columns = p->rank == 2 ? p->shape[1] : 1};
    if (tp == 1 || p->shard == SHARD_REPLICATED) return 0;
    if (p->shard == SHARD_VOCAB) {
        size_t from, to;
        mesh_part((size_t)b->rows, 1, (int)tp, (int)at, &from, &to);
        b->row = from;
        b->rows = to - from;
        return 0;
    }
    uint64_t *whole = p->shard == SHARD_ROWS ? &b->rows : &b->columns;
    if (*whole % tp)
        return err_set(e, ERR_CONFIG, "%s: %llu does not divide by tensor_model_parallel_size %llu",
                       p->name, (unsigned long long)*whole, (unsigned long long)tp);
    *whole /= tp;
    *(p->shard == SHARD_ROWS ? &b->row : &b->column) = at * *whole;
    return 0;
}
