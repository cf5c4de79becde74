/* SPDX-License-Identifier: Apache-2.0 */
/* Reads conversations and decodes answers, one token of each at a time, with a cache. */
#include "decode/talk.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "decode/talk_impl.h"

int talk_begin(struct talk *t, const struct talk_with *with, const struct chat_options *o,
               struct err *e)
{
    *t = (struct talk){.with = *with};
    t->chat = chat_new(with->tokenizer, o, e);
    t->scratch = t->chat ? tokenizer_scratch_new(with->tokenizer, e) : NULL;
    return t->scratch ? 0 : -1;
}

int talk_encode(struct talk *t, const struct chat_conversation *c, struct err *e)
{
    struct chat_rendering r = {0};
    t->prompt.n = 0;
    int rc = chat_render(t->chat, c, true, &r, e);
    const struct str text = {r.text.data, r.text.len};
    if (rc == 0 && tokenizer_encode(t->with.tokenizer, t->scratch, text, &t->prompt, e))
        rc = err_prefix(e, "the prompt");
    chat_rendering_free(&r);
    return rc;
}

static int open_arrays(struct talk *t, struct err *e)
{
    const struct talk_room *r = &t->room;
    const size_t docs = (size_t)r->docs;
    t->logits = mem_alloc((size_t)t->with.vocab.size, sizeof *t->logits, e);
    t->ids = mem_alloc((size_t)r->cache, sizeof *t->ids, e);
    t->docs = mem_alloc(docs, sizeof *t->docs, e);
    t->going = mem_alloc(docs, sizeof *t->going, e);
    t->add = mem_alloc(docs, sizeof *t->add, e);
    t->next = mem_alloc(docs, sizeof *t->next, e);
    return t->logits && t->ids && t->docs && t->going && t->add && t->next ? 0 : -1;
}

static int open_answers(struct talk *t, struct err *e)
{
    const size_t held = (size_t)t->room.held, most = (size_t)t->room.most;
    if (held == 0) return 0;
    t->answers = mem_alloc(held, sizeof *t->answers, e);
    t->answer_ids = mem_alloc(held * most, sizeof *t->answer_ids, e);
    if (!t->answers || !t->answer_ids) return -1;
    for (size_t i = 0; i < held; i++)
        t->answers[i] = (struct talk_answer){.ids = t->answer_ids + i * most, .most = t->room.most};
    return 0;
}

struct stage_options talk_stage(const struct talk_room *r)
{
    return (struct stage_options){
        .tokens = r->pass, .chunk = r->docs, .cache = r->cache, .docs = r->docs};
}

int talk_open(struct talk *t, const struct talk_room *r, const struct sampling *how, struct err *e)
{
    t->room = *r;
    if (open_arrays(t, e) || open_answers(t, e) ||
        sampler_init(&t->sampler, how, t->with.vocab.size, e))
        return -1;
    t->docs[0] = (struct talk_doc){.ids = t->ids, .room = r->length};
    return stops_find(&t->stops, &t->with, e);
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
    mem_free(t->answers);
    mem_free(t->answer_ids);
    token_list_free(&t->prompt);
    tokenizer_scratch_free(t->scratch);
    chat_free(t->chat);
}

int talk_check(struct talk *t, int64_t length, struct err *e)
{
    const struct token_list *prompt = &t->prompt;
    if (prompt->n == 0 || (int64_t)prompt->n >= length)
        return err_set(e, ERR_DATA, "the prompt has %zu tokens; the model takes 1 to %lld",
                       prompt->n, (long long)length - 1);
    for (size_t i = 0; i < prompt->n; i++)
        if (model_check_id(&t->with.vocab, prompt->ids[i], e)) return err_prefix(e, "the prompt");
    return 0;
}

/* Sets ERR_NONFINITE with the text `what` and the first weight that is not finite, if there is one.
 */
static int nonfinite(const struct talk *t, const char *what, struct err *e)
{
    char text[200];
    const bool found = weights_find_nonfinite(t->with.stage->w, text, sizeof text);
    const char *hint = found || !t->with.hint ? "" : t->with.hint;
    return err_set(e, ERR_NONFINITE, "%s; %s%s", what, text, hint);
}

/* Stores the logits of the next token of document d of the last pass, which has n tokens, in
 * t->logits. Logits that are not finite are an error: no token is the likeliest among them. */
