/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes of a rendering on which loss falls, and the token that ends each assistant turn.
 *
 * A template with {% generation %} decides itself. Otherwise an assistant message is trained from
 * its first rendered byte to its last, the template's text between two of its pieces included, and
 * on through white space to the special token that ends the turn. Where the message has more than
 * content (reasoning, tool calls), the text that wraps it is what the model has to write: then the
 * trained bytes begin where the generation prompt ends, and reach the end token without a gap. */
#include <string.h>

#include "chat/chat_impl.h"

/* A run of spans of one assistant message with nothing of another message between them. */
struct turn {
    int32_t message;
    uint32_t begin, end;
    uint32_t before;                        /* end of what other messages put before it */
    uint32_t limit;                         /* where the next message begins to show */
    uint32_t offset;                        /* of the first byte in the content */
    bool head_content, tail_content, mixed; /* mixed: not content alone */
};

static bool is_assistant(const struct json *messages, int32_t i)
{
    const struct json *role = json_get(&messages->items[i], "role");
    return role && role->kind == JSON_STRING && str_is(role->s, "assistant");
}

static int add_region(struct chat_scratch *s, uint32_t begin, uint32_t end, struct err *e)
{
    if (begin >= end) return 0;
    struct chat_region *last = s->nregions ? &s->regions[s->nregions - 1] : NULL;
    if (last && begin <= last->end) {
        if (end > last->end) last->end = end;
        return 0;
    }
    if (mem_grow(&s->regions, &s->cap, s->nregions + 1, sizeof *s->regions, e) < 0) return -1;
    s->regions[s->nregions++] = (struct chat_region){begin, end};
    return 0;
}

/* ---- where a turn begins ---- */

/* After the last occurrence of the generation prompt between the message before and the turn. */
static uint32_t after_head(const struct turn *t, struct str text, struct str head)
{
    if (!head.n || t->begin - t->before < head.n) return t->begin;
    for (uint32_t at = t->begin - (uint32_t)head.n + 1; at-- > t->before;)
        if (memcmp(text.p + at, head.p, head.n) == 0) return at + (uint32_t)head.n;
    return t->begin;
}

/* A template may cut the head off the content ("<think>") and write it again itself: these bytes
 * are the message's all the same. White space alone is not such a head. */
static uint32_t rewritten_head(const struct turn *t, struct str text, const struct json *message)
{
    const struct json *c = json_get(message, "content");
    size_t from, to;
    if (!c || c->kind != JSON_STRING || !t->head_content || !t->offset) return t->begin;
    if (t->offset > c->s.n || t->begin - t->before < t->offset) return t->begin;
    struct jstr head = {.p = c->s.p, .n = t->offset};
    jstr_strip(&head, NULL, true, true, &from, &to);
    if (from == to || memcmp(text.p + t->begin - t->offset, head.p, head.n) != 0) return t->begin;
    return t->begin - t->offset;
}

/* ---- where it ends ---- */
static bool is_space(struct str text, uint32_t begin, uint32_t end)
{
    struct jstr s = {.p = text.p + begin, .n = end - begin};
    size_t from, to;
    jstr_strip(&s, NULL, true, false, &from, &to);
    return from == s.n;
}

static bool ends_turn(const struct chat *c, uint32_t id)
{
    return tokenizer_is_special(c->t.tok, id) || (c->has_eos && id == c->eos);
}

/* Special tokens that follow one another without a gap end the turn together when EOS is among
 * them. */
static uint32_t through_eos(const struct chat *c, const struct token_list *l, uint32_t at,
                            uint32_t limit)
{
    for (uint32_t k = at; c->has_eos; k++) {
        if (l->ids[k] == c->eos) return k;
        if (k + 1 == l->n || l->begin[k + 1] != l->end[k] || l->begin[k + 1] >= limit ||
            !ends_turn(c, l->ids[k + 1]))
            break;
    }
    return at;
}

