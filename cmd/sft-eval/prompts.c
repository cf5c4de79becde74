/* SPDX-License-Identifier: Apache-2.0 */
/* Answers each row of a file: an object with "prompt", a text, or "messages", a conversation. The
 * rows are written as they are, with the answer as a member. As many rows are answered together as
 * have room in the cache, and the next row takes the place of one whose answer has ended. */
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "dealt.h"
#include "decode/prompt.h"
#include "eval.h"

struct job {
    struct eval *v;
    struct talk talk;
    struct io_in *in;
    struct json_rows *rows;
    struct prompt prompt;
    struct buf *texts; /* [held] of each row whose answer is not written: its members */
    uint64_t taken;    /* rows of this rank so far */
    uint64_t row;      /* the last one, or the one that cannot be read */
    struct dealt dealt;
};

/* Returns where the members of this rank's n-th row are while its answer is made. */
static struct buf *text_of(const struct job *j, uint64_t n)
{
    return &j->texts[n % (uint64_t)j->talk.room.held];
}

static int encode(struct job *j, const struct json *row, struct err *e)
{
    struct talk *t = &j->talk;
    if (prompt_read(&j->prompt, row, j->v->system, e)) return -1;
    const struct chat_conversation c = {.messages = j->prompt.messages, .nmessages = j->prompt.n};
    return talk_encode(t, &c, e) || talk_check(t, t->room.length, e) ? -1 : 0;
}

/* Reads the next row of this rank. */
static int next(void *arg, const struct token_list **prompt, struct err *e)
{
    int rc;
    struct job *j = arg;
    const struct json *row;
    *prompt = NULL;
    do {
        j->row = j->dealt.rows;
        rc = json_rows_next(j->rows, &row, e);
        if (rc <= 0) return rc;
    } while (!dealt_takes(&j->dealt, row));
    if (encode(j, row, e))
        return err_prefix(e, "%s:%llu", j->v->prompts, (unsigned long long)json_rows_line(j->rows));
    struct buf *text = text_of(j, j->taken++);
    text->len = 0;
    buf_putc(text, '{');
    prompt_members(text, row, NULL, 0);
    *prompt = &j->talk.prompt;
    return 0;
}

/* Writes a row with its answer, or keeps it until all ranks have theirs. */
static int ended(void *arg, uint64_t n, const struct talk_answer *a, struct err *e)
{
    struct job *j = arg;
    struct buf *b = text_of(j, n);
    eval_warn_nameless(j->v, a->ids, a->n);
    if (prompt_answer(b, j->v->tokenizer, a, e)) return -1;
    buf_puts(b, "}\n");
    return buf_check(b, e) ? -1 : dealt_put(&j->dealt, b, e);
}

/* Shows the tokens of all answers so far, and to the other ranks that this one goes on. */
static int took(void *arg, const struct talk_answer *a, uint64_t tokens, struct err *e)
{
    const struct job *j = arg;
    struct eval *v = j->v;
    (void)a, (void)e;
    world_step(&v->world, j->taken);
    if (v->progress.tty) progress_step(&v->progress, tokens, "tokens");
    return 0;
}

/* A given number of rows has room whatever their lengths are; else the cache is that of one. */
static struct talk_room room_of(const struct eval *v)
{
    enum { DOCS = 64, HELD = 4 }; /* HELD: answers for each place */
    const int64_t reach = rope_reach(&v->m, 1), length = reach < v->length ? reach : v->length;
    const int64_t docs = v->batch ? v->batch : DOCS, pass = length < TALK_PASS ? length : TALK_PASS;
    return (struct talk_room){.length = length,
                              .pass = pass > docs ? pass : docs,
                              .cache = v->batch ? docs * length : length,
                              .docs = (int32_t)docs,
                              .held = (int32_t)docs * HELD,
                              .most = length < v->max_tokens ? length : v->max_tokens};
}

static int open_job(struct job *j, struct eval *v, struct err *e)
{
    const struct talk_room room = room_of(v);
    j->v = v;
    j->dealt.v = v;
    j->texts = mem_alloc((size_t)room.held, sizeof *j->texts, e);
    if (eval_talk(&j->talk, v, e) || !j->texts) return -1;
    j->in = io_open(v->prompts, e);
    j->rows = j->in ? json_rows_open(j->in, e) : NULL;
    return j->rows ? eval_talk_open(&j->talk, v, &room, e) : -1;
}

static void close_job(struct job *j)
{
    for (int32_t i = 0; j->texts && i < j->talk.room.held; i++) buf_free(&j->texts[i]);
    mem_free(j->texts);
    json_rows_close(j->rows);
    io_close(j->in);
    talk_close(&j->talk);
    dealt_free(&j->dealt);
    mem_free(j);
}

static int answer_all(struct job *j, struct err *e)
{
    struct eval *v = j->v;
    const struct talk_many many = {.next = next,
                                   .ended = ended,
                                   .watch = {took, j},
                                   .first = (uint64_t)v->mesh.world->place.rank,
                                   .each = (uint64_t)mesh_ranks(&v->mesh),
                                   .arg = j};
    progress_doing(&v->progress, "reading the prompt", 0, 0);
    const int rc = talk_many(&j->talk, &many, e);
    progress_erase(&v->progress);
    if (rc == 0)
        log_line(LOG_DEBUG, "%llu tokens of answers in %llu passes of up to %d rows",
                 (unsigned long long)j->talk.tokens, (unsigned long long)j->talk.passes,
                 (int)j->talk.room.docs);
    return dealt_write(&j->dealt, rc, j->row, e);
}

int eval_prompts(struct eval *v, struct err *e)
{
    struct job *j = mem_alloc(1, sizeof *j, e);
    int rc = mesh_agree(&v->mesh, j ? open_job(j, v, e) : -1, e);
    if (v->silent) log_init("sft-eval", v->level); /* its warnings are about rows of its own */
    if (rc == 0) rc = answer_all(j, e);
    if (j) close_job(j);
    return rc;
}
