/* SPDX-License-Identifier: Apache-2.0 */
/* Finds the assistant turns of a rendering. */
#include <string.h>

#include "chat/chat_impl.h"

/* True when EOS stands between the turn's last piece and `begin`: another turn begins there. */
static bool has_ended(const struct chat *c, const struct token_list *l, const struct chat_turn *t,
                      uint32_t begin)
{
    for (uint32_t k = chat_token_at(l, t->end); k < l->n && l->end[k] <= begin; k++)
        if (c->has_eos && l->ids[k] == c->eos) return true;
    return false;
}

static int begin_turn(struct chat_scratch *s, const struct chat_rendering *r, size_t span,
                      uint32_t before, const struct chat_message *messages, struct err *e)
{
    const struct chat_span *k = &r->spans[span];
    float weight;
    bool said;
    if (chat_weight(&messages[k->message], &weight, &said, e))
        return err_prefix(e, "message %d", (int)k->message);
    if (mem_grow(&s->turns, &s->turncap, s->nturns + 1, sizeof *s->turns, e)) return -1;
    const struct chat_turn *last = s->nturns ? &s->turns[s->nturns - 1] : NULL;
    s->turns[s->nturns++] = (struct chat_turn){.message = k->message,
                                               .later = last && last->message == k->message,
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

/* True for text that the assistant says; the identifier of a call is not. */
static bool is_text(const struct chat_span *k)
{
    return k->part == CHAT_CONTENT || k->part == CHAT_THOUGHT;
}

static void close_turn(struct chat_turn **open, uint32_t limit)
{
    if (*open) (*open)->limit = limit;
    *open = NULL;
}

static int find_turns(const struct chat *c, struct chat_scratch *s,
                      const struct chat_message *messages, struct chat_sample *out, struct err *e)
{
    const struct chat_rendering *r = &out->rendering;
    struct chat_turn *open = NULL;
    int32_t last = -1;
    uint32_t before = 0;
    for (size_t i = 0; i < r->nspans; i++) {
        const struct chat_span *k = &r->spans[i];
        bool own = open && k->message == open->message;
        if (k->part == CHAT_ROLE && !own)
            close_turn(&open, k->begin); /* the role heads another message */
        if (k->message < 0 || k->part == CHAT_ROLE || k->again) continue;
        if (own && !has_ended(c, &out->tokens, open, k->begin)) {
            open->last = i;
            before = open->end = k->end;
            continue;
        }
        close_turn(&open, k->begin);
        if (!chat_is_assistant(&messages[k->message])) {
            before = k->end;
        } else if (k->message > last || own) {
            if (begin_turn(s, r, i, before, messages, e)) return -1;
            open = &s->turns[s->nturns - 1];
            last = k->message;
            before = k->end;
        } else {
            out->facts.outside += is_text(k);
            before = k->end;
        }
    }
    return 0;
}

/* A piece that follows pieces of a later message, or repeats earlier bytes, belongs to no turn. */
int chat_turns(const struct chat *c, struct chat_scratch *s, const struct chat_conversation *conv,
               struct chat_sample *out, struct err *e)
{
    s->nturns = 0;
    if (find_turns(c, s, conv->messages, out, e)) return -1;
    for (size_t i = 0; i < s->nturns; i++)
        if (chat_turn_end(c, s, conv, out, &s->turns[i], e)) return -1;
    return 0;
}
