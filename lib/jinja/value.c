/* SPDX-License-Identifier: Apache-2.0 */
/* Lists, dictionaries and the equality of values. */
#include "jinja/value.h"

#include <string.h>

#include "base/hash.h"

enum { DICT_SMALL = 12 };

int jval_text(struct vm *vm, const char *p, size_t n, struct jval *out)
{
    if (n > UINT32_MAX) return vm_fail(vm, "a string is larger than 4 GiB");
    struct jstr *s = vm_alloc(vm, 1, sizeof *s);
    if (!s) return -1;
    *s = (struct jstr){.p = p, .n = (uint32_t)n};
    *out = jval_str(s);
    return 0;
}

struct jval jval_list(struct jlist *l, enum jkind kind)
{
    return (struct jval){.kind = (uint8_t)kind, .u.list = l};
}

struct jlist *jlist_new(struct vm *vm, size_t cap)
{
    struct jlist *l = vm_alloc(vm, 1, sizeof *l);
    if (!l) return NULL;
    if (cap && !(l->v = vm_alloc(vm, cap, sizeof *l->v))) return NULL;
    l->cap = cap;
    return l;
}

/* Raises *depth to 1 + the depth of v. The bound keeps recursions over values from overflowing the
 * stack. */
static int deepen(struct vm *vm, uint32_t *depth, struct jval v)
{
    uint32_t d = 0;
    if (v.kind == J_LIST || v.kind == J_TUPLE || v.kind == J_VIEW) d = v.u.list->depth;
    if (v.kind == J_DICT) d = v.u.dict->depth;
    if (d + 1 > *depth) *depth = d + 1;
    if (*depth <= VM_MAX_NESTING) return 0;
    return vm_fail(vm, "values are nested more than %d deep", VM_MAX_NESTING);
}

int jlist_add(struct vm *vm, struct jlist *l, struct jval v)
{
    if (deepen(vm, &l->depth, v)) return -1;
    if (l->n == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 8;
        struct jval *grown = vm_alloc(vm, cap, sizeof *grown);
        if (!grown) return -1;
        if (l->n) memcpy(grown, l->v, l->n * sizeof *grown);
        l->v = grown;
        l->cap = cap;
    }
    l->v[l->n++] = v;
    return vm_charge(vm, 0);
}

int jval_iter(struct vm *vm, struct jlist *l, struct jval *out)
{
    struct jiter *it = vm_alloc(vm, 1, sizeof *it);
    if (!it) return -1;
    it->list = l;
    *out = (struct jval){.kind = J_ITER, .u.iter = it};
    return 0;
}

int jval_pair(struct vm *vm, struct jval a, struct jval b, struct jval *out)
{
    struct jlist *l = jlist_new(vm, 2);
    if (!l || jlist_add(vm, l, a) || jlist_add(vm, l, b)) return -1;
    *out = jval_list(l, J_TUPLE);
    return 0;
}

/* ---- dictionaries ---- */
struct jdict *jdict_new(struct vm *vm) { return vm_alloc(vm, 1, sizeof(struct jdict)); }

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * UINT64_C(0x9E3779B97F4A7C15);
    return h ^ (h >> 29);
}

/* Hashes a key. 1, 1.0 and true are equal keys and have one hash. */
static uint64_t key_hash_at(struct jval k, unsigned depth)
{
    double f;
    if (k.kind == J_STR || k.kind == J_BIG) return hash_key(k.u.s->p, k.u.s->n);
    if (jval_is_real(k, &f)) {
        uint64_t bits;
        if (f == 0) f = 0; /* -0.0 */
        memcpy(&bits, &f, sizeof bits);
        return mix(hash_seed(), bits);
    }
    if (k.kind == J_TUPLE) {
        uint64_t h = 2;
        for (size_t i = 0; depth < 2 && i < k.u.list->n; i++)
            h = mix(h, key_hash_at(k.u.list->v[i], depth + 1));
        return h;
    }
    return k.kind;
}

static uint64_t key_hash(struct jval k) { return key_hash_at(k, 0); }

static int dict_rehash(struct vm *vm, struct jdict *d)
{
    size_t want = 64;
    while (want < d->n * 4) want *= 2;
    if (!(d->slots = vm_alloc(vm, want, sizeof *d->slots))) return -1;
    d->nslots = want;
    for (size_t i = 0; i < d->n; i++) {
        size_t at = key_hash(d->keys[i]) & (want - 1);
        while (d->slots[at]) at = (at + 1) & (want - 1);
        d->slots[at] = (uint32_t)i + 1;
    }
    return 0;
}

