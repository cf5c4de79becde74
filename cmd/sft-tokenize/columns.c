/* SPDX-License-Identifier: Apache-2.0 */
/* Compares the columns of rows with the columns that their format and the options use. */
#include "columns.h"

#include <string.h>

#include "base/log.h"

/* ---- the columns that are used ---- */
static bool is_one_of(struct str name, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (names[i] && str_is(name, names[i])) return true;
    return false;
}

static bool is_used(enum row_format format, const struct row_keys *k, struct str name)
{
    const char *const alpaca[] = {k->prompt, k->query, k->response};
    const char *const dialog[] = {format == ROW_MESSAGES ? "messages" : "conversations", "tools"};
    const char *const all[] = {row_system_key(format, k), ROW_KWARGS};
    return is_one_of(name, all, 2) ||
           (format == ROW_ALPACA ? is_one_of(name, alpaca, 3) : is_one_of(name, dialog, 2));
}

/* ---- counting ---- */
static void count_asked(struct columns_asked *a, const char *key, const struct json *row)
{
    if (!key) return;
    a->rows++;
    if (json_get(row, key))
        a->with++;
    else if (!a->keys.data)
        row_keys_text(row, &a->keys);
}

static void count_turns(struct columns *c, const struct json *turns)
{
    if (!turns || turns->kind != JSON_ARRAY) return;
    for (size_t i = 0; i < turns->count; i++) {
        const struct json *t = &turns->items[i];
        c->turns++;
        for (size_t k = 0; k < t->count; k++)
            if (!row_turn_reads(t->keys[k]) && row_filled(&t->items[k]))
                unused_count(&c->turn, t->keys[k], ROW_SHAREGPT);
    }
}

void columns_count(struct columns *c, enum row_format format, const struct row_keys *keys,
                   const struct json *row)
{
    c->rows++;
    if (format == ROW_ALPACA) count_asked(&c->query, keys->query, row);
    count_asked(&c->system, keys->system, row);
    for (size_t i = 0; i < row->count; i++)
        if (!is_used(format, keys, row->keys[i]) && row_filled(&row->items[i]))
            unused_count(&c->row, row->keys[i], format);
    if (format == ROW_SHAREGPT) count_turns(c, json_get(row, "conversations"));
}

/* ---- the report ---- */
#define ALPACA (1u << ROW_ALPACA)
static const struct unused_watched row_names[] = {
    {"input", "--query-key", NULL, ALPACA},
    {"query", "--query-key", NULL, ALPACA},
    {"context", "--query-key", NULL, ALPACA},
    {"system", "--system-key", NULL, 0},
    {"system_prompt", "--system-key", NULL, 0},
    {"history", NULL, "rows of messages can hold it", ALPACA},
    {"tools", NULL, "rows of messages can have them", ALPACA},
    {"functions", NULL, "the template gets \"tools\"", 0},
    {"documents", NULL, "the template gets what is in \"" ROW_KWARGS "\"", 0},
};
#define CALL    "a turn from function_call holds a call"
#define THOUGHT "rows of messages can have it"
static const struct unused_watched turn_names[] = {
    {"tool_calls", NULL, CALL, 0},           {"function_call", NULL, CALL, 0},
    {"reasoning_content", NULL, THOUGHT, 0}, {"reasoning", NULL, THOUGHT, 0},
    {"thinking", NULL, THOUGHT, 0},
};

static int check_asked(const struct columns_asked *a, const char *key, const char *option,
                       struct err *e)
{
    if (a->rows == 0 || a->with) return 0;
    if (buf_check(&a->keys, e)) return -1;
    return err_set(e, ERR_DATA, "no row has \"%s\" (%s); the keys of the first row are %s", key,
                   option, a->keys.data);
}

int columns_report(const struct columns *c, const struct row_keys *keys, struct err *e)
{
    if (check_asked(&c->query, keys->query, "--query-key", e)) return -1;
    if (check_asked(&c->system, keys->system, "--system-key", e)) return -1;
    if (keys->query && c->rows && !c->query.rows)
        log_line(LOG_WARN, "--query-key %s: only alpaca rows have a query, and there are none",
                 keys->query);
    if (unused_report(&c->row, "columns", "rows", c->rows, row_names,
                      sizeof row_names / sizeof *row_names, e))
        return -1;
    return unused_report(&c->turn, "members", "turns", c->turns, turn_names,
                         sizeof turn_names / sizeof *turn_names, e);
}

void columns_free(struct columns *c)
{
    buf_free(&c->query.keys);
    buf_free(&c->system.keys);
}
