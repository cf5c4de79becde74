/* SPDX-License-Identifier: Apache-2.0 */
/* The template as tokens: white space control as with trim_blocks and lstrip_blocks, comments, raw.
 */
#include <string.h>

#include "base/buf.h"
#include "base/opt.h"
#include "chat/jinja_ast.h"

struct lexer {
    const char *p; /* the source with newlines made "\n", NUL-terminated */
    size_t n, at;
    size_t counted; /* line is that of this offset */
    uint32_t line;
    bool line_starting; /* what was read last ended in a newline, or nothing was read */
    struct arena *a;
    struct err *e;
    struct token *tok;
    size_t ntok, cap;
};

static uint32_t lex_line(struct lexer *x, size_t at)
{
    for (; x->counted < at; x->counted++) x->line += x->p[x->counted] == '\n';
    return x->line;
}

static int lex_fail(struct lexer *x, size_t at, const char *what)
{
    return err_set(x->e, ERR_DATA, "line %u: %s", (unsigned)lex_line(x, at), what);
}

static int lex_put(struct lexer *x, enum tok type, size_t at, struct str text, struct jval value)
{
    if (x->ntok == x->cap) {
        size_t cap = x->cap ? x->cap * 2 : 256;
        struct token *t = arena_alloc(x->a, cap * sizeof *t, x->e);
        if (!t) return -1;
        if (x->ntok) memcpy(t, x->tok, x->ntok * sizeof *t);
        x->tok = t;
        x->cap = cap;
    }
    x->tok[x->ntok++] =
        (struct token){.type = type, .line = lex_line(x, at), .text = text, .value = value};
    return 0;
}

static int lex_mark(struct lexer *x, enum tok type)
{
    return lex_put(x, type, x->at, (struct str){0}, jval_none());
}

static size_t space_at(const struct lexer *x, size_t at)
{
    size_t len;
    if (at >= x->n) return 0;
    return jchar_space(jchar_get(x->p + at, x->n - at, &len)) ? len : 0;
}

static void skip_space(struct lexer *x)
{
    for (size_t len; (len = space_at(x, x->at));) x->at += len;
}

static bool lex_at(const struct lexer *x, size_t at, const char *z)
{
    size_t n = strlen(z);
    return x->n - at >= n && memcmp(x->p + at, z, n) == 0;
}

/* The text before a tag, shortened as its sign and lstrip_blocks say. */
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

/* After "%}" or "#}": one newline goes (trim_blocks); after "-%}" all white space does. */
static void after_end(struct lexer *x, char sign, bool trim)
{
    x->at += (sign == '-' || sign == '+') ? 3 : 2;
    if (sign == '-')
        skip_space(x);
    else if (trim && sign != '+' && x->at < x->n && x->p[x->at] == '\n')
        x->at++;
    x->line_starting = x->p[x->at - 1] == '\n';
}

/* The sign of an end such as "%}" when it stands at `at`: '-', '+', ' ' for none, 0 when it does
 * not stand there. */
static char end_sign(const struct lexer *x, size_t at, const char *end, bool plus)
{
    if (lex_at(x, at, end)) return ' ';
    if (at >= x->n || !lex_at(x, at + 1, end)) return 0;
    return x->p[at] == '-' || (plus && x->p[at] == '+') ? x->p[at] : 0;
}

/* As in Jinja, what ends right after its opening needs no end. */
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

/* At "{%": whether the block is `name`, and where it ends; only "-" may mark the end of raw. */
static bool block_is(const struct lexer *x, size_t at, const char *name, bool plus, char *sign,
                     size_t *end)
{
    at += 2;
    if (at < x->n && (x->p[at] == '-' || x->p[at] == '+')) at++;
    for (size_t len; (len = space_at(x, at));) at += len;
    if (!lex_at(x, at, name)) return false;
    at += strlen(name);
    for (size_t len; (len = space_at(x, at));) at += len;
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
        if (put_data(x, from, data_end(x, from, at, open, false)) < 0) return -1;
        x->at = end;
        after_end(x, sign, true);
        return 0;
    }
    x->at = x->n;
    return from == x->n ? 0 : lex_fail(x, start, "this raw block is not closed");
}

