/* SPDX-License-Identifier: Apache-2.0 */
/* Parses operands: literals and names, and the subscripts, calls, filters and tests after them. */
#include <string.h>

#include "jinja/ast.h"

static const struct token *cur(const struct parser *p) { return &p->tok[p->at]; }

static struct node *constant(struct parser *p, struct jval v)
{
    struct node *n = parse_node(p, N_CONST, 0);
    if (n) n->value = v;
    return n;
}

/* Parses expressions separated by commas and consumes `end`. */
static struct node *parse_list(struct parser *p, enum node_kind kind, enum tok end)
{
    struct node *n = parse_node(p, kind, 0);
    size_t cap = 0, nkids = 0;
    while (n && cur(p)->type != end) {
        if (nkids) {
            if (parse_expect(p, T_COMMA, ",")) return NULL;
            if (cur(p)->type == end) break;
        }
        struct node *k = parse_expression(p), *v = NULL;
        if (!k || parse_add(p, &n->kids, &nkids, &cap, k)) return NULL;
        if (kind != N_DICT) continue;
        if (parse_expect(p, T_COLON, ":") || !(v = parse_expression(p)) ||
            parse_add(p, &n->kids, &nkids, &cap, v))
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
    if (!n || parse_symbol(p, s, &n->sym)) return NULL;
    if (n->sym == p->t->sym_caller) p->uses |= MACRO_CALLER;
    if (n->sym == p->t->sym_kwargs) p->uses |= MACRO_KWARGS;
    if (n->sym == p->t->sym_varargs) p->uses |= MACRO_VARARGS;
    if (n->sym == p->t->sym_loop) p->uses |= USES_LOOP;
    if (!ns || !parse_skip(p, T_DOT)) return n;
    if (cur(p)->type != T_NAME) return parse_null(p, "an attribute name expected");
    n->kind = N_NSREF;
    n->name = parse_string(p, cur(p)->text);
    p->at++;
    return n->name ? n : NULL;
}

struct node *parse_primary(struct parser *p, bool ns)
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
        return n && !parse_expect(p, T_RPAREN, ")") ? n : NULL;
    case T_LBRACKET:
        p->at++;
        return parse_list(p, N_LIST, T_RBRACKET);
    case T_LBRACE:
        p->at++;
        return parse_list(p, N_DICT, T_RBRACE);
    default:
        return parse_null(p, "an expression expected");
    }
}

/* Parses x, x:y or x:y:z between brackets. */
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
        if (t->type == T_INT) return parse_node2(p, N_GETITEM, left, constant(p, t->value));
        if (t->type != T_NAME) {
            p->at--;
            return parse_null(p, "a name or number expected after the dot");
        }
        struct node *n = parse_node1(p, N_GETATTR, left);
        if (n) n->name = parse_string(p, t->text);
        return n && n->name ? n : NULL;
    }
    p->at++;
    struct node *tuple = parse_node(p, N_TUPLE, 0);
    size_t cap = 0, nkids = 0;
    while (tuple && cur(p)->type != T_RBRACKET) {
        if (nkids && parse_expect(p, T_COMMA, ",")) return NULL;
        struct node *k = parse_subscribed(p);
        if (!k || parse_add(p, &tuple->kids, &nkids, &cap, k)) return NULL;
    }
    if (!tuple) return NULL;
    p->at++;
    tuple->nkids = (uint32_t)nkids;
    return parse_node2(p, N_GETITEM, left, nkids == 1 ? tuple->kids[0] : tuple);
}

static struct node *parse_call(struct parser *p, struct node *callee)
{
    struct node *n = parse_node1(p, N_CALL, callee);
    if (n) n->args = parse_args(p);
    return n && n->args ? n : NULL;
}

int parse_deepen(struct parser *p, unsigned *levels)
{
    ++*levels;
    return parse_enter(p);
}

static struct node *parse_postfix(struct parser *p, struct node *n, unsigned *levels)
{
    while (n) {
        enum tok t = cur(p)->type;
        if (t != T_DOT && t != T_LBRACKET && t != T_LPAREN) break;
        if (parse_deepen(p, levels)) return NULL;
        n = t == T_LPAREN ? parse_call(p, n) : parse_subscript(p, n);
    }
    return n;
}

/* Parses name or name.name. */
static const struct jstr *dotted_name(struct parser *p)
{
    struct str s = cur(p)->text;
    if (parse_expect(p, T_NAME, "a name")) return NULL;
    while (parse_skip(p, T_DOT)) {
        struct str part = cur(p)->text;
        if (parse_expect(p, T_NAME, "a name")) return NULL;
        s.n = (size_t)(part.p + part.n - s.p);
    }
    return parse_string(p, s);
}

/* Parses a chain of filters and adds its levels of the tree to *levels. */
static struct node *filter_chain(struct parser *p, struct node *left, bool inline_start,
                                 unsigned *levels)
{
    while (inline_start || parse_skip(p, T_PIPE)) {
        if (parse_deepen(p, levels)) return NULL;
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
    struct node *n = parse_node1(p, N_TEST, left);
    if (!n || !(n->name = dotted_name(p))) return NULL;
    n->func = jinja_test(jstr_str(n->name));
    if (cur(p)->type == T_LPAREN) {
        if (!(n->args = parse_args(p))) return NULL;
    } else if (test_argument(p)) {
        if (parse_is_name(p, "is")) return parse_null(p, "tests cannot be chained with `is`");
        struct node *arg = parse_primary(p, false);
        arg = parse_postfix(p, arg, &levels);
        p->depth -= levels;
        size_t cap = 0;
        n->args = arena_alloc(&p->t->arena, sizeof *n->args, p->e);
        if (!arg || !n->args || parse_add(p, &n->args->pos, &n->args->npos, &cap, arg)) return NULL;
    }
    return negated ? parse_node1(p, N_NOT, n) : n;
}

struct node *parse_unary(struct parser *p, bool filters)
{
    unsigned levels = 1;
    struct node *n;
    if (parse_enter(p)) return NULL;
    if (parse_skip(p, T_SUB))
        n = parse_node1(p, N_NEG, parse_unary(p, false));
    else if (parse_skip(p, T_ADD))
        n = parse_node1(p, N_POS, parse_unary(p, false));
    else
        n = parse_primary(p, false);
    n = parse_postfix(p, n, &levels);
    while (n && filters) {
        if (cur(p)->type == T_PIPE) {
            n = filter_chain(p, n, false, &levels);
        } else if (parse_skip_name(p, "is")) {
            n = parse_deepen(p, &levels) ? NULL : parse_test(p, n);
        } else if (cur(p)->type == T_LPAREN) {
            n = parse_deepen(p, &levels) ? NULL : parse_call(p, n);
        } else {
            break;
        }
    }
    p->depth -= levels;
    return n;
}
