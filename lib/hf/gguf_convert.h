/* SPDX-License-Identifier: Apache-2.0 */
/* From a GGUF file of the Llama or Qwen2 family to a Hugging Face model folder. */
#ifndef SFT_HF_GGUF_CONVERT_H
#define SFT_HF_GGUF_CONVERT_H

#include "base/buf.h"
#include "base/err.h"
#include "hf/config.h"
#include "hf/gguf.h"

/* Writes into the existing, empty folder dir: model.safetensors (bf16, rounded to nearest even from
 * the expanded values), config.json, generation_config.json, tokenizer.json, tokenizer_config.json
 * and special_tokens_map.json. tokenizer: a folder whose tokenizer files are copied instead of
 * made from the metadata; may be NULL. The same file always gives the same bytes. */
int gguf_convert(const struct gguf *g, const char *dir, const char *tokenizer, struct err *e);

/* The parts. */
int gguf_config(const struct gguf *g, struct hf_config *c, struct err *e);
int gguf_write_weights(const struct gguf *g, const struct hf_config *c, const char *dir,
                       struct err *e);
int gguf_write_tokenizer(const struct gguf *g, const struct hf_config *c, const char *dir,
                         struct err *e);
/* Appends the member "chat_template" of tokenizer_config.json and a comma; nothing where the file
 * has no template. */
int gguf_put_templates(const struct gguf *g, struct buf *b, struct err *e);

#endif
