/* SPDX-License-Identifier: Apache-2.0 */
/* Running the statements of a template. */
#include <string.h>

#include "chat/jinja_ast.h"

int jinja_scope_set(struct vm *vm, struct scope *s, uint32_t sym, struct jval v)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->b[i].sym == sym) {
            s->b[i].v = v;
            return 0;
        }
    if (s->n == s->cap) {
        size_t cap = s->cap ? s->cap * 2 : 4;
        struct binding *grown = vm_alloc(vm, cap, sizeof *grown);
        if (!grown) return -1;
        if (s->n) memcpy(grown, s->b, s->n * sizeof *grown);
        s->b = grown;
        s->cap = cap;
    }
    s->b[s->n++] = (struct binding){sym, v};
    return 0;
}

static struct scope *scope_push(struct vm *vm)
{
    struct scope *s = vm_alloc(vm, 1, sizeof *s);
    if (!s) return NULL;
    s->parent = vm->scope;
    return vm->scope = s;
}

/* The scope of a loop's next turn: the last one, emptied, unless a macro holds on to it. */
static struct scope *scope_again(struct vm *vm, struct scope *s)
{
    if (!s || s->captured) return scope_push(vm);
    s->n = 0;
    return vm->scope = s;
}

static int assign_tuple(struct vm *vm, const struct node *target, struct jval v)
{
    struct jlist *l;
    if (jval_elements(vm, v, &l) < 0) return -1;
    if (l->n != target->nkids)
        return vm_fail(vm, "%s values to unpack (expected %u, got %zu)",
                       l->n > target->nkids ? "too many" : "not enough", (unsigned)target->nkids,
                       l->n);
    for (uint32_t i = 0; i < target->nkids; i++)
        if (jinja_assign(vm, target->kids[i], l->v[i]) < 0) return -1;
    return 0;
}

int jinja_assign(struct vm *vm, const struct node *target, struct jval v)
{
    struct jval ns;
    if (target->kind == N_NAME) return jinja_scope_set(vm, vm->scope, target->sym, v);
    if (target->kind == N_TUPLE) return assign_tuple(vm, target, v);
    struct node name = *target;
    name.kind = N_NAME;
    if (jinja_eval(vm, &name, &ns) < 0) return -1;
    if (ns.kind != J_NS) return vm_fail(vm, "cannot assign attribute on non-namespace object");
    if (target->name->n && target->name->p[0] == '_')
        return vm_fail(vm, "names that begin with _ cannot be put into a namespace");
    return jdict_set(vm, ns.u.dict, jval_str(target->name), v);
}

/* Runs a body into a string of its own. *flow: how it ended. */
static int capture(struct vm *vm, const struct node *body, int *flow, struct jval *out)
{
    struct jbuild b, *outer = vm->out;
    jbuild_init(&b, vm);
    vm->out = &b;
    *flow = jinja_exec(vm, body);
    vm->out = outer;
    return *flow < 0 ? -1 : jbuild_done(&b, out);
}

/* As capture, for bodies that are functions in Python: a loop outside cannot be left from there. */
static int capture_function(struct vm *vm, const struct node *body, struct jval *out)
{
    int flow;
    if (capture(vm, body, &flow, out) < 0) return -1;
    return flow == FLOW_NEXT ? 0 : vm_fail(vm, "break or continue outside a loop");
}

static int print(struct vm *vm, struct jval v)
{
    jbuild_value(vm->out, v);
    return vm->out->failed ? -1 : 0;
}

/* ---- for ---- */
/* Binds the loop's target; *keep: whether the loop's filter (when asked) lets the item pass. */
static int loop_item(struct vm *vm, const struct node *n, struct jval item, bool filter, bool *keep)
{
    struct jval yes;
    if (jinja_assign(vm, n->kids[0], item) < 0) return -1;
    *keep = true;
    if (!filter || !n->kids[2]) return 0;
    if (jinja_eval(vm, n->kids[2], &yes) < 0) return -1;
    *keep = jval_truth(yes);
    return 0;
}

/* The items that pass the filter of the loop, before its body runs: `loop` counts only those. */
static int filter_items(struct vm *vm, const struct node *n, struct jlist **items)
{
    struct scope *outer = vm->scope;
    struct jlist *l = jlist_new(vm, 0);
    bool keep;
    if (!l) return -1;
    for (size_t i = 0; i < (*items)->n; i++) {
        if (!scope_push(vm) || loop_item(vm, n, (*items)->v[i], true, &keep) < 0) return -1;
        vm->scope = outer;
        if (keep && jlist_add(vm, l, (*items)->v[i]) < 0) return -1;
    }
    *items = l;
    return 0;
}