static int next_logits(struct talk *t, int32_t d, int64_t n, struct err *e)
{
    char what[160];
    const int64_t vocab = t->with.vocab.size;
    int64_t bad = 0, first = 0;
    if (stage_logits(t->with.stage, d, t->logits, e)) return -1;
    for (int64_t i = vocab; i-- > 0;) {
        if (isfinite(t->logits[i])) continue;
        first = i;
        bad++;
    }
    if (bad == 0) return 0;
    snprintf(
        what, sizeof what,
        "after %lld tokens %lld of the %lld logits are not finite, the first that of token %lld",
        (long long)n, (long long)bad, (long long)vocab, (long long)first);
    return nonfinite(t, what, e);
}

/* Chooses the token behind each of the first n documents in t->going. */
static int choose(struct talk *t, int32_t n, struct err *e)
{
    if (stage_next(t->with.stage, t->next, e)) return -1;
    for (int32_t i = 0; i < n; i++) {
        const struct talk_doc *d = t->going[i];
        if (next_logits(t, i, d->n, e)) return -1;
        if (!sampler_greedy(&t->sampler))
            t->next[i] = sampler_next(&t->sampler, t->logits, d->ids, (size_t)d->n, d->number);
    }
    return 0;
}

/* Extends the first n documents in t->going by their tokens in t->add, and chooses the next. */
static int extend(struct talk *t, int32_t n, struct err *e)
{
    stage_extend(t->with.stage, t->add, n);
    for (int32_t i = 0; i < n; i++) {
        struct talk_doc *d = t->going[i];
        for (int64_t k = 0; k < t->add[i].T; k++) d->ids[d->n++] = (uint32_t)t->add[i].ids[k];
    }
    int rc = choose(t, n, e);
    if (t->agree) rc = t->agree(t->agree_arg, rc, t->next, n, e);
    for (int32_t i = 0; i < n; i++) t->going[i]->next = t->next[i];
    return rc;
}

/* ---- the prompt ---- */
int64_t talk_same(const struct talk_doc *d, const struct token_list *prompt)
{
    const int64_t most = (int64_t)prompt->n - 1;
    int64_t n = 0;
    while (n < d->n && n < most && d->ids[n] == prompt->ids[n]) n++;
    return n;
}

int talk_read(struct talk *t, const struct token_list *prompt, struct talk_doc *d, struct err *e)
{
    const int64_t n = (int64_t)prompt->n;
    const int32_t *ids = (const int32_t *)prompt->ids; /* each is in the vocabulary */
    d->n = talk_same(d, prompt);
    t->going[0] = d;
    while (d->n < n) {
        const int64_t left = n - d->n, part = left < t->room.pass ? left : t->room.pass;
        t->add[0] = (struct stage_tokens){ids + d->n, part, d->n, d->row};
        if (extend(t, 1, e)) return -1;
    }
    return 0;
}

/* ---- the answer ---- */
/* Adds the token that was chosen to the answer to d, and decides whether it ends. */
static int take(struct talk *t, struct talk_doc *d, struct err *e)
{
    struct talk_answer *a = d->answer;
    if (stops_at(&t->stops, d->next)) {
        a->end = TALK_STOP;
    } else {
        a->ids[a->n++] = (uint32_t)d->next;
        if (a->n == a->most || d->n + 1 >= d->room) a->end = TALK_LENGTH;
        t->tokens++;
        if (t->watch.took && t->watch.took(t->watch.arg, a, t->tokens, e)) return -1;
        if (t->stop && t->stop()) a->end = TALK_ASKED;
    }
    if (a->end != TALK_GOES_ON) d->answer = NULL;
    return 0;
}

void talk_start(struct talk *t, const struct talk_watch *watch)
{
    t->watch = watch ? *watch : (struct talk_watch){0};
    t->tokens = t->passes = 0;
}

int talk_answer_to(struct talk *t, struct talk_doc *d, struct talk_answer *a, struct err *e)
{
    a->n = 0;
    a->end = TALK_GOES_ON;
    d->answer = a;
    return take(t, d, e);
}

int32_t talk_step(struct talk *t, struct err *e)
{
    int32_t going = 0;
    for (int32_t i = 0; i < t->room.docs; i++) {
        struct talk_doc *d = &t->docs[i];
        if (!d->answer) continue;
        t->going[going] = d;
        t->add[going++] = (struct stage_tokens){&d->next, 1, d->n, d->row};
    }
    if (going && extend(t, going, e)) return -1;
    t->passes += going > 0;
    for (int32_t i = 0; i < going; i++)
        if (take(t, t->going[i], e)) return -1;
    return going;
}

int talk_decode(struct talk *t, const struct talk_watch *watch, struct talk_answer *a,
                struct err *e)
{
    int32_t going = 1;
    talk_start(t, watch);
    if (talk_answer_to(t, t->docs, a, e)) return -1;
    while (going > 0) going = talk_step(t, e);
    return going;
}
