/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens, nodes, names and errors for the parsers of statements and of expressions. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "jinja/ast.h"

static const struct token *cur(const struct parser *p) { return &p->tok[p->at]; }

int parse_fail(struct parser *p, const char *fmt, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return err_set(p->e, ERR_DATA, "line %u: %s", (unsigned)cur(p)->line, text);
}

int parse_enter(struct parser *p)
{
    if (++p->depth <= JINJA_MAX_DEPTH) return 0;
    return parse_fail(p, "more than %d levels of nesting", JINJA_MAX_DEPTH);
}

struct node *parse_node(struct parser *p, enum node_kind kind, size_t nkids)
{
    struct node *n = arena_alloc(&p->t->arena, sizeof *n, p->e);
    if (!n) return NULL;
    n->kind = kind;
    n->line = p->tok ? cur(p)->line : 1;
    n->nkids = (uint32_t)nkids;
    if (nkids && !(n->kids = arena_alloc(&p->t->arena, nkids * sizeof *n->kids, p->e))) return NULL;
    return n;
}

int parse_add(struct parser *p, struct node ***kids, size_t *n, size_t *cap, struct node *k)
{
    if (*n == *cap) {
        size_t want = *cap ? *cap * 2 : 4;
        struct node **grown = arena_alloc(&p->t->arena, want * sizeof *grown, p->e);
        if (!grown) return -1;
        if (*n) memcpy(grown, *kids, *n * sizeof *grown);
        *kids = grown;
        *cap = want;
    }
    (*kids)[(*n)++] = k;
    return 0;
}

bool parse_is_name(const struct parser *p, const char *name)
{
    return cur(p)->type == T_NAME && str_is(cur(p)->text, name);
}

bool parse_skip(struct parser *p, enum tok type)
{
    bool yes = cur(p)->type == type;
    p->at += yes;
    return yes;
}

bool parse_skip_name(struct parser *p, const char *name)
{
    bool yes = parse_is_name(p, name);
    p->at += yes;
    return yes;
}

int parse_expect(struct parser *p, enum tok type, const char *what)
{
    if (parse_skip(p, type)) return 0;
    if (cur(p)->type == T_NAME)
        return parse_fail(p, "%s expected before `%.*s`", what, STR_FMT(cur(p)->text));
    return parse_fail(p, "%s expected", what);
}

const struct jstr *parse_string(struct parser *p, struct str s)
{
    struct jstr *j = arena_alloc(&p->t->arena, sizeof *j, p->e);
    if (!j) return NULL;
    *j = (struct jstr){.p = arena_copy(&p->t->arena, s.p, s.n, p->e), .n = (uint32_t)s.n};
    return j->p ? j : NULL;
}

int parse_symbol(struct parser *p, struct str name, uint32_t *sym)
{
    struct jinja *t = p->t;
    for (size_t i = 0; i < t->nsymbols; i++)
        if (str_eq(jstr_str(t->symbols[i]), name)) {
            *sym = (uint32_t)i;
            return 0;
        }
    if (t->nsymbols == JINJA_MAX_NAMES)
        return parse_fail(p, "more than %d different names", JINJA_MAX_NAMES);
    if (t->nsymbols == t->symcap) {
        size_t cap = t->symcap ? t->symcap * 2 : 64;
        const struct jstr **grown = arena_alloc(&t->arena, cap * sizeof *grown, p->e);
        if (!grown) return -1;
        if (t->nsymbols) memcpy(grown, t->symbols, t->nsymbols * sizeof *grown);
        t->symbols = grown;
        t->symcap = cap;
    }
    if (!(t->symbols[t->nsymbols] = parse_string(p, name))) return -1;
    *sym = (uint32_t)t->nsymbols++;
    return 0;
}

struct node *parse_null(struct parser *p, const char *what)
{
    parse_fail(p, "%s", what);
    return NULL;
}

struct node *parse_node1(struct parser *p, enum node_kind kind, struct node *a)
{
    struct node *n = a ? parse_node(p, kind, 1) : NULL;
    if (n) n->kids[0] = a;
    return n;
}

struct node *parse_node2(struct parser *p, enum node_kind kind, struct node *a, struct node *b)
{
    struct node *n = a && b ? parse_node(p, kind, 2) : NULL;
    if (!n) return NULL;
    n->kids[0] = a;
    n->kids[1] = b;
    return n;
}
