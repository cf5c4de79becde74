/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of a tokenizer: its components. */
#ifndef SFT_TEXT_TOKENIZER_IMPL_H
#define SFT_TEXT_TOKENIZER_IMPL_H

#include "text/added.h"
#include "text/bpe.h"
#include "text/decoder.h"
#include "text/normalizer.h"
#include "text/pretok.h"
#include "text/tokenizer.h"

struct named_token {
    char *name, *text;
    size_t text_n;
};

struct tokenizer {
    struct added added;
    struct normalizer *normalizer;
    struct pretok *pretok;
    struct bpe *bpe;
    struct decoder *decoder;
    struct buf description; /* normalizer, pre_tokenizer and decoder in canonical JSON */
    struct named_token *named;
    size_t nnamed, named_cap;
    char *chat_template; /* NULL: none */
    size_t chat_template_n;
};

/* The string of a token as the decoder gets it; p NULL when there is no such id. */
struct str tokenizer_token(const struct tokenizer *t, uint32_t id);

/* ---- the files beside tokenizer.json (tokenizer_config.c) ---- */
/* Named tokens, added tokens and the chat template; missing files are fine. */
int tokenizer_load_config(struct tokenizer *t, const char *dir, struct err *e);

#endif
