/* SPDX-License-Identifier: Apache-2.0 */
/* The head of a turn: what the model finds written when its turn begins, and need not write.
 *
 * The messages before the turn, rendered with add_generation_prompt, are what the model sees. Their
 * text behind the last message's last byte (how that message ends, then the generation prompt) is
 * compared with the text that stands at the same place in the whole rendering; the head is as far
 * as both have the same tokens. Only this tail is compared, for a template may render the messages
 * before it in another way when more follow them (earlier thoughts are left out, say). */
#include <string.h>

#include "chat/chat_impl.h"

struct prompt {
    struct str text;
    uint32_t tail; /* where what the messages say ends */
};

/* The end of the last piece of a message. */
static uint32_t said_end(const struct jstr *s, struct chat_sources *sources)
{
    uint32_t end = 0;
    for (uint32_t i = 0; i < s->nspans; i++) {
        const struct jspan *k = &s->spans[i];
        struct chat_source *from = k->source ? &sources->v[k->source - 1] : NULL;
        if (!from || from->message < 0 || from->part == CHAT_ROLE) continue;
        if (k->offset >= from->shown) end = k->end;
        if (k->offset >= from->shown) from->shown = k->offset + 1;
    }
    return end;
}

/* Renders the first n messages. 1, 0 when the template refuses them, -1. */
static int render(const struct chat *c, struct chat_scratch *s,
                  const struct chat_conversation *conv, size_t n, bool generation_prompt,
                  struct prompt *p, struct err *e)
{
    struct json first = *conv->messages;
    struct chat_conversation part = *conv;
    struct err refused = {0};
    const struct jstr *text;
    first.count = n;
    part.messages = &first;
    if (chat_template_render(&c->t, &s->prompt, &part, generation_prompt, &s->prompt_sources, &text,
                             &refused) < 0) {
        if (refused.code == ERR_DATA) return 0;
        *e = refused;
        return -1;
    }
    p->text = jstr_str(text);
    p->tail = said_end(text, &s->prompt_sources);
    return 1;
}

static uint32_t common(struct str a, struct str b)
{
    uint32_t n = 0;
    while (n < a.n && n < b.n && a.p[n] == b.p[n]) n++;
    return n;
}

static struct str from(struct str s, size_t at) { return (struct str){s.p + at, s.n - at}; }

/* ---- tokens ---- */
/* The last added token of the rendering within bytes [begin, end): text is cut there whatever
 * stands around it. SIZE_MAX: none. */
static size_t last_added(const struct chat *c, const struct token_list *l, uint32_t begin,
                         uint32_t end)
{
    size_t found = SIZE_MAX;
    for (uint32_t k = chat_token_at(l, begin); k < l->n && l->end[k] <= end; k++)
        if (tokenizer_is_added(c->t.tok, l->ids[k])) found = k;
    return found;
}

/* The rendering and the prompt have the same bytes from `at` and p.tail + (at - begin) on, up to
 * `end` in the rendering. Sets *head to where their tokens part. */
static int shared_tokens(const struct chat *c, struct chat_scratch *s, const struct token_list *l,
                         struct prompt p, uint32_t begin, uint32_t end, uint32_t *head,
                         struct err *e)
{
    struct token_list *q = &s->prompt_tokens;
    size_t added = last_added(c, l, begin, end);
    uint32_t base = added == SIZE_MAX ? 0 : p.tail + (l->begin[added] - begin);
    uint32_t k = added == SIZE_MAX ? chat_token_at(l, begin) : (uint32_t)added;
    if (tokenizer_encode(c->t.tok, s->tok, from(p.text, base), q, e) < 0) return -1;
    *head = end;
    for (; k < l->n && l->begin[k] < end; k++) {
        uint32_t i = chat_token_at(q, p.tail + (l->begin[k] - begin) - base);
        bool same = i < q->n && q->ids[i] == l->ids[k] && l->end[k] <= end &&
                    base + q->begin[i] == p.tail + (l->begin[k] - begin);
        if (same) continue;
        *head = l->begin[k];
        break;
    }
    return 0;
}

/* ---- a prompt that does not continue what is before the turn ---- */
/* The place in text[begin, end) where the longest beginning of the prompt stands; the later one of
 * two. *n: its length, 0 when not a byte fits. */
static uint32_t find_prompt(struct str text, uint32_t begin, uint32_t end, struct str prompt,
                            uint32_t *n)
{
    uint32_t best = end;
    *n = 0;
    for (uint32_t at = begin; at < end; at++) {
        uint32_t k = text.p[at] == prompt.p[0] ? common(from(text, at), prompt) : 0;
        if (k && k >= *n) {
            best = at;
            *n = k;
        }
    }
    return best;
}

/* The prompt alone, from the text with it and the text without it. */
static bool alone(struct prompt with, struct prompt without, struct prompt *out)
{
    if (common(with.text, without.text) < without.text.n) return false;
    *out = (struct prompt){with.text, (uint32_t)without.text.n};
    return with.text.n > without.text.n;
}

static int search_head(const struct chat *c, struct chat_scratch *s, const struct chat_turn *t,
                       const struct chat_sample *out, struct prompt p, uint32_t *head, bool *found,
                       struct err *e)
{
    struct str text = {out->rendering.text.data, out->rendering.text.len};
    uint32_t n, at = find_prompt(text, t->before, t->begin, from(p.text, p.tail), &n);
    *found = n > 0;
    return n ? shared_tokens(c, s, &out->tokens, p, at, at + n, head, e) : 0;
}

/* From the messages before the turn. */
static int head_in_context(const struct chat *c, struct chat_scratch *s,
                           const struct chat_conversation *conv, const struct chat_turn *t,
                           const struct chat_sample *out, uint32_t *head, bool *found,
                           struct err *e)
{
    struct str text = {out->rendering.text.data, out->rendering.text.len};
    struct prompt with, without, p;
    int rc = render(c, s, conv, (size_t)t->message, true, &with, e);
    if (rc <= 0) return rc;
    uint32_t n = common(from(text, t->before), from(with.text, with.tail));
    *found = with.tail + n == with.text.n;
    if (!*found) { /* the turn goes on in another way than the prompt */
        rc = render(c, s, conv, (size_t)t->message, false, &without, e);
        if (rc <= 0 || !alone(with, without, &p)) return rc;
        *found = with.tail + n >= p.tail;
    }
    if (!*found) return search_head(c, s, t, out, p, head, found, e);
    return shared_tokens(c, s, &out->tokens, with, t->before, t->before + n, head, e);
}

/* From the whole conversation, where the template refuses the messages before the turn. */
static int head_at_end(const struct chat *c, struct chat_scratch *s,
                       const struct chat_conversation *conv, const struct chat_turn *t,
                       const struct chat_sample *out, uint32_t *head, bool *found, struct err *e)
{
    size_t n = conv->messages->count;
    struct prompt with, without, p;
    int rc = render(c, s, conv, n, true, &with, e);
    if (rc > 0) rc = render(c, s, conv, n, false, &without, e);
    if (rc <= 0 || !alone(with, without, &p)) return rc;
    return search_head(c, s, t, out, p, head, found, e);
}

int chat_head(const struct chat *c, struct chat_scratch *s, const struct chat_conversation *conv,
              const struct chat_turn *t, const struct chat_sample *out, uint32_t *head, bool *found,
              struct err *e)
{
    *found = false;
    *head = t->begin;
    arena_reset(&s->prompt);
    if (head_in_context(c, s, conv, t, out, head, found, e) < 0) return -1;
    return *found ? 0 : head_at_end(c, s, conv, t, out, head, found, e) < 0 ? -1 : 0;
}
