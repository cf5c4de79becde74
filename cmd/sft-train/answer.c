/* SPDX-License-Identifier: Apache-2.0 */
/* Answers the prompts of sft.sample_prompts with the weights as they are. Prompts that follow one
 * another are answered together, as many as have room in the cache. */
#include <stdio.h>

#include "samples.h"

/* Reads prompts [first, ...) into the cache; returns their number, -1 on failure. */
static int32_t read_group(struct run *r, int32_t first, struct err *e)
{
    struct samples *s = r->samples;
    struct talk *t = &s->talk;
    int64_t row = 0;
    int32_t n = 0;
    for (; first + n < s->n; n++) {
        const struct token_list *prompt = &s->of[first + n].tokens;
        const int64_t room = (int64_t)prompt->n + r->config->sft.sample_tokens;
        if (row + room > t->room.cache) break;
        talk_place(t, n, row, room);
        t->prompt = *prompt;
        const int rc = talk_read(t, &t->docs[n], n > 0 ? &t->docs[n - 1] : NULL, e);
        t->prompt = (struct token_list){0};
        if (rc) return -1;
        row += room;
    }
    return n;
}

/* The other ranks wait: their watchers are shown that this one gets on. */
static int took(void *arg, const struct talk_answer *a, uint64_t tokens, struct err *e)
{
    struct run *r = arg;
    (void)a, (void)tokens, (void)e;
    world_step(&r->world, r->trainer.step + 1);
    return 0;
}

static void put_line(const struct run *r, int32_t i, struct buf *b)
{
    buf_printf(b, "{\"step\":%llu,\"row\":%d,", (unsigned long long)r->trainer.step, i);
    buf_str(b, (struct str){r->samples->of[i].members.data, r->samples->of[i].members.len});
}

static int put_text(const struct run *r, int32_t i, const struct talk_answer *a, struct buf *b,
                    struct err *e)
{
    const struct samples *s = r->samples;
    struct buf text = {0};
    buf_str(b, (struct str){s->of[i].shown.data, s->of[i].shown.len});
    buf_printf(b, "**answer** (%lld tokens, %s)", (long long)a->n,
               a->end == TALK_STOP ? "stop" : "length");
    const int rc = tokenizer_decode(s->tokenizer, a->ids, (size_t)a->n, true, &text, e);
    samples_block(b, (struct str){text.data, text.len});
    buf_free(&text);
    return rc;
}

/* Writes the answer to prompt i. */
static int put(struct run *r, int32_t i, const struct talk_answer *a, struct err *e)
{
    struct buf line = {0}, text = {0};
    char tag[40];
    snprintf(tag, sizeof tag, "samples/%d", i);
    put_line(r, i, &line);
    int rc = prompt_answer(&line, r->samples->tokenizer, a, e);
    buf_puts(&line, "}\n");
    if (rc == 0) rc = put_text(r, i, a, &text, e);
    if (rc == 0) rc = buf_check(&line, e) || buf_check(&text, e) ? -1 : 0;
    if (rc == 0)
        rc = track_sample(r->track, r->trainer.step, (struct str){line.data, line.len}, tag,
                          (struct str){text.data, text.len}, e);
    buf_free(&line);
    buf_free(&text);
    return rc;
}

/* Returns the number of prompts from `first` on that it has answered, -1 on failure. */
static int32_t answer_group(struct run *r, int32_t first, struct err *e)
{
    struct samples *s = r->samples;
    const struct talk_watch watch = {took, r};
    progress_doing(&r->progress, "answering", (uint64_t)first, (uint64_t)s->n);
    const int32_t n = read_group(r, first, e);
    if (n < 0 || talk_decode(&s->talk, &watch, s->answers, n, e)) return -1;
    for (int32_t i = 0; i < n; i++)
        if (put(r, first + i, &s->answers[i], e)) return -1;
    return n;
}

int run_answer(void *arg, struct err *e)
{
    struct run *r = arg;
    const double start = log_clock();
    const unsigned long long step = r->trainer.step;
    r->samples->talk.with.stage = trainer_answers(&r->trainer);
    for (int32_t i = 0, n = 0; i < r->samples->n; i += n)
        if ((n = answer_group(r, i, e)) < 0) {
            err_prefix(e, "answers after step %llu", step);
            if (e->code != ERR_NONFINITE || !r->config->sft.skip_nonfinite) return -1;
            log_line(LOG_WARN, "%s", e->msg);
            return 0;
        }
    log_line(LOG_INFO, "answers after step %llu: %d in %.2f s", step, r->samples->n,
             log_clock() - start);
    return 0;
}
