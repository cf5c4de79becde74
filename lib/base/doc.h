/* SPDX-License-Identifier: Apache-2.0 */
/* Writes small documents (configurations, indexes, manifests) through cJSON: an object is filled
 * member by member, so that separators, quotes and layout cannot go wrong. json.h reads them, which
 * is stricter: cJSON takes duplicate keys, invalid UTF-8, leading zeros and control characters in
 * strings, ends a text at an escaped NUL, and keeps neither the place nor the text of a number. */
#ifndef SFT_BASE_DOC_H
#define SFT_BASE_DOC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

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
