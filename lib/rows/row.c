/* SPDX-License-Identifier: Apache-2.0 */
/* The helpers that the row formats share: members of a row, strings in the arena, messages. */
#include "rows/impl.h"

enum { KEYS_SHOWN = 12 };

const char *row_kind(const struct json *v)
{
    static const char *const names[] = {"null",     "true or false", "a number",
                                        "a string", "a list",        "an object"};
    return names[v->kind];
}

bool row_filled(const struct json *v)
{
    if (!v || v->kind == JSON_NULL) return false;
    if (v->kind == JSON_STRING) return v->s.n > 0;
    return v->kind < JSON_STRING || v->count > 0;
}

void row_keys_text(const struct json *row, struct buf *b)
{
    for (size_t i = 0; i < row->count && i < KEYS_SHOWN; i++) {
        struct str key = row->keys[i];
        if (key.n > 40) key.n = 40;
        buf_puts(b, i ? ", " : "");
        buf_json(b, key);
    }
    if (row->count > KEYS_SHOWN) buf_puts(b, ", ...");
    if (row->count == 0) buf_puts(b, "none");
}

const struct json *row_need(const struct json *row, const char *key, const char *hint,
                            struct err *e)
{
    const struct json *v = json_get(row, key);
    if (v) return v;
    struct buf keys = {0};
    row_keys_text(row, &keys);
    if (!buf_check(&keys, e))
        err_set(e, ERR_DATA, "no \"%s\" (the keys are %s); %s", key, keys.data, hint);
    buf_free(&keys);
    return NULL;
}

int row_string(const struct json *v, const char *key, bool null_too, struct str *s, struct err *e)
{
    *s = STR("");
    if (!v || (null_too && v->kind == JSON_NULL)) return 0;
    if (v->kind != JSON_STRING)
        return err_set(e, ERR_DATA, "\"%s\" is %s, not a string", key, row_kind(v));
    *s = v->s;
    return 0;
}

const char *row_list_key(const struct row_keys *keys, const struct json *row)
{
    if (keys->messages) return keys->messages;
    return json_get(row, "messages") || !json_get(row, "conversations") ? "messages"
                                                                        : "conversations";
}

const struct json *row_object(const struct row_keys *keys, const struct json *row,
                              struct row_box *box)
{
    if (row->kind != JSON_ARRAY) return row;
    box->key = str_z(keys->messages ? keys->messages : "messages");
    box->object = (struct json){
        .kind = JSON_OBJECT, .count = 1, .items = (struct json *)row, .keys = &box->key};
    return &box->object;
}

const struct json *row_need_list(const struct row_keys *keys, const struct json *row, struct err *e)
{
    const char *key = row_list_key(keys, row);
    const struct json *v = row_need(row, key, "name the column with --messages-key", e);
    if (!v || (v->kind == JSON_ARRAY && v->count)) return v;
    err_set(e, ERR_DATA, "\"%s\" is %s, not a list of messages", key,
            v->kind == JSON_ARRAY ? "an empty list" : row_kind(v));
    return NULL;
}

int row_copy(struct str *to, struct str from, struct arena *a, struct err *e)
{
    char *p = arena_copy(a, from.p, from.n, e);
    if (p) *to = (struct str){p, from.n};
    return p ? 0 : -1;
}

int row_json(struct str *to, const struct json *v, struct arena *a, struct err *e)
{
    struct buf b = {0};
    json_write(v, &b);
    int rc = buf_check(&b, e);
    if (!rc) rc = row_copy(to, (struct str){b.data, b.len}, a, e);
    buf_free(&b);
    return rc;
}

int row_room(struct stream_record *rec, size_t n, struct arena *a, struct err *e)
{
    if (n > 100000) return err_set(e, ERR_DATA, "%zu messages in one conversation", n);
    rec->messages = arena_alloc(a, (n + 1) * sizeof *rec->messages, e);
    return rec->messages ? 0 : -1;
}

int row_add(struct stream_record *rec, const char *role, struct str content, struct arena *a,
            struct err *e)
{
    struct stream_message *m = &rec->messages[rec->nmessages];
    if (row_copy(&m->role.text, str_z(role), a, e)) return -1;
    if (row_copy(&m->content.text, content, a, e)) return -1;
    rec->nmessages++;
    return 0;
}
