/* SPDX-License-Identifier: Apache-2.0 */
/* Compares the columns of rows with the columns that their format and the options use. */
#include "columns.h"

#include <string.h>

#include "base/log.h"

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

static void count_turns(struct columns *c, const struct row_keys *keys, const struct json *turns)
{
    if (!turns || turns->kind != JSON_ARRAY) return;
    for (size_t i = 0; i < turns->count; i++) {
        const struct json *t = &turns->items[i];
        c->turns++;
        for (size_t k = 0; k < t->count; k++)
            if (!row_turn_reads(keys, t->keys[k]) && row_filled(&t->items[k]))
                unused_count(&c->turn, t->keys[k], ROW_SHAREGPT);
    }
}

void columns_count(struct columns *c, enum row_format format, const struct row_keys *keys,
                   const struct json *row)
{
    c->rows++;
    if (format == ROW_ALPACA) count_asked(&c->query, keys->query, row);
    count_asked(&c->system, keys->system, row);
    if (format == ROW_ALPACA) count_asked(&c->history, keys->history, row);
    for (size_t i = 0; i < row->count; i++)
        if (!row_reads(format, keys, row, row->keys[i]) && row_filled(&row->items[i]))
            unused_count(&c->row, row->keys[i], format);
    if (format == ROW_SHAREGPT) count_turns(c, keys, json_get(row, row_list_key(keys, row)));
}

/* ---- the report ---- */
#define ALPACA (1u << ROW_ALPACA)
static const struct unused_watched row_names[] = {
    {"input", "--query-key", NULL, ALPACA},
    {"query", "--query-key", NULL, ALPACA},
    {"context", "--query-key", NULL, ALPACA},
    {"system", "--system-key", NULL, 0},
    {"system_prompt", "--system-key", NULL, 0},
    {"history", "--history-key", NULL, ALPACA},
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

/* A column that only some sets have may be named for all of them, so its absence is no error. */
static int report_asked(const struct columns *c, const struct columns_asked *a, const char *key,
                        const char *option, const char *what, struct err *e)
{
    struct err absent = {0};
    if (key && c->rows && !a->rows)
        log_line(LOG_WARN, "%s %s: only alpaca rows have a %s, and there are none", option, key,
                 what);
    if (!check_asked(a, key, option, &absent)) return 0;
    if (absent.code != ERR_DATA) return err_set(e, absent.code, "%s", absent.msg);
    log_line(LOG_WARN, "%s", absent.msg);
    return 0;
}

int columns_report(const struct columns *c, const struct row_keys *keys, struct err *e)
{
    if (check_asked(&c->system, keys->system, "--system-key", e) ||
        report_asked(c, &c->query, keys->query, "--query-key", "query", e) ||
        report_asked(c, &c->history, keys->history, "--history-key", "history", e))
        return -1;
    if (unused_report(&c->row, "columns", "rows", c->rows, row_names,
                      sizeof row_names / sizeof *row_names, e))
        return -1;
    return unused_report(&c->turn, "members", "turns", c->turns, turn_names,
                         sizeof turn_names / sizeof *turn_names, e);
}

void columns_free(struct columns *c)
{
    buf_free(&c->query.keys);
    buf_free(&c->history.keys);
    buf_free(&c->system.keys);
}
