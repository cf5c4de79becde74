/* SPDX-License-Identifier: Apache-2.0 */
/* Converts a GGUF file of the Llama, Mistral, Qwen2 or Qwen3 family to a Hugging Face model folder.
 */
#ifndef SFT_HF_GGUF_CONVERT_H
#define SFT_HF_GGUF_CONVERT_H

#include "base/buf.h"
#include "base/err.h"
#include "hf/config.h"
#include "hf/gguf.h"

/* Tokens of SentencePiece's form that llama.cpp may join otherwise than the tokenizer.json made of
 * the file. */
struct gguf_converted {
    size_t tied;  /* those with the score of another */
    size_t loose; /* those that begin or end with a character that is no token */
};
/* Writes to the existing, empty folder dir: model.safetensors (bf16, the dequantized values rounded
 * to nearest even), config.json, generation_config.json, tokenizer.json, tokenizer_config.json and
 * special_tokens_map.json. tokenizer: a folder to copy the tokenizer files from; NULL: they are
 * made from the metadata. Sets done. The output depends only on the input. */
int gguf_convert(const struct gguf *g, const char *dir, const char *tokenizer,
                 struct gguf_converted *done, struct err *e);

/* The parts of gguf_convert. */
int gguf_config(const struct gguf *g, struct hf_config *c, struct err *e);
int gguf_write_weights(const struct gguf *g, const struct hf_config *c, const char *dir,
                       struct err *e);
int gguf_write_tokenizer(const struct gguf *g, const struct hf_config *c, const char *dir,
                         struct gguf_converted *done, struct err *e);
/* Appends the member "chat_template" of tokenizer_config.json and a comma; nothing if the file has
 * no template. */
int gguf_put_templates(const struct gguf *g, struct buf *b, struct err *e);

#endif
