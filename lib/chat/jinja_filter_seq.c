/* SPDX-License-Identifier: Apache-2.0 */
/* Filters on sequences: select, map, sort, join and their kin. */
#include <string.h>

#include "chat/jinja_filters.h"

int jfilter_length(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    int64_t n;
    (void)a;
    if (jval_length(vm, self, &n) < 0) return -1;
    *out = jval_int(n);
    return 0;
}

int jfilter_list(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    struct jlist *l;
    (void)a;
    if (jval_elements(vm, self, &l) < 0) return -1;
    *out = jval_list(l, J_LIST);
    return 0;
}

int jfilter_first(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    static const struct jstr none = {.p = "No first item, sequence was empty.", .n = 34};
    struct jlist *l;
    (void)a;
    *out = jval_undef(UNDEF_HINT, J_UNDEF, &none);
    if (self.kind == J_ITER) { /* takes one */
        struct jiter *it = self.u.iter;
        if (it->pos < it->list->n) *out = it->list->v[it->pos++];
        return 0;
    }
    if (jval_elements(vm, self, &l) < 0) return -1;
    if (l->n) *out = l->v[0];
    return 0;
}

int jfilter_last(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    static const struct jstr none = {.p = "No last item, sequence was empty.", .n = 33};
    struct jlist *l;
    (void)a;
    if (self.kind == J_ITER) return vm_fail(vm, "'generator' object is not reversible");
    if (jval_elements(vm, self, &l) < 0) return -1;
    *out = l->n ? l->v[l->n - 1] : jval_undef(UNDEF_HINT, J_UNDEF, &none);
    return 0;
}

int jfilter_reverse(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    struct jlist *l, *r;
    (void)a;
    if (self.kind == J_STR) {
        struct jval back[3] = {jval_none(), jval_none(), jval_int(-1)};
        return jval_slice(vm, self, back, out);
    }
    if (jval_elements(vm, self, &l) < 0 || !(r = jlist_new(vm, l->n))) return -1;
    for (size_t i = l->n; i-- > 0;)
        if (jlist_add(vm, r, l->v[i]) < 0) return -1;
    if (self.kind != J_ITER) return jval_iter(vm, r, out);
    *out = jval_list(r, J_LIST);
    return 0;
}

int jfilter_items(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    struct jlist *l = jlist_new(vm, 0);
    struct jval pair;
    (void)a;
    if (!l) return -1;
    if (self.kind != J_UNDEF && self.kind != J_DICT)
        return vm_fail(vm, "Can only get item pairs from a mapping.");
    for (size_t i = 0; self.kind == J_DICT && i < self.u.dict->n; i++)
        if (jval_pair(vm, self.u.dict->keys[i], self.u.dict->vals[i], &pair) < 0 ||
            jlist_add(vm, l, pair) < 0)
            return -1;
    return jval_iter(vm, l, out);
}

/* ---- attributes: "a.b.0" or a number ---- */
static int get_attribute(struct vm *vm, struct jval v, struct jval path, struct jval otherwise,
                         struct jval *out)
{
    *out = v;
    if (path.kind == J_MISSING || path.kind == J_NONE) return 0;
    if (path.kind != J_STR) return jval_getitem(vm, v, path, out);
    const struct jstr *s = path.u.s;
    for (size_t at = 0, end; at <= s->n; at = end + 1) {
        struct jval key;
        for (end = at; end < s->n && s->p[end] != '.';) end++;
        bool number = end > at && end - at < 18;
        int64_t index = 0;
        for (size_t i = at; i < end; i++) {
            number &= s->p[i] >= '0' && s->p[i] <= '9';
            if (number) index = index * 10 + (s->p[i] - '0');
        }
        if (jstr_part(vm, s, at, end, &key) < 0) return -1;
        if (jval_getitem(vm, *out, number ? jval_int(index) : key, out) < 0) return -1;
        if (out->kind == J_UNDEF && otherwise.kind != J_MISSING && otherwise.kind != J_NONE)
            *out = otherwise;
    }
    return 0;
}

static int sort_key(struct vm *vm, struct jval v, struct jval path, bool case_sensitive,
                    struct jval *out)
{
    if (get_attribute(vm, v, path, jval_kind(J_MISSING), out) < 0) return -1;
    if (out->kind != J_STR || case_sensitive) return 0;
    return jstr_case(vm, out->u.s, JCASE_LOWER, out);
}

