/* SPDX-License-Identifier: Apache-2.0 */
/* Bulk copies: rows of their boxes, landing, and completion. */
#include "bulk.h"

#include <stdlib.h>
#include <string.h>

enum { TYPE_TF32 = 11, TYPE_TF32_FTZ = 12 }; /* CUtensorMapDataType */

/* ---- boxes ---- */
/* Elements that a box holds along a dimension. */
static uint32_t held(const struct tensor *t, int d)
{
    return d < t->rank ? (t->box[d] + t->step[d] - 1u) / t->step[d] : 1;
}

static uint32_t row_bytes(const struct tensor *t) { return t->box[0] * (uint32_t)t->stride[0]; }

/* Bytes from a row to the next in shared memory: a swizzled row takes the swizzle's width. */
static uint32_t pitch(const struct tensor *t)
{
    const uint32_t width = t->swizzle ? 16u << t->swizzle : 0, n = row_bytes(t);
    return n < width ? width : n;
}

static uint32_t rows(const struct tensor *t)
{
    return held(t, 1) * held(t, 2) * held(t, 3) * held(t, 4);
}

uint32_t bulk_size(const struct bulk *b)
{
    return b->tensor.rank ? rows(&b->tensor) * row_bytes(&b->tensor) : b->n;
}

uint32_t bulk_extent(const struct bulk *b)
{
    return b->tensor.rank ? rows(&b->tensor) * pitch(&b->tensor) : b->n;
}

uint32_t bulk_swizzle(const struct bulk *b, uint32_t at)
{
    const uint32_t mask = (1u << b->tensor.swizzle) - 1;
    return b->tensor.rank ? at ^ (at >> 7 & mask) << 4 : at;
}

/* Cuts a row to what lies in dimension 0. */
static void cut(const struct bulk *b, struct row *r)
{
    const struct tensor *t = &b->tensor;
    const int64_t size = (int64_t)t->stride[0], left = -(int64_t)b->corner[0],
                  right = (int64_t)t->dim[0] - b->corner[0], n = t->box[0];
    const int64_t low = left < 0   ? 0
                        : left > n ? n
                                   : left,
                  high = right < low ? low
                         : right > n ? n
                                     : right;
    r->low = (uint32_t)(low * size), r->high = (uint32_t)(high * size);
}

static void tensor_row(const struct bulk *b, uint32_t k, struct row *r)
{
    const struct tensor *t = &b->tensor;
    r->offset = k * pitch(t);
    r->n = row_bytes(t);
    r->address = t->address + (uint64_t)((int64_t)b->corner[0] * (int64_t)t->stride[0]);
    cut(b, r);
    for (int d = 1; d < t->rank; d++) {
        const int64_t c = b->corner[d] + (int64_t)(k % held(t, d)) * t->step[d];
        k /= held(t, d);
        r->address += (uint64_t)(c * (int64_t)t->stride[d]);
        if (c < 0 || c >= (int64_t)t->dim[d]) r->high = r->low;
    }
}

void bulk_rows(struct bulk *b, each_row *f)
{
    if (!b->tensor.rank) {
        f(b, &(struct row){0, b->n, 0, b->n, b->global});
        return;
    }
    const uint32_t n = rows(&b->tensor);
    for (uint32_t k = 0; k < n; k++) {
        struct row r;
        tensor_row(b, k, &r);
        f(b, &r);
    }
}

/* ---- in flight ---- */
static enum access shared_access(const struct bulk *b)
{
    return b->kind == BULK_STORE || b->kind == BULK_REDUCE ? ACCESS_READ : ACCESS_WRITE;
}

/* Calls order_begin or order_end for each CHUNK of a row. */
static void begin_row(struct bulk *b, const struct row *r)
{
    const struct landing *l = &b->landing;
    for (uint32_t k = 0; k < r->n; k += CHUNK)
        order_begin(l->warp, l->instr, l->lane, b->block,
                    bulk_swizzle(b, b->shared + r->offset + k), CHUNK, shared_access(b));
}
static void end_row(struct bulk *b, const struct row *r)
{
    for (uint32_t k = 0; k < r->n; k += CHUNK)
        order_end(b->landing.warp, b->landing.lane, b->block,
                  bulk_swizzle(b, b->shared + r->offset + k), CHUNK, shared_access(b));
}

void bulk_begin(struct bulk *b)
{
    const struct landing *l = &b->landing;
    const uint32_t extent = bulk_extent(b), size = b->block->shared_size;
    if (b->shared > size || extent > size - b->shared)
        fault(l->warp, l->instr, l->lane, "%u bytes at %u of shared memory, which has %u", extent,
              b->shared, size);
    bulk_rows(b, begin_row);
    if (b->kind == BULK_SHARED)
        order_begin(l->warp, l->instr, l->lane, l->warp->block, b->from, b->n, ACCESS_READ);
}

