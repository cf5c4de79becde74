/* SPDX-License-Identifier: Apache-2.0 */
/* Private to lib/rows: the forms of rows, and what they share. */
#ifndef SFT_ROWS_IMPL_H
#define SFT_ROWS_IMPL_H

#include "rows/rows.h"

int row_alpaca(const struct row_keys *keys, const struct json *row, struct arena *a,
               struct stream_record *rec, const char **empty, struct err *e);
int row_messages(const struct json *row, struct arena *a, struct stream_record *rec,
                 const char **empty, struct err *e);
int row_sharegpt(const struct json *row, struct arena *a, struct stream_record *rec,
                 const char **empty, struct err *e);
/* The text of the column KEY, where it is filled, becomes the first message. A conversation that
 * begins with the same system prompt stays as it is; with another, it is ERR_DATA. */
int row_system(const struct json *row, const char *key, struct arena *a, struct stream_record *rec,
               struct err *e);
/* The row's tools as they stand: an empty list is one. A string that holds a list is parsed. */
int row_tools(const struct json *row, struct arena *a, struct stream_record *rec, struct err *e);
/* As ShareGPT rows have them: functions that stand alone are wrapped as chat templates expect them,
 * and an empty list is none. */
int row_tools_wrapped(const struct json *row, struct arena *a, struct stream_record *rec,
                      struct err *e);
/* The row's further variables for the chat template, an object or a string that holds one. */
int row_kwargs(const struct json *row, struct arena *a, struct stream_record *rec, struct err *e);
/* Room for n messages, and for a system prompt before them. */
int row_room(struct stream_record *rec, size_t n, struct arena *a, struct err *e);
/* The next message of rec; text is copied. */
int row_add(struct stream_record *rec, const char *role, struct str content, struct arena *a,
            struct err *e);
int row_copy(struct str *to, struct str from, struct arena *a, struct err *e);
/* v as JSON text in the arena. */
int row_json(struct str *to, const struct json *v, struct arena *a, struct err *e);
/* A member that must be there: "no KEY (keys: ...); HINT". */
const struct json *row_need(const struct json *row, const char *key, const char *hint,
                            struct err *e);
const char *row_kind(const struct json *v); /* "a number", "null", ... */

#endif
