/* SPDX-License-Identifier: Apache-2.0 */
/* Builds a deterministic automaton over classes of characters. A state is the ordered list of the
 * instructions that a backtracking matcher would try, so priorities are kept. Look-ahead of one
 * character is decided when that character is read: an edge tells whether a match ends there. */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "regex/impl.h"

enum {
    MAX_STATES = 4000,
    MAX_EDGES = 1 << 20,
    MAX_WORK = 4000000 /* instructions that are visited while building */
};

static int compare_u32(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Returns the code points at which membership in a set changes, ascending, from 0; the caller frees
 * them. */
static uint32_t *boundaries(const struct regex *r, size_t *count, struct err *e)
{
    size_t total = 1, n = 0, k = 0;
    uint32_t *at;
    for (size_t s = 0; s < r->nset; s++) total += r->set[s].n;
    at = mem_alloc(total, sizeof *at, e);
    if (!at) return NULL;
    at[n++] = 0;
    for (size_t s = 0; s < r->nset; s++)
        for (size_t i = 0; i < r->set[s].n; i += 2) {
            at[n++] = r->set[s].r[i];
            if (r->set[s].r[i + 1] < CPSET_LAST) at[n++] = r->set[s].r[i + 1] + 1;
        }
    qsort(at, n, sizeof *at, compare_u32);
    for (size_t i = 0; i < n; i++)
        if (k == 0 || at[i] != at[k - 1]) at[k++] = at[i];
    *count = k;
    return at;
}

/* Groups the characters that are in the same sets into classes. 1: too many classes, -1: error. */
static int build_classes(struct regex *r, uint32_t *ncls, struct err *e)
{
    size_t n = 0, cap = 0;
    uint32_t classes = 0;
    uint32_t *at = boundaries(r, &n, e);
    uint8_t *value = at ? mem_alloc(n, 1, e) : NULL;
    int rc = value ? 0 : -1;
    for (size_t i = 0; !rc && i < n; i++) {
        uint64_t in = 0;
        uint32_t k = 0;
        for (size_t s = 0; s < r->nset; s++) in |= (uint64_t)cpset_has(&r->set[s], at[i]) << s;
        while (k < classes && r->member[k] != in) k++;
        if (k == 255)
            rc = 1;
        else if (k == classes && mem_grow(&r->member, &cap, k + 1, sizeof in, e))
            rc = -1;
        else if (k == classes)
            r->member[classes++] = in;
        value[i] = (uint8_t)k;
    }
    if (!rc) rc = cpmap_build(&r->class_of, at, value, n, e);
    if (rc) {
        mem_free(r->member);
        r->member = NULL;
    }
    mem_free(at);
    mem_free(value);
    *ncls = classes;
    return rc;
}

struct builder {
    const struct regex *r;
    struct regex_dfa *d;
    uint32_t *list; /* the instructions of all states, one state after the other */
    size_t list_n, list_cap;
    uint32_t *start; /* [nstate + 1]: index in list of a state's first instruction */
    size_t start_cap, next_cap;
    uint32_t *table; /* [TABLE] hash of a state's instructions -> state; 0: free */
    uint32_t *stack; /* instructions to visit */
    uint32_t *seen;  /* [prog]: stamp of the last visit */
    uint32_t *taken; /* [prog]: stamp of the last new state that holds it */
    uint32_t stamp;
    size_t work;
    struct err *e;
};
enum { TABLE = 1 << 13 };

/* Finds or adds the state of the instructions list[from..list_n). Returns its number; -1 with
 * ERR_MEMORY; -2: there are too many states. */
static long intern(struct builder *b, size_t from)
{
    struct regex_dfa *d = b->d;
    size_t len = b->list_n - from, bytes = len * sizeof *b->list;
    uint32_t slot;
    if (len == 0) return 0;
    slot = (uint32_t)hash64(b->list + from, bytes, 0) % TABLE;
    for (; b->table[slot] != 0; slot = (slot + 1) % TABLE) {
        uint32_t s = b->table[slot];
        if (b->start[s + 1] - b->start[s] == len &&
            memcmp(b->list + b->start[s], b->list + from, bytes) == 0) {
            b->list_n = from;
            return s;
        }
    }
    size_t edges = (size_t)(d->nstate + 1) * (d->ncls + 1);
    if (d->nstate >= MAX_STATES || edges > MAX_EDGES) return -2;
    if (mem_grow(&b->start, &b->start_cap, d->nstate + 2, sizeof *b->start, b->e) ||
        mem_grow(&d->next, &b->next_cap, edges, sizeof *d->next, b->e))
        return -1;
    b->start[d->nstate] = (uint32_t)from;
    b->start[d->nstate + 1] = (uint32_t)b->list_n;
    b->table[slot] = d->nstate;
    return d->nstate++;
}

/* Follows the program from `place` to the instructions that read a character of class cls (ncls:
 * the end of the text), and adds their successors to the new state. 1: a match ends here; 0; -1:
 * error. */
static int follow(struct builder *b, uint32_t place, uint32_t cls)
{
    const struct regex *r = b->r;
    uint64_t in = cls < b->d->ncls ? r->member[cls] : 0;
    size_t top = 0;
    b->stack[top++] = place;
    while (top > 0) {
        uint32_t pc = b->stack[--top];
        const struct regex_ins *i = &r->prog[pc];
        if (b->seen[pc] == b->stamp) continue;
        b->seen[pc] = b->stamp;
        b->work++;
        switch (i->op) {
        case OP_MATCH:
            return 1;
        case OP_JUMP:
            b->stack[top++] = i->x;
            break;
        case OP_SPLIT:
            b->stack[top++] = i->y;
            b->stack[top++] = i->x;
            break;
        case OP_NEXT:
            if ((in >> i->x & 1) != i->y) b->stack[top++] = pc + 1;
            break;
        case OP_SET:
            if ((in >> i->x & 1) == 0 || b->taken[pc + 1] == b->stamp) break;
            b->taken[pc + 1] = b->stamp;
            if (mem_grow(&b->list, &b->list_cap, b->list_n + 1, sizeof *b->list, b->e)) return -1;
            b->list[b->list_n++] = pc + 1;
            break;
        default:
            break;
        }
    }
    return 0;
}

/* Computes the edges of state s. 0; 1: the automaton is too large; -1: error. */
static int build_state(struct builder *b, uint32_t s)
{
    uint32_t width = b->d->ncls + 1;
    for (uint32_t cls = 0; cls < width; cls++) {
        size_t from = b->list_n;
        bool hit = false;
        long to;
        b->stamp++;
        for (uint32_t i = b->start[s]; i < b->start[s + 1] && !hit; i++) {
            int rc = follow(b, b->list[i], cls);
            if (rc < 0) return -1;
            hit = rc > 0;
        }
        to = intern(b, from);
        if (to < 0 || b->work > MAX_WORK) return to == -1 ? -1 : 1;
        b->d->next[(size_t)s * width + cls] = (uint32_t)to * width << 1 | hit;
    }
    return 0;
}

static int build_states(struct builder *b)
{
    struct regex_dfa *d = b->d;
    int rc = 0;
    if (mem_grow(&b->start, &b->start_cap, 2, sizeof *b->start, b->e) ||
        mem_grow(&b->list, &b->list_cap, 1, sizeof *b->list, b->e) ||
        mem_grow(&d->next, &b->next_cap, d->ncls + 1, sizeof *d->next, b->e))
        return -1;
    b->start[0] = b->start[1] = 0;
    memset(d->next, 0, (d->ncls + 1) * sizeof *d->next);
    d->nstate = 1;
    b->list[b->list_n++] = 0;
    if (intern(b, 0) != 1) return -1;
    for (uint32_t s = 1; s < d->nstate && !rc; s++) rc = build_state(b, s);
    return rc;
}

int regex_build_dfa(struct regex *r, struct err *e)
{
    struct builder b = {.r = r, .d = &r->dfa, .e = e};
    int rc = r->nset > 64 ? 1 : build_classes(r, &r->dfa.ncls, e);
    if (rc || !r->simple) return rc < 0 ? -1 : 0;
    b.table = mem_alloc(TABLE, sizeof *b.table, e);
    b.stack = mem_alloc(2 * r->n + 2, sizeof *b.stack, e);
    b.seen = mem_alloc(r->n, sizeof *b.seen, e);
    b.taken = mem_alloc(r->n + 1, sizeof *b.taken, e);
    rc = !b.table || !b.stack || !b.seen || !b.taken ? -1 : build_states(&b);
    if (rc) {
        mem_free(r->dfa.next);
        r->dfa.next = NULL;
    }
    mem_free(b.table);
    mem_free(b.stack);
    mem_free(b.seen);
    mem_free(b.taken);
    mem_free(b.list);
    mem_free(b.start);
    return rc < 0 ? -1 : 0;
}
