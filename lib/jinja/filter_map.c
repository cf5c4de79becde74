/* SPDX-License-Identifier: Apache-2.0 */
/* Filters that apply a filter or a test to each item: map, select, reject. */
#include "jinja/filters.h"

static int map_item(struct vm *vm, const struct jfunc *f, const struct jargs *a, struct jval path,
                    struct jval otherwise, struct jval v, struct jval *out)
{
    struct jargs rest = *a;
    if (!f) return jval_path(vm, v, path, otherwise, out);
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
    if (!f && path.kind == J_MISSING) return vm_fail(vm, "map expects the name of a filter");
    if (jval_elements(vm, self, &l)) return -1;
    for (size_t i = 0; i < l->n; i++)
        if (map_item(vm, f, a, path, otherwise, l->v[i], &v) || jlist_add(vm, r, v)) return -1;
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
    if (jval_elements(vm, self, &l)) return -1;
    for (size_t i = 0; i < l->n; i++) {
        struct jval v, yes;
        if (jval_path(vm, l->v[i], path, jval_kind(J_MISSING), &v)) return -1;
        yes = v;
        if (f && jfunc_call(vm, f, v, &rest, &yes)) return -1;
        if (jval_truth(yes) == keep && jlist_add(vm, r, l->v[i])) return -1;
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