static uint32_t first_token(const struct token_list *l, uint32_t byte)
{
    uint32_t lo = 0, hi = (uint32_t)l->n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (l->begin[mid] < byte)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* The token that ends the turn, UINT32_MAX when there is none; *gap: template text that is not the
 * turn's stands before it. */
static uint32_t end_token(const struct chat *c, const struct token_list *l, const struct turn *t,
                          struct str text, bool *gap)
{
    uint32_t added = UINT32_MAX;
    *gap = false;
    for (uint32_t k = first_token(l, t->end); k < l->n && l->begin[k] < t->limit; k++) {
        if (ends_turn(c, l->ids[k])) return through_eos(c, l, k, t->limit);
        if (!t->tail_content || is_space(text, l->begin[k], l->end[k])) continue;
        if (!*gap && tokenizer_is_added(c->t.tok, l->ids[k])) added = k;
        *gap = true;
    }
    *gap = false;
    return added;
}

static int add_turn(const struct chat *c, struct chat_scratch *s, const struct json *messages,
                    struct str head, const struct turn *t, const struct chat_sample *out,
                    struct err *e)
{
    struct str text = {out->rendering.text.data, out->rendering.text.len};
    const struct token_list *l = &out->tokens;
    bool gap;
    uint32_t stop = end_token(c, l, t, text, &gap);
    if (mem_grow(&s->stops, &s->stopcap, s->nstops + 1, sizeof *s->stops, e) < 0) return -1;
    s->stops[s->nstops++] = stop;
    if (out->rendering.has_generation) return 0;
    uint32_t begin = t->mixed ? after_head(t, text, head)
                              : rewritten_head(t, text, &messages->items[t->message]);
    if (stop == UINT32_MAX) return add_region(s, begin, t->end, e);
    if (!gap) return add_region(s, begin, l->end[stop], e);
    if (add_region(s, begin, t->end, e) < 0) return -1;
    return add_region(s, l->begin[stop], l->end[stop], e);
}

/* Reads one turn that begins at span *i; *i is left after it. */
static struct turn read_turn(const struct chat_rendering *r, size_t *i, uint32_t before)
{
    const struct chat_span *k = &r->spans[*i];
    struct turn t = {.message = k->message,
                     .begin = k->begin,
                     .before = before,
                     .limit = (uint32_t)r->text.len,
                     .offset = k->offset,
                     .head_content = k->content};
    for (; *i < r->nspans; ++*i) {
        k = &r->spans[*i];
        if (k->origin == CHAT_LITERAL) continue;
        if (k->message != t.message) {
            t.limit = k->begin;
            break;
        }
        if (k->role) continue;
        t.end = k->end;
        t.tail_content = k->content;
        t.mixed |= !k->content;
    }
    return t;
}

static int generation_regions(struct chat_scratch *s, const struct chat_rendering *r, struct err *e)
{
    for (size_t i = 0; i < r->nspans; i++)
        if (r->spans[i].generation && add_region(s, r->spans[i].begin, r->spans[i].end, e) < 0)
            return -1;
    return 0;
}

int chat_mask(const struct chat *c, struct chat_scratch *s, const struct json *messages,
              struct str head, const struct chat_sample *out, struct err *e)
{
    const struct chat_rendering *r = &out->rendering;
    uint32_t before = 0;
    s->nregions = s->nstops = 0;
    if (r->has_generation && generation_regions(s, r, e) < 0) return -1;
    for (size_t i = 0; i < r->nspans;) {
        const struct chat_span *k = &r->spans[i];
        if (k->origin == CHAT_LITERAL || k->role || !is_assistant(messages, k->message)) {
            if (k->origin == CHAT_MESSAGE && !k->role) before = k->end;
            i++;
            continue;
        }
        struct turn t = read_turn(r, &i, before);
        if (add_turn(c, s, messages, head, &t, out, e) < 0) return -1;
        before = t.end;
    }
    return 0;
}
