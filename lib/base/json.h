/* SPDX-License-Identifier: Apache-2.0 */
/* A JSON reader for rows of data and large documents: (pointer, length) strings, bounded depth and
 * size, strict UTF-8, duplicates refused. */
#ifndef SFT_BASE_JSON_H
#define SFT_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/mem.h"

enum json_kind { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

/* One value in an arena. Members keep the order of the file. */
struct json {
    enum json_kind kind;
    bool truth;         /* JSON_BOOL */
    struct str s;       /* JSON_STRING: the unescaped bytes; JSON_NUMBER: its text as written */
    size_t count;       /* JSON_ARRAY, JSON_OBJECT */
    struct json *items; /* values */
    struct str *keys;   /* JSON_OBJECT: key of items[i] */
};
enum { JSON_MAX_DEPTH = 128 };

/* A whole document of n bytes; everything lands in the arena (strings are copied only where they
 * had escapes, else they point into text, which must outlive the result). The message gives line
 * and column from 1. NULL with ERR_DATA. Half a surrogate pair is refused: it has no UTF-8 form,
 * and Hugging Face's tokenizers end in an error on it too. */
struct json *json_parse(const char *text, size_t n, struct arena *a, struct err *e);

const struct json *json_get(const struct json *object, const char *key); /* NULL when absent */
int json_int(const struct json *v, int64_t *out); /* -1 unless an integer that fits */
int json_real(const struct json *v, double *out); /* -1 unless a finite number */
/* Appends v as compact JSON: members in their order, numbers as they were written. */
void json_write(const struct json *v, struct buf *b);

/* Rows of a file that is either a JSON array of objects or JSON Lines (told by the first byte that
 * is not white space; a BOM is skipped). Streaming: memory is bounded by the largest row
 * (JSON_MAX_ROW bytes, 4 million values). A file with neither form, or empty, is ERR_DATA; an empty
 * array is no row and no error. in stays the caller's and must outlive the reader. */
#define JSON_MAX_ROW ((size_t)64 << 20)
struct json_rows;
struct json_rows *json_rows_open(struct io_in *in, struct err *e);
/* 1 and *row (valid until the next call), 0 at the end, -1 with a message that names file, row
 * (from 0) and, for JSON Lines, the line (from 1). */
int json_rows_next(struct json_rows *r, const struct json **row, struct err *e);
uint64_t json_rows_index(const struct json_rows *r); /* of the row last given, from 0 */
uint64_t json_rows_line(const struct json_rows *r);  /* line where it starts, from 1 */
bool json_rows_is_lines(const struct json_rows *r);
uint64_t json_rows_bytes(const struct json_rows *r); /* consumed so far */
void json_rows_close(struct json_rows *r);

#endif
