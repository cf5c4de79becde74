/* SPDX-License-Identifier: Apache-2.0 */
/* Expressions of a template, and what both parsers share. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "chat/jinja_ast.h"

static const struct token *cur(const struct parser *p) { return &p->tok[p->at]; }

/* ---- shared ---- */
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

/* ---- expressions ---- */
static struct node *fail(struct parser *p, const char *what)
{
    parse_fail(p, "%s", what);
    return NULL;
}

static struct node *node1(struct parser *p, enum node_kind kind, struct node *a)
{
    struct node *n = a ? parse_node(p, kind, 1) : NULL;
    if (n) n->kids[0] = a;
    return n;
}

static struct node *node2(struct parser *p, enum node_kind kind, struct node *a, struct node *b)
{
    struct node *n = a && b ? parse_node(p, kind, 2) : NULL;
    if (!n) return NULL;
    n->kids[0] = a;
    n->kids[1] = b;
    return n;
}

static struct node *constant(struct parser *p, struct jval v)
{
    struct node *n = parse_node(p, N_CONST, 0);
    if (n) n->value = v;
    return n;
}

/* Comma-separated expressions up to `end`, which is taken. */
static struct node *parse_list(struct parser *p, enum node_kind kind, enum tok end)
{
    struct node *n = parse_node(p, kind, 0);
    size_t cap = 0, nkids = 0;
    while (n && cur(p)->type != end) {
        if (nkids) {
            if (parse_expect(p, T_COMMA, ",") < 0) return NULL;
            if (cur(p)->type == end) break;
        }
        struct node *k = parse_expression(p), *v = NULL;
        if (!k || parse_add(p, &n->kids, &nkids, &cap, k) < 0) return NULL;
        if (kind != N_DICT) continue;
        if (parse_expect(p, T_COLON, ":") < 0 || !(v = parse_expression(p)) ||
            parse_add(p, &n->kids, &nkids, &cap, v) < 0)
            return NULL;
    }
    if (!n) return NULL;
    p->at++;
    n->nkids = (uint32_t)nkids;
    return n;
}

static struct node *parse_strings(struct parser *p)
{
    size_t n = 0, at = p->at;
    while (p->tok[at].type == T_STRING) n += p->tok[at++].text.n;
    char *text = arena_alloc(&p->t->arena, n + 1, p->e);
    if (!text) return NULL;
    for (n = 0; cur(p)->type == T_STRING; p->at++) {
        if (cur(p)->text.n) memcpy(text + n, cur(p)->text.p, cur(p)->text.n);
        n += cur(p)->text.n;
    }
    const struct jstr *s = parse_string(p, (struct str){text, n});
    return s ? constant(p, jval_str(s)) : NULL;
}

static struct node *parse_name(struct parser *p, bool ns)
{
    struct str s = cur(p)->text;
    p->at++;
    if (str_is(s, "true") || str_is(s, "True")) return constant(p, jval_bool(true));
    if (str_is(s, "false") || str_is(s, "False")) return constant(p, jval_bool(false));
    if (str_is(s, "none") || str_is(s, "None")) return constant(p, jval_none());
    struct node *n = parse_node(p, N_NAME, 0);
    if (!n || parse_symbol(p, s, &n->sym) < 0) return NULL;
    if (n->sym == p->t->sym_caller) p->asked |= MACRO_CALLER;
    if (n->sym == p->t->sym_kwargs) p->asked |= MACRO_KWARGS;
    if (n->sym == p->t->sym_varargs) p->asked |= MACRO_VARARGS;
    if (n->sym == p->t->sym_loop) p->asked |= USES_LOOP;
    if (!ns || !parse_skip(p, T_DOT)) return n;
    if (cur(p)->type != T_NAME) return fail(p, "an attribute name expected");
    n->kind = N_NSREF;
    n->name = parse_string(p, cur(p)->text);
    p->at++;
    return n->name ? n : NULL;
}

