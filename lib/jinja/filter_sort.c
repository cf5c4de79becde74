/* SPDX-License-Identifier: Apache-2.0 */
/* Filters that compare: sort, dictsort, min, max, unique; look-up by a path of attributes. */
#include <string.h>

#include "jinja/filters.h"

int jval_path(struct vm *vm, struct jval v, struct jval path, struct jval otherwise,
              struct jval *out)
{
    *out = v;
    if (path.kind == J_MISSING || path.kind == J_NONE) return 0;
    if (path.kind != J_STR) return jval_getitem(vm, v, path, out);
    const struct jstr *s = path.u.s;
    if (vm_charge(vm, s->n)) return -1;
    for (size_t at = 0, end; at <= s->n; at = end + 1) {
        struct jval key;
        for (end = at; end < s->n && s->p[end] != '.';) end++;
        bool number = end > at && end - at < 18;
        int64_t index = 0;
        for (size_t i = at; i < end; i++) {
            number &= s->p[i] >= '0' && s->p[i] <= '9';
            if (number) index = index * 10 + (s->p[i] - '0');
        }
        if (jstr_part(vm, s, at, end, &key)) return -1;
        if (jval_getitem(vm, *out, number ? jval_int(index) : key, out)) return -1;
        if (out->kind == J_UNDEF && otherwise.kind != J_MISSING && otherwise.kind != J_NONE)
            *out = otherwise;
    }
    return 0;
}

static int sort_key(struct vm *vm, struct jval v, struct jval path, bool case_sensitive,
                    struct jval *out)
{
    if (jval_path(vm, v, path, jval_kind(J_MISSING), out)) return -1;
    if (out->kind != J_STR || case_sensitive) return 0;
    return jstr_case(vm, out->u.s, JCASE_LOWER, out);
}

struct sort_item {
    struct jval key, value;
};

