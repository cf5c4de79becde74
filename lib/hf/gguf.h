/* SPDX-License-Identifier: Apache-2.0 */
/* Reads GGUF files of versions 2 and 3: metadata and tensors, through a mapping.
 * Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md */
#ifndef SFT_HF_GGUF_H
#define SFT_HF_GGUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

/* The types of metadata values, numbered as in the file. */
enum gguf_kind {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_STRING,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_F64,
    GGUF_KINDS
};

/* The supported types of tensor elements, numbered as in the file. */
enum gguf_type {
    GGUF_TYPE_F32 = 0,
    GGUF_TYPE_F16 = 1,
    GGUF_TYPE_Q4_0 = 2,
    GGUF_TYPE_Q4_1 = 3,
    GGUF_TYPE_Q5_0 = 6,
    GGUF_TYPE_Q5_1 = 7,
    GGUF_TYPE_Q8_0 = 8,
    GGUF_TYPE_Q4_K = 12,
    GGUF_TYPE_Q5_K = 13,
    GGUF_TYPE_Q6_K = 14,
    GGUF_TYPE_BF16 = 30
};

/* The types of tokens in tokenizer.ggml.token_type. */
enum gguf_token {
    GGUF_TOKEN_NORMAL = 1,
    GGUF_TOKEN_UNKNOWN,
    GGUF_TOKEN_CONTROL,
    GGUF_TOKEN_USER, /* user-defined */
    GGUF_TOKEN_UNUSED,
    GGUF_TOKEN_BYTE
};

/* One metadata value: a number, a boolean, a string, or an array (see gguf_next). */
struct gguf_value {
    enum gguf_kind kind;
    uint64_t u; /* unsigned kinds and GGUF_BOOL */
    int64_t i;  /* signed kinds */
    double f;   /* GGUF_F32 and GGUF_F64 */
    struct str s;
    /* GGUF_ARRAY: */
    enum gguf_kind item;
    uint64_t count;
    const unsigned char *items, *end;
};

enum { GGUF_MAX_DIMS = 4 };
struct gguf_tensor {
    const char *name;
    enum gguf_type type;
    int ndim;
    uint64_t dim[GGUF_MAX_DIMS]; /* as in the file: the first dimension is contiguous */
    uint64_t count, bytes;       /* elements, and the size of the data */
    const unsigned char *data;
};

struct gguf;
/* Maps a file and checks every count, length and offset. NULL with ERR_DATA for a file that is cut
 * short or has overlapping tensors or duplicate names. */
struct gguf *gguf_open(const char *path, struct err *e);
/* Parses the n bytes of a file in memory, which must outlive the result; name is for messages. */
struct gguf *gguf_parse(const void *p, size_t n, const char *name, struct err *e);
void gguf_close(struct gguf *g); /* NULL is fine */
const char *gguf_name(const struct gguf *g);

const struct gguf_value *gguf_get(const struct gguf *g, const char *key); /* NULL when absent */
/* Typed access: 1 and *out; 0 when absent, with *out unchanged; -1 with ERR_DATA for a wrong type
 * or range. */
int gguf_get_int(const struct gguf *g, const char *key, int64_t min, int64_t max, int64_t *out,
                 struct err *e);
int gguf_get_real(const struct gguf *g, const char *key, double *out, struct err *e);
int gguf_get_bool(const struct gguf *g, const char *key, bool *out, struct err *e);
int gguf_get_str(const struct gguf *g, const char *key, struct str *out, struct err *e);
/* Returns the array of this kind of item; NULL with ERR_DATA when it is missing or another value.
 */
const struct gguf_value *gguf_need_array(const struct gguf *g, const char *key, enum gguf_kind item,
                                         struct err *e);

/* Reads the element of an array at *at and advances *at; start with *at = a->items. false at the
 * end. */
bool gguf_next(const struct gguf_value *a, const unsigned char **at, struct gguf_value *out);

size_t gguf_count(const struct gguf *g);
const struct gguf_tensor *gguf_at(const struct gguf *g, size_t i);
const struct gguf_tensor *gguf_find(const struct gguf *g, const char *name);

/* ---- element types ---- */
const char *gguf_type_name(enum gguf_type t);
/* Sets the elements and bytes of one block; -1 for a type that is not supported. */
int gguf_type_block(uint32_t t, size_t *elements, size_t *bytes);
/* Converts n elements (whole blocks) to fp32, rounding as the reference implementation does. */
void gguf_dequant(enum gguf_type t, const void *from, size_t n, float *to);
/* Converts n fp32 elements (whole blocks) to F32, F16, BF16, Q4_0, Q5_0, Q8_0, Q4_K or Q6_K with
 * the bits of ggml's reference. Elements are finite and, unless t is F32 or BF16, no greater in
 * magnitude than GGUF_MOST. -1 for another type. */
#define GGUF_MOST 65504.0f
int gguf_quantize(enum gguf_type t, const float *from, size_t n, void *to);

#endif
