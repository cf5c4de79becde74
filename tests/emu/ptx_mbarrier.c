/* SPDX-License-Identifier: Apache-2.0 */
/* mbarrier instructions, and arrivals by cp.async. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "group.h"
#include "mbarrier.h"

void mbarrier_init(struct warp *w, const struct instr *i, int lane, uint64_t at, uint32_t count);
void mbarrier_inval(struct warp *w, const struct instr *i, int lane, struct mbarrier *m);
void mbarrier_land(struct mbarrier *m);

enum { PARITY = 1, DROPS = 2, EXPECTS = 4, INCOMPLETE = 8 };

static struct mbarrier *barrier_of(struct warp *w, const struct instr *i, int group, int lane)
{
    return mbarrier_at(w, i, lane, i->space, memory_address(w, operand(i, group), lane));
}

static void init(struct warp *w, const struct instr *i, uint32_t on)
{
    for (int l = 0; l < LANES; l++) {
        if (!(on >> l & 1)) continue;
        uint64_t at = memory_address(w, operand(i, 0), l);
        unsigned char *p = memory_at(w, i, l, i->space, at, 8, ACCESS_WRITE);
        at = (uint64_t)(p - w->block->shared);
        const uint64_t mark = 0xb0b0b0b000000000ull | at;
        memcpy(p, &mark, sizeof mark);
        mbarrier_init(w, i, l, at, (uint32_t)lane_get(w, operand(i, 1), l));
    }
}

static void inval(struct warp *w, const struct instr *i, uint32_t on)
{
    EACH_LANE(on, mbarrier_inval(w, i, l, barrier_of(w, i, 0, l)););
}

/* A state is the phase and the arrivals that were pending in it. */
static uint64_t state_of(const struct mbarrier *m) { return (uint64_t)m->phase << 32 | m->pending; }

/* Publishes what the lanes did: all of them before any arrives, as they execute together. */
static void publish(struct warp *w, const struct instr *i, int group, uint32_t on)
{
    struct mbarrier *last = NULL;
    EACH_LANE(on, struct mbarrier *m = barrier_of(w, i, group, l);
              if (m != last && m->block == w->block) order_release(w, on, &m->now); last = m;);
}

static void arrive(struct warp *w, const struct instr *i, uint32_t on)
{
    const struct operand *d = operand(i, 0);
    const bool counted = i->groups > 2 && !(i->mode & EXPECTS);
    publish(w, i, 1, on);
    for (int l = 0; l < LANES; l++) {
        if (!(on >> l & 1)) continue;
        struct mbarrier *m = barrier_of(w, i, 1, l);
        const uint64_t state = state_of(m);
        const uint32_t count = counted ? (uint32_t)lane_get(w, operand(i, 2), l) : 1;
        if (i->mode & EXPECTS)
            mbarrier_bytes(w, i, l, m, -(int64_t)(uint32_t)lane_get(w, operand(i, 2), l));
        mbarrier_arrive(w, i, l, m, count, i->mode & DROPS);
        if (i->mode & INCOMPLETE && m->phase != state >> 32)
            fault(w, i, l, "the arrival completes the phase");
        lane_put(w, d, l, state);
    }
}

static void count_bytes(struct warp *w, const struct instr *i, uint32_t on)
{
    for (int l = 0; l < LANES; l++) {
        if (!(on >> l & 1)) continue;
        const int64_t n = (uint32_t)lane_get(w, operand(i, 1), l);
        mbarrier_bytes(w, i, l, barrier_of(w, i, 0, l), i->mode & EXPECTS ? -n : n);
    }
}

static bool is_over(const struct instr *i, const struct mbarrier *m, uint64_t x)
{
    return i->mode & PARITY ? (m->phase & 1) != (x & 1) : m->phase != x >> 32;
}

static void wait(struct warp *w, const struct instr *i, uint32_t on)
{
    uint32_t done = 0;
    struct mbarrier *last = NULL;
    for (int l = 0; l < LANES; l++) {
        if (!(on >> l & 1)) continue;
        struct mbarrier *m = barrier_of(w, i, 1, l);
        const uint64_t x = lane_get(w, operand(i, 2), l);
        if (m->block != w->block) fault(w, i, l, "waits for an mbarrier of another block");
        if (m != last && !is_over(i, m, x)) mbarrier_land(m);
        const bool over = is_over(i, m, x);
        if (over && m != last) order_acquire(w, &m->done);
        done |= (uint32_t)over << l;
        last = m;
    }
    predicate_put(w, operand(i, 0), on, done);
    if (done != on) warp_stall(w, i, false);
}

