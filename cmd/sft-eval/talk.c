/* SPDX-License-Identifier: Apache-2.0 */
/* Reads conversations and decodes answers, one token of each at a time, with a cache. */
#include "talk.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

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

static int open_arrays(struct talk *t, struct err *e)
{
    const struct talk_room *r = &t->room;
    const size_t docs = (size_t)r->docs;
    t->logits = mem_alloc((size_t)t->v->m.vocab, sizeof *t->logits, e);
    t->ids = mem_alloc((size_t)r->cache, sizeof *t->ids, e);
    t->docs = mem_alloc(docs, sizeof *t->docs, e);
    t->going = mem_alloc(docs, sizeof *t->going, e);
    t->add = mem_alloc(docs, sizeof *t->add, e);
    t->next = mem_alloc(docs, sizeof *t->next, e);
    return t->logits && t->ids && t->docs && t->going && t->add && t->next ? 0 : -1;
}

int talk_open(struct talk *t, const struct talk_room *r, struct err *e)
{
    const struct stage_options o = {
        .tokens = r->pass, .chunk = r->docs, .cache = r->cache, .docs = r->docs};
    t->room = *r;
    if (open_arrays(t, e) || sampler_init(&t->sampler, &t->v->sampling, t->v->m.vocab, e))
        return -1;
    talk_place(t, 0, 0, r->length);
    return talk_find_stops(t->v, &t->stops, e) ? -1 : eval_open(t->v, &o, r->length, e);
}

void talk_place(struct talk *t, int32_t i, int64_t row, int64_t room)
{
    t->docs[i] = (struct talk_doc){.ids = t->ids + row, .row = row, .room = room};
}

void talk_close(struct talk *t)
{
    sampler_free(&t->sampler);
    mem_free(t->logits);
    mem_free(t->ids);
    mem_free(t->docs);
    mem_free(t->going);
    mem_free(t->add);
    mem_free(t->next);
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

/* Stores the logits of the next token of document d of the last pass, which has n tokens, in x
 * [vocab]. Logits that are not finite are an error: no token is the likeliest among them. */
static int next_logits(struct eval *v, int32_t d, int64_t n, float *x, struct err *e)
{
    char what[160];
    int64_t bad = 0, first = 0;
    if (stage_logits(&v->stage, d, x, e)) return -1;
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

/* Extends the first n documents in t->going by their tokens in t->add, and chooses the next. */
static int extend(struct talk *t, int32_t n, struct err *e)
{
    struct stage *s = &t->v->stage;
    stage_extend(s, t->add, n);
    if (stage_next(s, t->next, e)) return -1;
    for (int32_t i = 0; i < n; i++) {
        struct talk_doc *d = t->going[i];
        for (int64_t k = 0; k < t->add[i].T; k++) d->ids[d->n++] = (uint32_t)t->add[i].ids[k];
        if (next_logits(t->v, i, d->n, t->logits, e)) return -1;
        d->next = sampler_greedy(&t->sampler)
                      ? t->next[i]
                      : sampler_next(&t->sampler, t->logits, d->ids, (size_t)d->n, d->number);
    }
    return 0;
}

/* ---- the prompt ---- */
/* Returns the number of tokens that d and the prompt begin with; one of the prompt is left. */
static int64_t same(const struct talk *t, const struct talk_doc *d)
{
    const int64_t most = (int64_t)t->prompt.n - 1;
    int64_t n = 0;
    while (n < d->n && n < most && d->ids[n] == t->prompt.ids[n]) n++;
    return n;
}

/* Makes d begin as another document does, where the prompt does so, too. */
static void begin_like(struct talk *t, struct talk_doc *d, const struct talk_doc *like)
{
    const int64_t n = same(t, like);
    if (n <= same(t, d)) return;
    stage_copy(&t->v->stage, d->row, like->row, n);
    memcpy(d->ids, like->ids, (size_t)n * sizeof *d->ids);
    d->n = n;
}

int talk_read(struct talk *t, struct talk_doc *d, const struct talk_doc *like, struct err *e)
{
    const int64_t n = (int64_t)t->prompt.n;
    const int32_t *ids = (const int32_t *)t->prompt.ids; /* each is in the vocabulary */
    if (like) begin_like(t, d, like);
    d->n = same(t, d);
    t->going[0] = d;
    progress_doing(&t->v->progress, "reading the prompt", 0, 0);
    while (d->n < n) {
        const int64_t left = n - d->n, part = left < t->room.pass ? left : t->room.pass;
        t->add[0] = (struct stage_tokens){ids + d->n, part, d->n, d->row};
        if (extend(t, 1, e)) return -1;
    }
    return 0;
}

/* ---- the answer ---- */
/* Shows an answer while it is made; else the tokens of all answers so far. */
static int show(struct talk *t, struct live *live, const struct talk_answer *a, uint64_t tokens,
                struct err *e)
{
    if (live) return live_write(live, a->ids, (size_t)a->n, false, e);
    if (t->v->progress.tty) progress_step(&t->v->progress, tokens, "tokens");
    return 0;
}

/* Adds the next token to the answer to d, and decides whether it ends. */
static void take(struct talk *t, const struct talk_doc *d, struct talk_answer *a)
{
    if (talk_stops_at(&t->stops, d->next)) {
        a->end = TALK_STOP;
        return;
    }
    a->ids[a->n++] = (uint32_t)d->next;
    if (a->n == a->most || d->n + 1 >= d->room) a->end = TALK_LENGTH;
}

/* Adds a token to each answer that goes on. Returns how many still do, and adds theirs to t->add;
 * -1 on failure. */
static int32_t take_all(struct talk *t, struct live *live, struct talk_answer *a, int32_t n,
                        uint64_t *tokens, struct err *e)
{
    int32_t going = 0;
    for (int32_t i = 0; i < n; i++) {
        struct talk_doc *d = &t->docs[i];
        if (a[i].end != TALK_GOES_ON) continue;
        take(t, d, &a[i]);
        if (a[i].end == TALK_STOP) continue;
        if (show(t, live, &a[i], ++*tokens, e)) return -1;
        if (t->stop && t->stop()) a[i].end = TALK_ASKED;
        if (a[i].end != TALK_GOES_ON) continue;
        t->going[going] = d;
        t->add[going++] = (struct stage_tokens){&d->next, 1, d->n, d->row};
    }
    return going;
}

int talk_decode(struct talk *t, struct live *live, struct talk_answer *a, int32_t n, struct err *e)
{
    uint64_t tokens = 0;
    for (int32_t i = 0; i < n; i++) {
        a[i].n = 0;
        a[i].end = TALK_GOES_ON;
    }
    for (int32_t going; (going = take_all(t, live, a, n, &tokens, e)) != 0;)
        if (going < 0 || extend(t, going, e)) return -1;
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
