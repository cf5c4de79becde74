/* SPDX-License-Identifier: Apache-2.0 */
/* Barriers of a block and of a cluster. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "group.h"
#include "order.h"

enum { WAITS = 1, REDUCES = 2, CLUSTER = 4 }; /* bits of instr.mode */
enum { REDUCE_POPC, REDUCE_AND, REDUCE_OR };  /* instr.compare */
enum { CLUSTER_BARRIER = -1 };                /* in warp.barrier */

static uint32_t live_threads(const struct block *b)
{
    uint32_t n = 0;
    for (int k = 0; k < b->count; k++) n += (uint32_t)__builtin_popcount(b->warps[k].live);
    return n;
}

/* ---- of a block ---- */
static void put_result(struct warp *w, const struct instr *i, uint32_t on, uint32_t votes,
                       uint32_t arrived)
{
    const struct operand *d = operand(i, 0);
    const bool yes = i->compare == REDUCE_AND ? votes == arrived : votes != 0;
    if (i->compare != REDUCE_POPC)
        predicate_put(w, d, on, yes ? ~0u : 0);
    else
        EACH_LANE(on, lane_put(w, d, l, votes););
}

static void release(struct block *b, int id)
{
    const uint32_t votes = b->barrier[id].votes, arrived = b->barrier[id].arrived;
    b->barrier[id].arrived = b->barrier[id].expected = b->barrier[id].votes = 0;
    b->group->changes++;
    for (int k = 0; k < b->count; k++) {
        struct warp *w = &b->warps[k];
        uint32_t on = 0;
        EACH_LANE(w->blocked, if (w->barrier[l] == id) on |= 1u << l;);
        if (!on) continue;
        w->blocked &= ~on;
        order_acquire(w, b->barrier[id].order);
        const struct instr *i = &w->kernel->code[w->pc[__builtin_ctz(on)] - 1];
        if (i->mode & REDUCES) put_result(w, i, on, votes, arrived);
    }
    memset(b->barrier[id].order, 0, sizeof *b->barrier[id].order);
}

static void settle_cluster(struct group *g)
{
    uint32_t n = 0;
    for (int r = 0; r < g->count; r++) n += live_threads(&g->block[r]);
    if (!g->arrived || g->arrived < n) return;
    g->arrived = 0;
    g->released++;
    g->changes++;
    for (int r = 0; r < g->count; r++) {
        order_all(&g->block[r]);
        for (int k = 0; k < g->block[r].count; k++) {
            struct warp *w = &g->block[r].warps[k];
            uint32_t freed = 0;
            EACH_LANE(w->blocked, if (w->barrier[l] == CLUSTER_BARRIER) freed |= 1u << l;);
            w->blocked &= ~freed;
        }
    }
}

void barrier_settle(struct block *b)
{
    for (int id = 0; id < BARRIERS; id++) {
        if (!b->barrier[id].arrived) continue;
        const uint32_t n = b->barrier[id].expected ? b->barrier[id].expected : live_threads(b);
        if (b->barrier[id].arrived >= n) release(b, id);
    }
    if (b->group->arrived) settle_cluster(b->group);
}

static void block_threads(struct warp *w, uint32_t on, int id)
{
    EACH_LANE(on, w->barrier[l] = id;);
    w->blocked |= on;
}

static void arrive_block(struct warp *w, const struct instr *i, uint32_t on)
{
    struct block *b = w->block;
    const int lane = __builtin_ctz(on), reduces = (i->mode & REDUCES) != 0;
    const int counted = reduces ? i->groups > 3 : i->groups > 1;
    const uint64_t id = lane_get(w, operand(i, reduces), lane);
    if (id >= BARRIERS) fault(w, i, lane, "there is no barrier %llu", (unsigned long long)id);
    if (counted) b->barrier[id].expected = (uint32_t)lane_get(w, operand(i, reduces + 1), lane);
    if (b->barrier[id].expected % LANES)
        fault(w, i, lane, "%u threads for a barrier, not a multiple of a warp",
              b->barrier[id].expected);
    if (!b->barrier[id].order) b->barrier[id].order = calloc(1, sizeof *b->barrier[id].order);
    if (!b->barrier[id].order) emu_die("out of memory");
    if (reduces)
        b->barrier[id].votes +=
            (uint32_t)__builtin_popcount(predicate(w, operand(i, i->groups - 1)) & on);
    order_release(w, on, b->barrier[id].order);
    b->barrier[id].arrived += (uint32_t)__builtin_popcount(on);
    b->group->changes++;
    if (i->mode & WAITS) block_threads(w, on, (int)id);
}

/* ---- of a cluster ---- */
static void arrive_cluster(struct warp *w, const struct instr *i, uint32_t on)
{
    struct group *g = w->block->group;
    if (i->mode & WAITS) {
        uint32_t waits = 0;
        EACH_LANE(on, if (w->cluster_at[l] == g->released + 1) waits |= 1u << l;);
        block_threads(w, waits, CLUSTER_BARRIER);
        return;
    }
    EACH_LANE(on, if (w->cluster_at[l] == g->released + 1)
                      fault(w, i, l, "arrives again without barrier.cluster.wait");
              w->cluster_at[l] = g->released + 1;);
    g->arrived += (uint32_t)__builtin_popcount(on);
}

void barrier_arrive(struct warp *w, const struct instr *i, uint32_t on)
{
    if (i->mode & CLUSTER)
        arrive_cluster(w, i, on);
    else
        arrive_block(w, i, on);
    barrier_settle(w->block);
}

/* ---- opcodes ---- */
static bool decode_cluster_barrier(struct instr *i, const char *p)
{
    i->mode = CLUSTER;
    if (ptx_suffix(&p, "wait"))
        i->mode |= WAITS;
    else if (!ptx_suffix(&p, "arrive"))
        return false;
    while (ptx_suffix(&p, "release") || ptx_suffix(&p, "acquire") || ptx_suffix(&p, "relaxed") ||
           ptx_suffix(&p, "aligned"))
        continue;
    return !*p;
}

bool decode_barrier(struct instr *i)
{
    const char *p = i->text + strcspn(i->text, ".");
    const bool bar = !strncmp(i->text, "bar.", 4);
    if ((!bar && strncmp(i->text, "barrier.", 8)) || ptx_suffix(&p, "warp")) return false;
    i->flow = FLOW_BARRIER;
    if (!bar && ptx_suffix(&p, "cluster")) return decode_cluster_barrier(i, p);
    ptx_suffix(&p, "cta");
    if (ptx_suffix(&p, "arrive"))
        i->mode = 0;
    else if (ptx_suffix(&p, "sync"))
        i->mode = WAITS;
    else if (ptx_suffix(&p, "red"))
        i->mode = WAITS | REDUCES;
    else
        return false;
    if (i->mode & REDUCES) {
        i->compare = ptx_suffix(&p, "popc")  ? REDUCE_POPC
                     : ptx_suffix(&p, "and") ? REDUCE_AND
                                             : REDUCE_OR;
        if (i->compare == REDUCE_OR && !ptx_suffix(&p, "or")) return false;
    }
    ptx_suffix(&p, "aligned");
    if (i->mode & REDUCES && !ptx_suffix(&p, "u32") && !ptx_suffix(&p, "pred")) return false;
    return !*p;
}
