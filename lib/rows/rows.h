/* SPDX-License-Identifier: Apache-2.0 */
/* Converts rows of the common data formats to conversations of a stream. */
#ifndef SFT_ROWS_ROWS_H
#define SFT_ROWS_ROWS_H

#include "base/json.h"
#include "stream/stream.h"

enum row_format {
    ROW_ALPACA,   /* a question and an answer, each in a column */
    ROW_MESSAGES, /* a list of messages with role and content */
    ROW_SHAREGPT, /* a list of turns with from and value */
    ROW_PROMPT,   /* TRL's prompt and completion: two texts, or two lists of messages */
    ROW_TEXT,     /* plain text, all of which is trained */
    ROW_AUTO
};
#define ROW_FORMAT_WORDS "alpaca|messages|sharegpt|prompt|text|auto"

/* A name of a role in the data, and the role that it means; "function_call": a call as text. */
struct row_tag {
    struct str name, role;
};
struct row_tags { /* zero-initialise; row_tags_free() releases it */
    struct row_tag *v;
    size_t n, cap;
};
/* Reads NAME=ROLE,...; the strings are those of text. ERR_USAGE for another form, or a role that is
 * not user, assistant, system, tool or function_call. */
int row_tags_parse(const char *text, struct row_tags *tags, struct err *e);
void row_tags_free(struct row_tags *tags);

/* Names of columns and members; NULL: not used, or the format's own name. prompt, response and text
 * are never NULL. */
struct row_keys {
    const char *prompt, *query, *response, *system, *history;
    const char *messages, *role, *content; /* the column of messages, and the members of each */
    const char *text;
    struct row_tags tags;
};

/* A row that is a list of messages, as an object with that list. */
struct row_box {
    struct json object;
    struct str key;
};
/* Returns the row, or, for a list, the object in the box, which holds it. */
const struct json *row_object(const struct row_keys *keys, const struct json *row,
                              struct row_box *box);

/* Tells the format by the keys of a row and, for a list of messages, by its first element. */
enum row_format row_format_of(const struct row_keys *keys, const struct json *row);

/* Converts a row to *rec; the arena owns the copy, and the caller sets rec->source. *empty: a
 * phrase that tells which answer is missing or empty, or NULL. -1 with ERR_DATA or ERR_MEMORY; the
 * message does not name the file and the row. */
int row_convert(enum row_format format, const struct row_keys *keys, const struct json *row,
                struct arena *a, struct stream_record *rec, const char **empty, struct err *e);
/* Returns the column with the list of messages: the option's, "messages" or "conversations". */
const char *row_list_key(const struct row_keys *keys, const struct json *row);
/* True for the columns that row_convert() reads. */
bool row_reads(enum row_format format, const struct row_keys *keys, const struct json *row,
               struct str name);
/* True for the members of a ShareGPT turn that row_convert() reads. */
bool row_turn_reads(const struct row_keys *keys, struct str name);
/* The column of a row's variables for the chat template. */
#define ROW_KWARGS "chat_template_kwargs"

/* Appends the first keys of an object for a message: "a", "b", ... */
void row_keys_text(const struct json *row, struct buf *b);
/* False for NULL, null, "", [] and {}. */
bool row_filled(const struct json *v);

#endif
