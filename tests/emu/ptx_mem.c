/* SPDX-License-Identifier: Apache-2.0 */
/* Loads and stores, with checks of every access: bounds, alignment, reads of uninitialised memory,
 * and races in shared memory. */
#include <pthread.h>
#include <stdlib.h>
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
/* Returns true if n bytes, a power of 2, were all stored. */
static inline bool all_known(const unsigned char *known, unsigned n)
{
    uint64_t a = 0x0101010101010101ull, b = a;
    memcpy(&a, known, n < 8 ? n : 8);
    if (n > 8) memcpy(&b, known + 8, 8);
    return (a & b) == 0x0101010101010101ull;
}

static void check_known(struct warp *w, const struct instr *i, int lane, unsigned char *known,
                        unsigned n, enum access access, const char *where)
{
    if (access != ACCESS_WRITE && !all_known(known, n))
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

uint64_t memory_address(struct warp *w, const struct operand *o, int lane)
{
    const uint64_t a = lane_get(w, o, lane) + (uint64_t)o->offset;
    return o->wide ? a : (uint32_t)a; /* a 32-bit address is in shared memory and wraps around */
}

/* ---- loads and stores ---- */
uint64_t memory_load(const void *p, struct type t)
{
    uint64_t v = 0;
    memcpy(&v, p, t.bits / 8);
    if (t.kind == 's') {
        const int up = 64 - t.bits;
        v = (uint64_t)((int64_t)(v << up) >> up);
    }
    return v;
}

/* Handles the common case at once: aligned device addresses of one allocation. Fills the host
 * addresses of the lanes; returns false if each access needs its own check. */
static bool all_lanes(struct warp *w, const struct instr *i, const struct operand *a, uint32_t on,
                      unsigned n, enum access access, unsigned char *at[LANES])
{
    uint64_t least = UINT64_MAX, most = 0, bits = 0, address[LANES];
    if (!a->wide || (i->space != SPACE_GLOBAL && i->space != SPACE_GENERIC)) return false;
    const uint64_t *x = wide(w, a), offset = (uint64_t)a->offset;
    EACH_LANE(on, const uint64_t v = x[l] + offset; address[l] = v; bits |= v;
              least = v < least ? v : least; most = v > most ? v : most;);
    unsigned char *host =
        bits & (n - 1) || !device_owns(least) ? NULL : device_see(least, most - least + n);
    if (!host) return false;
    EACH_LANE(on, at[l] = host + (address[l] - least););
    if (!memory_checks()) return true;
    unsigned char *known = device_known(least);
    bool ok = true;
    if (access == ACCESS_READ)
        EACH_LANE(on, ok &= all_known(known + (address[l] - least), n););
    else
        EACH_LANE(on, memset(known + (address[l] - least), 1, n););
    return ok;
}

static void ld(struct warp *w, const struct instr *i, uint32_t on)
{
    const struct operand *d = operand(i, 0), *a = operand(i, 1);
    const unsigned each = i->type.bits / 8u, n = i->count;
    unsigned char *at[LANES];
    if (!all_lanes(w, i, a, on, each * n, ACCESS_READ, at))
        EACH_LANE(on, at[l] = memory_at(w, i, l, i->space, memory_address(w, a, l), each * n,
                                        ACCESS_READ););
    if (i->type.bits == 32 && !d->wide && !d->sink) {
        for (unsigned k = 0; k < n; k++) {
            uint32_t *to = narrow(w, d + k);
            EACH_LANE(on, memcpy(&to[l], at[l] + 4 * k, 4););
        }
        return;
    }
    EACH_LANE(on, for (unsigned k = 0; k < n; k++)
                      lane_put(w, d + k, l, memory_load(at[l] + k * each, i->type)););
}

/* Loads a parameter; one at a constant offset is equal in all lanes. */
static void ld_param(struct warp *w, const struct instr *i, uint32_t on)
{
    const struct operand *d = operand(i, 0), *a = operand(i, 1);
    const unsigned each = i->type.bits / 8u, n = i->count;
    const unsigned char *p = memory_at(w, i, __builtin_ctz(on), SPACE_PARAM,
                                       memory_address(w, a, 0), each * n, ACCESS_READ);
    for (unsigned k = 0; k < n; k++) {
        const uint64_t v = memory_load(p + k * each, i->type);
        EACH_LANE(on, lane_put(w, d + k, l, v););
    }
}

static void st(struct warp *w, const struct instr *i, uint32_t on)
{
    const struct operand *a = operand(i, 0), *x = operand(i, 1);
    const unsigned each = i->type.bits / 8u, n = i->count;
    unsigned char *at[LANES];
    w->block->group->changes++;
    if (!all_lanes(w, i, a, on, each * n, ACCESS_WRITE, at))
        EACH_LANE(on, at[l] = memory_at(w, i, l, i->space, memory_address(w, a, l), each * n,
                                        ACCESS_WRITE););
    EACH_LANE(
        on, for (unsigned k = 0; k < n; k++) {
            const uint64_t v = lane_get(w, x + k, l);
            memcpy(at[l] + k * each, &v, each);
        });
}

/* ---- opcodes ---- */
static bool space_of(const char **p, struct instr *i)
{
    static const struct {
        const char *word;
        enum space space;
    } all[] = {{"global", SPACE_GLOBAL},      {"shared", SPACE_SHARED},
               {"shared::cta", SPACE_SHARED}, {"shared::cluster", SPACE_SHARED},
               {"local", SPACE_LOCAL},        {"param", SPACE_PARAM},
               {"const", SPACE_CONST}};
    for (size_t k = 0; k < sizeof all / sizeof *all; k++)
        if (ptx_suffix(p, all[k].word)) return i->space = all[k].space, true;
    return false;
}

/* Consumes suffixes that do not affect a load or store here. */
static bool cache_word(const char **p)
{
    static const char *const all[] = {"nc",
                                      "ca",
                                      "cg",
                                      "cs",
                                      "lu",
                                      "cv",
                                      "wb",
                                      "wt",
                                      "weak",
                                      "relaxed",
                                      "acquire",
                                      "release",
                                      "acq_rel",
                                      "volatile",
                                      "cta",
                                      "cluster",
                                      "gpu",
                                      "sys",
                                      "L1::no_allocate",
                                      "L1::evict_first",
                                      "L1::evict_last",
                                      "L1::evict_normal",
                                      "L1::evict_unchanged",
                                      "L2::64B",
                                      "L2::128B",
                                      "L2::256B",
                                      "L2::cache_hint",
                                      "noftz"};
    for (size_t k = 0; k < sizeof all / sizeof *all; k++)
        if (ptx_suffix(p, all[k])) return true;
    return false;
}

static bool decode_access(struct instr *i, const char *p, execute *run)
{
    i->count = 1;
    while (space_of(&p, i) || cache_word(&p)) continue;
    if (ptx_suffix(&p, "v2")) i->count = 2;
    if (ptx_suffix(&p, "v4")) i->count = 4;
    if (!ptx_type(&p, &i->type) || *p) return false;
    const struct operand *a = operand(i, run == ld);
    i->run = run;
    if (i->space != SPACE_PARAM || !a->constant) return true;
    if (a->constant->wide[0] >= WINDOW_LOCAL)
        i->space = SPACE_LOCAL; /* of a function */
    else if (run == ld)
        i->run = ld_param;
    return true;
}

bool memory_suffix(const char **p, struct instr *i) { return space_of(p, i) || cache_word(p); }

bool decode_memory(struct instr *i)
{
    const char *p = i->text + strcspn(i->text, ".");
    if (!strncmp(i->text, "ld.", 3) || !strncmp(i->text, "ldu.", 4)) return decode_access(i, p, ld);
    if (!strncmp(i->text, "st.", 3)) return decode_access(i, p, st) && i->space != SPACE_PARAM;
    return false;
}
