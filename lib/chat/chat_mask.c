/* SPDX-License-Identifier: Apache-2.0 */
/* The regions of a rendering that are trained, and their weights.
 *
 * {% generation %} blocks decide where the template has them. Otherwise mask `turn` trains each
 * assistant turn from the end of its head to its stop; mask `content` trains its pieces and stop.
 */
#include <string.h>

#include "chat/chat_impl.h"

static int add_region(struct chat_scratch *s, uint32_t begin, uint32_t end, float weight,
                      struct err *e)
{
    if (begin >= end || !(weight > 0)) return 0;
    struct chat_region *last = s->nregions ? &s->regions[s->nregions - 1] : NULL;
    if (last && begin < last->end) begin = last->end;
    if (begin >= end) return 0;
    if (last && begin == last->end && weight == last->weight) {
        last->end = end;
        return 0;
    }
    if (mem_grow(&s->regions, &s->cap, s->nregions + 1, sizeof *s->regions, e)) return -1;
    s->regions[s->nregions++] = (struct chat_region){begin, end, weight};
    return 0;
}

/* Sets *head. 1: the model writes the turn; 0: it does not, since the turn is text behind the end
 * of an earlier turn of the message and has no generation prompt; -1: error. */
static int is_turn(const struct chat *c, struct chat_scratch *s,
                   const struct chat_conversation *conv, const struct chat_turn *t,
                   struct chat_sample *out, uint32_t *head, struct err *e)
{
    bool found;
    if (chat_head(c, s, conv, t, out, head, &found, e)) return -1;
    if (!t->later) {
        out->facts.headless += !found;
        return 1;
    }
    enum chat_part part = out->rendering.spans[t->first].part;
    out->facts.outside += !found && (part == CHAT_CONTENT || part == CHAT_THOUGHT);
    return found;
}

static int pieces(struct chat_scratch *s, const struct chat_turn *t, const struct chat_sample *out,
                  struct err *e)
{
    const struct token_list *l = &out->tokens;
    for (size_t i = t->first; i <= t->last; i++) {
        const struct chat_span *k = &out->rendering.spans[i];
        if (k->message == t->message && k->part != CHAT_ROLE &&
            add_region(s, k->begin, k->end, t->weight, e))
            return -1;
    }
    if (t->stop == CHAT_NO_STOP) return 0;
    return add_region(s, l->begin[t->stop], l->end[t->stop], t->weight, e);
}

static int turn_regions(const struct chat *c, struct chat_scratch *s,
                        const struct chat_conversation *conv, const struct chat_turn *t,
                        struct chat_sample *out, struct err *e)
{
    bool whole = c->mask == CHAT_MASK_TURN;
    uint32_t head = t->begin;
    if (!(t->weight > 0)) return 0;
    int rc = whole || t->later ? is_turn(c, s, conv, t, out, &head, e) : 1;
    if (rc <= 0) return rc;
    return whole ? add_region(s, head, t->until, t->weight, e) : pieces(s, t, out, e);
}

/* Returns the weight of the turn that overlaps [begin, end), or 1. */
static float weight_within(const struct chat_scratch *s, size_t *turn, uint32_t begin, uint32_t end)
{
    while (*turn < s->nturns && s->turns[*turn].end <= begin) ++*turn;
    return *turn < s->nturns && s->turns[*turn].begin < end ? s->turns[*turn].weight : 1;
}

/* Adds the {% generation %} blocks, each with the weight of its message. */
static int generation_regions(struct chat_scratch *s, const struct chat_rendering *r, struct err *e)
{
    size_t turn = 0;
    for (size_t i = 0; i < r->nspans;) {
        size_t first = i;
        while (i < r->nspans && r->spans[i].generation) i++;
        if (i == first) {
            i++;
            continue;
        }
        uint32_t begin = r->spans[first].begin, end = r->spans[i - 1].end;
        if (add_region(s, begin, end, weight_within(s, &turn, begin, end), e)) return -1;
    }
    return 0;
}

int chat_mask(const struct chat *c, struct chat_scratch *s, const struct chat_conversation *conv,
              struct chat_sample *out, struct err *e)
{
    s->nregions = 0;
    if (c->mask == CHAT_MASK_ROLL) return 0;
    if (out->rendering.has_generation) return generation_regions(s, &out->rendering, e);
    for (size_t i = 0; i < s->nturns; i++)
        if (turn_regions(c, s, conv, &s->turns[i], out, e) < 0) return -1;
    return 0;
}
