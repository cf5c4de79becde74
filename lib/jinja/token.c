/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the tokens inside tags: numbers, strings, names and operators. */
#include <string.h>

#include "base/buf.h"
#include "base/opt.h"
#include "jinja/lex.h"

static uint32_t lex_line(struct lexer *x, size_t at)
{
    for (; x->counted < at; x->counted++) x->line += x->p[x->counted] == '\n';
    return x->line;
}

int lex_fail(struct lexer *x, size_t at, const char *what)
{
    return err_set(x->e, ERR_DATA, "line %u: %s", (unsigned)lex_line(x, at), what);
}

int lex_put(struct lexer *x, enum tok type, size_t at, struct str text, struct jval value)
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

int lex_mark(struct lexer *x, enum tok type)
{
    return lex_put(x, type, x->at, (struct str){0}, jval_none());
}

size_t lex_space(const struct lexer *x, size_t at)
{
    size_t len;
    if (at >= x->n) return 0;
    return jchar_space(jchar_get(x->p + at, x->n - at, &len)) ? len : 0;
}

bool lex_at(const struct lexer *x, size_t at, const char *z)
{
    size_t n = strlen(z);
    return x->n - at >= n && memcmp(x->p + at, z, n) == 0;
}

static bool digit(char c) { return c >= '0' && c <= '9'; }

/* Returns the end of digits with single underscores between them. */
static size_t digits_at(const struct lexer *x, size_t at)
{
    size_t i = at;
    while (digit(x->p[i]) || (x->p[i] == '_' && i > at && digit(x->p[i + 1]))) i++;
    return i;
}

size_t lex_float_end(const struct lexer *x, size_t at)
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

int lex_integer(struct lexer *x)
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
    if (lex_put(x, T_INT, start, (struct str){x->p + start, i - start}, jval_int(v))) return -1;
    x->at = i;
    return 0;
}

int lex_float(struct lexer *x, size_t end)
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
    if (num_f64(text, &f)) return lex_fail(x, x->at, "this number is out of range");
    if (lex_put(x, T_FLOAT, x->at, (struct str){x->p + x->at, end - x->at}, jval_float(f)))
        return -1;
    x->at = end;
    return 0;
}

/* Returns the value of n hexadecimal digits, or -1. */
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

/* Appends the character of an escape, which begins at the backslash p[0], and returns its length; 0
 * when it is malformed. Jinja decodes with Python's unicode-escape after escaping what is not
 * ASCII, so a backslash before such a character is malformed. */
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

int lex_string(struct lexer *x)
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
    char *copy = rc ? NULL : arena_copy(x->a, b.len ? b.data : "", b.len, x->e);
    struct str text = {copy, b.len};
    buf_free(&b);
    if (!copy) return -1;
    if (i >= x->n) return lex_fail(x, start, "this string is not closed");
    if (lex_put(x, T_STRING, start, text, jval_none())) return -1;
    x->at = i + 1;
    return 0;
}

/* Beyond ASCII, letters are name characters, punctuation and symbols are not. */
size_t lex_name_char(const struct lexer *x, size_t at)
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

int lex_name(struct lexer *x)
{
    size_t end = x->at, len;
    while (end < x->n && (len = lex_name_char(x, end))) end += len;
    if (lex_put(x, T_NAME, x->at, (struct str){x->p + x->at, end - x->at}, jval_none())) return -1;
    x->at = end;
    return 0;
}

int lex_operator(struct lexer *x, char *open, size_t *depth)
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
    if (lex_mark(x, ops[i].type)) return -1;
    x->at += strlen(ops[i].text);
    return 0;
}
