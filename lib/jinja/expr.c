/* SPDX-License-Identifier: Apache-2.0 */
/* Parses operators, from the tightest to the loosest, conditional expressions and tuples. */
#include "jinja/ast.h"

static const struct token *cur(const struct parser *p) { return &p->tok[p->at]; }

/* The binary operators from the tightest to the loosest: **, then * / // %, then ~, then + -. All
 * of them associate to the left, as in Jinja. */
static struct node *parse_pow(struct parser *p)
{
    struct node *n = parse_unary(p, true);
    unsigned levels = 0;
    while (n && parse_skip(p, T_POW)) {
        if (parse_deepen(p, &levels)) return NULL;
        if ((n = parse_node2(p, N_BINARY, n, parse_unary(p, true)))) n->op = T_POW;
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
        if (parse_deepen(p, &levels)) return NULL;
        p->at++;
        if ((n = parse_node2(p, N_BINARY, n, parse_pow(p)))) n->op = t;
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
    if (!n || parse_add(p, &n->kids, &nkids, &cap, first)) return NULL;
    while (parse_skip(p, T_TILDE)) {
        struct node *k = parse_product(p);
        if (!k || parse_add(p, &n->kids, &nkids, &cap, k)) return NULL;
    }
    n->nkids = (uint32_t)nkids;
    return n;
}

static struct node *parse_sum(struct parser *p)
{
    struct node *n = parse_concat(p);
    unsigned levels = 0;
    for (enum tok t; n && ((t = cur(p)->type) == T_ADD || t == T_SUB);) {
        if (parse_deepen(p, &levels)) return NULL;
        p->at++;
        if ((n = parse_node2(p, N_BINARY, n, parse_concat(p)))) n->op = t;
    }
    p->depth -= levels;
    return n;
}

/* Consumes a comparison operator and returns it; T_EOF: there is none. */
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
            (!(n = parse_node(p, N_COMPARE, 0)) || parse_add(p, &n->kids, &nkids, &cap, first)))
            return NULL;
        struct node *k = parse_node1(p, N_OPERAND, parse_sum(p));
        if (!k || parse_add(p, &n->kids, &nkids, &cap, k)) return NULL;
        k->op = op;
    }
    if (!n) return first;
    n->nkids = (uint32_t)nkids;
    return n;
}

static struct node *parse_not(struct parser *p)
{
    if (!parse_skip_name(p, "not")) return parse_compare(p);
    if (parse_enter(p)) return NULL;
    struct node *n = parse_node1(p, N_NOT, parse_not(p));
    p->depth--;
    return n;
}

/* Parses a chain of `and` or `or` into one node with many operands, so that its length does not
 * count as depth. */
static struct node *parse_chain(struct parser *p, enum node_kind kind, const char *word,
                                struct node *(*part)(struct parser *))
{
    struct node *first = part(p);
    if (!first || !parse_is_name(p, word)) return first;
    struct node *n = parse_node(p, kind, 0);
    size_t cap = 0, nkids = 0;
    if (!n || parse_add(p, &n->kids, &nkids, &cap, first)) return NULL;
    while (parse_skip_name(p, word)) {
        struct node *k = part(p);
        if (!k || parse_add(p, &n->kids, &nkids, &cap, k)) return NULL;
    }
    n->nkids = (uint32_t)nkids;
    return n;
}

static struct node *parse_and(struct parser *p) { return parse_chain(p, N_AND, "and", parse_not); }
static struct node *parse_or(struct parser *p) { return parse_chain(p, N_OR, "or", parse_and); }

struct node *parse_expression(struct parser *p)
{
    unsigned levels = 1;
    if (parse_enter(p)) return NULL;
    struct node *n = parse_or(p);
    while (n && parse_skip_name(p, "if")) {
        if (parse_deepen(p, &levels)) return NULL;
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
    if (!n || parse_enter(p)) return NULL;
    for (;;) {
        if (nkids && parse_expect(p, T_COMMA, ",")) return NULL;
        if (tuple_end(p, end)) break;
        struct node *k = tuple_item(p, how);
        if (!k || parse_add(p, &n->kids, &nkids, &cap, k)) return NULL;
        if (cur(p)->type != T_COMMA) break;
        tuple = true;
    }
    p->depth--;
    n->nkids = (uint32_t)nkids;
    if (!tuple && !nkids && !(how & TUPLE_PARENS)) return parse_null(p, "an expression expected");
    if (!tuple && nkids) n = n->kids[0];
    if ((how & TUPLE_TARGET) && !can_assign(n)) return parse_null(p, "this cannot be assigned to");
    return n;
}
