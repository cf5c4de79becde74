/* SPDX-License-Identifier: Apache-2.0 */
/* Values as text: Python's str() and repr(). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jinja/ast.h"

/* Finds the shortest digits d.ddd and the exponent that read back as f, as repr() does. Returns the
 * number of digits. */
static int shortest(double f, char digits[24], int *exponent)
{
    char text[48];
    int n = 0;
    for (int precision = 0; precision < 17; precision++) {
        snprintf(text, sizeof text, "%.*e", precision, f);
        if (strtod(text, NULL) == f) break;
    }
    char *e = strchr(text, 'e');
    for (char *p = text; p < e; p++)
        if (*p >= '0' && *p <= '9') digits[n++] = *p;
    while (n > 1 && digits[n - 1] == '0') n--;
    digits[n] = 0;
    *exponent = (int)strtol(e + 1, NULL, 10);
    return n;
}

void jval_float_text(double f, char out[JFLOAT_TEXT])
{
    char digits[24];
    int exponent, n;
    if (isnan(f) || isinf(f)) {
        snprintf(out, JFLOAT_TEXT, "%s", isnan(f) ? "nan" : f < 0 ? "-inf" : "inf");
        return;
    }
    const char *sign = signbit(f) ? "-" : "";
    n = shortest(fabs(f), digits, &exponent);
    if (exponent < -4 || exponent >= 16)
        snprintf(out, JFLOAT_TEXT, "%s%c%s%se%c%02d", sign, digits[0], n > 1 ? "." : "", digits + 1,
                 exponent < 0 ? '-' : '+', abs(exponent));
    else if (exponent < 0)
        snprintf(out, JFLOAT_TEXT, "%s0.%.*s%s", sign, -exponent - 1, "0000", digits);
    else if (n <= exponent + 1)
        snprintf(out, JFLOAT_TEXT, "%s%s%.*s.0", sign, digits, exponent + 1 - n,
                 "0000000000000000");
    else
        snprintf(out, JFLOAT_TEXT, "%s%.*s.%s", sign, exponent + 1, digits, digits + exponent + 1);
}

static void repr_char(struct jbuild *b, const struct jstr *s, size_t i, size_t len, uint32_t c,
                      char quote)
{
    char text[16];
    static const char special[] = "\n\r\t\\", names[] = "nrt\\";
    const char *k = c && c < 0x80 ? strchr(special, (int)c) : NULL;
    if (k)
        snprintf(text, sizeof text, "\\%c", names[k - special]);
    else if (c == (uint32_t)quote)
        snprintf(text, sizeof text, "\\%c", quote);
    else if (c < 0x20 || c == 0x7F || (c >= 0x80 && c < 0x100 && !jchar_printable(c)))
        snprintf(text, sizeof text, "\\x%02x", (unsigned)c);
    else if (c >= 0x100 && !jchar_printable(c))
        snprintf(text, sizeof text, c < 0x10000 ? "\\u%04x" : "\\U%08x", (unsigned)c);
    else {
        jbuild_part(b, s, i, i + len);
        return;
    }
    jbuild_derived(b, text, strlen(text), s, i, i + len);
}

static void repr_string(struct jbuild *b, const struct jstr *s)
{
    char quote = memchr(s->p, '\'', s->n) && !memchr(s->p, '"', s->n) ? '"' : '\'';
    if (s->markup) jbuild_z(b, "Markup(");
    jbuild_bytes(b, &quote, 1);
    for (size_t i = 0, len; i < s->n && !b->failed; i += len) {
        uint32_t c = jchar_get(s->p + i, s->n - i, &len);
        repr_char(b, s, i, len, c, quote);
    }
    jbuild_bytes(b, &quote, 1);
    if (s->markup) jbuild_z(b, ")");
}

