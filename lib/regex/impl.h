/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the regex engine: syntax tree, program, automaton. */
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

/* ---- syntax tree: children are a linked list of indices; 0 is "no node" ---- */
enum regex_node_kind {
    NODE_EMPTY,
    NODE_SET,    /* one character of a set */
    NODE_CAT,    /* children in order */
    NODE_ALT,    /* one of the children, the first that leads to a match */
    NODE_REPEAT, /* child, min to max times */
    NODE_LOOK,   /* look-ahead, negative if `negative`; behind if `behind` */
    NODE_ATOMIC, /* child, without going back into it */
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
    bool literal; /* NODE_SET: one character, equal without case when folded */
    uint32_t c;   /* that character */
    enum regex_assert what;
};
struct regex_tree {
    struct regex_node *node; /* node[0] is unused */
    size_t n, cap;
    struct cpset *set;
    size_t nset, set_cap;
    uint32_t root;
};
int regex_parse(struct str pattern, bool own, struct regex_tree *t, struct err *e);
void regex_tree_free(struct regex_tree *t);
/* Index of a new node, 0 with an error. */
uint32_t regex_node_new(struct regex_tree *t, enum regex_node_kind kind, struct err *e);
/* A NODE_SET that takes over the set's memory, 0 with an error. */
uint32_t regex_set_new(struct regex_tree *t, struct cpset *set, struct err *e);

/* ---- parser: shared between its files ---- */
struct regex_parser {
    const char *p, *end, *begin;
    struct regex_tree *tree;
    bool ignore_case, dot_all;
    bool own; /* \p{rust:...} is allowed */
    unsigned depth;
    struct err *e;
};
int regex_fail(struct regex_parser *ps, const char *what);
bool regex_looking_at(const struct regex_parser *ps, const char *z);
bool regex_eat(struct regex_parser *ps, const char *z); /* passes over z if it comes next */
/* A node of one kind over one child (0: an error before). */
uint32_t regex_wrap(struct regex_parser *ps, enum regex_node_kind kind, uint32_t child);
/* The quantifiers after an atom (0: an error before): the repeated atom. */
uint32_t regex_parse_repeats(struct regex_parser *ps, uint32_t atom);
bool regex_at_interval(const struct regex_parser *ps); /* a '{' that counts */
bool regex_is_anchor(const struct regex_tree *t, uint32_t id);
/* A class after its '[': the set, before any negation, put into the empty *set. */
int regex_parse_class(struct regex_parser *ps, struct cpset *set, bool *negated);
/* An escape after its '\': 1 with a set, 0 with a character in *c, 2 when it is neither (the letter
 * in *c), -1 with an error. */
int regex_parse_escape(struct regex_parser *ps, bool in_class, struct cpset *set, uint32_t *c);
/* The nodes of a set (taken over) under (?i), where a member may also be several characters. */
uint32_t regex_fold_class(struct regex_parser *ps, struct cpset *set, bool negated);
/* Replaces literals under (?i), among the siblings from first on, that may also be matched by one
 * character for several ("ss" by U+00DF). The new first sibling, or 0. */
uint32_t regex_fold_literals(struct regex_parser *ps, uint32_t first);

/* ---- program ---- */
enum regex_op {
    OP_SET,    /* one character of set x */
    OP_SPLIT,  /* try x, then y */
    OP_JUMP,   /* to x */
    OP_NEXT,   /* the next character is (y = 0) or is not (y = 1) in set x; not: also at the end */
    OP_ASSERT, /* x is a regex_assert */
    OP_LOOK,   /* program after this up to OP_MATCH matches here; flags y; then go to x */
    OP_ATOMIC, /* run the program after this up to OP_MATCH, keep its end; then go to x */
    OP_MARK,   /* remember the position in slot x */
    OP_MOVED,  /* if no progress since slot x, go to y */
    OP_MATCH
};
enum { LOOK_NEGATIVE = 1, LOOK_BEHIND = 2 };
struct regex_ins {
    enum regex_op op;
    uint32_t x, y;
    uint32_t back; /* OP_LOOK behind: characters to step back */
};

struct regex_dfa {
    uint32_t ncls;   /* classes of characters; class ncls is the end of the text */
    uint32_t nstate; /* state 0 is dead, 1 the start */
    uint32_t *next;  /* [nstate][ncls + 1]: index of the next state's row << 1; lowest bit: a match
                        ends before this character */
};

struct regex {
    struct regex_ins *prog;
    size_t n, cap;
    struct cpset *set;
    size_t nset;
    uint32_t slots;        /* OP_MARK slots */
    bool simple;           /* only what an automaton can do */
    struct cpset word;     /* for \b, when used */
    struct cpmap class_of; /* character -> class */
    uint64_t *member;      /* [ncls]: bit s: class is in set s (at most 64 sets) */
    struct regex_dfa dfa;  /* next NULL: match by backtracking */
};
int regex_emit(struct regex_tree *t, struct regex *r, struct err *e);
/* Builds class_of, member and, where possible, the automaton. 0 also when it is too large. */
int regex_build_dfa(struct regex *r, struct err *e);
/* A match of the program at `at`: 1 with *end, 0, or -1. */
int regex_backtrack(const struct regex *r, struct regex_mem *m, const char *text, size_t n,
                    size_t at, uint64_t *budget, size_t *end, struct err *e);

#endif
