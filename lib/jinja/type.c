/* SPDX-License-Identifier: Apache-2.0 */
/* Types of values: their names in Python, truth, numbers, keys, undefined values. */
#include "jinja/value.h"

const char *jval_type(struct jval v)
{
    switch (v.kind) {
    case J_NONE:
        return "NoneType";
    case J_BOOL:
        return "bool";
    case J_INT:
    case J_BIG:
        return "int";
    case J_FLOAT:
        return "float";
    case J_STR:
        return v.u.s && v.u.s->markup ? "Markup" : "str";
    case J_LIST:
        return "list";
    case J_TUPLE:
        return "tuple";
    case J_DICT:
        return "dict";
    case J_VIEW:
        return v.aux == 'k' ? "dict_keys" : v.aux == 'v' ? "dict_values" : "dict_items";
    case J_ITER:
        return "generator";
    case J_RANGE:
        return "range";
    case J_NS:
        return "Namespace";
    case J_LOOP:
        return "LoopContext";
    case J_MACRO:
        return "Macro";
    case J_METHOD:
        return "builtin_function_or_method";
    case J_FUNC:
        return "function";
    case J_CYCLER:
        return "Cycler";
    case J_JOINER:
        return "Joiner";
    default:
        return "Undefined";
    }
}

bool jval_truth(struct jval v)
{
    switch (v.kind) {
    case J_MISSING:
    case J_UNDEF:
    case J_NONE:
        return false;
    case J_BOOL:
        return v.u.truth;
    case J_INT:
        return v.u.i != 0;
    case J_FLOAT:
        return v.u.f != 0;
    case J_STR:
        return v.u.s->n > 0;
    case J_LIST:
    case J_TUPLE:
    case J_VIEW:
        return v.u.list->n > 0;
    case J_DICT:
        return v.u.dict->n > 0;
    case J_RANGE:
        return v.u.range->n > 0;
    default:
        return true;
    }
}

bool jval_is_int(struct jval v, int64_t *i)
{
    if (v.kind == J_INT) *i = v.u.i;
    if (v.kind == J_BOOL) *i = v.u.truth;
    return v.kind == J_INT || v.kind == J_BOOL;
}

bool jval_is_real(struct jval v, double *f)
{
    int64_t i;
    if (v.kind == J_FLOAT) {
        *f = v.u.f;
        return true;
    }
    if (!jval_is_int(v, &i)) return false;
    *f = (double)i;
    return true;
}

/* Tuples nested more than three deep are refused as keys. */
static bool hashable(struct jval v, unsigned depth)
{
    if (v.kind == J_TUPLE) {
        for (size_t i = 0; i < v.u.list->n; i++)
            if (depth == 3 || !hashable(v.u.list->v[i], depth + 1)) return false;
        return true;
    }
    return v.kind != J_LIST && v.kind != J_DICT && v.kind != J_MISSING;
}

bool jval_hashable(struct jval v) { return hashable(v, 0); }

struct jval jval_undef(enum undef_why why, enum jkind of, const struct jstr *name)
{
    return (struct jval){.kind = J_UNDEF,
                         .aux = (uint8_t)((unsigned)why | (unsigned)of << UNDEF_SHIFT),
                         .u.name = name};
}

int vm_undefined(struct vm *vm, struct jval v)
{
    struct str name = v.u.name ? jstr_str(v.u.name) : STR("");
    const char *of = jval_type(jval_kind((enum jkind)(v.aux >> UNDEF_SHIFT)));
    switch (v.aux & ((1 << UNDEF_SHIFT) - 1)) {
    case UNDEF_NAME:
        return vm_fail(vm, "'%.*s' is undefined", STR_FMT(name));
    case UNDEF_ATTR:
        return vm_fail(vm, "'%s object' has no attribute '%.*s'", of, STR_FMT(name));
    case UNDEF_PARAM:
        return vm_fail(vm, "parameter '%.*s' was not provided", STR_FMT(name));
    case UNDEF_UNSAFE:
        return vm_fail(vm, "access to attribute '%.*s' of '%s' object is unsafe", STR_FMT(name),
                       of);
    default:
        return vm_fail(vm, "%.*s", STR_FMT(name));
    }
}
