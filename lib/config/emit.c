/* SPDX-License-Identifier: Apache-2.0 */
/* Writes a tree as YAML that reads back as the same tree, or as JSON. */
#include <ctype.h>
#include <math.h>
#include <string.h>

#include "config/node.h"

/* Returns the code point at *s and advances *s; -1 when the bytes are not UTF-8. */
static int32_t decode(const unsigned char **s)
{
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    uint32_t c = *(*s)++;
    if (c < 0x80) return (int32_t)c;
    int more = c >= 0xf0 && c < 0xf8 ? 3 : c >= 0xe0 ? 2 : 1;
    if (c < 0xc0 || c >= 0xf8) return -1;
    c &= 0x3fu >> more;
    for (int i = 0; i < more; i++) {
        if ((**s & 0xc0) != 0x80) return -1;
        c = c << 6 | (*(*s)++ & 0x3f);
    }
    return c < least[more] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000) ? -1 : (int32_t)c;
}

bool text_is_utf8(const char *s)
{
    for (const unsigned char *p = (const unsigned char *)s; *p;)
        if (decode(&p) < 0) return false;
    return true;
}

/* True for characters that YAML allows unescaped in double quotes, except those that look like
 * another character or like nothing. */
static bool printable(int32_t c)
{
    return (c >= 0x20 && c < 0x7f) || (c >= 0xa0 && c < 0xd800 && c != 0x2028 && c != 0x2029) ||
           (c >= 0xe000 && c < 0xfffe && c != 0xfeff) || c >= 0x10000;
}

bool text_is_printable(const char *s)
{
    for (const unsigned char *p = (const unsigned char *)s; *p;)
        if (!printable(decode(&p))) return false;
    return true;
}

/* Writes a double-quoted YAML string; in a value, "${" is escaped against interpolation. */
static void emit_quoted(const char *text, bool value, struct buf *b)
{
    const unsigned char *s = (const unsigned char *)text;
    buf_putc(b, '"');
    while (*s) {
        const unsigned char *start = s;
        size_t slashes = strspn((const char *)s, "\\");
        bool literal = value && !strncmp((const char *)s + slashes, "${", 2);
        for (size_t i = 0; i < (literal ? 2 * slashes + 1 : slashes); i++) buf_puts(b, "\\\\");
        s += slashes;
        if (literal) buf_puts(b, "${"), s += 2;
        if (s != start) continue;
        int32_t c = decode(&s);
        if (c == '"')
            buf_puts(b, "\\\"");
        else if (c == '\n')
            buf_puts(b, "\\n");
        else if (c == '\t')
            buf_puts(b, "\\t");
        else if (c < 0)
            buf_puts(b, "\\uFFFD");
        else if (printable(c))
            buf_add(b, start, (size_t)(s - start));
        else
            buf_printf(b, "\\U%08X", (unsigned)c);
    }
    buf_putc(b, '"');
}

/* True when every YAML reader reads s without quotes as the same string. */
static bool is_plain(const char *s)
{
    struct node n = {.kind = NODE_SCALAR, .text = s};
    struct scalar v;
    scalar_read(&n, &v);
    if (v.kind != SCALAR_STRING) return false;
    if (!isalpha((unsigned char)*s) && *s != '/' && *s != '_' && (*s != '.' || s[1] != '/'))
        return false;
    for (; *s; s++)
        if (!isalnum((unsigned char)*s) && !strchr("_./@%+-", *s)) return false;
    return true;
}

static void emit_scalar(const struct node *n, struct buf *b)
{
    struct scalar v;
    scalar_read(n, &v);
    if (v.kind != SCALAR_STRING || is_plain(n->text))
        buf_puts(b, *n->text ? n->text : "null");
    else
        emit_quoted(n->text, true, b);
}

static void emit_string(const char *s, bool value, struct buf *b)
{
    if (is_plain(s))
        buf_puts(b, s);
    else
        emit_quoted(s, value, b);
}

/* Writes a node in one line, for lists and for maps inside lists. */
static void emit_flow(const struct node *n, struct buf *b)
{
    if (n->kind == NODE_SCALAR) {
        if (n->quoted)
            emit_string(n->text, true, b);
        else
            emit_scalar(n, b);
        return;
    }
    buf_putc(b, n->kind == NODE_MAP ? '{' : '[');
    for (size_t i = 0; i < n->count; i++) {
        if (i) buf_puts(b, ", ");
        if (n->kind == NODE_MAP) emit_quoted(n->keys[i], false, b), buf_puts(b, ": ");
        emit_flow(n->items[i], b);
    }
    buf_putc(b, n->kind == NODE_MAP ? '}' : ']');
}

static void emit_block(const struct node *map, int indent, struct buf *b)
{
    for (size_t i = 0; i < map->count; i++) {
        const struct node *n = map->items[i];
        buf_printf(b, "%*s", indent, "");
        emit_string(map->keys[i], false, b);
        buf_putc(b, ':');
        if (n->kind == NODE_MAP && n->count) {
            buf_putc(b, '\n');
            emit_block(n, indent + 2, b);
        } else {
            buf_putc(b, ' ');
            emit_flow(n, b);
            buf_putc(b, '\n');
        }
    }
}

static void json_value(const struct node *n, struct buf *b)
{
    struct scalar v;
    char text[40];
    if (n->kind != NODE_SCALAR) {
        buf_putc(b, n->kind == NODE_MAP ? '{' : '[');
        for (size_t i = 0; i < n->count; i++) {
            if (i) buf_putc(b, ',');
            if (n->kind == NODE_MAP) buf_json(b, str_z(n->keys[i])), buf_putc(b, ':');
            json_value(n->items[i], b);
        }
        buf_putc(b, n->kind == NODE_MAP ? '}' : ']');
        return;
    }
    scalar_read(n, &v);
    switch (v.kind) {
    case SCALAR_NULL:
        buf_puts(b, "null");
        break;
    case SCALAR_BOOL:
        buf_puts(b, v.truth ? "true" : "false");
        break;
    case SCALAR_INT:
        buf_printf(b, "%lld", (long long)v.i);
        break;
    case SCALAR_REAL:
        scalar_real(v.r, text);
        if (isfinite(v.r))
            buf_puts(b, text);
        else
            buf_json(b, str_z(text)); /* JSON has no infinity */
        break;
    case SCALAR_STRING:
        buf_json(b, str_z(n->text));
        break;
    }
}

int emit_yaml(const struct node *n, struct buf *b, struct err *e)
{
    emit_block(n, 0, b);
    return buf_check(b, e);
}

int emit_json(const struct node *n, struct buf *b, struct err *e)
{
    json_value(n, b);
    buf_putc(b, '\n');
    return buf_check(b, e);
}
