/* SPDX-License-Identifier: Apache-2.0 */
/* Private to lib/rows: the row formats and the helpers that they share. */
#ifndef SFT_ROWS_IMPL_H
#define SFT_ROWS_IMPL_H

#include "rows/rows.h"

/* ---- one format each; *empty as in row_convert() ---- */
int row_alpaca(const struct row_keys *keys, const struct json *row, struct arena *a,
               struct stream_record *rec, const char **empty, struct err *e);
int row_messages(const struct row_keys *keys, const struct json *row, struct arena *a,
                 struct stream_record *rec, const char **empty, struct err *e);
int row_sharegpt(const struct row_keys *keys, const struct json *row, struct arena *a,
                 struct stream_record *rec, const char **empty, struct err *e);
int row_prompt(const struct row_keys *keys, const struct json *row, struct arena *a,
               struct stream_record *rec, const char **empty, struct err *e);
int row_text(const struct row_keys *keys, const struct json *row, struct arena *a,
             struct stream_record *rec, const char **empty, struct err *e);
/* Sets the columns of a prompt and its completion: those of the options where the row has both,
 * else "prompt" and "completion". */
void row_prompt_keys(const struct row_keys *keys, const struct json *row, const char **prompt,
                     const char **completion);

/* ---- messages ---- */
extern const char row_no_answer[]; /* the value of *empty before the first answer */
/* Appends the messages of a list; room must be there. untrained: answers in it that set no weight
 * are not trained. The message names the place as "message N". */
int row_add_messages(const struct row_keys *keys, const struct json *list, bool untrained,
                     struct arena *a, struct stream_record *rec, const char **empty, struct err *e);
/* Returns the role that a name in the data means. `known`: only names of the options and ShareGPT's
 * are accepted; p NULL for another. */
struct str row_role(const struct row_keys *keys, struct str name, bool known);

/* ---- system prompt, tools and template variables ---- */
/* Inserts the text of the column KEY, where it is filled, as the first message. A conversation that
 * begins with the same system prompt stays as it is; another system prompt is ERR_DATA, and so is
 * one beside plain text. */
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
/* Reads the text of a column. A missing one is "", and so is null where null_too is set. */
int row_string(const struct json *v, const char *key, bool null_too, struct str *s, struct err *e);
/* Returns a required member; NULL with ERR_DATA, the keys that the row has, and the hint. */
const struct json *row_need(const struct json *row, const char *key, const char *hint,
                            struct err *e);
/* Returns the row's list of messages; NULL with ERR_DATA when it is not a list with an element. */
const struct json *row_need_list(const struct row_keys *keys, const struct json *row,
                                 struct err *e);
const char *row_kind(const struct json *v); /* the type for messages: "a number", "null", ... */

#endif
