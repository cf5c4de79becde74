/* SPDX-License-Identifier: Apache-2.0 */
/* Case folding of classes and literals under (?i), also between one character and several. */
#include "regex/impl.h"

/* Adds the characters that equal a member without case. */
static int close_set(struct cpset *set, struct err *e)
{
    struct cpset least = {0}, more = {0};
    int rc = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (unsigned i = 0; !rc && i < unicode_fold_n; i++) {
            const struct unicode_run *r = &unicode_fold[i];
            for (uint32_t c = r->first; !rc && c <= r->last; c += r->step) {
                uint32_t l = (uint32_t)((int64_t)c + r->delta);
                if (pass == 0 && (cpset_has(set, c) || cpset_has(set, l)))
                    rc = cpset_add(&least, l, l, e);
                else if (pass == 1 && cpset_has(&least, l))
                    rc = cpset_add(&more, c, c, e);
            }
        }
    }
    if (!rc) rc = cpset_union(set, &least, e);
    if (!rc) rc = cpset_union(set, &more, e);
    cpset_free(&least);
    cpset_free(&more);
    return rc;
}

static uint32_t folded_node(struct regex_parser *ps, uint32_t c)
{
    struct cpset set = {0};
    if (unicode_add_folds(c, &set, ps->e)) return cpset_free(&set), 0;
    return regex_set_new(ps->tree, &set, ps->e);
}

/* Adds a NODE_CAT with the children `first` and its siblings. */
static uint32_t cat_of(struct regex_parser *ps, uint32_t first)
{
    uint32_t cat = first ? regex_node_new(ps->tree, NODE_CAT, ps->e) : 0;
    if (cat) ps->tree->node[cat].child = first;
    return cat;
}

uint32_t regex_fold_class(struct regex_parser *ps, struct cpset *set, bool negated)
{
    struct regex_tree *t = ps->tree;
    uint32_t alt = regex_node_new(t, NODE_ALT, ps->e), last, index;
    if (!alt || close_set(set, ps->e) || (negated && cpset_invert(set, ps->e)))
        return cpset_free(set), 0;
    last = regex_set_new(t, set, ps->e);
    if (!last || negated) return last;
    t->node[alt].child = last;
    index = t->node[last].set;
    for (unsigned i = 0; i < unicode_fold_special_n; i += 2) {
        const uint32_t *seq = unicode_fold_special_pool + (unicode_fold_special[i + 1] >> 8);
        unsigned n = unicode_fold_special[i + 1] & 0xff;
        uint32_t first = 0;
        if (!cpset_has(&t->set[index], unicode_fold_special[i])) continue;
        while (n-- > 0) {
            uint32_t node = folded_node(ps, seq[n]);
            if (!node) return 0;
            t->node[node].next = first;
            first = node;
        }
        uint32_t cat = cat_of(ps, first);
        if (!cat) return 0;
        t->node[last].next = cat;
        last = cat;
    }
    return alt;
}

/* A run of literals, as folded characters. */
struct run {
    uint32_t *c;
    size_t n, cap;
};

static int run_add(struct regex_parser *ps, struct run *run, uint32_t c)
{
    if (mem_grow(&run->c, &run->cap, run->n + 3, sizeof *run->c, ps->e)) return -1;
    for (unsigned i = 0; i < unicode_fold_special_n; i += 2) {
        const uint32_t *seq = unicode_fold_special_pool + (unicode_fold_special[i + 1] >> 8);
        unsigned n = unicode_fold_special[i + 1] & 0xff;
        if (unicode_fold_special[i] != c) continue;
        for (unsigned k = 0; k < n; k++) run->c[run->n++] = unicode_fold_least(seq[k]);
        return 0;
    }
    run->c[run->n++] = unicode_fold_least(c);
    return 0;
}

/* Adds the characters that equal the `len` literals at i to the set. */
static int specials_at(struct regex_parser *ps, const struct run *run, size_t i, unsigned len,
                       struct cpset *set)
{
    for (unsigned s = 0; s < unicode_fold_special_n; s += 2) {
        const uint32_t *seq = unicode_fold_special_pool + (unicode_fold_special[s + 1] >> 8);
        unsigned n = unicode_fold_special[s + 1] & 0xff, k = 0;
        if (n != len || run->n - i < n) continue;
        while (k < n && unicode_fold_least(seq[k]) == run->c[i + k]) k++;
        if (k == n && cpset_add(set, unicode_fold_special[s], unicode_fold_special[s], ps->e))
            return -1;
    }
    return 0;
}

/* Makes the siblings for the literals from i on; *tail is the last one. */
static uint32_t build_run(struct regex_parser *ps, const struct run *run, size_t i, uint32_t *tail)
{
    struct regex_tree *t = ps->tree;
    uint32_t head = folded_node(ps, run->c[i]), alt, last;
    if (!head) return 0;
    *tail = head;
    if (i + 1 == run->n) return head;
    uint32_t after = build_run(ps, run, i + 1, tail);
    if (!after) return 0;
    t->node[head].next = after;
    alt = 0, last = 0;
    for (unsigned len = 2; len <= 3 && len <= run->n - i; len++) {
        struct cpset set = {0};
        uint32_t one, more = 0, unused;
        if (specials_at(ps, run, i, len, &set)) return cpset_free(&set), 0;
        if (set.n == 0) continue;
        one = regex_set_new(t, &set, ps->e);
        if (!one) return 0;
        if (i + len < run->n && !(more = build_run(ps, run, i + len, &unused))) return 0;
        t->node[one].next = more;
        if (!alt) {
            uint32_t plain = cat_of(ps, head);
            alt = plain ? regex_node_new(t, NODE_ALT, ps->e) : 0;
            if (!alt) return 0;
            t->node[alt].child = last = plain;
        }
        one = cat_of(ps, one);
        if (!one) return 0;
        t->node[last].next = one;
        last = one;
    }
    if (alt) *tail = alt;
    return alt ? alt : head;
}

uint32_t regex_fold_literals(struct regex_parser *ps, uint32_t first)
{
    struct regex_tree *t = ps->tree;
    uint32_t before = 0, at = first;
    while (at) {
        struct run run = {0};
        uint32_t tail = 0, head, stop = at;
        int rc = 0;
        while (stop && t->node[stop].literal && !rc && run.n < 64) {
            rc = run_add(ps, &run, t->node[stop].c);
            stop = t->node[stop].next;
        }
        if (run.n == 0 && !rc) {
            before = at, at = t->node[at].next;
            continue;
        }
        head = rc ? 0 : build_run(ps, &run, 0, &tail);
        mem_free(run.c);
        if (!head) return 0;
        t->node[tail].next = stop;
        if (!before)
            first = head;
        else
            t->node[before].next = head;
        before = tail;
        at = stop;
    }
    return first;
}