/* ---- inside tags ---- */
static bool digit(char c) { return c >= '0' && c <= '9'; }

/* Digits with single underscores between them. */
static size_t digits_at(const struct lexer *x, size_t at)
{
    size_t i = at;
    while (digit(x->p[i]) || (x->p[i] == '_' && i > at && digit(x->p[i + 1]))) i++;
    return i;
}

/* The end of a float at `at`, or `at` when there is none. */
static size_t float_at(const struct lexer *x, size_t at)
{
    size_t i = digits_at(x, at), k;
    bool fraction = false;
    if (i == at || (at > 0 && x->p[at - 1] == '.')) return at;
    if (x->p[i] == '.' && (k = digits_at(x, i + 1)) > i + 1) {
        i = k;
        fraction = true;
    }
    if (x->p[i] == 'e' || x->p[i] == 'E') {
        size_t s = i + 1;
        if (x->p[s] == '+' || x->p[s] == '-') s++;
        if ((k = digits_at(x, s)) > s) return k;
    }
    return fraction ? i : at;
}

static int digit_value(char c)
{
    if (digit(c)) return c - '0';
    c = (char)(c | 32);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : 99;
}

static int lex_integer(struct lexer *x)
{
    size_t start = x->at, i = x->at;
    int base = 10;
    char mark = (char)(x->p[i + 1] | 32);
    if (x->p[i] == '0' && (mark == 'x' || mark == 'o' || mark == 'b')) {
        int b = mark == 'x' ? 16 : mark == 'o' ? 8 : 2;
        size_t first = x->p[i + 2] == '_' ? i + 3 : i + 2;
        if (digit_value(x->p[first]) < b) {
            base = b;
            i = first;
        }
    }
    int64_t v = 0;
    for (; digit_value(x->p[i]) < base ||
           (x->p[i] == '_' && i > start && digit_value(x->p[i + 1]) < base);
         i++) {
        if (x->p[i] == '_') continue;
        if (base == 10 && i > start && x->p[start] == '0' && x->p[i] != '0') break;
        if (__builtin_mul_overflow(v, (int64_t)base, &v) ||
            __builtin_add_overflow(v, (int64_t)digit_value(x->p[i]), &v))
            return lex_fail(x, start, "this number has more than 64 bits");
    }
    if (lex_put(x, T_INT, start, (struct str){x->p + start, i - start}, jval_int(v)) < 0) return -1;
    x->at = i;
    return 0;
}

static int lex_float(struct lexer *x, size_t end)
{
    char text[64];
    size_t n = 0;
    double f;
    for (size_t i = x->at; i < end; i++) {
        if (x->p[i] == '_') continue;
        if (n == sizeof text - 1) return lex_fail(x, x->at, "this number is too long");
        text[n++] = x->p[i];
    }
    text[n] = 0;
    if (num_f64(text, &f) < 0) return lex_fail(x, x->at, "this number is out of range");
    if (lex_put(x, T_FLOAT, x->at, (struct str){x->p + x->at, end - x->at}, jval_float(f)) < 0)
        return -1;
    x->at = end;
    return 0;
}

/* Value of `n` hexadecimal digits, or -1. */
static int64_t hex_value(const char *p, size_t room, size_t n)
{
    int64_t v = 0;
    if (room < n) return -1;
    for (size_t i = 0; i < n; i++) {
        if (digit_value(p[i]) > 15) return -1;
        v = v * 16 + digit_value(p[i]);
    }
    return v;
}

/* One escape at p[0] == '\\'; appends to b and gives its length, 0 when it is malformed. Python
 * decodes the ASCII form of the text, in which a character beyond ASCII is itself an escape. */
