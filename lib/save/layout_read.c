/* SPDX-License-Identifier: Apache-2.0 */
/* Reading pieces of tensors from the ranks that have them. A rank reads the elements that it
 * updates, the weights too: on other ranks they change when they are gathered, and no gate holds
 * that back. All ranks follow the list of blocks, so the writing rank sends no requests. */
#include <string.h>

#include "base/mem.h"
#include "save/layout_impl.h"

enum { STEP = 1 << 14 };

static int own_rank(const struct layout *c) { return mesh_rank_at(c->mesh->size, c->mesh->at); }

/* True if the rows of the block are not adjacent in the tensor. */
static bool is_narrow(const struct layout_block *b) { return b->block.columns != b->width; }

int layout_buffers(struct layout *c, struct err *e)
{
    bool scattered = false;
    for (size_t i = 0; i < c->nblocks && mesh_writes(c->mesh); i++)
        scattered |= c->blocks[i].rank > 0 && is_narrow(&c->blocks[i]);
    c->buffer = mem_alloc(STEP, sizeof *c->buffer, e);
    if (c->whole_bytes && mesh_writes(c->mesh) && !(c->whole = mem_alloc(c->whole_bytes, 1, e)))
        return -1;
    if (scattered) c->received = mem_alloc(SAVER_PIECE, sizeof(float), e);
    return !c->buffer || (scattered && !c->received) ? -1 : 0;
}

/* ---- from this device ---- */
static int copy(const struct layout_part *p, void *to, const void *from, size_t n, struct err *e)
{
    struct device *d = p->owner->weights->device;
    return d->ops->peek ? d->ops->peek(d, to, from, n, e) : d->ops->download(d, to, from, n, e);
}

static const char *address(const struct layout_part *p, const struct layout_block *b, size_t at)
{
    const struct weights *w = p->owner->weights;
    const char *base = p->state ? p->state->flat : w->values;
    return base + ((p->state ? b->state : b->offset) + at) * dtype_size(p->type);
}

/* Converts n elements of type `from` at raw to the type `to` at out, STEP at a time. raw lies at
 * the begin of out where an element becomes smaller and at its end where it becomes larger: what is
 * written never reaches what is still to be read. */
static int convert(float *buffer, const char *raw, enum dtype from, char *out, enum dtype to,
                   size_t n)
{
    for (size_t i = 0; i < n; i += STEP) {
        const size_t c = n - i < STEP ? n - i : STEP;
        if (dtype_to_f32(from, (const uint8_t *)raw + i * dtype_size(from), c, buffer) ||
            dtype_from_f32(to, buffer, c, (uint8_t *)out + i * dtype_size(to)))
            return -1;
    }
    return 0;
}

/* Reads elements [at, at + n) of a block of this rank in one copy from the device, into the memory
 * that the result will be in. Where an element becomes smaller the copy reaches behind the result:
 * the elements there are read later, as own blocks come in rising order and before received ones.
 */
static int read_own(const struct layout_part *p, const struct layout_block *b, size_t at, size_t n,
                    enum dtype as, void *out, struct err *e)
{
    const size_t size = dtype_size(p->type), to = dtype_size(as);
    char *raw = (char *)out + (to > size ? n * (to - size) : 0);
    if (copy(p, raw, address(p, b, at), n * size, e)) return -1;
    if (p->type == as || convert(p->owner->buffer, raw, p->type, out, as, n) == 0) return 0;
    return err_set(e, ERR_INTERNAL, "cannot save %s as %s", dtype_name(p->type), hf_dtype_name(as));
}

/* ---- on the rank that writes ---- */
/* A piece of a tensor: its elements [begin, end), in the type `as`. */
struct piece {
    const struct layout_part *part;
    size_t begin, end;
    enum dtype as;
};

static int place_own(const struct piece *p, const struct layout_block *b, char *out, struct err *e)
{
    int rc = 0;
    for (struct param_run r = {0}; rc == 0 && layout_next(b, p->begin, p->end, &r);)
        rc = read_own(p->part, b, r.at, r.n, p->as, out + (r.whole - p->begin) * dtype_size(p->as),
                      e);
    return rc;
}

