/* SPDX-License-Identifier: Apache-2.0 */
/* Quantizes fp32 to the formats of GGUF tensors. Each operation is rounded to fp32 in the order of
 * ggml's reference (quantize_row_*_ref in ggml-quants.c), so that the bits are the same. Where that
 * divides by a scale too small for fp16, which is stored as 0, any quants will do. */
#include <math.h>
#include <string.h>

#include "hf/dtype.h"
#include "hf/gguf_impl.h"

enum { BLOCK = 32 };

static float reciprocal(float d)
{
    const float r = d != 0 ? 1 / d : 0;
    return isfinite(r) ? r : 0;
}

static void quantize_q8_0(const float *x, unsigned char *to)
{
    float most = 0;
    for (int i = 0; i < BLOCK; i++) most = fmaxf(most, fabsf(x[i]));
    const float d = most / 127, id = reciprocal(d);
    gguf_put_half(to, d);
    for (int i = 0; i < BLOCK; i++) to[2 + i] = (unsigned char)(int)roundf(x[i] * id);
}

/* Sets q[i] = x[i] / d + half, rounded, at most 2 half - 1, where d makes the element of greatest
 * magnitude -half. Returns d. */
static float quantize_symmetric(const float *x, int half, int q[BLOCK])
{
    float most = 0;
    for (int i = 0; i < BLOCK; i++)
        if (fabsf(most) < fabsf(x[i])) most = x[i];
    const float d = most / (float)-half, id = reciprocal(d);
    for (int i = 0; i < BLOCK; i++) {
        q[i] = (int)(x[i] * id + ((float)half + 0.5f));
        if (q[i] > 2 * half - 1) q[i] = 2 * half - 1;
    }
    return d;
}

static void put_nibbles(const int q[BLOCK], unsigned char *to)
{
    for (int i = 0; i < BLOCK / 2; i++)
        to[i] = (unsigned char)((q[i] & 15) | (q[i + BLOCK / 2] & 15) << 4);
}

static void quantize_q4_0(const float *x, unsigned char *to)
{
    int q[BLOCK];
    gguf_put_half(to, quantize_symmetric(x, 8, q));
    put_nibbles(q, to + 2);
}

static void quantize_q5_0(const float *x, unsigned char *to)
{
    int q[BLOCK];
    gguf_put_half(to, quantize_symmetric(x, 16, q));
    memset(to + 2, 0, 4);
    for (int i = 0; i < BLOCK; i++) to[2 + i / 8] |= (unsigned char)(q[i] >> 4 << i % 8);
    put_nibbles(q, to + 6);
}

static void put_halves(const float *from, size_t n, unsigned char *to)
{
    for (size_t i = 0; i < n; i++) gguf_put_half(to + 2 * i, from[i]);
}

int gguf_quantize(enum gguf_type t, const float *from, size_t n, void *to)
{
    void (*block)(const float *, unsigned char *) = NULL;
    size_t elements, bytes;
    unsigned char *p = to;
    switch (t) {
    case GGUF_TYPE_F32:
        return dtype_from_f32(DT_F32, from, n, to);
    case GGUF_TYPE_BF16:
        return dtype_from_f32(DT_BF16, from, n, to);
    case GGUF_TYPE_F16:
        put_halves(from, n, p);
        return 0;
    case GGUF_TYPE_Q4_0:
        block = quantize_q4_0;
        break;
    case GGUF_TYPE_Q5_0:
        block = quantize_q5_0;
        break;
    case GGUF_TYPE_Q8_0:
        block = quantize_q8_0;
        break;
    case GGUF_TYPE_Q4_K:
        block = gguf_quantize_q4_k;
        break;
    case GGUF_TYPE_Q6_K:
        block = gguf_quantize_q6_k;
        break;
    default:
        return -1;
    }
    gguf_type_block(t, &elements, &bytes);
    for (size_t i = 0; i + elements <= n; i += elements, p += bytes) block(from + i, p);
    return 0;
}
