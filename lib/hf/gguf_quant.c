/* SPDX-License-Identifier: Apache-2.0 */
/* Dequantizes the block formats of GGUF tensors to fp32. A block stores small integers q with one
 * scale d (and minimum m): x = d * q, or d * q + m. Each product and sum is rounded to fp32, as in
 * the reference code of ggml. */
#include <string.h>

#include "hf/dtype.h"
#include "hf/gguf.h"

static float f16_at(const unsigned char *p) { return f16_to_f32((uint16_t)(p[0] | p[1] << 8)); }

/* 32 elements: d, 16 bytes with elements i (low nibble) and i + 16 (high nibble). */
static void dequant_q4_0(const unsigned char *p, float *to)
{
    float d = f16_at(p);
    for (int i = 0; i < 16; i++) {
        to[i] = d * (float)((p[2 + i] & 15) - 8);
        to[i + 16] = d * (float)((p[2 + i] >> 4) - 8);
    }
}

static void dequant_q4_1(const unsigned char *p, float *to)
{
    float d = f16_at(p), m = f16_at(p + 2);
    for (int i = 0; i < 16; i++) {
        float low = d * (float)(p[4 + i] & 15), high = d * (float)(p[4 + i] >> 4);
        to[i] = low + m;
        to[i + 16] = high + m;
    }
}

/* The fifth bits of the 32 elements are a little-endian word before the nibbles. */
static int fifth_bit(const unsigned char *word, int i) { return (word[i / 8] >> i % 8 & 1) << 4; }

static void dequant_q5_0(const unsigned char *p, float *to)
{
    float d = f16_at(p);
    for (int i = 0; i < 16; i++) {
        to[i] = d * (float)(((p[6 + i] & 15) | fifth_bit(p + 2, i)) - 16);
        to[i + 16] = d * (float)((p[6 + i] >> 4 | fifth_bit(p + 2, i + 16)) - 16);
    }
}

static void dequant_q5_1(const unsigned char *p, float *to)
{
    float d = f16_at(p), m = f16_at(p + 2);
    for (int i = 0; i < 16; i++) {
        float low = d * (float)((p[8 + i] & 15) | fifth_bit(p + 4, i));
        float high = d * (float)(p[8 + i] >> 4 | fifth_bit(p + 4, i + 16));
        to[i] = low + m;
        to[i + 16] = high + m;
    }
}

static int signed_byte(unsigned char b) { return b < 128 ? b : b - 256; }

static void dequant_q8_0(const unsigned char *p, float *to)
{
    float d = f16_at(p);
    for (int i = 0; i < 32; i++) to[i] = d * (float)signed_byte(p[2 + i]);
}

/* Decodes the scale and the minimum of sub-block j (0 to 7), 6 bits each, from 12 bytes: those of
 * sub-blocks 0 to 3 are the low bits of bytes 0-3 and 4-7; those of sub-blocks 4 to 7 have their
 * low four bits in bytes 8-11 and their high two bits in the top bits of bytes 0-7. */
static void k_scale_min(const unsigned char *s, int j, int *scale, int *min)
{
    if (j < 4) {
        *scale = s[j] & 63;
        *min = s[j + 4] & 63;
    } else {
        *scale = (s[j + 4] & 15) | (s[j - 4] >> 6) << 4;
        *min = s[j + 4] >> 4 | (s[j] >> 6) << 4;
    }
}

/* 256 elements: d, dmin, 12 bytes of scales, [32 bytes of fifth bits,] 128 bytes of nibbles.
 * Sub-blocks 2k and 2k + 1 are the low and high nibbles of bytes 32k to 32k + 31; the fifth bit of
 * element i of sub-block j is bit j of byte i. */
