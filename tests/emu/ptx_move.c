/* SPDX-License-Identifier: Apache-2.0 */
/* Moves between registers, packing and unpacking, special registers, and address windows. */
#include <string.h>

#include "emu.h"

static uint64_t special_value(const struct warp *w, const struct operand *o, int lane)
{
    const struct block *b = w->block;
    const struct launch *n = b->launch;
    const uint32_t thread = (uint32_t)w->index * LANES + (uint32_t)lane;
    const uint32_t at[3] = {thread % n->size[0], thread / n->size[0] % n->size[1],
                            thread / n->size[0] / n->size[1]};
    switch ((enum special)o->special) {
    case SPECIAL_TID:
        return at[o->axis];
    case SPECIAL_NTID:
        return n->size[o->axis];
    case SPECIAL_CTAID:
        return b->at[o->axis];
    case SPECIAL_NCTAID:
        return n->grid[o->axis];
    case SPECIAL_LANE:
        return (uint32_t)lane;
    case SPECIAL_WARP:
        return (uint32_t)w->index;
    case SPECIAL_DYNAMIC:
        return n->dynamic;
    case SPECIAL_TOTAL:
        return b->shared_size;
    case SPECIAL_CLUSTER_RANK:
        return n->cluster[0] ? (uint32_t)b->rank : 0;
    case SPECIAL_CLUSTER_RANKS:
        return n->cluster[0] ? (uint32_t)b->group->count : 1;
    case SPECIAL_CLUSTER_CTAID:
        return n->cluster[0] ? b->at[o->axis] % n->cluster[o->axis] : 0;
    case SPECIAL_CLUSTER_NCTAID:
        return n->cluster[0] ? n->cluster[o->axis] : 1;
    case SPECIAL_CLUSTERID:
        return n->cluster[0] ? b->at[o->axis] / n->cluster[o->axis] : b->at[o->axis];
    case SPECIAL_NCLUSTERID:
        return n->cluster[0] ? n->grid[o->axis] / n->cluster[o->axis] : n->grid[o->axis];
    case SPECIAL_CLUSTER_EXPLICIT:
        return n->cluster[0] != 0;
    case SPECIAL_LANEMASK: {
        const uint32_t bit = 1u << lane;
        const uint32_t all[] = {bit, bit | (bit - 1), bit - 1, ~(bit - 1), ~(bit | (bit - 1))};
        return all[o->axis];
    }
    default:
        return 0;
    }
}

