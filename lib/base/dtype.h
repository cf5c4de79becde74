/* SPDX-License-Identifier: Apache-2.0 */
/* Element types of tensors, in memory and in files, and their conversion to and from fp32. */
#ifndef SFT_BASE_DTYPE_H
#define SFT_BASE_DTYPE_H

#include <stddef.h>
#include <stdint.h>

/* Operations compute with the first four. The others are stored in files only: they are all types
 * of the safetensors format whose elements are whole bytes. */
enum dtype {
    DT_F32,
    DT_BF16,
    DT_F64,
    DT_I32,
    DT_F16,
    DT_I64,
    DT_I16,
    DT_I8,
    DT_U64,
    DT_U32,
    DT_U16,
    DT_U8,
    DT_BOOL,
    DT_F8_E4M3,
    DT_F8_E5M2,
    DT_COUNT
};
size_t dtype_size(enum dtype t);      /* bytes of one element */
const char *dtype_name(enum dtype t); /* as the configuration and messages spell it: "bf16" */
/* The type of that name; -1 when there is none. */
int dtype_find(const char *name, enum dtype *out);

float f16_to_f32(uint16_t h);
uint16_t f16_from_f32(float f); /* round to nearest, ties to even; NaN stays NaN */
float bf16_to_f32(uint16_t h);
uint16_t bf16_from_f32(float f); /* round to nearest, ties to even; NaN stays NaN */
/* Down or up with the probability that keeps the mean: bits, of which the low 16 count, are random.
 * NaN and infinity stay. */
uint16_t bf16_from_f32_random(float f, uint32_t bits);

/* Converts n elements at `from` (any alignment) to fp32. -1 when t is none of fp32, fp16, bf16 and
 * fp64. */
int dtype_to_f32(enum dtype t, const void *from, size_t n, float *to);
/* Converts n fp32 values to t, which is fp32 or bf16; else -1. */
int dtype_from_f32(enum dtype t, const float *from, size_t n, void *to);

#endif
