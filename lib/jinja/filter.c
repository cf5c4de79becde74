/* SPDX-License-Identifier: Apache-2.0 */
/* Filters of single values: text, defaults, JSON; the table of all filters. */
#include <string.h>

#include "jinja/filters.h"

static int soft(struct vm *vm, struct jval v, struct jval *out)
{
    const struct jstr *s;
    if (jval_tostr(vm, v, true, &s)) return -1;
    *out = jval_str(s);
    return 0;
}

JFN(f_upper, jinja_str_method(vm, self, "upper", 0, a, out))
JFN(f_lower, jinja_str_method(vm, self, "lower", 0, a, out))
JFN(f_capitalize, jinja_str_method(vm, self, "capitalize", 0, a, out))
JFN(f_trim, jinja_str_method(vm, self, "strip", 1, a, out))

static int f_center(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    struct jval width = a->pos[0].kind == J_MISSING ? jval_int(80) : a->pos[0];
    struct jargs k = {.pos = &width, .npos = 1};
    return jinja_str_method(vm, self, "center", 1, &k, out);
}

static int f_title(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    (void)a;
    if (soft(vm, self, &self)) return -1;
    return jstr_case(vm, self.u.s, JCASE_WORDS, out);
}

JFN(f_string, soft(vm, self, out))

static int f_safe(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    (void)a;
    if (soft(vm, self, &self)) return -1;
    struct jstr *s = vm_alloc(vm, 1, sizeof *s);
    if (!s) return -1;
    *s = *self.u.s;
    s->markup = true;
    *out = jval_str(s);
    return 0;
}

static int f_escape(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    (void)a;
    if (soft(vm, self, &self)) return -1;
    return jstr_escape(vm, self.u.s, out);
}

static int f_forceescape(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    const struct jstr *s;
    (void)a;
    if (jval_tostr(vm, self, false, &s)) return -1;
    struct jstr plain = *s;
    plain.markup = false;
    return jstr_escape(vm, &plain, out);
}

static int f_replace(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    const struct jstr *s, *from, *to;
    int64_t max;
    if (jval_tostr(vm, self, false, &s) || jval_tostr(vm, a->pos[0], false, &from) ||
        jval_tostr(vm, a->pos[1], false, &to) || jarg_int(vm, a->pos[2], -1, &max))
        return -1;
    return jstr_replace(vm, s, from, to, max, out);
}

static int f_format(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    if (soft(vm, self, &self)) return -1;
    if (a->npos && a->nkw) return vm_fail(vm, "format: positional and keyword arguments together");
    struct jval args;
    if (a->nkw) {
        struct jdict *d = jdict_new(vm);
        for (size_t i = 0; d && i < a->nkw; i++)
            if (jdict_set(vm, d, jval_str(a->names[i]), a->kw[i])) return -1;
        if (!d) return -1;
        args = (struct jval){.kind = J_DICT, .u.dict = d};
    } else {
        struct jlist *l = jlist_new(vm, a->npos);
        for (size_t i = 0; l && i < a->npos; i++)
            if (jlist_add(vm, l, a->pos[i])) return -1;
        if (!l) return -1;
        args = jval_list(l, J_TUPLE);
    }
    return jval_percent(vm, self.u.s, args, out);
}

