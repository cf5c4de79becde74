/* SPDX-License-Identifier: Apache-2.0 */
/* Loads and stores. */
#include <string.h>

#include "emu.h"

/* ---- loads and stores ---- */
uint64_t memory_load(const void *p, struct type t)
{
    uint64_t v = 0;
    copy_value(&v, p, t.bits / 8u);
    if (t.kind == 's') {
        const int up = 64 - t.bits;
        v = (uint64_t)((int64_t)(v << up) >> up);
    }
    return v;
}

static void ld(struct warp *w, const struct instr *i, uint32_t on)
{
    const struct operand *d = operand(i, 0), *a = operand(i, 1);
    const unsigned each = i->type.bits / 8u, n = i->count;
    uint64_t address[LANES];
    unsigned char *at[LANES];
    memory_addresses(w, a, on, address);
    memory_lanes(w, i, i->space, address, on, each * n, ACCESS_READ, at);
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
    uint64_t address[LANES];
    unsigned char *at[LANES];
    w->block->group->changes++;
    memory_addresses(w, a, on, address);
    memory_lanes(w, i, i->space, address, on, each * n, ACCESS_WRITE, at);
    for (unsigned k = 0; k < n; k++)
        EACH_LANE(on, const uint64_t v = lane_get(w, x + k, l);
                  copy_value(at[l] + k * each, &v, each););
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
