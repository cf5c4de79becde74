/* SPDX-License-Identifier: Apache-2.0 */
/* Every block format of GGUF expands to the bits that the gguf package gives
 * (tests/golden/hf/gguf_blocks.tsv); conversions of fp16 and bf16. */
#include "hf/dtype.h"
#include "hf/gguf.h"
#include "test.h"

/* Hexadecimal text to bytes; their number. */
static size_t unhex(const char *text, unsigned char *out, size_t max)
{
    size_t n = 0;
    unsigned v;
    while (n < max && sscanf(text + 2 * n, "%2x", &v) == 1) out[n++] = (unsigned char)v;
    return n;
}

static uint32_t type_of(const char *name)
{
    for (uint32_t t = 0; t < 64; t++)
        if (strcmp(gguf_type_name((enum gguf_type)t), name) == 0) return t;
    return 64;
}

static void blocks(void)
{
    static char line[16384];
    static unsigned char raw[1024], want[4096];
    static float got[1024];
    FILE *f = fopen("tests/golden/hf/gguf_blocks.tsv", "r");
    int types = 0;
    while (f && fgets(line, sizeof line, f)) {
        if (line[0] == '#') continue;
        char *name = strtok(line, "\t"), *a = strtok(NULL, "\t"), *b = strtok(NULL, "\t\n");
        size_t per, bytes, n = unhex(a, raw, sizeof raw), m = unhex(b, want, sizeof want) / 4;
        bool ok = gguf_type_block(type_of(name), &per, &bytes) == 0 && n / bytes * per == m;
        if (ok) gguf_dequant((enum gguf_type)type_of(name), raw, m, got);
        CHECK_IN("GGUF blocks", name, ok && memcmp(got, want, m * sizeof *got) == 0);
        types++;
    }
    CHECK("GGUF blocks: eleven types are compared", types == 11);
    if (f) fclose(f);
    size_t per, bytes;
    CHECK("GGUF blocks: an unknown type is refused",
          gguf_type_block(4, &per, &bytes) == -1 &&
              gguf_type_block(UINT32_MAX, &per, &bytes) == -1);
}

static float f32(uint32_t u)
{
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

/* All 65536 halves against arithmetic; bf16 rounding at its edges. */
static void halves(void)
{
    bool ok = true;
    for (uint32_t h = 0; h < 65536; h++) {
        int exponent = (int)(h >> 10 & 31), mantissa = (int)(h & 1023);
        double v = exponent == 0    ? ldexp(mantissa, -24)
                   : exponent == 31 ? (mantissa ? NAN : INFINITY)
                                    : ldexp(1024 + mantissa, exponent - 25);
        float got = f16_to_f32((uint16_t)h);
        if (h & 0x8000) v = -v;
        if (!(isnan(v) ? isnan(got) : got == (float)v && !signbit(got) == !signbit(v))) ok = false;
        if (!isnan(bf16_to_f32((uint16_t)h)) && bf16_from_f32(bf16_to_f32((uint16_t)h)) != h)
            ok = false;
    }
    CHECK("rounding: all fp16 values, and all bf16 values back", ok);
    CHECK("rounding: a tie goes to the even neighbour",
          bf16_from_f32(f32(0x3f808000)) == 0x3f80 && bf16_from_f32(f32(0x3f818000)) == 0x3f82);
    CHECK("rounding: above and below a tie the nearest is taken",
          bf16_from_f32(f32(0x3f808001)) == 0x3f81 && bf16_from_f32(f32(0x3f817fff)) == 0x3f81);
    CHECK("rounding: the largest fp32 rounds to infinity",
          bf16_from_f32(f32(0x7f7fffff)) == 0x7f80);
    CHECK("rounding: a NaN stays a NaN", (bf16_from_f32(f32(0x7f800001)) & 0x7fff) > 0x7f80 &&
                                             (bf16_from_f32(f32(0xffffffff)) & 0x7fff) > 0x7f80);
}

int main(void)
{
    blocks();
    halves();
    TEST_END();
}
