/* SPDX-License-Identifier: Apache-2.0 */
/* Instructions of wgmma. A product is in flight until its warp waits for its group: nothing may use
 * its registers. The four warps of a group execute the same products. */
#include <stdlib.h>
#include <string.h>

#include "group.h"
#include "wgmma_impl.h"

/* A product that not all warps of a group have issued yet. */
struct issue {
    struct issue *next;
    const struct instr *instr;
    uint64_t b, number;
    int group, first; /* first: the warp that came first */
    uint32_t warps;
};

/* ---- registers ---- */
enum { SLOT = 64 }; /* bytes of registers for which there is one entry */

static bool flies(const struct warp *w, const struct operand *o)
{
    return !o->constant && !o->special && !o->predicate && w->flying[o->slot / SLOT];
}

/* A copy of a register counts as written when its source was: both become one register. A constant
 * does not count, for the compiler moves it over the fence, and ptxas puts it before. */
static enum writes result_of(const struct instr *i)
{
    static const char *const none[] = {
        "st.",   "red.",   "bar",      "bra",  "cp.",        "wgmma",   "ret",       "exit",
        "fence", "membar", "prefetch", "trap", "setmaxnreg", "griddep", "nanosleep", "brkpt"};
    for (size_t k = 0; k < sizeof none / sizeof *none; k++)
        if (!strncmp(i->text, none[k], strlen(none[k]))) return WRITES_NONE;
    if (i->groups == 0 || !strncmp(i->text, "mbarrier.in", 11)) return WRITES_NONE;
    const struct operand *x = i->groups > 1 ? operand(i, 1) : NULL;
    const bool copies = x && !x->special && i->type.bits == 32 && !strncmp(i->text, "mov.", 4) &&
                        group_size(i, 1) == 1;
    return !copies ? WRITES_VALUE : x->constant ? WRITES_NONE : WRITES_COPY;
}

void wgmma_note(struct instr *i)
{
    i->writes = result_of(i);
    i->wgmma = !strncmp(i->text, "wgmma.", 6);
}

void wgmma_registers(struct warp *w, const struct instr *i, uint32_t on)
{
    if (w->products && !i->wgmma)
        for (int k = 0; k < i->first[i->groups]; k++)
            if (flies(w, &i->op[k]))
                fault(w, i, __builtin_ctz(on),
                      "uses a register of the wgmma of line %u before wgmma.wait_group",
                      w->products->instr->line);
    if (i->writes == WRITES_NONE) return;
    const uint32_t at =
        i->writes == WRITES_COPY ? w->written[operand(i, 1)->slot / SLOT] : w->fences;
    for (int k = 0; k < group_size(i, 0); k++)
        if (!i->op[k].constant && !i->op[k].predicate) w->written[i->op[k].slot / SLOT] = at;
}

/* Counts the registers of A and D as in flight, or no longer. */
static void fly(struct warp *w, const struct instr *i, int by)
{
    for (int g = 0; g < 2; g++)
        for (int k = 0; k < group_size(i, g); k++) {
            const struct operand *o = operand(i, g) + k;
            if (!o->wide) w->flying[o->slot / SLOT] = (uint8_t)(w->flying[o->slot / SLOT] + by);
        }
}

/* Accumulators may be in flight only for a product of the same registers. */
bool wgmma_same_accumulators(const struct instr *a, const struct instr *b)
{
    if (group_size(a, 0) != group_size(b, 0)) return false;
    for (int k = 0; k < group_size(a, 0); k++)
        if (operand(a, 0)[k].slot != operand(b, 0)[k].slot) return false;
    return true;
}

static void check_accumulators(struct warp *w, const struct instr *i)
{
    for (const struct wgmma *x = w->products; x; x = x->next) {
        if (wgmma_same_accumulators(x->instr, i)) continue;
        for (int k = 0; k < group_size(x->instr, 0); k++)
            for (int j = 0; j < i->first[2]; j++)
                if (operand(x->instr, 0)[k].slot == i->op[j].slot && !i->op[j].wide)
                    fault(w, i, 0,
                          "uses an accumulator of the wgmma of line %u, which is in flight",
                          x->instr->line);
    }
}

static void check_fence(struct warp *w, const struct instr *i)
{
    if (w->fences == 1) fault(w, i, 0, "no wgmma.fence came before");
    for (int k = 0; k < i->first[2]; k++)
        if (!i->op[k].wide && w->written[i->op[k].slot / SLOT] == w->fences)
            fault(w, i, 0, "a register of %s was written, and no wgmma.fence came between",
                  k < i->first[1] ? "D" : "A");
}

/* ---- the four warps of a group ---- */
static void check_group(struct warp *w, const struct instr *i)
{
    const struct block *b = w->block;
    const int first = w->index / WARPGROUP * WARPGROUP;
    if (first + WARPGROUP > b->count) fault(w, i, 0, "a warpgroup of fewer than four warps");
    for (int k = first; k < first + WARPGROUP; k++)
        if (b->warps[k].threads != ~0u) fault(w, i, 0, "a warpgroup of fewer than 128 threads");
}

/* Compares a product with that of the same number in the group's other warps. */
static void issued(struct warp *w, const struct wgmma *x)
{
    struct issue **at = &w->block->issues, *s;
    const int group = w->index / WARPGROUP;
    while ((s = *at) && (s->group != group || s->number != x->number)) at = &s->next;
    if (!s) {
        s = calloc(1, sizeof *s);
        if (!s) emu_die("out of memory");
        *s = (struct issue){NULL, x->instr, x->b, x->number, group, w->index, 0};
        *at = s;
    }
    if (s->instr != x->instr)
        fault(w, x->instr, 0, "warp %d of the warpgroup executes the wgmma of line %u instead",
              s->first, s->instr->line);
    if (s->b != x->b) fault(w, x->instr, 0, "warp %d has another descriptor of B", s->first);
    s->warps |= 1u << w->index % WARPGROUP;
    if (s->warps != (1u << WARPGROUP) - 1) return;
    *at = s->next;
    free(s);
}