static bool dict_eq(struct vm *vm, const struct jdict *a, const struct jdict *b)
{
    if (a->n != b->n) return false;
    for (size_t i = 0; i < a->n; i++) {
        const struct jval *v = jdict_get(vm, b, a->keys[i]);
        if (!v || !jval_eq(vm, a->vals[i], *v)) return false;
    }
    return true;
}

/* The recursion ends because values are trees of at most VM_MAX_NESTING levels. */
bool jval_eq(struct vm *vm, struct jval a, struct jval b)
{
    int64_t i, k;
    double f, g;
    if (vm && ++vm->steps > VM_MAX_STEPS) return false; /* the next vm_charge() reports it */
    if (jval_is_int(a, &i) && jval_is_int(b, &k)) return i == k;
    if (jval_is_real(a, &f) && jval_is_real(b, &g)) return f == g;
    if (a.kind != b.kind) return false;
    switch (a.kind) {
    case J_UNDEF:
    case J_NONE:
        return true;
    case J_STR:
    case J_BIG:
        if (vm) vm->steps += a.u.s->n / 64;
        return str_eq(jstr_str(a.u.s), jstr_str(b.u.s));
    case J_LIST:
    case J_TUPLE:
        if (a.u.list == b.u.list) return true;
        if (a.u.list->n != b.u.list->n) return false;
        for (size_t n = 0; n < a.u.list->n; n++)
            if (!jval_eq(vm, a.u.list->v[n], b.u.list->v[n])) return false;
        return true;
    case J_DICT:
        return a.u.dict == b.u.dict || dict_eq(vm, a.u.dict, b.u.dict);
    case J_RANGE:
        return a.u.range->n == b.u.range->n &&
               (!a.u.range->n || (a.u.range->start == b.u.range->start &&
                                  (a.u.range->n == 1 || a.u.range->step == b.u.range->step)));
    default:
        return a.u.s == b.u.s;
    }
}

/* The steps of hashing a key, which reads all of it. */
static uint64_t key_steps(struct jval k)
{
    uint64_t n = 1;
    if (k.kind == J_STR || k.kind == J_BIG) return k.u.s->n / 64;
    for (size_t i = 0; k.kind == J_TUPLE && i < k.u.list->n; i++) n += key_steps(k.u.list->v[i]);
    return n;
}

struct jval *jdict_get(struct vm *vm, const struct jdict *d, struct jval key)
{
    if (!jval_hashable(key)) return NULL;
    if (vm) vm->steps += key_steps(key);
    if (!d->slots) {
        for (size_t i = 0; i < d->n; i++)
            if (jval_eq(vm, d->keys[i], key)) return &d->vals[i];
        return NULL;
    }
    size_t mask = d->nslots - 1;
    for (size_t at = key_hash(key) & mask; d->slots[at]; at = (at + 1) & mask)
        if (jval_eq(vm, d->keys[d->slots[at] - 1], key)) return &d->vals[d->slots[at] - 1];
    return NULL;
}

struct jval *jdict_getz(const struct jdict *d, struct str key)
{
    struct jstr s = {.p = key.p, .n = (uint32_t)key.n};
    return jdict_get(NULL, d, jval_str(&s));
}

int jdict_set(struct vm *vm, struct jdict *d, struct jval key, struct jval v)
{
    if (!jval_hashable(key)) return vm_fail(vm, "unhashable type: '%s'", jval_type(key));
    if (deepen(vm, &d->depth, v) || deepen(vm, &d->depth, key)) return -1;
    struct jval *old = jdict_get(vm, d, key);
    if (old) {
        *old = v;
        return vm_charge(vm, 0);
    }
    if (d->n == d->cap) {
        size_t cap = d->cap ? d->cap * 2 : 4;
        struct jval *keys = vm_alloc(vm, cap, sizeof *keys), *vals = NULL;
        if (!keys || !(vals = vm_alloc(vm, cap, sizeof *vals))) return -1;
        if (d->n) {
            memcpy(keys, d->keys, d->n * sizeof *keys);
            memcpy(vals, d->vals, d->n * sizeof *vals);
        }
        d->keys = keys;
        d->vals = vals;
        d->cap = cap;
    }
    d->keys[d->n] = key;
    d->vals[d->n++] = v;
    if (d->n > DICT_SMALL && d->n * 2 > d->nslots) return dict_rehash(vm, d);
    if (d->slots) {
        size_t at = key_hash(key) & (d->nslots - 1);
        while (d->slots[at]) at = (at + 1) & (d->nslots - 1);
        d->slots[at] = (uint32_t)d->n;
    }
    return vm_charge(vm, 0);
}
