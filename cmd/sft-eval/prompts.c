/* SPDX-License-Identifier: Apache-2.0 */
/* Answers each row of a file: an object with "prompt", a text, or "messages", a conversation. The
 * rows are written as they are, with the answer as a member. Rows that follow one another are
 * answered together, as a group: as many as have room in the cache. */
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "talk.h"

enum { MESSAGES_MOST = 4096 };

struct job {
    struct talk talk;
    struct io_in *in;
    struct json_rows *rows;
    struct chat_message messages[MESSAGES_MOST];
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

static int bad(const struct job *j, const char *what, struct err *e)
{
    return err_set(e, ERR_DATA, "%s:%llu: %s", j->talk.v->prompts,
                   (unsigned long long)json_rows_line(j->rows), what);
}

/* Adds --system, where the row does not begin with a system prompt of its own. */
static size_t begin(struct job *j, struct str role)
{
    const char *text = j->talk.v->system;
    if (!text || str_eq(role, STR("system"))) return 0;
    j->messages[0] = (struct chat_message){.role = STR("system"), .content = str_z(text)};
    return 1;
}

static int add(struct job *j, size_t i, const struct json *m, struct err *e)
{
    const struct json *role = m->kind == JSON_OBJECT ? json_get(m, "role") : NULL;
    const struct json *content = role ? json_get(m, "content") : NULL;
    if (!role || role->kind != JSON_STRING)
        return bad(j, "a message is an object with a \"role\"", e);
    j->messages[i] = (struct chat_message){.role = role->s, .members = m};
    if (content && content->kind == JSON_STRING) j->messages[i].content = content->s;
    return 0;
}

/* Makes the conversation of a row; returns the number of its messages, -1 on failure. */
static int64_t conversation(struct job *j, const struct json *row, struct err *e)
{
    const struct json *prompt = row->kind == JSON_OBJECT ? json_get(row, "prompt") : NULL;
    const struct json *list = row->kind == JSON_OBJECT ? json_get(row, "messages") : NULL;
    if (prompt && prompt->kind == JSON_STRING) {
        const size_t n = begin(j, STR("user"));
        j->messages[n] = (struct chat_message){.role = STR("user"), .content = prompt->s};
        return (int64_t)n + 1;
    }
    if (!list || list->kind != JSON_ARRAY || list->count == 0)
        return bad(j, "a row is an object with \"prompt\", a text, or \"messages\", a list", e);
    if (list->count >= MESSAGES_MOST) return bad(j, "more than 4095 messages", e);
    const struct json *role = json_get(&list->items[0], "role");
    const size_t n = begin(j, role && role->kind == JSON_STRING ? role->s : (struct str){0});
    for (size_t i = 0; i < list->count; i++)
        if (add(j, n + i, &list->items[i], e)) return -1;
    return (int64_t)(n + list->count);
}

/* Appends the members of the row but those that the answer sets. */
static void put_members(struct buf *b, const struct json *row)
{
    for (size_t i = 0; i < row->count; i++) {
        const struct str k = row->keys[i];
        if (str_eq(k, STR("answer")) || str_eq(k, STR("answer_tokens")) ||
            str_eq(k, STR("answer_end")))
            continue;
        buf_json(b, k);
        buf_putc(b, ':');
        json_write(&row->items[i], b);
        buf_putc(b, ',');
    }
}

/* Writes the row of an answer, whose members are in b. */
static int put_row(struct eval *v, struct buf *b, const struct talk_answer *a, struct err *e)
{
    struct buf text = {0};
    int rc = tokenizer_decode(v->tokenizer, a->ids, (size_t)a->n, true, &text, e);
    buf_puts(b, "\"answer\":");
    buf_json(b, (struct str){text.data ? text.data : "", text.len});
    buf_printf(b, ",\"answer_tokens\":%lld,\"answer_end\":\"%s\"}\n", (long long)a->n,
               a->end == TALK_STOP ? "stop" : "length");
    if (rc == 0) rc = buf_check(b, e) ? -1 : io_write(v->out, b->data, b->len, e);
    buf_free(&text);
    return rc;
}

/* Makes a row the one that waits. */
static int take_row(struct job *j, const struct json *row, struct err *e)
{
    struct talk *t = &j->talk;
    const int64_t n = conversation(j, row, e);
    if (n < 0) return -1;
    const struct chat_conversation c = {.messages = j->messages, .nmessages = (size_t)n};
    if (talk_encode(t, &c, e) || talk_check(t, t->room.length, e))
        return err_prefix(e, "%s:%llu", t->v->prompts, (unsigned long long)json_rows_line(j->rows));
    j->text.len = 0;
    buf_putc(&j->text, '{');
    put_members(&j->text, row);
    j->waits = true;
    return 0;
}

/* Makes the row that waits document i, with rows of the cache from *row on; 1, or 0 where it has no
 * room there. The first document keeps its place, and what it may begin with. */
static int join(struct job *j, int32_t i, int64_t *row, struct err *e)
{
    struct talk *t = &j->talk;
    const int64_t length = t->room.length, whole = (int64_t)t->prompt.n + t->v->max_tokens;
    const int64_t room = whole < length ? whole : length;
    struct talk_doc *d = &t->docs[i];
    if (*row + room > t->room.cache) return 0;
    if (i > 0) talk_place(t, i, *row, room);
    d->room = room;
    d->number = json_rows_index(j->rows);
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

static int answer_group(struct job *j, int32_t n, struct err *e)
{
    struct talk *t = &j->talk;
    if (talk_decode(t, NULL, j->answers, n, e)) return -1;
    for (int32_t i = 0; i < n; i++) {
        talk_warn_nameless(t->v, j->answers[i].ids, j->answers[i].n);
        if (put_row(t->v, &j->texts[i], &j->answers[i], e)) return -1;
    }
    return 0;
}

/* A given number of rows has room whatever their lengths are; else the cache is that of one. */
static struct talk_room room_of(const struct eval *v)
{
    enum { PASS = 512, DOCS = 64 };
    const int64_t reach = rope_reach(&v->m, 1), length = reach < v->length ? reach : v->length;
    const int64_t docs = v->batch ? v->batch : DOCS, pass = length < PASS ? length : PASS;
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
        j->answers[i] =
            (struct talk_answer){.ids = j->ids + i * each, .most = j->talk.v->max_tokens};
    return 0;
}

static int open_job(struct job *j, struct eval *v, struct err *e)
{
    const struct talk_room room = room_of(v);
    if (talk_begin(&j->talk, v, e) || open_group(j, &room, e)) return -1;
    j->in = io_open(v->prompts, e);
    j->rows = j->in ? json_rows_open(j->in, e) : NULL;
    return j->rows ? talk_open(&j->talk, &room, e) : -1;
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
    int rc = open_job(j, v, e);
    for (int32_t n; rc == 0 && (n = read_group(j, e)) != 0;)
        rc = n < 0 ? -1 : answer_group(j, n, e);
    progress_erase(&v->progress);
    close_job(j);
    return rc;
}
