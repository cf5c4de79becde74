/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses in the blocks of a cluster, and instructions that only tune an SM. */
#include <string.h>

#include "order.h"

/* ---- clusters ---- */
/* Maps an address of shared memory to the same place in another block. */
static void mapa(struct warp *w, const struct instr *i, uint32_t on)
{
    const struct group *g = w->block->group;
    const bool generic = i->space == SPACE_GENERIC;
    for (int l = 0; l < LANES; l++) {
        if (!(on >> l & 1)) continue;
        uint64_t a = memory_address(w, operand(i, 1), l);
        const uint64_t rank = lane_get(w, operand(i, 2), l);
        if (rank >= (uint64_t)g->count || (!g->cluster && rank))
            fault(w, i, l, "the cluster has no block %llu", (unsigned long long)rank);
        if (generic && a - WINDOW_SHARED >= WINDOW_SIZE)
            fault(w, i, l, "%#llx is not in shared memory", (unsigned long long)a);
        memory_block(w, i, l, i->space, &a);
        if (g->cluster) a |= (rank + 1) << RANK_SHIFT;
        lane_put(w, operand(i, 0), l, generic ? a + WINDOW_SHARED : a);
    }
}

static void getctarank(struct warp *w, const struct instr *i, uint32_t on)
{
    EACH_LANE(on, uint64_t a = memory_address(w, operand(i, 1), l);
              lane_put(w, operand(i, 0), l, (uint64_t)memory_block(w, i, l, i->space, &a)->rank););
}

/* ---- registers of a warp ---- */
enum { REGISTERS = 65536, REGISTERS_LEAST = 24, REGISTERS_MOST = 256, EACH = 8 };
/* Registers of a thread at the start: what a block of this size can have at most. */
static int at_start(const struct block *b)
{
    const int n = REGISTERS / (b->count * LANES) / EACH * EACH;
    return n < REGISTERS_MOST ? n : REGISTERS_MOST - EACH;
}

/* Waits until the other warps have given up enough registers. */
static void setmaxnreg(struct warp *w, const struct instr *i, uint32_t on)
{
    struct block *b = w->block;
    const int n = (int)lane_get(w, operand(i, 0), 0), start = at_start(b);
    int held = 0;
    if (n < REGISTERS_LEAST || n > REGISTERS_MOST || n % EACH)
        fault(w, i, __builtin_ctz(on), "%d registers; a multiple of 8 from 24 to 256 is needed", n);
    if (w->registers_held && (i->mode ? n < w->registers_held : n > w->registers_held))
        fault(w, i, __builtin_ctz(on), "%d registers, of %d", n, w->registers_held);
    for (int k = 0; k < b->count; k++)
        if (&b->warps[k] != w)
            held += b->warps[k].registers_held ? b->warps[k].registers_held : start;
    if ((held + n) * LANES > REGISTERS) {
        warp_stall(w, i, true);
        return;
    }
    w->registers_held = n;
    b->group->changes++;
}

/* ---- hints ---- */
static void createpolicy(struct warp *w, const struct instr *i, uint32_t on)
{
    EACH_LANE(on, lane_put(w, operand(i, 0), l, 0););
}

static bool decode_mapping(struct instr *i, const char *p, execute *run)
{
    if (ptx_suffix(&p, "shared::cluster")) i->space = SPACE_SHARED;
    i->run = run;
    return ptx_type(&p, &i->type) && !*p;
}

bool decode_cluster(struct instr *i)
{
    const char *p = i->text + strcspn(i->text, ".");
    if (!strncmp(i->text, "mapa.", 5)) return decode_mapping(i, p, mapa);
    if (!strncmp(i->text, "getctarank.", 11)) return decode_mapping(i, p, getctarank);
    if (!strncmp(i->text, "setmaxnreg.", 11)) {
        i->mode = ptx_suffix(&p, "inc");
        i->run = setmaxnreg;
        i->gather = GATHER_ALL;
        return i->mode || ptx_suffix(&p, "dec");
    }
    if (!strncmp(i->text, "createpolicy.", 13)) return i->run = createpolicy, true;
    return false;
}
