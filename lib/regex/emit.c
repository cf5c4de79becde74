/* SPDX-License-Identifier: Apache-2.0 */
/* Compiles the syntax tree to a program. */
#include <string.h>

#include "regex/impl.h"

struct emitter {
    struct regex_tree *t;
    struct regex *r;
    struct err *e;
};

static int emit_node(struct emitter *m, uint32_t id);

/* Appends an instruction and returns its index, or -1 with the error set. */
static long put(struct emitter *m, enum regex_op op, uint32_t x, uint32_t y)
{
    struct regex *r = m->r;
    if (r->n >= REGEX_MAX_PROG)
        return err_set(m->e, ERR_DATA, "the pattern expands to more than %d instructions",
                       REGEX_MAX_PROG);
    if (mem_grow(&r->prog, &r->cap, r->n + 1, sizeof *r->prog, m->e)) return -1;
    r->prog[r->n] = (struct regex_ins){op, x, y, 0};
    return (long)r->n++;
}

/* Returns the node below sequences and alternatives with a single child. */
static uint32_t inside(const struct regex_tree *t, uint32_t id)
{
    const struct regex_node *n = &t->node[id];
    while ((n->kind == NODE_CAT || n->kind == NODE_ALT) && n->child && !t->node[n->child].next) {
        id = n->child;
        n = &t->node[id];
    }
    return id;
}

/* True when the node can match the empty string. */
static bool nullable(const struct regex_tree *t, uint32_t id)
{
    const struct regex_node *n = &t->node[id];
    switch (n->kind) {
    case NODE_SET:
        return false;
    case NODE_REPEAT:
        return n->min == 0 || nullable(t, n->child);
    case NODE_ATOMIC:
        return nullable(t, n->child);
    case NODE_CAT:
        for (uint32_t c = n->child; c; c = t->node[c].next)
            if (!nullable(t, c)) return false;
        return true;
    case NODE_ALT:
        for (uint32_t c = n->child; c; c = t->node[c].next)
            if (nullable(t, c)) return true;
        return false;
    default:
        return true;
    }
}

/* Returns the number of characters that the node matches, or -1 when it varies. */
static int64_t fixed_length(const struct regex_tree *t, uint32_t id)
{
    const struct regex_node *n = &t->node[id];
    int64_t sum = 0, one;
    switch (n->kind) {
    case NODE_SET:
        return 1;
    case NODE_ATOMIC:
        return fixed_length(t, n->child);
    case NODE_REPEAT:
        one = n->min == n->max ? fixed_length(t, n->child) : -1;
        return one < 0 || one > REGEX_MAX_PROG ? -1 : one * n->min;
    case NODE_CAT:
        for (uint32_t c = n->child; c; c = t->node[c].next) {
            if ((one = fixed_length(t, c)) < 0 || sum > REGEX_MAX_PROG) return -1;
            sum += one;
        }
        return sum;
    case NODE_ALT:
        sum = fixed_length(t, n->child);
        for (uint32_t c = t->node[n->child].next; c; c = t->node[c].next)
            if (fixed_length(t, c) != sum) return -1;
        return sum;
    default:
        return 0;
    }
}

static int emit_alternatives(struct emitter *m, uint32_t child)
{
    long ends = -1; /* list of the jumps to the end, linked through x */
    for (; child; child = m->t->node[child].next) {
        bool last = !m->t->node[child].next;
        long split = last ? 0 : put(m, OP_SPLIT, 0, 0), jump;
        if (split < 0) return -1;
        if (!last) m->r->prog[split].x = (uint32_t)m->r->n;
        if (emit_node(m, child)) return -1;
        if (last) break;
        if ((jump = put(m, OP_JUMP, (uint32_t)ends, 0)) < 0) return -1;
        ends = jump;
        m->r->prog[split].y = (uint32_t)m->r->n;
    }
    while (ends >= 0) {
        long before = (int32_t)m->r->prog[ends].x;
        m->r->prog[ends].x = (uint32_t)m->r->n;
        ends = before;
    }
    return 0;
}

static long put_split(struct emitter *m, bool lazy) { return put(m, OP_SPLIT, 0, lazy); }

/* Sets the targets of a split by put_split(); a lazy one prefers the exit. */
static void set_split(struct emitter *m, long at, uint32_t body, uint32_t out)
{
    struct regex_ins *i = &m->r->prog[at];
    bool lazy = i->y != 0;
    i->x = lazy ? out : body;
    i->y = lazy ? body : out;
}

/* Emits x*. */
static int emit_loop(struct emitter *m, uint32_t child, bool lazy)
{
    struct regex *r = m->r;
    bool marks = nullable(m->t, child);
    long split = put_split(m, lazy), moved = 0;
    uint32_t slot = 0;
    if (split < 0) return -1;
    if (marks) {
        r->simple = false;
        slot = r->slots++;
        if (r->slots > 64)
            return err_set(m->e, ERR_DATA, "the pattern has too many loops that can match nothing");
        if (put(m, OP_MARK, slot, 0) < 0) return -1;
    }
    if (emit_node(m, child)) return -1;
    if (marks && (moved = put(m, OP_MOVED, slot, 0)) < 0) return -1;
    if (put(m, OP_JUMP, (uint32_t)split, 0) < 0) return -1;
    set_split(m, split, (uint32_t)split + 1, (uint32_t)r->n);
    if (marks) r->prog[moved].y = (uint32_t)r->n;
    return 0;
}