static void mov_special(struct warp *w, const struct instr *i, uint32_t on)
{
    const struct operand *d = operand(i, 0), *x = operand(i, 1);
    const uint32_t *size = w->block->launch->size;
    const bool row = size[1] == 1 && size[2] == 1, differs = x->special == SPECIAL_LANEMASK ||
                                                             x->special == SPECIAL_LANE ||
                                                             x->special == SPECIAL_TID;
    if (differs && !(row && x->special == SPECIAL_TID)) {
        EACH_LANE(on, lane_put(w, d, l, special_value(w, x, l)););
        return;
    }
    const uint64_t first = special_value(w, x, 0);
    const uint32_t step = differs && x->axis == 0;
    EACH_LANE(on, lane_put(w, d, l, first + step * (uint32_t)l););
}
static void mov_narrow(struct warp *w, const struct instr *i, uint32_t on)
{
    uint32_t *d = narrow(w, operand(i, 0));
    const uint32_t *x = narrow(w, operand(i, 1));
    EACH_LANE(on, d[l] = x[l];);
}
static void mov_16(struct warp *w, const struct instr *i, uint32_t on)
{
    uint32_t *d = narrow(w, operand(i, 0));
    const uint32_t *x = narrow(w, operand(i, 1));
    EACH_LANE(on, d[l] = x[l] & 0xffff;);
}
static void mov_wide(struct warp *w, const struct instr *i, uint32_t on)
{
    uint64_t *d = wide(w, operand(i, 0));
    const uint64_t *x = wide(w, operand(i, 1));
    const uint64_t offset = (uint64_t)operand(i, 1)->offset;
    EACH_LANE(on, d[l] = x[l] + offset;);
}
static void mov_predicate(struct warp *w, const struct instr *i, uint32_t on)
{
    const struct operand *x = operand(i, 1);
    const uint32_t v = x->special    ? (special_value(w, x, 0) ? ~0u : 0)
                       : x->constant ? (x->constant->narrow[0] ? ~0u : 0)
                                     : predicate(w, x);
    predicate_put(w, operand(i, 0), on, v);
}
/* Packs d = {a, b, ...}, the first in the low bits, or unpacks. */
static void mov_pack(struct warp *w, const struct instr *i, uint32_t on)
{
    const int n = group_size(i, 1), bits = i->type.bits / n;
    EACH_LANE(on, uint64_t v = 0;
              for (int k = 0; k < n; k++) v |=
              (lane_get(w, operand(i, 1) + k, l) & (bits == 64 ? ~0ull : (1ull << bits) - 1))
              << k * bits;
              lane_put(w, operand(i, 0), l, v););
}
static void mov_unpack(struct warp *w, const struct instr *i, uint32_t on)
{
    const int n = group_size(i, 0), bits = i->type.bits / n;
    EACH_LANE(on, const uint64_t v = lane_get(w, operand(i, 1), l); for (int k = 0; k < n; k++)
                  lane_put(w, operand(i, 0) + k, l, v >> k * bits & ((1ull << bits) - 1)););
}

/* The common cases: two halves of 32 bits, or of 64. */
static void mov_pack_32(struct warp *w, const struct instr *i, uint32_t on)
{
    uint32_t *d = narrow(w, operand(i, 0));
    const uint32_t *low = narrow(w, operand(i, 1)), *high = narrow(w, operand(i, 1) + 1);
    EACH_LANE(on, d[l] = (low[l] & 0xffff) | high[l] << 16;);
}
static void mov_pack_64(struct warp *w, const struct instr *i, uint32_t on)
{
    uint64_t *d = wide(w, operand(i, 0));
    const uint32_t *low = narrow(w, operand(i, 1)), *high = narrow(w, operand(i, 1) + 1);
    EACH_LANE(on, d[l] = low[l] | (uint64_t)high[l] << 32;);
}
static void mov_unpack_32(struct warp *w, const struct instr *i, uint32_t on)
{
    uint32_t *low = narrow(w, operand(i, 0)), *high = narrow(w, operand(i, 0) + 1);
    const uint32_t *x = narrow(w, operand(i, 1));
    EACH_LANE(on, const uint32_t v = x[l]; low[l] = v & 0xffff; high[l] = v >> 16;);
}
static void mov_unpack_64(struct warp *w, const struct instr *i, uint32_t on)
{
    uint32_t *low = narrow(w, operand(i, 0)), *high = narrow(w, operand(i, 0) + 1);
    const uint64_t *x = wide(w, operand(i, 1));
    EACH_LANE(on, const uint64_t v = x[l]; low[l] = (uint32_t)v; high[l] = (uint32_t)(v >> 32););
}

/* A register of 128 bits: the low halves of its lanes, then the high ones. */
static void mov_128(struct warp *w, const struct instr *i, uint32_t on)
{
    const bool packs = group_size(i, 1) > 1;
    uint64_t *whole = wide(w, operand(i, packs ? 0 : 1));
    const struct operand *part = operand(i, packs ? 1 : 0);
    for (int k = 0; k < 2; k++)
        EACH_LANE(on, if (packs) whole[k * LANES + l] = lane_get(w, part + k, l);
                  else lane_put(w, part + k, l, whole[k * LANES + l]););
}

