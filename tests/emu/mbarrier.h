/* SPDX-License-Identifier: Apache-2.0 */
/* mbarriers, and the copies that complete on them. A copy lands only when a thread waits for its
 * barrier. */
#ifndef EMU_MBARRIER_H
#define EMU_MBARRIER_H

#include "order.h"

struct mbarrier {
    struct mbarrier *next;
    struct block *block;
    uint32_t at; /* in the block's shared memory */
    uint32_t expected, pending, phase;
    int64_t bytes;          /* that copies of this phase must still bring */
    const struct warp *by;  /* the warp that initialised it */
    struct touch start;     /* when, and by which thread */
    bool fenced;            /* and showed that to the async proxy */
    struct order now, done; /* what the arrivals of this phase, and of completed ones, published */
    struct landing *landings;
};
/* Something that a wait for the barrier completes: a bulk copy, or cp.async of a lane. */
struct landing {
    struct landing *next;
    void (*land)(struct landing *l, struct mbarrier *m);
    void (*drop)(struct landing *l);
    struct warp *warp;
    const struct instr *instr;
    int lane;
};

/* Finds the barrier at a lane's address; a fault if none was initialised there. */
struct mbarrier *mbarrier_at(struct warp *w, const struct instr *i, int lane, enum space s,
                             uint64_t address);
void mbarrier_add(struct mbarrier *m, struct landing *l);
/* Bytes that a copy brought; a negative number: that it will bring. */
void mbarrier_bytes(struct warp *w, const struct instr *i, int lane, struct mbarrier *m,
                    int64_t bytes);
/* One arrival; drops: one fewer is expected from the next phase on. */
void mbarrier_arrive(struct warp *w, const struct instr *i, int lane, struct mbarrier *m,
                     uint32_t count, bool drops);
/* fence.mbarrier_init, or a proxy fence, by a warp. */
void mbarrier_fence(struct warp *w);
void mbarrier_drop(struct block *b);
void mbarrier_tell(const struct warp *w);

#endif
