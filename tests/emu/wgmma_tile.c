/* SPDX-License-Identifier: Apache-2.0 */
/* Operands of wgmma in shared memory, and the product of values. Layouts are those of the PTX
 * manual, "Matrix descriptor" and "Strides". */
#include <string.h>

#include "half.h"
#include "wgmma.h"

/* ---- descriptors ---- */
const char *tile_open(struct tile *t, uint64_t descriptor, bool mn_major, int size, int rows,
                      int depth)
{
    static const uint32_t widths[] = {0, 128, 64, 32};
    *t = (struct tile){.start = (uint32_t)(descriptor & 0x3fff) << 4,
                       .leading = (uint32_t)(descriptor >> 16 & 0x3fff) << 4,
                       .stride = (uint32_t)(descriptor >> 32 & 0x3fff) << 4,
                       .width = widths[descriptor >> 62],
                       .mn_major = mn_major,
                       .size = size,
                       .rows = rows,
                       .depth = depth};
    if (descriptor >> 49 & 7) return "a descriptor with a base offset, which is not emulated";
    if (t->width && t->start >> 7 & (t->width / 16 - 1))
        return "a descriptor whose start is not where the swizzle's pattern begins";
    return NULL;
}

/* ---- values ---- */
static float f32_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static void values_16(enum wgmma_type type, const unsigned char *bytes, float *to, int stride)
{
    uint16_t x[8];
    memcpy(x, bytes, sizeof x);
    for (int k = 0; k < 8; k++)
        to[k * stride] =
            type == W_BF16 ? f32_of((uint32_t)x[k] << 16) : (float)half_value(HALF_F16, x[k]);
}

static void values_32(const unsigned char *bytes, float *to, int stride)
{
    uint32_t x[4];
    memcpy(x, bytes, sizeof x);
    for (int k = 0; k < 4; k++) to[k * stride] = f32_of(x[k] & 0xffffe000u);
}

void tile_values(enum wgmma_type type, const unsigned char *bytes, float *to, int stride)
{
    if (type == W_BF16 || type == W_F16)
        values_16(type, bytes, to, stride);
    else if (type == W_TF32)
        values_32(bytes, to, stride);
    else
        for (int k = 0; k < 16; k++)
            to[k * stride] = type == W_S8   ? (float)(int8_t)bytes[k]
                             : type == W_U8 ? (float)bytes[k]
                                            : fp8_value(type == W_E5M2, bytes[k]);
}

/* ---- the product ---- */
typedef float v8 __attribute__((vector_size(32)));
/* Four rows and eight columns at a time, in registers over all of k. */
__attribute__((optimize("fp-contract=fast"))) static void
product_4(float d[][WGMMA_N], const float a[][WGMMA_K], const float b[][WGMMA_N], int n, int depth)
{
    for (int j = 0; j < n; j += 8) {
        v8 c[4];
        for (int r = 0; r < 4; r++) memcpy(&c[r], &d[r][j], sizeof c[r]);
        for (int k = 0; k < depth; k++) {
            v8 x;
            memcpy(&x, &b[k][j], sizeof x);
            for (int r = 0; r < 4; r++) c[r] += a[r][k] * x;
        }
        for (int r = 0; r < 4; r++) memcpy(&d[r][j], &c[r], sizeof c[r]);
    }
}

void wgmma_product(float d[WGMMA_M][WGMMA_N], const float a[WGMMA_M][WGMMA_K],
                   const float b[WGMMA_K][WGMMA_N], int n, int depth)
{
    for (int r = 0; r < WGMMA_M; r += 4) product_4(d + r, a + r, b, n, depth);
}
