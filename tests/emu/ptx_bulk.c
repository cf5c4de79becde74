/* SPDX-License-Identifier: Apache-2.0 */
/* Instructions of bulk copies: cp.async.bulk, its tensor form, and cp.reduce.async.bulk. */
#include <stdlib.h>
#include <string.h>

#include "bulk.h"
#include "group.h"

enum { MULTICAST = 1, PREFETCH = 2, READ_ONLY = 4 }; /* bits of instr.mode */

/* ---- operands ---- */
static struct bulk *new_bulk(struct warp *w, const struct instr *i, int lane)
{
    struct bulk *b = calloc(1, sizeof *b);
    if (!b) emu_die("out of memory");
    b->landing = (struct landing){NULL, bulk_land, bulk_drop, w, i, lane};
    b->kind = (enum bulk_kind)i->compare;
    b->type = i->type;
    b->op = i->combine;
    b->group = w->bulk_groups[lane];
    return b;
}

/* Reads a tensor map from parameters or device memory. */
static void read_map(struct bulk *b, uint64_t address)
{
    const struct landing *l = &b->landing;
    unsigned char bytes[TENSOR_BYTES];
    if (address % 64)
        fault(l->warp, l->instr, l->lane, "a tensor map at %#llx, not a multiple of 64",
              (unsigned long long)address);
    for (unsigned k = 0; k < TENSOR_BYTES; k += 64)
        memcpy(bytes + k,
               memory_at(l->warp, l->instr, l->lane, SPACE_GENERIC, address + k, 64, ACCESS_READ),
               64);
    memcpy(&b->tensor, bytes, sizeof b->tensor);
    if (b->tensor.magic != TENSOR_MAGIC)
        fault(l->warp, l->instr, l->lane, "no tensor map is at %#llx", (unsigned long long)address);
    if (b->tensor.rank != l->instr->count)
        fault(l->warp, l->instr, l->lane, "a map of %u dimensions", b->tensor.rank);
}

static void read_box(struct bulk *b, int group)
{
    const struct landing *l = &b->landing;
    const struct operand *o = operand(l->instr, group);
    if (group_size(l->instr, group) != l->instr->count + 1)
        fault(l->warp, l->instr, l->lane, "%d coordinates", group_size(l->instr, group) - 1);
    read_map(b, memory_address(l->warp, o, l->lane));
    for (int d = 0; d < l->instr->count; d++)
        b->corner[d] = (int32_t)lane_get(l->warp, o + 1 + d, l->lane);
    for (int d = 0; d < l->instr->count; d++)
        if (b->kind != BULK_LOAD && b->corner[d] < 0)
            fault(l->warp, l->instr, l->lane, "a store to coordinate %d", b->corner[d]);
}

/* Sets the place in shared memory, whose address must be a multiple of `align`. */
static void read_shared_place(struct bulk *b, int group, uint32_t align)
{
    const struct landing *l = &b->landing;
    uint64_t at = memory_address(l->warp, operand(l->instr, group), l->lane);
    b->block = memory_block(l->warp, l->instr, l->lane, SPACE_SHARED, &at);
    b->shared = (uint32_t)at;
    if (at % align)
        fault(l->warp, l->instr, l->lane, "shared memory at %llu, not a multiple of %u",
              (unsigned long long)at, align);
}

static void read_bytes(struct bulk *b, int global, int size)
{
    const struct landing *l = &b->landing;
    b->global = memory_address(l->warp, operand(l->instr, global), l->lane);
    b->n = (uint32_t)lane_get(l->warp, operand(l->instr, size), l->lane);
    if (b->n % CHUNK || (b->kind != BULK_SHARED && b->global % CHUNK))
        fault(l->warp, l->instr, l->lane, "%u bytes at %#llx, not multiples of 16", b->n,
              (unsigned long long)b->global);
}

