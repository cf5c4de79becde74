/* SPDX-License-Identifier: Apache-2.0 */
/* Order of accesses to shared memory: what barriers publish, and races. */
#include <string.h>

#include "order.h"

/* ---- what a warp has seen ---- */
static void merge(struct horizon *a, const struct horizon *b)
{
    for (int l = 0; l < LANES; l++) a->lane[l] = b->lane[l] > a->lane[l] ? b->lane[l] : a->lane[l];
}

void order_open(struct warp *w)
{
    for (int k = 0; k <= w->block->count; k++)
        for (int l = 0; l < LANES; l++)
            w->order->seen[k].lane[l] = w->order->fenced[k].lane[l] = w->order->shown[k] =
                w->block->began;
}

void order_merge(const struct block *b, struct order *to, const struct order *from)
{
    for (int k = 0; k <= b->count; k++) {
        merge(&to->seen[k], &from->seen[k]);
        if (b->async) merge(&to->fenced[k], &from->fenced[k]);
    }
}

/* Returns the accesses of a warp itself, as of the lanes that release them. */
static struct horizon own(struct warp *w, uint32_t on)
{
    struct horizon h = w->order->seen[AGENT_WARP + w->index];
    if (on == w->live) on = ~0u;
    EACH_LANE(on, h.lane[l] = w->block->time;);
    return h;
}

void order_release(struct warp *w, uint32_t on, struct order *to)
{
    const struct horizon mine = own(w, on);
    order_merge(w->block, to, w->order);
    merge(&to->seen[AGENT_WARP + w->index], &mine);
    w->block->time++;
}

static uint32_t least(const struct warp *w, const struct horizon *h)
{
    uint32_t all = UINT32_MAX;
    for (int k = AGENT_WARP; k < AGENT_WARP + w->block->count; k++)
        for (int l = 0; l < LANES; l++) all = h[k].lane[l] < all ? h[k].lane[l] : all;
    return all;
}
static void note_all(struct warp *w)
{
    w->all = least(w, w->order->seen);
    if (!w->block->async) return;
    for (int k = AGENT_WARP; k < AGENT_WARP + w->block->count; k++) {
        uint32_t least_lane = UINT32_MAX;
        for (int l = 0; l < LANES; l++) {
            const uint32_t t = w->order->fenced[k].lane[l];
            least_lane = t < least_lane ? t : least_lane;
        }
        w->order->shown[k] = least_lane;
    }
    w->fenced = least(w, w->order->fenced);
    if (w->fenced > w->all) w->fenced = w->all;
}

void order_acquire(struct warp *w, const struct order *from)
{
    order_merge(w->block, w->order, from);
    note_all(w);
}

void order_warp(struct warp *w)
{
    struct horizon *mine = &w->order->seen[AGENT_WARP + w->index];
    for (int l = 0; l < LANES; l++) mine->lane[l] = w->block->time;
    w->block->time++;
    if (w->block->count == 1) note_all(w);
}

void order_fence(struct warp *w, uint32_t on)
{
    struct order *o = w->order;
    const struct horizon mine = own(w, on);
    for (int k = 0; k <= w->block->count; k++) merge(&o->fenced[k], &o->seen[k]);
    merge(&o->fenced[AGENT_WARP + w->index], &mine);
    note_all(w);
    w->block->time++;
}

void order_all(struct block *b)
{
    for (int i = 0; i < b->count; i++) {
        struct warp *w = &b->warps[i];
        for (int k = 0; k <= b->count; k++)
            for (int l = 0; l < LANES; l++) w->order->seen[k].lane[l] = b->time;
        w->all = b->time;
    }
    b->time++;
}

/* ---- races of ordinary accesses ---- */
bool order_seen(const struct warp *w, const struct touch *t, int lane)
{
    const unsigned thread = t->thread - 1u, warp = thread / LANES;
    if (t->time <= w->all || !t->thread) return true;
    if (thread == (unsigned)(w->index * LANES + lane)) return true;
    return t->time <= w->order->seen[AGENT_WARP + warp].lane[thread % LANES];
}

/* Returns true if some warp that read since readers->first has not published it. */
static bool others_read(const struct warp *w, const struct readers *r)
{
    if (r->last.time <= w->all) return false;
    for (uint32_t left = r->warps & ~(1u << w->index); left; left &= left - 1) {
        const struct horizon *h = &w->order->seen[AGENT_WARP + __builtin_ctz(left)];
        bool published = false;
        for (int l = 0; l < LANES; l++) published |= r->first <= h->lane[l];
        if (!published) return true;
    }
    return false;
}

static void note_reader(const struct warp *w, struct readers *r, int lane)
{
    const uint32_t now = w->block->time;
    if (!r->last.thread || r->last.time <= w->all) r->first = now, r->warps = 0;
    r->warps |= 1u << w->index;
    r->last = (struct touch){now, (uint16_t)(w->index * LANES + lane + 1)};
}

#define RACE(...) fault(w, i, lane, "a race at %u in shared memory: " __VA_ARGS__)

static int line_of(const struct chunk *c) { return c->by ? (int)c->by->line : 0; }

