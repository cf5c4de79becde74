/* SPDX-License-Identifier: Apache-2.0 */
/* Calls: binding arguments to the parameters of built-in functions. */
#include <string.h>

#include "jinja/ast.h"

/* The index of a name in "a b c", or -1. *n: how many names there are. */
static int param_index(const char *params, struct str name, int *n)
{
    int found = -1;
    *n = 0;
    for (const char *p = params; *p;) {
        size_t len = strcspn(p, " ");
        if (name.p && str_eq((struct str){p, len}, name)) found = *n;
        ++*n;
        p += len;
        while (*p == ' ') p++;
    }
    return found;
}

int jfunc_call(struct vm *vm, const struct jfunc *f, struct jval self, const struct jargs *a,
               struct jval *out)
{
    struct jval bound[JARGS_MAX];
    struct jargs full = {.pos = bound};
    int n;
    if (!f->fn) return vm_fail(vm, "`%s` is not supported", f->name);
    if (vm_charge(vm, 0)) return -1;
    if (!f->params) return f->fn(vm, self, a, out);
    param_index(f->params, (struct str){0}, &n);
    memset(bound, 0, sizeof bound);
    if (a->npos > (size_t)n)
        return vm_fail(vm, "%s() takes at most %d arguments (%zu given)", f->name, n, a->npos);
    for (size_t i = 0; i < a->npos; i++) bound[i] = a->pos[i];
    for (size_t i = 0; i < a->nkw; i++) {
        int at = param_index(f->params, jstr_str(a->names[i]), &n);
        if (at < 0)
            return vm_fail(vm, "%s() got an unexpected keyword argument '%.*s'", f->name,
                           STR_FMT(jstr_str(a->names[i])));
        if (bound[at].kind != J_MISSING)
            return vm_fail(vm, "%s() got two values for '%.*s'", f->name,
                           STR_FMT(jstr_str(a->names[i])));
        bound[at] = a->kw[i];
    }
    for (int i = 0; i < f->required; i++)
        if (bound[i].kind == J_MISSING)
            return vm_fail(vm, "%s() lacks its argument %d of \"%s\"", f->name, i + 1, f->params);
    full.npos = (size_t)n;
    return f->fn(vm, self, &full, out);
}

int vm_call(struct vm *vm, struct jval f, const struct jargs *a, struct jval *out)
{
    switch (f.kind) {
    case J_FUNC:
        return jfunc_call(vm, f.u.func, jval_none(), a, out);
    case J_METHOD:
        return jfunc_call(vm, f.u.method->func, f.u.method->self, a, out);
    case J_MACRO:
        return jinja_macro_call(vm, f.u.macro, a, out);
    case J_LOOP:
        return jinja_loop_call(vm, f.u.loop, a, out);
    case J_JOINER:
        if (f.u.cycler->pos++ == 0) return jval_text(vm, "", 0, out);
        *out = jval_str(f.u.cycler->sep);
        return 0;
    case J_UNDEF:
        return vm_undefined(vm, f);
    default:
        return vm_fail(vm, "'%s' object is not callable", jval_type(f));
    }
}
