/* SPDX-License-Identifier: Apache-2.0 */
/* State of mbarriers: phases, arrivals, bytes, and what completes on them. */
#include "mbarrier.h"

#include <stdlib.h>
#include <string.h>

enum { BYTES_MOST = (1 << 20) - 1 };

static const struct instr *owner(const struct landing *l) { return l->instr; }

struct mbarrier *mbarrier_at(struct warp *w, const struct instr *i, int lane, enum space s,
                             uint64_t address)
{
    if (s == SPACE_GENERIC && address - WINDOW_SHARED >= WINDOW_SIZE)
        fault(w, i, lane, "an mbarrier at %#llx, which is not in shared memory",
              (unsigned long long)address);
    struct block *b = memory_block(w, i, lane, s, &address);
    if (address % 8)
        fault(w, i, lane, "an mbarrier at %llu, not a multiple of 8", (unsigned long long)address);
    for (struct mbarrier *m = b->mbarriers; m; m = m->next) {
        if (m->at != address) continue;
        uint64_t held;
        memcpy(&held, b->shared + address, sizeof held);
        if (held != (0xb0b0b0b000000000ull | m->at))
            fault(w, i, lane, "the mbarrier at %u was overwritten", m->at);
        if (b == w->block && !order_seen(w, &m->start, lane))
            fault(w, i, lane, "no barrier came after thread %u initialised the mbarrier at %u",
                  m->start.thread - 1u, m->at);
        return m;
    }
    fault(w, i, lane, "no mbarrier was initialised at %llu", (unsigned long long)address);
}

void mbarrier_add(struct mbarrier *m, struct landing *l)
{
    l->next = m->landings;
    m->landings = l;
}

/* Begins the next phase when nothing is missing from this one. */
static void complete(struct mbarrier *m)
{
    if (m->pending || m->bytes) return;
    m->phase++;
    m->pending = m->expected;
    order_merge(m->block, &m->done, &m->now);
    memset(&m->now, 0, sizeof m->now);
}

void mbarrier_bytes(struct warp *w, const struct instr *i, int lane, struct mbarrier *m,
                    int64_t bytes)
{
    m->bytes -= bytes;
    m->block->group->changes++;
    if (m->bytes > BYTES_MOST || m->bytes < -BYTES_MOST)
        fault(w, i, lane, "the mbarrier at %u counts %lld bytes", m->at, (long long)m->bytes);
    complete(m);
}

void mbarrier_arrive(struct warp *w, const struct instr *i, int lane, struct mbarrier *m,
                     uint32_t count, bool drops)
{
    if (count > m->pending)
        fault(w, i, lane, "%u arrivals at the mbarrier at %u, whose phase has %u left", count,
              m->at, m->pending);
    m->block->group->changes++;
    m->pending -= count;
    if (drops) m->expected -= count;
    complete(m);
}

void mbarrier_fence(struct warp *w)
{
    for (struct mbarrier *m = w->block->mbarriers; m; m = m->next)
        if (m->by == w) m->fenced = true;
}

static void forget(struct mbarrier *m)
{
    while (m->landings) {
        struct landing *l = m->landings;
        m->landings = l->next;
        l->drop(l);
    }
    free(m);
}

void mbarrier_drop(struct block *b)
{
    while (b->mbarriers) {
        struct mbarrier *m = b->mbarriers;
        b->mbarriers = m->next;
        forget(m);
    }
}

/* ---- used by ptx_mbarrier.c ---- */
void mbarrier_init(struct warp *w, const struct instr *i, int lane, uint64_t at, uint32_t count)
{
    struct block *b = w->block;
    struct mbarrier *m = b->mbarriers;
    if (!count || count > BYTES_MOST) fault(w, i, lane, "an mbarrier of %u arrivals", count);
    while (m && m->at != at) m = m->next;
    if (m && m->landings)
        fault(w, i, lane, "the mbarrier is initialised while the copy of line %u is in flight",
              owner(m->landings)->line);
    if (!m) {
        m = calloc(1, sizeof *m);
        if (!m) emu_die("out of memory");
        m->next = b->mbarriers;
        b->mbarriers = m;
    }
    *m = (struct mbarrier){.next = m->next,
                           .block = b,
                           .at = (uint32_t)at,
                           .expected = count,
                           .pending = count,
                           .by = w,
                           .start = {b->time, (uint16_t)(w->index * LANES + lane + 1)}};
    b->group->changes++;
}

void mbarrier_inval(struct warp *w, const struct instr *i, int lane, struct mbarrier *m)
{
    if (m->landings)
        fault(w, i, lane, "the mbarrier ends while the copy of line %u is in flight",
              owner(m->landings)->line);
    struct mbarrier **at = &m->block->mbarriers;
    while (*at != m) at = &(*at)->next;
    *at = m->next;
    free(m);
}

/* Lands one of the things that complete on the barrier, chosen at random, or none. */
void mbarrier_land(struct mbarrier *m)
{
    int n = 0, pick;
    for (const struct landing *l = m->landings; l; l = l->next) n++;
    if (!n) return;
    pick = (int)(random_next(&m->block->random) % (unsigned)(n + 1));
    m->block->group->changes++;
    if (pick == n) return;
    struct landing **at = &m->landings;
    while (pick--) at = &(*at)->next;
    struct landing *l = *at;
    *at = l->next;
    l->land(l, m);
    l->drop(l);
}
