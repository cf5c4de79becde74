/* SPDX-License-Identifier: Apache-2.0 */
/* The attributes and methods of the variable `loop`. */
#include "jinja/ast.h"

static int loop_cycle(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    if (!a->npos) return vm_fail(vm, "no items for cycling given");
    *out = a->pos[self.u.loop->at % a->npos];
    return 0;
}

/* loop.changed(...): true when the arguments differ from those of the previous call. */
static int loop_changed(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    struct jloop *l = self.u.loop;
    struct jlist *now = jlist_new(vm, a->npos);
    if (!now) return -1;
    for (size_t i = 0; i < a->npos; i++)
        if (jlist_add(vm, now, a->pos[i])) return -1;
    bool same = l->changed && jval_eq(vm, jval_list(l->changed, J_TUPLE), jval_list(now, J_TUPLE));
    l->changed = now;
    *out = jval_bool(!same);
    return 0;
}

static const struct jfunc loop_methods[] = {{"cycle", loop_cycle, NULL, 0},
                                            {"changed", loop_changed, NULL, 0}};

static int loop_method(struct vm *vm, struct jloop *l, const struct jfunc *f, struct jval *out)
{
    struct jmethod *m = vm_alloc(vm, 1, sizeof *m);
    if (!m) return -1;
    *m = (struct jmethod){{.kind = J_LOOP, .u.loop = l}, f};
    *out = (struct jval){.kind = J_METHOD, .u.method = m};
    return 1;
}

/* Looks up an attribute of `loop`. 1: found, 0: there is none, -1: error. */
int jinja_loop_attr(struct vm *vm, struct jloop *l, const struct jstr *name, struct jval *out)
{
    static const struct jstr no_prev = {.p = "there is no previous item", .n = 25},
                             no_next = {.p = "there is no next item", .n = 21};
    struct str s = jstr_str(name);
    int64_t at = (int64_t)l->at, n = (int64_t)l->items->n;
    const struct {
        const char *name;
        int64_t v;
    } numbers[] = {{"index0", at},          {"index", at + 1},         {"length", n},
                   {"revindex", n - at},    {"revindex0", n - at - 1}, {"depth0", l->depth0},
                   {"depth", l->depth0 + 1}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (str_is(s, numbers[i].name)) {
            *out = jval_int(numbers[i].v);
            return 1;
        }
    for (size_t i = 0; i < 2; i++)
        if (str_is(s, loop_methods[i].name)) return loop_method(vm, l, &loop_methods[i], out);
    if (str_is(s, "first"))
        *out = jval_bool(at == 0);
    else if (str_is(s, "last"))
        *out = jval_bool(at + 1 == n);
    else if (str_is(s, "previtem"))
        *out = at ? l->items->v[at - 1] : jval_undef(UNDEF_HINT, J_UNDEF, &no_prev);
    else if (str_is(s, "nextitem"))
        *out = at + 1 < n ? l->items->v[at + 1] : jval_undef(UNDEF_HINT, J_UNDEF, &no_next);
    else
        return 0;
    return 1;
}
