/* SPDX-License-Identifier: Apache-2.0 */
/* Quantifiers of a pattern. */
#include "regex/impl.h"

/* Parses a decimal number and returns it, or -1 when there is none. */
static long parse_count(const char **p, const char *end)
{
    long v = -1;
    for (; *p < end && **p >= '0' && **p <= '9'; (*p)++) {
        v = (v < 0 ? 0 : v) * 10 + (**p - '0');
        if (v > REGEX_MAX_REPEAT) v = REGEX_MAX_REPEAT + 1;
    }
    return v;
}

/* Parses "{n}", "{n,}", "{,m}" or "{n,m}". False when the brace is a literal. */
static bool parse_interval(struct regex_parser *ps, uint32_t *min, uint32_t *max)
{
    const char *p = ps->p + 1;
    long lo = parse_count(&p, ps->end), hi = lo;
    if (p < ps->end && *p == ',') {
        p++;
        hi = parse_count(&p, ps->end);
        if (lo < 0 && hi < 0) return false;
    } else if (lo < 0) {
        return false;
    }
    if (p >= ps->end || *p != '}') return false;
    ps->p = p + 1;
    *min = lo < 0 ? 0 : (uint32_t)lo;
    *max = hi < 0 ? REGEX_INF : (uint32_t)hi;
    return true;
}

bool regex_at_interval(const struct regex_parser *ps)
{
    struct regex_parser copy = *ps;
    uint32_t min, max;
    return parse_interval(&copy, &min, &max);
}

/* Joins a greedy ?, * or + with a greedy ?, * or + around it, as Oniguruma does. */
static bool join_repeats(struct regex_node *inner, uint32_t min, uint32_t max)
{
    bool plain = inner->kind == NODE_REPEAT && !inner->lazy && inner->min <= 1 &&
                 (inner->max == REGEX_INF || (inner->max == 1 && inner->min == 0));
    if (!plain || min > 1 || !(max == REGEX_INF || (max == 1 && min == 0))) return false;
    if (min == 0) inner->min = 0;
    if (max == REGEX_INF) inner->max = REGEX_INF;
    return true;
}

static uint32_t make_repeat(struct regex_parser *ps, uint32_t atom, uint32_t min, uint32_t max,
                            bool lazy)
{
    uint32_t n;
    if (!atom) return 0;
    if (regex_is_anchor(ps->tree, atom)) return regex_fail(ps, "an anchor cannot be repeated"), 0;
    if (!lazy && join_repeats(&ps->tree->node[atom], min, max)) return atom;
    if (ps->tree->node[atom].literal)
        atom = regex_wrap(ps, NODE_CAT, regex_fold_literals(ps, atom)); /* may be several nodes */
    n = regex_wrap(ps, NODE_REPEAT, atom);
    if (!n) return 0;
    ps->tree->node[n].min = min;
    ps->tree->node[n].max = max;
    ps->tree->node[n].lazy = lazy;
    return n;
}

uint32_t regex_parse_repeats(struct regex_parser *ps, uint32_t atom)
{
    while (atom && ps->p < ps->end) {
        uint32_t min = 0, max = REGEX_INF;
        bool lazy = false, possessive = false, interval = *ps->p == '{';
        if (interval) {
            if (!parse_interval(ps, &min, &max)) break;
        } else if (*ps->p == '?' || *ps->p == '*' || *ps->p == '+') {
            if (*ps->p == '?') max = 1;
            if (*ps->p == '+') min = 1;
            ps->p++;
        } else {
            break;
        }
        if (max != REGEX_INF && max < min) { /* {3,1} is a possessive {1,3} */
            uint32_t swap = max;
            max = min, min = swap, possessive = true;
        } else if (!(interval && min == max) && regex_eat(ps, "?")) {
            lazy = true;
        } else if (!interval && regex_eat(ps, "+")) {
            possessive = true;
        }
        if (min > REGEX_MAX_REPEAT || (max > REGEX_MAX_REPEAT && max != REGEX_INF))
            return regex_fail(ps, "there are too many repetitions"), 0;
        atom = make_repeat(ps, atom, min, max, lazy);
        if (possessive) atom = regex_wrap(ps, NODE_ATOMIC, atom);
    }
    return atom;
}
