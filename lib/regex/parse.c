/* SPDX-License-Identifier: Apache-2.0 */
/* Parses a pattern: alternatives, groups, options, anchors. Oniguruma's doc/RE describes the syntax
 * (ONIG_SYNTAX_ONIGURUMA). */
#include <string.h>

#include "regex/impl.h"
#include "unicode/utf8.h"

static uint32_t parse_alternatives(struct regex_parser *ps);

static uint32_t make_assert(struct regex_parser *ps, enum regex_assert what)
{
    uint32_t n = regex_node_new(ps->tree, NODE_ASSERT, ps->e);
    if (n) ps->tree->node[n].what = what;
    return n;
}

static uint32_t make_literal(struct regex_parser *ps, uint32_t c)
{
    struct cpset set = {0};
    uint32_t n;
    if (ps->ignore_case ? unicode_add_folds(c, &set, ps->e) : cpset_add(&set, c, c, ps->e))
        return cpset_free(&set), 0;
    n = regex_set_new(ps->tree, &set, ps->e);
    if (n) {
        ps->tree->node[n].literal = ps->ignore_case;
        ps->tree->node[n].c = c;
    }
    return n;
}

/* Adds the set of all characters, or of all but the newline. */
static uint32_t make_any(struct regex_parser *ps, bool newline)
{
    struct cpset set = {0};
    if (!newline && cpset_add(&set, '\n', '\n', ps->e)) return 0;
    if (cpset_invert(&set, ps->e)) return cpset_free(&set), 0;
    return regex_set_new(ps->tree, &set, ps->e);
}

/* Parses the options of "(?im-im". False with the error set. */
static bool parse_options(struct regex_parser *ps)
{
    bool on = true;
    for (; ps->p < ps->end && *ps->p != ')' && *ps->p != ':'; ps->p++) {
        if (*ps->p == '-')
            on = false;
        else if (*ps->p == 'i')
            ps->ignore_case = on;
        else if (*ps->p == 'm')
            ps->dot_all = on;
        else
            return regex_fail(ps, "this group or option is not supported"), false;
    }
    return ps->p < ps->end || (regex_fail(ps, "the group has no ')'"), false);
}

static uint32_t close_group(struct regex_parser *ps, uint32_t node)
{
    if (node && !regex_eat(ps, ")")) return regex_fail(ps, "the group has no ')'"), 0;
    return node;
}

static uint32_t parse_look(struct regex_parser *ps, bool negative, bool behind)
{
    uint32_t n = regex_wrap(ps, NODE_LOOK, parse_alternatives(ps));
    if (n) ps->tree->node[n].negative = negative, ps->tree->node[n].behind = behind;
    return close_group(ps, n);
}

/* Wraps an anchor in a group that captures or has options: such a group can be repeated. */
static uint32_t keep_group(struct regex_parser *ps, uint32_t inside)
{
    uint32_t cat, empty;
    if (!inside || !regex_is_anchor(ps->tree, inside)) return inside;
    cat = regex_wrap(ps, NODE_CAT, inside);
    empty = cat ? regex_node_new(ps->tree, NODE_EMPTY, ps->e) : 0;
    if (!empty) return 0;
    ps->tree->node[inside].next = empty;
    return cat;
}

/* Parses "(?" with options for a group, or for the rest of the enclosing group. */
static uint32_t parse_option_group(struct regex_parser *ps)
{
    bool ignore_case = ps->ignore_case, dot_all = ps->dot_all;
    uint32_t n;
    if (regex_eat(ps, ":")) return close_group(ps, parse_alternatives(ps));
    if (!parse_options(ps)) return 0;
    if (*ps->p++ == ':')
        n = keep_group(ps, close_group(ps, parse_alternatives(ps)));
    else
        n = parse_alternatives(ps); /* "ab(?i)c|d" is "ab(?i:c|d)" */
    ps->ignore_case = ignore_case;
    ps->dot_all = dot_all;
    return n;
}

static uint32_t parse_group(struct regex_parser *ps)
{
    bool ignore_case = ps->ignore_case, dot_all = ps->dot_all;
    uint32_t n = 0;
    if (regex_looking_at(ps, "*")) return regex_fail(ps, "(*...) is not supported"), 0;
    if (regex_eat(ps, "?#")) {
        while (ps->p < ps->end && *ps->p != ')') ps->p++;
        return close_group(ps, regex_node_new(ps->tree, NODE_EMPTY, ps->e));
    }
    if (regex_eat(ps, "?="))
        n = parse_look(ps, false, false);
    else if (regex_eat(ps, "?!"))
        n = parse_look(ps, true, false);
    else if (regex_eat(ps, "?<="))
        n = parse_look(ps, false, true);
    else if (regex_eat(ps, "?<!"))
        n = parse_look(ps, true, true);
    else if (regex_eat(ps, "?>"))
        n = close_group(ps, regex_wrap(ps, NODE_ATOMIC, parse_alternatives(ps)));
    else if (regex_looking_at(ps, "?<"))
        return regex_fail(ps, "named groups are not supported"), 0;
    else if (regex_eat(ps, "?"))
        n = parse_option_group(ps);
    else
        n = keep_group(ps, close_group(ps, parse_alternatives(ps)));
    ps->ignore_case = ignore_case;
    ps->dot_all = dot_all;
    return n;
}

