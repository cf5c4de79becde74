/* SPDX-License-Identifier: Apache-2.0 */
/* Private to lib/regex: syntax tree, program, automaton. */
#ifndef SFT_REGEX_IMPL_H
#define SFT_REGEX_IMPL_H

#include "regex/regex.h"
#include "unicode/cpset.h"
#include "unicode/unicode.h"

enum {
    REGEX_MAX_PATTERN = 1 << 16, /* bytes */
    REGEX_MAX_DEPTH = 100,       /* nested groups */
    REGEX_MAX_NODES = 1 << 16,
    REGEX_MAX_REPEAT = 100000, /* Oniguruma's own bound */
    REGEX_MAX_PROG = 1 << 16   /* instructions */
};
#define REGEX_INF UINT32_MAX

/* ---- syntax tree: children are a linked list of indices; index 0 means "no node" ---- */
enum regex_node_kind {
    NODE_EMPTY,
    NODE_SET,    /* one character of a set */
    NODE_CAT,    /* children in order */
    NODE_ALT,    /* the first child that leads to a match */
    NODE_REPEAT, /* child, min to max times */
    NODE_LOOK,   /* look-ahead, or look-behind if `behind`; negative if `negative` */
    NODE_ATOMIC, /* child, without backtracking into it */
    NODE_ASSERT  /* a position */
};
enum regex_assert {
    ASSERT_LINE_BEGIN, /* ^ */
    ASSERT_LINE_END,   /* $ */
    ASSERT_TEXT_BEGIN, /* \A */
    ASSERT_TEXT_END,   /* \z */
    ASSERT_LAST_LINE,  /* \Z */
    ASSERT_WORD,       /* \b */
    ASSERT_NOT_WORD    /* \B */
};
struct regex_node {
    enum regex_node_kind kind;
    uint32_t child, next;
    uint32_t set;      /* NODE_SET: index */
    uint32_t min, max; /* NODE_REPEAT */
    bool lazy, negative, behind;
    bool literal; /* NODE_SET: the character c under (?i) */
    uint32_t c;
    enum regex_assert what;
};
struct regex_tree {
    struct regex_node *node; /* node[0] is unused */
    size_t n, cap;
    struct cpset *set;
    size_t nset, set_cap;
    uint32_t root;
};
/* Parses a pattern; builtin: it may contain \p{rust:...}. regex_tree_free() releases the tree. 0,
 * or -1 with ERR_DATA (pattern, byte, reason) or ERR_MEMORY. */
int regex_parse(struct str pattern, bool builtin, struct regex_tree *t, struct err *e);
void regex_tree_free(struct regex_tree *t);
/* Adds a node and returns its index; 0 with the error set. */
uint32_t regex_node_new(struct regex_tree *t, enum regex_node_kind kind, struct err *e);
/* Adds a NODE_SET, which takes over the memory of the set; 0 with the error set. */
uint32_t regex_set_new(struct regex_tree *t, struct cpset *set, struct err *e);

/* ---- parser; each function returns 0 for "no node", or -1, with the error set ---- */
struct regex_parser {
    const char *p, *end, *begin;
    struct regex_tree *tree;
    bool ignore_case, dot_all;
    bool builtin; /* \p{rust:...} is known */
    unsigned depth;
    struct err *e;
};
int regex_fail(struct regex_parser *ps, const char *what);
bool regex_looking_at(const struct regex_parser *ps, const char *z);
bool regex_eat(struct regex_parser *ps, const char *z); /* consumes z if it comes next */
/* Adds a node with one child; child 0, an earlier error, returns 0. */
uint32_t regex_wrap(struct regex_parser *ps, enum regex_node_kind kind, uint32_t child);
/* Parses the quantifiers after an atom and returns the repeated atom. */
uint32_t regex_parse_repeats(struct regex_parser *ps, uint32_t atom);
bool regex_at_interval(const struct regex_parser *ps); /* a quantifier {n,m} comes next */
/* True for an anchor, alone or as an alternative: Oniguruma does not repeat it. */
bool regex_is_anchor(const struct regex_tree *t, uint32_t id);
/* Parses a class behind its '[' into the empty set; *negated: the caller has to invert it. */
int regex_parse_class(struct regex_parser *ps, struct cpset *set, bool *negated);
/* Parses an escape behind its '\'. 1: it is a set; 0: it is the character *c; 2: it is neither, *c
 * is its letter; -1: error. */
int regex_parse_escape(struct regex_parser *ps, bool in_class, struct cpset *set, uint32_t *c);
/* Makes the nodes of a class under (?i), where several characters may equal a member; takes over
 * the memory of the set. */
uint32_t regex_fold_class(struct regex_parser *ps, struct cpset *set, bool negated);
/* Replaces the literals under (?i) among the siblings from `first` on where one character may equal
 * several of them (U+00DF equals "ss"). Returns the new first sibling. */
uint32_t regex_fold_literals(struct regex_parser *ps, uint32_t first);

/* ---- program ---- */
enum regex_op {
    OP_SET,    /* one character of set x */
    OP_SPLIT,  /* try x, then y */
    OP_JUMP,   /* to x */
    OP_NEXT,   /* the next character is in set x (y = 0), or is not or the text ends (y = 1) */
    OP_ASSERT, /* x is a regex_assert */
    OP_LOOK,   /* run the program behind this to OP_MATCH, with flags y; then go to x */
    OP_ATOMIC, /* run the program behind this to OP_MATCH, keep its end; then go to x */
    OP_MARK,   /* store the position in slot x */
    OP_MOVED,  /* if the position equals slot x, go to y */
    OP_MATCH
};
enum { LOOK_NEGATIVE = 1, LOOK_BEHIND = 2 };
struct regex_ins {
    enum regex_op op;
    uint32_t x, y;
    uint32_t back; /* OP_LOOK with LOOK_BEHIND: characters to step back */
};

struct regex_dfa {
    uint32_t ncls;   /* classes of characters; class ncls is the end of the text */
    uint32_t nstate; /* state 0 is dead, 1 the start */
    uint32_t *next;  /* [nstate][ncls + 1]: index of the next state's row << 1; lowest bit: a match
                      * ends before this character */
};

struct regex {
    struct regex_ins *prog;
    size_t n, cap;
    struct cpset *set;
    size_t nset;
    uint32_t slots;        /* OP_MARK slots */
    bool simple;           /* an automaton can run the program */
    struct cpset word;     /* the set of \b, where the program uses it */
    struct cpmap class_of; /* character -> class */
    uint64_t *member;      /* [ncls]: bit s: class is in set s (at most 64 sets) */
    struct regex_dfa dfa;  /* next NULL: there is none, the matcher backtracks */
};
/* Compiles the tree to the program of r and moves its sets to r. */
int regex_emit(struct regex_tree *t, struct regex *r, struct err *e);
/* Builds class_of, member and, unless it becomes too large, the automaton. 0, or -1 with
 * ERR_MEMORY. */
int regex_build_dfa(struct regex *r, struct err *e);
/* Matches the program at `at` by backtracking. 1 with *end; 0: no match; -1: *budget is exhausted,
 * or ERR_MEMORY. */
int regex_backtrack(const struct regex *r, struct regex_mem *m, const char *text, size_t n,
                    size_t at, uint64_t *budget, size_t *end, struct err *e);

#endif
