/* SPDX-License-Identifier: Apache-2.0 */
/* The state of the lexer and the functions that read one token; private to lib/jinja. */
#ifndef SFT_JINJA_LEX_H
#define SFT_JINJA_LEX_H

#include "jinja/ast.h"

struct lexer {
    const char *p; /* the source with newlines made "\n", NUL-terminated */
    size_t n, at;
    size_t counted; /* the offset up to which newlines are counted in `line` */
    uint32_t line;
    bool line_starting; /* `at` is at the beginning of a line */
    struct arena *a;
    struct err *e;
    struct token *tok;
    size_t ntok, cap;
};

int lex_fail(struct lexer *x, size_t at, const char *what);
int lex_put(struct lexer *x, enum tok type, size_t at, struct str text, struct jval value);
int lex_mark(struct lexer *x, enum tok type); /* adds a token without text, at x->at */
bool lex_at(const struct lexer *x, size_t at, const char *z);
size_t lex_space(const struct lexer *x, size_t at); /* bytes of the white space character, or 0 */

/* Each reads one token at x->at and moves x->at behind it. 0, or -1 with ERR_DATA. */
int lex_integer(struct lexer *x);
int lex_float(struct lexer *x, size_t end);
int lex_string(struct lexer *x);
int lex_name(struct lexer *x);
/* open[*depth]: the closing brackets that are expected, innermost last. */
int lex_operator(struct lexer *x, char *open, size_t *depth);
/* Returns the end of the float that begins at `at`, or `at` when there is none. */
size_t lex_float_end(const struct lexer *x, size_t at);
size_t lex_name_char(const struct lexer *x, size_t at); /* bytes of the name character, or 0 */

#endif
