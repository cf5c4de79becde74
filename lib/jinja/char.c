/* SPDX-License-Identifier: Apache-2.0 */
/* Characters: UTF-8, Python's white space and line breaks, upper and lower case. */
#include <string.h>

#include "jinja/value.h"

#include "jinja/case.h"

uint32_t jchar_get(const char *p, size_t n, size_t *len)
{
    const unsigned char *s = (const unsigned char *)p;
    size_t want = s[0] < 0x80   ? 1
                  : s[0] < 0xC0 ? 0
                  : s[0] < 0xE0 ? 2
                  : s[0] < 0xF0 ? 3
                  : s[0] < 0xF8 ? 4
                                : 0;
    *len = 1;
    if (want == 1) return s[0];
    if (!want || want > n) return 0xFFFD;
    uint32_t c = s[0] & (0x7Fu >> want);
    for (size_t i = 1; i < want; i++) {
        if ((s[i] & 0xC0) != 0x80) return 0xFFFD;
        c = c << 6 | (s[i] & 0x3F);
    }
    *len = want;
    return c;
}

size_t jchar_put(uint32_t c, char out[4])
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, c >>= 6) out[i] = (char)(0x80 | (c & 0x3F));
    out[0] = (char)(c | (n == 2 ? 0xC0 : n == 3 ? 0xE0 : 0xF0));
    return n;
}

bool jchar_space(uint32_t c)
{
    if (c < 0x80) return c == ' ' || (c >= 9 && c <= 13) || (c >= 0x1C && c <= 0x1F);
    return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
           c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool jchar_linebreak(uint32_t c)
{
    return (c >= 10 && c <= 13) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 ||
           c == 0x2029;
}

static uint32_t map(uint32_t c, const struct case_run *r, size_t n)
{
    size_t lo = 0, hi = n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (r[mid].last < c)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo == n || c < r[lo].first || (c - r[lo].first) % (uint32_t)r[lo].step) return c;
    return (uint32_t)((int32_t)c + r[lo].distance);
}

uint32_t jchar_upper(uint32_t c, char more[8])
{
    more[0] = 0;
    if (c < 0x80) return c >= 'a' && c <= 'z' ? c - 32 : c;
    for (size_t i = 0; i < sizeof upper_many / sizeof *upper_many; i++) {
        if (upper_many[i].c != c) continue;
        size_t len, n = strlen(upper_many[i].upper);
        uint32_t first = jchar_get(upper_many[i].upper, n, &len);
        memcpy(more, upper_many[i].upper + len, n - len + 1);
        return first;
    }
    return map(c, upper_runs, sizeof upper_runs / sizeof *upper_runs);
}

uint32_t jchar_lower(uint32_t c)
{
    if (c < 0x80) return c >= 'A' && c <= 'Z' ? c + 32 : c;
    return map(c, lower_runs, sizeof lower_runs / sizeof *lower_runs);
}

const char *jchar_title(uint32_t c)
{
    for (size_t i = 0; i < sizeof title_other / sizeof *title_other; i++)
        if (title_other[i].c == c) return title_other[i].title;
    return NULL;
}

bool jchar_cased(uint32_t c)
{
    char more[8];
    return jchar_lower(c) != c || jchar_upper(c, more) != c || more[0];
}
