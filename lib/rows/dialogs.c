/* SPDX-License-Identifier: Apache-2.0 */
/* Rows with whole conversations: {"messages":[{"role","content",...}],"tools":[...]} and ShareGPT's
 * {"conversations":[{"from","value"}],"system":"...","tools":"..."}. */
#include <stdlib.h>

#include "rows/impl.h"

/* ---- the other members of a message, as a JSON object ---- */
static void put_member(struct buf *b, struct str key, const struct json *value)
{
    buf_putc(b, b->len ? ',' : '{');
    buf_json(b, key);
    buf_putc(b, ':');
    json_write(value, b);
}

/* Closes the object, if it was begun, and copies it into the arena. */
static int end_extra(struct buf *b, struct arena *a, struct str *extra, struct err *e)
{
    if (b->len) buf_putc(b, '}');
    if (buf_check(b, e)) return -1;
    return b->len ? row_copy(extra, (struct str){b->data, b->len}, a, e) : 0;
}

/* ---- answers ---- */
static const char no_answer[] = "there is no answer", empty_answer[] = "an answer is empty";

/* Updates *empty, which begins as no_answer, for one answer. One empty answer is enough. */
static void note_answer(const char **empty, bool speaks)
{
    if (!speaks)
        *empty = empty_answer;
    else if (*empty == no_answer)
        *empty = NULL;
}

/* True when an assistant's message has content, a call or a thought. */
static bool message_speaks(const struct json *m)
{
    static const char *const members[] = {"content",           "tool_calls", "function_call",
                                          "reasoning_content", "reasoning",  "thinking"};
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        if (row_filled(json_get(m, members[i]))) return true;
    return false;
}

/* ---- messages ---- */
/* Sets *extra to the members other than role and a string content. */
static int get_extra(const struct json *m, struct arena *a, struct str *extra, struct err *e)
{
    struct buf b = {0};
    for (size_t i = 0; i < m->count; i++) {
        bool content = str_is(m->keys[i], "content") && m->items[i].kind == JSON_STRING;
        if (!content && !str_is(m->keys[i], "role")) put_member(&b, m->keys[i], &m->items[i]);
    }
    int rc = end_extra(&b, a, extra, e);
    buf_free(&b);
    return rc;
}

static int get_message(const struct json *m, struct arena *a, struct stream_message *out,
                       struct err *e)
{
    if (m->kind != JSON_OBJECT) return err_set(e, ERR_DATA, "is %s, not an object", row_kind(m));
    const struct json *role = row_need(m, "role", "each message needs one", e);
    if (!role) return -1;
    if (role->kind != JSON_STRING || role->s.n == 0)
        return err_set(e, ERR_DATA, "\"role\" is %s, not a word", row_kind(role));
    const struct json *content = json_get(m, "content");
    if (row_copy(&out->role.text, role->s, a, e)) return -1;
    if (content && content->kind == JSON_STRING && row_copy(&out->content.text, content->s, a, e))
        return -1;
    return get_extra(m, a, &out->extra, e);
}

int row_messages(const struct json *row, struct arena *a, struct stream_record *rec,
                 const char **empty, struct err *e)
{
    const struct json *v = row_need(row, "messages", "say which format it is with --format", e);
    if (!v) return -1;
    if (v->kind != JSON_ARRAY || v->count == 0)
        return err_set(e, ERR_DATA, "\"messages\" is not a list of messages");
    if (row_room(rec, v->count, a, e)) return -1;
    *empty = no_answer;
    for (size_t i = 0; i < v->count; i++) {
        struct stream_message *m = &rec->messages[rec->nmessages++];
        if (get_message(&v->items[i], a, m, e)) return err_prefix(e, "message %zu", i);
        if (str_is(m->role.text, "assistant")) note_answer(empty, message_speaks(&v->items[i]));
    }
    return row_tools(row, a, rec, e);
}

/* ---- ShareGPT ---- */
static const char *role_of(struct str from)
{
    static const char *const roles[][2] = {
        {"human", "user"},          {"user", "user"},     {"gpt", "assistant"},
        {"assistant", "assistant"}, {"system", "system"}, {"function_call", "assistant"},
        {"observation", "tool"},    {"tool", "tool"},
    };
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        if (str_is(from, roles[i][0])) return roles[i][1];
    return NULL;
}

