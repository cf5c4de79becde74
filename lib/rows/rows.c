/* SPDX-License-Identifier: Apache-2.0 */
/* Rows to conversations: alpaca, and the choice of the format. */
#include "rows/impl.h"

#include <string.h>

/* ---- alpaca: one question, one answer ---- */
/* Reads the text of a column. A missing one is "", and so is null where null_too is set. */
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

/* Joins prompt and query by a newline; an empty query adds nothing. */
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

static int row_alpaca(const struct row_keys *k, const struct json *row, struct arena *a,
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
    if (!response.n) return 0; /* ROLL makes no message of an empty answer */
    return row_add(rec, "assistant", response, a, e);
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