static void repr_list(struct jbuild *b, struct jval v, unsigned depth)
{
    static const char *const open[] = {"[", "("}, *const close[] = {"]", ")"};
    int round = v.kind == J_TUPLE;
    if (v.kind == J_VIEW) {
        jbuild_z(b, jval_type(v));
        jbuild_z(b, "(");
    }
    jbuild_z(b, open[round]);
    for (size_t i = 0; i < v.u.list->n && !b->failed; i++) {
        if (i) jbuild_z(b, ", ");
        jval_repr(b, v.u.list->v[i], depth + 1);
    }
    if (round && v.u.list->n == 1) jbuild_z(b, ",");
    jbuild_z(b, close[round]);
    if (v.kind == J_VIEW) jbuild_z(b, ")");
}

static void repr_dict(struct jbuild *b, const struct jdict *d, unsigned depth)
{
    jbuild_z(b, "{");
    for (size_t i = 0; i < d->n && !b->failed; i++) {
        if (i) jbuild_z(b, ", ");
        jval_repr(b, d->keys[i], depth + 1);
        jbuild_z(b, ": ");
        jval_repr(b, d->vals[i], depth + 1);
    }
    jbuild_z(b, "}");
}

static void repr_range(struct jbuild *b, const struct jrange *r)
{
    char text[96];
    long long stop = (long long)(r->start + r->n * r->step);
    int n = snprintf(text, sizeof text, "range(%lld, %lld", (long long)r->start, stop);
    if (r->step != 1)
        n += snprintf(text + n, sizeof text - (size_t)n, ", %lld", (long long)r->step);
    snprintf(text + n, sizeof text - (size_t)n, ")");
    jbuild_z(b, text);
}

void jval_repr(struct jbuild *b, struct jval v, unsigned depth)
{
    char text[JFLOAT_TEXT];
    if (depth > VM_MAX_NESTING) {
        vm_fail(b->vm, "a value is nested too deeply to be printed");
        b->failed = true;
        return;
    }
    switch (v.kind) {
    case J_MISSING:
    case J_UNDEF:
        jbuild_z(b, "Undefined");
        break;
    case J_NONE:
        jbuild_z(b, "None");
        break;
    case J_BOOL:
        jbuild_z(b, v.u.truth ? "True" : "False");
        break;
    case J_INT:
        snprintf(text, sizeof text, "%lld", (long long)v.u.i);
        jbuild_z(b, text);
        break;
    case J_FLOAT:
        jval_float_text(v.u.f, text);
        jbuild_z(b, text);
        break;
    case J_STR:
        repr_string(b, v.u.s);
        break;
    case J_BIG:
    case J_BLOB:
        jbuild_str(b, v.u.s);
        break;
    case J_LIST:
    case J_TUPLE:
    case J_VIEW:
        repr_list(b, v, depth);
        break;
    case J_DICT:
        repr_dict(b, v.u.dict, depth);
        break;
    case J_RANGE:
        repr_range(b, v.u.range);
        break;
    case J_NS:
        jbuild_z(b, "<Namespace ");
        repr_dict(b, v.u.dict, depth + 1);
        jbuild_z(b, ">");
        break;
    case J_MACRO:
        jbuild_z(b, "<Macro ");
        repr_string(b, v.u.macro->node->name);
        jbuild_z(b, ">");
        break;
    default: /* Python adds an address */
        jbuild_z(b, "<");
        jbuild_z(b, jval_type(v));
        jbuild_z(b, " object>");
    }
}

static bool is_decoded(struct jval v) { return v.kind == J_DICT && v.u.dict->decoded; }

void jbuild_value(struct jbuild *b, struct jval v)
{
    bool list = v.kind == J_LIST && v.u.list->n;
    if (is_decoded(v) || (list && is_decoded(v.u.list->v[0]))) b->vm->printed_decoded = true;
    if (v.kind == J_STR)
        jbuild_str(b, v.u.s);
    else if (v.kind != J_UNDEF)
        jval_repr(b, v, 0);
}

int jval_tostr(struct vm *vm, struct jval v, bool soft, const struct jstr **out)
{
    struct jval r;
    if (v.kind == J_STR && (soft || !v.u.s->markup)) {
        *out = v.u.s;
        return 0;
    }
    struct jbuild b;
    jbuild_init(&b, vm);
    jbuild_value(&b, v);
    if (jbuild_done(&b, &r)) return -1;
    *out = r.u.s;
    return 0;
}