static int f_indent(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    struct jbuild b;
    struct jlist *l;
    struct jval text;
    struct jstr newline = {.p = "\n", .n = 1};
    int64_t width;
    if (self.kind == J_UNDEF) return vm_undefined(vm, self);
    if (self.kind != J_STR) return vm_fail(vm, "indent expects a string, not %s", jval_type(self));
    newline.markup = self.u.s->markup;
    bool first = jval_truth(a->pos[1]), blank = jval_truth(a->pos[2]);
    if (a->pos[0].kind != J_STR && jarg_int(vm, a->pos[0], 4, &width)) return -1;
    if (jstr_concat(vm, self.u.s, &newline, &text) || jstr_lines(vm, text.u.s, false, &l))
        return -1;
    jbuild_init(&b, vm);
    for (size_t i = 0; i < l->n && !b.failed; i++) {
        if (i) jbuild_z(&b, "\n");
        if (i ? blank || l->v[i].u.s->n : first) {
            if (a->pos[0].kind == J_STR) jbuild_str(&b, a->pos[0].u.s);
            for (int64_t k = 0; a->pos[0].kind != J_STR && k < width && !b.failed; k++)
                jbuild_z(&b, " ");
        }
        jbuild_str(&b, l->v[i].u.s);
    }
    if (jbuild_done(&b, out)) return -1;
    ((struct jstr *)out->u.s)->markup = newline.markup;
    return 0;
}

static int f_truncate(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    struct jstr dots = {.p = "...", .n = 3};
    const struct jstr *end = a->pos[2].kind == J_STR ? a->pos[2].u.s : &dots, *s;
    int64_t length, leeway, chars;
    if (jarg_int(vm, a->pos[0], 255, &length) || jarg_int(vm, a->pos[3], 5, &leeway) ||
        jval_length(vm, self, &chars))
        return -1;
    int64_t tail = (int64_t)jstr_chars(end);
    if (length < tail || leeway < 0 || length > INT32_MAX || leeway > INT32_MAX)
        return vm_fail(vm, "truncate: the length is out of range");
    if (chars <= length + leeway) {
        *out = self;
        return 0;
    }
    if (self.kind != J_STR) return vm_fail(vm, "truncating a %s is not supported", jval_type(self));
    s = self.u.s;
    size_t to = jstr_offset(s, (size_t)(length - tail)), space;
    struct jstr blank = {.p = " ", .n = 1};
    if (!jval_truth(a->pos[1]) && (space = jstr_find(s, 0, to, &blank, true)) != SIZE_MAX)
        to = space;
    struct jbuild b;
    jbuild_init(&b, vm);
    jbuild_part(&b, s, 0, to);
    jbuild_str(&b, end);
    return jbuild_done(&b, out);
}

static int f_default(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    bool use = self.kind == J_UNDEF || (jval_truth(a->pos[1]) && !jval_truth(self));
    if (use && a->pos[0].kind == J_MISSING) return jval_text(vm, "", 0, out);
    *out = use ? a->pos[0] : self;
    return 0;
}

static int f_attr(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    if (a->pos[0].kind != J_STR) return vm_fail(vm, "attr expects a name");
    if (self.kind == J_DICT && !jinja_method(self, jstr_str(a->pos[0].u.s))) {
        *out = jval_undef(UNDEF_ATTR, J_DICT, a->pos[0].u.s);
        return 0;
    }
    return jval_getattr(vm, self, a->pos[0].u.s, out);
}

static int f_random(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    (void)self, (void)a, (void)out;
    return vm_fail(vm, "`random` is not supported: equal rows must give equal samples");
}

/* ---- JSON ---- */
static int f_tojson(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    static const struct jstr comma_space = {.p = ", ", .n = 2}, comma = {.p = ",", .n = 1},
                             colon = {.p = ": ", .n = 2};
    struct json_style style = {.ascii = jval_truth(a->pos[0]), .sort = jval_truth(a->pos[3])};
    struct jval sep = a->pos[2], indent = a->pos[1], blank;
    struct jbuild b;
    int64_t n;
    if (indent.kind == J_STR) {
        style.indent = indent.u.s;
    } else if (indent.kind != J_MISSING && indent.kind != J_NONE) {
        if (jarg_int(vm, indent, 0, &n)) return -1;
        jbuild_init(&b, vm);
        for (int64_t i = 0; i < n && !b.failed; i++) jbuild_z(&b, " ");
        if (jbuild_done(&b, &blank)) return -1;
        style.indent = blank.u.s;
    }
    style.item = style.indent ? &comma : &comma_space;
    style.key = &colon;
    if (sep.kind == J_TUPLE || sep.kind == J_LIST) {
        const struct jlist *l = sep.u.list;
        if (l->n != 2 || l->v[0].kind != J_STR || l->v[1].kind != J_STR)
            return vm_fail(vm, "tojson: separators are two strings");
        style.item = l->v[0].u.s;
        style.key = l->v[1].u.s;
    }
    jbuild_init(&b, vm);
    if (jval_json(&b, self, &style, 0)) return -1;
    return jbuild_done(&b, out);
}

