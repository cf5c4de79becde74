/* SPDX-License-Identifier: Apache-2.0 */
/* Methods of Python's str that tell whether its characters are of a class. */
#include "jinja/filters.h"

/* str.isalpha and similar methods: true when s is not empty and each character is of the class. */
static int each_is(struct vm *vm, const struct jstr *s, bool (*of)(uint32_t c), bool empty,
                   struct jval *out)
{
    bool yes = s->n > 0 || empty;
    for (size_t i = 0, len; i < s->n && yes; i += len)
        yes = of(jchar_get(s->p + i, s->n - i, &len));
    *out = jval_bool(yes);
    return vm_charge(vm, s->n);
}
static bool is_alnum(uint32_t c) { return c != '_' && (jchar_word(c) || jchar_numeric(c)); }
static bool is_ascii(uint32_t c) { return c < 0x80; }
int jmethod_isalpha(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    (void)a;
    return each_is(vm, self.u.s, jchar_letter, false, out);
}
int jmethod_isdecimal(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    (void)a;
    return each_is(vm, self.u.s, jchar_decimal, false, out);
}
int jmethod_isdigit(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    (void)a;
    return each_is(vm, self.u.s, jchar_digit, false, out);
}
int jmethod_isnumeric(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    (void)a;
    return each_is(vm, self.u.s, jchar_numeric, false, out);
}
int jmethod_isalnum(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    (void)a;
    return each_is(vm, self.u.s, is_alnum, false, out);
}
int jmethod_isspace(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    (void)a;
    return each_is(vm, self.u.s, jchar_space, false, out);
}
int jmethod_isascii(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    (void)a;
    return each_is(vm, self.u.s, is_ascii, true, out);
}
int jmethod_isprintable(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    (void)a;
    return each_is(vm, self.u.s, jchar_printable, true, out);
}

/* str.isupper, str.islower and str.istitle: the cased characters are of that case, and there is
 * one. */
static int has_case(struct vm *vm, const struct jstr *s, enum jcase want, struct jval *out)
{
    bool yes = true, seen = false, inside = false;
    for (size_t i = 0, len; i < s->n; i += len) {
        uint32_t c = jchar_get(s->p + i, s->n - i, &len);
        char more[8];
        const bool cased = jchar_cased(c);
        const bool upper = cased && jchar_lower(c) != c, lower = cased && jchar_upper(c, more) != c;
        if (want == JCASE_UPPER) yes &= !lower;
        if (want == JCASE_LOWER) yes &= !upper;
        if (want == JCASE_TITLE) yes &= !cased || (inside ? lower && !upper : upper);
        seen |= cased;
        inside = cased;
    }
    *out = jval_bool(yes && seen);
    return vm_charge(vm, s->n);
}
int jmethod_isupper(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    (void)a;
    return has_case(vm, self.u.s, JCASE_UPPER, out);
}
int jmethod_islower(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    (void)a;
    return has_case(vm, self.u.s, JCASE_LOWER, out);
}
int jmethod_istitle(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    (void)a;
    return has_case(vm, self.u.s, JCASE_TITLE, out);
}
