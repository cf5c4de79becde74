/* SPDX-License-Identifier: Apache-2.0 */
/* Executes the statements of a template. */
#include <string.h>

#include "jinja/ast.h"

int jinja_scope_set(struct vm *vm, struct scope *s, uint32_t sym, struct jval v)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->b[i].sym == sym) {
            s->b[i].v = v;
            return vm_charge_items(vm, i);
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
    return vm_charge_items(vm, s->n);
}

struct scope *jinja_scope_push(struct vm *vm)
{
    struct scope *s = vm_alloc(vm, 1, sizeof *s);
    if (!s) return NULL;
    s->parent = vm->scope;
    return vm->scope = s;
}

static int assign_tuple(struct vm *vm, const struct node *target, struct jval v)
{
    struct jlist *l;
    if (jval_elements(vm, v, &l)) return -1;
    if (l->n != target->nkids)
        return vm_fail(vm, "%s values to unpack (expected %u, got %zu)",
                       l->n > target->nkids ? "too many" : "not enough", (unsigned)target->nkids,
                       l->n);
    for (uint32_t i = 0; i < target->nkids; i++)
        if (jinja_assign(vm, target->kids[i], l->v[i])) return -1;
    return 0;
}

int jinja_assign(struct vm *vm, const struct node *target, struct jval v)
{
    struct jval ns;
    if (target->kind == N_NAME) return jinja_scope_set(vm, vm->scope, target->sym, v);
    if (target->kind == N_TUPLE) return assign_tuple(vm, target, v);
    struct node name = *target;
    name.kind = N_NAME;
    if (jinja_eval(vm, &name, &ns)) return -1;
    if (ns.kind != J_NS) return vm_fail(vm, "cannot assign attribute on non-namespace object");
    if (target->name->n && target->name->p[0] == '_')
        return vm_fail(vm, "a namespace cannot have names that begin with _");
    return jdict_set(vm, ns.u.dict, jval_str(target->name), v);
}

/* Executes a body and sets *out to the text that it prints, *flow to its enum flow. */
static int capture(struct vm *vm, const struct node *body, int *flow, struct jval *out)
{
    struct jbuild b, *outer = vm->out;
    jbuild_init(&b, vm);
    vm->out = &b;
    *flow = jinja_exec(vm, body);
    vm->out = outer;
    return *flow < 0 ? -1 : jbuild_done(&b, out);
}

int jinja_capture(struct vm *vm, const struct node *body, struct jval *out)
{
    int flow;
    if (capture(vm, body, &flow, out)) return -1;
    return flow == FLOW_NEXT ? 0 : vm_fail(vm, "break or continue outside a loop");
}

int jinja_print(struct vm *vm, struct jval v)
{
    jbuild_value(vm->out, v);
    return vm->out->failed ? -1 : 0;
}

static int exec_if(struct vm *vm, const struct node *n)
{
    uint32_t last = n->nkids - 1;
    struct jval test;
    for (uint32_t i = 0; i < last; i += 2) {
        if (jinja_eval(vm, n->kids[i], &test)) return -1;
        if (jval_truth(test)) return jinja_exec(vm, n->kids[i + 1]);
    }
    return n->kids[last] ? jinja_exec(vm, n->kids[last]) : FLOW_NEXT;
}

/* Applies the filters of a block to its text, innermost first. */
static int block_filters(struct vm *vm, const struct node *f, struct jval text, struct jval *out)
{
    if (!f) {
        *out = text;
        return 0;
    }
    if (block_filters(vm, f->kids[0], text, &text)) return -1;
    return jinja_eval_filter(vm, f, text, out);
}

static int exec_set_block(struct vm *vm, const struct node *n)
{
    struct scope *outer = vm->scope;
    struct jval text;
    int flow;
    if (!jinja_scope_push(vm) || capture(vm, n->kids[2], &flow, &text) ||
        block_filters(vm, n->kids[1], text, &text))
        return -1;
    vm->scope = outer;
    return jinja_assign(vm, n->kids[0], text) ? -1 : flow;
}

static int exec_filter_block(struct vm *vm, const struct node *n)
{
    struct scope *outer = vm->scope;
    struct jval text;
    int flow;
    if (!jinja_scope_push(vm) || capture(vm, n->kids[1], &flow, &text) ||
        block_filters(vm, n->kids[0], text, &text))
        return -1;
    vm->scope = outer;
    return jinja_print(vm, text) ? -1 : flow;
}

static int exec_generation(struct vm *vm, const struct node *n)
{
    struct scope *outer = vm->scope;
    struct jval text;
    if (!jinja_scope_push(vm) || jinja_capture(vm, n->kids[0], &text) ||
        jstr_generation(vm, text.u.s, &text))
        return -1;
    vm->scope = outer;
    return jinja_print(vm, text);
}

static int exec_with(struct vm *vm, const struct node *n)
{
    struct scope *outer = vm->scope;
    struct jlist *values = jlist_new(vm, n->nkids / 2);
    struct jval v;
    if (!values) return -1;
    for (uint32_t i = 2; i < n->nkids; i += 2) /* every value is evaluated in the outer scope */
        if (jinja_eval(vm, n->kids[i], &v) || jlist_add(vm, values, v)) return -1;
    if (!jinja_scope_push(vm)) return -1;
    for (uint32_t i = 1; i < n->nkids; i += 2)
        if (jinja_assign(vm, n->kids[i], values->v[i / 2])) return -1;
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
        return jinja_print(vm, n->value);
    case N_PRINT:
        return jinja_eval(vm, n->kids[0], &v) ? -1 : jinja_print(vm, v);
    case N_IF:
        return exec_if(vm, n);
    case N_FOR:
        return jinja_for(vm, n);
    case N_SET:
        if (jinja_eval(vm, n->kids[1], &v)) return -1;
        return jinja_assign(vm, n->kids[0], v);
    case N_SETBLOCK:
        return exec_set_block(vm, n);
    case N_MACRO:
        if (jinja_macro_make(vm, n, &v)) return -1;
        return jinja_scope_set(vm, vm->scope, n->sym, v);
    case N_CALLBLOCK:
        return jinja_call_block(vm, n);
    case N_FILTERBLOCK:
        return exec_filter_block(vm, n);
    case N_WITH:
        return exec_with(vm, n);
    case N_BLOCK:
        return jinja_block(vm, n);
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
    if (vm_enter(vm, n)) return -1;
    int flow = exec_node(vm, n);
    vm_leave(vm);
    return flow;
}

static int set_variables(struct vm *vm, const struct jinja_var *vars, size_t nvars)
{
    for (size_t i = 0; i < nvars; i++)
        for (size_t k = 0; k < vm->t->nsymbols; k++)
            if (str_is(jstr_str(vm->t->symbols[k]), vars[i].name) &&
                jinja_scope_set(vm, vm->scope, (uint32_t)k, vars[i].value))
                return -1;
    return 0;
}

int jinja_render(const struct jinja *t, struct vm *vm, const struct jinja_var *vars, size_t nvars,
                 const struct jstr **out)
{
    struct jval text;
    vm->t = t;
    if (!jinja_scope_push(vm) || set_variables(vm, vars, nvars) ||
        !(vm->top = jinja_scope_push(vm)) || jinja_self(vm) || jinja_capture(vm, t->body, &text))
        return -1;
    *out = text.u.s;
    return 0;
}