/* Sorts n items by stable merging; spare has room for n items. */
static int merge_sort(struct vm *vm, struct sort_item *v, struct sort_item *spare, size_t n,
                      bool reverse)
{
    size_t half = n / 2, i = 0, k = half, at = 0;
    int order;
    if (n < 2) return 0;
    if (merge_sort(vm, v, spare, half, reverse) ||
        merge_sort(vm, v + half, spare, n - half, reverse))
        return -1;
    while (i < half && k < n) {
        if (jval_compare(vm, v[k].key, v[i].key, &order)) return -1;
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
    if (!spare || !l || merge_sort(vm, v, spare, n, reverse)) return -1;
    for (size_t i = 0; i < n; i++)
        if (jlist_add(vm, l, v[i].value)) return -1;
    *out = jval_list(l, J_LIST);
    return 0;
}

/* Makes the list of sort keys: one, or several for an attribute such as "a,b". */
static int sort_keys(struct vm *vm, struct jval v, struct jval path, bool case_sensitive,
                     struct jval *out)
{
    static const struct jstr comma = {.p = ",", .n = 1};
    struct jlist *paths, *keys = jlist_new(vm, 1);
    struct jval key;
    if (!keys) return -1;
    *out = jval_list(keys, J_LIST);
    if (path.kind != J_STR) {
        if (sort_key(vm, v, path, case_sensitive, &key)) return -1;
        return jlist_add(vm, keys, key);
    }
    if (jstr_split(vm, path.u.s, &comma, -1, false, &paths)) return -1;
    for (size_t i = 0; i < paths->n; i++)
        if (sort_key(vm, v, paths->v[i], case_sensitive, &key) || jlist_add(vm, keys, key))
            return -1;
    return 0;
}

int jfilter_sort(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    struct jlist *l;
    if (jval_elements(vm, self, &l)) return -1;
    struct sort_item *v = vm_alloc(vm, l->n, sizeof *v);
    if (!v) return -1;
    for (size_t i = 0; i < l->n; i++) {
        v[i].value = l->v[i];
        if (sort_keys(vm, l->v[i], a->pos[2], jval_truth(a->pos[1]), &v[i].key)) return -1;
    }
    return sorted_values(vm, v, l->n, jval_truth(a->pos[0]), out);
}

int jfilter_dictsort(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    struct str by = a->pos[1].kind == J_STR ? jstr_str(a->pos[1].u.s) : STR("key");
    struct jval none = jval_kind(J_MISSING);
    if (self.kind == J_UNDEF) return vm_undefined(vm, self);
    if (self.kind != J_DICT)
        return vm_fail(vm, "dictsort expects a mapping, not %s", jval_type(self));
    if (!str_is(by, "key") && !str_is(by, "value"))
        return vm_fail(vm, "You can only sort by either \"key\" or \"value\"");
    const struct jdict *d = self.u.dict;
    struct sort_item *v = vm_alloc(vm, d->n, sizeof *v);
    if (!v) return -1;
    for (size_t i = 0; i < d->n; i++) {
        struct jval key = str_is(by, "key") ? d->keys[i] : d->vals[i];
        if (sort_key(vm, key, none, jval_truth(a->pos[0]), &v[i].key) ||
            jval_pair(vm, d->keys[i], d->vals[i], &v[i].value))
            return -1;
    }
    return sorted_values(vm, v, d->n, jval_truth(a->pos[2]), out);
}

/* Appends the tuple (grouper, items) for the items [from, to). */
static int add_group(struct vm *vm, struct jlist *groups, const struct jlist *l, size_t from,
                     size_t to, struct jval grouper)
{
    struct jlist *items = jlist_new(vm, to - from), *pair = jlist_new(vm, 2);
    if (!items || !pair) return -1;
    for (size_t i = from; i < to; i++)
        if (jlist_add(vm, items, l->v[i])) return -1;
    pair->group = true;
    if (jlist_add(vm, pair, grouper) || jlist_add(vm, pair, jval_list(items, J_LIST))) return -1;
    return jlist_add(vm, groups, jval_list(pair, J_TUPLE));
}

static int group_key(struct vm *vm, struct jval v, const struct jargs *a, bool exact,
                     struct jval *out)
{
    if (jval_path(vm, v, a->pos[0], a->pos[1], out)) return -1;
    return out->kind == J_STR && !exact ? jstr_case(vm, out->u.s, JCASE_LOWER, out) : 0;
}

int jfilter_groupby(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    struct jlist *l, *groups = jlist_new(vm, 0);
    bool exact = jval_truth(a->pos[2]);
    struct jval sorted, key, next, grouper;
    if (!groups || jval_elements(vm, self, &l)) return -1;
    struct sort_item *v = vm_alloc(vm, l->n, sizeof *v);
    if (!v) return -1;
    for (size_t i = 0; i < l->n; i++) {
        v[i].value = l->v[i];
        if (group_key(vm, l->v[i], a, exact, &v[i].key)) return -1;
    }
    if (sorted_values(vm, v, l->n, false, &sorted)) return -1;
    l = sorted.u.list;
    for (size_t from = 0, to; from < l->n; from = to) {
        if (group_key(vm, l->v[from], a, exact, &key) ||
            jval_path(vm, l->v[from], a->pos[0], a->pos[1], &grouper))
            return -1;
        for (to = from + 1; to < l->n; to++) {
            if (group_key(vm, l->v[to], a, exact, &next)) return -1;
            if (!jval_eq(vm, key, next)) break;
        }
        if (add_group(vm, groups, l, from, to, grouper)) return -1;
    }
    *out = jval_list(groups, J_LIST);
    return 0;
}

static int extreme(struct vm *vm, struct jval self, const struct jargs *a, int want,
                   struct jval *out)
{
    static const struct jstr none = {.p = "No aggregated item, sequence was empty.", .n = 39};
    struct jlist *l;
    struct jval best, key;
    int order;
    if (jval_elements(vm, self, &l)) return -1;
    *out = jval_undef(UNDEF_HINT, J_UNDEF, &none);
    for (size_t i = 0; i < l->n; i++) {
        if (sort_key(vm, l->v[i], a->pos[1], jval_truth(a->pos[0]), &key)) return -1;
        if (i && jval_compare(vm, key, best, &order)) return -1;
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
    if (!r || !seen || jval_elements(vm, self, &l)) return -1;
    for (size_t i = 0; i < l->n; i++) {
        if (sort_key(vm, l->v[i], a->pos[1], jval_truth(a->pos[0]), &key)) return -1;
        if (jdict_get(vm, seen, key)) continue;
        if (jdict_set(vm, seen, key, jval_none()) || jlist_add(vm, r, l->v[i])) return -1;
    }
    return jval_iter(vm, r, out);
}