/* ---- loads, which complete on a barrier ---- */
static void attach(struct bulk *b, struct mbarrier *m)
{
    const struct landing *l = &b->landing;
    if (!m->fenced)
        fault(l->warp, l->instr, l->lane,
              "no fence.mbarrier_init or fence.proxy.async came after the mbarrier's start");
    bulk_begin(b);
    mbarrier_add(m, &b->landing);
}

/* Begins the copy in each block of the mask, at the same place as in its own. */
static void cast(struct bulk *b, const struct mbarrier *m, uint32_t mask)
{
    struct warp *w = b->landing.warp;
    struct group *g = w->block->group;
    for (int r = 0; r < g->count; r++) {
        if (!(mask >> r & 1)) continue;
        struct bulk *copy = malloc(sizeof *copy);
        if (!copy) emu_die("out of memory");
        *copy = *b;
        copy->block = &g->block[r];
        attach(copy, mbarrier_at(w, b->landing.instr, b->landing.lane, SPACE_SHARED,
                                 (uint64_t)(r + 1) << RANK_SHIFT | m->at));
    }
    free(b);
}

static void load(struct warp *w, const struct instr *i, int lane)
{
    struct bulk *b = new_bulk(w, i, lane);
    const int barrier = i->count ? 2 : 3;
    read_shared_place(b, 0, i->count ? 128 : CHUNK);
    if (i->count)
        read_box(b, 1);
    else
        read_bytes(b, 1, 2);
    if (b->kind == BULK_SHARED) {
        if (!w->block->group->cluster) fault(w, i, lane, "is illegal outside of a cluster");
        b->from = (uint32_t)b->global;
    }
    struct mbarrier *m =
        mbarrier_at(w, i, lane, SPACE_SHARED, memory_address(w, operand(i, barrier), lane));
    if (m->block != b->block) fault(w, i, lane, "the mbarrier is in another block");
    if (i->mode & MULTICAST)
        cast(b, m, (uint32_t)lane_get(w, operand(i, barrier + 1), lane) & 0xffff);
    else
        attach(b, m);
}

/* ---- stores, which complete in groups ---- */
static void store(struct warp *w, const struct instr *i, int lane)
{
    struct bulk *b = new_bulk(w, i, lane);
    read_shared_place(b, 1, i->count ? 128 : CHUNK);
    if (i->count)
        read_box(b, 0);
    else
        read_bytes(b, 0, 2);
    bulk_begin(b);
    struct bulk **last = &w->bulks[lane];
    while (*last) last = &(*last)->next;
    *last = b;
}

static void bulk(struct warp *w, const struct instr *i, uint32_t on)
{
    if (i->mode & PREFETCH) return;
    for (int l = 0; l < LANES; l++)
        if (on >> l & 1 && (i->compare == BULK_LOAD || i->compare == BULK_SHARED))
            load(w, i, l);
        else if (on >> l & 1)
            store(w, i, l);
}

static void commit(struct warp *w, const struct instr *i, uint32_t on)
{
    (void)i;
    EACH_LANE(on, w->bulk_groups[l]++;);
}

static void wait(struct warp *w, const struct instr *i, uint32_t on)
{
    const int keep = (int)lane_get(w, operand(i, 0), 0);
    for (int l = 0; l < LANES; l++) {
        if (!(on >> l & 1)) continue;
        struct bulk **at = &w->bulks[l];
        while (*at && (*at)->group < w->bulk_groups[l] - keep) {
            struct bulk *b = *at;
            bulk_read(b);
            at = &b->next;
            if (i->mode & READ_ONLY) continue;
            bulk_write(b);
            w->bulks[l] = b->next;
            at = &w->bulks[l];
            bulk_drop(&b->landing);
        }
    }
}

