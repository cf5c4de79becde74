/* SPDX-License-Identifier: Apache-2.0 */
/* One sample: renders the conversation, tokenizes the whole text and weighs each token. */
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
    arena_free(&s->prompt);
    mem_free(s->sources.v);
    mem_free(s->prompt_sources.v);
    token_list_free(&s->prompt_tokens);
    mem_free(s->regions);
    mem_free(s->turns);
    buf_free(&s->other_prompt);
    mem_free(s);
}

void chat_sample_free(struct chat_sample *s)
{
    token_list_free(&s->tokens);
    mem_free(s->runs);
    chat_rendering_free(&s->rendering);
    *s = (struct chat_sample){0};
}

/* Removes one newline from the end of the text, as ROLL does. */
static void drop_newline(struct chat_rendering *r)
{
    if (!r->text.len || r->text.data[r->text.len - 1] != '\n') return;
    r->text.data[--r->text.len] = 0;
    struct chat_span *last = &r->spans[r->nspans - 1];
    if (--last->end == last->begin) r->nspans--;
}

/* Renders in one way. 1; 0: the template fails with the conversation in this form, which *e then
 * tells, or prints an object as Python prints a dict; -1: another error. */
static int try_form(const struct chat *c, struct chat_scratch *s,
                    const struct chat_conversation *conv, const struct jstr **text, struct err *e)
{
    *e = (struct err){0};
    if (!chat_template_render(&c->t, &s->arena, conv, false, &s->sources, text, e))
        return !s->sources.printed;
    return e->code == ERR_DATA ? 0 : -1;
}

/* Renders with arguments of calls decoded and contents of parts as lists, as transformers does; and
 * in other forms where the template fails with that or prints such an object: it expects text then.
 * conv tells the form. Where no form is better, the first one counts. */
static int render_text(const struct chat *c, struct chat_scratch *s, struct chat_conversation *conv,
                       const struct jstr **text, struct err *e)
{
    struct err refused;
    int rc = try_form(c, s, conv, text, &refused);
    const bool decoded = s->sources.decoded, parted = s->sources.parted;
    for (int form = 1; rc == 0 && form < 4; form++) {
        if ((form & 1 && !parted) || (form & 2 && !decoded)) continue;
        conv->join_parts = form & 1;
        conv->keep_arguments = form & 2;
        rc = try_form(c, s, conv, text, &refused);
    }
    if (rc > 0) return 0;
    if (rc < 0) return err_set(e, refused.code, "%s", refused.msg);
    conv->join_parts = conv->keep_arguments = false;
    return chat_template_render(&c->t, &s->arena, conv, false, &s->sources, text, e);
}

static int render(const struct chat *c, struct chat_scratch *s, struct chat_conversation *conv,
                  struct chat_sample *out, struct err *e)
{
    struct chat_rendering *r = &out->rendering;
    const struct jstr *text;
    if (render_text(c, s, conv, &text, e)) return -1;
    buf_reset(&r->text);
    buf_add(&r->text, text->p, text->n);
    r->has_generation = jinja_has_generation(chat_template_for(&c->t, conv, e));
    if (buf_check(&r->text, e) || chat_spans(text, &s->sources, r, e)) return -1;
    if (c->mask == CHAT_MASK_ROLL) drop_newline(r);
    out->facts.decoded = s->sources.decoded;
    out->facts.joined = conv->join_parts ? s->sources.parted : 0;
    chat_count_omitted(conv, &s->sources, &out->facts);
    return 0;
}

/* Returns the number of messages without a final assistant message that is empty: ROLL omits it. */
static size_t roll_messages(const struct chat_conversation *conv)
{
    size_t n = conv->nmessages;
    const struct chat_message *last = n > 1 ? &conv->messages[n - 1] : NULL;
    return n - (last && chat_is_assistant(last) && last->content.p && !last->content.n);
}

/* Sets *n to the number of tokens that ROLL counts as the prompt: the messages before the last
 * assistant message, rendered with the generation prompt. */
static int roll_prompt(const struct chat *c, struct chat_scratch *s,
                       const struct chat_conversation *conv, size_t *n, struct err *e)
{
    struct chat_conversation part = *conv;
    const struct jstr *text;
    for (size_t i = conv->nmessages; i-- > 0;) {
        if (!chat_is_assistant(&conv->messages[i])) continue;
        part.nmessages = i;
        break;
    }
    if (!part.nmessages)
        return err_set(e, ERR_DATA, "mask roll: there is no message before the assistant's");
    arena_reset(&s->prompt);
    if (chat_template_render(&c->t, &s->prompt, &part, true, &s->prompt_sources, &text, e) ||
        tokenizer_encode(c->t.tok, s->tok, jstr_str(text), &s->prompt_tokens, e))
        return -1;
    *n = s->prompt_tokens.n;
    return 0;
}

/* ---- runs ---- */
struct origin {
    int32_t message;
    uint32_t offset; /* of the first byte of the token */
};

