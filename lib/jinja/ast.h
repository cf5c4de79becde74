/* SPDX-License-Identifier: Apache-2.0 */
/* The tokens, the syntax tree and the state of the evaluator; private to lib/jinja. */
#ifndef SFT_JINJA_AST_H
#define SFT_JINJA_AST_H

#include "jinja/jinja.h"

enum tok {
    T_EOF,
    T_DATA,
    T_VAR_BEGIN,
    T_VAR_END,
    T_BLOCK_BEGIN,
    T_BLOCK_END,
    T_NAME,
    T_STRING,
    T_INT,
    T_FLOAT,
    /* operators */
    T_ADD,
    T_SUB,
    T_MUL,
    T_DIV,
    T_FLOORDIV,
    T_MOD,
    T_POW,
    T_TILDE,
    T_LBRACKET,
    T_RBRACKET,
    T_LPAREN,
    T_RPAREN,
    T_LBRACE,
    T_RBRACE,
    T_EQ,
    T_NE,
    T_GT,
    T_GE,
    T_LT,
    T_LE,
    T_ASSIGN,
    T_DOT,
    T_COLON,
    T_PIPE,
    T_COMMA,
    T_SEMICOLON,
    /* only in trees */
    T_IN,
    T_NOTIN,
};
struct token {
    enum tok type;
    uint32_t line;
    struct str text;   /* T_DATA, T_NAME, T_STRING */
    struct jval value; /* T_INT, T_FLOAT */
};

enum node_kind {
    /* expressions */
    N_CONST,   /* value */
    N_NAME,    /* sym */
    N_NSREF,   /* sym, name: the assignment target `ns.name` */
    N_LIST,    /* kids */
    N_TUPLE,   /* kids */
    N_DICT,    /* kids: key, value, key, value ... */
    N_GETATTR, /* kids[0], name */
    N_GETITEM, /* kids[0], kids[1] */
    N_SLICE,   /* kids[0..2], each may be NULL */
    N_CALL,    /* kids[0], args */
    N_FILTER,  /* kids[0] (NULL: the text of a block), name, func, args */
    N_TEST,    /* kids[0], name, func, args */
    N_NEG,     /* kids[0] */
    N_POS,
    N_NOT,
    N_BINARY, /* op, kids[0], kids[1] */
    N_AND,
    N_OR,
    N_COMPARE, /* kids[0], then N_OPERAND { op, kids[0] } */
    N_OPERAND,
    N_CONCAT, /* kids */
    N_COND,   /* kids: test, then, else or NULL */
    /* statements */
    N_BODY,        /* kids */
    N_DATA,        /* value */
    N_PRINT,       /* kids[0] */
    N_IF,          /* kids: test, body, test, body ..., and last a body or NULL */
    N_FOR,         /* kids: target, iterable, filter or NULL, body, else or NULL; flag: FOR_* */
    N_SET,         /* kids: target, expression */
    N_SETBLOCK,    /* kids: target, filter or NULL, body */
    N_MACRO,       /* sym, params, kids[0]: body; kids[1..]: defaults of the last parameters */
    N_CALLBLOCK,   /* kids: call, an N_MACRO */
    N_FILTERBLOCK, /* kids: filter, body */
    N_WITH,        /* kids: body, then target, expression, target, expression ... */
    N_BLOCK,       /* name, kids[0]: body; flag: BLOCK_* */
    N_GENERATION,  /* kids[0] */
    N_BREAK,
    N_CONTINUE,
};
struct node;
struct call_args {
    struct node **pos;
    size_t npos;
    const struct jstr **names;
    struct node **kw;
    size_t nkw;
    struct node *star, *starstar;
};
enum { MACRO_CALLER = 1, MACRO_KWARGS = 2, MACRO_VARARGS = 4, USES_LOOP = 8 };
enum { FOR_RECURSIVE = 1, FOR_USES_LOOP = 2 };
enum { BLOCK_SCOPED = 1, BLOCK_REQUIRED = 2 };
struct node {
    enum node_kind kind;
    enum tok op;
    uint32_t line, sym, nkids;
    uint32_t flag; /* N_FOR: FOR_*; N_MACRO: MACRO_* of the names that its body uses */
    struct node **kids;
    struct jval value;
    const struct jstr *name;
    const struct jfunc *func;
    struct call_args *args;
    uint32_t *params, nparams; /* N_MACRO: symbols */
    const struct jstr *const *param_names;
};
enum {
    JINJA_MAX_DEPTH = 100, /* levels of the tree */
    JINJA_MAX_NAMES = 4096
};
#define JINJA_MAX_SOURCE ((size_t)1 << 20)

struct jinja {
    struct arena arena;
    struct node *body;
    const struct jstr **symbols;
    const struct jfunc **globals; /* [nsymbols]: the global function of that name, or NULL */
    size_t nsymbols, symcap;
    uint32_t sym_loop, sym_caller, sym_kwargs, sym_varargs, sym_self;
    struct node **blocks; /* [nblocks] */
    size_t nblocks, blockcap;
    bool uses_self;
    bool has_generation;
};

/* Splits the source into tokens, which the arena owns; the last one is T_EOF. 0, or -1 with
 * ERR_DATA and the line. */
