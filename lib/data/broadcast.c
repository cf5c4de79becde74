/* SPDX-License-Identifier: Apache-2.0 */
/* A step is broadcast as its counts and then each of its arrays. */
#include "data/broadcast_impl.h"

int broadcast_header(const struct mesh *m, struct stream_header *h, struct err *e)
{
    struct stream_header copy = *h;
    copy.stages = (struct buf){0};
    if (mesh_broadcast(m, &copy, sizeof copy, e)) return -1;
    if (!mesh_writes(m)) *h = copy;
    return 0;
}

struct counts {
    int32_t rc;
    uint64_t step, tokens, samples, rows, label_tokens, checksum;
    double weight, squares;
};

static int make_room(struct feed_step *s, const struct counts *c, struct err *e)
{
    if (s->fixed)
        return c->tokens <= s->ids_cap && c->samples <= s->samples_cap && c->rows <= s->rows_cap
                   ? 0
                   : err_set(e, ERR_INTERNAL, "a step of another size than rank 0's");
    return mem_grow(&s->ids, &s->ids_cap, c->tokens, sizeof *s->ids, e) ||
           mem_grow(&s->weights, &s->weights_cap, c->tokens, sizeof *s->weights, e) ||
           mem_grow(&s->samples, &s->samples_cap, c->samples, sizeof *s->samples, e) ||
           mem_grow(&s->rows, &s->rows_cap, c->rows, sizeof *s->rows, e);
}

static void take_counts(struct feed_step *s, const struct counts *c)
{
    s->step = c->step;
    s->tokens = c->tokens;
    s->nsamples = c->samples;
    s->nrows = c->rows;
    s->label_tokens = c->label_tokens;
    s->weight = c->weight;
    s->squares = c->squares;
}

static int send_arrays(const struct mesh *m, struct feed_step *s, struct err *e)
{
    return mesh_broadcast(m, s->ids, s->tokens * sizeof *s->ids, e) ||
                   mesh_broadcast(m, s->weights, s->tokens * sizeof *s->weights, e) ||
                   mesh_broadcast(m, s->samples, s->nsamples * sizeof *s->samples, e) ||
                   mesh_broadcast(m, s->rows, s->nrows * sizeof *s->rows, e)
               ? -1
               : 0;
}

int broadcast_step(const struct mesh *m, int rc, struct feed_step *s, uint64_t *checksum,
                   struct err *e)
{
    const bool reads = mesh_writes(m);
    struct counts c = {0};
    if (reads)
        c = (struct counts){rc,        s->step,   s->tokens, s->nsamples, s->nrows, s->label_tokens,
                            *checksum, s->weight, s->squares};
    if (mesh_broadcast(m, &c, sizeof c, e)) return -1;
    if (c.rc < 0) return reads ? -1 : err_set(e, ERR_DATA, "rank 0 cannot read the stream");
    if (c.rc == 0) return 0;
    *checksum = c.checksum;
    /* Rank 0 sends only when all ranks have room. */
    int room = reads ? 0 : make_room(s, &c, e) ? -1 : 0;
    if (mesh_agree(m, room, e)) return -1;
    if (!reads) take_counts(s, &c);
    return send_arrays(m, s, e) ? -1 : 1;
}
