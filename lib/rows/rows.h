/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of the common data formats to conversations. */
#ifndef SFT_ROWS_ROWS_H
#define SFT_ROWS_ROWS_H

#include "base/json.h"
#include "stream/stream.h"

enum row_format { ROW_ALPACA, ROW_MESSAGES, ROW_SHAREGPT, ROW_AUTO };

struct row_keys { /* names of the columns; NULL: not used */
    const char *prompt, *query, *response, *system;
};

/* By the keys of a row: "messages", "conversations", else alpaca. */
enum row_format row_format_of(const struct json *row);

/* Fills source-less *rec from a row; everything is copied into the arena. Messages have no place:
 * the caller says which file and row. *empty: which answer is missing, or NULL when there is
 * something to learn in each. */
int row_convert(enum row_format format, const struct row_keys *keys, const struct json *row,
                struct arena *a, struct stream_record *rec, const char **empty, struct err *e);
/* The column of the system prompt: the option's, "system" of ShareGPT rows, or NULL. */
const char *row_system_key(enum row_format format, const struct row_keys *keys);
/* True for the members of a ShareGPT turn that are read. */
bool row_turn_reads(struct str name);
/* The column of a row's further variables for the chat template. */
#define ROW_KWARGS "chat_template_kwargs"

/* Appends the keys of an object, a few of them: "a", "b", ... */
void row_keys_text(const struct json *row, struct buf *b);
/* True when the value holds something: it is not null, "", [] or {}. */
bool row_filled(const struct json *v);

#endif