static int emit_repeat(struct emitter *m, const struct regex_node *n)
{
    uint32_t child = n->child, min = n->min, max = n->max;
    bool lazy = n->lazy;
    long chain = -1;
    for (uint32_t i = 0; i < min; i++) {
        size_t before = m->r->n;
        if (emit_node(m, child)) return -1;
        if (m->r->n == before) return 0; /* nothing, however often */
    }
    if (max == REGEX_INF) return emit_loop(m, child, lazy);
    for (uint32_t i = min; i < max; i++) { /* (x(x(x)?)?)?, all exits at the end */
        long split = put_split(m, lazy);
        if (split < 0) return -1;
        m->r->prog[split].back = (uint32_t)chain;
        chain = split;
        if (emit_node(m, child)) return -1;
    }
    while (chain >= 0) {
        long before = (int32_t)m->r->prog[chain].back;
        set_split(m, chain, (uint32_t)chain + 1, (uint32_t)m->r->n);
        chain = before;
    }
    return 0;
}

/* Emits an instruction and the program that it runs, which ends in OP_MATCH; x is the next
 * instruction. */
static int emit_inner(struct emitter *m, enum regex_op op, uint32_t flags, uint32_t back,
                      uint32_t child)
{
    long at = put(m, op, 0, flags);
    m->r->simple = false;
    if (at < 0) return -1;
    m->r->prog[at].back = back;
    if (emit_node(m, child) || put(m, OP_MATCH, 0, 0) < 0) return -1;
    m->r->prog[at].x = (uint32_t)m->r->n;
    return 0;
}

static int emit_behind(struct emitter *m, uint32_t child, bool negative)
{
    int64_t length = fixed_length(m->t, child);
    if (length < 0 || length > REGEX_MAX_PROG)
        return err_set(m->e, ERR_DATA, "a look-behind of varying length is not supported");
    return emit_inner(m, OP_LOOK, LOOK_BEHIND | (negative ? LOOK_NEGATIVE : 0), (uint32_t)length,
                      child);
}

static int emit_look(struct emitter *m, const struct regex_node *n)
{
    uint32_t in = inside(m->t, n->child);
    bool negative = n->negative;
    if (n->behind) return emit_behind(m, n->child, negative);
    if (m->t->node[in].kind == NODE_SET)
        return put(m, OP_NEXT, m->t->node[in].set, negative) < 0 ? -1 : 0;
    return emit_inner(m, OP_LOOK, negative ? LOOK_NEGATIVE : 0, 0, n->child);
}

/* Emits an atomic group. An automaton can run a possessive loop over one set, which ends where the
 * next character is not in the set, and a possessive "x?", which is skipped only there. */
static int emit_atomic(struct emitter *m, uint32_t child)
{
    uint32_t in = inside(m->t, child), body;
    struct regex_node rep = m->t->node[in];
    if (rep.kind != NODE_REPEAT || rep.lazy) return emit_inner(m, OP_ATOMIC, 0, 0, child);
    body = inside(m->t, rep.child);
    if (m->t->node[body].kind != NODE_SET) return emit_inner(m, OP_ATOMIC, 0, 0, child);
    uint32_t set = m->t->node[body].set;
    if (rep.max == REGEX_INF) {
        if (emit_repeat(m, &rep)) return -1;
        return put(m, OP_NEXT, set, 1) < 0 ? -1 : 0;
    }
    if (rep.min == 0 && rep.max == 1) {
        uint32_t at = (uint32_t)m->r->n;
        if (put(m, OP_SPLIT, at + 1, at + 3) < 0 || put(m, OP_SET, set, 0) < 0 ||
            put(m, OP_JUMP, at + 4, 0) < 0)
            return -1;
        return put(m, OP_NEXT, set, 1) < 0 ? -1 : 0;
    }
    return emit_inner(m, OP_ATOMIC, 0, 0, child);
}

/* Emits an assertion: "$" as "no character except a newline follows", "\z" as "no character
 * follows". */
static int emit_assert(struct emitter *m, enum regex_assert what)
{
    struct cpset set = {0};
    uint32_t node;
    if (what != ASSERT_LINE_END && what != ASSERT_TEXT_END) {
        m->r->simple = false;
        return put(m, OP_ASSERT, what, 0) < 0 ? -1 : 0;
    }
    if ((what == ASSERT_LINE_END && cpset_add(&set, '\n', '\n', m->e)) || cpset_invert(&set, m->e))
        return cpset_free(&set), -1;
    node = regex_set_new(m->t, &set, m->e);
    return !node || put(m, OP_NEXT, m->t->node[node].set, 1) < 0 ? -1 : 0;
}

static int emit_node(struct emitter *m, uint32_t id)
{
    struct regex_node n = m->t->node[id];
    switch (n.kind) {
    case NODE_EMPTY:
        return 0;
    case NODE_SET:
        return put(m, OP_SET, n.set, 0) < 0 ? -1 : 0;
    case NODE_CAT:
        for (uint32_t c = n.child; c; c = m->t->node[c].next)
            if (emit_node(m, c)) return -1;
        return 0;
    case NODE_ALT:
        return emit_alternatives(m, n.child);
    case NODE_REPEAT:
        return emit_repeat(m, &n);
    case NODE_LOOK:
        return emit_look(m, &n);
    case NODE_ATOMIC:
        return emit_atomic(m, n.child);
    case NODE_ASSERT:
        return emit_assert(m, n.what);
    }
    return 0;
}

int regex_emit(struct regex_tree *t, struct regex *r, struct err *e)
{
    struct emitter m = {t, r, e};
    r->simple = true;
    if (emit_node(&m, t->root) || put(&m, OP_MATCH, 0, 0) < 0) return -1;
    r->set = t->set; /* r owns the sets now */
    r->nset = t->nset;
    t->set = NULL;
    t->nset = t->set_cap = 0;
    return 0;
}
