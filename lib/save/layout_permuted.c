/* SPDX-License-Identifier: Apache-2.0 */
/* Tensors whose file has the elements in another order than memory: B of the adapters of experts.
 * The first piece of such a tensor reads all of it; the pieces are picked out of that. */
#include "base/mem.h"
#include "save/layout_impl.h"

/* A tensor [experts, out, r], which its file has as [out, r, experts]. */
struct layout_permuted {
    struct layout_part *from;
    size_t place, n;
    uint64_t experts, out, r;
};

static size_t element_size(const struct layout_permuted *t)
{
    const size_t size = dtype_size(t->from->type);
    return size > sizeof(float) ? size : sizeof(float);
}

/* Reads all elements in the order of memory, or sends this rank's; all ranks do so piece by piece.
 * to: room for one piece on a rank that sends. */
static int read_all(const struct layout_permuted *t, bool writes, char *to, struct err *e)
{
    int rc = 0;
    for (size_t i = 0; i < t->n; i += SAVER_PIECE) {
        const size_t c = t->n - i < SAVER_PIECE ? t->n - i : SAVER_PIECE;
        char *at = writes ? to + i * sizeof(float) : to;
        saver_read *const read = writes ? layout_read : layout_give;
        if (read(t->from, t->place + i, c, DT_F32, at, rc ? NULL : e)) rc = -1;
    }
    return rc;
}

/* as: DT_F32, as of all adapters. */
static int read_permuted(void *arg, size_t at, size_t n, enum dtype as, void *out, struct err *e)
{
    const struct layout_permuted *t = arg;
    const struct layout *c = t->from->owner;
    const bool writes = mesh_writes(c->mesh);
    (void)as;
    int rc = 0;
    if (at == t->place) rc = read_all(t, writes, writes ? c->whole : out, e);
    for (size_t i = 0; i < n && writes; i++) {
        const uint64_t f = at - t->place + i;
        const uint64_t expert = f % t->experts, k = f / t->experts % t->r,
                       row = f / t->experts / t->r;
        ((float *)out)[i] = ((const float *)c->whole)[(expert * t->out + row) * t->r + k];
    }
    return rc;
}

int layout_permute(struct layout *c, struct saver_tensor *t, const struct param *p, struct err *e)
{
    struct layout_permuted *x = arena_alloc(&c->names, sizeof *x, e);
    if (!x) return -1;
    *x = (struct layout_permuted){.from = t->arg,
                                  .place = p->place,
                                  .n = t->n,
                                  .experts = p->whole[0],
                                  .out = p->whole[1],
                                  .r = p->whole[2]};
    const size_t bytes = t->n * element_size(x);
    if (bytes > c->whole_bytes) c->whole_bytes = bytes;
    t->rank = 2;
    t->shape[0] = x->out;
    t->shape[1] = x->r * x->experts;
    t->read = read_permuted;
    t->arg = x;
    return 0;
}
