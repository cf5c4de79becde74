/* SPDX-License-Identifier: Apache-2.0 */
/* Which accesses to shared memory happen before which. A block counts time: a release advances it.
 * Each warp knows up to which time it has seen the accesses of each agent; an agent is a warp, or
 * the asynchronous proxy, which executes bulk copies. */
#ifndef EMU_ORDER_H
#define EMU_ORDER_H

#include "emu.h"

enum { AGENT_ASYNC, AGENT_WARP, AGENTS = AGENT_WARP + 32, CHUNK = 16 };
/* Accesses of an agent: those of each lane up to a time. The async proxy has one lane. */
struct horizon {
    uint32_t lane[LANES];
};
struct order {
    struct horizon seen[AGENTS];
    struct horizon fenced[AGENTS]; /* writes that fence.proxy.async showed to the async proxy */
    uint32_t shown[AGENTS];        /* of these, up to when those of all lanes are */
};
struct touch {
    uint32_t time;
    uint16_t thread; /* thread + 1 */
};
/* The last reader, exactly, and the warps that read since `first`. */
struct readers {
    struct touch last;
    uint32_t first, warps;
};
/* Asynchronous accesses, by CHUNK bytes of shared memory. */
struct chunk {
    uint32_t used, wrote;   /* time of the last ordinary access, and of the last store */
    uint32_t landed;        /* time when a bulk copy wrote it */
    uint16_t writer;        /* the warp of the last store */
    bool mixed;             /* stores of other warps are not ordered before it */
    uint16_t reads, writes; /* in flight */
    const struct instr *by; /* the last one in flight */
    struct readers read;    /* by wgmma and bulk copies that have ended */
};

/* At the start of a block: nothing of it has happened. */
void order_open(struct warp *w);
/* Publishes what a warp has done and seen to a barrier. on: the lanes that arrive. */
void order_release(struct warp *w, uint32_t on, struct order *to);
/* Lets a warp see what was published. */
void order_acquire(struct warp *w, const struct order *from);
void order_merge(const struct block *b, struct order *to, const struct order *from);
/* All lanes of a warp have met. */
void order_warp(struct warp *w);
/* fence.proxy.async by these lanes. */
void order_fence(struct warp *w, uint32_t on);
/* All warps of a block have seen everything. */
void order_all(struct block *b);

/* Returns whether a lane has seen what a thread did at that time. */
bool order_seen(const struct warp *w, const struct touch *t, int lane);
/* Checks an ordinary access of a lane to shared memory for races, and records it. */
void order_access(struct warp *w, const struct instr *i, int lane, uint32_t at, unsigned n,
                  enum access access);
/* Checks an asynchronous access to n bytes, a multiple of CHUNK, and counts it as in flight.
 * Returns false if the place is not in the block's shared memory. */
void order_begin(struct warp *w, const struct instr *i, int lane, struct block *b, uint32_t at,
                 uint32_t n, enum access access);
/* Ends what order_begin began. */
void order_end(struct warp *w, int lane, struct block *b, uint32_t at, uint32_t n,
               enum access access);

#endif
