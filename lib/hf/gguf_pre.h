/* SPDX-License-Identifier: Apache-2.0 */
/* The pre-tokenizers that GGUF names, and the forms of SentencePiece's tokenizers. */
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
 * tokenizer that is not byte-level BPE ("gpt2"). */
const struct gguf_pre *gguf_pre_find(const struct gguf *g, struct err *e);
/* Returns the entry that splits text as the document of tokenizer.json with this "model" does; NULL
 * with ERR_DATA when there is none. */
const struct gguf_pre *gguf_pre_match(const struct json *doc, const struct json *model,
                                      struct err *e);

/* Where a tokenizer of SentencePiece's form, whose spaces are U+2581, puts one before a text. */
enum gguf_spm_space {
    GGUF_SPM_NONE,
    GGUF_SPM_EACH,   /* before each, also behind an added token */
    GGUF_SPM_FIRST,  /* before what begins the whole text, unless a space does */
    GGUF_SPM_LACKING /* before each that does not begin with a space */
};
/* The parts of tokenizer.json of such a tokenizer, as JSON text. */
struct gguf_spm {
    const char *normalizer, *pre_tokenizer;
    enum gguf_spm_space space;
};
/* True for a file whose tokenizer is of SentencePiece's form. */
bool gguf_has_spm(const struct gguf *g);
enum gguf_special { GGUF_BOS, GGUF_EOS, GGUF_PAD, GGUF_UNK, GGUF_SPECIALS };
/* Sets *id to the id of a special token, at most last; where the file has none, to llama.cpp's for
 * SentencePiece's form, else to HF_NO_TOKEN. */
int gguf_get_special(const struct gguf *g, enum gguf_special s, int64_t last, int64_t *id,
                     struct err *e);
/* Returns the form that puts a space before each text, or none. */
const struct gguf_spm *gguf_spm_form(bool space);
bool gguf_is_spm(const struct json *model);
/* Returns the form of the document, whose "model" gguf_is_spm; NULL with ERR_DATA for another. */
const struct gguf_spm *gguf_spm_match(const struct json *doc, const struct json *model,
                                      struct err *e);

#endif