int jinja_lex(struct str source, struct arena *a, struct token **out, size_t *n, struct err *e);

struct parser {
    struct jinja *t;
    struct err *e;
    const struct token *tok;
    size_t at;
    unsigned depth;
    unsigned loops;   /* for loops around the current place */
    uint32_t uses;    /* MACRO_*, USES_LOOP: special names that the current body uses */
    const char *open; /* the innermost open block, for messages */
};
/* On failure each of these returns NULL, or -1, and sets the error. The arena of the template owns
 * the nodes. */
int parse_fail(struct parser *p, const char *fmt, ...) ERR_PRINTF(2, 3);
struct node *parse_node(struct parser *p, enum node_kind kind, size_t nkids);
struct node *parse_expression(struct parser *p);
enum { TUPLE_PLAIN = 0, TUPLE_NO_COND = 1, TUPLE_PARENS = 2, TUPLE_TARGET = 4, TUPLE_NS = 8 };
struct node *parse_tuple(struct parser *p, unsigned how, const char *end);
struct node *parse_filter(struct parser *p, struct node *n, bool inline_start);
/* Parses "(a, b=1, *c, **d)", the arguments of a call. */
struct call_args *parse_args(struct parser *p);
/* Parses "(a, b=1)", the parameters of a macro, into its params; defaults into kids[1..]. */
int parse_signature(struct parser *p, struct node *macro);
/* Clears in n->flag the special names that are parameters of the macro. A parameter called caller
 * takes the block of a call, which is passed by its name, and needs a default for calls without. */
int parse_special_params(struct parser *p, struct node *n);
struct node *parse_body(struct parser *p, const char *const *ends);
int parse_add(struct parser *p, struct node ***kids, size_t *n, size_t *cap, struct node *k);
bool parse_skip(struct parser *p, enum tok type);
bool parse_skip_name(struct parser *p, const char *name);
int parse_expect(struct parser *p, enum tok type, const char *what);
bool parse_is_name(const struct parser *p, const char *name);
/* Copies a string into the arena; finds or adds the number of a name. */
const struct jstr *parse_string(struct parser *p, struct str s);
int parse_symbol(struct parser *p, struct str name, uint32_t *sym);
int parse_enter(struct parser *p);
/* Enters one level for the next link of a chain; the caller subtracts *levels from p->depth. */
int parse_deepen(struct parser *p, unsigned *levels);
struct node *parse_null(struct parser *p, const char *what); /* parse_fail() that returns NULL */
struct node *parse_node1(struct parser *p, enum node_kind kind, struct node *a);
struct node *parse_node2(struct parser *p, enum node_kind kind, struct node *a, struct node *b);
struct node *parse_primary(struct parser *p, bool ns);
struct node *parse_unary(struct parser *p, bool filters);

/* ---- rendering ---- */
struct binding {
    uint32_t sym;
    struct jval v;
};
struct scope {
    struct scope *parent;
    struct binding *b;
    size_t n, cap;
    bool captured; /* a macro refers to it, so it is not reused */
};
struct jmacro {
    const struct node *node;
    struct scope *scope;
};
struct jloop {
    struct jlist *items;
    size_t at;               /* index0 */
    const struct node *node; /* the N_FOR */
    struct scope *scope;     /* the scope around the loop */
    int64_t depth0;
    struct jlist *changed; /* arguments of the last loop.changed() */
};
enum flow { FLOW_NEXT = 0, FLOW_BREAK = 1, FLOW_CONTINUE = 2 };

int jinja_eval(struct vm *vm, const struct node *n, struct jval *out);
int jinja_eval_args(struct vm *vm, const struct call_args *c, struct jargs *a);
int jinja_eval_filter(struct vm *vm, const struct node *n, struct jval self, struct jval *out);
int jinja_exec(struct vm *vm, const struct node *n); /* returns an enum flow, or -1 */
int jinja_loop_call(struct vm *vm, struct jloop *l, const struct jargs *a, struct jval *out);
int jinja_loop_attr(struct vm *vm, struct jloop *l, const struct jstr *name, struct jval *out);
/* Opens a scope inside the current one and makes it current. NULL: the error is set. */
struct scope *jinja_scope_push(struct vm *vm);
int jinja_print(struct vm *vm, struct jval v);
/* Renders a body to a string. Jinja compiles such a body (macro, call, generation) to a function,
 * so break and continue cannot leave a loop around it. */
int jinja_capture(struct vm *vm, const struct node *body, struct jval *out);
int jinja_for(struct vm *vm, const struct node *n);
int jinja_macro_make(struct vm *vm, const struct node *n, struct jval *out);
int jinja_call_block(struct vm *vm, const struct node *n);
/* Renders a block in its place. */
int jinja_block(struct vm *vm, const struct node *n);
/* Binds `self`, whose members render the blocks. */
int jinja_self(struct vm *vm);
int jinja_scope_set(struct vm *vm, struct scope *s, uint32_t sym, struct jval v);
int jinja_assign(struct vm *vm, const struct node *target, struct jval v);
int vm_enter(struct vm *vm, const struct node *n);
void vm_leave(struct vm *vm);

#endif
