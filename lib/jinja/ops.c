/* SPDX-License-Identifier: Apache-2.0 */
/* Comparisons as in Python: order and `in`. */
#include <math.h>
#include <string.h>

#include "jinja/ast.h"

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
    if (a.kind == J_STR && b.kind == J_STR) { /* UTF-8 sorts like code points */
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
        return jstr_charge_find(vm, seq.u.s, v.u.s, false);
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
    return 0;
}
