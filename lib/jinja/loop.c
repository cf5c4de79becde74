/* SPDX-License-Identifier: Apache-2.0 */
/* Executes for loops. */
#include <string.h>

#include "jinja/ast.h"

/* Returns an empty scope for the next iteration: the previous one, unless a macro refers to it. */
static struct scope *scope_again(struct vm *vm, struct scope *s)
{
    if (!s || s->captured) return jinja_scope_push(vm);
    s->n = 0;
    return vm->scope = s;
}

/* Assigns an item to the loop's target. *keep: the item passes the loop's condition, which is
 * evaluated only where `filter` is true. */
static int loop_item(struct vm *vm, const struct node *n, struct jval item, bool filter, bool *keep)
{
    struct jval yes;
    if (jinja_assign(vm, n->kids[0], item)) return -1;
    *keep = true;
    if (!filter || !n->kids[2]) return 0;
    if (jinja_eval(vm, n->kids[2], &yes)) return -1;
    *keep = jval_truth(yes);
    return 0;
}

/* Replaces *items by those that pass the loop's condition. A body that uses `loop` needs them
 * before it runs: `loop` counts only these. */
static int filter_items(struct vm *vm, const struct node *n, struct jlist **items)
{
    struct scope *outer = vm->scope;
    struct jlist *l = jlist_new(vm, 0);
    bool keep;
    if (!l) return -1;
    for (size_t i = 0; i < (*items)->n; i++) {
        if (!jinja_scope_push(vm) || loop_item(vm, n, (*items)->v[i], true, &keep)) return -1;
        vm->scope = outer;
        if (keep && jlist_add(vm, l, (*items)->v[i])) return -1;
    }
    *items = l;
    return 0;
}

/* Runs one iteration. 1: the body ran and set *flow; 0: the condition excluded the item; -1. */
static int loop_turn(struct vm *vm, const struct node *n, struct jloop *loop, bool filter,
                     int *flow)
{
    bool keep;
    if (loop_item(vm, n, loop->items->v[loop->at], filter, &keep)) return -1;
    if (!keep) return 0;
    if (jinja_scope_set(vm, vm->scope, vm->t->sym_loop,
                        (struct jval){.kind = J_LOOP, .u.loop = loop}))
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
    if (!loop || jval_elements(vm, iterable, &loop->items)) return -1;
    if (early && filter_items(vm, n, &loop->items)) return -1;
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
    if (!jinja_scope_push(vm)) return -1;
    rc = jinja_exec(vm, n->kids[4]);
    vm->scope = outer;
    return rc;
}

int jinja_for(struct vm *vm, const struct node *n)
{
    struct jval iterable;
    if (jinja_eval(vm, n->kids[1], &iterable)) return -1;
    return run_loop(vm, n, iterable, 0);
}

/* loop(items) in a recursive loop: renders the loop over other items. */
int jinja_loop_call(struct vm *vm, struct jloop *l, const struct jargs *a, struct jval *out)
{
    struct scope *scope = vm->scope;
    struct jbuild b, *outer = vm->out;
    if (!(l->node->flag & FOR_RECURSIVE))
        return vm_fail(vm, "the loop must have the 'recursive' marker to be called recursively");
    if (a->npos != 1 || a->nkw) return vm_fail(vm, "loop() expects one argument");
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
