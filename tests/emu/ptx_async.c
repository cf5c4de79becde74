/* SPDX-License-Identifier: Apache-2.0 */
/* cp.async: a copy completes only when its lane waits for it. */
#include <stdlib.h>
#include <string.h>

#include "emu.h"

/* A cp.async of a warp. */
struct copy {
    struct copy *next;        /* the previous one */
    uint32_t lanes;           /* whose copies have not landed */
    uint32_t n, taken[LANES]; /* bytes written; bytes read, the others are zero */
    uint64_t to[LANES], from[LANES];
    int group[LANES];
    uint64_t number; /* of the warp's copies */
};

static void cp_async(struct warp *w, const struct instr *i, uint32_t on)
{
    const struct operand *n = operand(i, 2), *taken = i->groups > 3 ? operand(i, 3) : n;
    struct copy *c = malloc(sizeof *c);
    if (!c) emu_die("out of memory");
    c->next = w->copies;
    w->copies = c;
    c->lanes = on;
    c->n = (uint32_t)lane_get(w, n, __builtin_ctz(on));
    c->number = w->begun++;
    memory_addresses(w, operand(i, 0), on, c->to);
    memory_addresses(w, operand(i, 1), on, c->from);
    const uint32_t ignored = taken->predicate ? predicate(w, taken) : 0;
    EACH_LANE(on, c->group[l] = w->groups[l]; c->taken[l] = !taken->predicate
                                                                ? (uint32_t)lane_get(w, taken, l)
                                                            : ignored >> l & 1 ? 0
                                                                               : c->n;);
}

/* Reads a part of the bytes of a lane. */
static void take_part(struct warp *w, const struct instr *i, int lane, const struct copy *c,
                      unsigned char *to)
{
    memset(to, 0, c->n);
    for (uint32_t k = 0; k < c->taken[lane]; k++)
        to[k] = *(unsigned char *)memory_at(w, i, lane, SPACE_GLOBAL, c->from[lane] + k, 1,
                                            ACCESS_READ);
}

static void land(struct warp *w, const struct instr *i, uint32_t on, struct copy *c)
{
    unsigned char *from[LANES], *to[LANES];
    uint32_t whole = 0;
    EACH_LANE(on, whole |= (uint32_t)(c->taken[l] == c->n) << l;
              if (c->from[l] % c->n) fault(w, i, l, "cp.async of %u bytes from %#llx", c->n,
                                           (unsigned long long)c->from[l]););
    memory_lanes(w, i, SPACE_GLOBAL, c->from, whole, c->n, ACCESS_READ, from);
    memory_lanes(w, i, SPACE_SHARED, c->to, on, c->n, ACCESS_WRITE, to);
    EACH_LANE(whole, copy_few(to[l], from[l], c->n););
    EACH_LANE(on & ~whole, take_part(w, i, l, c, to[l]););
    c->lanes &= ~on;
}

/* Lands the copies of those lanes for which the condition holds. */
#define LAND(on, condition)                                                                        \
    for (struct copy **at = &w->copies; *at;) {                                                    \
        struct copy *c = *at;                                                                      \
        uint32_t now = 0;                                                                          \
        EACH_LANE((on)&c->lanes, now |= (uint32_t)(condition) << l;);                              \
        if (now) land(w, i, now, c);                                                               \
        if (c->lanes) {                                                                            \
            at = &c->next;                                                                         \
            continue;                                                                              \
        }                                                                                          \
        *at = c->next;                                                                             \
        free(c);                                                                                   \
    }

void async_land(struct warp *w, const struct instr *i, uint32_t on, int keep, bool uncommitted)
{
    LAND(on, c->group[l] == w->groups[l] ? uncommitted : c->group[l] < w->groups[l] - keep)
}

void async_land_before(struct warp *w, const struct instr *i, int lane, uint64_t before)
{
    LAND(1u << lane, c->number < before)
}

void async_drop(struct warp *w)
{
    while (w->copies) {
        struct copy *c = w->copies;
        w->copies = c->next;
        free(c);
    }
}

static void commit(struct warp *w, const struct instr *i, uint32_t on)
{
    (void)i;
    EACH_LANE(on, w->groups[l]++;);
}
static void wait_group(struct warp *w, const struct instr *i, uint32_t on)
{
    async_land(w, i, on, (int)lane_get(w, operand(i, 0), 0), false);
}
static void wait_all(struct warp *w, const struct instr *i, uint32_t on)
{
    EACH_LANE(on, w->groups[l]++;);
    async_land(w, i, on, 0, true);
}

static bool hint(const char **p)
{
    return ptx_suffix(p, "L2::64B") || ptx_suffix(p, "L2::128B") || ptx_suffix(p, "L2::256B");
}

bool decode_async(struct instr *i)
{
    const char *p = i->text + strcspn(i->text, ".");
    if (strncmp(i->text, "cp.async.", 9)) return false;
    ptx_suffix(&p, "async");
    if (ptx_suffix(&p, "commit_group")) return i->run = commit, !*p;
    if (ptx_suffix(&p, "wait_group")) return i->run = wait_group, !*p && i->groups == 1;
    if (ptx_suffix(&p, "wait_all")) return i->run = wait_all, !*p;
    if (!ptx_suffix(&p, "ca") && !ptx_suffix(&p, "cg")) return false;
    if (!ptx_suffix(&p, "shared") && !ptx_suffix(&p, "shared::cta")) return false;
    if (!ptx_suffix(&p, "global")) return false;
    hint(&p);
    i->run = cp_async;
    return !*p && i->groups >= 3;
}
