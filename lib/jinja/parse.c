/* SPDX-License-Identifier: Apache-2.0 */
/* Parses the statements of a template. */
#include "jinja/ast.h"

static const struct token *cur(const struct parser *p) { return &p->tok[p->at]; }

static int parse_end_tag(struct parser *p)
{
    return parse_expect(p, T_BLOCK_END, "the end of the tag");
}

/* ---- blocks; p is behind the name of the block ---- */

/* Parses a body up to the tag `end` and consumes the name of that tag. */
static struct node *block_body(struct parser *p, const char *end)
{
    const char *ends[] = {end, NULL};
    const char *open = p->open;
    parse_skip(p, T_COLON);
    if (parse_end_tag(p)) return NULL;
    p->open = end;
    struct node *n = parse_body(p, ends);
    p->open = open;
    if (n) p->at++; /* the caller consumes the "%}" */
    return n;
}

static struct node *parse_if(struct parser *p)
{
    static const char *const ends[] = {"elif", "else", "endif", NULL};
    struct node *n = parse_node(p, N_IF, 0);
    size_t cap = 0, nkids = 0;
    const char *open = p->open;
    while (n) {
        struct node *test = parse_tuple(p, TUPLE_NO_COND, NULL);
        parse_skip(p, T_COLON);
        if (!test || parse_end_tag(p)) return NULL;
        p->open = "endif";
        struct node *body = parse_body(p, ends);
        p->open = open;
        if (!body || parse_add(p, &n->kids, &nkids, &cap, test) ||
            parse_add(p, &n->kids, &nkids, &cap, body))
            return NULL;
        if (!parse_skip_name(p, "elif")) break;
    }
    if (!n) return NULL;
    struct node *other = NULL;
    if (parse_skip_name(p, "else")) {
        if (!(other = block_body(p, "endif"))) return NULL;
    } else {
        p->at++;
    }
    if (parse_add(p, &n->kids, &nkids, &cap, other)) return NULL;
    n->nkids = (uint32_t)nkids;
    return n;
}

/* Refuses the name `loop` as a target inside a for loop or as its own, as jinja2 does: the loop's
 * variable would be lost. */
static int check_target(struct parser *p, const struct node *target)
{
    if (!p->loops) return 0;
    for (uint32_t i = 0; target->kind == N_TUPLE && i < target->nkids; i++)
        if (check_target(p, target->kids[i])) return -1;
    if (target->kind != N_NAME || target->sym != p->t->sym_loop) return 0;
    return err_set(p->e, ERR_DATA, "line %u: `loop` cannot be assigned to in a for loop",
                   (unsigned)target->line);
}

static struct node *parse_for(struct parser *p)
{
    static const char *const ends[] = {"else", "endfor", NULL};
    struct node *n = parse_node(p, N_FOR, 5);
    const char *open = p->open;
    p->loops++;
    if (!n || !(n->kids[0] = parse_tuple(p, TUPLE_TARGET, "in")) || check_target(p, n->kids[0]))
        return NULL;
    if (!parse_skip_name(p, "in")) return parse_null(p, "`in` expected");
    if (!(n->kids[1] = parse_tuple(p, TUPLE_NO_COND, "recursive"))) return NULL;
    if (parse_skip_name(p, "if") && !(n->kids[2] = parse_expression(p))) return NULL;
    if (parse_skip_name(p, "recursive")) n->flag = FOR_RECURSIVE;
    parse_skip(p, T_COLON);
    if (parse_end_tag(p)) return NULL;
    uint32_t uses = p->uses;
    p->uses &= ~(uint32_t)USES_LOOP;
    p->open = "endfor";
    n->kids[3] = parse_body(p, ends);
    p->open = open;
    if (!n->kids[3]) return NULL;
    if (p->uses & USES_LOOP) n->flag |= FOR_USES_LOOP;
    p->uses |= uses;
    if (parse_skip_name(p, "else")) {
        if (!(n->kids[4] = block_body(p, "endfor"))) return NULL;
    } else {
        p->at++;
    }
    p->loops--;
    return n;
}

static struct node *parse_set(struct parser *p)
{
    struct node *n = parse_node(p, N_SET, 3);
    if (!n || !(n->kids[0] = parse_tuple(p, TUPLE_TARGET | TUPLE_NS, NULL)) ||
        check_target(p, n->kids[0]))
        return NULL;
    if (parse_skip(p, T_ASSIGN)) {
        n->nkids = 2;
        return (n->kids[1] = parse_tuple(p, TUPLE_PLAIN, NULL)) ? n : NULL;
    }
    n->kind = N_SETBLOCK;
    if (cur(p)->type == T_PIPE && !(n->kids[1] = parse_filter(p, NULL, false))) return NULL;
    return (n->kids[2] = block_body(p, "endset")) ? n : NULL;
}

