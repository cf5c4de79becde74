/* SPDX-License-Identifier: Apache-2.0 */
/* Evaluates expressions. */
#include <string.h>

#include "jinja/ast.h"

int vm_enter(struct vm *vm, const struct node *n)
{
    vm->line = n->line;
    if (vm->depth >= VM_MAX_DEPTH)
        return vm_fail(vm, "more than %d levels of nesting while rendering", VM_MAX_DEPTH);
    vm->depth++;
    return vm_charge(vm, 0);
}

void vm_leave(struct vm *vm) { vm->depth--; }

/* Returns the innermost binding of a name; NULL: there is none. Counts the walk. */
static const struct binding *find_name(struct vm *vm, uint32_t sym)
{
    enum { NAMES = 16 }; /* that are compared in the time of a step */
    const struct binding *found = NULL;
    size_t walked = 0;
    for (const struct scope *s = vm->scope; s && !found; s = s->parent, walked++)
        for (size_t i = 0; i < s->n && !found; i++, walked++)
            if (s->b[i].sym == sym) found = &s->b[i];
    vm->steps += walked / NAMES;
    return found;
}

static int eval_name(struct vm *vm, const struct node *n, struct jval *out)
{
    const struct binding *b = find_name(vm, n->sym);
    const struct jfunc *g = vm->t->globals[n->sym];
    if (b)
        *out = b->v;
    else if (g)
        *out = (struct jval){.kind = J_FUNC, .u.func = g};
    else
        *out = jval_undef(UNDEF_NAME, J_UNDEF, vm->t->symbols[n->sym]);
    return 0;
}

static int eval_list(struct vm *vm, const struct node *n, enum jkind kind, struct jval *out)
{
    struct jlist *l = jlist_new(vm, n->nkids);
    struct jval v;
    if (!l) return -1;
    for (uint32_t i = 0; i < n->nkids; i++)
        if (jinja_eval(vm, n->kids[i], &v) || jlist_add(vm, l, v)) return -1;
    *out = jval_list(l, kind);
    return 0;
}

static int eval_dict(struct vm *vm, const struct node *n, struct jval *out)
{
    struct jdict *d = jdict_new(vm);
    struct jval k, v;
    if (!d) return -1;
    for (uint32_t i = 0; i < n->nkids; i += 2)
        if (jinja_eval(vm, n->kids[i], &k) || jinja_eval(vm, n->kids[i + 1], &v) ||
            jdict_set(vm, d, k, v))
            return -1;
    *out = (struct jval){.kind = J_DICT, .u.dict = d};
    return 0;
}

static int eval_getitem(struct vm *vm, const struct node *n, struct jval *out)
{
    const struct node *k = n->kids[1];
    struct jval v, part[3];
    if (jinja_eval(vm, n->kids[0], &v)) return -1;
    if (k->kind != N_SLICE) {
        if (jinja_eval(vm, k, &part[0])) return -1;
        return jval_getitem(vm, v, part[0], out);
    }
    for (int i = 0; i < 3; i++) {
        part[i] = jval_none();
        if (k->kids[i] && jinja_eval(vm, k->kids[i], &part[i])) return -1;
    }
    return jval_slice(vm, v, part, out);
}

/* ---- arguments ---- */
static int add_keywords(struct vm *vm, const struct call_args *c, struct jval extra,
                        struct jargs *a)
{
    size_t more = extra.kind == J_DICT ? extra.u.dict->n : 0, n = 0;
    struct jval *kw = vm_alloc(vm, c->nkw + more, sizeof *kw);
    const struct jstr **names = vm_alloc(vm, c->nkw + more, sizeof *names);
    if (!kw || !names) return -1;
    for (; n < c->nkw; n++) {
        if (jinja_eval(vm, c->kw[n], &kw[n])) return -1;
        names[n] = c->names[n];
    }
    for (size_t i = 0; i < more; i++, n++) {
        if (extra.u.dict->keys[i].kind != J_STR) return vm_fail(vm, "keywords must be strings");
        names[n] = extra.u.dict->keys[i].u.s;
        kw[n] = extra.u.dict->vals[i];
    }
    a->names = names;
    a->kw = kw;
    a->nkw = n;
    return 0;
}

