/* SPDX-License-Identifier: Apache-2.0 */
/* Compiles a template: tokens, syntax tree, check of names. */
#include <string.h>

#include "jinja/ast.h"

/* Reports an unknown filter or test. As in Jinja, one inside a branch (soft) is reported only when
 * it is reached. */
static int check_names(struct parser *p, const struct node *n, bool soft)
{
    if (!n) return 0;
    if ((n->kind == N_FILTER || n->kind == N_TEST) && !n->func && !soft)
        return err_set(p->e, ERR_DATA, "line %u: there is no %s `%.*s`", (unsigned)n->line,
                       n->kind == N_FILTER ? "filter" : "test", STR_FMT(jstr_str(n->name)));
    bool branch = n->kind == N_IF || n->kind == N_COND;
    bool scope = n->kind == N_FOR || n->kind == N_MACRO || n->kind == N_SETBLOCK ||
                 n->kind == N_CALLBLOCK || n->kind == N_FILTERBLOCK || n->kind == N_WITH ||
                 n->kind == N_GENERATION || n->kind == N_BLOCK;
    for (uint32_t i = 0; i < n->nkids; i++) {
        bool inner = scope && !(n->kind == N_FOR && i == 1) ? false : soft;
        if (check_names(p, n->kids[i], branch || inner)) return -1;
    }
    if (!n->args) return 0;
    for (size_t i = 0; i < n->args->npos; i++)
        if (check_names(p, n->args->pos[i], soft)) return -1;
    for (size_t i = 0; i < n->args->nkw; i++)
        if (check_names(p, n->args->kw[i], soft)) return -1;
    if (check_names(p, n->args->star, soft)) return -1;
    return check_names(p, n->args->starstar, soft);
}

static int resolve_globals(struct jinja *t, struct err *e)
{
    size_t bytes = t->nsymbols * sizeof *t->globals;
    if (!(t->globals = arena_alloc(&t->arena, bytes, e))) return -1;
    for (size_t i = 0; i < t->nsymbols; i++) t->globals[i] = jinja_global(jstr_str(t->symbols[i]));
    return 0;
}

static int compile(struct jinja *t, struct str source, struct err *e)
{
    struct token *tok;
    size_t ntok;
    struct parser p = {.t = t, .e = e};
    if (parse_symbol(&p, STR("loop"), &t->sym_loop) ||
        parse_symbol(&p, STR("caller"), &t->sym_caller) ||
        parse_symbol(&p, STR("kwargs"), &t->sym_kwargs) ||
        parse_symbol(&p, STR("varargs"), &t->sym_varargs) ||
        parse_symbol(&p, STR("self"), &t->sym_self) || jinja_lex(source, &t->arena, &tok, &ntok, e))
        return -1;
    p.tok = tok;
    for (size_t i = 0; i < ntok; i++)
        t->uses_self |= tok[i].type == T_NAME && str_is(tok[i].text, "self");
    t->body = parse_body(&p, NULL);
    if (!t->body || check_names(&p, t->body, false)) return -1;
    return resolve_globals(t, e);
}

struct jinja *jinja_compile(struct str source, struct err *e)
{
    struct jinja *t = mem_alloc(1, sizeof *t, e);
    if (!t) return NULL;
    t->arena.max = JINJA_MAX_SOURCE * 512;
    if (!compile(t, source, e)) return t;
    jinja_free(t);
    return NULL;
}

void jinja_free(struct jinja *t)
{
    if (!t) return;
    arena_free(&t->arena);
    mem_free(t);
}

bool jinja_has_generation(const struct jinja *t) { return t->has_generation; }
