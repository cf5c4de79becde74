/* SPDX-License-Identifier: Apache-2.0 */
/* The head of a turn: the text that is given to the model when its turn begins.
 *
 * At inference the model is given the messages before the turn, rendered with
 * add_generation_prompt. The tail of this rendering, behind the last byte of the last message,
 * holds the end of that message and the generation prompt. The head is the run of tokens that this
 * tail and the whole rendering share at the same place. The text before the tail is not compared: a
 * template may render earlier messages in another way when more messages follow (and omit earlier
 * thoughts, say). */
#include <string.h>

#include "chat/chat_impl.h"

/* Returns the end of the last piece of string `source`, or of any message where source is 0. */
static uint32_t last_piece_end(const struct jstr *s, struct chat_sources *sources, uint32_t source)
{
    uint32_t end = 0;
    for (uint32_t i = 0; i < s->nspans; i++) {
        const struct jspan *k = &s->spans[i];
        struct chat_source *from = k->source ? &sources->v[k->source - 1] : NULL;
        if (!from || from->message < 0 || from->part == CHAT_ROLE) continue;
        if (k->offset < from->shown || (source && k->source != source)) continue;
        from->shown = k->offset + 1;
        end = k->end;
    }
    return end;
}

int chat_prompt_render(const struct chat *c, struct chat_scratch *s,
                       const struct chat_conversation *conv, size_t n, bool generation_prompt,
                       uint32_t source, struct chat_prompt *p, struct err *e)
{
    struct chat_conversation part = *conv;
    struct err refused = {0};
    const struct jstr *text;
    part.nmessages = n;
    if (s->steps > CHAT_MAX_STEPS)
        return err_set(e, ERR_DATA,
                       "the conversation has too many turns: the messages before each are rendered "
                       "to find its generation prompt; divide it, or use --mask content");
    s->prompt_sources.steps = 0;
    int rc = chat_template_render(&c->t, &s->prompt, &part, generation_prompt, &s->prompt_sources,
                                  &text, &refused);
    s->steps += s->prompt_sources.steps + n;
    if (rc && refused.code != ERR_DATA) return err_set(e, refused.code, "%s", refused.msg);
    if (rc) return 0;
    p->text = jstr_str(text);
    p->tail = last_piece_end(text, &s->prompt_sources, source);
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
/* The search for the head of one turn, and its result. */
struct search {
    const struct chat_turn *t;
    const struct chat_sample *out;
    struct str text;
    uint32_t head;
    bool found;
};

/* The rendering from `begin` to `end` has the same bytes as the prompt from p.tail on. Returns a
 * byte of the rendering from which both can be tokenized on their own: the last added token before
 * `end` that both have, since the tokenizer cuts the text at added tokens. UINT32_MAX: there is
 * none. */
static uint32_t cut_before(const struct chat *c, const struct search *k, struct chat_prompt p,
                           uint32_t begin, uint32_t end)
{
    const struct token_list *l = &k->out->tokens;
    uint32_t i = chat_token_at(l, end);
    while (i-- > 0)
        if (l->end[i] <= end && tokenizer_is_added(c->t.tok, l->ids[i])) break;
    if (i == UINT32_MAX || l->begin[i] >= begin) return i == UINT32_MAX ? i : l->begin[i];
    uint32_t back = begin - l->begin[i];
    bool same =
        back <= p.tail && memcmp(k->text.p + l->begin[i], p.text.p + (p.tail - back), back) == 0;
    return same ? l->begin[i] : UINT32_MAX;
}

/* Sets *head to the first byte at which the tokens of rendering and prompt differ. The bytes are
 * the same from `begin` and p.tail on, up to `end` in the rendering. */
static int shared_tokens(const struct chat *c, struct chat_scratch *s, const struct search *k,
                         struct chat_prompt p, uint32_t begin, uint32_t end, uint32_t *head,
                         struct err *e)
{
    const struct token_list *l = &k->out->tokens;
    struct token_list *q = &s->prompt_tokens;
    uint32_t cut = cut_before(c, k, p, begin, end);
    uint32_t base = cut == UINT32_MAX ? 0 : p.tail + cut - begin;
    uint32_t i = chat_token_at(l, cut != UINT32_MAX && cut > begin ? cut : begin);
    s->steps += (p.text.n - base) / 64;
    if (tokenizer_encode(c->t.tok, s->tok, from(p.text, base), q, e)) return -1;
    *head = end;
    for (; i < l->n && l->begin[i] < end; i++) {
        uint32_t at = p.tail + (l->begin[i] - begin) - base, j = chat_token_at(q, at);
        if (j < q->n && q->ids[j] == l->ids[i] && l->end[i] <= end && q->begin[j] == at) continue;
        *head = l->begin[i];
        break;
    }
    return 0;
}

/* ---- the generation prompt ---- */
/* Separates the generation prompt from a rendering with it, given the one without it. False when
 * the template renders the messages in another way without it. */
static bool separate_prompt(struct chat_prompt with, struct chat_prompt without,
                            struct chat_prompt *out)
{
    if (common(with.text, without.text) < without.text.n) return false;
    *out = (struct chat_prompt){with.text, (uint32_t)without.text.n};
    return with.text.n > without.text.n;
}

/* Computes the failure function of Knuth, Morris and Pratt: for each byte of the prompt, the length
 * of its longest proper prefix that ends there. NULL with ERR_MEMORY. */
static uint32_t *borders(struct arena *a, struct str prompt, struct err *e)
{
    uint32_t *border = arena_alloc(a, prompt.n * sizeof *border, e);
    for (uint32_t i = 1, k = 0; border && i < prompt.n; i++) {
        while (k && prompt.p[i] != prompt.p[k]) k = border[k - 1];
        k += prompt.p[i] == prompt.p[k];
        border[i] = k;
    }
    return border;
}

/* Finds the longest prefix of the prompt that begins in text[begin, end), the later one of equals:
 * its offset *at and length *n, 0 when there is none. */
static int find_prompt(struct arena *a, struct str text, uint32_t begin, uint32_t end,
                       struct str prompt, uint32_t *at, uint32_t *n, struct err *e)
{
    uint32_t *border = borders(a, prompt, e), k = 0;
    *n = 0;
    for (uint32_t i = begin; border && i < text.n; i++) {
        if (k == prompt.n) k = border[k - 1];
        while (k && text.p[i] != prompt.p[k]) k = border[k - 1];
        k += text.p[i] == prompt.p[k];
        if (i + 1 - k >= end) break;
        if (!k || k < *n) continue;
        *at = i + 1 - k;
        *n = k;
    }
    return border ? 0 : -1;
}

static int search_head(const struct chat *c, struct chat_scratch *s, struct search *k,
                       struct chat_prompt p, struct err *e)
{
    uint32_t n, head, at = 0;
    struct str prompt = from(p.text, p.tail);
    if (find_prompt(&s->prompt, k->text, k->t->before, k->t->begin, prompt, &at, &n, e)) return -1;
    if (!n) return 0;
    if (shared_tokens(c, s, k, p, at, at + n, &head, e)) return -1;
    k->found = head > at;
    if (k->found) k->head = head;
    return 0;
}

/* ---- the prompt behind the messages before the turn ---- */
static int head_in_context(const struct chat *c, struct chat_scratch *s,
                           const struct chat_conversation *conv, struct search *k, struct err *e)
{
    size_t messages = (size_t)k->t->message;
    struct chat_prompt with, without, p;
    int rc = chat_prompt_render(c, s, conv, messages, true, 0, &with, e);
    if (rc <= 0) return rc;
    uint32_t before = k->t->before, n = common(from(k->text, before), from(with.text, with.tail));
    if (with.tail + n < with.text.n) { /* the turn does not have the whole prompt */
        rc = chat_prompt_render(c, s, conv, messages, false, 0, &without, e);
        if (rc <= 0 || !separate_prompt(with, without, &p)) return rc;
        bool begins = with.tail + n >= p.tail;
        if (with.tail + n <= p.tail && search_head(c, s, k, p, e)) return -1;
        /* Equal bytes do not prove that a turn begins here where it follows no message, or the end
         * of an earlier turn of its message. */
        if (k->found || !begins || !messages || k->t->later) return 0;
    }
    k->found = true;
    return shared_tokens(c, s, k, with, before, before + n, &k->head, e);
}

/* ---- the prompt behind other messages ---- */
/* Sets s->other_prompt to the generation prompt behind as many messages as the template renders
 * both with and without one; empty: there is none. */
static int find_other_prompt(const struct chat *c, struct chat_scratch *s,
                             const struct chat_conversation *conv, struct err *e)
{
    struct chat_prompt with, without, p;
    buf_reset(&s->other_prompt);
    s->has_other_prompt = true;
    for (size_t n = conv->nmessages; n > 0; n--) {
        arena_reset(&s->prompt);
        int rc = chat_prompt_render(c, s, conv, n, true, 0, &with, e);
        if (rc > 0) rc = chat_prompt_render(c, s, conv, n, false, 0, &without, e);
        if (rc < 0) return -1;
        if (!rc || !separate_prompt(with, without, &p)) continue;
        buf_str(&s->other_prompt, from(p.text, p.tail));
        return buf_check(&s->other_prompt, e);
    }
    return 0;
}

static int head_behind_others(const struct chat *c, struct chat_scratch *s,
                              const struct chat_conversation *conv, struct search *k, struct err *e)
{
    if (!s->has_other_prompt && find_other_prompt(c, s, conv, e)) return -1;
    if (!s->other_prompt.len) return 0;
    struct chat_prompt p = {.text = {s->other_prompt.data, s->other_prompt.len}};
    return search_head(c, s, k, p, e);
}

/* True when the turn continues the one before it, which has no end. */
static bool continues_last(const struct chat_scratch *s, const struct chat_turn *t)
{
    const struct chat_turn *last = t > s->turns ? t - 1 : NULL;
    return last && last->stop == CHAT_NO_STOP && last->end == t->before;
}

int chat_head(const struct chat *c, struct chat_scratch *s, const struct chat_conversation *conv,
              const struct chat_turn *t, const struct chat_sample *out, uint32_t *head, bool *found,
              struct err *e)
{
    struct search k = {.t = t,
                       .out = out,
                       .text = {out->rendering.text.data, out->rendering.text.len},
                       .head = t->begin};
    arena_reset(&s->prompt);
    if (head_in_context(c, s, conv, &k, e) < 0) return -1;
    if (!k.found && continues_last(s, t)) {
        k.found = true;
        k.head = t->before;
    }
    if (!k.found && head_behind_others(c, s, conv, &k, e)) return -1;
    *found = k.found;
    *head = k.head;
    return 0;
}
