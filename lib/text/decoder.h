/* SPDX-License-Identifier: Apache-2.0 */
/* The "decoder" of tokenizer.json: token strings back to text. */
#ifndef SFT_TEXT_DECODER_H
#define SFT_TEXT_DECODER_H

#include "base/buf.h"
#include "base/json.h"

struct decoder; /* a list of steps; immutable */
/* o NULL or null: tokens are joined with spaces. */
struct decoder *decoder_load(const struct json *o, struct err *e);
void decoder_free(struct decoder *d);

/* Strings one after the other; zero-initialise. */
struct decoder_list {
    struct buf text;
    size_t *end; /* [n]: where each ends in text */
    size_t n, cap;
};
void decoder_list_free(struct decoder_list *l);
void decoder_list_reset(struct decoder_list *l);
/* Closes a string: what was appended to text since the last one. */
int decoder_list_end(struct decoder_list *l, struct err *e);
static inline struct str decoder_list_at(const struct decoder_list *l, size_t i)
{
    size_t begin = i == 0 ? 0 : l->end[i - 1];
    if (l->end[i] == begin) return (struct str){"", 0};
    return (struct str){l->text.data + begin, l->end[i] - begin};
}

/* Decodes the list (its contents are lost) and appends the text to out. */
int decoder_apply(const struct decoder *d, struct decoder_list *list, struct buf *out,
                  struct err *e);
/* Appends the bytes that a single token stands for: as decoder_apply, but bytes that are not UTF-8
 * stay as they are and nothing is stripped at the ends of the text. */
int decoder_token_bytes(const struct decoder *d, struct str token, struct buf *out, struct err *e);
/* Appends s with each ill-formed part replaced by U+FFFD. */
void decoder_lossy(struct str s, struct buf *out);

#endif
