/* SPDX-License-Identifier: Apache-2.0 */
/* Methods of Python's str. */
#include <string.h>

#include "jinja/filters.h"

/* Reads an integer like jarg_int(), but None is an error, as in Python. */
static int int_arg(struct vm *vm, struct jval v, int64_t otherwise, int64_t *i)
{
    if (v.kind == J_NONE) return vm_fail(vm, "an integer is expected, not NoneType");
    return jarg_int(vm, v, otherwise, i);
}

static struct jval keep_markup(struct jval v, struct jval self)
{
    if (self.u.s->markup && v.kind == J_STR && v.u.s != self.u.s)
        ((struct jstr *)v.u.s)->markup = true;
    return v;
}

static int strip(struct vm *vm, struct jval self, const struct jargs *a, bool left, bool right,
                 struct jval *out)
{
    const struct jstr *chars;
    size_t from, to;
    if (jarg_str(vm, a->pos[0], &chars)) return -1;
    /* Each byte may be compared with all of chars. */
    if (vm_charge(vm, (size_t)self.u.s->n * (chars ? chars->n : 1))) return -1;
    jstr_strip(self.u.s, chars, left, right, &from, &to);
    return jstr_part(vm, self.u.s, from, to, out);
}
JFN(str_strip, strip(vm, self, a, true, true, out))
JFN(str_lstrip, strip(vm, self, a, true, false, out))
JFN(str_rstrip, strip(vm, self, a, false, true, out))

static int split(struct vm *vm, struct jval self, const struct jargs *a, bool right,
                 struct jval *out)
{
    const struct jstr *sep;
    struct jlist *l;
    int64_t max;
    if (jarg_str(vm, a->pos[0], &sep) || int_arg(vm, a->pos[1], -1, &max) ||
        jstr_split(vm, self.u.s, sep, max, right, &l))
        return -1;
    *out = jval_list(l, J_LIST);
    return 0;
}
JFN(str_split, split(vm, self, a, false, out))
JFN(str_rsplit, split(vm, self, a, true, out))

static int str_splitlines(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    struct jlist *l;
    if (jstr_lines(vm, self.u.s, jval_truth(a->pos[0]), &l)) return -1;
    *out = jval_list(l, J_LIST);
    return 0;
}

static int partition(struct vm *vm, struct jval self, const struct jargs *a, bool last,
                     struct jval *out)
{
    const struct jstr *sep, *s = self.u.s;
    struct jlist *l = jlist_new(vm, 3);
    struct jval v;
    if (!l || jarg_str(vm, a->pos[0], &sep)) return -1;
    if (!sep || !sep->n) return vm_fail(vm, "empty separator");
    if (jstr_charge_find(vm, s, sep, last)) return -1;
    size_t at = jstr_find(s, 0, s->n, sep, last), cut[4] = {0, s->n, s->n, s->n};
    if (at != SIZE_MAX) {
        cut[1] = at;
        cut[2] = at + sep->n;
    } else if (last) {
        cut[1] = cut[2] = 0;
    }
    for (int i = 0; i < 3; i++)
        if (jstr_part(vm, s, cut[i], cut[i + 1], &v) || jlist_add(vm, l, v)) return -1;
    *out = jval_list(l, J_TUPLE);
    return 0;
}
JFN(str_partition, partition(vm, self, a, false, out))
JFN(str_rpartition, partition(vm, self, a, true, out))

/* Sets the byte range of the optional arguments start and end (i and i + 1), which count
 * characters. */
static int byte_range(struct vm *vm, const struct jstr *s, const struct jargs *a, size_t i,
                      size_t *from, size_t *to)
{
    int64_t n = (int64_t)jstr_chars(s), b, e;
    if (a->pos[i].kind == J_NONE || a->pos[i + 1].kind == J_NONE)
        return vm_fail(vm, "None as a bound is not supported");
    if (int_arg(vm, a->pos[i], 0, &b) || int_arg(vm, a->pos[i + 1], n, &e)) return -1;
    if (b < 0) b = b < -n ? 0 : b + n;
    if (e < 0) e = e < -n ? 0 : e + n;
    if (e > n) e = n;
    *from = b > n ? SIZE_MAX : jstr_offset(s, (size_t)b);
    *to = jstr_offset(s, (size_t)e);
    return vm_charge(vm, s->n);
}

static bool affix(const struct jstr *s, size_t from, size_t to, const struct jstr *k, bool end)
{
    if (from > to || to - from < k->n) return false;
    return !k->n || memcmp(s->p + (end ? to - k->n : from), k->p, k->n) == 0;
}

