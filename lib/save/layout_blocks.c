/* SPDX-License-Identifier: Apache-2.0 */
/* The list of blocks, which says of each element of a tensor on which rank it lies. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "save/layout_impl.h"

bool layout_saves(const struct layout *c, const struct param *p)
{
    return p->trained || !c->weights->params.nlora;
}

static int append(struct layout *c, const struct layout_block *b, struct err *e)
{
    if (mem_grow(&c->blocks, &c->blocks_cap, c->nblocks + 1, sizeof *c->blocks, e)) return -1;
    c->blocks[c->nblocks++] = *b;
    return 0;
}

/* Adds the parts of block b on the data-parallel ranks: those in the rank's part of the bucket, or
 * all of it on the first rank. at: the coordinates of the first rank that has the table. b has the
 * offset of the whole block, and its number of elements. */
static int add_parts(struct layout *c, const struct params *t, const struct param *p,
                     struct layout_block b, const int at[MESH_AXES], struct err *e)
{
    const bool frozen = p->bucket >= t->nbuckets;
    const int parts = frozen && !c->weights->own.parts ? 1 : c->shards;
    const size_t first = b.offset, last = first + b.n;
    int holder[MESH_AXES];
    for (int r = 0; r < parts; r++) {
        size_t begin = first, end = last;
        if (parts > 1 && !params_shares(t, p->bucket, r)) continue;
        const struct params_part part = params_part(t, p->bucket, parts, r);
        params_clip(&begin, &end, part.begin, part.end);
        b.state = part.state + begin - part.begin;
        if (begin == end) continue;
        memcpy(holder, at, sizeof holder);
        if (parts > 1) mesh_locate_replica(c->mesh->size, r, holder);
        b.rank = mesh_rank_at(c->mesh->size, holder);
        b.from = begin - first;
        b.n = end - begin;
        b.offset = begin;
        if (append(c, &b, e)) return -1;
    }
    return 0;
}

/* True if a rank before these has the tensor too: the first tensor-parallel one has those that are
 * not cut, the first stage has a tied model's one matrix, and the first of the ranks that share out
 * the experts has what is not theirs. */
static bool is_copy(const struct layout *c, const struct params *t, const struct param *p,
                    const int at[MESH_AXES])
{
    const bool last = c->weights->whole.tied && t->has_head && !t->has_embedding;
    return (!shard_is_cut(p->shard) && at[MESH_TP] > 0) || (last && p->offset == t->embed) ||
           (t->ep_at > 0 && !t->buckets[p->bucket].experts);
}

/* Adds the blocks of the data-parallel ranks through coordinates `at`, which have the table t. */
static int add_table(struct layout *c, const struct params *t, const int at[MESH_AXES],
                     struct err *e)
{
    for (size_t i = 0; i < t->count; i++) {
        const struct param *p = &t->p[i];
        size_t offset = p->offset;
        if (!layout_saves(c, p) || is_copy(c, t, p, at)) continue;
        for (int k = 0; k < param_blocks(p); k++) {
            struct layout_block b = {.place = p->place,
                                     .width = param_width(p),
                                     .block = param_block(p, k),
                                     .offset = offset};
            b.n = (size_t)(b.block.rows * b.block.columns);
            if (add_parts(c, t, p, b, at, e)) return -1;
            offset += b.n;
        }
    }
    return 0;
}

static int compare(uint64_t a, uint64_t b) { return a < b ? -1 : a > b; }
static int in_order(const void *x, const void *y)
{
    const struct layout_block *a = x, *b = y;
    int c = compare(a->place, b->place);
    if (c == 0) c = compare(a->block.row, b->block.row);
    if (c == 0) c = compare(a->block.column, b->block.column);
    return c ? c : compare(a->from, b->from);
}

/* Adds the blocks of the ranks with those coordinates, which this rank may be one of. */
static int add_ranks(struct layout *c, const int at[MESH_AXES], struct err *e)
{
    const struct weights *w = c->weights;
    struct params_options o = w->made;
    struct params t;
    mesh_params(c->mesh, at, &o);
    int rc = params_make(&w->whole, &o, &t, e);
    if (rc == 0) rc = add_table(c, &t, at, e);
    params_free(&t);
    return rc;
}

static int add_all(struct layout *c, struct err *e)
{
    const int *size = c->mesh->size, shares = c->mesh->experts, tp = size[MESH_TP];
    int rc = 0, at[MESH_AXES] = {0};
    if (!mesh_cuts(c->mesh)) return add_table(c, &c->weights->params, at, e);
    for (int r = 0; r < tp * size[MESH_PP] * shares && rc == 0; r++) {
        at[MESH_TP] = r % tp;
        mesh_locate_replica(size, r / tp % shares, at);
        at[MESH_PP] = r / tp / shares;
        rc = add_ranks(c, at, e);
    }
    return rc;
}

int layout_list(struct layout *c, struct err *e)
{
    if (add_all(c, e)) return -1;
    if (c->nblocks) qsort(c->blocks, c->nblocks, sizeof *c->blocks, in_order);
    return 0;
}

const struct layout_block *layout_find(const struct layout *c, size_t at, size_t *n)
{
    size_t low = 0, high = c->nblocks; /* the first block of a later tensor */
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (c->blocks[middle].place <= at)
            low = middle + 1;
        else
            high = middle;
    }
    for (*n = 0; low > 0 && c->blocks[low - 1].place == c->blocks[high - 1].place; ++*n) low--;
    return c->blocks + low;
}

/* The number of the block's elements in the rows above the tensor's element `at`. */
static size_t above(const struct layout_block *b, size_t at)
{
    const uint64_t row = at / b->width;
    if (row <= b->block.row) return 0;
    return (size_t)((row < b->block.row + b->block.rows ? row - b->block.row : b->block.rows) *
                    b->block.columns);
}

bool layout_next(const struct layout_block *b, size_t begin, size_t end, struct param_run *run)
{
    const uint64_t columns = b->block.columns;
    const size_t skip = run->n ? 0 : above(b, begin);
    size_t i = run->n ? run->at + run->n : skip > b->from ? skip - b->from : 0;
    for (size_t n; i < b->n; i += n) {
        const uint64_t k = b->from + i, left = b->n - i, line = columns - k % columns;
        const size_t whole =
            (size_t)((b->block.row + k / columns) * b->width + b->block.column + k % columns);
        n = (size_t)(columns == b->width || line > left ? left : line);
        size_t from = whole, to = whole + n;
        params_clip(&from, &to, begin, end);
        if (from < to) {
            *run = (struct param_run){.at = i + (from - whole), .n = to - from, .whole = from};
            return true;
        }
        if (whole >= end) break;
    }
    return false;
}

bool layout_has(const struct layout *c, int rank)
{
    for (size_t i = 0; i < c->nblocks; i++)
        if (c->blocks[i].rank == rank) return true;
    return false;
}
