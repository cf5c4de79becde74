/* SPDX-License-Identifier: Apache-2.0 */
/* The tokens of SentencePiece's form by score, and which of them begin and end others. */
#ifndef SFT_HF_GGUF_PIECES_H
#define SFT_HF_GGUF_PIECES_H

#include "hf/gguf_tokenizer.h"

#define GGUF_NO_PIECE UINT32_MAX
struct gguf_piece {
    struct str text;
    float score;
    uint32_t id;
};
struct gguf_pieces {
    const struct gguf_tokenizer *t;
    struct gguf_piece *v; /* of all tokens: by descending score, then by id */
    size_t n;
    uint32_t *prefix, *suffix; /* by id: the longest other token that begins and that ends it */
    uint32_t *ends;            /* room for a chain */
};
static inline struct str gguf_piece_text(const struct gguf_pieces *p, uint32_t id)
{
    return p->t->vocab.text[id];
}
/* Reads the tokens of p->t; the rest of *p is zero. gguf_pieces_free() releases them, after a
 * failure too. ERR_DATA for scores that are missing, and for a text that two tokens have. */
int gguf_pieces_read(struct gguf_pieces *p, struct err *e);
void gguf_pieces_free(struct gguf_pieces *p);

#endif
