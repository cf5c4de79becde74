/* SPDX-License-Identifier: Apache-2.0 */
/* Strings that record the origin of their bytes: building, cutting and joining them. */
#include <string.h>

#include "jinja/value.h"

void jbuild_init(struct jbuild *b, struct vm *vm) { *b = (struct jbuild){.vm = vm}; }

static char *room(struct jbuild *b, size_t n)
{
    if (b->failed || vm_charge(b->vm, n)) goto fail;
    if (n > VM_MAX_OUTPUT || b->n + n > VM_MAX_OUTPUT) {
        vm_fail(b->vm, "a text grows beyond %zu bytes", VM_MAX_OUTPUT);
        goto fail;
    }
    if (b->n + n > b->cap) {
        size_t cap = b->cap ? b->cap * 2 : 64;
        while (cap < b->n + n) cap *= 2;
        char *p = vm_alloc(b->vm, cap, 1);
        if (!p) goto fail;
        if (b->n) memcpy(p, b->p, b->n);
        b->p = p;
        b->cap = cap;
    }
    b->n += n;
    return b->p + b->n - n;
fail:
    b->failed = true;
    return NULL;
}

/* Adds a span for the bytes that were appended last, or extends the span that it continues. */
static void add_span(struct jbuild *b, struct jspan s)
{
    if (b->failed || s.begin == s.end) return;
    struct jspan *last = b->nspans ? &b->spans[b->nspans - 1] : NULL;
    if (last && last->end == s.begin && last->source == s.source && last->flags == s.flags &&
        (s.source == 0 || last->offset + (last->end - last->begin) == s.offset)) {
        last->end = s.end;
        return;
    }
    if (b->nspans == b->spancap) {
        size_t cap = b->spancap ? b->spancap * 2 : 4;
        struct jspan *grown = vm_alloc(b->vm, cap, sizeof *grown);
        if (!grown) {
            b->failed = true;
            return;
        }
        if (b->nspans) memcpy(grown, b->spans, b->nspans * sizeof *grown);
        b->spans = grown;
        b->spancap = cap;
    }
    b->spans[b->nspans++] = s;
}

void jbuild_append(struct jbuild *b, struct vm *vm, const struct jstr *s)
{
    struct jtail *t = s->tail;
    jbuild_init(b, vm);
    if (t && t->n == s->n && t->nspans == s->nspans) {
        b->p = t->p;
        b->n = t->n;
        b->cap = t->cap;
        b->spans = t->spans;
        b->nspans = t->nspans;
        b->spancap = t->spancap;
        b->tail = t;
        t->n = SIZE_MAX;
        return;
    }
    jbuild_str(b, s);
    b->tail = vm_alloc(vm, 1, sizeof *b->tail);
    b->failed |= !b->tail;
}

void jbuild_bytes(struct jbuild *b, const char *p, size_t n)
{
    char *to = n ? room(b, n) : NULL;
    if (to) memcpy(to, p, n);
}

void jbuild_z(struct jbuild *b, const char *z) { jbuild_bytes(b, z, strlen(z)); }

