/* SPDX-License-Identifier: Apache-2.0 */
/* Small documents (configurations, adapters, indexes, manifests, run.json) are read and written
 * through cJSON. doc_parse makes the tree of json.h, and adds what cJSON lacks: one text, duplicate
 * keys, a bound of depth, strict UTF-8 and escapes, numbers as they are written. A document that is
 * written is filled member by member, so that separators, quotes and layout cannot go wrong.
 * json.h reads what is large (tokenizer.json, headers of tensors) or comes in rows, without a tree
 * of cJSON's between, and what commands for data read, which do not need cJSON. */
#ifndef SFT_BASE_DOC_H
#define SFT_BASE_DOC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"

/* Parses a document of n bytes into the arena. Nothing in the result points into text, which may be
 * NULL if n is 0. Returns NULL with ERR_MEMORY, or with ERR_DATA and a message with line and
 * column, both from 1. It takes what json_parse takes, but for documents larger than these bounds,
 * which an index of a million tensors reaches, and which keep the memory for a hostile text below
 * 512 MiB. */
enum {
    DOC_MOST = 64 << 20,  /* bytes */
    DOC_VALUES = 1 << 20, /* commas and opening brackets, those in strings too */
    DOC_NUMBER = 63       /* characters of a number; cJSON before 1.7.19 reads no more */
};
struct json *doc_parse(const char *text, size_t n, struct arena *a, struct err *e);

struct cJSON;
enum { DOC_DEPTH = 4 };
/* A document that is being filled. A failed addition is remembered, so a run of additions needs no
 * check before doc_print or doc_put. */
struct doc {
    struct cJSON *at[DOC_DEPTH]; /* the open containers; the document is the first */
    int depth;                   /* index of the innermost open one */
    bool failed, deep;           /* an addition failed; more than DOC_DEPTH levels */
};
void doc_begin(struct doc *d); /* an empty object; doc_print or doc_put ends it */

/* Each adds a value to the innermost open container: under the key to an object; to a list, with
 * key NULL. Keys and texts are UTF-8 and not copied: they must live until the document's end. */
void doc_text(struct doc *d, const char *key, const char *z); /* z NULL: null */
void doc_bool(struct doc *d, const char *key, bool v);
void doc_int(struct doc *d, const char *key, int64_t v);
void doc_uint(struct doc *d, const char *key, uint64_t v);
/* text: a value as JSON, which is copied; a real number comes as its text. */
void doc_raw(struct doc *d, const char *key, const char *text);
/* Open an object or a list; what is added goes there until doc_close. */
void doc_object(struct doc *d, const char *key);
void doc_list(struct doc *d, const char *key);
void doc_close(struct doc *d);

/* Both end the document and return 0, or -1 with ERR_MEMORY, ERR_INTERNAL for more than DOC_DEPTH
 * levels, or the failure of writing. doc_print appends the text to b: members on lines of their
 * own, indented by two spaces, lists of plain values on one line. doc_put writes it to the file
 * DIR/NAME. */
MUST_CHECK int doc_print(struct doc *d, struct buf *b, struct err *e);
MUST_CHECK int doc_put(struct doc *d, const char *dir, const char *name, struct err *e);

#endif
