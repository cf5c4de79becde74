/* SPDX-License-Identifier: Apache-2.0 */
/* Element types of tensors on disk and their conversion to and from fp32. */
#ifndef SFT_HF_DTYPE_H
#define SFT_HF_DTYPE_H

#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"

/* All types of the safetensors format whose elements are whole bytes. */
enum hf_dtype {
    HF_F32,
    HF_F16,
    HF_BF16,
    HF_F64,
    HF_I64,
    HF_I32,
    HF_I16,
    HF_I8,
    HF_U64,
    HF_U32,
    HF_U16,
    HF_U8,
    HF_BOOL,
    HF_F8_E4M3,
    HF_F8_E5M2,
    HF_DTYPES
};

size_t hf_dtype_size(enum hf_dtype t);                  /* bytes of one element */
const char *hf_dtype_name(enum hf_dtype t);             /* as safetensors spells it: "BF16" */
const char *hf_dtype_torch(enum hf_dtype t);            /* as config.json spells it: "bfloat16" */
int hf_dtype_find(struct str name, enum hf_dtype *out); /* either spelling; -1 when unknown */

float hf_f32_from_f16(uint16_t h);
float hf_f32_from_bf16(uint16_t h);
uint16_t hf_bf16_from_f32(float f); /* to nearest, ties to even; a NaN stays a NaN */

/* n elements at `from` (any alignment) as fp32. -1 when t is not one of F32, F16, BF16, F64. */
int hf_to_f32(enum hf_dtype t, const void *from, size_t n, float *to);
/* n fp32 values as t, which is F32 or BF16; else -1. */
int hf_from_f32(enum hf_dtype t, const float *from, size_t n, void *to);

#endif