int jinja_eval_args(struct vm *vm, const struct call_args *c, struct jargs *a)
{
    struct jlist *star = NULL;
    struct jval v, extra = jval_none();
    *a = (struct jargs){0};
    if (!c) return 0;
    struct jlist *pos = jlist_new(vm, c->npos);
    if (!pos) return -1;
    for (size_t i = 0; i < c->npos; i++)
        if (jinja_eval(vm, c->pos[i], &v) || jlist_add(vm, pos, v)) return -1;
    if (c->star && (jinja_eval(vm, c->star, &v) || jval_elements(vm, v, &star))) return -1;
    for (size_t i = 0; star && i < star->n; i++)
        if (jlist_add(vm, pos, star->v[i])) return -1;
    if (c->starstar && jinja_eval(vm, c->starstar, &extra)) return -1;
    if (c->starstar && extra.kind != J_DICT) return vm_fail(vm, "** expects a mapping");
    a->pos = pos->v;
    a->npos = pos->n;
    return c->nkw || c->starstar ? add_keywords(vm, c, extra, a) : 0;
}

static int eval_call(struct vm *vm, const struct node *n, struct jval *out)
{
    struct jval f;
    struct jargs a;
    if (jinja_eval(vm, n->kids[0], &f) || jinja_eval_args(vm, n->args, &a)) return -1;
    vm->line = n->line;
    return vm_call(vm, f, &a, out);
}

int jinja_eval_filter(struct vm *vm, const struct node *n, struct jval self, struct jval *out)
{
    struct jargs a;
    if (!n->func)
        return vm_fail(vm, "there is no %s `%.*s`", n->kind == N_TEST ? "test" : "filter",
                       STR_FMT(jstr_str(n->name)));
    if (jinja_eval_args(vm, n->args, &a)) return -1;
    vm->line = n->line;
    return jfunc_call(vm, n->func, self, &a, out);
}

static int eval_filter(struct vm *vm, const struct node *n, struct jval *out)
{
    struct jval self;
    if (jinja_eval(vm, n->kids[0], &self)) return -1;
    return jinja_eval_filter(vm, n, self, out);
}

/* ---- operators ---- */
static int eval_sign(struct vm *vm, const struct node *n, struct jval *out)
{
    struct jval v;
    if (jinja_eval(vm, n->kids[0], &v)) return -1;
    if (v.kind == J_UNDEF) return vm_undefined(vm, v);
    if (v.kind == J_FLOAT) {
        *out = jval_float(n->kind == N_NEG ? -v.u.f : v.u.f);
        return 0;
    }
    if (v.kind == J_BIG) return vm_overflow(vm);
    if (v.kind != J_INT && v.kind != J_BOOL)
        return vm_fail(vm, "bad operand type for unary sign: '%s'", jval_type(v));
    return jval_binary(vm, n->kind == N_NEG ? T_SUB : T_ADD, jval_int(0), v, out);
}

static int eval_binary(struct vm *vm, const struct node *n, struct jval *out)
{
    struct jval a, b;
    if (jinja_eval(vm, n->kids[0], &a) || jinja_eval(vm, n->kids[1], &b)) return -1;
    vm->line = n->line;
    return jval_binary(vm, (int)n->op, a, b, out);
}

/* Evaluates operands until the truth of one is `stop`: false for `and`, true for `or`. */
static int eval_logic(struct vm *vm, const struct node *n, bool stop, struct jval *out)
{
    for (uint32_t i = 0; i < n->nkids; i++) {
        if (jinja_eval(vm, n->kids[i], out)) return -1;
        if (jval_truth(*out) == stop) return 0;
    }
    return 0;
}