static struct node *parse_primary(struct parser *p, bool ns)
{
    struct node *n;
    switch (cur(p)->type) {
    case T_NAME:
        return parse_name(p, ns);
    case T_STRING:
        return parse_strings(p);
    case T_INT:
    case T_FLOAT:
        return constant(p, p->tok[p->at++].value);
    case T_LPAREN:
        p->at++;
        n = parse_tuple(p, TUPLE_PARENS, NULL);
        return n && parse_expect(p, T_RPAREN, ")") == 0 ? n : NULL;
    case T_LBRACKET:
        p->at++;
        return parse_list(p, N_LIST, T_RBRACKET);
    case T_LBRACE:
        p->at++;
        return parse_list(p, N_DICT, T_RBRACE);
    default:
        return fail(p, "an expression expected");
    }
}

/* x, x:y or x:y:z between brackets. */
static struct node *parse_subscribed(struct parser *p)
{
    struct node *first = NULL;
    if (cur(p)->type != T_COLON) {
        first = parse_expression(p);
        if (!first || cur(p)->type != T_COLON) return first;
    }
    struct node *n = parse_node(p, N_SLICE, 3);
    if (!n) return NULL;
    n->kids[0] = first;
    for (int i = 1; i < 3 && parse_skip(p, T_COLON); i++) {
        enum tok t = cur(p)->type;
        if (t == T_COLON || t == T_RBRACKET || t == T_COMMA) continue;
        if (!(n->kids[i] = parse_expression(p))) return NULL;
    }
    return n;
}

static struct node *parse_subscript(struct parser *p, struct node *left)
{
    if (parse_skip(p, T_DOT)) {
        const struct token *t = cur(p);
        p->at++;
        if (t->type == T_INT) return node2(p, N_GETITEM, left, constant(p, t->value));
        if (t->type != T_NAME) {
            p->at--;
            return fail(p, "a name or number expected after the dot");
        }
        struct node *n = node1(p, N_GETATTR, left);
        if (n) n->name = parse_string(p, t->text);
        return n && n->name ? n : NULL;
    }
    p->at++;
    struct node *tuple = parse_node(p, N_TUPLE, 0);
    size_t cap = 0, nkids = 0;
    while (tuple && cur(p)->type != T_RBRACKET) {
        if (nkids && parse_expect(p, T_COMMA, ",") < 0) return NULL;
        struct node *k = parse_subscribed(p);
        if (!k || parse_add(p, &tuple->kids, &nkids, &cap, k) < 0) return NULL;
    }
    if (!tuple) return NULL;
    p->at++;
    tuple->nkids = (uint32_t)nkids;
    return node2(p, N_GETITEM, left, nkids == 1 ? tuple->kids[0] : tuple);
}

static int parse_keyword(struct parser *p, struct call_args *a, size_t *cap)
{
    size_t n = a->nkw, ncap = *cap, m = n;
    struct str name = cur(p)->text;
    p->at += 2;
    struct node *v = parse_expression(p);
    if (!v || parse_add(p, &a->kw, &a->nkw, cap, v) < 0) return -1;
    if (*cap != ncap) {
        const struct jstr **grown = arena_alloc(&p->t->arena, *cap * sizeof *grown, p->e);
        if (!grown) return -1;
        if (m) memcpy(grown, a->names, m * sizeof *grown);
        a->names = grown;
    }
    return (a->names[n] = parse_string(p, name)) ? 0 : -1;
}

static struct call_args *parse_args(struct parser *p)
{
    struct call_args *a = arena_alloc(&p->t->arena, sizeof *a, p->e);
    size_t poscap = 0, kwcap = 0;
    bool more = false;
    if (!a || parse_expect(p, T_LPAREN, "(") < 0) return NULL;
    while (cur(p)->type != T_RPAREN) {
        if (more && parse_expect(p, T_COMMA, ",") < 0) return NULL;
        if (cur(p)->type == T_RPAREN) break;
        more = true;
        bool keyword = cur(p)->type == T_NAME && p->tok[p->at + 1].type == T_ASSIGN;
        struct node *v;
        if (parse_skip(p, T_MUL)) {
            if (a->star || a->starstar) goto bad;
            if (!(a->star = parse_expression(p))) return NULL;
        } else if (parse_skip(p, T_POW)) {
            if (a->starstar) goto bad;
            if (!(a->starstar = parse_expression(p))) return NULL;
        } else if (keyword) {
            if (a->starstar) goto bad;
            if (parse_keyword(p, a, &kwcap) < 0) return NULL;
        } else {
            if (a->star || a->starstar || a->nkw) goto bad;
            if (!(v = parse_expression(p)) || parse_add(p, &a->pos, &a->npos, &poscap, v) < 0)
                return NULL;
        }
    }
    p->at++;
    return a;
bad:
    parse_fail(p, "this argument cannot stand here");
    return NULL;
}

