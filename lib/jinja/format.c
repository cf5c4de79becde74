/* SPDX-License-Identifier: Apache-2.0 */
/* "..." % values and "...".format(): the conversions that templates use. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "jinja/value.h"

struct spec {
    bool left, plus, space, zero, alternate, comma, centre, aligned;
    struct jstr fill;
    int64_t width, precision; /* precision -1: none */
    char type;                /* 0: none */
};
enum { SPEC_MAX = 10000 };

/* Writes a number as an optional sign and its digits. */
static int number_text(struct vm *vm, const struct spec *s, struct jval v, char *text, size_t n)
{
    int64_t i;
    double f;
    char type = s->type ? s->type : v.kind == J_FLOAT ? 'r' : 'd';
    int precision = s->precision < 0 ? 6 : (int)s->precision;
    if (type == 'i' || type == 'u') type = 'd';
    if (strchr("dxXo", type)) {
        if (!jval_is_int(v, &i)) {
            if (type != 'd' || !jval_is_real(v, &f) || !(fabs(f) < 9e18))
                return vm_fail(vm, "%%%c format: an integer is required, not %s", type,
                               jval_type(v));
            i = (int64_t)f;
        }
        uint64_t u = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;
        const char *prefix = !s->alternate ? "" : type == 'x' ? "0x" : type == 'X' ? "0X" : "";
        const char *sign = i < 0 ? "-" : s->plus ? "+" : s->space ? " " : "";
        int k = snprintf(text, n, "%s%s", sign, prefix);
        snprintf(text + k, n - (size_t)k,
                 type == 'x'   ? "%llx"
                 : type == 'X' ? "%llX"
                 : type == 'o' ? "%llo"
                               : "%llu",
                 (unsigned long long)u);
        return 0;
    }
    if (!jval_is_real(v, &f)) return vm_fail(vm, "must be a real number, not %s", jval_type(v));
    int k = snprintf(text, n, "%s", signbit(f) ? "-" : s->plus ? "+" : s->space ? " " : "");
    if (type == 'r' || isnan(f) || isinf(f)) {
        char shortest[JFLOAT_TEXT];
        jval_float_text(fabs(f), shortest);
        snprintf(text + k, n - (size_t)k, "%s", shortest);
        return 0;
    }
    if (type == '%') f *= 100;
    snprintf(text + k, n - (size_t)k,
             type == 'e'   ? "%.*e"
             : type == 'E' ? "%.*E"
             : type == 'g' ? "%.*g"
                           : "%.*f",
             type == 'g' && !precision ? 1 : precision, fabs(f));
    if (type == '%') {
        size_t end = strlen(text);
        if (end + 1 < n) memcpy(text + end, "%", 2);
    }
    return 0;
}

/* Inserts a comma between groups of three digits of the integer part. */
static void group(char *text, size_t n)
{
    size_t start = strspn(text, "+- "), end = start + strspn(text + start, "0123456789");
    while (end > start + 3 && strlen(text) + 2 < n) {
        end -= 3;
        memmove(text + end + 1, text + end, strlen(text + end) + 1);
        text[end] = ',';
    }
}

static void pad(struct jbuild *b, const struct spec *s, int64_t n)
{
    for (; n > 0 && !b->failed; n--)
        if (s->fill.n)
            jbuild_str(b, &s->fill);
        else
            jbuild_z(b, " ");
}

static int put_number(struct jbuild *b, const struct spec *s, struct jval v)
{
    char text[512];
    if (number_text(b->vm, s, v, text, sizeof text)) return -1;
    if (s->comma) group(text, sizeof text);
    int64_t room = s->width - (int64_t)strlen(text);
    size_t sign = strspn(text, "+- ");
    if (s->zero && !s->left) {
        jbuild_bytes(b, text, sign);
        for (; room > 0 && !b->failed; room--) jbuild_z(b, "0");
        jbuild_z(b, text + sign);
        return 0;
    }
    int64_t before = s->left || room < 0 ? 0 : s->centre ? room / 2 : room;
    pad(b, s, before);
    jbuild_z(b, text);
    pad(b, s, room - before);
    return 0;
}

static void put_text(struct jbuild *b, const struct spec *s, const struct jstr *t, bool left)
{
    size_t end = s->precision < 0 ? t->n : jstr_offset(t, (size_t)s->precision);
    struct jstr shown = *t;
    shown.n = (uint32_t)end;
    int64_t room = s->width - (int64_t)jstr_chars(&shown);
    int64_t before = left || room < 0 ? 0 : s->centre ? room / 2 : room;
    pad(b, s, before);
    jbuild_part(b, t, 0, end);
    pad(b, s, room - before);
}