static size_t escape(const char *p, size_t n, struct buf *b)
{
    static const char names[] = "abfnrtv\\'\"", values[] = "\a\b\f\n\r\t\v\\'\"";
    const char *k = n > 1 && p[1] ? strchr(names, p[1]) : NULL;
    char out[4];
    if (n < 2) return 0;
    if (k) {
        buf_putc(b, values[k - names]);
        return 2;
    }
    if (p[1] == '\n') return 2;
    if (p[1] >= '0' && p[1] <= '7') {
        uint32_t v = 0;
        size_t i = 1;
        for (; i < 4 && i < n && p[i] >= '0' && p[i] <= '7'; i++)
            v = v * 8 + (uint32_t)(p[i] - '0');
        buf_add(b, out, jchar_put(v, out));
        return i;
    }
    size_t len = p[1] == 'x' ? 2 : p[1] == 'u' ? 4 : p[1] == 'U' ? 8 : 0;
    if (len) {
        int64_t v = hex_value(p + 2, n - 2, len);
        if (v < 0 || v > 0x10FFFF || (v >= 0xD800 && v < 0xE000)) return 0;
        buf_add(b, out, jchar_put((uint32_t)v, out));
        return len + 2;
    }
    if (p[1] == 'N') return 0;
    if ((unsigned char)p[1] >= 0x80) {
        uint32_t c = jchar_get(p + 1, n - 1, &len);
        buf_printf(b, c < 0x100 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x", (unsigned)c);
        return len + 1;
    }
    buf_add(b, p, 2);
    return 2;
}

static int lex_string(struct lexer *x)
{
    size_t start = x->at, i = start + 1;
    char quote = x->p[start];
    struct buf b = {0};
    while (i < x->n && x->p[i] != quote) {
        size_t len = 1;
        if (x->p[i] == '\\')
            len = escape(x->p + i, x->n - i, &b);
        else
            buf_putc(&b, x->p[i]);
        if (!len) {
            buf_free(&b);
            return lex_fail(x, i, "this escape in a string is malformed or not supported");
        }
        i += len;
    }
    int rc = buf_check(&b, x->e);
    char *copy = rc < 0 ? NULL : arena_copy(x->a, b.len ? b.data : "", b.len, x->e);
    struct str text = {copy, b.len};
    buf_free(&b);
    if (!copy) return -1;
    if (i >= x->n) return lex_fail(x, start, "this string is not closed");
    if (lex_put(x, T_STRING, start, text, jval_none()) < 0) return -1;
    x->at = i + 1;
    return 0;
}

/* Letters beyond ASCII are taken for parts of names; punctuation and symbols are not. */
static size_t name_char(const struct lexer *x, size_t at)
{
    char c = x->p[at];
    if (digit(c) || c == '_' || ((c | 32) >= 'a' && (c | 32) <= 'z')) return 1;
    if ((unsigned char)c < 0x80) return 0;
    size_t len;
    uint32_t u = jchar_get(x->p + at, x->n - at, &len);
    bool mark = u < 0xC0 ? u != 0xAA && u != 0xB5 && u != 0xBA
                         : u == 0xD7 || u == 0xF7 || (u >= 0x2000 && u < 0x2C00) ||
                               (u >= 0x3000 && u < 0x3005) || (u >= 0x3008 && u < 0x3021) ||
                               (u >= 0xFF00 && u < 0xFF10) || u >= 0x1F000 || jchar_space(u);
    return mark ? 0 : len;
}

static int lex_name(struct lexer *x)
{
    size_t end = x->at, len;
    while (end < x->n && (len = name_char(x, end))) end += len;
    if (lex_put(x, T_NAME, x->at, (struct str){x->p + x->at, end - x->at}, jval_none()) < 0)
        return -1;
    x->at = end;
    return 0;
}

static int lex_operator(struct lexer *x, char *open, size_t *depth)
{
    static const struct {
        const char *text;
        enum tok type;
    } ops[] = {{"**", T_POW},     {"//", T_FLOORDIV}, {"==", T_EQ},    {"!=", T_NE},
               {">=", T_GE},      {"<=", T_LE},       {"+", T_ADD},    {"-", T_SUB},
               {"*", T_MUL},      {"/", T_DIV},       {"%", T_MOD},    {"~", T_TILDE},
               {"[", T_LBRACKET}, {"]", T_RBRACKET},  {"(", T_LPAREN}, {")", T_RPAREN},
               {"{", T_LBRACE},   {"}", T_RBRACE},    {">", T_GT},     {"<", T_LT},
               {"=", T_ASSIGN},   {".", T_DOT},       {":", T_COLON},  {"|", T_PIPE},
               {",", T_COMMA},    {";", T_SEMICOLON}};
    size_t i = 0;
    while (i < sizeof ops / sizeof *ops && !lex_at(x, x->at, ops[i].text)) i++;
    if (i == sizeof ops / sizeof *ops) return lex_fail(x, x->at, "unexpected character in a tag");
    char c = x->p[x->at];
    if (c == '[' || c == '(' || c == '{') {
        if (*depth == JINJA_MAX_DEPTH) return lex_fail(x, x->at, "brackets are nested too deeply");
        open[(*depth)++] = c == '[' ? ']' : c == '(' ? ')' : '}';
    } else if (c == ']' || c == ')' || c == '}') {
        if (!*depth || open[*depth - 1] != c) return lex_fail(x, x->at, "unbalanced bracket");
        --*depth;
    }
    if (lex_mark(x, ops[i].type) < 0) return -1;
    x->at += strlen(ops[i].text);
    return 0;
}

/* From after "{{" or "{%" to after its end. */
static int lex_tag(struct lexer *x, size_t start, bool block)
{
    char open[JINJA_MAX_DEPTH];
    size_t depth = 0;
    while (x->at < x->n) {
        char sign = depth ? 0 : end_sign(x, x->at, block ? "%}" : "}}", block);
        int rc = 0;
        if (sign) {
            if (lex_mark(x, block ? T_BLOCK_END : T_VAR_END) < 0) return -1;
            after_end(x, sign, block);
            return 0;
        }
        char c = x->p[x->at];
        size_t end;
        if (space_at(x, x->at))
            skip_space(x);
        else if (digit(c))
            rc = (end = float_at(x, x->at)) > x->at ? lex_float(x, end) : lex_integer(x);
        else if (name_char(x, x->at))
            rc = lex_name(x);
        else if (c == '\'' || c == '"')
            rc = lex_string(x);
        else
            rc = lex_operator(x, open, &depth);
        if (rc < 0) return -1;
    }
    return lex_fail(x, start, block ? "this {% is not closed" : "this {{ is not closed");
}

/* One piece of text and the tag that ends it. */
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
    if (put_data(x, from, data_end(x, from, at, sign, what == '{')) < 0) return -1;
    if (what == '%' && block_is(x, at, "raw", false, &raw, &end) && raw != '+')
        return lex_raw(x, at, raw, end);
    x->at = at + 2 + (sign == '-' || sign == '+');
    if (what == '#') return lex_comment(x, at);
    if (lex_mark(x, what == '{' ? T_VAR_BEGIN : T_BLOCK_BEGIN) < 0) return -1;
    return lex_tag(x, at, what == '%');
}

/* "\r\n" and "\r" become "\n"; one newline at the very end goes. */
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

/* The source may hold anything; what is not UTF-8 would make every later step guess. */
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
        if (lex_piece(&x) < 0) return -1;
    if (lex_mark(&x, T_EOF) < 0) return -1;
    *out = x.tok;
    *n = x.ntok;
    return 0;
}