static void pending_count(struct warp *w, const struct instr *i, uint32_t on)
{
    EACH_LANE(on, lane_put(w, operand(i, 0), l, (uint32_t)lane_get(w, operand(i, 1), l)););
}

/* ---- fences ---- */
static void fence_async(struct warp *w, const struct instr *i, uint32_t on)
{
    (void)i;
    order_fence(w, on);
    mbarrier_fence(w);
}
static void fence_init(struct warp *w, const struct instr *i, uint32_t on)
{
    (void)i, (void)on;
    mbarrier_fence(w);
}

/* ---- cp.async.mbarrier.arrive ---- */
struct arrival {
    struct landing landing;
    uint64_t before;
};
static void land_arrival(struct landing *l, struct mbarrier *m)
{
    const struct arrival *a = (const struct arrival *)(const void *)l;
    async_land_before(l->warp, l->instr, l->lane, a->before);
    order_release(l->warp, 1u << l->lane, &m->now);
    mbarrier_arrive(l->warp, l->instr, l->lane, m, 1, false);
}
static void drop_arrival(struct landing *l) { free(l); }

static void copies_arrive(struct warp *w, const struct instr *i, uint32_t on)
{
    for (int l = 0; l < LANES; l++) {
        if (!(on >> l & 1)) continue;
        struct mbarrier *m = barrier_of(w, i, 0, l);
        struct arrival *a = calloc(1, sizeof *a);
        if (!a) emu_die("out of memory");
        *a = (struct arrival){{NULL, land_arrival, drop_arrival, w, i, l}, w->begun};
        if (!i->mode) m->pending++; /* without .noinc the arrival is not among those expected */
        mbarrier_add(m, &a->landing);
    }
}

void mbarrier_tell(const struct warp *w)
{
    const struct instr *i = w->waits;
    struct warp *const mine = w->block->warps + w->index;
    if (!i || i->run != wait) return;
    const struct mbarrier *m = barrier_of(mine, i, 1, __builtin_ctz(w->live));
    fprintf(stderr,
            "emulator:   the mbarrier at %u is in phase %u: %u arrivals and %lld bytes miss\n",
            m->at, m->phase, m->pending, (long long)m->bytes);
}

/* ---- opcodes ---- */
static bool decode_arrive(struct instr *i, const char *p)
{
    if (ptx_suffix(&p, "expect_tx")) i->mode |= EXPECTS;
    if (ptx_suffix(&p, "noComplete")) i->mode |= INCOMPLETE;
    while (memory_suffix(&p, i)) continue;
    i->run = arrive;
    return ptx_suffix(&p, "b64") && !*p && i->groups >= 2;
}

static bool decode_plain(struct instr *i, const char *p, execute *run, int groups)
{
    if (ptx_suffix(&p, "parity")) i->mode |= PARITY;
    while (memory_suffix(&p, i)) continue;
    i->run = run;
    return ptx_suffix(&p, "b64") && !*p && i->groups >= groups;
}

static bool decode_copies_arrive(struct instr *i, const char *p)
{
    i->mode = ptx_suffix(&p, "noinc");
    while (memory_suffix(&p, i)) continue;
    i->run = copies_arrive;
    return ptx_suffix(&p, "b64") && !*p;
}

bool decode_mbarrier(struct instr *i)
{
    const char *p = i->text + strcspn(i->text, ".");
    if (!strncmp(i->text, "fence.proxy.async", 17)) return i->run = fence_async, true;
    if (!strncmp(i->text, "fence.mbarrier_init", 19)) return i->run = fence_init, true;
    if (!strncmp(i->text, "cp.async.mbarrier.arrive", 24))
        return decode_copies_arrive(i, i->text + 24);
    if (strncmp(i->text, "mbarrier.", 9)) return false;
    if (ptx_suffix(&p, "init")) return decode_plain(i, p, init, 2);
    if (ptx_suffix(&p, "inval")) return decode_plain(i, p, inval, 1);
    if (ptx_suffix(&p, "arrive")) return decode_arrive(i, p);
    if (ptx_suffix(&p, "arrive_drop")) return i->mode = DROPS, decode_arrive(i, p);
    if (ptx_suffix(&p, "expect_tx")) return i->mode = EXPECTS, decode_plain(i, p, count_bytes, 2);
    if (ptx_suffix(&p, "complete_tx")) return decode_plain(i, p, count_bytes, 2);
    if (ptx_suffix(&p, "test_wait") || ptx_suffix(&p, "try_wait"))
        return decode_plain(i, p, wait, 3);
    if (ptx_suffix(&p, "pending_count")) return decode_plain(i, p, pending_count, 2);
    return false;
}
