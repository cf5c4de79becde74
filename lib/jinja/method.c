/* SPDX-License-Identifier: Apache-2.0 */
/* Methods of dict, list, tuple and cycler; look-up of a method by name. */
#include <string.h>

#include "jinja/filters.h"

/* ---- dict ---- */
static int view(struct vm *vm, const struct jdict *d, char which, struct jval *out)
{
    struct jlist *l = jlist_new(vm, d->n);
    struct jval v;
    if (!l) return -1;
    for (size_t i = 0; i < d->n; i++) {
        v = which == 'k' ? d->keys[i] : d->vals[i];
        if (which == 'i' && jval_pair(vm, d->keys[i], d->vals[i], &v)) return -1;
        if (jlist_add(vm, l, v)) return -1;
    }
    *out = jval_list(l, J_VIEW);
    out->aux = (uint8_t)which;
    return 0;
}
JFN(dict_items, view(vm, self.u.dict, 'i', out))
JFN(dict_keys, view(vm, self.u.dict, 'k', out))
JFN(dict_values, view(vm, self.u.dict, 'v', out))
static int dict_get(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    if (!jval_hashable(a->pos[0]))
        return vm_fail(vm, "unhashable type: '%s'", jval_type(a->pos[0]));
    const struct jval *v = jdict_get(vm, self.u.dict, a->pos[0]);
    *out = v ? *v : a->pos[1].kind == J_MISSING ? jval_none() : a->pos[1];
    return 0;
}
static int copy(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    (void)vm, (void)a;
    *out = self; /* values are immutable in the sandbox, so the copy is shared */
    return 0;
}

/* ---- list, tuple ---- */
static int list_count(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    int64_t n = 0;
    for (size_t i = 0; i < self.u.list->n; i++) n += jval_eq(vm, self.u.list->v[i], a->pos[0]);
    *out = jval_int(n);
    return 0;
}
static int list_index(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    size_t i = 0;
    while (i < self.u.list->n && !jval_eq(vm, self.u.list->v[i], a->pos[0])) i++;
    *out = jval_int((int64_t)i);
    return i < self.u.list->n ? 0 : vm_fail(vm, "the value is not in the list");
}

/* ---- cycler ---- */
static int cycler_next(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    struct jcycler *c = self.u.cycler;
    (void)vm, (void)a;
    *out = c->list->v[c->pos];
    c->pos = (c->pos + 1) % c->list->n;
    return 0;
}
static int cycler_reset(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    (void)vm, (void)a;
    self.u.cycler->pos = 0;
    *out = jval_none();
    return 0;
}

static const struct jfunc dict_methods[] = {
    {"items", dict_items, "", 0},   {"keys", dict_keys, "", 0},
    {"values", dict_values, "", 0}, {"get", dict_get, "key default", 1},
    {"copy", copy, "", 0},          {"fromkeys", NULL, "", 0},
    {NULL, NULL, NULL, 0}};
static const struct jfunc list_methods[] = {{"count", list_count, "value", 1},
                                            {"index", list_index, "value", 1},
                                            {"copy", copy, "", 0},
                                            {NULL, NULL, NULL, 0}};
static const struct jfunc range_methods[] = {
    {"count", NULL, "", 0}, {"index", NULL, "", 0}, {NULL, NULL, NULL, 0}};
static const struct jfunc cycler_methods[] = {
    {"next", cycler_next, "", 0}, {"reset", cycler_reset, "", 0}, {NULL, NULL, NULL, 0}};

const struct jfunc *jinja_method(struct jval self, struct str name)
{
    const struct jfunc *f = self.kind == J_STR                            ? jinja_str_methods
                            : self.kind == J_DICT                         ? dict_methods
                            : self.kind == J_LIST || self.kind == J_TUPLE ? list_methods
                            : self.kind == J_RANGE                        ? range_methods
                            : self.kind == J_CYCLER                       ? cycler_methods
                                                                          : NULL;
    while (f && f->name && !str_is(name, f->name)) f++;
    return f && f->name && !(self.kind == J_TUPLE && str_is(name, "copy")) ? f : NULL;
}

bool jinja_method_unsafe(struct jval self, struct str name)
{
    static const char *const list[] = {"append", "clear",  "pop",    "reverse", "insert",
                                       "sort",   "extend", "remove", NULL};
    static const char *const dict[] = {"clear", "pop", "popitem", "setdefault", "update", NULL};
    const char *const *k = self.kind == J_LIST ? list : self.kind == J_DICT ? dict : NULL;
    while (k && *k && !str_is(name, *k)) k++;
    return k && *k;
}

int jinja_str_method(struct vm *vm, struct jval self, const char *name, size_t nargs,
                     const struct jargs *a, struct jval *out)
{
    struct jargs first = {.pos = a->pos, .npos = nargs};
    const struct jstr *s;
    if (jval_tostr(vm, self, true, &s)) return -1;
    self = jval_str(s);
    return jfunc_call(vm, jinja_method(self, str_z(name)), self, &first, out);
}