static const struct jfunc filters[] = {
    {"abs", jfilter_abs, "", 0},
    {"attr", f_attr, "name", 1},
    {"batch", jfilter_batch, "linecount fill_with", 1},
    {"capitalize", f_capitalize, "", 0},
    {"center", f_center, "width", 0},
    {"count", jfilter_length, "", 0},
    {"d", f_default, "default_value boolean", 0},
    {"default", f_default, "default_value boolean", 0},
    {"dictsort", jfilter_dictsort, "case_sensitive by reverse", 0},
    {"e", f_escape, "", 0},
    {"escape", f_escape, "", 0},
    {"filesizeformat", jfilter_filesizeformat, "binary", 0},
    {"first", jfilter_first, "", 0},
    {"float", jfilter_float, "default", 0},
    {"forceescape", f_forceescape, "", 0},
    {"format", f_format, NULL, 0},
    {"groupby", jfilter_groupby, "attribute default case_sensitive", 1},
    {"indent", f_indent, "width first blank", 0},
    {"int", jfilter_int, "default base", 0},
    {"items", jfilter_items, "", 0},
    {"join", jfilter_join, "d attribute", 0},
    {"last", jfilter_last, "", 0},
    {"length", jfilter_length, "", 0},
    {"list", jfilter_list, "", 0},
    {"lower", f_lower, "", 0},
    {"map", jfilter_map, NULL, 0},
    {"max", jfilter_max, "case_sensitive attribute", 0},
    {"min", jfilter_min, "case_sensitive attribute", 0},
    {"reject", jfilter_reject, NULL, 0},
    {"rejectattr", jfilter_rejectattr, NULL, 0},
    {"replace", f_replace, "old new count", 2},
    {"reverse", jfilter_reverse, "", 0},
    {"round", jfilter_round, "precision method", 0},
    {"safe", f_safe, "", 0},
    {"select", jfilter_select, NULL, 0},
    {"selectattr", jfilter_selectattr, NULL, 0},
    {"slice", jfilter_slice, "slices fill_with", 1},
    {"sort", jfilter_sort, "reverse case_sensitive attribute", 0},
    {"string", f_string, "", 0},
    {"striptags", jfilter_striptags, "", 0},
    {"sum", jfilter_sum, "attribute start", 0},
    {"title", f_title, "", 0},
    {"tojson", f_tojson, "ensure_ascii indent separators sort_keys", 0},
    {"trim", f_trim, "chars", 0},
    {"truncate", f_truncate, "length killwords end leeway", 0},
    {"unique", jfilter_unique, "case_sensitive attribute", 0},
    {"upper", f_upper, "", 0},
    {"urlencode", jfilter_urlencode, "", 0},
    {"wordcount", jfilter_wordcount, "", 0},
    {"xmlattr", jfilter_xmlattr, "autospace", 0},
    {"pprint", jfilter_pprint, "", 0},
    {"urlize", jfilter_urlize, "trim_url_limit nofollow target rel extra_schemes", 0},
    {"wordwrap", jfilter_wordwrap, "width break_long_words wrapstring break_on_hyphens", 0},
    {"random", f_random, "", 0},
};

const struct jfunc *jinja_filter(struct str name)
{
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++)
        if (str_is(name, filters[i].name)) return &filters[i];
    return NULL;
}
