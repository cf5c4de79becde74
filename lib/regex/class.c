/* SPDX-License-Identifier: Apache-2.0 */
/* Character classes and escapes of a pattern. */
#include <string.h>

#include "regex/impl.h"
#include "unicode/utf8.h"

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* Parses up to max hexadecimal digits and returns their number. */
static int parse_hex(struct regex_parser *ps, int max, uint32_t *c)
{
    int n = 0;
    *c = 0;
    while (n < max && ps->p < ps->end && hex_value(*ps->p) >= 0) {
        *c = *c << 4 | (uint32_t)hex_value(*ps->p++);
        n++;
    }
    return n;
}

/* Parses the code behind \x or \u. */
static int parse_code(struct regex_parser *ps, char kind, uint32_t *c)
{
    if (kind == 'u') {
        if (parse_hex(ps, 4, c) != 4) return regex_fail(ps, "\\u needs four hexadecimal digits");
    } else if (ps->p < ps->end && *ps->p == '{') {
        ps->p++;
        if (!parse_hex(ps, 8, c) || ps->p >= ps->end || *ps->p++ != '}')
            return regex_fail(ps, "\\x{...} needs one hexadecimal number");
    } else if (!parse_hex(ps, 2, c) || *c > 0x7f) {
        return regex_fail(ps, "\\x needs hexadecimal digits, at most 7F; use \\x{...}");
    }
    if (*c > CPSET_LAST || (*c >= 0xd800 && *c <= 0xdfff))
        return regex_fail(ps, "this is not a code point");
    return 0;
}

/* Oniguruma treats these as word characters, except in a class. */
static const uint32_t not_word_in_class[] = {0xb2, 0xb3, 0xb9, 0xb9, 0xbc, 0xbe};

/* Removes them from the set of \w. */
static int narrow_word(struct regex_parser *ps, struct cpset *set)
{
    struct cpset few = {0};
    int rc;
    if (set->n != unicode_word_n || memcmp(set->r, unicode_word, set->n * sizeof *set->r) != 0)
        return 0;
    rc = cpset_add_ranges(&few, not_word_in_class, 6, ps->e);
    if (!rc) rc = cpset_invert(&few, ps->e);
    if (!rc) rc = cpset_intersect(set, &few, ps->e);
    cpset_free(&few);
    return rc;
}

/* Puts a property into the empty set. */
static int property(struct regex_parser *ps, struct str name, bool negated, bool in_class,
                    struct cpset *set)
{
    int rc = unicode_property(name, set, ps->e);
    if (rc > 0) return regex_fail(ps, "this character property is unknown");
    if (!rc && in_class) rc = narrow_word(ps, set);
    if (!rc && negated) rc = cpset_invert(set, ps->e);
    return rc;
}

/* Parses the name behind \p or \P. */
static int parse_property(struct regex_parser *ps, bool negated, bool in_class, struct cpset *set)
{
    const char *close;
    struct str name;
    close = memchr(ps->p, '}', (size_t)(ps->end - ps->p));
    if (!close) return regex_fail(ps, "the property has no '}'");
    name = (struct str){ps->p + 1, (size_t)(close - ps->p - 1)};
    if (name.n > 0 && name.p[0] == '^') negated = !negated, name.p++, name.n--;
    if (!ps->builtin && memchr(name.p, ':', name.n))
        return regex_fail(ps, "this character property is unknown");
    if (property(ps, name, negated, in_class, set)) return -1;
    ps->p = close + 1;
    return 0;
}

static int named_set(struct regex_parser *ps, const char *name, bool negated, bool in_class,
                     struct cpset *set)
{
    return property(ps, str_z(name), negated, in_class, set) ? -1 : 1;
}

int regex_parse_escape(struct regex_parser *ps, bool in_class, struct cpset *set, uint32_t *c)
{
    if (ps->p >= ps->end) return regex_fail(ps, "the pattern ends in a backslash");
    ps->p += utf8_get(ps->p, c);
    switch (*c) {
    case 't':
        return *c = '\t', 0;
    case 'n':
        return *c = '\n', 0;
    case 'r':
        return *c = '\r', 0;
    case 'v':
        return *c = '\v', 0;
    case 'f':
        return *c = '\f', 0;
    case 'a':
        return *c = '\a', 0;
    case 'e':
        return *c = 0x1b, 0;
    case 'x':
    case 'u':
        return parse_code(ps, (char)*c, c);
    case 'd':
        return named_set(ps, "digit", false, in_class, set);
    case 'D':
        return named_set(ps, "digit", true, in_class, set);
    case 's':
        return named_set(ps, "space", false, in_class, set);
    case 'S':
        return named_set(ps, "space", true, in_class, set);
    case 'w':
        return named_set(ps, "word", false, in_class, set);
    case 'W':
        return named_set(ps, "word", true, in_class, set);
    case 'h':
        return named_set(ps, "xdigit", false, in_class, set);
    case 'H':
        return named_set(ps, "xdigit", true, in_class, set);
    case 'p':
    case 'P':
        if (ps->p >= ps->end || *ps->p != '{') return 0; /* \p without "{" is the letter */
        return parse_property(ps, *c == 'P', in_class, set) ? -1 : 1;
    case 'b':
        if (in_class) return *c = '\b', 0;
        return 2;
    default:
        break;
    }
    if (*c >= '0' && *c <= '9') return regex_fail(ps, "\\digits are not supported");
    if (*c < 128 && strchr("AzZBNOGKRXYkgyoCMc", (int)*c)) {
        if (in_class) return regex_fail(ps, "this escape is not supported in a class");
        return 2;
    }
    return 0;
}

