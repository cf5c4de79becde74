/* SPDX-License-Identifier: Apache-2.0 */
/* Answers each row of a file: an object with "prompt", a text, or "messages", a conversation. The
 * rows are written as they are, with the answer as a member. Rows that follow one another are
 * answered together, as a group: as many as have room in the cache. */
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "decode/prompt.h"
#include "eval.h"

struct job {
    struct eval *v;
    struct talk talk;
    struct io_in *in;
    struct json_rows *rows;
    struct prompt prompt;
    /* the group */
    struct buf *texts;           /* [docs] of each row, its members */
    struct talk_answer *answers; /* [docs] */
    uint32_t *ids;               /* [docs, length] of the answers */
    /* the row that was read last: talk.prompt, and */
    struct buf text; /* its members */
    bool waits;      /* it is not in a group yet */
    /* the row that cannot be read: those before it are answered first */
    struct err error;
    bool failed;
};

/* Writes the row of an answer, whose members are in b. */
static int put_row(struct eval *v, struct buf *b, const struct talk_answer *a, struct err *e)
{
    if (prompt_answer(b, v->tokenizer, a, e)) return -1;
    buf_puts(b, "}\n");
    return buf_check(b, e) ? -1 : io_write(v->out, b->data, b->len, e);
}

static int encode(struct job *j, const struct json *row, struct err *e)
{
    struct talk *t = &j->talk;
    if (prompt_read(&j->prompt, row, j->v->system, e)) return -1;
    const struct chat_conversation c = {.messages = j->prompt.messages, .nmessages = j->prompt.n};
    return talk_encode(t, &c, e) || talk_check(t, t->room.length, e) ? -1 : 0;
}

/* Makes a row the one that waits. */
static int take_row(struct job *j, const struct json *row, struct err *e)
{
    if (encode(j, row, e))
        return err_prefix(e, "%s:%llu", j->v->prompts, (unsigned long long)json_rows_line(j->rows));
    j->text.len = 0;
    buf_putc(&j->text, '{');
    prompt_members(&j->text, row, NULL, 0);
    j->waits = true;
    return 0;
}

/* Makes the row that waits document i, with rows of the cache from *row on; 1, or 0 where it has no
 * room there. The first document keeps its place, and what it may begin with. */
static int join(struct job *j, int32_t i, int64_t *row, struct err *e)
{
    struct talk *t = &j->talk;
    const int64_t length = t->room.length, whole = (int64_t)t->prompt.n + j->v->max_tokens;
    const int64_t room = whole < length ? whole : length;
    struct talk_doc *d = &t->docs[i];
    if (*row + room > t->room.cache) return 0;
    if (i > 0) talk_place(t, i, *row, room);
    d->room = room;
    d->number = json_rows_index(j->rows);
    progress_doing(&j->v->progress, "reading the prompt", 0, 0);
    if (talk_read(t, d, i > 0 ? d - 1 : NULL, e)) return -1;
    const struct buf swap = j->texts[i];
    j->texts[i] = j->text;
    j->text = swap;
    j->waits = false;
    *row += room;
    return 1;
}

/* Reads the next row, unless one waits; 1, 0 at the end of the file, -1 on failure. */
static int next_row(struct job *j, struct err *e)
{
    const struct json *json;
    if (j->waits) return 1;
    if (!j->failed) {
        const int rc = json_rows_next(j->rows, &json, &j->error);
        if (rc == 0 || (rc == 1 && take_row(j, json, &j->error) == 0)) return rc;
        j->failed = true;
    }
    *e = j->error;
    return -1;
}

/* Reads the next rows as a group; returns their number, -1 on failure. */
static int32_t read_group(struct job *j, struct err *e)
{
    int64_t row = 0;
    for (int32_t i = 0; i < j->talk.room.docs; i++) {
        int rc = next_row(j, e);
        if (rc < 0 && i > 0) return i;
        if (rc == 1) rc = join(j, i, &row, e);
        if (rc < 1) return rc < 0 ? -1 : i;
    }
    return j->talk.room.docs;
}

/* Shows the tokens of all answers so far. */
static int took(void *arg, const struct talk_answer *a, uint64_t tokens, struct err *e)
{
    struct eval *v = arg;
    (void)a, (void)e;
    if (v->progress.tty) progress_step(&v->progress, tokens, "tokens");
    return 0;
}

static int answer_group(struct job *j, int32_t n, struct err *e)
{
    struct talk *t = &j->talk;
    const struct talk_watch watch = {took, j->v};
    if (talk_decode(t, &watch, j->answers, n, e)) return -1;
    for (int32_t i = 0; i < n; i++) {
        eval_warn_nameless(j->v, j->answers[i].ids, j->answers[i].n);
        if (put_row(j->v, &j->texts[i], &j->answers[i], e)) return -1;
    }
    return 0;
}

/* A given number of rows has room whatever their lengths are; else the cache is that of one. */
static struct talk_room room_of(const struct eval *v)
{
    enum { DOCS = 64 };
    const int64_t reach = rope_reach(&v->m, 1), length = reach < v->length ? reach : v->length;
    const int64_t docs = v->batch ? v->batch : DOCS, pass = length < TALK_PASS ? length : TALK_PASS;
    return (struct talk_room){.length = length,
                              .pass = pass > docs ? pass : docs,
                              .cache = v->batch ? docs * length : length,
                              .docs = (int32_t)docs};
}

static int open_group(struct job *j, const struct talk_room *r, struct err *e)
{
    const size_t docs = (size_t)r->docs, each = (size_t)r->length;
    j->texts = mem_alloc(docs, sizeof *j->texts, e);
    j->answers = mem_alloc(docs, sizeof *j->answers, e);
    j->ids = mem_alloc(docs * each, sizeof *j->ids, e);
    if (!j->texts || !j->answers || !j->ids) return -1;
    for (size_t i = 0; i < docs; i++)
        j->answers[i] = (struct talk_answer){.ids = j->ids + i * each, .most = j->v->max_tokens};
    return 0;
}

static int open_job(struct job *j, struct eval *v, struct err *e)
{
    const struct talk_room room = room_of(v);
    if (eval_talk(&j->talk, v, e) || open_group(j, &room, e)) return -1;
    j->in = io_open(v->prompts, e);
    j->rows = j->in ? json_rows_open(j->in, e) : NULL;
    return j->rows ? eval_talk_open(&j->talk, v, &room, e) : -1;
}

static void close_job(struct job *j)
{
    for (int32_t i = 0; j->texts && i < j->talk.room.docs; i++) buf_free(&j->texts[i]);
    buf_free(&j->text);
    mem_free(j->texts);
    mem_free(j->answers);
    mem_free(j->ids);
    json_rows_close(j->rows);
    io_close(j->in);
    talk_close(&j->talk);
    mem_free(j);
}

int eval_prompts(struct eval *v, struct err *e)
{
    struct job *j = mem_alloc(1, sizeof *j, e);
    if (!j) return -1;
    j->v = v;
    int rc = open_job(j, v, e);
    for (int32_t n; rc == 0 && (n = read_group(j, e)) != 0;)
        rc = n < 0 ? -1 : answer_group(j, n, e);
    progress_erase(&v->progress);
    close_job(j);
    return rc;
}
