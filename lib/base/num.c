/* SPDX-License-Identifier: Apache-2.0 */
/* Parses numbers strictly, and formats them for JSON. */
#include "base/num.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Excludes the white space, "+", hexadecimal and "inf" that the strto functions accept. */
static bool starts_number(const char *s, bool sign)
{
    if (sign && *s == '-') s++;
    return *s >= '0' && *s <= '9';
}

int num_i64(const char *s, int64_t *v)
{
    char *end;
    if (!starts_number(s, true)) return -1;
    errno = 0;
    long long x = strtoll(s, &end, 10);
    if (errno || *end) return -1;
    *v = x;
    return 0;
}

int num_u64(const char *s, uint64_t *v)
{
    char *end;
    if (!starts_number(s, false)) return -1;
    errno = 0;
    unsigned long long x = strtoull(s, &end, 10);
    if (errno || *end) return -1;
    *v = x;
    return 0;
}

int num_f64(const char *s, double *v)
{
    char *end;
    const char *p = s + (*s == '-');
    bool point = *p == '.' && p[1] >= '0' && p[1] <= '9';
    if (!starts_number(s, true) && !point) return -1;
    if (p[0] == '0' && (p[1] | 0x20) == 'x') return -1;
    double x = strtod(s, &end);
    if (*end || !isfinite(x)) return -1; /* a tiny number may become 0, its nearest double */
    *v = x;
    return 0;
}

void num_text(double v, bool single, char out[NUM_TEXT])
{
    double back;
    if (!isfinite(v)) {
        snprintf(out, NUM_TEXT, "null");
        return;
    }
    if (v == trunc(v) && fabs(v) < 1e15) { /* 100000 rather than 1e+05 */
        snprintf(out, NUM_TEXT, "%.0f", v);
        return;
    }
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(out, NUM_TEXT, "%.*g", digits, v);
        if (num_f64(out, &back) == 0 && (single ? (float)back == (float)v : back == v)) return;
    }
}
