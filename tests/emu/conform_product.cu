/* SPDX-License-Identifier: Apache-2.0 */
#include "conform_product.h"

/* Offset of an element, mn in [0, rows), k in [0, depth of the whole image). */
static int offset_of(struct layout l, int size, int depth, int mn, int k)
{
    const int t = 16 / size, w = l.width;
    int at;
    if (!w && !l.mn_major)
        at = mn % 8 * 16 + mn / 8 * (depth / t) * 128 + k / t * 128 + k % t * size;
    else if (!w)
        at = mn % t * size + k % 8 * 16 + mn / t * (depth / 8) * 128 + k / 8 * 128;
    else if (!l.mn_major)
        at = mn % 8 * w + mn / 8 * 8 * w + k * size;
    else
        at = mn % (w / size) * size + k % 8 * w + k / 8 * 8 * w + mn / (w / size) * depth * w;
    return w ? at ^ (at >> 7 & (w / 16 - 1)) << 4 : at;
}

/* Leading and stride byte offsets and the swizzle, in the descriptor's places. */
static uint64_t descriptor_of(struct layout l, int size, int depth)
{
    const int t = 16 / size, w = l.width;
    uint64_t leading, stride, swizzle = w == 128 ? 1 : w == 64 ? 2 : w == 32 ? 3 : 0;
    if (!w && !l.mn_major)
        leading = 128, stride = (uint64_t)(depth / t * 128);
    else if (!w)
        leading = 128, stride = (uint64_t)(depth / 8 * 128);
    else if (!l.mn_major)
        leading = 16, stride = (uint64_t)(8 * w);
    else
        leading = (uint64_t)(depth * w), stride = (uint64_t)(8 * w);
    return leading >> 4 << 16 | stride >> 4 << 32 | swizzle << 62;
}

/* Bytes from a product's operand to that of the next depth. */
static int advance(struct layout l, int size, int depth)
{
    if (!l.width) return l.mn_major ? depth / 8 * 128 : depth * size / 16 * 128;
    return l.mn_major ? depth / 8 * 8 * l.width : depth * size;
}

static uint32_t element_of(const struct product *p, int is_b, int row, int k)
{
    return element_drawn(is_b ? p->b : p->a, p->real,
                         (uint64_t)(is_b ? 1 << 20 : 0) + (uint64_t)(row * 256 + k));
}

static void lay_out(const struct product *p, int is_b, uint32_t *image)
{
    const int bits = element_bits(is_b ? p->b : p->a), rows = is_b ? p->n : 64;
    const int depth = p->depth * p->steps;
    for (int row = 0; row < rows; row++)
        for (int k = 0; k < depth; k++) {
            const uint32_t v = element_of(p, is_b, row, k);
            const int at = offset_of(is_b ? p->b_layout : p->a_layout, bits / 8, depth, row, k);
            memcpy((char *)image + at, &v, (size_t)bits / 8);
        }
}

/* Fragments of A: the registers of mma's A, for each warp 16 rows. */
static void lay_fragments(const struct product *p, uint32_t *image)
{
    const int bits = element_bits(p->a), in_reg = 32 / bits;
    memset(image, 0, IMAGE);
    for (int step = 0; step < p->steps; step++)
        for (int t = 0; t < WARPGROUP; t++)
            for (int i = 0; i < 4 * in_reg; i++) {
                const int reg = i / in_reg, row = t / 32 * 16 + t % 32 / 4 + 8 * (reg & 1);
                const int k = t % 4 * in_reg + i % in_reg + (reg >> 1) * 4 * in_reg;
                image[(step * WARPGROUP + t) * 4 + reg] |=
                    element_of(p, 0, row, step * p->depth + k) << i % in_reg * bits % 32;
            }
}

static void fill_product(const struct form *f, void *in)
{
    const struct product *p = (const struct product *)f->extra;
    struct input *to = (struct input *)in;
    const int depth = p->depth * p->steps, a_size = element_bits(p->a) / 8;
    const int b_size = element_bits(p->b) / 8;
    memset(to, 0, sizeof *to);
    to->a_descriptor = descriptor_of(p->a_layout, a_size, depth);
    to->b_descriptor = descriptor_of(p->b_layout, b_size, depth);
    to->a_step = (uint32_t)advance(p->a_layout, a_size, p->depth);
    to->b_step = (uint32_t)advance(p->b_layout, b_size, p->depth);
    to->keep = (uint32_t)p->keep, to->steps = (uint32_t)p->steps;
    if (p->a_in_registers)
        lay_fragments(p, to->a_image);
    else
        lay_out(p, 0, to->a_image);
    lay_out(p, 1, to->b_image);
}

int want_product(const struct form *f, const void *, void *want)
{
    const struct product *p = (const struct product *)f->extra;
    const int depth = p->depth * p->steps, half = p->d == E_F16;
    static double a[64][256], b[256][256];
    for (int k = 0; k < depth; k++) {
        for (int i = 0; i < 64; i++) a[i][k] = element_value(p->a, element_of(p, 0, i, k));
        for (int i = 0; i < p->n; i++) b[i][k] = element_value(p->b, element_of(p, 1, i, k));
    }
    for (int t = 0; t < WARPGROUP; t++)
        for (int i = 0; i < p->n / 2; i++) {
            const int row = t / 32 * 16 + t % 32 / 4 + 8 * (i / 2 % 2);
            const int column = i / 4 * 8 + t % 4 * 2 + i % 2;
            double sum = 0;
            for (int k = 0; k < depth; k++) sum += a[row][k] * b[column][k];
            sum *= p->a_sign * p->b_sign;
            if (p->keep) sum += first_value(t, i);
            const uint32_t bits = element_bits_of(p->d, sum);
            if (half)
                ((uint16_t *)want)[(i / 2 * WARPGROUP + t) * 2 + i % 2] = (uint16_t)bits;
            else
                ((uint32_t *)want)[i * WARPGROUP + t] = bits;
        }
    return 1;
}

/* Hopper adds products of 8-bit floats with 13 bits below the largest. */
static const char *tolerance_of(const struct product *p)
{
    const int narrow = p->a == E_E4M3 || p->a == E_E5M2;
    if (p->d == E_F16) return "abs:0.02";
    return narrow ? "abs:0.002" : "abs:1e-4";
}

struct form product_form(const struct product *p, kernel_fn *kernel)
{
    const unsigned words = (unsigned)(WARPGROUP * p->n / (p->d == E_F16 ? 4 : 2));
    struct form f = form_new(p->name,
                             p->d == E_F32   ? "f32"
                             : p->d == E_F16 ? "f16x2"
                                             : "s32",
                             kernel, WARPGROUP, sizeof(struct input), 4 * words);
    f.shared = 3 * IMAGE, f.fill = fill_product, f.want = want_product, f.extra = p;
    if (p->real) f.tolerance = tolerance_of(p);
    /* Odd, so that the printed elements meet every thread and register. */
    f.every = words > 8192 ? 93 : words > 2048 ? 51 : words > 1024 ? 15 : 5;
    return f;
}
