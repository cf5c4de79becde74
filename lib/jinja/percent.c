/* SPDX-License-Identifier: Apache-2.0 */
/* "..." % values: the conversions that templates use. */
#include <string.h>

#include "jinja/spec.h"

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
    if (spec_read_int(vm, p, end, &s->width)) return -1;
    if (*p < end && **p == '.') {
        ++*p;
        if (spec_read_int(vm, p, end, &s->precision)) return -1;
        if (s->precision > 100) return vm_fail(vm, "a precision in a format is too large");
    }
    if (*p == end) return vm_fail(vm, "incomplete format");
    s->type = *(*p)++;
    return 0;
}

/* safe: the format is a string that is safe, so that text is escaped. */
static int percent_value(struct jbuild *b, const struct spec *s, struct jval v, bool safe)
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
        bool escaped = v.kind == J_STR && v.u.s->markup && s->type == 's';
        if (safe && !escaped && jstr_escape(b->vm, text.u.s, &text)) return -1;
        spec_put_text(b, s, text.u.s, s->left);
        return 0;
    }
    if (!s->type || !strchr("dixXoeEfFg", s->type))
        return vm_fail(b->vm, "unsupported format character '%c'", s->type);
    return spec_put_number(b, s, v);
}

int jval_percent(struct vm *vm, const struct jstr *format, struct jval args, struct jval *out)
{
    struct jbuild b;
    struct spec s;
    size_t used = 0;
    const char *p = format->p, *end = p + format->n;
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
        if (percent_value(&b, &s, v, format->markup)) return -1;
    }
    bool mapping = args.kind == J_DICT || args.kind == J_LIST || args.kind == J_RANGE ||
                   args.kind == J_UNDEF; /* Python lets types with __getitem__ stay unused */
    if (args.kind == J_TUPLE ? used < args.u.list->n : !used && !mapping)
        return vm_fail(vm, "not all arguments converted during string formatting");
    if (jbuild_done(&b, out)) return -1;
    ((struct jstr *)out->u.s)->markup = format->markup;
    return 0;
}