/* startswith and endswith; the argument is a string or a tuple of strings. */
static int affixes(struct vm *vm, struct jval self, const struct jargs *a, bool end,
                   struct jval *out)
{
    size_t from, to, n = a->pos[0].kind == J_TUPLE ? a->pos[0].u.list->n : 1;
    bool yes = false;
    if (byte_range(vm, self.u.s, a, 1, &from, &to)) return -1;
    for (size_t i = 0; i < n && !yes; i++) {
        struct jval k = a->pos[0].kind == J_TUPLE ? a->pos[0].u.list->v[i] : a->pos[0];
        if (k.kind != J_STR)
            return vm_fail(vm, "%s first arg must be str or a tuple of str, not %s",
                           end ? "endswith" : "startswith", jval_type(k));
        yes = affix(self.u.s, from, to, k.u.s, end);
        if (vm_charge(vm, k.u.s->n)) return -1;
    }
    *out = jval_bool(yes);
    return 0;
}
JFN(str_startswith, affixes(vm, self, a, false, out))
JFN(str_endswith, affixes(vm, self, a, true, out))

static int remove_affix(struct vm *vm, struct jval self, const struct jargs *a, bool end,
                        struct jval *out)
{
    const struct jstr *k, *s = self.u.s;
    if (jarg_need_str(vm, a->pos[0], &k)) return -1;
    if (vm_charge(vm, k->n)) return -1;
    bool yes = affix(s, 0, s->n, k, end);
    return jstr_part(vm, s, yes && !end ? k->n : 0, yes && end ? s->n - k->n : s->n, out);
}
JFN(str_removeprefix, remove_affix(vm, self, a, false, out))
JFN(str_removesuffix, remove_affix(vm, self, a, true, out))

static int find(struct vm *vm, struct jval self, const struct jargs *a, bool last, bool raise,
                struct jval *out)
{
    const struct jstr *k;
    size_t from, to, at;
    if (jarg_need_str(vm, a->pos[0], &k)) return -1;
    if (byte_range(vm, self.u.s, a, 1, &from, &to) || jstr_charge_find(vm, self.u.s, k, last))
        return -1;
    at = jstr_find(self.u.s, from, to, k, last);
    if (at == SIZE_MAX && raise) return vm_fail(vm, "substring not found");
    struct jstr head = {.p = self.u.s->p, .n = at == SIZE_MAX ? 0 : (uint32_t)at};
    *out = jval_int(at == SIZE_MAX ? -1 : (int64_t)jstr_chars(&head));
    return 0;
}
JFN(str_find, find(vm, self, a, false, false, out))
JFN(str_rfind, find(vm, self, a, true, false, out))
JFN(str_index, find(vm, self, a, false, true, out))
JFN(str_rindex, find(vm, self, a, true, true, out))

static int str_count(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    const struct jstr *k;
    size_t from, to, at;
    int64_t n = 0;
    if (jarg_need_str(vm, a->pos[0], &k)) return -1;
    if (byte_range(vm, self.u.s, a, 1, &from, &to) || jstr_charge_find(vm, self.u.s, k, false))
        return -1;
    if (!k->n) {
        struct jstr part = {.p = self.u.s->p + from, .n = from > to ? 0 : (uint32_t)(to - from)};
        n = from > to ? 0 : (int64_t)jstr_chars(&part) + 1;
    }
    for (; k->n && (at = jstr_find(self.u.s, from, to, k, false)) != SIZE_MAX; n++)
        from = at + k->n;
    *out = jval_int(n);
    return 0;
}

static int str_replace(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    const struct jstr *from, *to;
    int64_t max;
    if (jarg_need_str(vm, a->pos[0], &from) || jarg_need_str(vm, a->pos[1], &to) ||
        int_arg(vm, a->pos[2], -1, &max))
        return -1;
    if (jstr_replace(vm, self.u.s, from, to, max, out)) return -1;
    *out = keep_markup(*out, self);
    return 0;
}

static int str_join(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    struct jlist *l;
    if (jval_elements(vm, a->pos[0], &l)) return -1;
    return jstr_join(vm, self.u.s, l, false, out);
}

static int with_case(struct vm *vm, struct jval self, enum jcase how, struct jval *out)
{
    if (jstr_case(vm, self.u.s, how, out)) return -1;
    *out = keep_markup(*out, self);
    return 0;
}
JFN(str_upper, with_case(vm, self, JCASE_UPPER, out))
JFN(str_lower, with_case(vm, self, JCASE_LOWER, out))
JFN(str_capitalize, with_case(vm, self, JCASE_CAPITALIZE, out))
JFN(str_title, with_case(vm, self, JCASE_TITLE, out))
JFN(str_swapcase, with_case(vm, self, JCASE_SWAP, out))

JFN(str_format, jval_format(vm, self.u.s, a, out))

enum justify { JUSTIFY_LEFT, JUSTIFY_RIGHT, JUSTIFY_CENTRE };
static int justify(struct vm *vm, struct jval self, const struct jargs *a, enum justify how,
                   struct jval *out)
{
    struct jstr blank = {.p = " ", .n = 1};
    const struct jstr *fill = a->pos[1].kind == J_STR ? a->pos[1].u.s : &blank;
    int64_t width, n = (int64_t)jstr_chars(self.u.s);
    struct jbuild b;
    if (int_arg(vm, a->pos[0], 0, &width) || vm_charge(vm, self.u.s->n)) return -1;
    int64_t space = width > n ? width - n : 0;
    int64_t left = how == JUSTIFY_LEFT ? 0 : space;
    if (how == JUSTIFY_CENTRE) left = space / 2 + (space & width & 1);
    jbuild_init(&b, vm);
    for (int64_t i = 0; i < left && !b.failed; i++) jbuild_str(&b, fill);
    jbuild_str(&b, self.u.s);
    for (int64_t i = left; i < space && !b.failed; i++) jbuild_str(&b, fill);
    return jbuild_done(&b, out);
}
JFN(str_ljust, justify(vm, self, a, JUSTIFY_LEFT, out))
JFN(str_rjust, justify(vm, self, a, JUSTIFY_RIGHT, out))
JFN(str_center, justify(vm, self, a, JUSTIFY_CENTRE, out))