/* The number of the block's elements in the piece. */
static size_t count(const struct piece *p, const struct layout_block *b)
{
    size_t n = 0;
    for (struct param_run r = {0}; layout_next(b, p->begin, p->end, &r);) n += r.n;
    return n;
}

/* A message has the runs of a block one after the other. */
static int place_received(const struct piece *p, const struct layout_block *b, char *out,
                          struct err *e)
{
    const struct layout *c = p->part->owner;
    const size_t size = dtype_size(p->as), n = count(p, b);
    struct param_run r = {0};
    if (n == 0) return 0;
    layout_next(b, p->begin, p->end, &r);
    char *to = r.n == n ? out + (r.whole - p->begin) * size : c->received, *from = to;
    if (mesh_side_receive(c->mesh, to, n * size, b->rank, e)) return -1;
    if (r.n == n) return 0;
    do {
        memcpy(out + (r.whole - p->begin) * size, from, r.n * size);
        from += r.n * size;
    } while (layout_next(b, p->begin, p->end, &r));
    return 0;
}

/* Keeps the first failure, and receives what others send in any case. */
int layout_read(void *arg, size_t at, size_t n, enum dtype as, void *out, struct err *e)
{
    const struct layout_part *part = arg;
    const int own = own_rank(part->owner);
    size_t blocks;
    int rc = 0;
    const struct layout_block *b = layout_find(part->owner, at, &blocks);
    const struct piece p = {part, at - b->place, at - b->place + n, as};
    for (; blocks > 0; blocks--, b++) {
        struct err *why = rc ? NULL : e;
        if ((b->rank == own ? place_own : place_received)(&p, b, out, why)) rc = -1;
    }
    return rc;
}

/* ---- on the others ---- */
/* Sends zeros where the read fails, since the rank that writes waits for a message. */
static int give(const struct piece *p, const struct layout_block *b, char *out, struct err *e)
{
    const struct layout *c = p->part->owner;
    const size_t size = dtype_size(p->as);
    size_t n = 0;
    int rc = 0;
    for (struct param_run r = {0}; layout_next(b, p->begin, p->end, &r); n += r.n)
        if (rc == 0) rc = read_own(p->part, b, r.at, r.n, p->as, out + n * size, e);
    if (n == 0) return 0;
    if (rc) memset(out, 0, n * size);
    return mesh_side_send(c->mesh, out, n * size, 0, rc ? NULL : e) ? -1 : rc;
}

int layout_give(void *arg, size_t at, size_t n, enum dtype as, void *out, struct err *e)
{
    const struct layout_part *part = arg;
    const int own = own_rank(part->owner);
    size_t blocks;
    int rc = 0;
    const struct layout_block *b = layout_find(part->owner, at, &blocks);
    const struct piece p = {part, at - b->place, at - b->place + n, as};
    for (; blocks > 0; blocks--, b++)
        if (b->rank == own && give(&p, b, out, rc ? NULL : e)) rc = -1;
    return rc;
}

/* ---- after the last tensor ---- */
/* Each rank that has sent elements tells the rank that writes if a read of them failed. */
int layout_finish(void *arg, int rc, struct err *e)
{
    const struct layout *c = arg;
    const struct mesh *m = c->mesh;
    struct err word = {0};
    if (!mesh_writes(m)) {
        if (rc) word = *e;
        return mesh_side_send(m, &word, sizeof word, 0, rc ? NULL : e) ? -1 : rc;
    }
    for (int r = 1; r < mesh_ranks(m); r++) {
        if (!layout_has(c, r)) continue;
        if (mesh_side_receive(m, &word, sizeof word, r, rc ? NULL : e)) return -1;
        if (rc || word.code == ERR_OK) continue;
        *e = word;
        rc = err_prefix(e, "rank %d", r);
    }
    return rc;
}
