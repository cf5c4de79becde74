/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a turn: the token that the model stops with.
 *
 * The stop is a special token in the template text behind the last piece of the message, but a call
 * or a quotation may be closed by special tokens, too. A run of special tokens that reaches EOS is
 * the end. Without such a run, the closing decides: the text that the template writes for the
 * message itself, which a rendering of the conversation up to this message shows. The special
 * tokens that only white space follows in the closing end the turn. Where the closing has none, as
 * in templates whose turns end with the token that opens the next one, the token behind the closing
 * ends it. */
#include <string.h>

#include "chat/chat_impl.h"

static bool is_special(const struct chat *c, uint32_t id)
{
    return tokenizer_is_special(c->t.tok, id) || (c->has_eos && id == c->eos);
}

static bool is_eos(const struct chat *c, uint32_t id) { return c->has_eos && id == c->eos; }

static bool is_blank_token(const struct chat_sample *out, uint32_t k)
{
    const struct token_list *l = &out->tokens;
    return chat_is_blank(
        (struct str){out->rendering.text.data + l->begin[k], l->end[k] - l->begin[k]});
}

/* Returns the first special token between the turn's last piece and the next message, or l->n. */
static uint32_t first_special(const struct chat *c, const struct token_list *l,
                              const struct chat_turn *t)
{
    uint32_t k = chat_token_at(l, t->end);
    while (k < l->n && l->begin[k] < t->limit && !is_special(c, l->ids[k])) k++;
    return k < l->n && l->begin[k] < t->limit ? k : (uint32_t)l->n;
}

/* Returns the last token of the run of special tokens from k on that ends by byte `limit`, or the
 * first EOS in it. */
static uint32_t run_end(const struct chat *c, const struct token_list *l, uint32_t k,
                        uint32_t limit)
{
    while (!is_eos(c, l->ids[k]) && k + 1 < l->n && l->begin[k + 1] == l->end[k] &&
           l->end[k + 1] <= limit && is_special(c, l->ids[k + 1]))
        k++;
    return k;
}

/* True when special token k, of a run without EOS, need not be the end: it may close a call, or
 * more special tokens follow. */
static bool is_doubtful(const struct chat *c, const struct chat_turn *t,
                        const struct chat_sample *out, uint32_t k)
{
    const struct token_list *l = &out->tokens;
    if (out->rendering.spans[t->last].part != CHAT_CONTENT) return true;
    bool run = k + 1 < l->n && l->begin[k + 1] == l->end[k] && is_special(c, l->ids[k + 1]);
    if (run && l->begin[k + 1] < t->limit) return true;
    while (++k < l->n && l->begin[k] < t->limit)
        if (is_eos(c, l->ids[k])) return true;
    return false;
}

/* ---- the closing ---- */
/* Sets *to to the end of the closing. 1; 0 when it cannot be rendered, and *to is the end of the
 * last piece; -1. */
static int find_closing(const struct chat *c, struct chat_scratch *s,
                        const struct chat_conversation *conv, const struct chat_turn *t,
                        const struct chat_sample *out, uint32_t *to, struct err *e)
{
    size_t n = (size_t)t->message + 1;
    bool last = n == conv->nmessages;
    struct chat_prompt p;
    *to = t->end;
    arena_reset(&s->prompt);
    /* A template may close the last message in another way than one that others follow. */
    int rc = chat_prompt_render(c, s, conv, n, last, out->rendering.spans[t->last].source, &p, e);
    if (rc <= 0 || !p.tail) return rc < 0 ? -1 : 0;
    const struct buf *text = &out->rendering.text;
    uint32_t limit = t->limit - t->end, k = 0;
    while (k < limit && p.tail + k < p.text.n && text->data[t->end + k] == p.text.p[p.tail + k])
        k++;
    *to += k;
    return 1;
}

/* Tells which tokens may end a turn. */
typedef bool ends_fn(const struct chat *c, uint32_t id);

/* Returns the stop in or right behind the closing, which ends at byte `to`; the number of tokens:
 * there is none. */
static uint32_t end_in_closing(const struct chat *c, const struct chat_turn *t,
                               const struct chat_sample *out, uint32_t to, ends_fn *ends)
{
    const struct token_list *l = &out->tokens;
    uint32_t none = (uint32_t)l->n, first = none, k = chat_token_at(l, t->end);
    for (; k < l->n && l->end[k] <= to; k++) {
        if (first != none && is_eos(c, l->ids[k])) return k;
        if (ends(c, l->ids[k]))
            first = first == none ? k : first;
        else if (!is_blank_token(out, k))
            first = none;
    }
    if (first != none) return run_end(c, l, first, to);
    while (k < l->n && l->begin[k] < t->limit && !ends(c, l->ids[k]) && is_blank_token(out, k)) k++;
    return k < l->n && l->begin[k] < t->limit && ends(c, l->ids[k]) ? k : none;
}

static bool is_added(const struct chat *c, uint32_t id) { return tokenizer_is_added(c->t.tok, id); }

/* Returns the end of the closing without white space, extended to the end of a token that crosses
 * it. */
static uint32_t closing_end(const struct chat_turn *t, const struct chat_sample *out, uint32_t to)
{
    const struct token_list *l = &out->tokens;
    struct jstr closing = {.p = out->rendering.text.data + t->end, .n = to - t->end};
    size_t from, n;
    jstr_strip(&closing, NULL, false, true, &from, &n);
    uint32_t end = t->end + (uint32_t)n, k = chat_token_at(l, end);
    return n && k > 0 && l->end[k - 1] > end && l->end[k - 1] <= to ? l->end[k - 1] : end;
}

static void set_end(struct chat_turn *t, const struct chat_sample *out, uint32_t stop, uint32_t to)
{
    const struct token_list *l = &out->tokens;
    if (stop < l->n) t->stop = stop;
    t->until = stop < l->n ? l->end[stop] : closing_end(t, out, to);
}

/* Finds the end in the text alone. False: the closing has to decide. ROLL's mask and {% generation
 * %} do not need the exact end, so the result is always true for them. */
static bool end_by_text(const struct chat *c, const struct chat_sample *out, struct chat_turn *t,
                        uint32_t k)
{
    const struct token_list *l = &out->tokens;
    bool rough = c->mask == CHAT_MASK_ROLL || out->rendering.has_generation;
    uint32_t none = (uint32_t)l->n, end = k < none ? run_end(c, l, k, t->limit) : none;
    if (k == none) {
        bool blank =
            chat_is_blank((struct str){out->rendering.text.data + t->end, t->limit - t->end});
        if (!rough && !blank) return false;
        if (rough) end = end_in_closing(c, t, out, t->end, is_added);
    } else if (!is_eos(c, l->ids[end])) {
        if (!rough && is_doubtful(c, t, out, k)) return false;
        end = k;
    }
    set_end(t, out, end, t->end);
    return true;
}

int chat_turn_end(const struct chat *c, struct chat_scratch *s,
                  const struct chat_conversation *conv, const struct chat_sample *out,
                  struct chat_turn *t, struct err *e)
{
    uint32_t none = (uint32_t)out->tokens.n, k = first_special(c, &out->tokens, t), end, to;
    if (end_by_text(c, out, t, k)) return 0;
    int known = find_closing(c, s, conv, t, out, &to, e);
    if (known < 0) return -1;
    end = end_in_closing(c, t, out, to, is_special);
    if (end == none && !known) end = k;
    if (end == none) end = end_in_closing(c, t, out, to, is_added);
    set_end(t, out, end, to);
    return 0;
}