/* 1: the body ran, 0: the filter left the item out; *flow as the body ended. */
static int loop_turn(struct vm *vm, const struct node *n, struct jloop *loop, bool filter,
                     int *flow)
{
    bool keep;
    if (loop_item(vm, n, loop->items->v[loop->at], filter, &keep) < 0) return -1;
    if (!keep) return 0;
    if (jinja_scope_set(vm, vm->scope, vm->t->sym_loop,
                        (struct jval){.kind = J_LOOP, .u.loop = loop}) < 0)
        return -1;
    *flow = jinja_exec(vm, n->kids[3]);
    return *flow < 0 ? -1 : 1;
}

static int run_loop(struct vm *vm, const struct node *n, struct jval iterable, int64_t depth0)
{
    struct scope *outer = vm->scope, *body = NULL;
    struct jloop *loop = vm_alloc(vm, 1, sizeof *loop);
    bool ran = false, early = n->kids[2] && (n->flag & (FOR_USES_LOOP | FOR_RECURSIVE));
    int rc = 0, flow = FLOW_NEXT;
    if (!loop || jval_elements(vm, iterable, &loop->items) < 0) return -1;
    if (early && filter_items(vm, n, &loop->items) < 0) return -1;
    loop->node = n;
    loop->scope = outer;
    loop->depth0 = depth0;
    for (; loop->at < loop->items->n && flow != FLOW_BREAK; loop->at++) {
        vm->scope = outer;
        if (!(body = scope_again(vm, body)) || (rc = loop_turn(vm, n, loop, !early, &flow)) < 0)
            return -1;
        ran |= rc == 1;
    }
    vm->scope = outer;
    if (ran || !n->kids[4]) return FLOW_NEXT;
    if (!scope_push(vm)) return -1;
    rc = jinja_exec(vm, n->kids[4]);
    vm->scope = outer;
    return rc;
}

static int exec_for(struct vm *vm, const struct node *n)
{
    struct jval iterable;
    if (jinja_eval(vm, n->kids[1], &iterable) < 0) return -1;
    return run_loop(vm, n, iterable, 0);
}

/* loop(items) in a recursive loop: its text. */
int jinja_loop_call(struct vm *vm, struct jloop *l, const struct jargs *a, struct jval *out)
{
    struct scope *scope = vm->scope;
    struct jbuild b, *outer = vm->out;
    if (!(l->node->flag & FOR_RECURSIVE))
        return vm_fail(vm, "the loop must have the 'recursive' marker to be called recursively");
    if (a->npos != 1 || a->nkw) return vm_fail(vm, "loop() wants one argument");
    if (vm->macros == VM_MAX_MACROS) return vm_fail(vm, "loops are nested too deeply");
    vm->macros++;
    jbuild_init(&b, vm);
    vm->out = &b;
    vm->scope = l->scope;
    int rc = run_loop(vm, l->node, a->pos[0], l->depth0 + 1);
    vm->scope = scope;
    vm->out = outer;
    vm->macros--;
    return rc < 0 ? -1 : jbuild_done(&b, out);
}

/* ---- macros ---- */
/* The keyword argument `name`, or NULL; it is marked as used. */
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
    struct scope *s = vm->scope;
    struct jval v;
    /* Given arguments first: a default may refer to any of them. */
    for (uint32_t i = 0; i < m->nparams; i++) {
        const struct jval *k = i < a->npos ? &a->pos[i] : take_keyword(a, m->param_names[i], used);
        if (k && jinja_scope_set(vm, s, m->params[i], *k) < 0) return -1;
        if (i >= a->npos && !k) {
            v = jval_undef(UNDEF_PARAM, J_UNDEF, m->param_names[i]);
            uint32_t d = i + ndefaults;
            if (d >= m->nparams && jinja_eval(vm, m->kids[1 + d - m->nparams], &v) < 0) return -1;
            if (jinja_scope_set(vm, s, m->params[i], v) < 0) return -1;
        }
    }
    return 0;
}

