/* SPDX-License-Identifier: Apache-2.0 */
/* Answers each row of a file: an object with "prompt", a text, or "messages", a conversation. The
 * rows are written as they are, with the answer as a member. */
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
    struct talk_answer answer;
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

static int put_row(struct job *j, const struct json *row, struct err *e)
{
    struct eval *v = j->talk.v;
    struct buf b = {0}, text = {0};
    const struct talk_answer *a = &j->answer;
    int rc = tokenizer_decode(v->tokenizer, a->ids, (size_t)a->n, true, &text, e);
    buf_putc(&b, '{');
    put_members(&b, row);
    buf_puts(&b, "\"answer\":");
    buf_json(&b, (struct str){text.data ? text.data : "", text.len});
    buf_printf(&b, ",\"answer_tokens\":%lld,\"answer_end\":\"%s\"}\n", (long long)a->n,
               a->end == TALK_STOP ? "stop" : "length");
    if (rc == 0) rc = buf_check(&b, e) ? -1 : io_write(v->out, b.data, b.len, e);
    buf_free(&b);
    buf_free(&text);
    return rc;
}

static int answer_row(struct job *j, const struct json *row, struct err *e)
{
    struct talk *t = &j->talk;
    const int64_t n = conversation(j, row, e);
    if (n < 0) return -1;
    const struct chat_conversation c = {.messages = j->messages, .nmessages = (size_t)n};
    t->number = json_rows_index(j->rows);
    if (talk_encode(t, &c, e) || talk_check(t, t->length, e))
        return err_prefix(e, "%s:%llu", t->v->prompts, (unsigned long long)json_rows_line(j->rows));
    if (talk_read(t, e) || talk_decode(t, NULL, &j->answer, e)) return -1;
    talk_warn_nameless(t->v, j->answer.ids, j->answer.n);
    return put_row(j, row, e);
}

static int open_job(struct job *j, struct eval *v, struct err *e)
{
    enum { PASS = 512 };
    const int64_t reach = rope_reach(&v->m, 1), length = reach < v->length ? reach : v->length;
    if (talk_begin(&j->talk, v, e)) return -1;
    j->answer.most = v->max_tokens;
    j->answer.ids = mem_alloc((size_t)v->max_tokens, sizeof *j->answer.ids, e);
    j->in = j->answer.ids ? io_open(v->prompts, e) : NULL;
    j->rows = j->in ? json_rows_open(j->in, e) : NULL;
    return j->rows ? talk_open(&j->talk, length, length < PASS ? length : PASS, e) : -1;
}

int eval_prompts(struct eval *v, struct err *e)
{
    struct job *j = mem_alloc(1, sizeof *j, e);
    const struct json *row;
    if (!j) return -1;
    int rc = open_job(j, v, e);
    while (rc == 0 && (rc = json_rows_next(j->rows, &row, e)) == 1) rc = answer_row(j, row, e);
    progress_erase(&v->progress);
    json_rows_close(j->rows);
    io_close(j->in);
    mem_free(j->answer.ids);
    talk_close(&j->talk);
    mem_free(j);
    return rc;
}
