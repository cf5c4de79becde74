/* SPDX-License-Identifier: Apache-2.0 */
/* Internal declarations of the conversion to GGUF: its parts. */
#ifndef SFT_HF_GGUF_EXPORT_IMPL_H
#define SFT_HF_GGUF_EXPORT_IMPL_H

#include "base/io.h"
#include "hf/gguf_export.h"
#include "hf/gguf_head.h"

/* Adds tokenizer.ggml.* of dir/tokenizer.json for an embedding of c->vocab_size rows. */
int gguf_add_tokenizer(struct gguf_head *h, const char *dir, const struct hf_config *c,
                       const struct gguf_tokens *tokens, size_t *stripped, struct err *e);
/* Adds the tensors of the model to the head (begin), and writes their data (write). */
struct gguf_tensors;
struct gguf_tensors *gguf_tensors_begin(const struct gguf_export *x, const struct hf_config *c,
                                        struct gguf_head *h, struct gguf_exported *done,
                                        struct err *e);
int gguf_tensors_write(struct gguf_tensors *t, int threads, struct io_out *out, struct err *e);
void gguf_tensors_end(struct gguf_tensors *t); /* NULL is fine */

#endif
