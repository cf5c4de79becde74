/* SPDX-License-Identifier: Apache-2.0 */
/* Reads plain scalars by the rules of OmegaConf's loader: YAML 1.1 as PyYAML reads it
 * (yes/no/on/off are booleans, 010 is octal, 1:30 sexagesimal), except that 1e-5 is a number and
 * dates are strings.
 */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "config/node.h"

static bool one_of(const char *s, const char *const *words)
{
    for (; *words; words++)
        if (!strcmp(s, *words)) return true;
    return false;
}
static bool is_null(const char *s)
{
    static const char *const words[] = {"", "~", "null", "Null", "NULL", NULL};
    return one_of(s, words);
}
static bool is_bool(const char *s, bool *truth)
{
    static const char *const yes[] = {"true", "True", "TRUE", "yes", "Yes",
                                      "YES",  "on",   "On",   "ON",  NULL};
    static const char *const no[] = {"false", "False", "FALSE", "no",  "No",
                                     "NO",    "off",   "Off",   "OFF", NULL};
    *truth = one_of(s, yes);
    return *truth || one_of(s, no);
}

/* Reads one or more digits of a base, with '_' between them; -1 on anything else or overflow. */
static int read_base(const char *s, unsigned base, uint64_t *v)
{
    bool any = false;
    for (*v = 0; *s; s++) {
        unsigned d;
        if (*s == '_') continue;
        if (*s >= '0' && *s <= '9')
            d = (unsigned)(*s - '0');
        else if (isxdigit((unsigned char)*s))
            d = (unsigned)(*s | 32) - 'a' + 10;
        else
            return -1;
        if (d >= base || __builtin_mul_overflow(*v, (uint64_t)base, v) ||
            __builtin_add_overflow(*v, (uint64_t)d, v))
            return -1;
        any = true;
    }
    return any ? 0 : -1;
}

/* Reads a sexagesimal number: 1:30 is 90. */
static int read_sexagesimal(const char *s, uint64_t *v)
{
    unsigned long first = 0;
    if (*s < '1' || *s > '9') return -1;
    for (; isdigit((unsigned char)*s); s++)
        if ((first = first * 10 + (unsigned)(*s - '0')) > 1000000) return -1;
    *v = first;
    while (*s == ':') {
        unsigned d = 0, digits = 0;
        for (s++; isdigit((unsigned char)*s) && digits < 2; s++, digits++)
            d = d * 10 + (unsigned)(*s - '0');
        if (!digits || d > 59 || *v > UINT64_MAX / 60 - 1) return -1;
        *v = *v * 60 + d;
    }
    return *s ? -1 : 0;
}

static int read_int(const char *s, int64_t *out)
{
    uint64_t v;
    int rc;
    bool minus = *s == '-';
    if (*s == '-' || *s == '+') s++;
    if (!isdigit((unsigned char)*s)) return -1;
    if (s[0] == '0' && s[1] == 'x')
        rc = read_base(s + 2, 16, &v);
    else if (s[0] == '0' && s[1] == 'b')
        rc = read_base(s + 2, 2, &v);
    else if (s[0] == '0' && s[1])
        rc = read_base(s + 1, 8, &v);
    else if (strchr(s, ':'))
        rc = read_sexagesimal(s, &v);
    else
        rc = read_base(s, 10, &v);
    if (rc || v > (uint64_t)INT64_MAX) return -1;
    *out = minus ? -(int64_t)v : (int64_t)v;
    return 0;
}

/* Reads a number with a point, an exponent or both; skips '_'. Also accepts a sign before the
 * point, which the grammar of YAML 1.1 lacks. */
static int read_real(const char *s, double *out)
{
    char z[128];
    size_t n = 0;
    bool digit = false;
    const char *body = s + (*s == '-' || *s == '+');
    if (!strcasecmp(body, ".inf")) return *out = *s == '-' ? -INFINITY : INFINITY, 0;
    if (!strcasecmp(s, ".nan")) return *out = NAN, 0;
    for (; *s; s++) {
        if (*s == '_' && digit) continue;
        if (!strchr("0123456789+-.eE", *s) || n + 1 >= sizeof z) return -1;
        digit |= isdigit((unsigned char)*s);
        z[n++] = *s;
    }
    z[n] = 0;
    if (!digit) return -1;
    return num_f64(z[0] == '+' ? z + 1 : z, out);
}

void scalar_read(const struct node *n, struct scalar *s)
{
    *s = (struct scalar){.kind = SCALAR_STRING};
    if (n->kind != NODE_SCALAR || n->quoted) return;
    if (is_null(n->text)) {
        s->kind = SCALAR_NULL;
    } else if (is_bool(n->text, &s->truth)) {
        s->kind = SCALAR_BOOL;
    } else if (!read_int(n->text, &s->i)) {
        s->kind = SCALAR_INT;
        s->r = (double)s->i;
    } else if (strpbrk(n->text, ".eE") && !read_real(n->text, &s->r)) {
        s->kind = SCALAR_REAL;
    }
}

bool node_is_null(const struct node *n)
{
    return n->kind == NODE_SCALAR && !n->quoted && is_null(n->text);
}

/* Replaces the decimal comma of a locale by a point. */
static void dot(char *s)
{
    for (; *s; s++)
        if (*s == ',') *s = '.';
}

void scalar_real(double v, char out[40])
{
    if (isnan(v) || isinf(v)) {
        snprintf(out, 40, "%s", isnan(v) ? ".nan" : v < 0 ? "-.inf" : ".inf");
        return;
    }
    int digits = 1;
    for (double back; digits <= 17; digits++) {
        snprintf(out, 40, "%.*e", digits - 1, v);
        dot(out);
        if (!num_f64(out, &back) && back == v) break;
    }
    long exponent = strtol(strchr(out, 'e') + 1, NULL, 10);
    if (exponent >= -4 && exponent < 16) {
        long decimals = digits - 1 - exponent;
        snprintf(out, 40, "%.*f", decimals > 0 ? (int)decimals : 0, v);
        dot(out);
    }
    size_t n = strlen(out);
    if (!strpbrk(out, ".e")) snprintf(out + n, 40 - n, ".0");
}
