/* SPDX-License-Identifier: Apache-2.0 */
/* The pre-tokenizers that GGUF names. */
#ifndef SFT_HF_GGUF_PRE_H
#define SFT_HF_GGUF_PRE_H

#include "base/json.h"
#include "hf/gguf.h"

/* The parts of tokenizer.json of such a model, as JSON text. */
struct gguf_pre {
    const char *name, *normalizer, *pre_tokenizer;
    bool ignore_merges; /* a pre-token that is a token needs no merges */
};
/* Returns the entry for tokenizer.ggml.pre; NULL with ERR_DATA for an unknown name, and for a
 * tokenizer that is not byte-level BPE. */
const struct gguf_pre *gguf_pre_find(const struct gguf *g, struct err *e);
/* Returns the entry that splits text as the document of tokenizer.json with this "model" does; NULL
 * with ERR_DATA when there is none. */
const struct gguf_pre *gguf_pre_match(const struct json *doc, const struct json *model,
                                      struct err *e);

#endif
