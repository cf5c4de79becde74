/* SPDX-License-Identifier: Apache-2.0 */
/* One sample: the conversation rendered, tokenized as a whole, and each token weighed. */
#include <string.h>

#include "chat/chat_impl.h"

struct chat_scratch *chat_scratch_new(const struct chat *c, struct err *e)
{
    struct chat_scratch *s = mem_alloc(1, sizeof *s, e);
    if (!s) return NULL;
    if ((s->tok = tokenizer_scratch_new(c->t.tok, e))) return s;
    mem_free(s);
    return NULL;
}

void chat_scratch_free(struct chat_scratch *s)
{
    if (!s) return;
    tokenizer_scratch_free(s->tok);
    arena_free(&s->arena);
    token_list_free(&s->prompt);
    mem_free(s->regions);
    mem_free(s->stops);
    mem_free(s);
}

void chat_sample_free(struct chat_sample *s)
{
    token_list_free(&s->tokens);
    mem_free(s->runs);
    chat_rendering_free(&s->rendering);
    *s = (struct chat_sample){0};
}

/* ROLL drops one newline from the end of the text. */
static void drop_newline(struct chat_rendering *r)
{
    if (!r->text.len || r->text.data[r->text.len - 1] != '\n') return;
    r->text.data[--r->text.len] = 0;
    struct chat_span *last = &r->spans[r->nspans - 1];
    if (--last->end == last->begin) r->nspans--;
}

static int render(const struct chat *c, struct chat_scratch *s, const struct json *messages,
                  const struct json *tools, struct chat_rendering *r, struct err *e)
{
    const struct jstr *text;
    if (chat_template_render(&c->t, &s->arena, messages, tools, false, &text, e) < 0) return -1;
    buf_reset(&r->text);
    buf_add(&r->text, text->p, text->n);
    r->has_generation = jinja_has_generation(c->t.jinja);
    if (buf_check(&r->text, e) < 0 || chat_spans(text, r, e) < 0) return -1;
    if (c->mask_roll) drop_newline(r);
    return 0;
}

/* The text that add_generation_prompt adds, or nothing when it changes what is before it. Only
 * messages with more than content ask for it. */
static int find_head(const struct chat *c, struct chat_scratch *s, const struct json *messages,
                     const struct json *tools, const struct chat_rendering *r, struct str *head,
                     struct err *e)
{
    const struct jstr *text;
    bool mixed = false;
    *head = (struct str){0};
    for (size_t i = 0; i < r->nspans; i++)
        mixed |= r->spans[i].origin == CHAT_MESSAGE && !r->spans[i].content && !r->spans[i].role;
    if (!mixed || r->has_generation || c->mask_roll) return 0;
    if (chat_template_render(&c->t, &s->arena, messages, tools, true, &text, e) < 0) return -1;
    if (text->n > r->text.len && memcmp(text->p, r->text.data, r->text.len) == 0)
        *head = (struct str){text->p + r->text.len, text->n - r->text.len};
    return 0;
}

static bool is_assistant(const struct json *message)
{
    const struct json *role = json_get(message, "role");
    return role && role->kind == JSON_STRING && str_is(role->s, "assistant");
}

/* ROLL gives an empty answer no message at all. */
static struct json roll_messages(const struct json *messages)
{
    struct json m = *messages;
    const struct json *content = NULL;
    if (m.kind == JSON_ARRAY && m.count > 1 && is_assistant(&m.items[m.count - 1]))
        content = json_get(&m.items[m.count - 1], "content");
    if (content && content->kind == JSON_STRING && !content->s.n) m.count--;
    return m;
}

/* The number of tokens that ROLL takes for the prompt: those of what stands before the last
 * assistant message, with the generation prompt. */
static int roll_prompt(const struct chat *c, struct chat_scratch *s, const struct json *messages,
                       const struct json *tools, size_t *n, struct err *e)
{
    struct json before = *messages;
    const struct jstr *text;
    for (size_t i = messages->count; i-- > 0;) {
        if (!is_assistant(&messages->items[i])) continue;
        before.count = i;
        break;
    }
    if (!before.count)
        return err_set(e, ERR_DATA, "mask roll: there is no message before the assistant's");
    if (chat_template_render(&c->t, &s->arena, &before, tools, true, &text, e) < 0 ||
        tokenizer_encode(c->t.tok, s->tok, jstr_str(text), &s->prompt, e) < 0)
        return -1;
    *n = s->prompt.n;
    return 0;
}

