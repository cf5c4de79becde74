/* SPDX-License-Identifier: Apache-2.0 */
/* Conversations with the model of the command line. */
#include "base/log.h"
#include "eval.h"

int eval_talk(struct talk *t, struct eval *v, struct err *e)
{
    const struct chat_options native = {.name = "native"};
    const struct talk_with with = {.dir = v->dir,
                                   .hf = &v->hf,
                                   .tokenizer = v->tokenizer,
                                   .vocab = eval_vocab(v),
                                   .stage = &v->stage,
                                   .hint = v->compute == DT_BF16 ? eval_hint : NULL};
    return talk_begin(t, &with, &native, e);
}

int eval_talk_open(struct talk *t, struct eval *v, const struct talk_room *room, struct err *e)
{
    const struct stage_options o = talk_stage(room);
    return talk_open(t, room, &v->sampling, e) ? -1 : eval_open(v, &o, room->length, e);
}

void eval_warn_nameless(const struct eval *v, const uint32_t *ids, int64_t n)
{
    const uint32_t size = tokenizer_vocab_size(v->tokenizer);
    int64_t nameless = 0;
    uint32_t first = 0;
    for (int64_t i = n; i-- > 0;) {
        if (ids[i] < size) continue;
        first = ids[i];
        nameless++;
    }
    if (nameless)
        log_line(
            LOG_WARN,
            "%lld of the answer's %lld tokens are not in the tokenizer's vocabulary of %u (the "
            "first is %u): they have no text",
            (long long)nameless, (long long)n, size, first);
}