static struct node *parse_call(struct parser *p, struct node *callee)
{
    struct node *n = node1(p, N_CALL, callee);
    if (n) n->args = parse_args(p);
    return n && n->args ? n : NULL;
}

/* Each link of a chain makes the tree one deeper; `levels` are given back by the caller. */
static int deepen(struct parser *p, unsigned *levels)
{
    ++*levels;
    return parse_enter(p);
}

static struct node *parse_postfix(struct parser *p, struct node *n, unsigned *levels)
{
    while (n) {
        enum tok t = cur(p)->type;
        if (t != T_DOT && t != T_LBRACKET && t != T_LPAREN) break;
        if (deepen(p, levels) < 0) return NULL;
        n = t == T_LPAREN ? parse_call(p, n) : parse_subscript(p, n);
    }
    return n;
}

/* name, or name.name */
static const struct jstr *dotted_name(struct parser *p)
{
    struct str s = cur(p)->text;
    if (parse_expect(p, T_NAME, "a name") < 0) return NULL;
    while (parse_skip(p, T_DOT)) {
        const char *end = cur(p)->text.p + cur(p)->text.n;
        if (parse_expect(p, T_NAME, "a name") < 0) return NULL;
        s.n = (size_t)(end - s.p);
    }
    return parse_string(p, s);
}

/* As parse_filter, counting the levels that a chain adds to the tree. */
static struct node *filter_chain(struct parser *p, struct node *left, bool inline_start,
                                 unsigned *levels)
{
    while (inline_start || parse_skip(p, T_PIPE)) {
        if (deepen(p, levels) < 0) return NULL;
        inline_start = false;
        struct node *n = parse_node(p, N_FILTER, 1);
        if (!n || !(n->name = dotted_name(p))) return NULL;
        n->kids[0] = left;
        n->func = jinja_filter(jstr_str(n->name));
        if (cur(p)->type == T_LPAREN && !(n->args = parse_args(p))) return NULL;
        left = n;
    }
    return left;
}

struct node *parse_filter(struct parser *p, struct node *left, bool inline_start)
{
    unsigned levels = 0;
    struct node *n = filter_chain(p, left, inline_start, &levels);
    p->depth -= levels;
    return n;
}

static bool test_argument(const struct parser *p)
{
    switch (cur(p)->type) {
    case T_NAME:
        return !parse_is_name(p, "else") && !parse_is_name(p, "or") && !parse_is_name(p, "and");
    case T_STRING:
    case T_INT:
    case T_FLOAT:
    case T_LBRACKET:
    case T_LBRACE:
        return true;
    default:
        return false;
    }
}

static struct node *parse_test(struct parser *p, struct node *left)
{
    unsigned levels = 0;
    bool negated = parse_skip_name(p, "not");
    struct node *n = node1(p, N_TEST, left);
    if (!n || !(n->name = dotted_name(p))) return NULL;
    n->func = jinja_test(jstr_str(n->name));
    if (cur(p)->type == T_LPAREN) {
        if (!(n->args = parse_args(p))) return NULL;
    } else if (test_argument(p)) {
        if (parse_is_name(p, "is")) return fail(p, "tests cannot be chained with `is`");
        struct node *arg = parse_primary(p, false);
        arg = parse_postfix(p, arg, &levels);
        p->depth -= levels;
        size_t cap = 0;
        n->args = arena_alloc(&p->t->arena, sizeof *n->args, p->e);
        if (!arg || !n->args || parse_add(p, &n->args->pos, &n->args->npos, &cap, arg) < 0)
            return NULL;
    }
    return negated ? node1(p, N_NOT, n) : n;
}

