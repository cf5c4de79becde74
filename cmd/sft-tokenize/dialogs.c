/* SPDX-License-Identifier: Apache-2.0 */
/* Rows that hold whole conversations: {"messages":[{"role","content",...}],"tools":[...]} and the
 * ShareGPT form {"conversations":[{"from","value"}],"system":"...","tools":"..."}. */
#include <stdlib.h>

#include "rows.h"

/* ---- messages ---- */
/* Every member but role and a string content, as they are. */
static int get_extra(const struct json *m, struct arena *a, struct str *extra, struct err *e)
{
    struct buf b = {0};
    for (size_t i = 0; i < m->count; i++) {
        bool content = str_is(m->keys[i], "content") && m->items[i].kind == JSON_STRING;
        if (content || str_is(m->keys[i], "role")) continue;
        buf_putc(&b, b.len ? ',' : '{');
        buf_json(&b, m->keys[i]);
        buf_putc(&b, ':');
        json_write(&m->items[i], &b);
    }
    if (b.len) buf_putc(&b, '}');
    int rc = buf_check(&b, e);
    if (rc == 0 && b.len) rc = row_copy(extra, (struct str){b.data, b.len}, a, e);
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
    if (row_copy(&out->role.text, role->s, a, e) < 0) return -1;
    if (content && content->kind == JSON_STRING &&
        row_copy(&out->content.text, content->s, a, e) < 0)
        return -1;
    return get_extra(m, a, &out->extra, e);
}

/* Does an assistant's message hold anything? A tool call does without content. */
static bool speaks(const struct json *m)
{
    const struct json *role = json_get(m, "role");
    return role && role->kind == JSON_STRING && str_is(role->s, "assistant") &&
           (row_filled(json_get(m, "content")) || row_filled(json_get(m, "tool_calls")));
}

int row_messages(const struct json *row, struct arena *a, struct stream_record *rec, bool *empty,
                 struct err *e)
{
    const struct json *v = row_need(row, "messages", "say which format it is with --format", e);
    if (!v) return -1;
    if (v->kind != JSON_ARRAY || v->count == 0)
        return err_set(e, ERR_DATA, "\"messages\" is not a list of messages");
    if (row_room(rec, v->count, a, e) < 0) return -1;
    *empty = true;
    for (size_t i = 0; i < v->count; i++) {
        if (get_message(&v->items[i], a, &rec->messages[rec->nmessages++], e) < 0)
            return err_prefix(e, "message %zu", i);
        if (speaks(&v->items[i])) *empty = false;
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

/* {"name":..,"arguments":{..}}, or a list of them, to the member tool_calls of a message. */
static int get_calls(struct str value, struct arena *a, struct str *extra, struct err *e)
{
    const struct json *v = json_parse(value.p, value.n, a, e);
    if (!v) return err_prefix(e, "the function call");
    const struct json *calls = v->kind == JSON_ARRAY ? v->items : v;
    size_t n = v->kind == JSON_ARRAY ? v->count : 1;
    struct buf b = {0};
    int rc = 0;
    buf_puts(&b, "{\"tool_calls\":[");
    for (size_t i = 0; rc == 0 && i < n; i++) {
        if (i) buf_putc(&b, ',');
        rc = put_call(&b, &calls[i], e);
    }
    buf_puts(&b, "]}");
    if (rc == 0) rc = buf_check(&b, e);
    if (rc == 0) rc = row_copy(extra, (struct str){b.data, b.len}, a, e);
    buf_free(&b);
    return rc;
}

static int get_turn(const struct json *t, struct arena *a, struct stream_record *rec, bool *empty,
                    struct err *e)
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
    bool call = str_is(from->s, "function_call");
    if (row_add(rec, role, call ? STR("") : value->s, a, e) < 0) return -1;
    if (str_is(str_z(role), "assistant") && value->s.n) *empty = false;
    return call ? get_calls(value->s, a, &rec->messages[rec->nmessages - 1].extra, e) : 0;
}

int row_sharegpt(const struct json *row, struct arena *a, struct stream_record *rec, bool *empty,
                 struct err *e)
{
    const struct json *v =
        row_need(row, "conversations", "say which format it is with --format", e);
    const struct json *system = json_get(row, "system");
    if (!v) return -1;
    if (v->kind != JSON_ARRAY || v->count == 0)
        return err_set(e, ERR_DATA, "\"conversations\" is not a list of turns");
    if (row_room(rec, v->count + 1, a, e) < 0) return -1;
    if (row_filled(system) && system->kind != JSON_STRING)
        return err_set(e, ERR_DATA, "\"system\" is %s, not a string", row_kind(system));
    if (row_filled(system) && row_add(rec, "system", system->s, a, e) < 0) return -1;
    *empty = true;
    for (size_t i = 0; i < v->count; i++)
        if (get_turn(&v->items[i], a, rec, empty, e) < 0) return err_prefix(e, "turn %zu", i);
    return row_tools_wrapped(row, a, rec, e);
}