static uint32_t parse_class_node(struct regex_parser *ps)
{
    struct cpset set = {0};
    bool negated;
    if (regex_parse_class(ps, &set, &negated)) return cpset_free(&set), 0;
    if (ps->ignore_case) return regex_fold_class(ps, &set, negated);
    if (negated && cpset_invert(&set, ps->e)) return cpset_free(&set), 0;
    return regex_set_new(ps->tree, &set, ps->e);
}

static uint32_t parse_backslash(struct regex_parser *ps)
{
    struct cpset set = {0};
    uint32_t c = 0;
    int rc = regex_parse_escape(ps, false, &set, &c);
    if (!rc) return make_literal(ps, c);
    if (rc == 1) return regex_set_new(ps->tree, &set, ps->e);
    if (rc < 0) return cpset_free(&set), 0;
    switch (c) {
    case 'A':
        return make_assert(ps, ASSERT_TEXT_BEGIN);
    case 'z':
        return make_assert(ps, ASSERT_TEXT_END);
    case 'Z':
        return make_assert(ps, ASSERT_LAST_LINE);
    case 'b':
        return make_assert(ps, ASSERT_WORD);
    case 'B':
        return make_assert(ps, ASSERT_NOT_WORD);
    case 'N':
        return make_any(ps, false);
    case 'O':
        return make_any(ps, true);
    default:
        return regex_fail(ps, "this escape is not supported"), 0;
    }
}

static uint32_t parse_atom(struct regex_parser *ps)
{
    uint32_t c;
    switch (*ps->p) {
    case '(':
        ps->p++;
        return parse_group(ps);
    case '[':
        ps->p++;
        return parse_class_node(ps);
    case '\\':
        ps->p++;
        return parse_backslash(ps);
    case '.':
        ps->p++;
        return make_any(ps, ps->dot_all);
    case '^':
        ps->p++;
        return make_assert(ps, ASSERT_LINE_BEGIN);
    case '$':
        ps->p++;
        return make_assert(ps, ASSERT_LINE_END);
    case '*':
    case '+':
    case '?':
        return regex_fail(ps, "there is nothing to repeat"), 0;
    default:
        if (*ps->p == '{' && regex_at_interval(ps))
            return regex_fail(ps, "there is nothing to repeat"), 0;
        ps->p += utf8_get(ps->p, &c);
        return make_literal(ps, c);
    }
}

static uint32_t parse_branch(struct regex_parser *ps)
{
    uint32_t cat = regex_node_new(ps->tree, NODE_CAT, ps->e), last = 0;
    while (cat && ps->p < ps->end && *ps->p != '|' && *ps->p != ')') {
        uint32_t n = regex_parse_repeats(ps, parse_atom(ps));
        if (!n) return 0;
        if (!last)
            ps->tree->node[cat].child = n;
        else
            ps->tree->node[last].next = n;
        last = n;
    }
    if (cat && ps->tree->node[cat].child) {
        uint32_t first = regex_fold_literals(ps, ps->tree->node[cat].child);
        if (!first) return 0;
        ps->tree->node[cat].child = first;
    }
    return cat;
}

static uint32_t parse_alternatives(struct regex_parser *ps)
{
    uint32_t alt = 0, last = 0;
    if (++ps->depth > REGEX_MAX_DEPTH) return regex_fail(ps, "groups are nested too deeply"), 0;
    alt = regex_node_new(ps->tree, NODE_ALT, ps->e);
    while (alt) {
        uint32_t n = parse_branch(ps);
        if (!n) return 0;
        if (!last)
            ps->tree->node[alt].child = n;
        else
            ps->tree->node[last].next = n;
        last = n;
        if (!regex_eat(ps, "|")) break;
    }
    ps->depth--;
    return alt;
}

int regex_parse(struct str pattern, bool builtin, struct regex_tree *t, struct err *e)
{
    struct regex_parser ps = {.p = pattern.p,
                              .begin = pattern.p,
                              .end = pattern.p + pattern.n,
                              .tree = t,
                              .builtin = builtin,
                              .e = e};
    *t = (struct regex_tree){0};
    if (pattern.n > REGEX_MAX_PATTERN)
        return err_set(e, ERR_DATA, "the pattern has more than %d bytes", REGEX_MAX_PATTERN);
    if (utf8_valid(pattern.p, pattern.n, NULL) != pattern.n)
        return err_set(e, ERR_DATA, "the pattern is not UTF-8");
    t->root = parse_alternatives(&ps);
    if (t->root && ps.p < ps.end) regex_fail(&ps, "there is no '(' for this ')'"), t->root = 0;
    if (!t->root) return regex_tree_free(t), -1;
    return 0;
}