/* ---- runs ---- */
struct origin {
    int32_t message;
    uint32_t offset; /* of the token's first byte */
    bool content;
};

static int add_token(struct chat_sample *out, float weight, struct origin o, bool joins,
                     struct err *e)
{
    struct chat_run *last = out->nruns ? &out->runs[out->nruns - 1] : NULL;
    out->trained += weight > 0;
    if (joins && last && last->weight == weight && last->message == o.message) {
        last->n++;
        return 0;
    }
    if (mem_grow(&out->runs, &out->cap, out->nruns + 1, sizeof *out->runs, e) < 0) return -1;
    out->runs[out->nruns++] = (struct chat_run){1, weight, o.message, o.offset};
    return 0;
}

/* Weighs every token: 1 inside a region (or from the prompt's count on, as ROLL does), else 0. */
static int weigh(const struct chat *c, const struct chat_scratch *s, size_t prompt,
                 struct chat_sample *out, struct err *e)
{
    const struct token_list *l = &out->tokens;
    const struct chat_rendering *r = &out->rendering;
    size_t region = 0, span = 0, last_span = SIZE_MAX;
    for (size_t i = 0; i < l->n; i++) {
        uint32_t begin = l->begin[i], end = l->end[i];
        while (region < s->nregions && s->regions[region].end <= begin) region++;
        const struct chat_region *k = region < s->nregions ? &s->regions[region] : NULL;
        bool touches = k && k->begin < end, inside = touches && k->begin <= begin && end <= k->end;
        if (c->mask_roll) inside = i >= prompt;
        out->straddling += touches && !inside && !c->mask_roll;
        while (span + 1 < r->nspans && r->spans[span].end <= begin) span++;
        const struct chat_span *from = &r->spans[span];
        struct origin o = {.message = -1};
        if (from->origin == CHAT_MESSAGE && from->begin <= begin && begin < from->end) {
            o.message = from->message;
            o.content = from->content;
            if (from->content) o.offset = from->offset + (begin - from->begin);
        }
        /* Literal tokens have no place in a message; others must go on in the same span. */
        bool joins = o.message < 0 || span == last_span;
        if (add_token(out, inside ? 1 : 0, o, joins, e) < 0) return -1;
        last_span = span;
    }
    return 0;
}

static bool trained_at(const struct chat_sample *out, uint32_t token)
{
    for (size_t i = 0; i < out->nruns; i++) {
        if (token < out->runs[i].n) return out->runs[i].weight > 0;
        token -= out->runs[i].n;
    }
    return false;
}

static void count_turns(const struct chat *c, const struct chat_scratch *s,
                        const struct json *messages, struct chat_sample *out)
{
    const struct token_list *l = &out->tokens;
    for (size_t i = 0; i < messages->count; i++) out->turns += is_assistant(&messages->items[i]);
    for (size_t i = 0; i < s->nstops; i++)
        out->stops += s->stops[i] != UINT32_MAX && trained_at(out, s->stops[i]);
    if (out->stops > out->turns) out->stops = out->turns; /* a message may be shown twice */
    out->bos_doubled = c->has_bos && l->n > 1 && l->ids[0] == c->bos && l->ids[1] == c->bos;
}

static int make_sample(const struct chat *c, struct chat_scratch *s, const struct json *messages,
                       const struct json *tools, struct chat_sample *out, struct err *e)
{
    struct chat_rendering *r = &out->rendering;
    struct str head, text;
    size_t prompt = 0;
    if (render(c, s, messages, tools, r, e) < 0) return -1;
    text = (struct str){r->text.data ? r->text.data : "", r->text.len};
    if (tokenizer_encode(c->t.tok, s->tok, text, &out->tokens, e) < 0 ||
        find_head(c, s, messages, tools, r, &head, e) < 0 ||
        chat_mask(c, s, messages, head, out, e) < 0)
        return -1;
    if (c->mask_roll && roll_prompt(c, s, messages, tools, &prompt, e) < 0) return -1;
    return weigh(c, s, prompt, out, e);
}

int chat_sample(const struct chat *c, struct chat_scratch *s, const struct json *messages,
                const struct json *tools, struct chat_sample *out, struct err *e)
{
    struct json kept = c->mask_roll ? roll_messages(messages) : *messages;
    arena_reset(&s->arena);
    out->nruns = 0;
    out->trained = out->straddling = out->turns = out->stops = 0;
    if (make_sample(c, s, &kept, tools, out, e) < 0) return -1;
    count_turns(c, s, messages, out);
    return 0;
}