int jfilter_join(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    struct jlist *l;
    const struct jstr *sep;
    struct jstr empty = {.p = ""};
    if (jval_elements(vm, self, &l) < 0) return -1;
    if (a->pos[0].kind == J_MISSING)
        sep = &empty;
    else if (jval_tostr(vm, a->pos[0], false, &sep) < 0)
        return -1;
    if (a->pos[1].kind != J_MISSING && a->pos[1].kind != J_NONE) {
        struct jlist *got = jlist_new(vm, l->n);
        struct jval v;
        for (size_t i = 0; got && i < l->n; i++)
            if (get_attribute(vm, l->v[i], a->pos[1], jval_kind(J_MISSING), &v) < 0 ||
                jlist_add(vm, got, v) < 0)
                return -1;
        if (!(l = got)) return -1;
    }
    return jstr_join(vm, sep, l, true, out);
}

/* ---- map, select, reject ---- */
static int map_item(struct vm *vm, const struct jfunc *f, const struct jargs *a, struct jval path,
                    struct jval otherwise, struct jval v, struct jval *out)
{
    struct jargs rest = *a;
    if (!f) return get_attribute(vm, v, path, otherwise, out);
    rest.pos++;
    rest.npos--;
    return jfunc_call(vm, f, v, &rest, out);
}

int jfilter_map(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    struct jlist *l, *r = jlist_new(vm, 0);
    const struct jfunc *f = NULL;
    struct jval path = jval_kind(J_MISSING), otherwise = path, v;
    if (!r) return -1;
    if (!jval_truth(self)) return jval_iter(vm, r, out);
    for (size_t i = 0; !a->npos && i < a->nkw; i++) {
        if (str_is(jstr_str(a->names[i]), "attribute"))
            path = a->kw[i];
        else if (str_is(jstr_str(a->names[i]), "default"))
            otherwise = a->kw[i];
        else
            return vm_fail(vm, "map: unexpected keyword argument");
    }
    if (a->npos && a->pos[0].kind == J_STR) f = jinja_filter(jstr_str(a->pos[0].u.s));
    if (!f && path.kind == J_MISSING) return vm_fail(vm, "map wants the name of a filter");
    if (jval_elements(vm, self, &l) < 0) return -1;
    for (size_t i = 0; i < l->n; i++)
        if (map_item(vm, f, a, path, otherwise, l->v[i], &v) < 0 || jlist_add(vm, r, v) < 0)
            return -1;
    return jval_iter(vm, r, out);
}

static int select_items(struct vm *vm, struct jval self, const struct jargs *a, bool by_attr,
                        bool keep, struct jval *out)
{
    struct jlist *l, *r = jlist_new(vm, 0);
    const struct jfunc *f = NULL;
    struct jargs rest = *a;
    struct jval path = jval_kind(J_MISSING);
    if (!r) return -1;
    if (!jval_truth(self)) return jval_iter(vm, r, out);
    if (by_attr) {
        if (!a->npos) return vm_fail(vm, "Missing parameter for attribute name");
        path = a->pos[0];
        rest.pos++;
        rest.npos--;
    }
    if (rest.npos) {
        if (rest.pos[0].kind == J_STR) f = jinja_test(jstr_str(rest.pos[0].u.s));
        if (!f) return vm_fail(vm, "this is not the name of a test");
        rest.pos++;
        rest.npos--;
    }
    if (jval_elements(vm, self, &l) < 0) return -1;
    for (size_t i = 0; i < l->n; i++) {
        struct jval v, yes;
        if (get_attribute(vm, l->v[i], path, jval_kind(J_MISSING), &v) < 0) return -1;
        yes = v;
        if (f && jfunc_call(vm, f, v, &rest, &yes) < 0) return -1;
        if (jval_truth(yes) == keep && jlist_add(vm, r, l->v[i]) < 0) return -1;
    }
    return jval_iter(vm, r, out);
}

