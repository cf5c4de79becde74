/* SPDX-License-Identifier: Apache-2.0 */
/* Calls of values, macros and call blocks. */
#include <string.h>

#include "jinja/ast.h"

/* Returns a keyword argument and marks it as used; NULL: it is not given. */
static const struct jval *take_keyword(const struct jargs *a, const struct jstr *name, bool *used)
{
    for (size_t i = 0; i < a->nkw; i++)
        if (!used[i] && str_eq(jstr_str(a->names[i]), jstr_str(name))) {
            used[i] = true;
            return &a->kw[i];
        }
    return NULL;
}

static int bind_params(struct vm *vm, const struct node *m, const struct jargs *a, bool *used)
{
    uint32_t ndefaults = m->nkids - 1;
    if (vm_charge_items(vm, (size_t)m->nparams * (a->nkw + m->nparams))) return -1;
    struct scope *s = vm->scope;
    struct jval v;
    /* A default may refer to the parameters before it. */
    for (uint32_t i = 0; i < m->nparams; i++) {
        const struct jval *k = i < a->npos ? &a->pos[i] : take_keyword(a, m->param_names[i], used);
        if (k && jinja_scope_set(vm, s, m->params[i], *k)) return -1;
        if (i >= a->npos && !k) {
            v = jval_undef(UNDEF_PARAM, J_UNDEF, m->param_names[i]);
            uint32_t d = i + ndefaults;
            if (d >= m->nparams && jinja_eval(vm, m->kids[1 + d - m->nparams], &v)) return -1;
            if (jinja_scope_set(vm, s, m->params[i], v)) return -1;
        }
    }
    return 0;
}

/* Binds caller, kwargs and varargs where the body uses them. Other arguments that no parameter
 * takes are an error. */
static int bind_rest(struct vm *vm, const struct node *m, const struct jargs *a, bool *used)
{
    static const struct jstr caller = {.p = "caller", .n = 6};
    struct scope *s = vm->scope;
    struct jdict *kwargs = jdict_new(vm);
    struct jlist *varargs = jlist_new(vm, 0);
    if (!kwargs || !varargs) return -1;
    if (m->flag & MACRO_CALLER) {
        const struct jval *k = take_keyword(a, &caller, used);
        struct jval v = k ? *k : jval_undef(UNDEF_NAME, J_UNDEF, &caller);
        if (jinja_scope_set(vm, s, vm->t->sym_caller, v)) return -1;
    }
    for (size_t i = 0; i < a->nkw; i++) {
        if (used[i]) continue;
        if (!(m->flag & MACRO_KWARGS))
            return vm_fail(vm, "macro '%.*s' takes no keyword argument '%.*s'",
                           STR_FMT(jstr_str(m->name)), STR_FMT(jstr_str(a->names[i])));
        if (jdict_set(vm, kwargs, jval_str(a->names[i]), a->kw[i])) return -1;
    }
    for (size_t i = m->nparams; i < a->npos; i++) {
        if (!(m->flag & MACRO_VARARGS))
            return vm_fail(vm, "macro '%.*s' takes not more than %u argument(s)",
                           STR_FMT(jstr_str(m->name)), (unsigned)m->nparams);
        if (jlist_add(vm, varargs, a->pos[i])) return -1;
    }
    if (m->flag & MACRO_KWARGS &&
        jinja_scope_set(vm, s, vm->t->sym_kwargs, (struct jval){.kind = J_DICT, .u.dict = kwargs}))
        return -1;
    if (!(m->flag & MACRO_VARARGS)) return 0;
    return jinja_scope_set(vm, s, vm->t->sym_varargs, jval_list(varargs, J_TUPLE));
}

static int call_macro(struct vm *vm, struct jmacro *m, const struct jargs *a, struct jval *out)
{
    struct scope *scope = vm->scope;
    bool *used = vm_alloc(vm, a->nkw, sizeof *used);
    if (!used) return -1;
    if (vm->macros == VM_MAX_MACROS)
        return vm_fail(vm, "macros call each other more than %d deep", VM_MAX_MACROS);
    vm->macros++;
    vm->scope = m->scope;
    int rc = -1;
    if (jinja_scope_push(vm) && !bind_params(vm, m->node, a, used) &&
        !bind_rest(vm, m->node, a, used))
        rc = jinja_capture(vm, m->node->kids[0], out);
    vm->scope = scope;
    vm->macros--;
    return rc;
}

int jinja_macro_make(struct vm *vm, const struct node *n, struct jval *out)
{
    struct jmacro *m = vm_alloc(vm, 1, sizeof *m);
    if (!m) return -1;
    *m = (struct jmacro){n, vm->scope};
    for (struct scope *s = vm->scope; s && !s->captured; s = s->parent) s->captured = true;
    *out = (struct jval){.kind = J_MACRO, .u.macro = m};
    return 0;
}

int jinja_call_block(struct vm *vm, const struct node *n)
{
    static const struct jstr name = {.p = "caller", .n = 6};
    const struct node *call = n->kids[0];
    struct jval f, v;
    struct jargs a;
    if (jinja_eval(vm, call->kids[0], &f) || jinja_eval_args(vm, call->args, &a)) return -1;
    struct jval *kw = vm_alloc(vm, a.nkw + 1, sizeof *kw);
    const struct jstr **names = vm_alloc(vm, a.nkw + 1, sizeof *names);
    if (!kw || !names) return -1;
    if (a.nkw) {
        memcpy(kw, a.kw, a.nkw * sizeof *kw);
        memcpy(names, a.names, a.nkw * sizeof *names);
    }
    names[a.nkw] = &name;
    if (jinja_macro_make(vm, n->kids[1], &kw[a.nkw])) return -1;
    a.kw = kw;
    a.names = names;
    a.nkw++;
    if (vm_call(vm, f, &a, &v)) return -1;
    return jinja_print(vm, v);
}

/* ---- blocks ---- */
/* A block sees the variables of the template, and those around it only when it is `scoped`. */
int jinja_block(struct vm *vm, const struct node *n)
{
    struct jmacro m = {n, n->flag & BLOCK_SCOPED ? vm->scope : vm->top};
    struct jargs none = {0};
    struct jval text;
    if (n->flag & BLOCK_REQUIRED)
        return vm_fail(vm, "required block `%.*s` is not found", STR_FMT(jstr_str(n->name)));
    if (call_macro(vm, &m, &none, &text)) return -1;
    return jinja_print(vm, text);
}

int jinja_self(struct vm *vm)
{
    const struct jinja *t = vm->t;
    struct jdict *d = t->uses_self ? jdict_new(vm) : NULL;
    if (!d) return t->uses_self ? -1 : 0;
    for (size_t i = 0; i < t->nblocks; i++) {
        struct jmacro *m = vm_alloc(vm, 1, sizeof *m);
        if (!m) return -1;
        *m = (struct jmacro){t->blocks[i], vm->top};
        if (jdict_set(vm, d, jval_str(m->node->name), (struct jval){.kind = J_MACRO, .u.macro = m}))
            return -1;
    }
    vm->top->captured = true;
    return jinja_scope_set(vm, vm->top, t->sym_self, (struct jval){.kind = J_NS, .u.dict = d});
}

int vm_call(struct vm *vm, struct jval f, const struct jargs *a, struct jval *out)
{
    switch (f.kind) {
    case J_FUNC:
        return jfunc_call(vm, f.u.func, jval_none(), a, out);
    case J_METHOD:
        return jfunc_call(vm, f.u.method->func, f.u.method->self, a, out);
    case J_MACRO:
        return call_macro(vm, f.u.macro, a, out);
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