/* Zeros go behind a sign. */
static int str_zfill(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    const struct jstr *s = self.u.s;
    int64_t width, n = (int64_t)jstr_chars(s);
    struct jbuild b;
    if (int_arg(vm, a->pos[0], 0, &width) || vm_charge(vm, s->n)) return -1;
    const size_t sign = s->n && (s->p[0] == '+' || s->p[0] == '-');
    jbuild_init(&b, vm);
    jbuild_part(&b, s, 0, sign);
    for (; n < width && !b.failed; n++) jbuild_z(&b, "0");
    jbuild_part(&b, s, sign, s->n);
    if (jbuild_done(&b, out)) return -1;
    *out = keep_markup(*out, self);
    return 0;
}

static int str_expandtabs(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    const struct jstr *s = self.u.s;
    int64_t size, column = 0;
    struct jbuild b;
    if (int_arg(vm, a->pos[0], 8, &size) || vm_charge(vm, s->n)) return -1;
    jbuild_init(&b, vm);
    for (size_t i = 0, len; i < s->n && !b.failed; i += len) {
        uint32_t c = jchar_get(s->p + i, s->n - i, &len);
        if (c != '\t') {
            jbuild_part(&b, s, i, i + len);
            column = c == '\n' || c == '\r' ? 0 : column + 1;
        } else if (size > 0) {
            for (int64_t k = size - column % size; k > 0 && !b.failed; k--, column++)
                jbuild_derived(&b, " ", 1, s, i, i + 1);
        }
    }
    if (jbuild_done(&b, out)) return -1;
    *out = keep_markup(*out, self);
    return 0;
}

const struct jfunc jinja_str_methods[] = {{"strip", str_strip, "chars", 0},
                                          {"lstrip", str_lstrip, "chars", 0},
                                          {"rstrip", str_rstrip, "chars", 0},
                                          {"split", str_split, "sep maxsplit", 0},
                                          {"rsplit", str_rsplit, "sep maxsplit", 0},
                                          {"splitlines", str_splitlines, "keepends", 0},
                                          {"partition", str_partition, "sep", 1},
                                          {"rpartition", str_rpartition, "sep", 1},
                                          {"startswith", str_startswith, "prefix start end", 1},
                                          {"endswith", str_endswith, "suffix start end", 1},
                                          {"removeprefix", str_removeprefix, "prefix", 1},
                                          {"removesuffix", str_removesuffix, "suffix", 1},
                                          {"find", str_find, "sub start end", 1},
                                          {"rfind", str_rfind, "sub start end", 1},
                                          {"index", str_index, "sub start end", 1},
                                          {"rindex", str_rindex, "sub start end", 1},
                                          {"count", str_count, "sub start end", 1},
                                          {"replace", str_replace, "old new count", 2},
                                          {"join", str_join, "iterable", 1},
                                          {"upper", str_upper, "", 0},
                                          {"lower", str_lower, "", 0},
                                          {"casefold", NULL, "", 0},
                                          {"capitalize", str_capitalize, "", 0},
                                          {"title", str_title, "", 0},
                                          {"swapcase", str_swapcase, "", 0},
                                          {"format", str_format, NULL, 0},
                                          {"isalpha", jmethod_isalpha, "", 0},
                                          {"isdigit", jmethod_isdigit, "", 0},
                                          {"isdecimal", jmethod_isdecimal, "", 0},
                                          {"isnumeric", jmethod_isnumeric, "", 0},
                                          {"isalnum", jmethod_isalnum, "", 0},
                                          {"isspace", jmethod_isspace, "", 0},
                                          {"isupper", jmethod_isupper, "", 0},
                                          {"islower", jmethod_islower, "", 0},
                                          {"istitle", jmethod_istitle, "", 0},
                                          {"isascii", jmethod_isascii, "", 0},
                                          {"isprintable", jmethod_isprintable, "", 0},
                                          {"zfill", str_zfill, "width", 1},
                                          {"expandtabs", str_expandtabs, "tabsize", 0},
                                          {"ljust", str_ljust, "width fillchar", 1},
                                          {"rjust", str_rjust, "width fillchar", 1},
                                          {"center", str_center, "width fillchar", 1},
                                          {"encode", NULL, "", 0},
                                          {"format_map", NULL, "", 0},
                                          {"isidentifier", NULL, "", 0},
                                          {"maketrans", NULL, "", 0},
                                          {"translate", NULL, "", 0},
                                          {NULL, NULL, NULL, 0}};
