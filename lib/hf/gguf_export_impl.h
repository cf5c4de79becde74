/* SPDX-License-Identifier: Apache-2.0 */
/* Internal declarations of the conversion to GGUF: its parts. */
#ifndef SFT_HF_GGUF_EXPORT_IMPL_H
#define SFT_HF_GGUF_EXPORT_IMPL_H

#include "base/io.h"
#include "hf/gguf_export.h"
#include "hf/gguf_head.h"
#include "hf/gguf_impl.h"
#include "hf/gguf_pre.h"

/* For a tokenizer of SentencePiece's form: marks the tokens of bytes and the unknown one. */
int gguf_spm_types(struct gguf_vocab *v, const struct json *model, struct err *e);
/* Adds its scores and add_space_prefix, and sets done->space. ERR_DATA where llama.cpp would merge
 * otherwise than the tokenizer. */
int gguf_spm_add(struct gguf_head *h, const struct gguf_vocab *v, const struct json *model,
                 const struct gguf_spm *form, const struct gguf_tokens *t,
                 struct gguf_exported *done, struct err *e);

/* Adds tokenizer.ggml.* of dir/tokenizer.json for an embedding of c->vocab_size rows. */
int gguf_add_tokenizer(struct gguf_head *h, const char *dir, const struct hf_config *c,
                       const struct gguf_tokens *tokens, struct gguf_exported *done, struct err *e);
/* Adds the tensors of the model to the head (begin), and writes their data (write). */
struct gguf_tensors;
struct gguf_tensors *gguf_tensors_begin(const struct gguf_export *x, const struct hf_config *c,
                                        struct gguf_head *h, struct gguf_exported *done,
                                        struct err *e);
int gguf_tensors_write(struct gguf_tensors *t, int threads, struct io_out *out, struct err *e);
void gguf_tensors_end(struct gguf_tensors *t); /* NULL is fine */

#endif
