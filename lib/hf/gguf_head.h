/* SPDX-License-Identifier: Apache-2.0 */
/* Builds the head of a GGUF file of version 3: metadata and the list of tensors. */
#ifndef SFT_HF_GGUF_HEAD_H
#define SFT_HF_GGUF_HEAD_H

#include "base/buf.h"
#include "base/io.h"
#include "hf/gguf.h"

enum { GGUF_ALIGN = 32 }; /* bytes: where the data of a tensor may begin */
/* Zero-initialise; gguf_head_free() releases it. A failed addition is remembered until
 * gguf_head_write. */
struct gguf_head {
    struct buf pairs, tensors;
    uint64_t npairs, ntensors;
    uint64_t end;     /* of the data of all tensors, from the beginning of the first */
    const char *arch; /* the prefix of keys that begin with a dot; the caller's */
};
void gguf_head_free(struct gguf_head *h);

/* Each adds one metadata value. */
void gguf_add_u32(struct gguf_head *h, const char *key, int64_t v);
void gguf_add_f32(struct gguf_head *h, const char *key, double v);
void gguf_add_bool(struct gguf_head *h, const char *key, bool v);
void gguf_add_str(struct gguf_head *h, const char *key, struct str v);
/* Begins an array of n strings, which gguf_add_item adds, or of n GGUF_I32 or GGUF_F32, whose bits
 * buf_u32 adds to h->pairs. */
void gguf_add_array(struct gguf_head *h, const char *key, enum gguf_kind item, uint64_t n);
void gguf_add_item(struct gguf_head *h, struct str v);
/* Adds a tensor, whose data begins at the first aligned offset after the one before. Sizes are
 * those of the file: dim[0] is contiguous, and consists of whole blocks. */
void gguf_add_tensor(struct gguf_head *h, const char *name, enum gguf_type t, int ndim,
                     const uint64_t *dim);
/* Writes the head up to the aligned beginning of the data. */
int gguf_head_write(const struct gguf_head *h, struct io_out *out, struct err *e);
/* Writes zeros up to the next aligned offset, which must follow the data of each tensor. */
int gguf_pad(struct io_out *out, struct err *e);

#endif
