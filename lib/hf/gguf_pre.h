/* SPDX-License-Identifier: Apache-2.0 */
/* Pre-tokenizers by the name that GGUF gives them. */
#ifndef SFT_HF_GGUF_PRE_H
#define SFT_HF_GGUF_PRE_H

#include "hf/gguf.h"

/* What tokenizer.json of such a model holds, as JSON text. */
struct gguf_pre {
    const char *name, *normalizer, *pre_tokenizer;
    bool ignore_merges; /* a pre-token that is a whole token is not merged from its bytes */
};
/* By tokenizer.ggml.pre; NULL with ERR_DATA for a name that is not known, and for tokenizers that
 * are not byte-level BPE. */
const struct gguf_pre *gguf_pre_find(const struct gguf *g, struct err *e);

#endif