/* Parses "[:name:]" or "[:^name:]". 1 with the set; 0: something else comes next; -1: error. */
static int parse_posix(struct regex_parser *ps, struct cpset *set)
{
    const char *p = ps->p + 2, *q = p;
    bool negated = false;
    struct str name;
    if (ps->end - ps->p < 2 || ps->p[1] != ':') return 0;
    if (p < ps->end && *p == '^') negated = true, p++;
    for (q = p; q < ps->end && ((*q >= 'a' && *q <= 'z')); q++) {}
    if (ps->end - q < 2 || q[0] != ':' || q[1] != ']') return 0;
    name = (struct str){p, (size_t)(q - p)};
    if (str_is(name, "punct")) name = STR("posix:punct"); /* includes symbols, unlike \p{Punct} */
    if (property(ps, name, negated, true, set)) return -1;
    ps->p = q + 2;
    return 1;
}

/* Parses an item of a class. 1: it is a set; 0: it is the character *c; -1: error. */
static int parse_item(struct regex_parser *ps, struct cpset *set, uint32_t *c)
{
    bool negated;
    if (*ps->p == '\\') {
        ps->p++;
        return regex_parse_escape(ps, true, set, c);
    }
    if (*ps->p == '[') {
        int rc = parse_posix(ps, set);
        if (rc) return rc;
        ps->p++;
        if (++ps->depth > REGEX_MAX_DEPTH) return regex_fail(ps, "classes are nested too deeply");
        rc = regex_parse_class(ps, set, &negated);
        if (!rc && negated) rc = cpset_invert(set, ps->e);
        ps->depth--;
        return rc ? -1 : 1;
    }
    ps->p += utf8_get(ps->p, c);
    return 0;
}

/* True at a '-' that makes a range: it is not the last character of the class. */
static bool at_range(const struct regex_parser *ps)
{
    return ps->end - ps->p >= 2 && ps->p[0] == '-' && ps->p[1] != ']' &&
           !(ps->end - ps->p >= 3 && ps->p[1] == '&' && ps->p[2] == '&');
}

/* Parses the end of a range, behind the '-', and adds the range from c on. */
static int add_range(struct regex_parser *ps, uint32_t c, struct cpset *set)
{
    struct cpset one = {0};
    uint32_t last = 0;
    int rc = parse_item(ps, &one, &last);
    cpset_free(&one);
    if (rc < 0) return -1;
    if (rc == 1) return regex_fail(ps, "a range cannot end in a class");
    if (last < c) return regex_fail(ps, "the range ends before it begins");
    return cpset_add(set, c, last, ps->e); /* the second '-' of "[0-9-a]" is a literal */
}

/* Parses an item or a range and adds it to the set; a ']' is a literal here. */
static int add_item(struct regex_parser *ps, struct cpset *set)
{
    struct cpset one = {0};
    uint32_t c = 0;
    int rc = parse_item(ps, &one, &c);
    if (rc == 1 && at_range(ps))
        rc = regex_fail(ps, "a range cannot begin with a class");
    else if (rc == 1)
        rc = cpset_union(set, &one, ps->e);
    else if (!rc && at_range(ps)) {
        ps->p++;
        rc = add_range(ps, c, set);
    } else if (!rc) {
        rc = cpset_add(set, c, c, ps->e);
    }
    cpset_free(&one);
    return rc < 0 ? -1 : 0;
}

/* Parses items up to "&&" or "]". */
static int parse_items(struct regex_parser *ps, struct cpset *set, bool first)
{
    if (first && ps->p < ps->end && *ps->p == ']') {
        if (!memchr(ps->p + 1, ']', (size_t)(ps->end - ps->p - 1)))
            return regex_fail(ps, "the class is empty");
        if (add_item(ps, set)) return -1;
    }
    while (ps->p < ps->end && *ps->p != ']') {
        if (*ps->p == '&' && ps->end - ps->p > 1 && ps->p[1] == '&') return 0;
        if (add_item(ps, set)) return -1;
    }
    return ps->p < ps->end ? 0 : regex_fail(ps, "the class has no ']'");
}

int regex_parse_class(struct regex_parser *ps, struct cpset *set, bool *negated)
{
    *negated = ps->p < ps->end && *ps->p == '^';
    if (*negated) ps->p++;
    if (parse_items(ps, set, true)) return -1;
    while (*ps->p == '&') {
        struct cpset other = {0};
        int rc;
        ps->p += 2;
        rc = parse_items(ps, &other, false);
        if (!rc) rc = cpset_intersect(set, &other, ps->e);
        cpset_free(&other);
        if (rc) return -1;
    }
    ps->p++;
    return 0;
}