int jfilter_select(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    return select_items(vm, self, a, false, true, out);
}
int jfilter_reject(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    return select_items(vm, self, a, false, false, out);
}
int jfilter_selectattr(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    return select_items(vm, self, a, true, true, out);
}
int jfilter_rejectattr(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    return select_items(vm, self, a, true, false, out);
}

/* ---- order ---- */
struct sort_item {
    struct jval key, value;
};

/* Stable merge sort of n items; `spare` has room for n. */
static int merge_sort(struct vm *vm, struct sort_item *v, struct sort_item *spare, size_t n,
                      bool reverse)
{
    size_t half = n / 2, i = 0, k = half, at = 0;
    int order;
    if (n < 2) return 0;
    if (merge_sort(vm, v, spare, half, reverse) < 0 ||
        merge_sort(vm, v + half, spare, n - half, reverse) < 0)
        return -1;
    while (i < half && k < n) {
        if (jval_compare(vm, v[k].key, v[i].key, &order) < 0) return -1;
        bool second = reverse ? order == 1 : order == -1;
        spare[at++] = second ? v[k++] : v[i++];
    }
    while (i < half) spare[at++] = v[i++];
    memcpy(v, spare, at * sizeof *v);
    return 0;
}

static int sorted_values(struct vm *vm, struct sort_item *v, size_t n, bool reverse,
                         struct jval *out)
{
    struct sort_item *spare = vm_alloc(vm, n, sizeof *spare);
    struct jlist *l = jlist_new(vm, n);
    if (!spare || !l || merge_sort(vm, v, spare, n, reverse) < 0) return -1;
    for (size_t i = 0; i < n; i++)
        if (jlist_add(vm, l, v[i].value) < 0) return -1;
    *out = jval_list(l, J_LIST);
    return 0;
}

/* One key, or several when the attribute is "a,b". */
static int sort_keys(struct vm *vm, struct jval v, struct jval path, bool case_sensitive,
                     struct jval *out)
{
    static const struct jstr comma = {.p = ",", .n = 1};
    struct jlist *paths, *keys = jlist_new(vm, 1);
    struct jval key;
    if (!keys) return -1;
    *out = jval_list(keys, J_LIST);
    if (path.kind != J_STR) {
        if (sort_key(vm, v, path, case_sensitive, &key) < 0) return -1;
        return jlist_add(vm, keys, key);
    }
    if (jstr_split(vm, path.u.s, &comma, -1, false, &paths) < 0) return -1;
    for (size_t i = 0; i < paths->n; i++)
        if (sort_key(vm, v, paths->v[i], case_sensitive, &key) < 0 || jlist_add(vm, keys, key) < 0)
            return -1;
    return 0;
}

int jfilter_sort(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    struct jlist *l;
    if (jval_elements(vm, self, &l) < 0) return -1;
    struct sort_item *v = vm_alloc(vm, l->n, sizeof *v);
    if (!v) return -1;
    for (size_t i = 0; i < l->n; i++) {
        v[i].value = l->v[i];
        if (sort_keys(vm, l->v[i], a->pos[2], jval_truth(a->pos[1]), &v[i].key) < 0) return -1;
    }
    return sorted_values(vm, v, l->n, jval_truth(a->pos[0]), out);
}

int jfilter_dictsort(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    struct str by = a->pos[1].kind == J_STR ? jstr_str(a->pos[1].u.s) : STR("key");
    struct jval none = jval_kind(J_MISSING);
    if (self.kind == J_UNDEF) return vm_undefined(vm, self);
    if (self.kind != J_DICT)
        return vm_fail(vm, "dictsort wants a mapping, not %s", jval_type(self));
    if (!str_is(by, "key") && !str_is(by, "value"))
        return vm_fail(vm, "You can only sort by either \"key\" or \"value\"");
    const struct jdict *d = self.u.dict;
    struct sort_item *v = vm_alloc(vm, d->n, sizeof *v);
    if (!v) return -1;
    for (size_t i = 0; i < d->n; i++) {
        struct jval key = str_is(by, "key") ? d->keys[i] : d->vals[i];
        if (sort_key(vm, key, none, jval_truth(a->pos[0]), &v[i].key) < 0 ||
            jval_pair(vm, d->keys[i], d->vals[i], &v[i].value) < 0)
            return -1;
    }
    return sorted_values(vm, v, d->n, jval_truth(a->pos[2]), out);
}

