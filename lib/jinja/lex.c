/* SPDX-License-Identifier: Apache-2.0 */
/* Splits a template into tokens: text, tags, comments and raw blocks, with trim_blocks,
 * lstrip_blocks and the signs - and +. */
#include <string.h>

#include "jinja/lex.h"

static void skip_space(struct lexer *x)
{
    for (size_t len; (len = lex_space(x, x->at));) x->at += len;
}

/* Returns the end of the text before a tag after stripping: all white space for "-", the
 * indentation of a block's line for lstrip_blocks, none for "+". */
static size_t data_end(const struct lexer *x, size_t from, size_t to, char sign, bool variable)
{
    struct jstr s = {.p = x->p + from, .n = (uint32_t)(to - from)};
    size_t b, e;
    if (sign == '-') {
        jstr_strip(&s, NULL, false, true, &b, &e);
        return from + e;
    }
    if (sign == '+' || variable) return to;
    size_t l = to;
    while (l > from && x->p[l - 1] != '\n') l--;
    if (l == from && !x->line_starting) return to;
    struct jstr tail = {.p = x->p + l, .n = (uint32_t)(to - l)};
    jstr_strip(&tail, NULL, true, false, &b, &e);
    return b == tail.n ? l : to;
}

static int put_data(struct lexer *x, size_t from, size_t to)
{
    if (to == from) return 0;
    return lex_put(x, T_DATA, from, (struct str){x->p + from, to - from}, jval_none());
}

/* Moves behind the end of a tag, and over one newline after "%}" or "#}" (trim_blocks), or over all
 * white space after "-%}". */
static void after_end(struct lexer *x, char sign, bool trim)
{
    x->at += (sign == '-' || sign == '+') ? 3 : 2;
    if (sign == '-')
        skip_space(x);
    else if (trim && sign != '+' && x->at < x->n && x->p[x->at] == '\n')
        x->at++;
    x->line_starting = x->p[x->at - 1] == '\n';
}

/* Returns the sign before an end such as "%}" at `at`: '-', '+', or ' ' for none; 0 when the end is
 * not there. */
static char end_sign(const struct lexer *x, size_t at, const char *end, bool plus)
{
    if (lex_at(x, at, end)) return ' ';
    if (at >= x->n || !lex_at(x, at + 1, end)) return 0;
    return x->p[at] == '-' || (plus && x->p[at] == '+') ? x->p[at] : 0;
}

/* Skips a comment. As in Jinja, an opening at the end of the source needs no end. */
static int lex_comment(struct lexer *x, size_t start)
{
    size_t opened = x->at;
    for (; x->at < x->n; x->at++) {
        char sign = end_sign(x, x->at, "#}", true);
        if (sign) {
            after_end(x, sign, true);
            return 0;
        }
    }
    return x->at == opened ? 0 : lex_fail(x, start, "this comment is not closed");
}

/* Returns true when the block at "{%" is `name`, with the sign and the offset of its end. plus:
 * "+%}" is an end, too. */
static bool block_is(const struct lexer *x, size_t at, const char *name, bool plus, char *sign,
                     size_t *end)
{
    at += 2;
    if (at < x->n && (x->p[at] == '-' || x->p[at] == '+')) at++;
    for (size_t len; (len = lex_space(x, at));) at += len;
    if (!lex_at(x, at, name)) return false;
    at += strlen(name);
    for (size_t len; (len = lex_space(x, at));) at += len;
    *sign = end_sign(x, at, "%}", plus);
    *end = at;
    return *sign != 0;
}

static int lex_raw(struct lexer *x, size_t start, char sign, size_t end)
{
    x->at = end;
    after_end(x, sign, false);
    size_t from = x->at;
    for (size_t at = from; at < x->n; at++) {
        if (!lex_at(x, at, "{%") || !block_is(x, at, "endraw", true, &sign, &end)) continue;
        char open = x->p[at + 2];
        if (put_data(x, from, data_end(x, from, at, open, false))) return -1;
        x->at = end;
        after_end(x, sign, true);
        return 0;
    }
    x->at = x->n;
    return from == x->n ? 0 : lex_fail(x, start, "this raw block is not closed");
}

