/* SPDX-License-Identifier: Apache-2.0 */
/* The byte-pair encoding model: words to token ids. */
#ifndef SFT_TEXT_BPE_H
#define SFT_TEXT_BPE_H

#include "base/json.h"
#include "text/vocab.h"

struct bpe; /* immutable once loaded */

/* Loads the object "model" of tokenizer.json; bpe_free() releases the result. NULL with ERR_DATA or
 * ERR_MEMORY. */
struct bpe *bpe_load(const struct json *model, struct err *e);
void bpe_free(struct bpe *b);
/* True when every character of the byte-level alphabet is a token, so that words can be raw bytes
 * instead of characters of that alphabet; bpe_set_bytes() makes bpe_word() expect raw bytes. */
bool bpe_has_bytes(const struct bpe *b);
int bpe_set_bytes(struct bpe *b, struct err *e);
const struct vocab *bpe_vocab(const struct bpe *b);
/* Appends everything besides the vocabulary that decides results, for the tokenizer's identity: the
 * merges as pairs of ids in order, then the options. 0, or -1 with ERR_MEMORY. */
int bpe_describe(const struct bpe *b, struct buf *out, struct err *e);

/* A token of a word: its id and the number of bytes of the word that it covers. */
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
/* Appends the tokens of a word of n bytes. `room` bytes from p on are readable, room >= n. */
int bpe_word(const struct bpe *b, struct bpe_scratch *s, const char *p, size_t n, size_t room,
             struct bpe_tokens *out, struct err *e);
/* The result of merging a word alone. */
struct bpe_alone {
    size_t parts;  /* tokens, and characters that are no tokens */
    uint32_t rank; /* of the last merge; VOCAB_NONE: there was none */
};
/* Encodes a word that is not empty, without the cache, in a model with a token for each byte
 * (byte_fallback). */
int bpe_alone(const struct bpe *b, struct bpe_scratch *s, struct str word, struct bpe_alone *out,
              struct err *e);

#endif
