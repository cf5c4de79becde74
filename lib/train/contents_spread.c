/* SPDX-License-Identifier: Apache-2.0 */
/* Checkpoints of a sharded optimizer: rank 0 asks for a piece of a part, every rank that holds some
 * of it sends that, converted; the others wait for the next question. */
#include "train/contents.h"

#include <string.h>

struct question {
    int32_t part; /* -1: there is none any more */
    int32_t as;   /* enum hf_dtype */
    uint64_t at, n;
};

void contents_spread(struct contents *c, const struct mesh *m)
{
    c->world = m->world;
    c->staging = &m->comm[MESH_DP]->staging;
    for (size_t i = 0; i < c->count; i++)
        if (c->tensors[i].arg != &c->parts[0]) c->tensors[i].read = contents_read_spread;
}

/* The elements of q that rank r holds; parts are equal. */
static void held_by(const struct contents *c, const struct question *q, int r, size_t *begin,
                    size_t *end)
{
    const size_t each = c->net->params.trained / (size_t)c->world->place.size;
    *begin = q->at;
    *end = q->at + q->n;
    zero_clip(begin, end, each * (size_t)r, each * ((size_t)r + 1));
}

int contents_read_spread(void *arg, size_t at, size_t n, enum hf_dtype as, void *out, struct err *e)
{
    const struct contents_part *p = arg;
    struct contents *c = p->owner;
    struct question q = {(int32_t)(p - c->parts), (int32_t)as, at, n};
    const size_t size = hf_dtype_size(as);
    int rc = 0;
    if (world_broadcast(c->world, &q, sizeof q, 0, e)) return -1;
    for (int r = 0; r < c->world->place.size; r++) {
        size_t begin, end;
        held_by(c, &q, r, &begin, &end);
        char *to = (char *)out + (begin - at) * size;
        if (begin == end) continue;
        if (r > 0 && world_receive(c->world, to, (end - begin) * size, r, e)) return -1;
        if (r == 0) rc = contents_read_here(arg, begin, end - begin, as, to, e);
    }
    return rc;
}

static int answer(struct contents *c, const struct question *q, struct err *e)
{
    size_t begin, end;
    int rc = 0;
    held_by(c, q, c->world->place.rank, &begin, &end);
    if (begin == end) return 0;
    const size_t bytes = (end - begin) * hf_dtype_size((enum hf_dtype)q->as);
    if (contents_read_here(&c->parts[q->part], begin, end - begin, (enum hf_dtype)q->as,
                           *c->staging, e)) {
        memset(*c->staging, 0, bytes);
        rc = -1;
    }
    return world_send(c->world, *c->staging, bytes, 0, rc ? NULL : e) ? -1 : rc;
}

int contents_serve(struct contents *c, struct err *e)
{
    struct question q;
    int rc = 0;
    if (!c->world) return 0;
    for (;;) {
        if (world_broadcast(c->world, &q, sizeof q, 0, rc ? NULL : e)) return -1;
        if (q.part < 0) return rc;
        if (answer(c, &q, rc ? NULL : e)) rc = -1;
        if (c->world->broken) return -1;
    }
}

int contents_dismiss(struct contents *c, struct err *e)
{
    struct question q = {.part = -1};
    return c->world ? world_broadcast(c->world, &q, sizeof q, 0, e) : 0;
}
