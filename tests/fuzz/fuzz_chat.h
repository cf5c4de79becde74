/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of every sample that a template makes, for the targets that render. */
#ifndef SFT_TEST_FUZZ_CHAT_H
#define SFT_TEST_FUZZ_CHAT_H

#include "chat/chat_impl.h"
#include "fuzz/fuzz.h"

FUZZ void check_spans(const struct chat_rendering *r)
{
    uint32_t end = 0;
    for (size_t i = 0; i < r->nspans; i++) {
        need(r->spans[i].begin == end && r->spans[i].end > end);
        end = r->spans[i].end;
    }
    need(end == r->text.len);
}

FUZZ void check_runs(const struct chat_sample *s)
{
    size_t n = 0, trained = 0;
    for (size_t i = 0; i < s->nruns; i++) {
        n += s->runs[i].n;
        need(s->runs[i].n > 0 && s->runs[i].weight >= 0);
        if (s->runs[i].weight > 0) trained += s->runs[i].n;
    }
    need(n == s->tokens.n && n == s->facts.tokens && trained == s->facts.trained);
}

/* Renders a conversation and weighs it by every mask. */
FUZZ void check_samples(struct chat *c, const struct chat_conversation *conv)
{
    static struct chat_sample s;
    for (int mask = CHAT_MASK_TURN; mask <= CHAT_MASK_ROLL; mask++) {
        struct err e = {0};
        struct chat_scratch *scratch = chat_scratch_new(c, &e);
        c->mask = (enum chat_mask)mask;
        if (scratch && chat_sample(c, scratch, conv, &s, &e) == 0) {
            check_spans(&s.rendering);
            check_runs(&s);
        } else {
            need_refusal(&e);
        }
        chat_scratch_free(scratch);
    }
}

FUZZ struct tokenizer *tiny_tokenizer(void)
{
    static struct tokenizer *tok;
    struct err e = {0};
    if (!tok) need((tok = tokenizer_load("share/tiny-tokenizer", &e)) != NULL);
    return tok;
}

#endif
