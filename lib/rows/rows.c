/* SPDX-License-Identifier: Apache-2.0 */
/* Rows to conversations: the choice of the format, and the columns that each reads. */
#include "rows/impl.h"

/* Returns the column of the system prompt: the option's, "system" for ShareGPT rows, or NULL. */
static const char *system_key(enum row_format format, const struct row_keys *keys)
{
    return keys->system ? keys->system : format == ROW_SHAREGPT ? "system" : NULL;
}

/* ---- the format ---- */
static bool is_list(const struct json *v) { return v && v->kind == JSON_ARRAY; }

static enum row_format list_format(const struct row_keys *keys, const struct json *list)
{
    const struct json *first = is_list(list) && list->count ? &list->items[0] : NULL;
    if (!first || first->kind != JSON_OBJECT || keys->role) return ROW_MESSAGES;
    return !json_get(first, "role") && json_get(first, "from") ? ROW_SHAREGPT : ROW_MESSAGES;
}

enum row_format row_format_of(const struct row_keys *keys, const struct json *row)
{
    const struct json *list = json_get(row, row_list_key(keys, row));
    if (list || keys->messages) return list_format(keys, list);
    const struct json *p = json_get(row, keys->prompt), *r = json_get(row, keys->response);
    if (p && r) return is_list(p) && is_list(r) ? ROW_PROMPT : ROW_ALPACA;
    if (json_get(row, "prompt") && json_get(row, "completion")) return ROW_PROMPT;
    return !p && json_get(row, keys->text) ? ROW_TEXT : ROW_ALPACA;
}

static bool is_one_of(struct str name, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (names[i] && str_is(name, names[i])) return true;
    return false;
}

bool row_reads(enum row_format format, const struct row_keys *k, const struct json *row,
               struct str name)
{
    const char *names[6] = {system_key(format, k), ROW_KWARGS};
    switch (format) {
    case ROW_ALPACA:
        names[2] = k->prompt, names[3] = k->query, names[4] = k->response, names[5] = k->history;
        break;
    case ROW_PROMPT:
        row_prompt_keys(k, row, &names[2], &names[3]);
        if (is_list(json_get(row, names[2]))) names[4] = "tools";
        break;
    case ROW_TEXT:
        names[2] = k->text;
        break;
    default:
        names[2] = row_list_key(k, row), names[3] = "tools";
    }
    return is_one_of(name, names, sizeof names / sizeof *names);
}

int row_convert(enum row_format format, const struct row_keys *keys, const struct json *row,
                struct arena *a, struct stream_record *rec, const char **empty, struct err *e)
{
    static int (*const convert[])(const struct row_keys *, const struct json *, struct arena *,
                                  struct stream_record *, const char **, struct err *) = {
        [ROW_ALPACA] = row_alpaca, [ROW_MESSAGES] = row_messages, [ROW_SHAREGPT] = row_sharegpt,
        [ROW_PROMPT] = row_prompt, [ROW_TEXT] = row_text,
    };
    const char *system = system_key(format, keys);
    *rec = (struct stream_record){.kind = STREAM_TURNS};
    int rc = convert[format](keys, row, a, rec, empty, e);
    if (!rc && system) rc = row_system(row, system, a, rec, e);
    return rc ? rc : row_kwargs(row, a, rec, e);
}
