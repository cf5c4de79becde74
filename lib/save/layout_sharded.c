/* SPDX-License-Identifier: Apache-2.0 */
/* Checkpoints of a sharded optimizer. All ranks pass over the same list; those but 0 send what they
 * hold of each piece, converted, and rank 0 puts the pieces together. So nothing is asked for, and
 * no message but the last is about another. What a rank updates is read on that rank, the weights
 * too: elsewhere they change when they are gathered, which no gate holds back. */
#include "save/layout.h"

#include <string.h>

#include "parallel/zero.h"

/* The elements of [*begin, *end) that rank r holds: parts of what is trained are equal, and what is
 * frozen is rank 0's. */
static void held_by(const struct layout *c, int r, size_t *begin, size_t *end)
{
    const size_t trained = c->weights->params.trained;
    const size_t each = trained / (size_t)c->mesh->size[MESH_DP];
    if (*begin < trained)
        zero_clip(begin, end, each * (size_t)r, each * ((size_t)r + 1));
    else if (r > 0)
        *end = *begin;
}

static int collect(void *arg, size_t at, size_t n, enum dtype as, void *out, struct err *e)
{
    const struct layout_part *p = arg;
    const struct layout *c = p->owner;
    const size_t size = dtype_size(as);
    int rc = 0;
    for (int r = 0; r < c->mesh->size[MESH_DP]; r++) {
        size_t begin = at, end = at + n;
        held_by(c, r, &begin, &end);
        if (begin == end) continue;
        char *to = (char *)out + (begin - at) * size;
        struct err *why = rc ? NULL : e; /* the first failure counts */
        if (r == 0 ? layout_read_here(arg, begin, end - begin, as, to, why)
                   : mesh_side_receive(c->mesh, to, (end - begin) * size,
                                       mesh_peer(c->mesh, MESH_DP, r), why))
            rc = -1;
    }
    return rc;
}

/* A piece that cannot be read is sent as zeros: rank 0 waits for something. */
static int give(void *arg, size_t at, size_t n, enum dtype as, void *out, struct err *e)
{
    const struct layout_part *p = arg;
    const struct layout *c = p->owner;
    size_t begin = at, end = at + n;
    held_by(c, c->mesh->at[MESH_DP], &begin, &end);
    if (begin == end) return 0;
    const size_t bytes = (end - begin) * dtype_size(as);
    const int rc = layout_read_here(arg, begin, end - begin, as, out, e);
    if (rc) memset(out, 0, bytes);
    return mesh_side_send(c->mesh, out, bytes, mesh_peer(c->mesh, MESH_DP, 0), rc ? NULL : e) ? -1
                                                                                              : rc;
}

/* After the last tensor the others tell whether all that they sent was right. */
static int finish(void *arg, int rc, struct err *e)
{
    const struct layout *c = arg;
    const struct mesh *m = c->mesh;
    struct err word = {0};
    if (m->at[MESH_DP] > 0) {
        if (rc) word = *e;
        return mesh_side_send(m, &word, sizeof word, mesh_peer(m, MESH_DP, 0), rc ? NULL : e) ? -1
                                                                                              : rc;
    }
    for (int r = 1; r < m->size[MESH_DP]; r++) {
        if (mesh_side_receive(m, &word, sizeof word, mesh_peer(m, MESH_DP, r), rc ? NULL : e))
            return -1;
        if (rc || word.code == ERR_OK) continue;
        *e = word;
        rc = err_prefix(e, "rank %d", mesh_peer(m, MESH_DP, r));
    }
    return rc;
}

void layout_spread(struct layout *c, const struct mesh *m, bool sharded)
{
    const bool here = m->at[MESH_DP] == 0;
    if (!sharded) {
        if (!here) c->list.ntensors = 0;
        return;
    }
    c->mesh = m;
    for (size_t i = 0; i < c->count; i++) c->tensors[i].read = here ? collect : give;
    c->list.finish = finish;
    c->list.arg = c;
}

bool layout_reads_beside(const struct layout *c)
{
    return c->weights->device->ops->peek && (!c->mesh || mesh_side_threads(c->mesh));
}
