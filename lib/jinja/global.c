/* SPDX-License-Identifier: Apache-2.0 */
/* Global functions of templates: range, dict, namespace, raise_exception, strftime_now, ... */
#include <string.h>
#include <time.h>

#include "jinja/value.h"

static int g_range(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    int64_t v[3] = {0, 0, 1};
    (void)self;
    for (size_t i = 0; i < 3; i++)
        if (a->pos[i].kind != J_MISSING && !jval_is_int(a->pos[i], &v[i]))
            return a->pos[i].kind == J_UNDEF
                       ? vm_undefined(vm, a->pos[i])
                       : vm_fail(vm, "'%s' object cannot be interpreted as an integer",
                                 jval_type(a->pos[i]));
    if (a->pos[1].kind == J_MISSING) {
        v[1] = v[0];
        v[0] = 0;
    }
    struct jrange *r = vm_alloc(vm, 1, sizeof *r);
    if (!r) return -1;
    if (v[2] == 0) return vm_fail(vm, "range() arg 3 must not be zero");
    /* Python's integers are unbounded; these must not wrap before the length is checked. */
    int64_t limit = INT64_MAX / 4;
    for (int i = 0; i < 3; i++)
        if (v[i] > limit || v[i] < -limit) return vm_fail(vm, "range: a number is too large");
    int64_t up = v[2] > 0 ? v[1] - v[0] : v[0] - v[1], step = v[2] > 0 ? v[2] : -v[2];
    *r = (struct jrange){v[0], v[2], up > 0 ? (up - 1) / step + 1 : 0};
    if (r->n > VM_MAX_RANGE)
        return vm_fail(vm, "Range too big. The sandbox blocks ranges larger than MAX_RANGE (%d).",
                       VM_MAX_RANGE);
    *out = (struct jval){.kind = J_RANGE, .u.range = r};
    return 0;
}

/* Makes the dictionary of dict(mapping or pairs, name=value, ...). */
static int make_dict(struct vm *vm, const struct jargs *a, struct jdict **out)
{
    struct jdict *d = jdict_new(vm);
    struct jlist *l, *pair;
    if (!d) return -1;
    if (a->npos > 1) return vm_fail(vm, "dict expected at most 1 argument, got %zu", a->npos);
    if (a->npos && a->pos[0].kind == J_DICT) {
        const struct jdict *from = a->pos[0].u.dict;
        for (size_t i = 0; i < from->n; i++)
            if (jdict_set(vm, d, from->keys[i], from->vals[i])) return -1;
    } else if (a->npos) {
        if (jval_elements(vm, a->pos[0], &l)) return -1;
        for (size_t i = 0; i < l->n; i++) {
            if (jval_elements(vm, l->v[i], &pair)) return -1;
            if (pair->n != 2) return vm_fail(vm, "dict: element %zu is not a pair", i);
            if (jdict_set(vm, d, pair->v[0], pair->v[1])) return -1;
        }
    }
    for (size_t i = 0; i < a->nkw; i++)
        if (jdict_set(vm, d, jval_str(a->names[i]), a->kw[i])) return -1;
    *out = d;
    return 0;
}

static int g_dict(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    (void)self;
    *out = jval_kind(J_DICT);
    return make_dict(vm, a, &out->u.dict);
}

static int g_namespace(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    (void)self;
    *out = jval_kind(J_NS);
    if (make_dict(vm, a, &out->u.dict)) return -1;
    for (size_t i = 0; i < out->u.dict->n; i++) {
        struct jval k = out->u.dict->keys[i];
        if (k.kind == J_STR && k.u.s->n && k.u.s->p[0] == '_')
            return vm_fail(vm, "a namespace cannot have names that begin with _");
    }
    return 0;
}

static int g_raise(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    const struct jstr *s;
    (void)self, (void)out;
    if (jval_tostr(vm, a->pos[0], true, &s)) return -1;
    return vm_fail(vm, "the template refuses this conversation: %.*s", STR_FMT(jstr_str(s)));
}

static int g_strftime(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    char format[256], text[1024];
    time_t t = (time_t)vm->clock;
    struct tm tm;
    (void)self;
    if (a->pos[0].kind != J_STR || a->pos[0].u.s->n >= sizeof format)
        return vm_fail(vm, "strftime_now expects a short format");
    memcpy(format, a->pos[0].u.s->p, a->pos[0].u.s->n);
    format[a->pos[0].u.s->n] = 0;
    if (!gmtime_r(&t, &tm)) return vm_fail(vm, "strftime_now: the date is out of range");
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* the template gives the format */
    size_t n = strftime(text, sizeof text, format, &tm);
#pragma GCC diagnostic pop
    char *p = arena_copy(vm->a, text, n, vm->e);
    return p ? jval_text(vm, p, n, out) : -1;
}

static int g_cycler(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    struct jcycler *c = vm_alloc(vm, 1, sizeof *c);
    (void)self;
    if (!c || !(c->list = jlist_new(vm, a->npos))) return -1;
    if (!a->npos || a->nkw) return vm_fail(vm, "cycler: at least one item has to be provided");
    for (size_t i = 0; i < a->npos; i++)
        if (jlist_add(vm, c->list, a->pos[i])) return -1;
    *out = (struct jval){.kind = J_CYCLER, .u.cycler = c};
    return 0;
}

static int g_joiner(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    static const struct jstr comma = {.p = ", ", .n = 2};
    struct jcycler *c = vm_alloc(vm, 1, sizeof *c);
    (void)self;
    if (!c) return -1;
    c->sep = &comma;
    if (a->pos[0].kind != J_MISSING && jval_tostr(vm, a->pos[0], true, &c->sep)) return -1;
    *out = (struct jval){.kind = J_JOINER, .u.cycler = c};
    return 0;
}

static const struct jfunc globals[] = {
    {"range", g_range, "start stop step", 1},
    {"dict", g_dict, NULL, 0},
    {"namespace", g_namespace, NULL, 0},
    {"raise_exception", g_raise, "message", 1},
    {"strftime_now", g_strftime, "format", 1},
    {"cycler", g_cycler, NULL, 0},
    {"joiner", g_joiner, "sep", 0},
    {"lipsum", NULL, "", 0},
};

const struct jfunc *jinja_global(struct str name)
{
    for (size_t i = 0; i < sizeof globals / sizeof *globals; i++)
        if (str_is(name, globals[i].name)) return &globals[i];
    return NULL;
}
