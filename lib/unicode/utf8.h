/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8: validation, decoding of valid text, encoding. */
#ifndef SFT_UTF8_H
#define SFT_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Returns the length of the character that begins with byte b of valid text. */
static inline unsigned utf8_len(unsigned char b)
{
    return b < 0x80 ? 1 : b < 0xe0 ? 2 : b < 0xf0 ? 3 : 4;
}

static inline bool utf8_is_tail(char c) { return ((unsigned char)c & 0xc0) == 0x80; }

/* Decodes the character at s, which is valid UTF-8, and returns its length. */
static inline unsigned utf8_get(const char *s, uint32_t *c)
{
    const unsigned char *p = (const unsigned char *)s;
    if (p[0] < 0x80) return *c = p[0], 1;
    if (p[0] < 0xe0) return *c = (p[0] & 0x1fu) << 6 | (p[1] & 0x3fu), 2;
    if (p[0] < 0xf0) {
        *c = (p[0] & 0x0fu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu);
        return 3;
    }
    *c = (p[0] & 0x07u) << 18 | (p[1] & 0x3fu) << 12 | (p[2] & 0x3fu) << 6 | (p[3] & 0x3fu);
    return 4;
}

/* Decodes the character before p, which is not the start of the text, and returns its length. */
static inline unsigned utf8_get_back(const char *p, uint32_t *c)
{
    const char *q = p - 1;
    while (utf8_is_tail(*q)) q--;
    return utf8_get(q, c);
}

/* Writes c, which is a scalar value, to out[4] and returns its length. */
static inline unsigned utf8_put(char *out, uint32_t c)
{
    if (c < 0x80) return out[0] = (char)c, 1;
    if (c < 0x800) {
        out[0] = (char)(0xc0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xe0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3f));
        out[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3f));
    out[2] = (char)(0x80 | (c >> 6 & 0x3f));
    out[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

/* Returns the length of the longest prefix of s that is valid UTF-8. *bad, unless NULL, is set to
 * the length of the ill-formed part behind it that lenient decoders replace by one U+FFFD. */
size_t utf8_valid(const char *s, size_t n, size_t *bad);

#endif
