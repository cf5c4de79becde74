/* SPDX-License-Identifier: Apache-2.0 */
/* Loads a pre-tokenizer. Every kind that splits becomes a pattern with a rule for its matches; the
 * character classes of Rust are patterns with \p{rust:...}. */
#include "text/pretok.h"

#include <string.h>

#include "text/fields.h"
#include "text/pretok_impl.h"
#include "unicode/utf8.h"

/* GPT-2's pattern, which ByteLevel applies unless "use_regex" is false. */
static const char gpt2[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

static struct pretok_step *add_step(struct pretok *p, enum pretok_kind kind, struct err *e)
{
    if (p->n == FIELDS_MAX_STEPS) return fields_too_many("pre_tokenizers", e), NULL;
    if (mem_grow(&p->step, &p->cap, p->n + 1, sizeof *p->step, e)) return NULL;
    p->step[p->n] = (struct pretok_step){.kind = kind};
    return &p->step[p->n++];
}

static int add_split(struct pretok *p, struct regex *r, enum split_rule rule, bool invert,
                     struct err *e)
{
    struct pretok_step *s = r ? add_step(p, PRETOK_SPLIT, e) : NULL;
    if (!s) return regex_free(r), -1;
    s->pattern = r;
    s->rule = rule;
    s->invert = invert;
    return 0;
}

/* Adds a split by a pattern of this project. */
static int add_builtin_split(struct pretok *p, const char *pattern, enum split_rule rule,
                             bool invert, struct err *e)
{
    return add_split(p, regex_compile_builtin(str_z(pattern), e), rule, invert, e);
}

static int read_rule(const struct json *o, bool needed, enum split_rule *rule, struct err *e)
{
    static const char *const names[] = {"Removed", "Isolated", "MergedWithPrevious",
                                        "MergedWithNext", "Contiguous"};
    struct str s;
    if ((needed ? field_need_str : field_str)(o, "behavior", &s, e)) return -1;
    *rule = SPLIT_ISOLATED;
    if (!s.p) return 0;
    for (int i = 0; i < 5; i++)
        if (str_is(s, names[i])) return *rule = (enum split_rule)i, 0;
    return err_set(e, ERR_DATA, "\"behavior\": \"%.*s\" is unknown", STR_FMT(s));
}

static int load_split(struct pretok *p, const struct json *o, struct err *e)
{
    enum split_rule rule;
    bool invert;
    if (read_rule(o, true, &rule, e) || field_bool(o, "invert", false, &invert, e)) return -1;
    return add_split(p, field_pattern(o, e), rule, invert, e);
}

static int load_bytes(struct pretok *p, const struct json *o, struct err *e)
{
    bool space, use_regex;
    if (field_bool(o, "add_prefix_space", true, &space, e) ||
        field_bool(o, "use_regex", true, &use_regex, e))
        return -1;
    if (space && !add_step(p, PRETOK_PREFIX_SPACE, e)) return -1;
    if (use_regex && add_builtin_split(p, gpt2, SPLIT_ISOLATED, false, e)) return -1;
    return add_step(p, PRETOK_BYTES, e) ? 0 : -1;
}

static int read_scheme(const struct json *o, enum prepend_scheme *scheme, struct err *e)
{
    struct str s;
    bool old;
    if (field_str(o, "prepend_scheme", &s, e) || field_bool(o, "add_prefix_space", true, &old, e))
        return -1;
    if (!s.p || str_is(s, "always"))
        *scheme = PREPEND_ALWAYS;
    else if (str_is(s, "first"))
        *scheme = PREPEND_FIRST;
    else if (str_is(s, "never"))
        *scheme = PREPEND_NEVER;
    else
        return err_set(e, ERR_DATA, "\"prepend_scheme\": \"%.*s\" is unknown", STR_FMT(s));
    if (!old && *scheme != PREPEND_NEVER)
        return err_set(e, ERR_DATA, "\"add_prefix_space\" contradicts \"prepend_scheme\"");
    return 0;
}

static int load_metaspace(struct pretok *p, const struct json *o, struct err *e)
{
    enum prepend_scheme scheme = PREPEND_ALWAYS;
    struct pretok_step *s;
    struct str mark;
    uint32_t c;
    bool split;
    if (field_need_char(o, "replacement", &c, e) || read_scheme(o, &scheme, e) ||
        field_bool(o, "split", true, &split, e) || !(s = add_step(p, PRETOK_METASPACE, e)))
        return -1;
    s->mark_n = utf8_put(s->mark, c);
    s->scheme = scheme;
    mark = (struct str){s->mark, s->mark_n};
    return split ? add_split(p, regex_literal(mark, e), SPLIT_WITH_NEXT, false, e) : 0;
}

static int load_steps(struct pretok *p, const struct json *o, int depth, struct err *e);

static int load_list(struct pretok *p, const struct json *o, int depth, struct err *e)
{
    const struct json *list = field_need_array(o, "pretokenizers", e);
    if (!list) return -1;
    if (depth > 16) return err_set(e, ERR_DATA, "sequences are nested too deeply");
    for (size_t i = 0; i < list->count; i++)
        if (load_steps(p, &list->items[i], depth + 1, e)) return -1;
    return 0;
}

static int load_steps(struct pretok *p, const struct json *o, int depth, struct err *e)
{
    struct str type = field_type(o, "pre_tokenizer", e);
    enum split_rule rule;
    bool one;
    if (type.n == 0) return -1;
    if (str_is(type, "Sequence")) return load_list(p, o, depth, e);
    if (str_is(type, "ByteLevel")) return load_bytes(p, o, e);
    if (str_is(type, "Split")) return load_split(p, o, e);
    if (str_is(type, "Metaspace")) return load_metaspace(p, o, e);
    if (str_is(type, "Digits")) {
        if (field_bool(o, "individual_digits", false, &one, e)) return -1;
        rule = one ? SPLIT_ISOLATED : SPLIT_CONTIGUOUS;
        return add_builtin_split(p, "\\p{rust:numeric}", rule, false, e);
    }
    if (str_is(type, "Punctuation")) {
        if (read_rule(o, false, &rule, e)) return -1;
        return add_builtin_split(p, "\\p{rust:punct}", rule, false, e);
    }
    if (str_is(type, "Whitespace"))
        return add_builtin_split(p, "\\p{rust:word}+|[^\\p{rust:word}\\p{rust:space}]+",
                                 SPLIT_REMOVED, true, e);
    if (str_is(type, "WhitespaceSplit"))
        return add_builtin_split(p, "\\p{rust:space}", SPLIT_REMOVED, false, e);
    return err_set(e, ERR_DATA, "pre_tokenizer \"%.*s\" is not supported", STR_FMT(type));
}

struct pretok *pretok_load(const struct json *o, struct err *e)
{
    struct pretok *p = mem_alloc(1, sizeof *p, e);
    if (p && o && o->kind != JSON_NULL && load_steps(p, o, 0, e)) {
        pretok_free(p);
        return NULL;
    }
    return p;
}

void pretok_free(struct pretok *p)
{
    if (!p) return;
    for (size_t i = 0; i < p->n; i++) regex_free(p->step[i].pattern);
    mem_free(p->step);
    mem_free(p);
}

bool pretok_ends_in_bytes(const struct pretok *p)
{
    return p->n > 0 && p->step[p->n - 1].kind == PRETOK_BYTES;
}

void pretok_drop_bytes(struct pretok *p) { p->n--; }