/* varargs, kwargs and caller, where the body asks for them; anything left over is an error. */
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
        if (jinja_scope_set(vm, s, vm->t->sym_caller, v) < 0) return -1;
    }
    for (size_t i = 0; i < a->nkw; i++) {
        if (used[i]) continue;
        if (!(m->flag & MACRO_KWARGS))
            return vm_fail(vm, "macro '%.*s' takes no keyword argument '%.*s'",
                           STR_FMT(jstr_str(m->name)), STR_FMT(jstr_str(a->names[i])));
        if (jdict_set(vm, kwargs, jval_str(a->names[i]), a->kw[i]) < 0) return -1;
    }
    for (size_t i = m->nparams; i < a->npos; i++) {
        if (!(m->flag & MACRO_VARARGS))
            return vm_fail(vm, "macro '%.*s' takes not more than %u argument(s)",
                           STR_FMT(jstr_str(m->name)), (unsigned)m->nparams);
        if (jlist_add(vm, varargs, a->pos[i]) < 0) return -1;
    }
    if (m->flag & MACRO_KWARGS &&
        jinja_scope_set(vm, s, vm->t->sym_kwargs, (struct jval){.kind = J_DICT, .u.dict = kwargs}) <
            0)
        return -1;
    if (!(m->flag & MACRO_VARARGS)) return 0;
    return jinja_scope_set(vm, s, vm->t->sym_varargs, jval_list(varargs, J_TUPLE));
}

int jinja_macro_call(struct vm *vm, struct jmacro *m, const struct jargs *a, struct jval *out)
{
    struct scope *scope = vm->scope;
    bool *used = vm_alloc(vm, a->nkw, sizeof *used);
    if (!used) return -1;
    if (vm->macros == VM_MAX_MACROS)
        return vm_fail(vm, "macros call each other more than %d deep", VM_MAX_MACROS);
    vm->macros++;
    vm->scope = m->scope;
    int rc = -1;
    if (scope_push(vm) && bind_params(vm, m->node, a, used) == 0 &&
        bind_rest(vm, m->node, a, used) == 0)
        rc = capture_function(vm, m->node->kids[0], out);
    vm->scope = scope;
    vm->macros--;
    return rc;
}

static int make_macro(struct vm *vm, const struct node *n, struct jval *out)
{
    struct jmacro *m = vm_alloc(vm, 1, sizeof *m);
    if (!m) return -1;
    *m = (struct jmacro){n, vm->scope};
    for (struct scope *s = vm->scope; s && !s->captured; s = s->parent) s->captured = true;
    *out = (struct jval){.kind = J_MACRO, .u.macro = m};
    return 0;
}

static int exec_call_block(struct vm *vm, const struct node *n)
{
    static const struct jstr name = {.p = "caller", .n = 6};
    const struct node *call = n->kids[0];
    struct jval f, v;
    struct jargs a;
    if (jinja_eval(vm, call->kids[0], &f) < 0 || jinja_eval_args(vm, call->args, &a) < 0) return -1;
    struct jval *kw = vm_alloc(vm, a.nkw + 1, sizeof *kw);
    const struct jstr **names = vm_alloc(vm, a.nkw + 1, sizeof *names);
    if (!kw || !names) return -1;
    if (a.nkw) {
        memcpy(kw, a.kw, a.nkw * sizeof *kw);
        memcpy(names, a.names, a.nkw * sizeof *names);
    }
    names[a.nkw] = &name;
    if (make_macro(vm, n->kids[1], &kw[a.nkw]) < 0) return -1;
    a.kw = kw;
    a.names = names;
    a.nkw++;
    if (vm_call(vm, f, &a, &v) < 0) return -1;
    return print(vm, v);
}

/* ---- the others ---- */
static int exec_if(struct vm *vm, const struct node *n)
{
    uint32_t last = n->nkids - 1;
    struct jval test;
    for (uint32_t i = 0; i < last; i += 2) {
        if (jinja_eval(vm, n->kids[i], &test) < 0) return -1;
        if (jval_truth(test)) return jinja_exec(vm, n->kids[i + 1]);
    }
    return n->kids[last] ? jinja_exec(vm, n->kids[last]) : FLOW_NEXT;
}

/* The filters of a block, innermost first, on its text. */
static int block_filters(struct vm *vm, const struct node *f, struct jval text, struct jval *out)
{
    if (!f) {
        *out = text;
        return 0;
    }
    if (block_filters(vm, f->kids[0], text, &text) < 0) return -1;
    return jinja_eval_filter(vm, f, text, out);
}

static int exec_set_block(struct vm *vm, const struct node *n)
{
    struct scope *outer = vm->scope;
    struct jval text;
    int flow;
    if (!scope_push(vm) || capture(vm, n->kids[2], &flow, &text) < 0 ||
        block_filters(vm, n->kids[1], text, &text) < 0)
        return -1;
    vm->scope = outer;
    return jinja_assign(vm, n->kids[0], text) < 0 ? -1 : flow;
}

