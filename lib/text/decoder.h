/* SPDX-License-Identifier: Apache-2.0 */
/* The "decoder" of tokenizer.json: from the strings of tokens to text. */
#ifndef SFT_TEXT_DECODER_H
#define SFT_TEXT_DECODER_H

#include "base/buf.h"
#include "base/json.h"

struct decoder; /* a list of steps; immutable */
/* Loads the decoder; decoder_free() releases it. Without one (o is NULL or null), spaces join the
 * tokens. NULL with ERR_DATA or ERR_MEMORY. */
struct decoder *decoder_load(const struct json *o, struct err *e);
void decoder_free(struct decoder *d);

/* A list of strings in one buffer; zero-initialise it. */
struct decoder_list {
    struct buf text;
    size_t *end; /* [n]: the end of each string in text */
    size_t n, cap;
};
void decoder_list_free(struct decoder_list *l);
void decoder_list_reset(struct decoder_list *l);
/* As buf_check, for a text that a decoder makes: ERR_DATA when it is over its bound. */
int decoder_check(const struct buf *b, struct err *e);
/* Makes the bytes that were appended to text since the last call the next string. */
int decoder_list_end(struct decoder_list *l, struct err *e);
static inline struct str decoder_list_at(const struct decoder_list *l, size_t i)
{
    size_t begin = i == 0 ? 0 : l->end[i - 1];
    if (l->end[i] == begin) return (struct str){"", 0};
    return (struct str){l->text.data + begin, l->end[i] - begin};
}

/* Decodes the list, which is overwritten, and appends the text to out. */
int decoder_apply(const struct decoder *d, struct decoder_list *list, struct buf *out,
                  struct err *e);
/* Appends the bytes of a single token. Unlike decoder_apply(), it keeps bytes that are not UTF-8
 * and strips nothing at the ends. */
int decoder_token_bytes(const struct decoder *d, struct str token, struct buf *out, struct err *e);
/* Appends s and replaces each ill-formed part by U+FFFD. */
void decoder_lossy(struct str s, struct buf *out);

#endif
