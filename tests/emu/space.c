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
    if (access != ACCESS_READ) memset(known, 1, n);
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