static int exec_filter_block(struct vm *vm, const struct node *n)
{
    struct scope *outer = vm->scope;
    struct jval text;
    int flow;
    if (!scope_push(vm) || capture(vm, n->kids[1], &flow, &text) < 0 ||
        block_filters(vm, n->kids[0], text, &text) < 0)
        return -1;
    vm->scope = outer;
    return print(vm, text) < 0 ? -1 : flow;
}

static int exec_generation(struct vm *vm, const struct node *n)
{
    struct scope *outer = vm->scope;
    struct jval text;
    if (!scope_push(vm) || capture_function(vm, n->kids[0], &text) < 0 ||
        jstr_generation(vm, text.u.s, &text) < 0)
        return -1;
    vm->scope = outer;
    return print(vm, text);
}

static int exec_with(struct vm *vm, const struct node *n)
{
    struct scope *outer = vm->scope;
    struct jlist *values = jlist_new(vm, n->nkids / 2);
    struct jval v;
    if (!values) return -1;
    for (uint32_t i = 2; i < n->nkids; i += 2) /* in the outer scope, all of them */
        if (jinja_eval(vm, n->kids[i], &v) < 0 || jlist_add(vm, values, v) < 0) return -1;
    if (!scope_push(vm)) return -1;
    for (uint32_t i = 1; i < n->nkids; i += 2)
        if (jinja_assign(vm, n->kids[i], values->v[i / 2]) < 0) return -1;
    int flow = jinja_exec(vm, n->kids[0]);
    vm->scope = outer;
    return flow;
}

static int exec_scope(struct vm *vm, const struct node *n)
{
    struct scope *outer = vm->scope;
    if (!scope_push(vm)) return -1;
    int flow = jinja_exec(vm, n->kids[0]);
    vm->scope = outer;
    return flow;
}

static int exec_body(struct vm *vm, const struct node *n)
{
    int flow = FLOW_NEXT;
    for (uint32_t i = 0; i < n->nkids && flow == FLOW_NEXT; i++) flow = jinja_exec(vm, n->kids[i]);
    return flow;
}

static int exec_node(struct vm *vm, const struct node *n)
{
    struct jval v;
    switch (n->kind) {
    case N_BODY:
        return exec_body(vm, n);
    case N_DATA:
        return print(vm, n->value);
    case N_PRINT:
        return jinja_eval(vm, n->kids[0], &v) < 0 ? -1 : print(vm, v);
    case N_IF:
        return exec_if(vm, n);
    case N_FOR:
        return exec_for(vm, n);
    case N_SET:
        if (jinja_eval(vm, n->kids[1], &v) < 0) return -1;
        return jinja_assign(vm, n->kids[0], v);
    case N_SETBLOCK:
        return exec_set_block(vm, n);
    case N_MACRO:
        if (make_macro(vm, n, &v) < 0) return -1;
        return jinja_scope_set(vm, vm->scope, n->sym, v);
    case N_CALLBLOCK:
        return exec_call_block(vm, n);
    case N_FILTERBLOCK:
        return exec_filter_block(vm, n);
    case N_WITH:
        return exec_with(vm, n);
    case N_SCOPE:
        return exec_scope(vm, n);
    case N_GENERATION:
        return exec_generation(vm, n);
    case N_BREAK:
        return FLOW_BREAK;
    case N_CONTINUE:
        return FLOW_CONTINUE;
    default:
        return vm_fail(vm, "this is not a statement");
    }
}

int jinja_exec(struct vm *vm, const struct node *n)
{
    if (vm_enter(vm, n) < 0) return -1;
    int flow = exec_node(vm, n);
    vm_leave(vm);
    return flow;
}

static int set_variables(struct vm *vm, const struct jinja_var *vars, size_t nvars)
{
    for (size_t i = 0; i < nvars; i++)
        for (size_t k = 0; k < vm->t->nsymbols; k++)
            if (str_is(jstr_str(vm->t->symbols[k]), vars[i].name) &&
                jinja_scope_set(vm, vm->scope, (uint32_t)k, vars[i].value) < 0)
                return -1;
    return 0;
}

int jinja_render(const struct jinja *t, struct vm *vm, const struct jinja_var *vars, size_t nvars,
                 const struct jstr **out)
{
    struct jval text;
    vm->t = t;
    if (!scope_push(vm) || set_variables(vm, vars, nvars) < 0 || !scope_push(vm) ||
        capture_function(vm, t->body, &text) < 0)
        return -1;
    *out = text.u.s;
    return 0;
}