/* Returns the index of the first span that ends after `at`. */
static uint32_t first_span(const struct jstr *s, size_t at)
{
    uint32_t lo = 0, hi = s->nspans;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (s->spans[mid].end <= at)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

void jbuild_part(struct jbuild *b, const struct jstr *s, size_t from, size_t to)
{
    if (from >= to) return;
    char *p = room(b, to - from);
    if (!p) return;
    memcpy(p, s->p + from, to - from);
    size_t base = b->n - (to - from), spans = 0;
    for (uint32_t i = first_span(s, from); i < s->nspans && s->spans[i].begin < to; i++, spans++) {
        struct jspan k = s->spans[i];
        size_t begin = k.begin > from ? k.begin : from, end = k.end < to ? k.end : to;
        k.offset += k.source == 0 ? 0 : (uint32_t)(begin - k.begin);
        k.begin = (uint32_t)(base + begin - from);
        k.end = (uint32_t)(base + end - from);
        add_span(b, k);
    }
    if (vm_charge_items(b->vm, spans)) b->failed = true;
}

void jbuild_str(struct jbuild *b, const struct jstr *s) { jbuild_part(b, s, 0, s->n); }

void jbuild_derived(struct jbuild *b, const char *p, size_t n, const struct jstr *s, size_t from,
                    size_t to)
{
    char *at = n ? room(b, n) : NULL;
    if (!at) return;
    memcpy(at, p, n);
    uint32_t i = first_span(s, from);
    if (i == s->nspans || s->spans[i].begin > from || s->spans[i].end < to) return;
    struct jspan k = s->spans[i];
    k.offset += k.source == 0 ? 0 : (uint32_t)(from - k.begin);
    k.begin = (uint32_t)(b->n - n);
    k.end = (uint32_t)b->n;
    add_span(b, k);
}

int jbuild_done(struct jbuild *b, struct jval *out)
{
    if (b->failed) return -1;
    struct jstr *s = vm_alloc(b->vm, 1, sizeof *s);
    if (!s) return -1;
    *s = (struct jstr){.p = b->p ? b->p : "",
                       .n = (uint32_t)b->n,
                       .spans = b->spans,
                       .nspans = (uint32_t)b->nspans,
                       .tail = b->tail};
    if (b->tail) *b->tail = (struct jtail){b->p, b->n, b->cap, b->spans, b->nspans, b->spancap};
    *out = jval_str(s);
    return 0;
}

int jstr_part(struct vm *vm, const struct jstr *s, size_t from, size_t to, struct jval *out)
{
    struct jbuild b;
    if (from > to) from = to;
    if (from == 0 && to == s->n) {
        *out = jval_str(s);
        return 0;
    }
    if (!s->nspans) { /* shares the bytes */
        struct jstr *k = vm_alloc(vm, 1, sizeof *k);
        if (!k) return -1;
        *k = (struct jstr){.p = s->p + from, .n = (uint32_t)(to - from), .markup = s->markup};
        *out = jval_str(k);
        return 0;
    }
    jbuild_init(&b, vm);
    jbuild_part(&b, s, from, to);
    if (jbuild_done(&b, out)) return -1;
    ((struct jstr *)out->u.s)->markup = s->markup;
    return 0;
}

int jstr_concat(struct vm *vm, const struct jstr *a, const struct jstr *b, struct jval *out)
{
    bool markup = a->markup || b->markup;
    struct jval e;
    if (markup && !a->markup) {
        if (jstr_escape(vm, a, &e)) return -1;
        a = e.u.s;
    }
    if (markup && !b->markup) {
        if (jstr_escape(vm, b, &e)) return -1;
        b = e.u.s;
    }
    struct jbuild k;
    jbuild_append(&k, vm, a);
    jbuild_str(&k, b);
    if (jbuild_done(&k, out)) return -1;
    ((struct jstr *)out->u.s)->markup = markup;
    return 0;
}

int jstr_generation(struct vm *vm, const struct jstr *s, struct jval *out)
{
    size_t n = 0, at = 0;
    struct jspan *spans = vm_alloc(vm, 2 * (size_t)s->nspans + 1, sizeof *spans);
    struct jstr *k = vm_alloc(vm, 1, sizeof *k);
    if (!spans || !k) return -1;
    for (uint32_t i = 0; i <= s->nspans; i++) {
        size_t end = i < s->nspans ? s->spans[i].begin : s->n;
        if (end > at)
            spans[n++] = (struct jspan){
                .begin = (uint32_t)at, .end = (uint32_t)end, .flags = JSPAN_GENERATION};
        if (i == s->nspans) break;
        spans[n] = s->spans[i];
        spans[n].flags |= JSPAN_GENERATION;
        if (spans[n].end > s->n) spans[n].end = s->n;
        at = spans[n++].end;
    }
    *k = *s;
    k->spans = spans;
    k->nspans = (uint32_t)n;
    k->tail = NULL;
    *out = jval_str(k);
    return vm_charge_items(vm, n);
}

int jstr_escape(struct vm *vm, const struct jstr *s, struct jval *out)
{
    static const char special[] = "&<>'\"";
    static const char *const names[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
    struct jbuild b;
    if (s->markup) {
        *out = jval_str(s);
        return 0;
    }
    if (vm_charge(vm, s->n)) return -1;
    jbuild_init(&b, vm);
    size_t from = 0;
    for (size_t i = 0; i < s->n; i++) {
        const char *k = s->p[i] ? strchr(special, s->p[i]) : NULL;
        if (!k) continue;
        jbuild_part(&b, s, from, i);
        jbuild_derived(&b, names[k - special], strlen(names[k - special]), s, i, i + 1);
        from = i + 1;
    }
    jbuild_part(&b, s, from, s->n);
    if (jbuild_done(&b, out)) return -1;
    ((struct jstr *)out->u.s)->markup = true;
    return 0;
}
