/* SPDX-License-Identifier: Apache-2.0 */
/* Validation of UTF-8; ill-formed parts are maximal subparts (Unicode, section 3.9). */
#include "unicode/utf8.h"

#include <string.h>

/* Returns the length of the well-formed character at p, or 0 with *bad set. */
static unsigned check_one(const unsigned char *p, size_t n, size_t *bad)
{
    unsigned char lo = 0x80, hi = 0xbf;
    unsigned len = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    if (p[0] < 0xc2 || p[0] > 0xf4) return *bad = 1, 0;
    if (p[0] == 0xe0) lo = 0xa0;
    if (p[0] == 0xed) hi = 0x9f;
    if (p[0] == 0xf0) lo = 0x90;
    if (p[0] == 0xf4) hi = 0x8f;
    for (unsigned i = 1; i < len; i++) {
        if (i >= n || p[i] < lo || p[i] > hi) return *bad = i, 0;
        lo = 0x80, hi = 0xbf;
    }
    return len;
}

size_t utf8_valid(const char *s, size_t n, size_t *bad)
{
    const unsigned char *p = (const unsigned char *)s;
    size_t i = 0, none;
    while (i < n) {
        uint64_t w;
        if (n - i >= 8 && (memcpy(&w, p + i, 8), (w & 0x8080808080808080u) == 0)) {
            i += 8;
        } else if (p[i] < 0x80) {
            i++;
        } else {
            unsigned len = check_one(p + i, n - i, bad ? bad : &none);
            if (len == 0) return i;
            i += len;
        }
    }
    return n;
}