/* ---- st.async ---- */
/* Stores a value into a block of the cluster, where it counts as bytes of a copy. */
static void store_async(struct warp *w, const struct instr *i, uint32_t on)
{
    const unsigned n = i->type.bits / 8u;
    for (int l = 0; l < LANES; l++) {
        if (!(on >> l & 1)) continue;
        struct mbarrier *m =
            mbarrier_at(w, i, l, SPACE_SHARED, memory_address(w, operand(i, 2), l));
        for (unsigned k = 0; k < i->count; k++) {
            const uint64_t v = lane_get(w, operand(i, 1) + k, l);
            memcpy(memory_at(w, i, l, SPACE_SHARED, memory_address(w, operand(i, 0), l) + k * n, n,
                             ACCESS_WRITE),
                   &v, n);
        }
        mbarrier_bytes(w, i, l, m, (int64_t)n * i->count);
    }
}

/* ---- opcodes ---- */
static bool one(const char **p, const char *a, const char *b)
{
    return ptx_suffix(p, a) || ptx_suffix(p, b);
}

static bool dimensions(const char **p, struct instr *i)
{
    static const char *const words[] = {"1d", "2d", "3d", "4d", "5d"};
    for (uint8_t k = 0; k < DIMS; k++)
        if (ptx_suffix(p, words[k])) return i->count = (uint8_t)(k + 1), true;
    return false;
}

/* Takes what is left of a copy's opcode. */
static bool rest(struct instr *i, const char *p)
{
    for (;;) {
        if (ptx_suffix(&p, "multicast::cluster"))
            i->mode |= MULTICAST;
        else if (!ptx_suffix(&p, "tile") && !ptx_suffix(&p, "L2::cache_hint") &&
                 !ptx_suffix(&p, "mbarrier::complete_tx::bytes") && !ptx_suffix(&p, "bulk_group"))
            break;
    }
    i->run = bulk;
    return !*p;
}

static bool decode_copy(struct instr *i, const char *p)
{
    if (ptx_suffix(&p, "commit_group")) return i->run = commit, !*p;
    if (ptx_suffix(&p, "wait_group")) {
        i->run = wait;
        if (ptx_suffix(&p, "read")) i->mode = READ_ONLY;
        return !*p && i->groups == 1;
    }
    if (ptx_suffix(&p, "prefetch")) return i->mode = PREFETCH, i->run = bulk, true;
    if (ptx_suffix(&p, "tensor") && !dimensions(&p, i)) return false;
    if (one(&p, "shared::cluster", "shared::cta")) {
        const bool shared = !i->count && ptx_suffix(&p, "shared::cta");
        i->compare = shared ? BULK_SHARED : BULK_LOAD;
        return (shared || ptx_suffix(&p, "global")) && rest(i, p) && i->groups >= 3;
    }
    i->compare = BULK_STORE;
    return ptx_suffix(&p, "global") && ptx_suffix(&p, "shared::cta") && rest(i, p);
}

static bool decode_reduce(struct instr *i, const char *p)
{
    struct bulk b = {.op = 0};
    i->compare = BULK_REDUCE;
    if (ptx_suffix(&p, "tensor") && !dimensions(&p, i)) return false;
    if (!ptx_suffix(&p, "global") || !ptx_suffix(&p, "shared::cta")) return false;
    ptx_suffix(&p, "bulk_group");
    if (!reduce_op(&p, &b)) return false;
    i->combine = b.op;
    i->type = b.type;
    return rest(i, p);
}

static bool decode_store_async(struct instr *i, const char *p)
{
    i->count = 1;
    while (memory_suffix(&p, i) || ptx_suffix(&p, "mbarrier::complete_tx::bytes")) continue;
    if (ptx_suffix(&p, "v2")) i->count = 2;
    if (ptx_suffix(&p, "v4")) i->count = 4;
    i->run = store_async;
    return ptx_type(&p, &i->type) && !*p && i->groups == 3;
}

bool decode_bulk(struct instr *i)
{
    if (!strncmp(i->text, "cp.async.bulk", 13)) return decode_copy(i, i->text + 13);
    if (!strncmp(i->text, "cp.reduce.async.bulk", 20)) return decode_reduce(i, i->text + 20);
    if (!strncmp(i->text, "st.async.", 9)) return decode_store_async(i, i->text + 8);
    return false;
}