static struct node *parse_unary(struct parser *p, bool filters)
{
    unsigned levels = 1;
    struct node *n;
    if (parse_enter(p) < 0) return NULL;
    if (parse_skip(p, T_SUB))
        n = node1(p, N_NEG, parse_unary(p, false));
    else if (parse_skip(p, T_ADD))
        n = node1(p, N_POS, parse_unary(p, false));
    else
        n = parse_primary(p, false);
    n = parse_postfix(p, n, &levels);
    while (n && filters) {
        if (cur(p)->type == T_PIPE) {
            n = filter_chain(p, n, false, &levels);
        } else if (parse_skip_name(p, "is")) {
            n = deepen(p, &levels) < 0 ? NULL : parse_test(p, n);
        } else if (cur(p)->type == T_LPAREN) {
            n = deepen(p, &levels) < 0 ? NULL : parse_call(p, n);
        } else {
            break;
        }
    }
    p->depth -= levels;
    return n;
}

/* Left-associative binary operators by rising strength: + -, ~, * / // %, **. */
static struct node *parse_pow(struct parser *p)
{
    struct node *n = parse_unary(p, true);
    unsigned levels = 0;
    while (n && parse_skip(p, T_POW)) {
        if (deepen(p, &levels) < 0) return NULL;
        if ((n = node2(p, N_BINARY, n, parse_unary(p, true)))) n->op = T_POW;
    }
    p->depth -= levels;
    return n;
}

static struct node *parse_product(struct parser *p)
{
    struct node *n = parse_pow(p);
    unsigned levels = 0;
    for (enum tok t;
         n && ((t = cur(p)->type) == T_MUL || t == T_DIV || t == T_FLOORDIV || t == T_MOD);) {
        if (deepen(p, &levels) < 0) return NULL;
        p->at++;
        if ((n = node2(p, N_BINARY, n, parse_pow(p)))) n->op = t;
    }
    p->depth -= levels;
    return n;
}

static struct node *parse_concat(struct parser *p)
{
    struct node *first = parse_product(p);
    if (!first || cur(p)->type != T_TILDE) return first;
    struct node *n = parse_node(p, N_CONCAT, 0);
    size_t cap = 0, nkids = 0;
    if (!n || parse_add(p, &n->kids, &nkids, &cap, first) < 0) return NULL;
    while (parse_skip(p, T_TILDE)) {
        struct node *k = parse_product(p);
        if (!k || parse_add(p, &n->kids, &nkids, &cap, k) < 0) return NULL;
    }
    n->nkids = (uint32_t)nkids;
    return n;
}

static struct node *parse_sum(struct parser *p)
{
    struct node *n = parse_concat(p);
    unsigned levels = 0;
    for (enum tok t; n && ((t = cur(p)->type) == T_ADD || t == T_SUB);) {
        if (deepen(p, &levels) < 0) return NULL;
        p->at++;
        if ((n = node2(p, N_BINARY, n, parse_concat(p)))) n->op = t;
    }
    p->depth -= levels;
    return n;
}

/* The comparison at hand, or T_EOF; it is taken. */
static enum tok comparison(struct parser *p)
{
    enum tok t = cur(p)->type;
    if (t >= T_EQ && t <= T_LE) {
        p->at++;
        return t;
    }
    if (parse_skip_name(p, "in")) return T_IN;
    const struct token *next = &p->tok[p->at + (t != T_EOF)];
    if (parse_is_name(p, "not") && next->type == T_NAME && str_is(next->text, "in")) {
        p->at += 2;
        return T_NOTIN;
    }
    return T_EOF;
}