static int put_call(struct buf *b, const struct json *call, struct err *e)
{
    const struct json *name = call->kind == JSON_OBJECT ? json_get(call, "name") : NULL;
    if (!name || name->kind != JSON_STRING)
        return err_set(e, ERR_DATA, "a function call without a \"name\"");
    buf_puts(b, "{\"type\":\"function\",\"function\":");
    json_write(call, b);
    buf_putc(b, '}');
    return 0;
}

/* Appends the member "tool_calls" for the text of a function call: {"name":..,"arguments":{..}} or
 * a list of such objects. *any: there is a call. */
static int put_calls(struct buf *b, struct str value, struct arena *a, bool *any, struct err *e)
{
    const struct json *v = json_parse(value.p, value.n, a, e);
    if (!v) return err_prefix(e, "the function call");
    const struct json *calls = v->kind == JSON_ARRAY ? v->items : v;
    size_t n = v->kind == JSON_ARRAY ? v->count : 1;
    *any = n > 0;
    buf_puts(b, "\"tool_calls\":[");
    for (size_t i = 0; i < n; i++) {
        if (i) buf_putc(b, ',');
        if (put_call(b, &calls[i], e)) return -1;
    }
    buf_putc(b, ']');
    return 0;
}

/* The members that set the weight of a turn. sft-template reads them. */
static const char *const weights[] = {"weight", "train", "loss", "training"};
enum { WEIGHTS = sizeof weights / sizeof *weights };

static bool is_weight(struct str name)
{
    for (size_t i = 0; i < WEIGHTS; i++)
        if (str_is(name, weights[i])) return true;
    return false;
}

bool row_turn_reads(struct str name)
{
    return str_is(name, "from") || str_is(name, "value") || is_weight(name);
}

/* Sets *extra to the weight of a turn and, where `call` is not NULL, to the calls in its text;
 * *speaks is then true when there is a call. */
static int get_turn_extra(const struct json *t, const struct json *call, struct arena *a,
                          struct str *extra, bool *speaks, struct err *e)
{
    struct buf b = {0};
    int rc = 0;
    for (size_t i = 0; i < t->count; i++)
        if (is_weight(t->keys[i])) put_member(&b, t->keys[i], &t->items[i]);
    if (call) {
        buf_putc(&b, b.len ? ',' : '{');
        rc = put_calls(&b, call->s, a, speaks, e);
    }
    if (!rc) rc = end_extra(&b, a, extra, e);
    buf_free(&b);
    return rc;
}

static int get_turn(const struct json *t, struct arena *a, struct stream_record *rec,
                    const char **empty, struct err *e)
{
    if (t->kind != JSON_OBJECT) return err_set(e, ERR_DATA, "is %s, not an object", row_kind(t));
    const struct json *from = row_need(t, "from", "each turn needs one", e);
    const struct json *value = from ? row_need(t, "value", "each turn needs one", e) : NULL;
    if (!value) return -1;
    const char *role = from->kind == JSON_STRING ? role_of(from->s) : NULL;
    if (!role)
        return err_set(e, ERR_DATA,
                       "\"from\" is not human, gpt, system, function_call or "
                       "observation");
    if (value->kind != JSON_STRING)
        return err_set(e, ERR_DATA, "\"value\" is %s, not a string", row_kind(value));
    bool call = str_is(from->s, "function_call"), speaks = value->s.n > 0;
    if (row_add(rec, role, call ? STR("") : value->s, a, e)) return -1;
    struct str *extra = &rec->messages[rec->nmessages - 1].extra;
    if (get_turn_extra(t, call ? value : NULL, a, extra, &speaks, e)) return -1;
    if (str_is(str_z(role), "assistant")) note_answer(empty, speaks);
    return 0;
}

int row_sharegpt(const struct json *row, struct arena *a, struct stream_record *rec,
                 const char **empty, struct err *e)
{
    const struct json *v =
        row_need(row, "conversations", "say which format it is with --format", e);
    if (!v) return -1;
    if (v->kind != JSON_ARRAY || v->count == 0)
        return err_set(e, ERR_DATA, "\"conversations\" is not a list of turns");
    if (row_room(rec, v->count, a, e)) return -1;
    *empty = no_answer;
    for (size_t i = 0; i < v->count; i++)
        if (get_turn(&v->items[i], a, rec, empty, e)) return err_prefix(e, "turn %zu", i);
    return row_tools_wrapped(row, a, rec, e);
}
