/* SPDX-License-Identifier: Apache-2.0 */
/* Answers the prompts of sft.sample_prompts with the weights as they are, as many together as have
 * room in the cache. */
#include <stdio.h>

#include "samples.h"

static int next(void *arg, const struct token_list **prompt, struct err *e)
{
    struct run *r = arg;
    struct samples *s = r->samples;
    (void)e;
    *prompt = s->next < s->n ? &s->of[s->next++].tokens : NULL;
    return 0;
}

/* The watchers of ranks that wait are shown that this one gets on. */
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

/* A failure is kept until the end: the other ranks may wait for this one meanwhile. */
static int ended(void *arg, uint64_t row, const struct talk_answer *a, struct err *e)
{
    struct run *r = arg;
    struct samples *s = r->samples;
    (void)e;
    progress_doing(&r->progress, "answering", row + 1, (uint64_t)s->n);
    if (s->rc == 0 && !r->silent) s->rc = put(r, (int32_t)row, a, &s->error);
    return 0;
}

/* The tokens are those of the rank that writes, whatever CPUs the others have. */
static int agree(void *arg, int rc, int32_t *tokens, int32_t n, struct err *e)
{
    const struct run *r = arg;
    if (mesh_finish(&r->mesh, e)) rc = -1;
    if (mesh_agree(&r->mesh, rc, e)) return -1;
    return mesh_broadcast(&r->mesh, tokens, (size_t)n * sizeof *tokens, e);
}

static int answer_all(struct run *r, struct err *e)
{
    struct samples *s = r->samples;
    struct talk *t = &s->talk;
    const struct talk_many many = {
        .next = next, .ended = ended, .watch = {took, r}, .each = 1, .arg = r};
    const bool together = trainer_answers_together(&r->mesh, r->options.trainer.zero_stage);
    t->with.stage = trainer_answers(&r->trainer);
    t->agree = together ? agree : NULL;
    t->agree_arg = r;
    s->next = 0;
    s->rc = 0;
    if (talk_many(t, &many, e)) return -1;
    if (s->rc) *e = s->error;
    return s->rc;
}

/* Numbers that are not finite end a run that does not skip them. */
static int judge(const struct run *r, struct err *e)
{
    err_prefix(e, "answers after step %llu", (unsigned long long)r->trainer.step);
    if (e->code != ERR_NONFINITE || !r->config->sft.skip_nonfinite) return -1;
    log_line(LOG_WARN, "%s", e->msg);
    return 0;
}

int run_answer(void *arg, struct err *e)
{
    struct run *r = arg;
    const struct samples *s = r->samples;
    const double start = log_clock();
    if (!s) return 0;
    progress_doing(&r->progress, "answering", 0, (uint64_t)s->n);
    if (answer_all(r, e)) return judge(r, e);
    log_line(LOG_INFO, "answers after step %llu: %d in %.2f s", (unsigned long long)r->trainer.step,
             s->n, log_clock() - start);
    return 0;
}