static void dequant_k45(const unsigned char *p, const unsigned char *fifth, const unsigned char *qs,
                        float *to)
{
    float d = f16_at(p), dmin = f16_at(p + 2);
    for (int j = 0; j < 8; j++) {
        int scale, min;
        k_scale_min(p + 4, j, &scale, &min);
        float ds = d * (float)scale, dm = dmin * (float)min;
        for (int i = 0; i < 32; i++) {
            int q = qs[j / 2 * 32 + i] >> j % 2 * 4 & 15;
            if (fifth) q |= (fifth[i] >> j & 1) << 4;
            float x = ds * (float)q;
            to[32 * j + i] = x - dm;
        }
    }
}
static void dequant_q4_k(const unsigned char *p, float *to) { dequant_k45(p, NULL, p + 16, to); }
static void dequant_q5_k(const unsigned char *p, float *to) { dequant_k45(p, p + 16, p + 48, to); }

/* 256 elements: 128 bytes of low nibbles, 64 bytes of high bit pairs, 16 signed scales, d. In each
 * half of 128 elements, the low four bits of element 32g + i are in byte 32(g % 2) + i (its high
 * nibble for g >= 2) and the high two bits are pair g of byte i. */
static void dequant_q6_k(const unsigned char *p, float *to)
{
    float d = f16_at(p + 208);
    for (int k = 0; k < 256; k++) {
        int half = k / 128, g = k % 128 / 32, i = k % 32;
        int low = p[64 * half + 32 * (g % 2) + i] >> g / 2 * 4 & 15;
        int high = p[128 + 32 * half + i] >> 2 * g & 3;
        float ds = d * (float)signed_byte(p[192 + k / 16]);
        to[k] = ds * (float)((low | high << 4) - 32);
    }
}

static const struct {
    uint32_t type;
    const char *name;
    size_t elements, bytes;
    void (*block)(const unsigned char *from, float *to); /* NULL: numbers, */
    enum dtype plain;                                    /*   of this type */
} types[] = {
    {GGUF_TYPE_F32, "F32", 1, 4, NULL, DT_F32},
    {GGUF_TYPE_F16, "F16", 1, 2, NULL, DT_F16},
    {GGUF_TYPE_BF16, "BF16", 1, 2, NULL, DT_BF16},
    {GGUF_TYPE_Q4_0, "Q4_0", 32, 18, dequant_q4_0, DT_F32},
    {GGUF_TYPE_Q4_1, "Q4_1", 32, 20, dequant_q4_1, DT_F32},
    {GGUF_TYPE_Q5_0, "Q5_0", 32, 22, dequant_q5_0, DT_F32},
    {GGUF_TYPE_Q5_1, "Q5_1", 32, 24, dequant_q5_1, DT_F32},
    {GGUF_TYPE_Q8_0, "Q8_0", 32, 34, dequant_q8_0, DT_F32},
    {GGUF_TYPE_Q4_K, "Q4_K", 256, 144, dequant_q4_k, DT_F32},
    {GGUF_TYPE_Q5_K, "Q5_K", 256, 176, dequant_q5_k, DT_F32},
    {GGUF_TYPE_Q6_K, "Q6_K", 256, 210, dequant_q6_k, DT_F32},
};
enum { TYPES = sizeof types / sizeof *types };

static size_t type_row(uint32_t t)
{
    size_t i = 0;
    while (i < TYPES && types[i].type != t) i++;
    return i;
}

const char *gguf_type_name(enum gguf_type t)
{
    size_t i = type_row(t);
    return i < TYPES ? types[i].name : "unknown";
}

int gguf_type_block(uint32_t t, size_t *elements, size_t *bytes)
{
    size_t i = type_row(t);
    if (i == TYPES) return -1;
    *elements = types[i].elements;
    *bytes = types[i].bytes;
    return 0;
}

void gguf_dequant(enum gguf_type t, const void *from, size_t n, float *to)
{
    const unsigned char *p = from;
    size_t row = type_row(t);
    if (row == TYPES) return;
    if (!types[row].block) {
        dtype_to_f32(types[row].plain, p, n, to);
        return;
    }
    for (size_t i = 0; i + types[row].elements <= n; i += types[row].elements) {
        types[row].block(p, to + i);
        p += types[row].bytes;
    }
}
