/* SPDX-License-Identifier: Apache-2.0 */
/* cp.async: a copy completes only when its lane waits for it. */
#include <stdlib.h>
#include <string.h>

#include "emu.h"

struct copy {
    struct copy *next; /* the previous copy */
    uint64_t to, from;
    uint32_t n, taken; /* bytes written; bytes read, the others are zero */
    int group;
    uint64_t number; /* of the warp's copies */
};

static void cp_async(struct warp *w, const struct instr *i, uint32_t on)
{
    const struct operand *to = operand(i, 0), *from = operand(i, 1), *n = operand(i, 2);
    const struct operand *taken = i->groups > 3 ? operand(i, 3) : n;
    for (int l = 0; l < LANES; l++) {
        if (!(on >> l & 1)) continue;
        struct copy *c = malloc(sizeof *c);
        if (!c) emu_die("out of memory");
        *c = (struct copy){w->copies[l],
                           memory_address(w, to, l),
                           memory_address(w, from, l),
                           (uint32_t)lane_get(w, n, l),
                           (uint32_t)lane_get(w, taken, l),
                           w->groups[l],
                           w->begun++};
        if (taken->predicate)
            c->taken = predicate(w, taken) >> l & 1 ? 0 : c->n; /* ignore the bytes */
        w->copies[l] = c;
    }
}

static void land(struct warp *w, const struct instr *i, int lane, const struct copy *c)
{
    unsigned char bytes[16] = {0};
    if (c->from % c->n)
        fault(w, i, lane, "cp.async of %u bytes from %#llx", c->n, (unsigned long long)c->from);
    if (c->taken == c->n)
        memcpy(bytes, memory_at(w, i, lane, SPACE_GLOBAL, c->from, c->n, ACCESS_READ), c->n);
    else
        for (uint32_t k = 0; k < c->taken; k++)
            bytes[k] =
                *(unsigned char *)memory_at(w, i, lane, SPACE_GLOBAL, c->from + k, 1, ACCESS_READ);
    memcpy(memory_at(w, i, lane, SPACE_SHARED, c->to, c->n, ACCESS_WRITE), bytes, c->n);
}

void async_land(struct warp *w, const struct instr *i, uint32_t on, int keep, bool uncommitted)
{
    for (int l = 0; l < LANES; l++) {
        if (!(on >> l & 1)) continue;
        struct copy **at = &w->copies[l];
        while (*at) {
            struct copy *c = *at;
            const bool open = c->group == w->groups[l];
            if (open ? !uncommitted : c->group >= w->groups[l] - keep) {
                at = &c->next;
                continue;
            }
            *at = c->next;
            land(w, i, l, c);
            free(c);
        }
    }
}

void async_land_before(struct warp *w, const struct instr *i, int lane, uint64_t before)
{
    for (struct copy **at = &w->copies[lane]; *at;) {
        struct copy *c = *at;
        if (c->number >= before) {
            at = &c->next;
            continue;
        }
        *at = c->next;
        land(w, i, lane, c);
        free(c);
    }
}

void async_drop(struct warp *w)
{
    for (int l = 0; l < LANES; l++)
        while (w->copies[l]) {
            struct copy *c = w->copies[l];
            w->copies[l] = c->next;
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