/* Checks an access against asynchronous ones. */
static void check_chunk(struct warp *w, const struct instr *i, int lane, const struct chunk *c,
                        uint32_t at, enum access access)
{
    if (c->writes) RACE("the copy of line %d is still writing it", at, line_of(c));
    if (c->landed > w->order->seen[AGENT_ASYNC].lane[0])
        RACE("the copy of line %d wrote it, and no wait for its mbarrier came between", at,
             line_of(c));
    if (access == ACCESS_READ) return;
    if (c->reads) RACE("%s of line %d still reads it", at, c->by->text, line_of(c));
    if (!order_seen(w, &c->read.last, lane) || others_read(w, &c->read))
        RACE("%s of line %d read it since the last barrier", at, c->by->text, line_of(c));
}

static void check_grain(struct warp *w, const struct instr *i, int lane, uint32_t g,
                        enum access access)
{
    const struct block *b = w->block;
    if (!order_seen(w, &b->wrote[g], lane))
        RACE("thread %u wrote it since the last barrier", g << b->grain, b->wrote[g].thread - 1u);
    if (access == ACCESS_READ) return;
    if (!order_seen(w, &b->read[g].last, lane))
        RACE("thread %u read it since the last barrier", g << b->grain,
             b->read[g].last.thread - 1u);
    if (others_read(w, &b->read[g]))
        RACE("several threads read it since the last barrier", g << b->grain);
}

static void note_store(const struct warp *w, struct chunk *c)
{
    const bool fresh = c->wrote <= w->all;
    c->mixed = !fresh && (c->mixed || c->writer != w->index);
    c->writer = (uint16_t)w->index;
    c->wrote = w->block->time;
}

void order_access(struct warp *w, const struct instr *i, int lane, uint32_t at, unsigned n,
                  enum access access)
{
    struct block *b = w->block;
    if ((at | n) & ((1u << b->grain) - 1)) emu_die("an access of %u bytes at %u", n, at);
    const struct touch me = {b->time, (uint16_t)(w->index * LANES + lane + 1)};
    if (b->async)
        for (uint32_t k = at / CHUNK; k <= (at + n - 1) / CHUNK; k++) {
            check_chunk(w, i, lane, &b->chunks[k], at, access);
            b->chunks[k].used = b->time;
            if (access != ACCESS_READ) note_store(w, &b->chunks[k]);
        }
    for (uint32_t g = at >> b->grain; g < (at + n) >> b->grain; g++) {
        if (b->wrote[g].time > w->all || (access != ACCESS_READ && b->read[g].last.time > w->all))
            check_grain(w, i, lane, g, access);
        if (access != ACCESS_READ) b->wrote[g] = me;
        if (access != ACCESS_WRITE) note_reader(w, &b->read[g], lane);
    }
}

/* ---- asynchronous accesses ---- */
/* Checks that the async proxy sees what threads stored, and that accesses are ordered. */
static void check_proxy(struct warp *w, const struct instr *i, int lane, uint32_t at,
                        enum access access)
{
    const struct block *b = w->block;
    for (uint32_t g = at >> b->grain; g < (at + CHUNK) >> b->grain; g++) {
        const struct touch *t = &b->wrote[g];
        const unsigned thread = t->thread - 1u;
        check_grain(w, i, lane, g, access);
        if (!t->thread || t->time <= b->began) continue;
        if (t->time > w->order->fenced[AGENT_WARP + thread / LANES].lane[thread % LANES])
            fault(w, i, lane,
                  "thread %u stored to %u in shared memory, and no fence.proxy.async came between",
                  thread, g << b->grain);
    }
}

/* Returns true if a read of the chunk needs no closer check. */
static bool quiet(const struct warp *w, const struct chunk *c)
{
    const struct order *o = w->order;
    return !c->writes && c->landed <= o->seen[AGENT_ASYNC].lane[0] &&
           (c->wrote <= w->fenced || (!c->mixed && c->wrote <= o->shown[AGENT_WARP + c->writer]));
}

void order_begin(struct warp *w, const struct instr *i, int lane, struct block *b, uint32_t at,
                 uint32_t n, enum access access)
{
    if (at > b->shared_size || n > b->shared_size - at)
        fault(w, i, lane, "%u bytes at %u of shared memory, which has %u", n, at, b->shared_size);
    for (uint32_t k = at / CHUNK; k < (at + n) / CHUNK; k++) {
        struct chunk *c = &b->chunks[k];
        if (b == w->block && (access != ACCESS_READ || !quiet(w, c))) {
            check_chunk(w, i, lane, c, k * CHUNK, access);
            if ((access == ACCESS_READ ? c->wrote : c->used) > w->fenced)
                check_proxy(w, i, lane, k * CHUNK, access);
        }
        c->by = i;
        if (access == ACCESS_READ)
            c->reads++;
        else
            c->writes++;
    }
}

void order_end(struct warp *w, int lane, struct block *b, uint32_t at, uint32_t n,
               enum access access)
{
    for (uint32_t k = at / CHUNK; k < (at + n) / CHUNK; k++) {
        struct chunk *c = &b->chunks[k];
        if (access == ACCESS_READ) {
            c->reads--;
            if (b == w->block) note_reader(w, &c->read, lane);
        } else {
            c->writes--;
            c->landed = b->time;
        }
    }
}
