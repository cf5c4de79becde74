/* SPDX-License-Identifier: Apache-2.0 */
/* Exchanges among the lanes of a warp. The lanes of a mask execute together; see ptx_run.c. */
#include <string.h>

#include "order.h"

enum { SHUFFLE_UP, SHUFFLE_DOWN, SHUFFLE_BUTTERFLY, SHUFFLE_INDEX };

/* Operands d|p, a, b, c, mask: b is the lane or distance, c has the segment mask and clamp. */
__attribute__((always_inline)) static inline void shuffle(struct warp *w, const struct instr *i,
                                                          uint32_t on, int mode)
{
    const struct operand *d = operand(i, 0);
    uint32_t value[LANES], ok = 0, lacks = 0, *to = narrow(w, d);
    int from[LANES];
    const uint32_t *b = narrow(w, operand(i, 2)), *c = narrow(w, operand(i, 3));
    memcpy(value, narrow(w, operand(i, 1)), sizeof value);
    for (int l = 0; l < LANES; l++) {
        const int segment = (int)(c[l] >> 8 & 31), clamp = (int)(c[l] & 31), by = (int)(b[l] & 31);
        const int low = l & segment, high = low | (clamp & ~segment);
        const int j = mode == SHUFFLE_UP          ? l - by
                      : mode == SHUFFLE_DOWN      ? l + by
                      : mode == SHUFFLE_BUTTERFLY ? l ^ by
                                                  : low | (by & ~segment);
        const bool in = mode == SHUFFLE_UP ? j >= high : j <= high;
        from[l] = in ? j : l;
        ok |= (uint32_t)in << l;
        lacks |= (~on >> from[l] & 1) << l;
    }
    if (lacks & on) {
        const int l = __builtin_ctz(lacks & on);
        fault(w, i, l, "lane %d, which it reads from, does not execute the shuffle", from[l]);
    }
    EACH_LANE(on, to[l] = value[from[l]];);
    order_warp(w);
    if (group_size(i, 0) > 1) predicate_put(w, d + 1, on, ok);
}
static void shfl(struct warp *w, const struct instr *i, uint32_t on)
{
    switch (i->mode) {
    case SHUFFLE_UP:
        return shuffle(w, i, on, SHUFFLE_UP);
    case SHUFFLE_DOWN:
        return shuffle(w, i, on, SHUFFLE_DOWN);
    case SHUFFLE_BUTTERFLY:
        return shuffle(w, i, on, SHUFFLE_BUTTERFLY);
    default:
        shuffle(w, i, on, SHUFFLE_INDEX);
    }
}

enum { VOTE_ALL, VOTE_ANY, VOTE_UNI, VOTE_BALLOT };
static void vote(struct warp *w, const struct instr *i, uint32_t on)
{
    const struct operand *d = operand(i, 0);
    const uint32_t p = predicate(w, operand(i, 1)) & on;
    order_warp(w);
    if (i->mode == VOTE_BALLOT) {
        EACH_LANE(on, narrow(w, d)[l] = p;);
        return;
    }
    const bool yes = i->mode == VOTE_ALL   ? p == on
                     : i->mode == VOTE_ANY ? p != 0
                                           : p == on || p == 0;
    predicate_put(w, d, on, yes ? ~0u : 0);
}

static void activemask(struct warp *w, const struct instr *i, uint32_t on)
{
    EACH_LANE(on, narrow(w, operand(i, 0))[l] = on;);
}

static void bar_warp(struct warp *w, const struct instr *i, uint32_t on)
{
    (void)i, (void)on;
    order_warp(w);
}