/* Parses the body of a macro; n->flag: it uses caller, kwargs or varargs. */
static int macro_body(struct parser *p, struct node *n, const char *end)
{
    uint32_t uses = p->uses;
    p->uses = 0;
    n->kids[0] = block_body(p, end);
    n->flag = p->uses;
    p->uses = uses;
    return n->kids[0] ? parse_special_params(p, n) : -1;
}

static struct node *parse_macro(struct parser *p)
{
    struct node *n = parse_node(p, N_MACRO, 0);
    if (!n) return NULL;
    if (cur(p)->type != T_NAME) return parse_null(p, "a macro name expected");
    if (parse_symbol(p, cur(p)->text, &n->sym) || !(n->name = parse_string(p, cur(p)->text)))
        return NULL;
    p->at++;
    return parse_signature(p, n) || macro_body(p, n, "endmacro") ? NULL : n;
}

static struct node *parse_call_block(struct parser *p)
{
    struct node *n = parse_node(p, N_CALLBLOCK, 2), *m = parse_node(p, N_MACRO, 1);
    if (!n || !m) return NULL;
    m->name = parse_string(p, STR("caller"));
    if (cur(p)->type == T_LPAREN && parse_signature(p, m)) return NULL;
    if (!m->name || !(n->kids[0] = parse_expression(p))) return NULL;
    if (n->kids[0]->kind != N_CALL) return parse_null(p, "a call expected after `call`");
    n->kids[1] = m;
    return macro_body(p, m, "endcall") ? NULL : n;
}

static struct node *parse_filter_block(struct parser *p)
{
    struct node *n = parse_node(p, N_FILTERBLOCK, 2);
    if (!n || !(n->kids[0] = parse_filter(p, NULL, true))) return NULL;
    return (n->kids[1] = block_body(p, "endfilter")) ? n : NULL;
}

static struct node *parse_with(struct parser *p)
{
    struct node *n = parse_node(p, N_WITH, 1);
    size_t cap = 1, nkids = 1;
    while (n && cur(p)->type != T_BLOCK_END) {
        if (nkids > 1 && parse_expect(p, T_COMMA, ",")) return NULL;
        struct node *target = parse_tuple(p, TUPLE_TARGET, NULL);
        if (!target || parse_expect(p, T_ASSIGN, "=")) return NULL;
        struct node *v = parse_expression(p);
        if (!v || parse_add(p, &n->kids, &nkids, &cap, target) ||
            parse_add(p, &n->kids, &nkids, &cap, v))
            return NULL;
    }
    if (!n || !(n->kids[0] = block_body(p, "endwith"))) return NULL;
    n->nkids = (uint32_t)nkids;
    return n;
}

static struct node *parse_generation(struct parser *p)
{
    struct node *n = parse_node(p, N_GENERATION, 1);
    p->t->has_generation = true;
    return n && (n->kids[0] = block_body(p, "endgeneration")) ? n : NULL;
}

static int add_block(struct parser *p, struct node *n)
{
    struct jinja *t = p->t;
    for (size_t i = 0; i < t->nblocks; i++)
        if (str_eq(jstr_str(t->blocks[i]->name), jstr_str(n->name)))
            return err_set(p->e, ERR_DATA, "line %u: block `%.*s` is defined twice",
                           (unsigned)n->line, STR_FMT(jstr_str(n->name)));
    return parse_add(p, &t->blocks, &t->nblocks, &t->blockcap, n);
}

static bool is_blank(const struct node *body)
{
    size_t from, to;
    for (uint32_t i = 0; i < body->nkids; i++) {
        if (body->kids[i]->kind != N_DATA) return false;
        jstr_strip(body->kids[i]->name, NULL, true, true, &from, &to);
        if (from < to) return false;
    }
    return true;
}

