/* SPDX-License-Identifier: Apache-2.0 */
/* Element types: the table of names and sizes, and the conversions. */
#include "hf/dtype.h"

#include <string.h>

static const struct {
    const char *name, *torch;
    size_t size;
} dtypes[HF_DTYPES] = {
    [HF_F32] = {"F32", "float32", 4},
    [HF_F16] = {"F16", "float16", 2},
    [HF_BF16] = {"BF16", "bfloat16", 2},
    [HF_F64] = {"F64", "float64", 8},
    [HF_I64] = {"I64", "int64", 8},
    [HF_I32] = {"I32", "int32", 4},
    [HF_I16] = {"I16", "int16", 2},
    [HF_I8] = {"I8", "int8", 1},
    [HF_U64] = {"U64", "uint64", 8},
    [HF_U32] = {"U32", "uint32", 4},
    [HF_U16] = {"U16", "uint16", 2},
    [HF_U8] = {"U8", "uint8", 1},
    [HF_BOOL] = {"BOOL", "bool", 1},
    [HF_F8_E4M3] = {"F8_E4M3", "float8_e4m3fn", 1},
    [HF_F8_E5M2] = {"F8_E5M2", "float8_e5m2", 1},
};

size_t hf_dtype_size(enum hf_dtype t) { return dtypes[t].size; }
const char *hf_dtype_name(enum hf_dtype t) { return dtypes[t].name; }
const char *hf_dtype_torch(enum hf_dtype t) { return dtypes[t].torch; }

int hf_dtype_find(struct str name, enum hf_dtype *out)
{
    for (int t = 0; t < HF_DTYPES; t++) {
        if (str_is(name, dtypes[t].name) || str_is(name, dtypes[t].torch)) {
            *out = (enum hf_dtype)t;
            return 0;
        }
    }
    return -1;
}

static float float_of_bits(uint32_t u)
{
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

float hf_f32_from_bf16(uint16_t h) { return float_of_bits((uint32_t)h << 16); }

float hf_f32_from_f16(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = (h >> 10) & 31, mantissa = h & 1023;
    if (exponent == 31) return float_of_bits(sign | 0x7f800000 | mantissa << 13);
    if (exponent == 0) { /* zero or subnormal: mantissa * 2^-24 is exact in fp32 */
        float f = (float)mantissa * 0x1p-24f;
        return sign ? -f : f;
    }
    return float_of_bits(sign | (exponent + 112) << 23 | mantissa << 13);
}

uint16_t hf_bf16_from_f32(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    if ((u & 0x7fffffff) > 0x7f800000) return (uint16_t)(u >> 16 | 0x40); /* quiet NaN */
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

int hf_to_f32(enum hf_dtype t, const void *from, size_t n, float *to)
{
    const unsigned char *p = from;
    uint16_t h;
    double d;
    switch (t) {
    case HF_F32:
        memcpy(to, p, n * sizeof *to);
        return 0;
    case HF_F16:
        for (size_t i = 0; i < n; i++) memcpy(&h, p + 2 * i, 2), to[i] = hf_f32_from_f16(h);
        return 0;
    case HF_BF16:
        for (size_t i = 0; i < n; i++) memcpy(&h, p + 2 * i, 2), to[i] = hf_f32_from_bf16(h);
        return 0;
    case HF_F64:
        for (size_t i = 0; i < n; i++) memcpy(&d, p + 8 * i, 8), to[i] = (float)d;
        return 0;
    default:
        return -1;
    }
}

int hf_from_f32(enum hf_dtype t, const float *from, size_t n, void *to)
{
    unsigned char *p = to;
    if (t == HF_F32) {
        memcpy(p, from, n * sizeof *from);
        return 0;
    }
    if (t != HF_BF16) return -1;
    for (size_t i = 0; i < n; i++) {
        uint16_t h = hf_bf16_from_f32(from[i]);
        memcpy(p + 2 * i, &h, 2);
    }
    return 0;
}
