/* SPDX-License-Identifier: Apache-2.0 */
/* Building values: lists, dictionaries; errors and the work budget of a render. */
#include "jinja/value.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { DICT_SMALL = 12 };

int vm_fail(struct vm *vm, const char *fmt, ...)
{
    char text[1600];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    for (char *p = text; *p; p++)
        if (*p == '\n') *p = ' ';
    return err_set(vm->e, ERR_DATA, "line %u: %s", (unsigned)vm->line, text);
}

int vm_charge(struct vm *vm, size_t bytes)
{
    vm->steps += bytes / 64 + 1;
    if (vm->steps <= VM_MAX_STEPS) return 0;
    return vm_fail(vm, "the template does more than %llu steps of work",
                   (unsigned long long)VM_MAX_STEPS);
}

void *vm_alloc(struct vm *vm, size_t count, size_t size)
{
    size_t n;
    if (mem_mul(count, size, &n)) n = SIZE_MAX;
    if (vm->a->used > VM_MAX_MEMORY || n > VM_MAX_MEMORY) {
        vm_fail(vm, "the template needs more than %zu bytes of memory", VM_MAX_MEMORY);
        return NULL;
    }
    return arena_alloc(vm->a, n, vm->e);
}

struct jval jval_undef(enum undef_why why, enum jkind of, const struct jstr *name)
{
    return (struct jval){.kind = J_UNDEF,
                         .aux = (uint8_t)((unsigned)why | (unsigned)of << UNDEF_SHIFT),
                         .u.name = name};
}

int vm_undefined(struct vm *vm, struct jval v)
{
    struct str name = v.u.name ? jstr_str(v.u.name) : STR("");
    const char *of = jval_type(jval_kind((enum jkind)(v.aux >> UNDEF_SHIFT)));
    switch (v.aux & ((1 << UNDEF_SHIFT) - 1)) {
    case UNDEF_NAME:
        return vm_fail(vm, "'%.*s' is undefined", STR_FMT(name));
    case UNDEF_ATTR:
        return vm_fail(vm, "'%s object' has no attribute '%.*s'", of, STR_FMT(name));
    case UNDEF_PARAM:
        return vm_fail(vm, "parameter '%.*s' was not provided", STR_FMT(name));
    case UNDEF_UNSAFE:
        return vm_fail(vm, "access to attribute '%.*s' of '%s' object is unsafe", STR_FMT(name),
                       of);
    default:
        return vm_fail(vm, "%.*s", STR_FMT(name));
    }
}

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

/* Makes *depth at least 1 + that of v. Values stay shallow, so that walking them cannot overflow
 * the stack. */
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

static uint64_t hash_bytes(const char *p, size_t n)
{
    uint64_t h = n;
    for (size_t i = 0; i < n; i++) h = mix(h, (unsigned char)p[i]);
    return h;
}

/* Equal keys have equal hashes: 1, 1.0 and true are one key. */
static uint64_t key_hash_at(struct jval k, unsigned depth)
{
    double f;
    if (k.kind == J_STR || k.kind == J_BIG) return hash_bytes(k.u.s->p, k.u.s->n);
    if (jval_is_real(k, &f)) {
        uint64_t bits;
        if (f == 0) f = 0; /* -0.0 */
        memcpy(&bits, &f, sizeof bits);
        return mix(1, bits);
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

struct jval *jdict_get(struct vm *vm, const struct jdict *d, struct jval key)
{
    if (!jval_hashable(key)) return NULL;
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
