/* SPDX-License-Identifier: Apache-2.0 */
/* Characters: UTF-8, Python's white space and line breaks, upper and lower case. */
#include <string.h>

#include "jinja/value.h"
#include "unicode/unicode.h"

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

/* ---- classes, as of Python's str ---- */
static bool among(uint32_t c, const uint32_t (*r)[2], size_t n)
{
    for (size_t i = 0; i < n && r[i][0] <= c; i++)
        if (c <= r[i][1]) return true;
    return false;
}

bool jchar_letter(uint32_t c)
{
    if (c < 0x80) return (c | 32) >= 'a' && (c | 32) <= 'z';
    const unsigned k = unicode_category_of(c);
    return k >= UNICODE_LETTER_FIRST && k <= UNICODE_LETTER_LAST;
}

bool jchar_decimal(uint32_t c)
{
    return c < 0x80 ? c >= '0' && c <= '9' : unicode_category_of(c) == UNICODE_DECIMAL;
}

bool jchar_digit(uint32_t c)
{
    /* Numeric_Type=Digit: superscripts, circled digits, ... */
    static const uint32_t others[][2] = {
        {0xB2, 0xB3},       {0xB9, 0xB9},       {0x1369, 0x1371},   {0x19DA, 0x19DA},
        {0x2070, 0x2070},   {0x2074, 0x2079},   {0x2080, 0x2089},   {0x2460, 0x2468},
        {0x2474, 0x247C},   {0x2488, 0x2490},   {0x24EA, 0x24EA},   {0x24F5, 0x24FD},
        {0x24FF, 0x24FF},   {0x2776, 0x277E},   {0x2780, 0x2788},   {0x278A, 0x2792},
        {0x10A40, 0x10A43}, {0x10E60, 0x10E68}, {0x11052, 0x1105A}, {0x1F100, 0x1F10A},
    };
    return jchar_decimal(c) || among(c, others, sizeof others / sizeof *others);
}

bool jchar_numeric(uint32_t c)
{
    /* Numeric_Type=Numeric: ideographs of numbers, which are letters. */
    static const uint32_t letters[][2] = {
        {0x3405, 0x3405},   {0x3483, 0x3483},   {0x382A, 0x382A},   {0x3B4D, 0x3B4D},
        {0x4E00, 0x4E00},   {0x4E03, 0x4E03},   {0x4E07, 0x4E07},   {0x4E09, 0x4E09},
        {0x4E5D, 0x4E5D},   {0x4E8C, 0x4E8C},   {0x4E94, 0x4E94},   {0x4E96, 0x4E96},
        {0x4EBF, 0x4EC0},   {0x4EDF, 0x4EDF},   {0x4EE8, 0x4EE8},   {0x4F0D, 0x4F0D},
        {0x4F70, 0x4F70},   {0x5104, 0x5104},   {0x5146, 0x5146},   {0x5169, 0x5169},
        {0x516B, 0x516B},   {0x516D, 0x516D},   {0x5341, 0x5341},   {0x5343, 0x5345},
        {0x534C, 0x534C},   {0x53C1, 0x53C4},   {0x56DB, 0x56DB},   {0x58F1, 0x58F1},
        {0x58F9, 0x58F9},   {0x5E7A, 0x5E7A},   {0x5EFE, 0x5EFF},   {0x5F0C, 0x5F0E},
        {0x5F10, 0x5F10},   {0x62FE, 0x62FE},   {0x634C, 0x634C},   {0x67D2, 0x67D2},
        {0x6F06, 0x6F06},   {0x7396, 0x7396},   {0x767E, 0x767E},   {0x8086, 0x8086},
        {0x842C, 0x842C},   {0x8CAE, 0x8CAE},   {0x8CB3, 0x8CB3},   {0x8D30, 0x8D30},
        {0x9621, 0x9621},   {0x9646, 0x9646},   {0x964C, 0x964C},   {0x9678, 0x9678},
        {0x96F6, 0x96F6},   {0xF96B, 0xF96B},   {0xF973, 0xF973},   {0xF978, 0xF978},
        {0xF9B2, 0xF9B2},   {0xF9D1, 0xF9D1},   {0xF9D3, 0xF9D3},   {0xF9FD, 0xF9FD},
        {0x20001, 0x20001}, {0x20064, 0x20064}, {0x200E2, 0x200E2}, {0x20121, 0x20121},
        {0x2092A, 0x2092A}, {0x20983, 0x20983}, {0x2098C, 0x2098C}, {0x2099C, 0x2099C},
        {0x20AEA, 0x20AEA}, {0x20AFD, 0x20AFD}, {0x20B19, 0x20B19}, {0x22390, 0x22390},
        {0x22998, 0x22998}, {0x23B1B, 0x23B1B}, {0x2626D, 0x2626D}, {0x2F890, 0x2F890},
    };
    const unsigned k = unicode_category_of(c);
    return (k >= UNICODE_DECIMAL && k <= UNICODE_NUMBER_LAST) ||
           among(c, letters, sizeof letters / sizeof *letters);
}

bool jchar_word(uint32_t c)
{
    if (c < 0x80) return c == '_' || jchar_letter(c) || jchar_decimal(c);
    const unsigned k = unicode_category_of(c);
    return (k >= UNICODE_LETTER_FIRST && k <= UNICODE_LETTER_LAST) ||
           (k >= UNICODE_DECIMAL && k <= UNICODE_NUMBER_LAST);
}

bool jchar_printable(uint32_t c)
{
    if (c < 0x80) return c >= ' ' && c != 0x7F;
    const unsigned k = unicode_category_of(c);
    return k != UNICODE_UNASSIGNED && k < UNICODE_SEPARATOR_FIRST;
}

/* ---- case ---- */
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
