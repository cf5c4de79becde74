/* SPDX-License-Identifier: Apache-2.0 */
/* Arguments: binding them to the parameters of built-in functions, and reading them. */
#include <string.h>

#include "jinja/filters.h"

/* Returns the index of a name in a list such as "a b c", or -1; *n is the number of names. */
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
            return vm_fail(vm, "%s() lacks argument %d of \"%s\"", f->name, i + 1, f->params);
    full.npos = (size_t)n;
    return f->fn(vm, self, &full, out);
}

int jarg_int(struct vm *vm, struct jval v, int64_t otherwise, int64_t *i)
{
    *i = otherwise;
    if (v.kind == J_MISSING || v.kind == J_NONE || jval_is_int(v, i)) return 0;
    return vm_fail(vm, "an integer is expected, not %s", jval_type(v));
}

int jarg_str(struct vm *vm, struct jval v, const struct jstr **s)
{
    *s = v.kind == J_STR ? v.u.s : NULL;
    if (*s || v.kind == J_MISSING || v.kind == J_NONE) return 0;
    return vm_fail(vm, "a string is expected, not %s", jval_type(v));
}

int jarg_need_str(struct vm *vm, struct jval v, const struct jstr **s)
{
    if (jarg_str(vm, v, s)) return -1;
    return *s ? 0 : vm_fail(vm, "a string is expected, not %s", jval_type(v));
}
