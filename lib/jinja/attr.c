/* SPDX-License-Identifier: Apache-2.0 */
/* Attributes and items of values: v.name and v[key]. */
#include "jinja/ast.h"

static int undef(struct vm *vm, struct jval v, enum undef_why why, struct jval name,
                 struct jval *out)
{
    const struct jstr *s;
    if (jval_tostr(vm, name, true, &s)) return -1;
    *out = jval_undef(why, (enum jkind)v.kind, s);
    return 0;
}

/* Looks up an attribute or method of the Python object. 1: found, 0: there is none, -1: error. */
static int attribute(struct vm *vm, struct jval v, const struct jstr *name, struct jval *out)
{
    struct str s = jstr_str(name);
    if (v.kind == J_NS) {
        const struct jval *f = jdict_get(vm, v.u.dict, jval_str(name));
        if (f) *out = *f;
        return f ? 1 : 0;
    }
    if (v.kind == J_LOOP) return jinja_loop_attr(vm, v.u.loop, name, out);
    if (v.kind == J_CYCLER && str_is(s, "current")) {
        *out = v.u.cycler->list->v[v.u.cycler->pos];
        return 1;
    }
    if (v.kind == J_MACRO && str_is(s, "name")) {
        *out = jval_str(v.u.macro->node->name);
        return 1;
    }
    if (v.kind == J_TUPLE && v.u.list->group && (str_is(s, "grouper") || str_is(s, "list"))) {
        *out = v.u.list->v[str_is(s, "list")];
        return 1;
    }
    if (jinja_method_unsafe(v, s)) return undef(vm, v, UNDEF_UNSAFE, jval_str(name), out) ? -1 : 1;
    const struct jfunc *f = jinja_method(v, s);
    if (!f) return 0;
    struct jmethod *m = vm_alloc(vm, 1, sizeof *m);
    if (!m) return -1;
    *m = (struct jmethod){v, f};
    *out = (struct jval){.kind = J_METHOD, .u.method = m};
    return 1;
}

int jval_getattr(struct vm *vm, struct jval v, const struct jstr *name, struct jval *out)
{
    if (v.kind == J_UNDEF) return vm_undefined(vm, v);
    int rc = attribute(vm, v, name, out);
    if (rc) return rc < 0 ? -1 : 0;
    const struct jval *item = v.kind == J_DICT ? jdict_get(vm, v.u.dict, jval_str(name)) : NULL;
    if (!item) return undef(vm, v, UNDEF_ATTR, jval_str(name), out);
    *out = *item;
    return vm_charge(vm, 0);
}

/* Looks up v[key] as Python does. 1: found, 0: there is none, -1: error. */
static int item(struct vm *vm, struct jval v, struct jval key, struct jval *out)
{
    int64_t i, n;
    if (v.kind == J_DICT) {
        const struct jval *f = jdict_get(vm, v.u.dict, key);
        if (f) *out = *f;
        return f ? 1 : 0;
    }
    if (v.kind != J_LIST && v.kind != J_TUPLE && v.kind != J_STR && v.kind != J_RANGE) return 0;
    if (!jval_is_int(key, &i)) return 0;
    if (jval_length(vm, v, &n)) return -1;
    if (i < 0) i += n;
    if (i < 0 || i >= n) return 0;
    if (v.kind == J_RANGE) {
        *out = jval_int(v.u.range->start + i * v.u.range->step);
        return 1;
    }
    if (v.kind != J_STR) {
        *out = v.u.list->v[i];
        return 1;
    }
    size_t at = jstr_offset(v.u.s, (size_t)i), len;
    jchar_get(v.u.s->p + at, v.u.s->n - at, &len);
    return jstr_part(vm, v.u.s, at, at + len, out) ? -1 : 1;
}

int jval_getitem(struct vm *vm, struct jval v, struct jval key, struct jval *out)
{
    if (v.kind == J_UNDEF) return vm_undefined(vm, v);
    int rc = item(vm, v, key, out);
    if (!rc && key.kind == J_STR) rc = attribute(vm, v, key.u.s, out);
    if (rc) return rc < 0 ? -1 : vm_charge(vm, 0);
    return undef(vm, v, UNDEF_ATTR, key, out);
}
