/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a conversation and decodes an answer, one token at a time, with a cache. */
#include "talk.h"

#include <math.h>
#include <stdio.h>

#include "base/log.h"

int talk_begin(struct talk *t, struct eval *v, struct err *e)
{
    const struct chat_options native = {.name = "native"};
    *t = (struct talk){.v = v};
    t->chat = chat_new(v->tokenizer, &native, e);
    t->scratch = t->chat ? tokenizer_scratch_new(v->tokenizer, e) : NULL;
    return t->scratch ? 0 : -1;
}

int talk_encode(struct talk *t, const struct chat_conversation *c, struct err *e)
{
    struct chat_rendering r = {0};
    t->prompt.n = 0;
    int rc = chat_render(t->chat, c, true, &r, e);
    const struct str text = {r.text.data, r.text.len};
    if (rc == 0 && tokenizer_encode(t->v->tokenizer, t->scratch, text, &t->prompt, e))
        rc = err_prefix(e, "the prompt");
    chat_rendering_free(&r);
    return rc;
}

int talk_open(struct talk *t, int64_t length, int64_t pass, struct err *e)
{
    const struct stage_options o = {.tokens = pass, .chunk = 1, .cache = length};
    const int64_t vocab = t->v->m.vocab;
    t->length = length;
    t->pass = pass;
    t->logits = mem_alloc((size_t)vocab, sizeof *t->logits, e);
    t->ids = t->logits ? mem_alloc((size_t)length, sizeof *t->ids, e) : NULL;
    if (!t->ids || sampler_init(&t->sampler, &t->v->sampling, vocab, e)) return -1;
    return talk_find_stops(t->v, &t->stops, e) ? -1 : eval_open(t->v, &o, length, e);
}

void talk_close(struct talk *t)
{
    sampler_free(&t->sampler);
    mem_free(t->logits);
    mem_free(t->ids);
    token_list_free(&t->prompt);
    tokenizer_scratch_free(t->scratch);
    chat_free(t->chat);
}

int talk_check(struct talk *t, int64_t length, struct err *e)
{
    const struct model_vocab vocab = eval_vocab(t->v);
    const struct token_list *prompt = &t->prompt;
    if (prompt->n == 0 || (int64_t)prompt->n >= length)
        return err_set(e, ERR_DATA, "the prompt has %zu tokens; the model takes 1 to %lld",
                       prompt->n, (long long)length - 1);
    for (size_t i = 0; i < prompt->n; i++)
        if (model_check_id(&vocab, prompt->ids[i], e)) return err_prefix(e, "the prompt");
    return 0;
}

/* Stores the next token's logits in x [vocab], after stage_extend by the first n tokens of a
 * document. Logits that are not finite are an error: no token is the likeliest among them. */
static int next_logits(struct eval *v, int64_t n, float *x, struct err *e)
{
    char what[160];
    int64_t bad = 0, first = 0;
    if (stage_logits(&v->stage, 0, x, e)) return -1;
    for (int64_t i = v->m.vocab; i-- > 0;) {
        if (isfinite(x[i])) continue;
        first = i;
        bad++;
    }
    if (bad == 0) return 0;
    snprintf(
        what, sizeof what,
        "after %lld tokens %lld of the %lld logits are not finite, the first that of token %lld",
        (long long)n, (long long)bad, (long long)v->m.vocab, (long long)first);
    return eval_nonfinite(v, what, e);
}

/* Extends the document in the cache by n tokens. */
static int extend(struct talk *t, const uint32_t *ids, int64_t n, struct err *e)
{
    int32_t *next = mem_alloc((size_t)n, sizeof *next, e);
    if (!next) return -1;
    for (int64_t i = 0; i < n; i++) next[i] = (int32_t)(t->ids[t->n + i] = ids[i]);
    const struct stage_tokens x = {next, n, t->n, 0};
    stage_extend(&t->v->stage, &x, 1);
    t->n += n;
    mem_free(next);
    return next_logits(t->v, t->n, t->logits, e);
}

int talk_read(struct talk *t, struct err *e)
{
    const struct token_list *p = &t->prompt;
    int64_t same = 0, n = (int64_t)p->n;
    while (same < t->n && same < n - 1 && t->ids[same] == p->ids[same]) same++;
    t->n = same;
    progress_doing(&t->v->progress, "reading the prompt", 0, 0);
    for (int64_t part; t->n < n;) {
        part = n - t->n < t->pass ? n - t->n : t->pass;
        if (extend(t, p->ids + t->n, part, e)) return -1;
    }
    return 0;
}

/* Stores the next token in *id. */
static int choose(struct talk *t, int32_t *id, struct err *e)
{
    if (sampler_greedy(&t->sampler)) return stage_next(&t->v->stage, id, e);
    *id = sampler_next(&t->sampler, t->logits, t->ids, (size_t)t->n, t->number);
    return 0;
}

/* After n tokens of the answer. */
static int show(struct eval *v, struct live *live, const uint32_t *ids, int64_t n, struct err *e)
{
    if (live) return live_write(live, ids, (size_t)n, false, e);
    if (v->progress.tty) progress_step(&v->progress, (uint64_t)n, "tokens");
    return 0;
}

int talk_decode(struct talk *t, struct live *live, struct talk_answer *a, struct err *e)
{
    int32_t id;
    const int64_t room = t->length - t->n;
    const int64_t most = a->most < room ? a->most : room;
    a->end = TALK_LENGTH;
    for (a->n = 0; a->n < most;) {
        if (choose(t, &id, e)) return -1;
        if (talk_stops_at(&t->stops, id)) return a->end = TALK_STOP, 0;
        a->ids[a->n++] = (uint32_t)id;
        if (show(t->v, live, a->ids, a->n, e)) return -1;
        if (t->stop && t->stop()) return a->end = TALK_ASKED, 0;
        if (a->n < most && extend(t, &a->ids[a->n - 1], 1, e)) return -1;
    }
    return 0;
}

void talk_warn_nameless(const struct eval *v, const uint32_t *ids, int64_t n)
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
