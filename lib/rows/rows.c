/* SPDX-License-Identifier: Apache-2.0 */
/* What the row formats share, and alpaca, the simplest of them. */
#include "rows/impl.h"

#include <string.h>

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

/* ---- alpaca: one question, one answer ---- */
/* The text of a column; null is "" where it may be. */
static int get_text(const struct json *v, const char *key, bool null_too, struct str *s,
                    struct err *e)
{
    *s = STR("");
    if (!v || (null_too && v->kind == JSON_NULL)) return 0;
    if (v->kind != JSON_STRING)
        return err_set(e, ERR_DATA, "\"%s\" is %s, not a string", key, row_kind(v));
    *s = v->s;
    return 0;
}

/* prompt, and query on a line of its own. */
static int join(struct str *to, struct str prompt, struct str query, struct arena *a, struct err *e)
{
    char *p = arena_alloc(a, prompt.n + query.n + 2, e);
    if (!p) return -1;
    memcpy(p, prompt.p, prompt.n);
    *to = (struct str){p, prompt.n};
    if (query.n == 0) return 0;
    p[prompt.n] = '\n';
    memcpy(p + prompt.n + 1, query.p, query.n);
    to->n += query.n + 1;
    return 0;
}

int row_alpaca(const struct row_keys *k, const struct json *row, struct arena *a,
               struct stream_record *rec, const char **empty, struct err *e)
{
    struct str prompt, query, response, user;
    const struct json *p = row_need(row, k->prompt, "name it with --prompt-key", e);
    const struct json *r = p ? row_need(row, k->response, "name it with --response-key", e) : NULL;
    if (!r || get_text(p, k->prompt, false, &prompt, e) ||
        get_text(r, k->response, true, &response, e) ||
        get_text(k->query ? json_get(row, k->query) : NULL, k->query, true, &query, e))
        return -1;
    *empty = response.n ? NULL : "the response is empty";
    if (row_room(rec, 2, a, e) || join(&user, prompt, query, a, e)) return -1;
    if (row_add(rec, "user", user, a, e)) return -1;
    return response.n == 0 ? 0 : row_add(rec, "assistant", response, a, e); /* as ROLL */
}

/* ---- any format ---- */
const char *row_system_key(enum row_format format, const struct row_keys *keys)
{
    return keys->system ? keys->system : format == ROW_SHAREGPT ? "system" : NULL;
}

enum row_format row_format_of(const struct json *row)
{
    if (json_get(row, "messages")) return ROW_MESSAGES;
    if (json_get(row, "conversations")) return ROW_SHAREGPT;
    return ROW_ALPACA;
}

int row_convert(enum row_format format, const struct row_keys *keys, const struct json *row,
                struct arena *a, struct stream_record *rec, const char **empty, struct err *e)
{
    const char *system = row_system_key(format, keys);
    *rec = (struct stream_record){.kind = STREAM_TURNS};
    int rc = format == ROW_MESSAGES   ? row_messages(row, a, rec, empty, e)
             : format == ROW_SHAREGPT ? row_sharegpt(row, a, rec, empty, e)
                                      : row_alpaca(keys, row, a, rec, empty, e);
    if (!rc && system) rc = row_system(row, system, a, rec, e);
    return rc ? rc : row_kwargs(row, a, rec, e);
}
