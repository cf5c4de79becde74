/* SPDX-License-Identifier: Apache-2.0 */
/* The tokenizer of a GGUF file that becomes tokenizer.json: what its metadata say. */
#ifndef SFT_HF_GGUF_TOKENIZER_H
#define SFT_HF_GGUF_TOKENIZER_H

#include "hf/config.h"
#include "hf/gguf_convert.h"
#include "hf/gguf_impl.h"
#include "hf/gguf_pre.h"

struct gguf_tokenizer {
    const struct gguf *g;
    struct gguf_vocab vocab;
    const struct gguf_pre *pre;     /* of byte-level BPE, else NULL */
    const struct gguf_spm *spm;     /* SentencePiece's form, else NULL */
    int64_t special[GGUF_SPECIALS]; /* ids; HF_NO_TOKEN: none */
    int64_t before, behind;         /* ids around every text; HF_NO_TOKEN: none */
    bool bytes;                     /* SentencePiece's form: all bytes have tokens */
};

/* True for a token that is found before the text between such tokens is encoded. */
static inline bool gguf_is_added(const struct gguf_vocab *v, int64_t id)
{
    return v->type[id] == GGUF_TOKEN_CONTROL || v->type[id] == GGUF_TOKEN_USER ||
           v->type[id] == GGUF_TOKEN_UNKNOWN;
}
/* True for a row of the embedding that the converters name, because the tokenizer does not. */
bool gguf_is_filler(const struct gguf_vocab *v, int64_t id);
/* Appends the members of an added token that tokenizer.json and tokenizer_config.json share. */
void gguf_put_added(struct buf *b, const struct gguf_vocab *v, int64_t id, const char *indent);
/* Appends tokenizer.json and counts in done. */
int gguf_put_tokenizer(struct buf *b, const struct gguf_tokenizer *t, struct gguf_converted *done,
                       struct err *e);
/* SentencePiece's form: appends the items of "merges", and counts in done. ERR_DATA for scores that
 * are missing, and for a text that two tokens have. */
int gguf_put_scored_merges(struct buf *b, const struct gguf_tokenizer *t,
                           struct gguf_converted *done, struct err *e);

#endif
