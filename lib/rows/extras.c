/* SPDX-License-Identifier: Apache-2.0 */
/* The columns besides a row's messages: system prompt, tools, variables of the chat template. */
#include <string.h>

#include "chat/chat.h"
#include "rows/impl.h"

/* ---- system prompt ---- */
static int add_first(struct stream_record *rec, struct str text, struct arena *a, struct err *e)
{
    struct stream_message *m = rec->messages;
    memmove(m + 1, m, rec->nmessages++ * sizeof *m);
    *m = (struct stream_message){0};
    if (row_copy(&m->role.text, STR("system"), a, e)) return -1;
    return row_copy(&m->content.text, text, a, e);
}

int row_system(const struct json *row, const char *key, struct arena *a, struct stream_record *rec,
               struct err *e)
{
    const struct json *v = json_get(row, key);
    if (!row_filled(v)) return 0;
    if (v->kind != JSON_STRING)
        return err_set(e, ERR_DATA, "\"%s\" is %s, not a string", key, row_kind(v));
    const struct stream_message *first = rec->messages;
    if (!first->role.text.n)
        return err_set(e, ERR_DATA,
                       "\"%s\" is filled beside plain text, which takes no system prompt", key);
    if (!str_is(first->role.text, "system")) return add_first(rec, v->s, a, e);
    if (first->content.text.p && str_eq(first->content.text, v->s)) return 0;
    return err_set(e, ERR_DATA,
                   "the conversation begins with a system prompt that differs from \"%s\"; "
                   "remove one of them",
                   key);
}

/* ---- tools and variables ---- */

/* Exported rows hold null or "" in an empty column. */
static bool is_absent(const struct json *v)
{
    return !v || v->kind == JSON_NULL || (v->kind == JSON_STRING && v->s.n == 0);
}

/* Sets *out to the member KEY, or to the JSON that a string holds, of the given kind; NULL when the
 * row has none. */
static int get_value(const struct json *row, const char *key, enum json_kind kind, struct arena *a,
                     const struct json **out, struct err *e)
{
    const struct json *v = json_get(row, key);
    *out = NULL;
    if (is_absent(v)) return 0;
    if (v->kind == JSON_STRING && !(v = json_parse(v->s.p, v->s.n, a, e)))
        return err_prefix(e, "\"%s\"", key);
    if (v->kind != kind)
        return err_set(e, ERR_DATA, "\"%s\" is %s, not %s", key, row_kind(v),
                       kind == JSON_ARRAY ? "a list" : "an object");
    *out = v;
    return 0;
}

int row_tools(const struct json *row, struct arena *a, struct stream_record *rec, struct err *e)
{
    const struct json *v;
    if (get_value(row, "tools", JSON_ARRAY, a, &v, e)) return -1;
    return v ? row_json(&rec->tools, v, a, e) : 0;
}

static void put_tool(struct buf *b, const struct json *tool)
{
    bool bare = tool->kind == JSON_OBJECT && !json_get(tool, "function");
    if (bare) buf_puts(b, "{\"type\":\"function\",\"function\":");
    json_write(tool, b);
    if (bare) buf_putc(b, '}');
}

int row_tools_wrapped(const struct json *row, struct arena *a, struct stream_record *rec,
                      struct err *e)
{
    const struct json *v;
    if (get_value(row, "tools", JSON_ARRAY, a, &v, e)) return -1;
    if (!v || v->count == 0) return 0;
    struct buf b = {0};
    for (size_t i = 0; i < v->count; i++) {
        buf_putc(&b, i ? ',' : '[');
        put_tool(&b, &v->items[i]);
    }
    buf_putc(&b, ']');
    int rc = buf_check(&b, e);
    if (!rc) rc = row_copy(&rec->tools, (struct str){b.data, b.len}, a, e);
    buf_free(&b);
    return rc;
}

int row_kwargs(const struct json *row, struct arena *a, struct stream_record *rec, struct err *e)
{
    const struct json *v;
    if (get_value(row, ROW_KWARGS, JSON_OBJECT, a, &v, e)) return -1;
    if (!v || v->count == 0) return 0;
    for (size_t i = 0; i < v->count; i++)
        if (chat_is_own_variable(v->keys[i]))
            return err_set(e, ERR_DATA,
                           "\"" ROW_KWARGS "\": \"%.*s\" cannot be set by a row; remove it",
                           STR_FMT(v->keys[i]));
    return row_json(&rec->kwargs, v, a, e);
}
