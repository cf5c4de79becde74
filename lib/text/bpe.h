/* SPDX-License-Identifier: Apache-2.0 */
/* The byte-pair encoding model: words to token ids. */
#ifndef SFT_TEXT_BPE_H
#define SFT_TEXT_BPE_H

#include "base/json.h"
#include "text/vocab.h"

struct bpe; /* immutable once loaded */

/* From the "model" object. byte_words: the words come as raw bytes and not in the byte-level
 * alphabet (see bpe_has_bytes). */
struct bpe *bpe_load(const struct json *model, struct err *e);
void bpe_free(struct bpe *b);
/* True when each byte's character of the byte-level alphabet is a token, so that words may be given
 * as raw bytes; bpe_set_bytes says that they will be. */
bool bpe_has_bytes(const struct bpe *b);
int bpe_set_bytes(struct bpe *b, struct err *e);
const struct vocab *bpe_vocab(const struct bpe *b);
/* Appends, for the tokenizer's identity, everything besides the vocabulary that decides results:
 * the merges as pairs of ids in order, then the options. */
int bpe_describe(const struct bpe *b, struct buf *out, struct err *e);

/* A token of a word: its id and how many bytes of the word it covers. */
struct bpe_token {
    uint32_t id, len;
};
struct bpe_tokens {
    struct bpe_token *v;
    size_t n, cap;
};
/* Working memory of one thread: buffers for merging and a bounded cache of words. */
struct bpe_scratch;
struct bpe_scratch *bpe_scratch_new(struct err *e);
void bpe_scratch_free(struct bpe_scratch *s);
/* Appends the tokens of a word of n bytes; `room` bytes from p on may be read (room >= n). */
int bpe_word(const struct bpe *b, struct bpe_scratch *s, const char *p, size_t n, size_t room,
             struct bpe_tokens *out, struct err *e);

#endif
