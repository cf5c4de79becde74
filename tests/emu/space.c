/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of each state space, with checks of every access: bounds, alignment, reads of
 * uninitialised memory, and races in shared memory. */
#include <pthread.h>
#include <string.h>

#include "order.h"

bool memory_checks(void)
{
    static int on = -1;
    if (on < 0) on = emu_setting("EMU_CHECK", 1) != 0;
    return on;
}

static pthread_mutex_t device_lock = PTHREAD_MUTEX_INITIALIZER;
void memory_lock(struct warp *w, bool locks)
{
    struct group *g = w->block->group;
    if (g->locked == locks) return;
    g->locked = locks;
    if (locks)
        pthread_mutex_lock(&device_lock);
    else
        pthread_mutex_unlock(&device_lock);
}

/* ---- spaces ---- */
static void check_known(struct warp *w, const struct instr *i, int lane, unsigned char *known,
                        unsigned n, enum access access, const char *where)
{
    if (access != ACCESS_WRITE && !memory_known(known, n))
        for (unsigned k = 0; k < n; k++)
            if (!known[k])
                fault(w, i, lane, "reads byte %u of %u in %s, where nothing was stored", k, n,
                      where);
    if (access != ACCESS_READ) memory_mark(known, n);
}

struct block *memory_block(struct warp *w, const struct instr *i, int lane, enum space s,
                           uint64_t *address)
{
    struct block *b = w->block;
    if (s == SPACE_GENERIC) *address -= WINDOW_SHARED;
    const uint64_t rank = *address >> RANK_SHIFT;
    if (!rank) return b;
    if (rank > (uint64_t)b->group->count || !b->group->cluster)
        fault(w, i, lane, "%#llx is in no block's shared memory", (unsigned long long)*address);
    *address &= (1u << RANK_SHIFT) - 1;
    return &b->group->block[rank - 1];
}

static void *shared_at(struct warp *w, const struct instr *i, int lane, uint64_t at, unsigned n,
                       enum access access)
{
    struct block *b = memory_block(w, i, lane, SPACE_SHARED, &at);
    if (at > b->shared_size || n > b->shared_size - at)
        fault(w, i, lane, "%u bytes at %llu of shared memory, which has %u", n,
              (unsigned long long)at, b->shared_size);
    if (memory_checks()) {
        check_known(w, i, lane, b->shared_known + at, n, access, "shared memory");
        if (b == w->block) order_access(w, i, lane, (uint32_t)at, n, access);
    }
    return b->shared + at;
}

static void *global_at(struct warp *w, const struct instr *i, int lane, uint64_t address,
                       unsigned n, enum access access)
{
    void *p = device_see(address, n);
    if (!p)
        fault(w, i, lane, "%s of %u bytes at %#llx, which is not in an allocation",
              access == ACCESS_READ ? "a read" : "a write", n, (unsigned long long)address);
    if (memory_checks()) check_known(w, i, lane, device_known(address), n, access, "device memory");
    return p;
}

unsigned char *memory_range(struct warp *w, const struct instr *i, int lane, uint64_t address,
                            size_t n, enum access access)
{
    unsigned char *p = device_see(address, n);
    if (!p)
        fault(w, i, lane, "%s of %zu bytes at %#llx, which is not in an allocation",
              access == ACCESS_READ ? "a read" : "a write", n, (unsigned long long)address);
    if (!memory_checks()) return p;
    unsigned char *known = device_known(address);
    const unsigned char *hole = access == ACCESS_WRITE ? NULL : memchr(known, 0, n);
    if (hole)
        fault(w, i, lane, "reads byte %zu of %zu in device memory, where nothing was stored",
              (size_t)(hole - known), n);
    if (access != ACCESS_READ) memset(known, 1, n);
    return p;
}

static void *local_at(struct warp *w, const struct instr *i, int lane, uint64_t at, unsigned n)
{
    const uint32_t size = w->kernel->local;
    if (at > size || n > size - at)
        fault(w, i, lane, "%u bytes at %llu of local memory, which has %u", n,
              (unsigned long long)at, size);
    return w->local + (size_t)lane * size + at;
}

static void *param_at(struct warp *w, const struct instr *i, int lane, uint64_t at, unsigned n)
{
    const uint32_t size = w->kernel->params;
    if (at > size || n > size - at)
        fault(w, i, lane, "%u bytes at %llu of %u parameters", n, (unsigned long long)at, size);
    return w->block->launch->params + at;
}

