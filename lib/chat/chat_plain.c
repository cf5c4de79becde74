/* SPDX-License-Identifier: Apache-2.0 */
/* Plain text: messages without a role. No template renders it; the texts are joined, the
 * tokenizer's own tokens (BOS) go before them and EOS behind them, as TRL's SFTTrainer does. */
#include <string.h>

#include "chat/chat_impl.h"

bool chat_is_plain(const struct chat_conversation *conv)
{
    return conv->nmessages && !conv->messages[0].role.n;
}

static int put_span(struct chat_rendering *r, uint32_t begin, enum chat_part part, int32_t message,
                    struct err *e)
{
    const struct chat_span s = {begin, (uint32_t)r->text.len, part, message, .source = 0};
    if (s.begin == s.end) return 0;
    if (mem_grow(&r->spans, &r->cap, r->nspans + 1, sizeof *r->spans, e)) return -1;
    r->spans[r->nspans++] = s;
    return 0;
}

static int add_region(struct chat_scratch *s, uint32_t begin, uint32_t end, float weight,
                      struct err *e)
{
    if (begin == end || !(weight > 0)) return 0;
    if (mem_grow(&s->regions, &s->cap, s->nregions + 1, sizeof *s->regions, e)) return -1;
    s->regions[s->nregions++] = (struct chat_region){begin, end, weight};
    return 0;
}

static bool ends_with(struct str s, struct str end)
{
    return s.n >= end.n && memcmp(s.p + s.n - end.n, end.p, end.n) == 0;
}

/* Appends the text of a message and, behind the last one, EOS with that message's weight. */
static int add_text(const struct chat *c, struct chat_scratch *s, const struct chat_message *m,
                    int32_t index, bool last, struct chat_rendering *r, struct err *e)
{
    float weight;
    bool said;
    uint32_t begin = (uint32_t)r->text.len;
    struct str eos = tokenizer_named(c->t.tok, "eos_token");
    if (m->role.n) return err_set(e, ERR_DATA, "has a role, and the first message has none");
    if (chat_weight(m, &weight, &said, e)) return -1;
    if (r->text.len + m->content.n > VM_MAX_OUTPUT)
        return err_set(e, ERR_DATA, "the text is larger than %zu bytes", VM_MAX_OUTPUT);
    buf_str(&r->text, m->content);
    if (put_span(r, begin, CHAT_CONTENT, index, e)) return -1;
    uint32_t end = (uint32_t)r->text.len;
    if (last && eos.n && !ends_with((struct str){r->text.data, r->text.len}, eos))
        buf_str(&r->text, eos);
    if (buf_check(&r->text, e) || put_span(r, end, CHAT_LITERAL, -1, e)) return -1;
    return add_region(s, begin, (uint32_t)r->text.len, weight, e);
}

/* Puts the tokens that the tokenizer adds before a text in front of the list. */
static int add_prefix(const struct chat *c, struct token_list *l, struct err *e)
{
    const uint32_t *ids;
    const size_t n = tokenizer_prefix(c->t.tok, &ids);
    if (n == 0 || (l->n >= n && memcmp(l->ids, ids, n * sizeof *ids) == 0)) return 0;
    return token_list_prepend(l, ids, n, e);
}

int chat_plain(const struct chat *c, struct chat_scratch *s, const struct chat_conversation *conv,
               struct chat_sample *out, struct err *e)
{
    struct chat_rendering *r = &out->rendering;
    buf_reset(&r->text);
    r->nspans = 0;
    r->has_generation = false;
    s->nregions = s->nturns = 0;
    for (size_t i = 0; i < conv->nmessages; i++)
        if (add_text(c, s, &conv->messages[i], (int32_t)i, i + 1 == conv->nmessages, r, e))
            return err_prefix(e, "message %zu", i);
    if (r->nspans == 0) return err_set(e, ERR_DATA, "the text is empty");
    if (tokenizer_encode(c->t.tok, s->tok, (struct str){r->text.data, r->text.len}, &out->tokens,
                         e))
        return -1;
    return add_prefix(c, &out->tokens, e);
}