static uint64_t window(enum space s)
{
    return s == SPACE_SHARED  ? WINDOW_SHARED
           : s == SPACE_LOCAL ? WINDOW_LOCAL
           : s == SPACE_PARAM ? WINDOW_PARAM
                              : 0;
}
/* Converts an address in a space to a generic one; mode 1 converts back. */
static void cvta(struct warp *w, const struct instr *i, uint32_t on)
{
    const struct operand *d = operand(i, 0), *x = operand(i, 1);
    /* addresses of local memory are always generic */
    const uint64_t base = i->space == SPACE_LOCAL ? 0 : window(i->space);
    EACH_LANE(on, const uint64_t v = lane_get(w, x, l) + (uint64_t)x->offset;
              lane_put(w, d, l, i->mode ? v - base : v + base););
}
static void isspacep(struct warp *w, const struct instr *i, uint32_t on)
{
    uint32_t r = 0;
    EACH_LANE(on, const uint64_t a = lane_get(w, operand(i, 1), l);
              const enum space s = a - WINDOW_SHARED < WINDOW_SIZE  ? SPACE_SHARED
                                   : a - WINDOW_LOCAL < WINDOW_SIZE ? SPACE_LOCAL
                                                                    : SPACE_GLOBAL;
              r |= (uint32_t)(s == i->space) << l;);
    predicate_put(w, operand(i, 0), on, r);
}

static bool space_suffix(const char **p, struct instr *i)
{
    if (ptx_suffix(p, "global"))
        i->space = SPACE_GLOBAL;
    else if (ptx_suffix(p, "shared") || ptx_suffix(p, "shared::cta") ||
             ptx_suffix(p, "shared::cluster"))
        i->space = SPACE_SHARED;
    else if (ptx_suffix(p, "param"))
        i->space = SPACE_PARAM;
    else if (ptx_suffix(p, "local"))
        i->space = SPACE_LOCAL;
    else if (ptx_suffix(p, "const"))
        i->space = SPACE_CONST;
    else
        return false;
    return true;
}

static execute *unpacker(const struct instr *i)
{
    const struct operand *d = operand(i, 0);
    if (group_size(i, 0) != 2 || d[0].sink || d[1].sink) return mov_unpack;
    return i->type.bits == 32 ? mov_unpack_32 : i->type.bits == 64 ? mov_unpack_64 : mov_unpack;
}
static execute *packer(const struct instr *i)
{
    if (group_size(i, 1) != 2) return mov_pack;
    return i->type.bits == 32 ? mov_pack_32 : i->type.bits == 64 ? mov_pack_64 : mov_pack;
}

static bool decode_mov(struct instr *i, const char *p)
{
    if (ptx_suffix(&p, "pred")) {
        i->run = mov_predicate;
        return !*p;
    }
    if (!strcmp(p, ".b128")) return i->run = mov_128, group_size(i, 0) + group_size(i, 1) == 3;
    if (!ptx_type(&p, &i->type) || *p) return false;
    if (group_size(i, 0) > 1)
        i->run = unpacker(i);
    else if (group_size(i, 1) > 1)
        i->run = packer(i);
    else if (operand(i, 1)->special)
        i->run = mov_special;
    else
        i->run = i->type.bits == 64 ? mov_wide : i->type.bits == 16 ? mov_16 : mov_narrow;
    return true;
}

bool decode_move(struct instr *i)
{
    const char *p = i->text + strcspn(i->text, ".");
    if (!strncmp(i->text, "mov.", 4)) return decode_mov(i, p);
    if (!strncmp(i->text, "cvta.", 5)) {
        if (ptx_suffix(&p, "to")) i->mode = 1;
        i->run = cvta;
        return space_suffix(&p, i) && ptx_type(&p, &i->type) && !*p;
    }
    if (!strncmp(i->text, "isspacep.", 9)) {
        i->run = isspacep;
        return space_suffix(&p, i) && !*p;
    }
    return false;
}