/* ---- loads ---- */
/* TFLOAT32 is rounded to nearest even on its way. */
static void round_tf32(unsigned char *row, uint32_t n)
{
    for (uint32_t k = 0; k + 4 <= n; k += 4) {
        uint32_t v;
        memcpy(&v, row + k, 4);
        const bool nan = (v & 0x7fffffff) > 0x7f800000;
        v = nan ? 0x7fffe000 : (v + 0xfff + (v >> 13 & 1)) & 0xffffe000;
        memcpy(row + k, &v, 4);
    }
}

/* The value outside of the tensor: zero, or a NaN of its own. */
static void fill_row(const struct bulk *b, unsigned char *row, uint32_t n)
{
    memset(row, 0, n);
    for (uint32_t k = 0; b->tensor.fill && k < n; k += 2) row[k] = 0xf7, row[k + 1] = 0x7f;
}

static void load_row(struct bulk *b, const struct row *r)
{
    const struct landing *l = &b->landing;
    unsigned char *row = b->bytes, *shared = b->block->shared;
    if (r->high - r->low < r->n) fill_row(b, row, r->n);
    if (r->high > r->low)
        memcpy(row + r->low,
               memory_range(l->warp, l->instr, l->lane, r->address + r->low, r->high - r->low,
                            ACCESS_READ),
               r->high - r->low);
    if (b->tensor.type == TYPE_TF32 || b->tensor.type == TYPE_TF32_FTZ)
        round_tf32(row + r->low, r->high - r->low);
    for (uint32_t k = 0; k < r->n; k += CHUNK) {
        const uint32_t at = bulk_swizzle(b, b->shared + r->offset + k);
        memcpy(shared + at, row + k, CHUNK);
        memset(b->block->shared_known + at, 1, CHUNK);
    }
}

/* Reads bytes of the issuing block's shared memory, which threads must have stored. */
static void read_shared(const struct bulk *b, uint32_t at, uint32_t n, unsigned char *to)
{
    const struct landing *l = &b->landing;
    const struct block *from = l->warp->block;
    const unsigned char *hole = memory_checks() ? memchr(from->shared_known + at, 0, n) : NULL;
    if (hole)
        fault(l->warp, l->instr, l->lane,
              "reads byte %u of shared memory, where nothing was stored",
              (unsigned)(hole - from->shared_known));
    memcpy(to, from->shared + at, n);
}

static void move_shared(struct bulk *b)
{
    read_shared(b, b->from, b->n, b->bytes);
    memcpy(b->block->shared + b->shared, b->bytes, b->n);
    memset(b->block->shared_known + b->shared, 1, b->n);
    order_end(b->landing.warp, b->landing.lane, b->landing.warp->block, b->from, b->n, ACCESS_READ);
}

void bulk_land(struct landing *l, struct mbarrier *m)
{
    struct bulk *b = (struct bulk *)(void *)l;
    b->bytes = malloc(b->tensor.rank ? row_bytes(&b->tensor) : b->n);
    if (!b->bytes) emu_die("out of memory");
    if (b->kind == BULK_SHARED)
        move_shared(b);
    else
        bulk_rows(b, load_row);
    bulk_rows(b, end_row);
    m->now.seen[AGENT_ASYNC].lane[0] = b->block->time++;
    mbarrier_bytes(l->warp, l->instr, l->lane, m, bulk_size(b));
}

void bulk_drop(struct landing *l)
{
    struct bulk *b = (struct bulk *)(void *)l;
    free(b->bytes);
    free(b);
}

/* ---- stores ---- */
static void keep_row(struct bulk *b, const struct row *r)
{
    unsigned char *row = b->bytes + (b->tensor.rank ? r->offset / pitch(&b->tensor) * r->n : 0);
    for (uint32_t k = 0; k < r->n; k += CHUNK)
        read_shared(b, bulk_swizzle(b, b->shared + r->offset + k), CHUNK, row + k);
}

void bulk_read(struct bulk *b)
{
    if (b->ended) return;
    b->bytes = malloc(bulk_size(b));
    if (!b->bytes) emu_die("out of memory");
    bulk_rows(b, keep_row);
    bulk_rows(b, end_row);
    b->ended = true;
}

static void write_row(struct bulk *b, const struct row *r)
{
    const struct landing *l = &b->landing;
    const unsigned char *row =
        b->bytes + (b->tensor.rank ? r->offset / pitch(&b->tensor) * r->n : 0);
    const uint32_t n = r->high - r->low;
    if (!n) return;
    unsigned char *to = memory_range(l->warp, l->instr, l->lane, r->address + r->low, n,
                                     b->kind == BULK_REDUCE ? ACCESS_BOTH : ACCESS_WRITE);
    if (b->kind == BULK_REDUCE) {
        memory_lock(l->warp, true);
        reduce_row(b, to, row + r->low, n);
        memory_lock(l->warp, false);
    } else
        memcpy(to, row + r->low, n);
}

void bulk_write(struct bulk *b)
{
    bulk_read(b);
    bulk_rows(b, write_row);
    b->landing.warp->block->group->changes++;
}
