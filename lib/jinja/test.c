/* SPDX-License-Identifier: Apache-2.0 */
/* Tests: `x is defined`. */
#include "jinja/ast.h"
#include "jinja/filters.h"

#define TEST(name, condition) JFN(name, (*out = jval_bool(condition), 0))
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
JFN(t_lt, ordered(vm, self, a, -1, -1, out))
JFN(t_le, ordered(vm, self, a, -1, 0, out))
JFN(t_gt, ordered(vm, self, a, 1, 1, out))
JFN(t_ge, ordered(vm, self, a, 1, 0, out))

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
    if (self.kind == J_STR) return vm_fail(vm, "a number is expected, not str");
    if (jval_binary(vm, T_MOD, self, by, &r)) return -1;
    *out = jval_bool(jval_eq(vm, r, jval_int(rest)));
    return 0;
}
JFN(t_odd, divides(vm, self, jval_int(2), 1, out))
JFN(t_even, divides(vm, self, jval_int(2), 0, out))
JFN(t_divisibleby, divides(vm, self, a->pos[0], 0, out))

JFN(t_lower, jinja_str_method(vm, self, "islower", 0, a, out))
JFN(t_upper, jinja_str_method(vm, self, "isupper", 0, a, out))

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
