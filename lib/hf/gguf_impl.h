/* SPDX-License-Identifier: Apache-2.0 */
/* Internal declarations of the GGUF reader and writer. */
#ifndef SFT_HF_GGUF_IMPL_H
#define SFT_HF_GGUF_IMPL_H

#include "base/dtype.h"
#include "base/io.h"
#include "hf/gguf.h"

struct gguf_pair {
    const char *key;
    struct gguf_value value;
};

struct gguf {
    char *name;
    struct io_map map;
    struct arena names;
    struct gguf_pair *pairs; /* sorted by key */
    size_t npairs;
    struct gguf_tensor *tensors;
    struct gguf_tensor **by_name;
    size_t ntensors;
};

/* A position in the file. Reading beyond the end sets `bad` and returns zero. */
struct gguf_cursor {
    const unsigned char *p, *end;
    bool bad;
};

static inline size_t gguf_left(const struct gguf_cursor *c) { return (size_t)(c->end - c->p); }
/* Reads a little-endian number of up to 8 bytes. */
uint64_t gguf_take(struct gguf_cursor *c, size_t bytes);
struct str gguf_take_str(struct gguf_cursor *c);
/* Reads a value of this kind; depth is the number of arrays around it. */
void gguf_take_value(struct gguf_cursor *c, enum gguf_kind kind, int depth, struct gguf_value *v);
/* Orders struct gguf_pair by key. */
int gguf_compare_pairs(const void *a, const void *b);

/* The tokens of a tokenizer by id: a row of the embedding may have a text of the file's own. */
struct gguf_vocab {
    struct str *text;
    unsigned char *type; /* enum gguf_token */
    int64_t count;
    struct arena names; /* of the rows without a token, in a file that is written */
};
/* True for <0x00> to <0xFF>, which stand for bytes in a vocabulary of SentencePiece's form. */
bool gguf_is_byte(struct str s);
enum { GGUF_BYTES = 256 };

/* Each quantizes one super-block of 256 elements, to 144 and to 210 bytes. */
void gguf_quantize_q4_k(const float *x, unsigned char *to);
void gguf_quantize_q6_k(const float *x, unsigned char *to);
/* Writes f as fp16. */
static inline void gguf_put_half(unsigned char *p, float f)
{
    const uint16_t h = f16_from_f32(f);
    p[0] = (unsigned char)h;
    p[1] = (unsigned char)(h >> 8);
}

#endif