void *memory_at(struct warp *w, const struct instr *i, int lane, enum space s, uint64_t address,
                unsigned n, enum access access)
{
    if (address & (n - 1))
        fault(w, i, lane, "%u bytes at %#llx, which is not aligned", n,
              (unsigned long long)address);
    if (s == SPACE_GENERIC || s == SPACE_LOCAL) {
        if (address - WINDOW_SHARED < WINDOW_SIZE)
            return shared_at(w, i, lane, address - WINDOW_SHARED, n, access);
        if (address - WINDOW_PARAM < WINDOW_SIZE)
            return param_at(w, i, lane, address - WINDOW_PARAM, n);
        if (address - WINDOW_LOCAL < WINDOW_SIZE)
            return local_at(w, i, lane, address - WINDOW_LOCAL, n);
        s = SPACE_GLOBAL;
    }
    if (s == SPACE_SHARED) return shared_at(w, i, lane, address, n, access);
    if (s == SPACE_PARAM) return param_at(w, i, lane, address, n);
    return global_at(w, i, lane, address, n, access);
}

/* ---- the lanes of a warp at once ---- */
void memory_addresses(struct warp *w, const struct operand *o, uint32_t on, uint64_t to[LANES])
{
    const uint64_t *x = wide(w, o), offset = (uint64_t)o->offset;
    const uint32_t *y = narrow(w, o);
    if (o->wide)
        EACH_LANE(on, to[l] = x[l] + offset;);
    else
        EACH_LANE(on, to[l] = (uint32_t)(y[l] + offset););
}

/* The least and the greatest address, and all bits of them. */
struct span {
    uint64_t least, most, bits;
};
static struct span span_of(const uint64_t address[LANES], uint32_t on)
{
    struct span s = {UINT64_MAX, 0, 0};
    EACH_LANE(on, const uint64_t v = address[l]; s.bits |= v; s.least = v < s.least ? v : s.least;
              s.most = v > s.most ? v : s.most;);
    return s;
}

__attribute__((always_inline)) static inline bool known_sized(unsigned char *known,
                                                              const uint64_t address[LANES],
                                                              uint32_t on, unsigned n, bool reads)
{
    bool ok = true;
    if (reads)
        EACH_LANE(on, ok &= memory_known(known + address[l], n););
    else
        EACH_LANE(on, memory_mark(known + address[l], n););
    return ok;
}

/* Returns false if bytes that are read were not all stored; marks those that are written. known:
 * of address 0. */
static bool known_lanes(unsigned char *known, struct span s, const uint64_t address[LANES],
                        uint32_t on, unsigned n, enum access access)
{
    const bool reads = access == ACCESS_READ;
    if (reads && s.most - s.least < LANES * n) { /* the bytes between them are known as a rule */
        unsigned char all = 1;
        const unsigned char *p = known + s.least;
        for (uint32_t k = 0, size = (uint32_t)(s.most - s.least) + n; k < size; k++) all &= p[k];
        if (all) return true;
    }
    return n == 4    ? known_sized(known, address, on, 4, reads)
           : n == 16 ? known_sized(known, address, on, 16, reads)
           : n == 2  ? known_sized(known, address, on, 2, reads)
                     : known_sized(known, address, on, n, reads);
}

/* Fills the host addresses of accesses to one allocation of device memory. Returns false if each
 * needs a check of its own. */
static bool device_lanes(struct span s, const uint64_t address[LANES], uint32_t on, unsigned n,
                         enum access access, unsigned char *at[LANES])
{
    unsigned char *host = device_owns(s.least) ? device_see(s.least, s.most - s.least + n) : NULL;
    if (!host) return false;
    EACH_LANE(on, at[l] = host + (address[l] - s.least););
    return !memory_checks() ||
           known_lanes(device_known(s.least) - s.least, s, address, on, n, access);
}

/* Likewise to the shared memory of the block, which begins at an address. */
static bool shared_lanes(struct warp *w, const struct instr *i, uint64_t base, struct span s,
                         const uint64_t address[LANES], uint32_t on, unsigned n, enum access access,
                         unsigned char *at[LANES])
{
    const struct block *b = w->block;
    if (s.least < base || n > b->shared_size || s.most - base > b->shared_size - n) return false;
    EACH_LANE(on, at[l] = b->shared + (address[l] - base););
    if (!memory_checks()) return true;
    if (!known_lanes(b->shared_known - base, s, address, on, n, access)) return false;
    EACH_LANE(on, order_access(w, i, l, (uint32_t)(address[l] - base), n, access););
    return true;
}

void memory_lanes(struct warp *w, const struct instr *i, enum space s,
                  const uint64_t address[LANES], uint32_t on, unsigned n, enum access access,
                  unsigned char *at[LANES])
{
    const struct span span = span_of(address, on);
    const bool aligned = !(span.bits & (n - 1));
    if (aligned && (s == SPACE_GLOBAL || s == SPACE_GENERIC) &&
        device_lanes(span, address, on, n, access, at))
        return;
    if (aligned && (s == SPACE_SHARED || s == SPACE_GENERIC) &&
        shared_lanes(w, i, s == SPACE_SHARED ? 0 : WINDOW_SHARED, span, address, on, n, access, at))
        return;
    EACH_LANE(on, at[l] = memory_at(w, i, l, s, address[l], n, access););
}