static int compare(struct vm *vm, enum tok op, struct jval a, struct jval b, bool *yes)
{
    int order;
    if (op == T_EQ || op == T_NE) {
        *yes = jval_eq(vm, a, b) == (op == T_EQ);
        return vm_charge(vm, 0);
    }
    if (op == T_IN || op == T_NOTIN) {
        if (jval_contains(vm, b, a, yes)) return -1;
        *yes = *yes == (op == T_IN);
        return 0;
    }
    if (jval_compare(vm, a, b, &order)) return -1;
    *yes = op == T_LT   ? order == -1
           : op == T_LE ? order == -1 || order == 0
           : op == T_GT ? order == 1
                        : order == 1 || order == 0;
    return 0;
}

static int eval_compare(struct vm *vm, const struct node *n, struct jval *out)
{
    struct jval a, b;
    bool yes = true;
    if (jinja_eval(vm, n->kids[0], &a)) return -1;
    for (uint32_t i = 1; i < n->nkids && yes; i++) {
        if (jinja_eval(vm, n->kids[i]->kids[0], &b)) return -1;
        vm->line = n->line;
        if (compare(vm, n->kids[i]->op, a, b, &yes)) return -1;
        a = b;
    }
    *out = jval_bool(yes);
    return 0;
}

static int eval_concat(struct vm *vm, const struct node *n, struct jval *out)
{
    struct jbuild b;
    struct jval v;
    jbuild_init(&b, vm);
    for (uint32_t i = 0; i < n->nkids; i++) {
        if (jinja_eval(vm, n->kids[i], &v)) return -1;
        if (i == 0 && v.kind == J_STR)
            jbuild_append(&b, vm, v.u.s);
        else
            jbuild_value(&b, v);
    }
    return jbuild_done(&b, out);
}

static int eval_cond(struct vm *vm, const struct node *n, struct jval *out)
{
    static const struct jstr hint = {
        .p = "the inline if-expression evaluated to false and no else section was defined",
        .n = 75};
    struct jval test;
    if (jinja_eval(vm, n->kids[0], &test)) return -1;
    const struct node *k = jval_truth(test) ? n->kids[1] : n->kids[2];
    if (k) return jinja_eval(vm, k, out);
    *out = jval_undef(UNDEF_HINT, J_UNDEF, &hint);
    return 0;
}

static int eval_node(struct vm *vm, const struct node *n, struct jval *out)
{
    struct jval v;
    switch (n->kind) {
    case N_CONST:
        *out = n->value;
        return 0;
    case N_NAME:
        return eval_name(vm, n, out);
    case N_LIST:
        return eval_list(vm, n, J_LIST, out);
    case N_TUPLE:
        return eval_list(vm, n, J_TUPLE, out);
    case N_DICT:
        return eval_dict(vm, n, out);
    case N_GETATTR:
        if (jinja_eval(vm, n->kids[0], &v)) return -1;
        vm->line = n->line;
        return jval_getattr(vm, v, n->name, out);
    case N_GETITEM:
        return eval_getitem(vm, n, out);
    case N_CALL:
        return eval_call(vm, n, out);
    case N_FILTER:
    case N_TEST:
        return eval_filter(vm, n, out);
    case N_NEG:
    case N_POS:
        return eval_sign(vm, n, out);
    case N_NOT:
        if (jinja_eval(vm, n->kids[0], &v)) return -1;
        *out = jval_bool(!jval_truth(v));
        return 0;
    case N_BINARY:
        return eval_binary(vm, n, out);
    case N_AND:
        return eval_logic(vm, n, false, out);
    case N_OR:
        return eval_logic(vm, n, true, out);
    case N_COMPARE:
        return eval_compare(vm, n, out);
    case N_CONCAT:
        return eval_concat(vm, n, out);
    case N_COND:
        return eval_cond(vm, n, out);
    default:
        return vm_fail(vm, "this is not an expression");
    }
}

int jinja_eval(struct vm *vm, const struct node *n, struct jval *out)
{
    if (vm_enter(vm, n)) return -1;
    int rc = eval_node(vm, n, out);
    vm_leave(vm);
    return rc;
}
