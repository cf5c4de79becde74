/* SPDX-License-Identifier: Apache-2.0 */
/* Converts rows of the common data formats to conversations of a stream. */
#ifndef SFT_ROWS_ROWS_H
#define SFT_ROWS_ROWS_H

#include "base/json.h"
#include "stream/stream.h"

enum row_format { ROW_ALPACA, ROW_MESSAGES, ROW_SHAREGPT, ROW_AUTO };

struct row_keys { /* names of the columns; NULL: not used */
    const char *prompt, *query, *response, *system;
};

/* Tells the format by the keys of a row: "messages", "conversations", else alpaca. */
enum row_format row_format_of(const struct json *row);

/* Converts a row to *rec; the arena owns the copy, and the caller sets rec->source. *empty: a
 * phrase that tells which answer is missing or empty, or NULL. -1 with ERR_DATA or ERR_MEMORY; the
 * message does not name the file and the row. */
int row_convert(enum row_format format, const struct row_keys *keys, const struct json *row,
                struct arena *a, struct stream_record *rec, const char **empty, struct err *e);
/* Returns the column of the system prompt: the option's, "system" for ShareGPT rows, or NULL. */
const char *row_system_key(enum row_format format, const struct row_keys *keys);
/* True for the members of a ShareGPT turn that row_convert() reads. */
bool row_turn_reads(struct str name);
/* The column of a row's variables for the chat template. */
#define ROW_KWARGS "chat_template_kwargs"

/* Appends the first keys of an object for a message: "a", "b", ... */
void row_keys_text(const struct json *row, struct buf *b);
/* False for NULL, null, "", [] and {}. */
bool row_filled(const struct json *v);

#endif