/* Reads the tokens of a tag, from behind its "{{" or "{%" to behind its end. */
static int lex_tag(struct lexer *x, size_t start, bool block)
{
    char open[JINJA_MAX_DEPTH];
    size_t depth = 0;
    while (x->at < x->n) {
        char sign = depth ? 0 : end_sign(x, x->at, block ? "%}" : "}}", block);
        int rc = 0;
        if (sign) {
            if (lex_mark(x, block ? T_BLOCK_END : T_VAR_END)) return -1;
            after_end(x, sign, block);
            return 0;
        }
        char c = x->p[x->at];
        size_t end;
        if (lex_space(x, x->at))
            skip_space(x);
        else if (c >= '0' && c <= '9')
            rc = (end = lex_float_end(x, x->at)) > x->at ? lex_float(x, end) : lex_integer(x);
        else if (lex_name_char(x, x->at))
            rc = lex_name(x);
        else if (c == '\'' || c == '"')
            rc = lex_string(x);
        else
            rc = lex_operator(x, open, &depth);
        if (rc) return -1;
    }
    return lex_fail(x, start, block ? "this {% is not closed" : "this {{ is not closed");
}

/* Reads text up to the next tag, and that tag. */
static int lex_piece(struct lexer *x)
{
    size_t from = x->at, at = from, end;
    while (at < x->n && !(x->p[at] == '{' &&
                          (x->p[at + 1] == '{' || x->p[at + 1] == '%' || x->p[at + 1] == '#')))
        at++;
    if (at >= x->n) {
        x->at = x->n;
        return put_data(x, from, x->n);
    }
    char what = x->p[at + 1], sign = x->p[at + 2], raw;
    if (put_data(x, from, data_end(x, from, at, sign, what == '{'))) return -1;
    if (what == '%' && block_is(x, at, "raw", false, &raw, &end) && raw != '+')
        return lex_raw(x, at, raw, end);
    x->at = at + 2 + (sign == '-' || sign == '+');
    if (what == '#') return lex_comment(x, at);
    if (lex_mark(x, what == '{' ? T_VAR_BEGIN : T_BLOCK_BEGIN)) return -1;
    return lex_tag(x, at, what == '%');
}

/* Copies the source as Jinja reads it: "\r\n" and "\r" are "\n", one final newline is removed. */
static char *normal_source(struct str s, struct arena *a, size_t *n, struct err *e)
{
    char *p = arena_copy(a, s.p, s.n, e);
    size_t k = 0;
    if (!p) return NULL;
    for (size_t i = 0; i < s.n; i++) {
        if (p[i] == '\r') {
            if (i + 1 < s.n && p[i + 1] == '\n') i++;
            p[k++] = '\n';
        } else {
            p[k++] = p[i];
        }
    }
    if (k && p[k - 1] == '\n') k--;
    p[k] = 0;
    *n = k;
    return p;
}

static bool utf8_valid(struct str s)
{
    for (size_t i = 0, len; i < s.n; i += len) {
        uint32_t c = jchar_get(s.p + i, s.n - i, &len);
        char again[4];
        if (jchar_put(c, again) != len || memcmp(again, s.p + i, len) != 0) return false;
    }
    return true;
}

int jinja_lex(struct str source, struct arena *a, struct token **out, size_t *n, struct err *e)
{
    if (source.n > JINJA_MAX_SOURCE)
        return err_set(e, ERR_DATA, "the template is larger than %zu bytes", JINJA_MAX_SOURCE);
    if (!utf8_valid(source)) return err_set(e, ERR_DATA, "the template is not UTF-8");
    struct lexer x = {.line = 1, .line_starting = true, .a = a, .e = e};
    x.p = normal_source(source, a, &x.n, e);
    if (!x.p) return -1;
    while (x.at < x.n)
        if (lex_piece(&x)) return -1;
    if (lex_mark(&x, T_EOF)) return -1;
    *out = x.tok;
    *n = x.ntok;
    return 0;
}
