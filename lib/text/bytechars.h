/* SPDX-License-Identifier: Apache-2.0 */
/* The alphabet of byte-level BPE (GPT-2): one printable character for each byte. */
#ifndef SFT_TEXT_BYTECHARS_H
#define SFT_TEXT_BYTECHARS_H

#include <stdint.h>

/* Returns the character of byte b. */
static inline uint32_t bytechar_of(unsigned b)
{
    if (b <= 0x20) return 0x100 + b;
    if (b < 0x7f) return b;
    if (b <= 0xa0) return 0x100 + 0x21 + (b - 0x7f);
    return b == 0xad ? 0x143 : b;
}

/* Returns the byte of character c, or -1. */
static inline int bytechar_byte(uint32_t c)
{
    if (c >= 0x100 && c <= 0x120) return (int)(c - 0x100);
    if (c >= 0x121 && c <= 0x142) return (int)(c - 0x121 + 0x7f);
    if (c == 0x143) return 0xad;
    if (c > 0x20 && c < 0x7f) return (int)c;
    return c > 0xa0 && c <= 0xff && c != 0xad ? (int)c : -1;
}

#endif