static int add_token(struct chat_sample *out, float weight, struct origin o, bool joins,
                     struct err *e)
{
    struct stream_run *last = out->nruns ? &out->runs[out->nruns - 1] : NULL;
    out->facts.trained += weight > 0;
    if (joins && last && last->weight == weight && last->message == o.message) {
        last->n++;
        return 0;
    }
    if (mem_grow(&out->runs, &out->cap, out->nruns + 1, sizeof *out->runs, e)) return -1;
    out->runs[out->nruns++] = (struct stream_run){1, weight, o.message, o.offset};
    return 0;
}

static struct origin origin_of(const struct chat_span *from, uint32_t begin)
{
    struct origin o = {.message = -1};
    if (from->message < 0 || begin < from->begin || begin >= from->end) return o;
    o.message = from->message;
    if (from->part == CHAT_CONTENT) o.offset = from->offset + (begin - from->begin);
    return o;
}

/* Gives each token the weight of the region that contains it, else 0; by ROLL's rule, which `roll`
 * chooses, 1 to the tokens after the first `prompt`. */
static int weigh(const struct chat_scratch *s, bool roll, size_t prompt, struct chat_sample *out,
                 struct err *e)
{
    const struct token_list *l = &out->tokens;
    const struct chat_rendering *r = &out->rendering;
    size_t region = 0, span = 0, last_span = SIZE_MAX;
    for (size_t i = 0; i < l->n; i++) {
        uint32_t begin = l->begin[i], end = l->end[i];
        while (region < s->nregions && s->regions[region].end <= begin) region++;
        const struct chat_region *k = region < s->nregions ? &s->regions[region] : NULL;
        bool touches = k && k->begin < end, inside = touches && k->begin <= begin && end <= k->end;
        float weight = roll ? i >= prompt : inside ? k->weight : 0;
        out->facts.straddling += touches && !inside;
        while (span + 1 < r->nspans && r->spans[span].end <= begin) span++;
        struct origin o = origin_of(&r->spans[span], begin);
        /* A run stays in one span, since its offset holds for the first token only; template text
         * has no offset. */
        bool joins = o.message < 0 || span == last_span;
        if (add_token(out, weight, o, joins, e)) return -1;
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
                        const struct chat_conversation *conv, struct chat_sample *out)
{
    const struct token_list *l = &out->tokens;
    struct chat_facts *f = &out->facts;
    f->tokens = (uint32_t)l->n;
    for (size_t i = 0; i < conv->nmessages; i++) f->turns += chat_is_assistant(&conv->messages[i]);
    for (size_t i = 0; i < s->nturns; i++)
        f->stops += s->turns[i].stop != CHAT_NO_STOP && trained_at(out, s->turns[i].stop);
    f->bos_doubled = c->has_bos && l->n > 1 && l->ids[0] == c->bos && l->ids[1] == c->bos;
}

/* Counts messages that set a weight without effect: ROLL's rule ignores weights, and only assistant
 * messages are trained. */
static int count_unheeded(const struct chat *c, const struct chat_conversation *conv,
                          struct chat_facts *f, struct err *e)
{
    for (size_t i = 0; i < conv->nmessages; i++) {
        float weight;
        bool said, assistant = chat_is_assistant(&conv->messages[i]);
        if (chat_weight(&conv->messages[i], &weight, &said, e))
            return err_prefix(e, "message %zu", i);
        float given = chat_is_plain(conv)         ? weight
                      : !assistant                ? 0
                      : c->mask == CHAT_MASK_ROLL ? 1
                                                  : weight;
        f->unheeded += said && weight != given;
    }
    return 0;
}

static int make_sample(const struct chat *c, struct chat_scratch *s, struct chat_conversation *conv,
                       struct chat_sample *out, struct err *e)
{
    struct chat_rendering *r = &out->rendering;
    size_t prompt = 0;
    bool roll = c->mask == CHAT_MASK_ROLL;
    if (!conv->nmessages) return err_set(e, ERR_DATA, "the conversation has no message");
    if (chat_is_plain(conv))
        return chat_plain(c, s, conv, out, e) ? -1 : weigh(s, false, 0, out, e);
    if (render(c, s, conv, out, e)) return -1;
    struct str text = {r->text.data ? r->text.data : "", r->text.len};
    if (tokenizer_encode(c->t.tok, s->tok, text, &out->tokens, e) ||
        chat_turns(c, s, conv, out, e) || chat_mask(c, s, conv, out, e))
        return -1;
    if (roll && roll_prompt(c, s, conv, &prompt, e)) return -1;
    return weigh(s, roll, prompt, out, e);
}

int chat_sample(const struct chat *c, struct chat_scratch *s, const struct chat_conversation *conv,
                struct chat_sample *out, struct err *e)
{
    struct chat_conversation kept = *conv;
    if (c->mask == CHAT_MASK_ROLL) kept.nmessages = roll_messages(conv);
    arena_reset(&s->arena);
    s->has_other_prompt = false;
    s->steps = 0;
    out->nruns = 0;
    out->facts = (struct chat_facts){0};
    if (make_sample(c, s, &kept, out, e) || count_unheeded(c, conv, &out->facts, e)) return -1;
    count_turns(c, s, conv, out);
    return 0;
}
