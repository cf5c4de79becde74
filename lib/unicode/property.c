/* SPDX-License-Identifier: Apache-2.0 */
/* Character properties by their names in \p{...} and [[:...:]], as in Oniguruma. */
#include <string.h>

#include "unicode/unicode.h"

/* Short and long names of the general categories; the index is the value in unicode_category. */
static const char *const category_name[][2] = {
    {"cn", "unassigned"},
    {"lu", "uppercaseletter"},
    {"ll", "lowercaseletter"},
    {"lt", "titlecaseletter"},
    {"lm", "modifierletter"},
    {"lo", "otherletter"},
    {"mn", "nonspacingmark"},
    {"mc", "spacingmark"},
    {"me", "enclosingmark"},
    {"nd", "decimalnumber"},
    {"nl", "letternumber"},
    {"no", "othernumber"},
    {"pc", "connectorpunctuation"},
    {"pd", "dashpunctuation"},
    {"ps", "openpunctuation"},
    {"pe", "closepunctuation"},
    {"pi", "initialpunctuation"},
    {"pf", "finalpunctuation"},
    {"po", "otherpunctuation"},
    {"sm", "mathsymbol"},
    {"sc", "currencysymbol"},
    {"sk", "modifiersymbol"},
    {"so", "othersymbol"},
    {"zs", "spaceseparator"},
    {"zl", "lineseparator"},
    {"zp", "paragraphseparator"},
    {"cc", "control"},
    {"cf", "format"},
    {"cs", "surrogate"},
    {"co", "privateuse"},
};
enum { CATEGORIES = sizeof category_name / sizeof category_name[0] };

#define BIT(i)       (1u << (i))
#define BITS(lo, hi) ((BIT((hi) - (lo) + 1) - 1) << (lo)) /* categories lo to hi */

static const struct {
    const char *name;
    uint32_t mask;
} groups[] = {
    {"l", BITS(1, 5)},
    {"letter", BITS(1, 5)},
    {"lc", BITS(1, 3)},
    {"casedletter", BITS(1, 3)},
    {"m", BITS(6, 8)},
    {"mark", BITS(6, 8)},
    {"combiningmark", BITS(6, 8)},
    {"n", BITS(9, 11)},
    {"number", BITS(9, 11)},
    {"p", BITS(12, 18)},
    {"punctuation", BITS(12, 18)},
    {"s", BITS(19, 22)},
    {"symbol", BITS(19, 22)},
    {"z", BITS(23, 25)},
    {"separator", BITS(23, 25)},
    {"c", BITS(26, 29) | 1},
    {"other", BITS(26, 29) | 1},
    {"digit", BIT(9)},
    {"cntrl", BIT(26)},
    {"punct", BITS(12, 18)},
    {"posix:punct", BITS(12, 22)},
};

static const struct {
    const char *name;
    const uint32_t *ranges;
    const unsigned *n;
} sets[] = {
    {"alphabetic", unicode_alphabetic, &unicode_alphabetic_n},
    {"alpha", unicode_alphabetic, &unicode_alphabetic_n},
    {"lowercase", unicode_lowercase, &unicode_lowercase_n},
    {"lower", unicode_lowercase, &unicode_lowercase_n},
    {"uppercase", unicode_uppercase, &unicode_uppercase_n},
    {"upper", unicode_uppercase, &unicode_uppercase_n},
    {"space", unicode_space, &unicode_space_n},
    {"whitespace", unicode_space, &unicode_space_n},
    {"word", unicode_word, &unicode_word_n},
    {"rust:space", unicode_rust_space, &unicode_rust_space_n},
    {"rust:numeric", unicode_rust_numeric, &unicode_rust_numeric_n},
    {"rust:punct", unicode_rust_punct, &unicode_rust_punct_n},
    {"rust:word", unicode_rust_word, &unicode_rust_word_n},
};

static const uint32_t any_ranges[] = {0, CPSET_LAST};
static const uint32_t ascii_ranges[] = {0, 0x7f};
static const uint32_t xdigit_ranges[] = {'0', '9', 'A', 'F', 'a', 'f'};
static const uint32_t tab_range[] = {'\t', '\t'};