static int read_int(struct vm *vm, const char **p, const char *end, int64_t *v)
{
    *v = 0;
    for (; *p < end && **p >= '0' && **p <= '9'; ++*p) {
        *v = *v * 10 + (**p - '0');
        if (*v > SPEC_MAX) return vm_fail(vm, "a width in a format is too large");
    }
    return 0;
}

/* Parses [flags][width][.precision]type; *p is behind "%" and any "(key)". */
static int percent_spec(struct vm *vm, const char **p, const char *end, struct spec *s)
{
    *s = (struct spec){.precision = -1};
    for (; *p < end && strchr("-+ #0", **p) && **p; ++*p) {
        s->left |= **p == '-';
        s->plus |= **p == '+';
        s->space |= **p == ' ';
        s->alternate |= **p == '#';
        s->zero |= **p == '0';
    }
    if (read_int(vm, p, end, &s->width)) return -1;
    if (*p < end && **p == '.') {
        ++*p;
        if (read_int(vm, p, end, &s->precision)) return -1;
        if (s->precision > 100) return vm_fail(vm, "a precision in a format is too large");
    }
    if (*p == end) return vm_fail(vm, "incomplete format");
    s->type = *(*p)++;
    return 0;
}

static int percent_value(struct jbuild *b, const struct spec *s, struct jval v)
{
    struct jbuild r;
    struct jval text;
    if (s->type == 's' || s->type == 'r') {
        jbuild_init(&r, b->vm);
        if (s->type == 's')
            jbuild_value(&r, v);
        else
            jval_repr(&r, v, 0);
        if (jbuild_done(&r, &text)) return -1;
        put_text(b, s, text.u.s, s->left);
        return 0;
    }
    if (!s->type || !strchr("dixXoeEfFg", s->type))
        return vm_fail(b->vm, "unsupported format character '%c'", s->type);
    return put_number(b, s, v);
}

int jval_percent(struct vm *vm, const struct jstr *format, struct jval args, struct jval *out)
{
    struct jbuild b;
    struct spec s;
    size_t used = 0;
    const char *p = format->p, *end = p + format->n;
    if (format->markup) return vm_fail(vm, "%% on a `safe` string is not supported");
    jbuild_init(&b, vm);
    while (p < end && !b.failed) {
        const char *k = memchr(p, '%', (size_t)(end - p));
        if (!k) k = end;
        jbuild_part(&b, format, (size_t)(p - format->p), (size_t)(k - format->p));
        if (k == end) break;
        struct jval v;
        bool keyed = k + 1 < end && k[1] == '(';
        p = k + 1;
        if (keyed) {
            const char *close = memchr(p, ')', (size_t)(end - p));
            if (!close) return vm_fail(vm, "incomplete format key");
            if (args.kind != J_DICT) return vm_fail(vm, "format requires a mapping");
            struct jval *f = jdict_getz(args.u.dict, (struct str){p + 1, (size_t)(close - p - 1)});
            if (!f) return vm_fail(vm, "a key of the format is not in the mapping");
            v = *f;
            p = close + 1;
        }
        if (percent_spec(vm, &p, end, &s)) return -1;
        if (s.type == '%') {
            jbuild_z(&b, "%");
            continue;
        }
        if (!keyed) {
            size_t n = args.kind == J_TUPLE ? args.u.list->n : 1;
            if (used == n) return vm_fail(vm, "not enough arguments for format string");
            v = args.kind == J_TUPLE ? args.u.list->v[used] : args;
            used++;
        }
        if (percent_value(&b, &s, v)) return -1;
    }
    bool mapping = args.kind == J_DICT || args.kind == J_LIST || args.kind == J_RANGE ||
                   args.kind == J_UNDEF; /* Python lets types with __getitem__ stay unused */
    if (args.kind == J_TUPLE ? used < args.u.list->n : !used && !mapping)
        return vm_fail(vm, "not all arguments converted during string formatting");
    return jbuild_done(&b, out);
}