enum { REDUX_ADD, REDUX_MIN, REDUX_MAX, REDUX_AND, REDUX_OR, REDUX_XOR };
static void redux(struct warp *w, const struct instr *i, uint32_t on)
{
    const uint32_t *x = narrow(w, operand(i, 1));
    const bool sign = i->type.kind == 's';
    uint32_t r = x[__builtin_ctz(on)];
    EACH_LANE(on & (on - 1), const uint32_t v = x[l];
              const bool less = sign ? (int32_t)v < (int32_t)r : v < r;
              r = i->mode == REDUX_ADD   ? r + v
                  : i->mode == REDUX_MIN ? (less ? v : r)
                  : i->mode == REDUX_MAX ? (less ? r : v)
                  : i->mode == REDUX_AND ? r & v
                  : i->mode == REDUX_OR  ? r | v
                                         : r ^ v;);
    EACH_LANE(on, narrow(w, operand(i, 0))[l] = r;);
    order_warp(w);
}

/* match.any: returns the lanes with an equal value; match.all: all lanes, if their values are
 * equal. */
static void match(struct warp *w, const struct instr *i, uint32_t on)
{
    const struct operand *d = operand(i, 0), *x = operand(i, 1);
    bool all = true;
    const uint64_t first = lane_get(w, x, __builtin_ctz(on));
    uint32_t equal[LANES] = {0};
    EACH_LANE(on, const uint64_t v = lane_get(w, x, l); all &= v == first;
              for (int k = 0; k < LANES; k++) if (on >> k & 1 && lane_get(w, x, k) == v) equal[l] |=
              1u << k;);
    EACH_LANE(on, narrow(w, d)[l] = i->mode ? (all ? on : 0) : equal[l];);
    if (group_size(i, 0) > 1) predicate_put(w, d + 1, on, all ? ~0u : 0);
    order_warp(w);
}

static void elect(struct warp *w, const struct instr *i, uint32_t on)
{
    const struct operand *d = operand(i, 0);
    const int first = __builtin_ctz(on);
    if (!d->sink) EACH_LANE(on, narrow(w, d)[l] = (uint32_t)first;);
    predicate_put(w, d + 1, on, 1u << first);
    order_warp(w);
}

static bool word_of(const char **p, const char *const *words, int n, uint8_t *mode)
{
    for (int k = 0; k < n; k++)
        if (ptx_suffix(p, words[k])) return *mode = (uint8_t)k, true;
    return false;
}

static bool by_mask(struct instr *i, execute *run, int mask)
{
    i->run = run;
    i->gather = GATHER_MASK;
    i->mask = mask;
    return mask < i->groups;
}

bool decode_warp(struct instr *i)
{
    static const char *const shuffles[] = {"up", "down", "bfly", "idx"},
                             *const votes[] = {"all", "any", "uni", "ballot"},
                             *const reductions[] = {"add", "min", "max", "and", "or", "xor"};
    const char *p = i->text + strcspn(i->text, ".");
    if (!strncmp(i->text, "shfl.sync.", 10))
        return ptx_suffix(&p, "sync") && word_of(&p, shuffles, 4, &i->mode) &&
               ptx_suffix(&p, "b32") && !*p && by_mask(i, shfl, 4);
    if (!strncmp(i->text, "vote.sync.", 10)) {
        if (!ptx_suffix(&p, "sync") || !word_of(&p, votes, 4, &i->mode)) return false;
        return (ptx_suffix(&p, "pred") || ptx_suffix(&p, "b32")) && by_mask(i, vote, 2);
    }
    if (!strcmp(i->text, "bar.warp.sync")) return by_mask(i, bar_warp, 0);
    if (!strncmp(i->text, "redux.sync.", 11))
        return ptx_suffix(&p, "sync") && word_of(&p, reductions, 6, &i->mode) &&
               ptx_type(&p, &i->type) && i->type.kind != 'f' && by_mask(i, redux, 2);
    if (!strncmp(i->text, "match.", 6)) {
        i->mode = !strncmp(i->text, "match.all", 9);
        return by_mask(i, match, 2);
    }
    if (!strcmp(i->text, "elect.sync")) return by_mask(i, elect, 1);
    if (!strncmp(i->text, "activemask", 10)) return i->run = activemask, true;
    return false;
}