/* A block renders in its place because no template extends a chat template. */
static struct node *parse_block(struct parser *p)
{
    struct node *n = parse_node(p, N_BLOCK, 1);
    if (!n) return NULL;
    if (cur(p)->type != T_NAME) return parse_null(p, "a block name expected");
    if (!(n->name = parse_string(p, cur(p)->text)) || add_block(p, n)) return NULL;
    p->at++;
    if (cur(p)->type == T_SUB) return parse_null(p, "a block name cannot have a hyphen");
    if (parse_skip_name(p, "scoped")) n->flag |= BLOCK_SCOPED;
    if (parse_skip_name(p, "required")) n->flag |= BLOCK_REQUIRED;
    if (!(n->kids[0] = block_body(p, "endblock"))) return NULL;
    if (n->flag & BLOCK_REQUIRED && !is_blank(n->kids[0]))
        return parse_null(p, "a required block can only have white space and comments");
    if (cur(p)->type == T_NAME && str_eq(cur(p)->text, jstr_str(n->name))) p->at++;
    return n;
}

static struct node *parse_print(struct parser *p)
{
    struct node *n = parse_node(p, N_BODY, 0);
    size_t cap = 0, nkids = 0;
    while (n && cur(p)->type != T_BLOCK_END) {
        if (nkids && parse_expect(p, T_COMMA, ",")) return NULL;
        struct node *k = parse_node(p, N_PRINT, 1);
        if (!k || !(k->kids[0] = parse_expression(p)) || parse_add(p, &n->kids, &nkids, &cap, k))
            return NULL;
    }
    if (n) n->nkids = (uint32_t)nkids;
    return n;
}

static struct node *parse_break(struct parser *p) { return parse_node(p, N_BREAK, 0); }
static struct node *parse_continue(struct parser *p) { return parse_node(p, N_CONTINUE, 0); }

static struct node *parse_foreign(struct parser *p)
{
    p->at--;
    parse_fail(p, "`%.*s` is not supported: a chat template stands alone", STR_FMT(cur(p)->text));
    return NULL;
}

static const struct {
    const char *name;
    struct node *(*parse)(struct parser *);
} statements[] = {
    {"if", parse_if},           {"for", parse_for},           {"set", parse_set},
    {"macro", parse_macro},     {"call", parse_call_block},   {"filter", parse_filter_block},
    {"with", parse_with},       {"block", parse_block},       {"generation", parse_generation},
    {"print", parse_print},     {"break", parse_break},       {"continue", parse_continue},
    {"include", parse_foreign}, {"import", parse_foreign},    {"from", parse_foreign},
    {"extends", parse_foreign}, {"autoescape", parse_foreign}};

static struct node *parse_statement(struct parser *p)
{
    if (cur(p)->type != T_NAME) return parse_null(p, "the name of a tag expected");
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++) {
        if (!str_is(cur(p)->text, statements[i].name)) continue;
        p->at++;
        struct node *n = statements[i].parse(p);
        return n && !parse_end_tag(p) ? n : NULL;
    }
    if (p->open)
        parse_fail(p, "unknown tag `%.*s` before `%s`", STR_FMT(cur(p)->text), p->open);
    else
        parse_fail(p, "unknown tag `%.*s`", STR_FMT(cur(p)->text));
    return NULL;
}

/* Parses text, a printed expression or a statement. */
static struct node *parse_piece(struct parser *p)
{
    const struct token *t = cur(p);
    struct node *n;
    if (t->type == T_DATA) {
        if (!(n = parse_node(p, N_DATA, 0)) || !(n->name = parse_string(p, t->text))) return NULL;
        n->value = jval_str(n->name);
        p->at++;
        return n;
    }
    if (t->type == T_VAR_BEGIN) {
        p->at++;
        n = parse_node(p, N_PRINT, 1);
        if (!n || !(n->kids[0] = parse_tuple(p, TUPLE_PLAIN, NULL))) return NULL;
        return parse_expect(p, T_VAR_END, "the end of the expression") ? NULL : n;
    }
    p->at++; /* T_BLOCK_BEGIN, the only other token here */
    return parse_statement(p);
}

struct node *parse_body(struct parser *p, const char *const *ends)
{
    struct node *n = parse_node(p, N_BODY, 0);
    size_t cap = 0, nkids = 0;
    if (!n || parse_enter(p)) return NULL;
    while (cur(p)->type != T_EOF) {
        if (cur(p)->type == T_BLOCK_BEGIN && ends) {
            p->at++;
            for (size_t i = 0; ends[i]; i++) {
                if (!parse_is_name(p, ends[i])) continue;
                n->nkids = (uint32_t)nkids;
                p->depth--;
                return n;
            }
            p->at--;
        }
        struct node *k = parse_piece(p);
        if (!k || parse_add(p, &n->kids, &nkids, &cap, k)) return NULL;
    }
    if (ends) {
        parse_fail(p, "the template ends before `%s`", p->open);
        return NULL;
    }
    n->nkids = (uint32_t)nkids;
    p->depth--;
    return n;
}
