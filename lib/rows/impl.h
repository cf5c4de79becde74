/* SPDX-License-Identifier: Apache-2.0 */
/* Private to lib/rows: the row formats and the helpers that they share. */
#ifndef SFT_ROWS_IMPL_H
#define SFT_ROWS_IMPL_H

#include "rows/rows.h"

/* ---- one format each; *empty as in row_convert() ---- */
int row_messages(const struct json *row, struct arena *a, struct stream_record *rec,
                 const char **empty, struct err *e);
int row_sharegpt(const struct json *row, struct arena *a, struct stream_record *rec,
                 const char **empty, struct err *e);
/* ---- system prompt, tools and template variables ---- */
/* Inserts the text of the column KEY, where it is filled, as the first message. A conversation that
 * begins with the same system prompt stays as it is; another system prompt is ERR_DATA. */
int row_system(const struct json *row, const char *key, struct arena *a, struct stream_record *rec,
               struct err *e);
/* Sets the tools to the row's list, which may be empty, or to the list that a string holds. */
int row_tools(const struct json *row, struct arena *a, struct stream_record *rec, struct err *e);
/* Sets the tools of a ShareGPT row: bare functions are wrapped as chat templates expect them, and
 * an empty list is none. */
int row_tools_wrapped(const struct json *row, struct arena *a, struct stream_record *rec,
                      struct err *e);
/* Sets the variables of the chat template to the row's object, or to that in a string. */
int row_kwargs(const struct json *row, struct arena *a, struct stream_record *rec, struct err *e);
/* ---- helpers (row.c); the arena owns what they make ---- */
/* Allocates room for n messages and a system prompt. */
int row_room(struct stream_record *rec, size_t n, struct arena *a, struct err *e);
/* Appends a message to rec and copies its text. */
int row_add(struct stream_record *rec, const char *role, struct str content, struct arena *a,
            struct err *e);
int row_copy(struct str *to, struct str from, struct arena *a, struct err *e);
/* Sets *to to v as JSON text. */
int row_json(struct str *to, const struct json *v, struct arena *a, struct err *e);
/* Returns a required member; NULL with ERR_DATA, the keys that the row has, and the hint. */
const struct json *row_need(const struct json *row, const char *key, const char *hint,
                            struct err *e);
const char *row_kind(const struct json *v); /* the type for messages: "a number", "null", ... */

#endif