static int extreme(struct vm *vm, struct jval self, const struct jargs *a, int want,
                   struct jval *out)
{
    static const struct jstr none = {.p = "No aggregated item, sequence was empty.", .n = 39};
    struct jlist *l;
    struct jval best, key;
    int order;
    if (jval_elements(vm, self, &l) < 0) return -1;
    *out = jval_undef(UNDEF_HINT, J_UNDEF, &none);
    for (size_t i = 0; i < l->n; i++) {
        if (sort_key(vm, l->v[i], a->pos[1], jval_truth(a->pos[0]), &key) < 0) return -1;
        if (i && jval_compare(vm, key, best, &order) < 0) return -1;
        if (i && order != want) continue;
        best = key;
        *out = l->v[i];
    }
    return 0;
}
int jfilter_min(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    return extreme(vm, self, a, -1, out);
}
int jfilter_max(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    return extreme(vm, self, a, 1, out);
}

int jfilter_unique(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    struct jlist *l, *r = jlist_new(vm, 0);
    struct jdict *seen = jdict_new(vm);
    struct jval key;
    if (!r || !seen || jval_elements(vm, self, &l) < 0) return -1;
    for (size_t i = 0; i < l->n; i++) {
        if (sort_key(vm, l->v[i], a->pos[1], jval_truth(a->pos[0]), &key) < 0) return -1;
        if (jdict_get(vm, seen, key)) continue;
        if (jdict_set(vm, seen, key, jval_none()) < 0 || jlist_add(vm, r, l->v[i]) < 0) return -1;
    }
    return jval_iter(vm, r, out);
}

int jfilter_sum(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    struct jlist *l;
    struct jval v, sum = a->pos[1].kind == J_MISSING ? jval_int(0) : a->pos[1];
    if (sum.kind == J_STR) return vm_fail(vm, "sum() can't sum strings");
    if (jval_elements(vm, self, &l) < 0) return -1;
    for (size_t i = 0; i < l->n; i++)
        if (get_attribute(vm, l->v[i], a->pos[0], jval_kind(J_MISSING), &v) < 0 ||
            jval_add(vm, sum, v, &sum) < 0)
            return -1;
    *out = sum;
    return 0;
}

/* ---- cutting into rows ---- */
static int add_row(struct vm *vm, struct jlist *r, const struct jlist *l, size_t from, size_t to,
                   size_t fill, struct jval with)
{
    struct jlist *row = jlist_new(vm, to - from);
    if (!row) return -1;
    for (size_t i = from; i < to; i++)
        if (jlist_add(vm, row, l->v[i]) < 0) return -1;
    for (; fill && with.kind != J_MISSING && with.kind != J_NONE; fill--)
        if (jlist_add(vm, row, with) < 0) return -1;
    return jlist_add(vm, r, jval_list(row, J_LIST));
}

int jfilter_batch(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    struct jlist *l, *r = jlist_new(vm, 0);
    int64_t n;
    if (!r || jval_elements(vm, self, &l) < 0 || jarg_int(vm, a->pos[0], 1, &n) < 0) return -1;
    if (n < 1) return vm_fail(vm, "batch wants a positive number");
    for (size_t at = 0; at < l->n; at += (size_t)n) {
        size_t left = l->n - at, take = left < (size_t)n ? left : (size_t)n;
        if (add_row(vm, r, l, at, at + take, (size_t)n - take, a->pos[1]) < 0) return -1;
    }
    return jval_iter(vm, r, out);
}

int jfilter_slice(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    struct jlist *l, *r = jlist_new(vm, 0);
    int64_t n;
    if (!r || jval_elements(vm, self, &l) < 0 || jarg_int(vm, a->pos[0], 1, &n) < 0) return -1;
    if (n < 1 || n > VM_MAX_RANGE) return vm_fail(vm, "slice wants a positive number");
    size_t at = 0;
    for (int64_t i = 0; i < n; i++) {
        bool more = (size_t)i < l->n % (size_t)n;
        size_t take = l->n / (size_t)n + more;
        if (add_row(vm, r, l, at, at + take, !more, a->pos[1]) < 0) return -1;
        at += take;
    }
    return jval_iter(vm, r, out);
}
