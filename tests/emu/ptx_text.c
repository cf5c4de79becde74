/* SPDX-License-Identifier: Apache-2.0 */
/* A cursor over PTX text: words, numbers, comments. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ptx_parse_impl.h"

_Noreturn void parse_fail(const struct parser *p, const char *what)
{
    int line = 1;
    for (const char *s = p->begin; s < p->at; s++) line += *s == '\n';
    emu_die("PTX, line %d: %s: %.60s", line, what, p->at);
}

void *parse_grow(void *items, int n, int *cap, size_t size)
{
    if (n < *cap) return items;
    *cap = *cap ? 2 * *cap : 64;
    void *p = realloc(items, (size_t)*cap * size);
    if (!p) emu_die("out of memory");
    return p;
}

void *parse_zeroed(size_t size)
{
    void *p = calloc(1, size);
    if (!p) emu_die("out of memory");
    return p;
}

void parse_skip(struct parser *p)
{
    for (;; p->at++) {
        if (p->at[0] == '/' && p->at[1] == '/')
            p->at += strcspn(p->at, "\n") - 1;
        else if (p->at[0] == '/' && p->at[1] == '*') {
            const char *end = strstr(p->at, "*/");
            if (!end) parse_fail(p, "a comment that does not end");
            p->at = end + 1;
        } else if (!isspace((unsigned char)*p->at))
            return;
    }
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '$' || c == '%' || c == '.';
}

/* Copies the next word; empty if there is none. */
char *parse_word(struct parser *p, char *out, size_t size)
{
    size_t n = 0;
    parse_skip(p);
    while (is_word(p->at[n]) ||
           (n && p->at[n] == ':' && p->at[n + 1] == ':' && is_word(p->at[n + 2])))
        n += p->at[n] == ':' ? 2 : 1;
    if (n >= size) parse_fail(p, "a word that is too long");
    memcpy(out, p->at, n);
    out[n] = 0;
    p->at += n;
    return out;
}

bool parse_take(struct parser *p, char c)
{
    parse_skip(p);
    if (*p->at != c) return false;
    p->at++;
    return true;
}

void parse_need(struct parser *p, char c)
{
    char text[] = "'?' is missing";
    text[1] = c;
    if (!parse_take(p, c)) parse_fail(p, text);
}

uint64_t parse_number(struct parser *p)
{
    char *end;
    parse_skip(p);
    const bool minus = *p->at == '-';
    if (minus) p->at++;
    uint64_t v;
    if (p->at[0] == '0' && strchr("fFdD", p->at[1]) && p->at[1])
        v = strtoull(p->at + 2, &end, 16);
    else
        v = strtoull(p->at, &end, 0);
    if (end == p->at) parse_fail(p, "a number is missing");
    if (*end == '.') { /* 1.0: a real number has 32 bits */
        const float real = strtof(p->at, &end);
        uint32_t bits;
        memcpy(&bits, &real, sizeof bits);
        v = bits;
    }
    if (*end == 'U') end++;
    p->at = end;
    return minus ? -v : v;
}

void parse_skip_statement(struct parser *p)
{
    int depth = 0;
    for (; *p->at; p->at++) {
        if (*p->at == '{') depth++;
        if (*p->at == '}') depth--;
        if (*p->at == ';' && depth == 0) break;
    }
    parse_need(p, ';');
}

void parse_skip_body(struct parser *p)
{
    int depth = 0;
    p->at += strcspn(p->at, "{");
    do {
        p->at += strcspn(p->at, "{}/");
        if (!*p->at) parse_fail(p, "a body that does not end");
        if (p->at[0] == '/' && (p->at[1] == '/' || p->at[1] == '*')) {
            parse_skip(p);
            continue;
        }
        depth += (*p->at == '{') - (*p->at == '}');
        p->at++;
    } while (depth);
}