static struct node *parse_compare(struct parser *p)
{
    struct node *n = NULL, *first = parse_sum(p);
    size_t cap = 0, nkids = 0;
    enum tok op;
    while (first && (op = comparison(p)) != T_EOF) {
        if (!n &&
            (!(n = parse_node(p, N_COMPARE, 0)) || parse_add(p, &n->kids, &nkids, &cap, first) < 0))
            return NULL;
        struct node *k = node1(p, N_OPERAND, parse_sum(p));
        if (!k || parse_add(p, &n->kids, &nkids, &cap, k) < 0) return NULL;
        k->op = op;
    }
    if (!n) return first;
    n->nkids = (uint32_t)nkids;
    return n;
}

static struct node *parse_not(struct parser *p)
{
    if (!parse_skip_name(p, "not")) return parse_compare(p);
    if (parse_enter(p) < 0) return NULL;
    struct node *n = node1(p, N_NOT, parse_not(p));
    p->depth--;
    return n;
}

/* `and` and `or` chains are flat: a long one is no deeper than a short one. */
static struct node *parse_chain(struct parser *p, enum node_kind kind, const char *word,
                                struct node *(*part)(struct parser *))
{
    struct node *first = part(p);
    if (!first || !parse_is_name(p, word)) return first;
    struct node *n = parse_node(p, kind, 0);
    size_t cap = 0, nkids = 0;
    if (!n || parse_add(p, &n->kids, &nkids, &cap, first) < 0) return NULL;
    while (parse_skip_name(p, word)) {
        struct node *k = part(p);
        if (!k || parse_add(p, &n->kids, &nkids, &cap, k) < 0) return NULL;
    }
    n->nkids = (uint32_t)nkids;
    return n;
}

static struct node *parse_and(struct parser *p) { return parse_chain(p, N_AND, "and", parse_not); }
static struct node *parse_or(struct parser *p) { return parse_chain(p, N_OR, "or", parse_and); }

struct node *parse_expression(struct parser *p)
{
    unsigned levels = 1;
    if (parse_enter(p) < 0) return NULL;
    struct node *n = parse_or(p);
    while (n && parse_skip_name(p, "if")) {
        if (deepen(p, &levels) < 0) return NULL;
        struct node *c = parse_node(p, N_COND, 3);
        if (!c || !(c->kids[0] = parse_or(p))) return NULL;
        c->kids[1] = n;
        if (parse_skip_name(p, "else") && !(c->kids[2] = parse_expression(p))) return NULL;
        n = c;
    }
    p->depth -= levels;
    return n;
}

static bool tuple_end(const struct parser *p, const char *end)
{
    enum tok t = cur(p)->type;
    return t == T_VAR_END || t == T_BLOCK_END || t == T_RPAREN || (end && parse_is_name(p, end));
}

static bool can_assign(const struct node *n)
{
    if (n->kind == N_TUPLE) {
        for (uint32_t i = 0; i < n->nkids; i++)
            if (!can_assign(n->kids[i])) return false;
        return true;
    }
    return n->kind == N_NAME || n->kind == N_NSREF;
}

static struct node *tuple_item(struct parser *p, unsigned how)
{
    if (how & TUPLE_TARGET) return parse_primary(p, how & TUPLE_NS);
    return how & TUPLE_NO_COND ? parse_or(p) : parse_expression(p);
}

struct node *parse_tuple(struct parser *p, unsigned how, const char *end)
{
    struct node *n = parse_node(p, N_TUPLE, 0);
    size_t cap = 0, nkids = 0;
    bool tuple = false;
    if (!n || parse_enter(p) < 0) return NULL;
    for (;;) {
        if (nkids && parse_expect(p, T_COMMA, ",") < 0) return NULL;
        if (tuple_end(p, end)) break;
        struct node *k = tuple_item(p, how);
        if (!k || parse_add(p, &n->kids, &nkids, &cap, k) < 0) return NULL;
        if (cur(p)->type != T_COMMA) break;
        tuple = true;
    }
    p->depth--;
    n->nkids = (uint32_t)nkids;
    if (!tuple && !nkids && !(how & TUPLE_PARENS)) return fail(p, "an expression expected");
    if (!tuple && nkids) n = n->kids[0];
    if ((how & TUPLE_TARGET) && !can_assign(n)) return fail(p, "this cannot be assigned to");
    return n;
}
