/* SPDX-License-Identifier: Apache-2.0 */
/* Converts a Hugging Face model folder of the Llama, Mistral, Qwen2 or Qwen3 family to a GGUF file,
 * as convert_hf_to_gguf.py and llama-quantize of llama.cpp do. */
#ifndef SFT_HF_GGUF_EXPORT_H
#define SFT_HF_GGUF_EXPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "hf/config.h"
#include "hf/gguf.h"

/* The part of the tokenizer that lib/text knows; ids are HF_NO_TOKEN where there is none. */
struct gguf_tokens {
    int64_t bos, eos, pad, unk;
    bool add_bos; /* BOS precedes every text */
    size_t ntemplates;
    const char *const *names; /* of the chat templates; one may be "default" */
    const struct str *templates;
    /* Encodes a text as one word of the model; called for a tokenizer with tokens for all bytes
     * (byte_fallback) alone. *parts: the number of parts that the merges leave, where a character
     * that is no token is one; *rank: of the last merge, UINT32_MAX where there is none. */
    int (*alone)(void *tokenizer, struct str text, size_t *parts, uint32_t *rank, struct err *e);
    void *tokenizer; /* for alone */
};
struct gguf_export {
    const char *dir;     /* the folder */
    const char *name;    /* general.name */
    enum gguf_type type; /* of the matrices: as gguf_quantize takes it, but not Q5_0 */
    int threads;
    struct gguf_tokens tokens;
};
/* Tensors that have another type because their rows are not whole blocks of the one wanted. */
struct gguf_fallback {
    enum gguf_type wanted, got;
    uint64_t row; /* elements */
    size_t count; /* tensors */
};
enum { GGUF_MAX_FALLBACKS = 16 };
/* Spaces before a text that llama.cpp puts and the tokenizer does not, or the reverse. */
enum gguf_space {
    GGUF_SPACE_SAME,    /* none */
    GGUF_SPACE_MISSING, /* no space before the first word of a text */
    GGUF_SPACE_BEHIND,  /* a space behind each special token */
    GGUF_SPACE_TWICE    /* a space before one that begins a text */
};
struct gguf_exported {
    size_t tensors, fallbacks; /* fallbacks: entries of `fallback` */
    uint64_t parameters, bytes;
    struct gguf_fallback fallback[GGUF_MAX_FALLBACKS];
    int64_t window;  /* keys of a sliding window, which the file cannot say; 0: none */
    size_t stripped; /* added tokens with lstrip, rstrip, single_word or normalized, which it cannot
                        say */
    enum gguf_space space;
};
/* Refuses, with ERR_DATA, a family that has no GGUF files here, and what llama.cpp would compute
 * otherwise, because its files have no key for it. */
int gguf_export_check(const struct hf_config *c, const char *dir, struct err *e);
/* Writes the file; "-" is standard output. ERR_DATA for a model or a tokenizer that llama.cpp would
 * compute otherwise. The output depends only on the input. */
int gguf_export(const struct gguf_export *x, const char *out, struct gguf_exported *done,
                struct err *e);

#endif
