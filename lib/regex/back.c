/* SPDX-License-Identifier: Apache-2.0 */
/* The backtracking matcher, with a bound on its steps. */

#include "regex/impl.h"
#include "unicode/utf8.h"

/* A position to backtrack to; pc FRAME_RESTORE + slot: the old value of a slot. */
struct regex_frame {
    uint32_t pc;
    size_t at;
};
enum { FRAME_RESTORE = 1 << 30 };

struct matcher {
    const struct regex *r;
    struct regex_mem *mem;
    size_t top; /* frames in use */
    const char *text;
    size_t n;
    uint64_t *budget;
    size_t slot[64];
    struct err *e;
};

void regex_mem_free(struct regex_mem *m)
{
    mem_free(m->frames);
    *m = (struct regex_mem){0};
}

static int push(struct matcher *m, uint32_t pc, size_t at)
{
    if (m->top == m->mem->cap &&
        mem_grow(&m->mem->frames, &m->mem->cap, m->top + 1, sizeof *m->mem->frames, m->e))
        return -1;
    m->mem->frames[m->top++] = (struct regex_frame){pc, at};
    return 0;
}

static bool in_set(const struct regex *r, uint32_t set, uint32_t c)
{
    if (r->member) return r->member[cpmap_get(&r->class_of, c)] >> set & 1;
    return cpset_has(&r->set[set], c);
}

static bool word_at(const struct matcher *m, size_t at)
{
    uint32_t c;
    if (at >= m->n) return false;
    utf8_get(m->text + at, &c);
    return cpset_has(&m->r->word, c);
}

static bool word_before(const struct matcher *m, size_t at)
{
    uint32_t c;
    if (at == 0) return false;
    utf8_get_back(m->text + at, &c);
    return cpset_has(&m->r->word, c);
}

static bool holds(const struct matcher *m, enum regex_assert what, size_t at)
{
    switch (what) {
    case ASSERT_LINE_BEGIN:
        return at == 0 || (m->text[at - 1] == '\n' && at < m->n);
    case ASSERT_LINE_END:
        return at == m->n || m->text[at] == '\n';
    case ASSERT_TEXT_BEGIN:
        return at == 0;
    case ASSERT_TEXT_END:
        return at == m->n;
    case ASSERT_LAST_LINE:
        return at == m->n || (at + 1 == m->n && m->text[at] == '\n');
    case ASSERT_WORD:
        return word_at(m, at) != word_before(m, at);
    case ASSERT_NOT_WORD:
        return word_at(m, at) == word_before(m, at);
    }
    return false;
}

static int run(struct matcher *m, uint32_t pc, size_t at, size_t *end);

/* Runs a look-around. 1: it holds, 0: it does not, -1: error. */
static int look(struct matcher *m, uint32_t pc, size_t at)
{
    const struct regex_ins *i = &m->r->prog[pc];
    size_t from = at, end;
    bool reached = true;
    int rc = 0;
    *m->budget -= i->back < *m->budget ? i->back : *m->budget;
    for (uint32_t k = 0; k < i->back && reached; k++) {
        uint32_t c;
        reached = from > 0;
        if (reached) from -= utf8_get_back(m->text + from, &c);
    }
    if (reached) rc = run(m, pc + 1, from, &end);
    if (rc < 0) return -1;
    return (i->y & LOOK_NEGATIVE) ? !rc : rc;
}

/* Backtracks to the last choice above `base`. False when there is none. */
static bool backtrack(struct matcher *m, size_t base, uint32_t *pc, size_t *at)
{
    while (m->top > base) {
        struct regex_frame f = m->mem->frames[--m->top];
        if (f.pc < FRAME_RESTORE) {
            *pc = f.pc;
            *at = f.at;
            return true;
        }
        m->slot[f.pc - FRAME_RESTORE] = f.at;
    }
    return false;
}

/* Runs one instruction other than OP_MATCH. 1: go on, 0: backtrack, -1: error. */
static int step(struct matcher *m, uint32_t *pc, size_t *at)
{
    const struct regex_ins *i = &m->r->prog[*pc];
    uint32_t c;
    size_t end = 0;
    int rc = 1;
    (*pc)++;
    switch (i->op) {
    case OP_SET:
        if (*at >= m->n) return 0;
        *at += utf8_get(m->text + *at, &c);
        return in_set(m->r, i->x, c);
    case OP_NEXT:
        if (*at >= m->n) return i->y;
        utf8_get(m->text + *at, &c);
        return in_set(m->r, i->x, c) != (i->y != 0);
    case OP_SPLIT:
        *pc = i->x;
        return push(m, i->y, *at) ? -1 : 1;
    case OP_JUMP:
        *pc = i->x;
        return 1;
    case OP_ASSERT:
        return holds(m, (enum regex_assert)i->x, *at);
    case OP_LOOK:
        rc = look(m, *pc - 1, *at);
        *pc = i->x;
        return rc;
    case OP_ATOMIC:
        rc = run(m, *pc, *at, &end);
        *pc = i->x;
        *at = end;
        return rc;
    case OP_MARK:
        if (push(m, FRAME_RESTORE + i->x, m->slot[i->x])) return -1;
        m->slot[i->x] = *at;
        return 1;
    case OP_MOVED:
        if (m->slot[i->x] == *at) *pc = i->y;
        return 1;
    case OP_MATCH:
        break;
    }
    return 0;
}

/* Runs the program from pc to OP_MATCH. 1 with *end; 0: no match; -1: error. */
static int run(struct matcher *m, uint32_t pc, size_t at, size_t *end)
{
    size_t base = m->top;
    for (;;) {
        int rc;
        if (m->r->prog[pc].op == OP_MATCH) {
            m->top = base;
            *end = at;
            return 1;
        }
        if ((*m->budget)-- == 0) {
            *m->budget = 0;
            return err_set(m->e, ERR_DATA, "the pattern takes too many steps on this text");
        }
        rc = step(m, &pc, &at);
        if (rc < 0) return -1;
        if (!rc && !backtrack(m, base, &pc, &at)) return 0;
    }
}

int regex_backtrack(const struct regex *r, struct regex_mem *mem, const char *text, size_t n,
                    size_t at, uint64_t *budget, size_t *end, struct err *e)
{
    struct matcher m = {.r = r, .mem = mem, .text = text, .n = n, .budget = budget, .e = e};
    return run(&m, 0, at, end);
}
