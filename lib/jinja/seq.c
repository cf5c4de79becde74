/* SPDX-License-Identifier: Apache-2.0 */
/* Sequences: iteration, length and slices. */
#include <string.h>

#include "jinja/ast.h"

bool jval_iterable(struct jval v)
{
    switch (v.kind) {
    case J_UNDEF:
    case J_STR:
    case J_LIST:
    case J_TUPLE:
    case J_DICT:
    case J_VIEW:
    case J_ITER:
    case J_RANGE:
    case J_LOOP:
        return true;
    default:
        return false;
    }
}

/* Adds the characters of a string to l. As in Python, those of Markup are plain strings. */
static int characters(struct vm *vm, const struct jstr *text, struct jlist *l)
{
    struct jstr *s = vm_alloc(vm, 1, sizeof *s);
    if (!s) return -1;
    *s = *text;
    s->markup = false;
    struct jval v;
    for (size_t i = 0, len; i < s->n; i += len) {
        jchar_get(s->p + i, s->n - i, &len);
        if (jstr_part(vm, s, i, i + len, &v) || jlist_add(vm, l, v)) return -1;
    }
    return 0;
}

int jval_elements(struct vm *vm, struct jval v, struct jlist **out)
{
    if (v.kind == J_LIST || v.kind == J_TUPLE || v.kind == J_VIEW) {
        *out = v.u.list;
        return vm_charge_items(vm, v.u.list->n);
    }
    if (!jval_iterable(v)) return vm_fail(vm, "'%s' object is not iterable", jval_type(v));
    struct jlist *l = jlist_new(vm, v.kind == J_RANGE ? (size_t)v.u.range->n : 0);
    if (!l) return -1;
    *out = l;
    if (v.kind == J_STR) return characters(vm, v.u.s, l);
    if (v.kind == J_DICT) {
        for (size_t i = 0; i < v.u.dict->n; i++)
            if (jlist_add(vm, l, v.u.dict->keys[i])) return -1;
    } else if (v.kind == J_RANGE) {
        for (int64_t i = 0; i < v.u.range->n; i++)
            if (jlist_add(vm, l, jval_int(v.u.range->start + i * v.u.range->step))) return -1;
    } else if (v.kind == J_ITER) {
        struct jiter *it = v.u.iter;
        for (; it->pos < it->list->n; it->pos++)
            if (jlist_add(vm, l, it->list->v[it->pos])) return -1;
    } else if (v.kind == J_LOOP) {
        return vm_fail(vm, "iterating over `loop` itself is not supported");
    }
    return 0;
}

int jval_length(struct vm *vm, struct jval v, int64_t *n)
{
    switch (v.kind) {
    case J_UNDEF:
        *n = 0;
        return 0;
    case J_STR:
        *n = (int64_t)jstr_chars(v.u.s);
        return vm_charge(vm, v.u.s->n);
    case J_LIST:
    case J_TUPLE:
    case J_VIEW:
        *n = (int64_t)v.u.list->n;
        return 0;
    case J_DICT:
        *n = (int64_t)v.u.dict->n;
        return 0;
    case J_RANGE:
        *n = v.u.range->n;
        return 0;
    case J_LOOP:
        *n = (int64_t)v.u.loop->items->n;
        return 0;
    default:
        return vm_fail(vm, "object of type '%s' has no len()", jval_type(v));
    }
}

/* Computes the first index, the step and the number of items of a slice, as slice.indices does. */
static int slice_indices(struct vm *vm, const struct jval part[3], int64_t n, int64_t *first,
                         int64_t *step, int64_t *count)
{
    int64_t b, e;
    *step = 1;
    if (part[2].kind != J_NONE && !jval_is_int(part[2], step)) goto bad;
    if (*step == 0) return vm_fail(vm, "slice step cannot be zero");
    if (*step == INT64_MIN) *step += 1;
    bool down = *step < 0;
    b = down ? n - 1 : 0;
    e = down ? -1 : n;
    if (part[0].kind != J_NONE) {
        if (!jval_is_int(part[0], &b)) goto bad;
        if (b < 0) b = b < -n ? (down ? -1 : 0) : b + n;
        if (b >= n) b = down ? n - 1 : n;
    }
    if (part[1].kind != J_NONE) {
        if (!jval_is_int(part[1], &e)) goto bad;
        if (e < 0) e = e < -n ? (down ? -1 : 0) : e + n;
        if (e >= n) e = down ? n - 1 : n;
    }
    *first = b;
    *count = down ? (b > e ? (b - e - 1) / -*step + 1 : 0) : (e > b ? (e - b - 1) / *step + 1 : 0);
    return 0;
bad:
    return vm_fail(vm, "slice indices must be integers or None");
}

static int slice_string(struct vm *vm, const struct jstr *s, int64_t first, int64_t step,
                        int64_t count, struct jval *out)
{
    size_t from = jstr_offset(s, (size_t)(first > 0 ? first : 0));
    if (count == 0) return jstr_part(vm, s, 0, 0, out);
    if (step == 1) {
        struct jstr tail = {.p = s->p + from, .n = (uint32_t)(s->n - from)};
        return jstr_part(vm, s, from, from + jstr_offset(&tail, (size_t)count), out);
    }
    struct jbuild b;
    jbuild_init(&b, vm);
    for (size_t i = from, len; count > 0 && i < s->n && !b.failed; count--) {
        jchar_get(s->p + i, s->n - i, &len);
        jbuild_part(&b, s, i, i + len);
        for (int64_t k = step; k > 0 && i < s->n; k--)
            i += jstr_offset(&(struct jstr){.p = s->p + i, .n = (uint32_t)(s->n - i)}, 1);
        for (int64_t k = step; k < 0 && i > 0; k++) do
                i--;
            while (i > 0 && ((unsigned char)s->p[i] & 0xC0) == 0x80);
    }
    return jbuild_done(&b, out);
}

int jval_slice(struct vm *vm, struct jval v, const struct jval part[3], struct jval *out)
{
    int64_t first = 0, step = 1, count = 0, n;
    if (v.kind == J_UNDEF) return vm_undefined(vm, v);
    if (v.kind != J_LIST && v.kind != J_TUPLE && v.kind != J_STR && v.kind != J_RANGE)
        return vm_fail(vm, "'%s' object cannot be sliced", jval_type(v));
    if (jval_length(vm, v, &n) || slice_indices(vm, part, n, &first, &step, &count)) return -1;
    if (v.kind == J_STR) return slice_string(vm, v.u.s, first, step, count, out);
    if (v.kind == J_RANGE) {
        struct jrange *r = vm_alloc(vm, 1, sizeof *r);
        if (!r) return -1;
        *r = (struct jrange){v.u.range->start + first * v.u.range->step, v.u.range->step * step,
                             count};
        *out = (struct jval){.kind = J_RANGE, .u.range = r};
        return 0;
    }
    struct jlist *l = jlist_new(vm, step == 1 ? 0 : (size_t)count);
    if (!l) return -1;
    if (step == 1 && count) { /* shares the elements */
        *l = (struct jlist){.v = v.u.list->v + first,
                            .n = (size_t)count,
                            .cap = (size_t)count,
                            .depth = v.u.list->depth};
        count = 0;
    }
    for (int64_t i = 0; i < count; i++)
        if (jlist_add(vm, l, v.u.list->v[first + i * step])) return -1;
    *out = jval_list(l, v.kind);
    return 0;
}