/* ---- str.format ---- */
/* Parses [[fill]align][sign][0][width][,][.precision][type]. */
static int format_spec(struct vm *vm, const char *p, const char *end, struct spec *s, bool *right)
{
    size_t len = 0;
    *s = (struct spec){.precision = -1};
    *right = false;
    if (p < end) jchar_get(p, (size_t)(end - p), &len);
    const char *align = p + len < end && strchr("<>^", p[len]) && p[len] ? p + len : p;
    if (align > p) s->fill = (struct jstr){.p = p, .n = (uint32_t)len};
    if (align < end && *align && strchr("<>^", *align)) {
        s->left = *align == '<';
        s->centre = *align == '^';
        s->aligned = true;
        *right = *align != '<';
        p = align + 1;
    }
    if (p < end && (*p == '+' || *p == '-' || *p == ' ')) {
        s->plus = *p == '+';
        s->space = *p++ == ' ';
    }
    if (p < end && *p == '0' && !s->aligned) {
        s->zero = true;
        p++;
    }
    if (read_int(vm, &p, end, &s->width)) return -1;
    if (p < end && *p == ',') {
        s->comma = true;
        p++;
    }
    if (p < end && *p == '.') {
        p++;
        if (read_int(vm, &p, end, &s->precision)) return -1;
        if (s->precision > 100) return vm_fail(vm, "a precision in a format is too large");
    }
    if (p < end) s->type = *p++;
    if (p < end || (s->type && !strchr("sdxXoeEfFg%", s->type)))
        return vm_fail(vm, "this format specification is not supported");
    return 0;
}

static int format_value(struct jbuild *b, const char *spec, const char *end, struct jval v)
{
    struct spec s;
    bool right;
    const struct jstr *t;
    if (v.kind == J_UNDEF && spec < end) return vm_undefined(b->vm, v);
    if (format_spec(b->vm, spec, end, &s, &right)) return -1;
    bool number = v.kind == J_INT || v.kind == J_FLOAT || (v.kind == J_BOOL && s.type);
    if (number && s.type != 's') {
        if (!s.type && s.precision >= 0)
            return vm_fail(b->vm, "this format specification is not supported");
        return put_number(b, &s, v);
    }
    if (s.type && s.type != 's')
        return vm_fail(b->vm, "unknown format code '%c' for '%s'", s.type, jval_type(v));
    if (spec < end && v.kind != J_STR && v.kind != J_UNDEF && v.kind != J_BOOL)
        return vm_fail(b->vm, "unsupported format for '%s'", jval_type(v));
    if (jval_tostr(b->vm, v, true, &t)) return -1;
    put_text(b, &s, t, !right);
    return 0;
}

/* Finds the argument of a field name: "" (the next one), "0" or "name". */
static int field_value(struct vm *vm, struct str name, const struct jargs *a, size_t *next,
                       struct jval *v)
{
    if (!name.n || (name.p[0] >= '0' && name.p[0] <= '9')) {
        int64_t i = (int64_t)*next;
        const char *p = name.p;
        if (name.n && (read_int(vm, &p, name.p + name.n, &i) || p < name.p + name.n))
            return vm_fail(vm, "this field of a format is not supported");
        if (!name.n) ++*next;
        if ((size_t)i >= a->npos)
            return vm_fail(vm, "replacement index %lld out of range", (long long)i);
        *v = a->pos[i];
        return 0;
    }
    for (size_t i = 0; i < a->nkw; i++)
        if (str_eq(jstr_str(a->names[i]), name)) {
            *v = a->kw[i];
            return 0;
        }
    return vm_fail(vm, "the format needs '%.*s', which is not given", STR_FMT(name));
}

int jval_format(struct vm *vm, const struct jstr *format, const struct jargs *a, struct jval *out)
{
    struct jbuild b;
    size_t next = 0, from = 0;
    jbuild_init(&b, vm);
    for (size_t i = 0; i < format->n && !b.failed; i++) {
        char c = format->p[i];
        if (c != '{' && c != '}') continue;
        bool twice = i + 1 < format->n && format->p[i + 1] == c;
        jbuild_part(&b, format, from, i + twice);
        from = i + 1 + twice;
        if (twice) {
            i++;
            continue;
        }
        if (c == '}') return vm_fail(vm, "Single '}' encountered in format string");
        const char *p = format->p + from, *end = memchr(p, '}', format->n - from);
        if (!end) return vm_fail(vm, "expected '}' before end of string");
        if (memchr(p, '{', (size_t)(end - p)) || memchr(p, '!', (size_t)(end - p)))
            return vm_fail(vm, "this field of a format is not supported");
        const char *colon = memchr(p, ':', (size_t)(end - p));
        struct jval v;
        struct str name = {p, (size_t)((colon ? colon : end) - p)};
        if (field_value(vm, name, a, &next, &v)) return -1;
        if (format_value(&b, colon ? colon + 1 : end, end, v)) return -1;
        from = (size_t)(end - format->p) + 1;
        i = from - 1;
    }
    jbuild_part(&b, format, from, format->n);
    return jbuild_done(&b, out);
}
