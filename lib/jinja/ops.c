/* SPDX-License-Identifier: Apache-2.0 */
/* Python's types and comparisons: truth, equality, order, `in`. */
#include <math.h>
#include <string.h>

#include "jinja/ast.h"

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

/* Tuples in tuples are keys down to a few levels only: nobody writes more. */
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

static bool dict_eq(struct vm *vm, const struct jdict *a, const struct jdict *b)
{
    if (a->n != b->n) return false;
    for (size_t i = 0; i < a->n; i++) {
        const struct jval *v = jdict_get(vm, b, a->keys[i]);
        if (!v || !jval_eq(vm, a->vals[i], *v)) return false;
    }
    return true;
}

/* Values are trees (nothing can be put into itself), so this ends; their depth is bounded by that
 * of the JSON reader and of the template. */
bool jval_eq(struct vm *vm, struct jval a, struct jval b)
{
    int64_t i, k;
    double f, g;
    if (vm && ++vm->steps > VM_MAX_STEPS) return false; /* the next vm_charge reports it */
    if (jval_is_int(a, &i) && jval_is_int(b, &k)) return i == k;
    if (jval_is_real(a, &f) && jval_is_real(b, &g)) return f == g;
    if (a.kind != b.kind) return false;
    switch (a.kind) {
    case J_UNDEF:
    case J_NONE:
        return true;
    case J_STR:
    case J_BIG:
        if (vm) vm->steps += a.u.s->n / 64;
        return str_eq(jstr_str(a.u.s), jstr_str(b.u.s));
    case J_LIST:
    case J_TUPLE:
        if (a.u.list == b.u.list) return true;
        if (a.u.list->n != b.u.list->n) return false;
        for (size_t n = 0; n < a.u.list->n; n++)
            if (!jval_eq(vm, a.u.list->v[n], b.u.list->v[n])) return false;
        return true;
    case J_DICT:
        return a.u.dict == b.u.dict || dict_eq(vm, a.u.dict, b.u.dict);
    case J_RANGE:
        return a.u.range->n == b.u.range->n &&
               (!a.u.range->n || (a.u.range->start == b.u.range->start &&
                                  (a.u.range->n == 1 || a.u.range->step == b.u.range->step)));
    default:
        return a.u.s == b.u.s;
    }
}

static int order_of(bool less, bool greater) { return less ? -1 : greater; }

int jval_compare(struct vm *vm, struct jval a, struct jval b, int *order)
{
    int64_t i, k;
    double f, g;
    if (vm_charge(vm, 0)) return -1;
    if (a.kind == J_UNDEF) return vm_undefined(vm, a);
    if (b.kind == J_UNDEF) return vm_undefined(vm, b);
    if (jval_is_int(a, &i) && jval_is_int(b, &k)) {
        *order = order_of(i<k, i> k);
        return 0;
    }
    if (jval_is_real(a, &f) && jval_is_real(b, &g)) {
        *order = isnan(f) || isnan(g) ? 2 : order_of(f<g, f> g);
        return 0;
    }
    if (a.kind == J_STR && b.kind == J_STR) { /* the order of UTF-8 is that of code points */
        size_t n = a.u.s->n < b.u.s->n ? a.u.s->n : b.u.s->n;
        int c = n ? memcmp(a.u.s->p, b.u.s->p, n) : 0;
        *order = c ? order_of(c<0, c> 0) : order_of(a.u.s->n<b.u.s->n, a.u.s->n> b.u.s->n);
        return vm_charge(vm, n);
    }
    if (a.kind == b.kind && (a.kind == J_LIST || a.kind == J_TUPLE)) {
        const struct jlist *x = a.u.list, *y = b.u.list;
        for (size_t n = 0; n < x->n && n < y->n; n++)
            if (!jval_eq(vm, x->v[n], y->v[n])) return jval_compare(vm, x->v[n], y->v[n], order);
        *order = order_of(x->n<y->n, x->n> y->n);
        return 0;
    }
    return vm_fail(vm, "'<' not supported between instances of '%s' and '%s'", jval_type(a),
                   jval_type(b));
}

int jval_contains(struct vm *vm, struct jval seq, struct jval v, bool *yes)
{
    struct jlist *l;
    *yes = false;
    if (seq.kind == J_STR) {
        if (v.kind != J_STR)
            return vm_fail(vm, "'in <string>' requires string as left operand, not %s",
                           jval_type(v));
        *yes = jstr_find(seq.u.s, 0, seq.u.s->n, v.u.s, false) != SIZE_MAX;
        return vm_charge(vm, seq.u.s->n);
    }
    if (seq.kind == J_DICT) {
        if (!jval_hashable(v)) return vm_fail(vm, "unhashable type: '%s'", jval_type(v));
        *yes = jdict_get(vm, seq.u.dict, v);
        return vm_charge(vm, 0);
    }
    if (!jval_iterable(seq))
        return vm_fail(vm, "argument of type '%s' is not iterable", jval_type(seq));
    if (jval_elements(vm, seq, &l)) return -1;
    for (size_t i = 0; i < l->n && !*yes; i++) *yes = jval_eq(vm, l->v[i], v);
    return vm_charge(vm, l->n);
}
