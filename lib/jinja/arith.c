/* SPDX-License-Identifier: Apache-2.0 */
/* Python's arithmetic: integers of 64 bits, floats, sequences. */
#include <math.h>

#include "jinja/ast.h"

static int int_pow(struct vm *vm, int64_t a, int64_t b, struct jval *out)
{
    int64_t r = 1;
    if (b < 0) {
        if (a == 0) return vm_fail(vm, "0.0 cannot be raised to a negative power");
        *out = jval_float(pow((double)a, (double)b));
        return 0;
    }
    for (; b > 0; b >>= 1) {
        if ((b & 1) && __builtin_mul_overflow(r, a, &r)) return vm_overflow(vm);
        if (b > 1 && __builtin_mul_overflow(a, a, &a)) return vm_overflow(vm);
    }
    *out = jval_int(r);
    return 0;
}

static int int_op(struct vm *vm, int op, int64_t a, int64_t b, struct jval *out)
{
    int64_t r = 0;
    bool over = false;
    switch (op) {
    case T_ADD:
        over = __builtin_add_overflow(a, b, &r);
        break;
    case T_SUB:
        over = __builtin_sub_overflow(a, b, &r);
        break;
    case T_MUL:
        over = __builtin_mul_overflow(a, b, &r);
        break;
    case T_POW:
        return int_pow(vm, a, b, out);
    default:
        if (b == 0) return vm_fail(vm, "division by zero");
        if (op == T_DIV) {
            *out = jval_float((double)a / (double)b);
            return 0;
        }
        if (a == INT64_MIN && b == -1) {
            if (op == T_FLOORDIV) return vm_overflow(vm);
            break;
        }
        r = op == T_MOD ? a % b : a / b;
        if (a % b && (a % b < 0) != (b < 0))
            r += op == T_MOD ? b : -1; /* round to minus infinity */
    }
    if (over) return vm_overflow(vm);
    *out = jval_int(r);
    return 0;
}

static int real_op(struct vm *vm, int op, double a, double b, struct jval *out)
{
    double r;
    if (b == 0 && (op == T_DIV || op == T_FLOORDIV || op == T_MOD))
        return vm_fail(vm, "float division by zero");
    switch (op) {
    case T_ADD:
        r = a + b;
        break;
    case T_SUB:
        r = a - b;
        break;
    case T_MUL:
        r = a * b;
        break;
    case T_DIV:
        r = a / b;
        break;
    case T_POW:
        if (a == 0 && b < 0) return vm_fail(vm, "0.0 cannot be raised to a negative power");
        if (a < 0 && b != floor(b)) return vm_fail(vm, "complex numbers are not supported");
        r = pow(a, b);
        if (isinf(r) && !isinf(a) && !isinf(b)) return vm_fail(vm, "numerical result out of range");
        break;
    default:
        r = fmod(a, b);
        if (r != 0 && (r < 0) != (b < 0)) r += b;
        if (r == 0) r = copysign(0, b);
        if (op == T_FLOORDIV) {
            double q = (a - r) / b, f = floor(q);
            r = q == 0 ? copysign(0, a / b) : q - f > 0.5 ? f + 1 : f;
        }
    }
    *out = jval_float(r);
    return 0;
}

static int repeat(struct vm *vm, struct jval v, int64_t n, struct jval *out)
{
    if (n < 0) n = 0;
    if (v.kind == J_STR) {
        struct jbuild b;
        jbuild_init(&b, vm);
        for (int64_t i = 0; i < n && v.u.s->n && !b.failed; i++) jbuild_str(&b, v.u.s);
        return jbuild_done(&b, out);
    }
    struct jlist *l = jlist_new(vm, 0);
    for (int64_t i = 0; l && v.u.list->n && i < n; i++)
        for (size_t k = 0; k < v.u.list->n; k++)
            if (jlist_add(vm, l, v.u.list->v[k])) return -1;
    if (!l) return -1;
    *out = jval_list(l, v.kind);
    return 0;
}

static bool sequence(struct jval v)
{
    return v.kind == J_STR || v.kind == J_LIST || v.kind == J_TUPLE;
}

/* As for strings, the result takes the room behind a where a is the longest list in its memory. */
static struct jlist *begin_list(struct vm *vm, const struct jlist *a, size_t more)
{
    struct jlist *l = jlist_new(vm, 0);
    if (!l) return NULL;
    if (a->used && *a->used == a->n && a->cap - a->n >= more) {
        *l = *a;
        return l;
    }
    if (!(l = jlist_new(vm, 2 * (a->n + more)))) return NULL;
    for (size_t i = 0; i < a->n; i++)
        if (jlist_add(vm, l, a->v[i])) return NULL;
    l->used = vm_alloc(vm, 1, sizeof *l->used);
    return l->used ? l : NULL;
}

static int add_sequences(struct vm *vm, struct jval a, struct jval b, struct jval *out)
{
    if (a.kind == J_STR) return jstr_concat(vm, a.u.s, b.u.s, out);
    const size_t more = b.u.list->n;
    struct jlist *l = begin_list(vm, a.u.list, more);
    if (!l) return -1;
    for (size_t i = 0; i < more; i++)
        if (jlist_add(vm, l, b.u.list->v[i])) return -1;
    *l->used = l->n;
    *out = jval_list(l, a.kind);
    return 0;
}

int jval_binary(struct vm *vm, int op, struct jval a, struct jval b, struct jval *out)
{
    static const char *const names[] = {"+", "-", "*", "/", "//", "%", "**"};
    int64_t i, k;
    double f, g;
    if (op == T_MOD && a.kind == J_STR) return jval_percent(vm, a.u.s, b, out);
    if (a.kind == J_UNDEF) return vm_undefined(vm, a);
    if (b.kind == J_UNDEF) return vm_undefined(vm, b);
    if (jval_is_int(a, &i) && jval_is_int(b, &k)) return int_op(vm, op, i, k, out);
    if (jval_is_real(a, &f) && jval_is_real(b, &g)) return real_op(vm, op, f, g, out);
    if (op == T_ADD && a.kind == b.kind && sequence(a)) return add_sequences(vm, a, b, out);
    if (op == T_MUL && sequence(a) && jval_is_int(b, &k)) return repeat(vm, a, k, out);
    if (op == T_MUL && sequence(b) && jval_is_int(a, &i)) return repeat(vm, b, i, out);
    if (a.kind == J_BIG || b.kind == J_BIG) return vm_overflow(vm);
    return vm_fail(vm, "unsupported operand types for %s: '%s' and '%s'", names[op - T_ADD],
                   jval_type(a), jval_type(b));
}

int jval_add(struct vm *vm, struct jval a, struct jval b, struct jval *out)
{
    return jval_binary(vm, T_ADD, a, b, out);
}
