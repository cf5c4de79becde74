/* SPDX-License-Identifier: Apache-2.0 */
/* "...".format(): the fields and specifications that templates use. */
#include <string.h>

#include "jinja/spec.h"

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
    if (spec_read_int(vm, &p, end, &s->width)) return -1;
    if (p < end && *p == ',') {
        s->comma = true;
        p++;
    }
    if (p < end && *p == '.') {
        p++;
        if (spec_read_int(vm, &p, end, &s->precision)) return -1;
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
        return spec_put_number(b, &s, v);
    }
    if (s.type && s.type != 's')
        return vm_fail(b->vm, "unknown format code '%c' for '%s'", s.type, jval_type(v));
    if (spec < end && v.kind != J_STR && v.kind != J_UNDEF && v.kind != J_BOOL)
        return vm_fail(b->vm, "unsupported format for '%s'", jval_type(v));
    if (jval_tostr(b->vm, v, true, &t)) return -1;
    spec_put_text(b, &s, t, !right);
    return 0;
}

/* Appends a value to a string that is safe: it is escaped, unless it is safe itself. */
static int format_safe(struct jbuild *b, const char *spec, const char *end, struct jval v)
{
    struct jbuild r;
    struct jval text;
    bool safe = v.kind == J_STR && v.u.s->markup;
    if (safe && spec < end) return vm_fail(b->vm, "unsupported format specification for Markup");
    jbuild_init(&r, b->vm);
    if (format_value(&r, spec, end, v) || jbuild_done(&r, &text)) return -1;
    if (!safe && jstr_escape(b->vm, text.u.s, &text)) return -1;
    jbuild_str(b, text.u.s);
    return 0;
}

/* Finds the argument of a field name: "" (the next one), "0" or "name". */
static int field_value(struct vm *vm, struct str name, const struct jargs *a, size_t *next,
                       struct jval *v)
{
    if (!name.n || (name.p[0] >= '0' && name.p[0] <= '9')) {
        int64_t i = (int64_t)*next;
        const char *p = name.p;
        if (name.n && (spec_read_int(vm, &p, name.p + name.n, &i) || p < name.p + name.n))
            return vm_fail(vm, "this field of a format is not supported");
        if (!name.n) ++*next;
        if ((size_t)i >= a->npos)
            return vm_fail(vm, "replacement index %lld out of range", (long long)i);
        *v = a->pos[i];
        return 0;
    }
    if (vm_charge_items(vm, a->nkw)) return -1;
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
        if ((format->markup ? format_safe : format_value)(&b, colon ? colon + 1 : end, end, v))
            return -1;
        from = (size_t)(end - format->p) + 1;
        i = from - 1;
    }
    jbuild_part(&b, format, from, format->n);
    if (jbuild_done(&b, out)) return -1;
    ((struct jstr *)out->u.s)->markup = format->markup;
    return 0;
}
