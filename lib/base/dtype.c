/* SPDX-License-Identifier: Apache-2.0 */
/* Names, sizes and conversions of element types. */
#include "base/dtype.h"

#include <string.h>

static const struct {
    const char *name;
    size_t size;
} dtypes[DT_COUNT] = {
    [DT_F32] = {"fp32", 4},   [DT_BF16] = {"bf16", 2},        [DT_F64] = {"fp64", 8},
    [DT_I32] = {"int32", 4},  [DT_F16] = {"fp16", 2},         [DT_I64] = {"int64", 8},
    [DT_I16] = {"int16", 2},  [DT_I8] = {"int8", 1},          [DT_U64] = {"uint64", 8},
    [DT_U32] = {"uint32", 4}, [DT_U16] = {"uint16", 2},       [DT_U8] = {"uint8", 1},
    [DT_BOOL] = {"bool", 1},  [DT_F8_E4M3] = {"fp8_e4m3", 1}, [DT_F8_E5M2] = {"fp8_e5m2", 1},
};

size_t dtype_size(enum dtype t) { return dtypes[t].size; }
const char *dtype_name(enum dtype t) { return dtypes[t].name; }

int dtype_find(const char *name, enum dtype *out)
{
    for (int t = 0; t < DT_COUNT; t++) {
        if (strcmp(name, dtypes[t].name)) continue;
        *out = (enum dtype)t;
        return 0;
    }
    return -1;
}

static float float_of_bits(uint32_t u)
{
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static uint32_t bits_of_float(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

float bf16_to_f32(uint16_t h) { return float_of_bits((uint32_t)h << 16); }

float f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = (h >> 10) & 31, mantissa = h & 1023;
    if (exponent == 31) return float_of_bits(sign | 0x7f800000 | mantissa << 13);
    if (exponent == 0) { /* zero or subnormal: mantissa * 2^-24 is exact in fp32 */
        float f = (float)mantissa * 0x1p-24f;
        return sign ? -f : f;
    }
    return float_of_bits(sign | (exponent + 112) << 23 | mantissa << 13);
}

static int is_nan(uint32_t u) { return (u & 0x7fffffff) > 0x7f800000; }
static uint16_t quiet_nan(uint32_t u) { return (uint16_t)(u >> 16 | 0x40); }

uint16_t f16_from_f32(float f)
{
    const uint32_t u = bits_of_float(f), magnitude = u & 0x7fffffff;
    const uint16_t sign = (uint16_t)(u >> 16 & 0x8000);
    if (is_nan(u)) return sign | 0x7e00;
    if (magnitude >= 0x477ff000) return sign | 0x7c00; /* 65520 and above: infinity */
    if (magnitude < 0x38800000) /* below 2^-14; the sum rounds to a multiple of 2^-24 */
        return sign | (uint16_t)(bits_of_float(float_of_bits(magnitude) + 0.5f) - 0x3f000000);
    return sign | (uint16_t)((magnitude + 0xfff + (magnitude >> 13 & 1) - 0x38000000) >> 13);
}

uint16_t bf16_from_f32(float f)
{
    const uint32_t u = bits_of_float(f);
    if (is_nan(u)) return quiet_nan(u);
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

uint16_t bf16_from_f32_random(float f, uint32_t bits)
{
    const uint32_t u = bits_of_float(f);
    if (is_nan(u)) return quiet_nan(u);
    return (uint16_t)((u + (bits & 0xffff)) >> 16); /* the low bits of an infinity are 0 */
}

int dtype_to_f32(enum dtype t, const void *from, size_t n, float *to)
{
    const unsigned char *p = from;
    uint16_t h;
    double d;
    switch (t) {
    case DT_F32:
        memcpy(to, p, n * sizeof *to);
        return 0;
    case DT_F16:
        for (size_t i = 0; i < n; i++) memcpy(&h, p + 2 * i, 2), to[i] = f16_to_f32(h);
        return 0;
    case DT_BF16:
        for (size_t i = 0; i < n; i++) memcpy(&h, p + 2 * i, 2), to[i] = bf16_to_f32(h);
        return 0;
    case DT_F64:
        for (size_t i = 0; i < n; i++) memcpy(&d, p + 8 * i, 8), to[i] = (float)d;
        return 0;
    default:
        return -1;
    }
}

int dtype_from_f32(enum dtype t, const float *from, size_t n, void *to)
{
    unsigned char *p = to;
    if (t == DT_F32) {
        memcpy(p, from, n * sizeof *from);
        return 0;
    }
    if (t != DT_BF16) return -1;
    for (size_t i = 0; i < n; i++) {
        uint16_t h = bf16_from_f32(from[i]);
        memcpy(p + 2 * i, &h, 2);
    }
    return 0;
}