/* Adds the code points of a partition whose value is in mask, or is `want` where mask is 0. */
static int add_part(struct cpset *set, const uint32_t *part, size_t n, uint64_t mask, unsigned want,
                    struct err *e)
{
    for (size_t i = 0; i < n; i++) {
        unsigned v = part[i] & 0xff;
        uint32_t last = i + 1 < n ? (part[i + 1] >> 8) - 1 : CPSET_LAST;
        bool in = mask != 0 ? v < 64 && (mask >> v & 1) : v == want;
        if (in && cpset_add(set, part[i] >> 8, last, e)) return -1;
    }
    return 0;
}

static int add_categories(struct cpset *set, uint32_t mask, struct err *e)
{
    return add_part(set, unicode_category, unicode_category_n, mask, 0, e);
}

/* Adds graph: everything but space, control, unassigned and surrogate. */
static int add_graph(struct cpset *set, struct err *e)
{
    struct cpset space = {0};
    int rc = cpset_add_ranges(&space, unicode_space, unicode_space_n, e);
    if (!rc) rc = cpset_invert(&space, e);
    if (!rc) rc = add_categories(set, ~(BIT(0) | BIT(26) | BIT(28)), e);
    if (!rc) rc = cpset_intersect(set, &space, e);
    cpset_free(&space);
    return rc;
}

/* Adds a class that consists of others. 1 when the name is not one of them. */
static int add_composed(const char *name, struct cpset *set, struct err *e)
{
    if (strcmp(name, "any") == 0) return cpset_add_ranges(set, any_ranges, 2, e);
    if (strcmp(name, "ascii") == 0) return cpset_add_ranges(set, ascii_ranges, 2, e);
    if (strcmp(name, "xdigit") == 0) return cpset_add_ranges(set, xdigit_ranges, 6, e);
    if (strcmp(name, "assigned") == 0) return add_categories(set, ~BIT(0), e);
    if (strcmp(name, "graph") == 0) return add_graph(set, e);
    if (strcmp(name, "alnum") == 0) {
        if (add_categories(set, BIT(9), e)) return -1;
        return cpset_add_ranges(set, unicode_alphabetic, unicode_alphabetic_n, e);
    }
    if (strcmp(name, "blank") == 0) {
        if (add_categories(set, BIT(23), e)) return -1;
        return cpset_add_ranges(set, tab_range, 2, e);
    }
    if (strcmp(name, "print") == 0) {
        struct cpset zs = {0};
        int rc = add_graph(set, e);
        if (!rc) rc = add_categories(&zs, BIT(23), e);
        if (!rc) rc = cpset_union(set, &zs, e);
        cpset_free(&zs);
        return rc;
    }
    return 1;
}

/* Copies a name in lower case without spaces, - and _. False when it is empty or too long. */
static bool simplify(struct str name, char *out, size_t room)
{
    size_t n = 0;
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        if (c == ' ' || c == '-' || c == '_') continue;
        if (n + 1 >= room || c == '\0') return false;
        out[n++] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
    }
    out[n] = '\0';
    return n > 0;
}

int unicode_property(struct str name, struct cpset *set, struct err *e)
{
    char want[64], have[64];
    if (!simplify(name, want, sizeof want)) return 1;
    for (unsigned i = 0; i < CATEGORIES; i++)
        if (strcmp(want, category_name[i][0]) == 0 || strcmp(want, category_name[i][1]) == 0)
            return add_categories(set, BIT(i), e);
    for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++)
        if (strcmp(want, groups[i].name) == 0) return add_categories(set, groups[i].mask, e);
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++)
        if (strcmp(want, sets[i].name) == 0)
            return cpset_add_ranges(set, sets[i].ranges, *sets[i].n, e);
    for (unsigned i = 1; i < unicode_script_name_n; i++)
        if (simplify(str_z(unicode_script_name[i]), have, sizeof have) && strcmp(want, have) == 0)
            return add_part(set, unicode_script, unicode_script_n, 0, i, e);
    return add_composed(want, set, e);
}
