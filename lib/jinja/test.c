/* SPDX-License-Identifier: Apache-2.0 */
/* Tests (`x is defined`) and global functions (range, namespace, raise_exception, ...). */
#include <string.h>
#include <time.h>

#include "jinja/ast.h"

/* ---- tests ---- */
#define TEST(name, condition)                                                                      \
    static int name(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)      \
    {                                                                                              \
        (void)vm, (void)a;                                                                         \
        *out = jval_bool(condition);                                                               \
        return 0;                                                                                  \
    }
TEST(t_defined, self.kind != J_UNDEF)
TEST(t_undefined, self.kind == J_UNDEF)
TEST(t_none, self.kind == J_NONE)
TEST(t_boolean, self.kind == J_BOOL)
TEST(t_true, self.kind == J_BOOL && self.u.truth)
TEST(t_false, self.kind == J_BOOL && !self.u.truth)
TEST(t_integer, self.kind == J_INT || self.kind == J_BIG)
TEST(t_float, self.kind == J_FLOAT)
TEST(t_string, self.kind == J_STR)
TEST(t_mapping, self.kind == J_DICT)
TEST(t_number, self.kind >= J_BOOL && self.kind <= J_FLOAT)
TEST(t_iterable, jval_iterable(self))
TEST(t_sequence, self.kind == J_STR || self.kind == J_LIST || self.kind == J_TUPLE ||
                     self.kind == J_DICT || self.kind == J_RANGE || self.kind == J_UNDEF)
TEST(t_callable, self.kind == J_FUNC || self.kind == J_METHOD || self.kind == J_MACRO ||
                     self.kind == J_LOOP || self.kind == J_JOINER || self.kind == J_UNDEF)
TEST(t_escaped, self.kind == J_STR && self.u.s->markup)
TEST(t_filter, self.kind == J_STR && jinja_filter(jstr_str(self.u.s)))
TEST(t_test, self.kind == J_STR && jinja_test(jstr_str(self.u.s)))
TEST(t_eq, jval_eq(vm, self, a->pos[0]))
TEST(t_ne, !jval_eq(vm, self, a->pos[0]))

static int ordered(struct vm *vm, struct jval self, const struct jargs *a, int first, int second,
                   struct jval *out)
{
    int order;
    if (jval_compare(vm, self, a->pos[0], &order)) return -1;
    *out = jval_bool(order == first || order == second);
    return 0;
}
#define ORDER_TEST(name, first, second)                                                            \
    static int name(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)      \
    {                                                                                              \
        return ordered(vm, self, a, first, second, out);                                           \
    }
ORDER_TEST(t_lt, -1, -1)
ORDER_TEST(t_le, -1, 0)
ORDER_TEST(t_gt, 1, 1)
ORDER_TEST(t_ge, 1, 0)

static int t_in(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    bool yes;
    if (jval_contains(vm, a->pos[0], self, &yes)) return -1;
    *out = jval_bool(yes);
    return 0;
}

static int t_sameas(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    struct jval b = a->pos[0];
    bool same = self.kind == b.kind && self.kind != J_FLOAT &&
                (self.kind <= J_INT ? jval_eq(vm, self, b) : self.u.s == b.u.s);
    *out = jval_bool(same);
    return 0;
}

static int divides(struct vm *vm, struct jval self, struct jval by, int64_t rest, struct jval *out)
{
    struct jval r;
    if (self.kind == J_STR) return vm_fail(vm, "a number is wanted here, not str");
    if (jval_binary(vm, T_MOD, self, by, &r)) return -1;
    *out = jval_bool(jval_eq(vm, r, jval_int(rest)));
    return 0;
}
static int t_odd(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    (void)a;
    return divides(vm, self, jval_int(2), 1, out);
}
static int t_even(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    (void)a;
    return divides(vm, self, jval_int(2), 0, out);
}
static int t_divisibleby(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    return divides(vm, self, a->pos[0], 0, out);
}

static int case_test(struct vm *vm, struct jval self, const char *method, struct jval *out)
{
    const struct jstr *s;
    struct jargs none = {0};
    if (jval_tostr(vm, self, true, &s)) return -1;
    self = jval_str(s);
    return jfunc_call(vm, jinja_method(self, str_z(method)), self, &none, out);
}
static int t_lower(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    (void)a;
    return case_test(vm, self, "islower", out);
}
static int t_upper(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    (void)a;
    return case_test(vm, self, "isupper", out);
}

static const struct jfunc tests[] = {
    {"odd", t_odd, "", 0},
    {"even", t_even, "", 0},
    {"divisibleby", t_divisibleby, "num", 1},
    {"defined", t_defined, "", 0},
    {"undefined", t_undefined, "", 0},
    {"filter", t_filter, "", 0},
    {"test", t_test, "", 0},
    {"none", t_none, "", 0},
    {"boolean", t_boolean, "", 0},
    {"false", t_false, "", 0},
    {"true", t_true, "", 0},
    {"integer", t_integer, "", 0},
    {"float", t_float, "", 0},
    {"lower", t_lower, "", 0},
    {"upper", t_upper, "", 0},
    {"string", t_string, "", 0},
    {"mapping", t_mapping, "", 0},
    {"number", t_number, "", 0},
    {"sequence", t_sequence, "", 0},
    {"iterable", t_iterable, "", 0},
    {"callable", t_callable, "", 0},
    {"sameas", t_sameas, "other", 1},
    {"escaped", t_escaped, "", 0},
    {"in", t_in, "seq", 1},
    {"==", t_eq, "other", 1},
    {"eq", t_eq, "other", 1},
    {"equalto", t_eq, "other", 1},
    {"!=", t_ne, "other", 1},
    {"ne", t_ne, "other", 1},
    {">", t_gt, "other", 1},
    {"gt", t_gt, "other", 1},
    {"greaterthan", t_gt, "other", 1},
    {"ge", t_ge, "other", 1},
    {">=", t_ge, "other", 1},
    {"<", t_lt, "other", 1},
    {"lt", t_lt, "other", 1},
    {"lessthan", t_lt, "other", 1},
    {"<=", t_le, "other", 1},
    {"le", t_le, "other", 1},
};

const struct jfunc *jinja_test(struct str name)
{
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        if (str_is(name, tests[i].name)) return &tests[i];
    return NULL;
}

/* ---- globals ---- */
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
    /* Python's integers have no end; ours must not wrap before the length is known. */
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

/* dict(mapping or pairs, name=value ...) */
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
            return vm_fail(vm, "names that begin with _ cannot be put into a namespace");
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
        return vm_fail(vm, "strftime_now wants a short format");
    memcpy(format, a->pos[0].u.s->p, a->pos[0].u.s->n);
    format[a->pos[0].u.s->n] = 0;
    if (!gmtime_r(&t, &tm)) return vm_fail(vm, "strftime_now: the date is out of range");
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* the format is the template's */
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