/* ---- instructions ---- */
static uint64_t uniform(struct warp *w, const struct instr *i, int group)
{
    const uint64_t v = lane_get(w, operand(i, group), 0);
    for (int l = 1; l < LANES; l++)
        if (lane_get(w, operand(i, group), l) != v)
            fault(w, i, l, "a descriptor that differs between lanes");
    return v;
}

static void check_descriptor(struct warp *w, const struct instr *i, int which, uint64_t descriptor)
{
    struct tile t;
    const char *why = tile_open(&t, descriptor, wgmma_transposed(i, which), wgmma_size(i), 0, 0);
    if (why) fault(w, i, 0, "%s", why);
}

static void mma_async(struct warp *w, const struct instr *i, uint32_t on)
{
    const struct operand *scale = operand(i, 3);
    const uint32_t keep = !scale->constant             ? predicate(w, scale)
                          : scale->constant->narrow[0] ? ~0u
                                                       : 0;
    (void)on;
    check_group(w, i);
    check_fence(w, i);
    check_accumulators(w, i);
    struct wgmma *x = calloc(1, sizeof *x);
    if (!x) emu_die("out of memory");
    *x = (struct wgmma){.instr = i,
                        .a = wgmma_a_registers(i) ? 0 : uniform(w, i, 1),
                        .b = uniform(w, i, 2),
                        .keep = keep & 1,
                        .group = w->product_groups,
                        .number = w->issued++};
    *w->last_product = x;
    w->last_product = &x->next;
    if (!wgmma_a_registers(i)) check_descriptor(w, i, 0, x->a);
    check_descriptor(w, i, 1, x->b);
    if (keep && ~keep) fault(w, i, 0, "scale-d differs between lanes");
    issued(w, x);
    fly(w, i, 1);
    wgmma_begin(w, x);
}

static void fence(struct warp *w, const struct instr *i, uint32_t on)
{
    (void)i, (void)on;
    w->fences++;
}

static void commit(struct warp *w, const struct instr *i, uint32_t on)
{
    (void)i, (void)on;
    w->product_groups++;
}

static bool ends(const struct warp *w, const struct wgmma *x, int keep)
{
    return x && x->group < w->product_groups - keep;
}

static void wait(struct warp *w, const struct instr *i, uint32_t on)
{
    const int keep = (int)lane_get(w, operand(i, 0), 0);
    struct wgmma *before = NULL;
    (void)on;
    while (ends(w, w->products, keep)) {
        struct wgmma *x = w->products;
        wgmma_end(w, x, before, ends(w, x->next, keep) ? x->next : NULL);
        fly(w, x->instr, -1);
        w->products = x->next;
        if (!w->products) w->last_product = &w->products;
        free(before);
        before = x;
    }
    free(before);
}

/* ---- at the end ---- */
void wgmma_check(struct warp *w)
{
    const struct issue *s = w->block->issues;
    if (w->products) fault(w, w->products->instr, 0, "the block ends while it is in flight");
    if (s)
        fault(&w->block->warps[s->first], s->instr, 0,
              "warps %#x of the warpgroup do not execute it", 15 & ~s->warps);
}

void wgmma_drop(struct warp *w)
{
    while (w->products) {
        struct wgmma *x = w->products;
        w->products = x->next;
        free(x);
    }
}

void wgmma_forget(struct block *b)
{
    while (b->issues) {
        struct issue *s = b->issues;
        b->issues = s->next;
        free(s);
    }
}

/* ---- opcodes ---- */
static bool type_of(const char **p, uint8_t *type)
{
    static const char *const names[] = {"bf16", "f16", "tf32", "e4m3", "e5m2", "s8", "u8"};
    for (uint8_t k = 0; k < sizeof names / sizeof *names; k++)
        if (ptx_suffix(p, names[k])) return *type = k, true;
    return false;
}

static bool decode_mma(struct instr *i, const char *p)
{
    char *end;
    if (strncmp(p, ".m64n", 5)) return false;
    const long n = strtol(p + 5, &end, 10);
    if (n % 8 || n < 8 || n > WGMMA_N || *end != 'k') return false;
    const long k = strtol(end + 1, &end, 10);
    p = end;
    i->count = (uint8_t)(n / 8);
    i->run = mma_async;
    if (!ptx_type(&p, &i->type) || !type_of(&p, &i->compare) || !type_of(&p, &i->combine))
        return false;
    return !*p && k == wgmma_depth(i) && i->groups >= 4 &&
           group_size(i, 0) == n / (i->type.bits == 16 ? 4 : 2) &&
           i->groups == (wgmma_size(i) == 2    ? 8 - wgmma_a_registers(i)
                         : i->type.kind == 's' ? 4
                                               : 6);
}

bool decode_wgmma(struct instr *i)
{
    const char *p = i->text + strcspn(i->text, ".");
    if (strncmp(i->text, "wgmma.", 6)) return false;
    i->gather = GATHER_ALL;
    if (ptx_suffix(&p, "mma_async"))
        return ptx_suffix(&p, "sync") && ptx_suffix(&p, "aligned") && decode_mma(i, p);
    i->run = ptx_suffix(&p, "fence")          ? fence
             : ptx_suffix(&p, "commit_group") ? commit
             : ptx_suffix(&p, "wait_group")   ? wait
                                              : NULL;
    return i->run && ptx_suffix(&p, "sync") && ptx_suffix(&p, "aligned") && !*p;
}
