/* SPDX-License-Identifier: Apache-2.0 */
/* Parses both sides of a call: the arguments that it passes, and the parameters of a macro. */
#include <string.h>

#include "jinja/ast.h"

static const struct token *cur(const struct parser *p) { return &p->tok[p->at]; }

/* ---- arguments ---- */
static int parse_keyword(struct parser *p, struct call_args *a, size_t *cap)
{
    size_t n = a->nkw, old = *cap;
    struct str name = cur(p)->text;
    p->at += 2;
    struct node *v = parse_expression(p);
    if (!v || parse_add(p, &a->kw, &a->nkw, cap, v)) return -1;
    if (*cap != old) {
        const struct jstr **grown = arena_alloc(&p->t->arena, *cap * sizeof *grown, p->e);
        if (!grown) return -1;
        if (n) memcpy(grown, a->names, n * sizeof *grown);
        a->names = grown;
    }
    return (a->names[n] = parse_string(p, name)) ? 0 : -1;
}

/* Parses one argument. Those by position come first; `**` comes last. */
static int parse_argument(struct parser *p, struct call_args *a, size_t *poscap, size_t *kwcap)
{
    const bool keyword = cur(p)->type == T_NAME && p->tok[p->at + 1].type == T_ASSIGN;
    const bool star = parse_skip(p, T_MUL), starstar = !star && parse_skip(p, T_POW);
    const bool plain = !keyword && !star && !starstar;
    if (a->starstar || (a->star && (star || plain)) || (a->nkw && plain))
        return parse_fail(p, "an argument of this kind is not allowed here");
    if (star) return (a->star = parse_expression(p)) ? 0 : -1;
    if (starstar) return (a->starstar = parse_expression(p)) ? 0 : -1;
    if (keyword) return parse_keyword(p, a, kwcap);
    struct node *v = parse_expression(p);
    return v ? parse_add(p, &a->pos, &a->npos, poscap, v) : -1;
}

struct call_args *parse_args(struct parser *p)
{
    struct call_args *a = arena_alloc(&p->t->arena, sizeof *a, p->e);
    size_t poscap = 0, kwcap = 0;
    if (!a || parse_expect(p, T_LPAREN, "(")) return NULL;
    for (bool more = false; cur(p)->type != T_RPAREN; more = true) {
        if (more && parse_expect(p, T_COMMA, ",")) return NULL;
        if (cur(p)->type == T_RPAREN) break;
        if (parse_argument(p, a, &poscap, &kwcap)) return NULL;
    }
    p->at++;
    return a;
}

/* ---- parameters ---- */
enum { MAX_PARAMS = 64 };
struct signature {
    uint32_t params[MAX_PARAMS];
    const struct jstr *names[MAX_PARAMS];
    size_t n, nkids, cap; /* parameters; kids of the macro: its body and the defaults */
};

/* Parses a parameter with its default. */
static int parse_parameter(struct parser *p, struct node *macro, struct signature *s)
{
    if (s->n == MAX_PARAMS) return parse_fail(p, "more than %d parameters", MAX_PARAMS);
    if (cur(p)->type != T_NAME) return parse_fail(p, "a parameter name expected");
    if (parse_symbol(p, cur(p)->text, &s->params[s->n]) ||
        !(s->names[s->n] = parse_string(p, cur(p)->text)))
        return -1;
    s->n++;
    p->at++;
    if (parse_skip(p, T_ASSIGN)) {
        struct node *d = parse_expression(p);
        return d ? parse_add(p, &macro->kids, &s->nkids, &s->cap, d) : -1;
    }
    if (s->nkids == 1) return 0;
    return parse_fail(p, "a parameter without default follows one with a default");
}

int parse_signature(struct parser *p, struct node *macro)
{
    struct signature s = {.nkids = 1, .cap = 1};
    struct arena *a = &p->t->arena;
    if (!(macro->kids = arena_alloc(a, sizeof *macro->kids, p->e))) return -1;
    if (parse_expect(p, T_LPAREN, "(")) return -1;
    while (cur(p)->type != T_RPAREN) {
        if (s.n && parse_expect(p, T_COMMA, ",")) return -1;
        if (parse_parameter(p, macro, &s)) return -1;
    }
    p->at++;
    macro->nkids = (uint32_t)s.nkids;
    macro->nparams = (uint32_t)s.n;
    macro->params = arena_copy(a, s.params, s.n * sizeof *s.params, p->e);
    macro->param_names = arena_copy(a, s.names, s.n * sizeof *s.names, p->e);
    return macro->params && macro->param_names ? 0 : -1;
}

int parse_special_params(struct parser *p, struct node *n)
{
    const uint32_t special[] = {p->t->sym_caller, p->t->sym_kwargs, p->t->sym_varargs};
    static const uint32_t flags[] = {MACRO_CALLER, MACRO_KWARGS, MACRO_VARARGS};
    const uint32_t uses = n->flag;
    for (uint32_t i = 0; i < n->nparams; i++)
        for (size_t k = 0; k < 3; k++) {
            if (n->params[i] != special[k]) continue;
            n->flag &= ~flags[k];
            if (k == 0 && uses & MACRO_CALLER && i + n->nkids - 1 < n->nparams)
                return err_set(p->e, ERR_DATA,
                               "line %u: the parameter `caller` of a macro needs a default",
                               (unsigned)n->line);
        }
    return 0;
}
