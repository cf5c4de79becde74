/* SPDX-License-Identifier: Apache-2.0 */
/* Filters of sequences: first, last, join, sum, batch, slice, ... */
#include <string.h>

#include "jinja/filters.h"

int jfilter_length(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    int64_t n;
    (void)a;
    if (jval_length(vm, self, &n)) return -1;
    *out = jval_int(n);
    return 0;
}

int jfilter_list(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    struct jlist *l;
    (void)a;
    if (jval_elements(vm, self, &l)) return -1;
    *out = jval_list(l, J_LIST);
    return 0;
}

/* As jval_elements, for a filter that looks at one of them. */
static int some_elements(struct vm *vm, struct jval v, struct jlist **l)
{
    if (v.kind != J_LIST && v.kind != J_TUPLE && v.kind != J_VIEW) return jval_elements(vm, v, l);
    *l = v.u.list;
    return 0;
}

int jfilter_first(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    static const struct jstr none = {.p = "No first item, sequence was empty.", .n = 34};
    struct jlist *l;
    (void)a;
    *out = jval_undef(UNDEF_HINT, J_UNDEF, &none);
    if (self.kind == J_ITER) { /* consumes one item */
        struct jiter *it = self.u.iter;
        if (it->pos < it->list->n) *out = it->list->v[it->pos++];
        return 0;
    }
    if (some_elements(vm, self, &l)) return -1;
    if (l->n) *out = l->v[0];
    return 0;
}

int jfilter_last(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    static const struct jstr none = {.p = "No last item, sequence was empty.", .n = 33};
    struct jlist *l;
    (void)a;
    if (self.kind == J_ITER) return vm_fail(vm, "'generator' object is not reversible");
    if (some_elements(vm, self, &l)) return -1;
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
    if (jval_elements(vm, self, &l) || !(r = jlist_new(vm, l->n))) return -1;
    for (size_t i = l->n; i-- > 0;)
        if (jlist_add(vm, r, l->v[i])) return -1;
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
        if (jval_pair(vm, self.u.dict->keys[i], self.u.dict->vals[i], &pair) ||
            jlist_add(vm, l, pair))
            return -1;
    return jval_iter(vm, l, out);
}

int jfilter_join(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    struct jlist *l;
    const struct jstr *sep;
    struct jstr empty = {.p = ""};
    if (jval_elements(vm, self, &l)) return -1;
    if (a->pos[0].kind == J_MISSING)
        sep = &empty;
    else if (jval_tostr(vm, a->pos[0], false, &sep))
        return -1;
    if (a->pos[1].kind != J_MISSING && a->pos[1].kind != J_NONE) {
        struct jlist *got = jlist_new(vm, l->n);
        struct jval v;
        for (size_t i = 0; got && i < l->n; i++)
            if (jval_path(vm, l->v[i], a->pos[1], jval_kind(J_MISSING), &v) ||
                jlist_add(vm, got, v))
                return -1;
        if (!(l = got)) return -1;
    }
    return jstr_join(vm, sep, l, true, out);
}

int jfilter_sum(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    struct jlist *l;
    struct jval v, sum = a->pos[1].kind == J_MISSING ? jval_int(0) : a->pos[1];
    if (sum.kind == J_STR) return vm_fail(vm, "sum() can't sum strings");
    if (jval_elements(vm, self, &l)) return -1;
    for (size_t i = 0; i < l->n; i++)
        if (jval_path(vm, l->v[i], a->pos[0], jval_kind(J_MISSING), &v) ||
            jval_add(vm, sum, v, &sum))
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
        if (jlist_add(vm, row, l->v[i])) return -1;
    for (; fill && with.kind != J_MISSING && with.kind != J_NONE; fill--)
        if (jlist_add(vm, row, with)) return -1;
    return jlist_add(vm, r, jval_list(row, J_LIST));
}

int jfilter_batch(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    struct jlist *l, *r = jlist_new(vm, 0);
    int64_t n;
    if (!r || jval_elements(vm, self, &l) || jarg_int(vm, a->pos[0], 1, &n)) return -1;
    if (n < 1) return vm_fail(vm, "batch expects a positive number");
    for (size_t at = 0; at < l->n; at += (size_t)n) {
        size_t left = l->n - at, take = left < (size_t)n ? left : (size_t)n;
        if (add_row(vm, r, l, at, at + take, (size_t)n - take, a->pos[1])) return -1;
    }
    return jval_iter(vm, r, out);
}

int jfilter_slice(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    struct jlist *l, *r = jlist_new(vm, 0);
    int64_t n;
    if (!r || jval_elements(vm, self, &l) || jarg_int(vm, a->pos[0], 1, &n)) return -1;
    if (n < 1 || n > VM_MAX_RANGE) return vm_fail(vm, "slice expects a positive number");
    size_t at = 0;
    for (int64_t i = 0; i < n; i++) {
        bool more = (size_t)i < l->n % (size_t)n;
        size_t take = l->n / (size_t)n + more;
        if (add_row(vm, r, l, at, at + take, !more, a->pos[1])) return -1;
        at += take;
    }
    return jval_iter(vm, r, out);
}
