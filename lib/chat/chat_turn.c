/* SPDX-License-Identifier: Apache-2.0 */
/* The assistant's turns in a rendering, and the token that ends each. */
#include <string.h>

#include "chat/chat_impl.h"

uint32_t chat_token_at(const struct token_list *l, uint32_t byte)
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

/* ---- where a turn ends ---- */
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

static bool is_blank(const char *p, uint32_t n)
{
    struct jstr s = {.p = p, .n = n};
    size_t from, to;
    jstr_strip(&s, NULL, true, false, &from, &to);
    return from == s.n;
}

/* The first special token behind the turn's last piece; where there is none, the first added token
 * that only white space is before. */
static uint32_t find_stop(const struct chat *c, const struct token_list *l, const char *text,
                          const struct chat_turn *t)
{
    uint32_t added = CHAT_NO_STOP;
    bool gap = false;
    for (uint32_t k = chat_token_at(l, t->end); k < l->n && l->begin[k] < t->limit; k++) {
        if (ends_turn(c, l->ids[k])) return through_eos(c, l, k, t->limit);
        if (gap || is_blank(text + l->begin[k], l->end[k] - l->begin[k])) continue;
        if (tokenizer_is_added(c->t.tok, l->ids[k])) added = k;
        gap = true;
    }
    return added;
}

/* ---- the turns ---- */
/* EOS stands between the turn's last piece and `begin`, so that what begins there is not its. */
static bool has_ended(const struct chat *c, const struct token_list *l, const struct chat_turn *t,
                      uint32_t begin)
{
    for (uint32_t k = chat_token_at(l, t->end); k < l->n && l->end[k] <= begin; k++)
        if (c->has_eos && l->ids[k] == c->eos) return true;
    return false;
}

static int begin_turn(struct chat_scratch *s, const struct chat_rendering *r, size_t span,
                      uint32_t before, const struct json *messages, struct err *e)
{
    const struct chat_span *k = &r->spans[span];
    float weight;
    bool said;
    if (chat_weight(&messages->items[k->message], &weight, &said, e) < 0)
        return err_prefix(e, "message %d", (int)k->message);
    if (mem_grow(&s->turns, &s->turncap, s->nturns + 1, sizeof *s->turns, e) < 0) return -1;
    s->turns[s->nturns++] = (struct chat_turn){.message = k->message,
                                               .first = span,
                                               .last = span,
                                               .before = before,
                                               .begin = k->begin,
                                               .end = k->end,
                                               .limit = (uint32_t)r->text.len,
                                               .stop = CHAT_NO_STOP,
                                               .weight = weight};
    return 0;
}

/* A message has one turn. What of it shows up after another message's pieces, or a second time, is
 * template text to the turns. */
int chat_turns(const struct chat *c, struct chat_scratch *s, const struct json *messages,
               struct chat_sample *out, struct err *e)
{
    const struct chat_rendering *r = &out->rendering;
    struct chat_turn *open = NULL;
    int32_t last = -1;
    uint32_t before = 0;
    s->nturns = 0;
    for (size_t i = 0; i < r->nspans; i++) {
        const struct chat_span *k = &r->spans[i];
        if (open && k->part == CHAT_ROLE && k->message != open->message) { /* another's heading */
            open->limit = k->begin;
            open = NULL;
        }
        if (k->message < 0 || k->part == CHAT_ROLE || k->again) continue;
        if (open && k->message == open->message && !has_ended(c, &out->tokens, open, k->begin)) {
            open->last = i;
            before = open->end = k->end;
            continue;
        }
        if (open) open->limit = k->begin;
        open = NULL;
        if (!chat_is_assistant(&messages->items[k->message])) {
            before = k->end;
        } else if (k->message > last) {
            if (begin_turn(s, r, i, before, messages, e) < 0) return -1;
            open = &s->turns[s->nturns - 1];
            last = k->message;
            before = k->end;
        }
    }
    for (size_t i = 0; i < s->nturns; i++)
        s->turns[i].stop = find_stop(c, &out->tokens, r->text.data, &s->turns[i]);
    return 0;
}
