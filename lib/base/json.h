/* SPDX-License-Identifier: Apache-2.0 */
/* JSON values, and a reader for rows of data, lines, variables and large documents (tokenizer.json,
 * headers of tensors): (pointer, length) strings that are not copied, bounded depth and size,
 * strict UTF-8, no duplicate keys. Small documents are read by doc_parse of doc.h, into these
 * values. */
#ifndef SFT_BASE_JSON_H
#define SFT_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/mem.h"

enum json_kind { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

/* One value in an arena. Members keep their order in the text. */
struct json {
    enum json_kind kind;
    bool truth;         /* JSON_BOOL */
    struct str s;       /* JSON_STRING: the unescaped bytes; JSON_NUMBER: its text as written */
    size_t count;       /* JSON_ARRAY, JSON_OBJECT: number of items */
    struct json *items; /* the values */
    struct str *keys;   /* JSON_OBJECT: keys[i] is the key of items[i] */
};
enum { JSON_MAX_DEPTH = 128 };

/* Parses a document of n bytes into the arena. Strings without escapes point into text, which must
 * outlive the result. Returns NULL with ERR_DATA and a message with line and column, both from 1.
 * Half of a surrogate pair is an error: it has no UTF-8 form, and Hugging Face's tokenizers refuse
 * it too. */
struct json *json_parse(const char *text, size_t n, struct arena *a, struct err *e);

const struct json *json_get(const struct json *object, const char *key); /* NULL when absent */
/* Both return 0, or -1 when v is NULL or not an integer that fits (json_int), or not a finite
 * number (json_real). */
int json_int(const struct json *v, int64_t *out);
int json_real(const struct json *v, double *out);
bool json_is_text(struct str s); /* true for UTF-8, which every string in JSON is */
/* Appends v as compact JSON: members in their order, numbers as they were written. */
void json_write(const struct json *v, struct buf *b);

/* Reads the rows of a JSON array or of JSON Lines. A row is an object, or a list; the first byte
 * that is not white space decides, and for a list also whether it ends on its line and another list
 * follows: then the lines are rows. A BOM is skipped. Memory is bounded by the largest row
 * (JSON_MAX_ROW bytes, 4 million values). Another form or an empty file is ERR_DATA; an empty array
 * has no rows. The caller keeps owning `in`, which must outlive the reader. */
#define JSON_MAX_ROW ((size_t)64 << 20)
struct json_rows;
struct json_rows *json_rows_open(struct io_in *in, struct err *e);
/* Returns 1 and *row (valid until the next call), 0 at the end, or -1 with a message that names the
 * file, the row (from 0) and the line (from 1). */
int json_rows_next(struct json_rows *r, const struct json **row, struct err *e);
/* After a failure inside a row whose end is known: moves behind that row, which counts as one, so
 * that the next call reads on. False after any other failure. */
bool json_rows_skip(struct json_rows *r);
uint64_t json_rows_index(const struct json_rows *r); /* index of the last row, from 0 */
uint64_t json_rows_line(const struct json_rows *r);  /* line where that row starts, from 1 */
void json_rows_close(struct json_rows *r);

#endif
