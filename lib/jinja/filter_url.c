/* SPDX-License-Identifier: Apache-2.0 */
/* The filter urlize, as jinja2.utils.urlize finds links; case is that of ASCII. */
#include <string.h>

#include "jinja/filters.h"

/* Bytes [from, to) of the escaped text. */
struct part {
    const struct jstr *s;
    size_t from, to;
};
struct links {
    struct vm *vm;
    struct jbuild out;
    int64_t limit; /* characters of a link that are shown; -1: all */
    struct jval rel, target;
    const struct jlist *schemes; /* NULL: none */
};

static size_t part_n(struct part p) { return p.to - p.from; }
static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c; }
static bool letter(char c) { return lower(c) >= 'a' && lower(c) <= 'z'; }
static bool hex(char c) { return (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'f'); }

static bool begins(struct part p, const char *z)
{
    const size_t n = strlen(z);
    return part_n(p) >= n && memcmp(p.s->p + p.from, z, n) == 0;
}
static bool begins_any_case(struct part p, const char *z)
{
    size_t n = strlen(z), i = 0;
    while (part_n(p) >= n && i < n && lower(p.s->p[p.from + i]) == z[i]) i++;
    return i == n;
}
static bool ends(struct part p, const char *z)
{
    const size_t n = strlen(z);
    return part_n(p) >= n && memcmp(p.s->p + p.to - n, z, n) == 0;
}
static size_t count(struct part p, const char *z)
{
    const struct jstr find = {.p = z, .n = (uint32_t)strlen(z)};
    size_t n = 0, at;
    for (; (at = jstr_find(p.s, p.from, p.to, &find, false)) != SIZE_MAX; n++) p.from = at + find.n;
    return n;
}

/* Returns the end of the characters from `at` on that are of \w or among `more`. */
static size_t run(struct part p, size_t at, const char *more)
{
    for (size_t len; at < p.to; at += len) {
        const uint32_t c = jchar_get(p.s->p + at, p.s->n - at, &len);
        if (!jchar_word(c) && (c >= 0x80 || !c || !strchr(more, (int)c))) break;
    }
    return at;
}
static size_t run_decimals(struct part p, size_t at, size_t most)
{
    for (size_t len; at < p.to && most > 0; at += len, most--)
        if (!jchar_decimal(jchar_get(p.s->p + at, p.s->n - at, &len))) break;
    return at;
}
static size_t chars(struct part p)
{
    return jstr_chars(&(struct jstr){.p = p.s->p + p.from, .n = (uint32_t)part_n(p)});
}

/* ---- what is a link ---- */
/* True when a port, a path, both or nothing stand from `at` on. */
static bool is_rest(struct part p, size_t at)
{
    if (at < p.to && p.s->p[at] == ':') {
        const size_t end = run_decimals(p, at + 1, 5);
        if (end == at + 1) return false;
        at = end;
    }
    return at == p.to || (p.s->p[at] && strchr("/?#", p.s->p[at]));
}

/* The labels of a host before its last one, [from, to): each ends with a dot and has from `least`
 * to 63 characters of \w, % and -; least 1: any number of them. */
static bool are_labels(struct part p, size_t from, size_t to, size_t least)
{
    while (from < to) {
        const struct part label = {p.s, from, run((struct part){p.s, from, to}, from, "%-")};
        if (label.to == to || p.s->p[label.to] != '.' || part_n(label) == 0) return false;
        if (least > 1 && (chars(label) < least || chars(label) > 63)) return false;
        from = label.to + 1;
    }
    return true;
}

static size_t last_label(struct part p, size_t from, size_t to)
{
    while (to > from && p.s->p[to - 1] != '.') to--;
    return to;
}

static bool is_basic_tld(struct part p)
{
    const size_t n = part_n(p);
    if (n < 2 || n > 63) return false;
    for (size_t i = p.from; i < p.to; i++)
        if (!letter(p.s->p[i])) return false;
    return true;
}

static bool is_tld(struct part p)
{
    if (is_basic_tld(p)) return true;
    if (!begins_any_case(p, "xn--")) return false;
    const struct part rest = {p.s, p.from + 4, p.to};
    return run(rest, rest.from, "%") == p.to && chars(rest) >= 2 && chars(rest) <= 59;
}

static bool is_known_tld(struct part p)
{
    static const char *const names[] = {"com", "net", "int", "edu", "gov", "org", "info", "mil"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (part_n(p) == strlen(names[i]) && begins_any_case(p, names[i])) return true;
    return false;
}

static bool is_ipv4(struct part p, size_t at)
{
    for (int i = 0; i < 4; i++) {
        if (i && (at == p.to || p.s->p[at++] != '.')) return false;
        const size_t end = run_decimals(p, at, 3);
        if (end == at) return false;
        at = end;
    }
    return is_rest(p, at);
}

/* [([\da-f]{0,4}:){2}([\da-f]{0,4}:?){1,6}] */
static bool is_ipv6(struct part p, size_t at)
{
    if (at == p.to || p.s->p[at++] != '[') return false;
    for (int group = 0; group < 8; group++) {
        for (int i = 0; i < 4 && at < p.to && hex(p.s->p[at]); i++) at++;
        const bool colon = at < p.to && p.s->p[at] == ':';
        if (group < 2 && !colon) return false;
        at += colon;
    }
    return at < p.to && p.s->p[at] == ']' && is_rest(p, at + 1);
}

/* The host is all that can belong to it: what follows it cannot. */
static bool is_url(struct part p)
{
    const size_t scheme = begins_any_case(p, "http://")    ? 7
                          : begins_any_case(p, "https://") ? 8
                                                           : 0;
    const size_t host = p.from + (begins_any_case(p, "www.") ? 4 : scheme);
    size_t end = run(p, host, "%-."), tld = last_label(p, host, end);
    if (host > p.from && is_tld((struct part){p.s, tld, end}) && are_labels(p, host, tld, 1) &&
        is_rest(p, end))
        return true;
    if (scheme) return is_ipv4(p, host) || is_ipv6(p, host);
    end = run(p, p.from, "%-.");
    tld = last_label(p, p.from, end);
    return tld > p.from && is_known_tld((struct part){p.s, tld, end}) &&
           are_labels(p, p.from, tld, 2) && is_rest(p, end);
}

/* \S+@\w[\w.-]*\.\w+ */
static bool is_email(struct part p)
{
    size_t at = p.to, dot = p.to;
    while (at > p.from && p.s->p[at - 1] != '@') at--;
    if (at <= p.from + 1) return false;
    while (dot > at && p.s->p[dot - 1] != '.') dot--;
    return run((struct part){p.s, at, p.to}, at, "") > at && run(p, at, ".-") == p.to &&
           dot > at + 1 && dot < p.to && run(p, dot, "") == p.to;
}

/* ---- output ---- */
static void put_attribute(struct links *k, const char *name, struct jval v)
{
    struct jval text;
    if (v.kind != J_STR || !v.u.s->n) return;
    if (jstr_escape(k->vm, v.u.s, &text)) {
        k->out.failed = true;
        return;
    }
    jbuild_z(&k->out, name);
    jbuild_str(&k->out, text.u.s);
    jbuild_z(&k->out, "\"");
}

/* <a href="PREFIX p">shown</a> */
static void put_link(struct links *k, const char *prefix, struct part p, struct part shown,
                     bool attributes, int64_t limit)
{
    const bool cut = limit >= 0 && chars(shown) > (size_t)limit;
    jbuild_z(&k->out, "<a href=\"");
    jbuild_z(&k->out, prefix);
    jbuild_part(&k->out, p.s, p.from, p.to);
    jbuild_z(&k->out, "\"");
    if (attributes) put_attribute(k, " rel=\"", k->rel);
    if (attributes) put_attribute(k, " target=\"", k->target);
    jbuild_z(&k->out, ">");
    if (cut) {
        const struct jstr tail = {.p = p.s->p + shown.from, .n = (uint32_t)part_n(shown)};
        shown.to = shown.from + jstr_offset(&tail, (size_t)limit);
    }
    jbuild_part(&k->out, p.s, shown.from, shown.to);
    jbuild_z(&k->out, cut ? "...</a>" : "</a>");
}

/* True when it begins with a scheme of the arguments, and has more. */
static bool has_scheme(const struct links *k, struct part p)
{
    for (size_t i = 0; k->schemes && i < k->schemes->n; i++) {
        const struct jstr *s = k->schemes->v[i].u.s;
        if (part_n(p) > s->n && memcmp(p.s->p + p.from, s->p, s->n) == 0) return true;
    }
    return false;
}

static void put_middle(struct links *k, struct part p)
{
    const struct part behind = {p.s, p.from + 7, p.to};
    if (is_url(p)) {
        const bool whole = begins(p, "https://") || begins(p, "http://");
        put_link(k, whole ? "" : "https://", p, p, true, k->limit);
    } else if (begins(p, "mailto:") && is_email(behind)) {
        put_link(k, "", p, behind, false, -1);
    } else if (!begins(p, "www.") && !begins(p, "@") && !count(p, ":") && is_email(p)) {
        put_link(k, "mailto:", p, p, false, -1);
    } else if (has_scheme(k, p)) {
        put_link(k, "", p, p, true, -1);
    } else {
        jbuild_part(&k->out, p.s, p.from, p.to);
    }
}

/* Takes what only surrounds a link off a word; brackets that a link opened stay with it. */
static void put_word(struct links *k, struct part word)
{
    static const char *const pairs[][2] = {{"(", ")"}, {"<", ">"}, {"&lt;", "&gt;"}};
    struct part p = word;
    while (begins(p, "(") || begins(p, "<") || begins(p, "&lt;"))
        p.from += begins(p, "&lt;") ? 4 : 1;
    while (ends(p, ")") || ends(p, ">") || ends(p, ".") || ends(p, ",") || ends(p, "&gt;"))
        p.to -= ends(p, "&gt;") ? 4 : 1;
    for (size_t i = 0; i < 3; i++) {
        const char *close = pairs[i][1];
        const struct jstr find = {.p = close, .n = (uint32_t)strlen(close)};
        const struct part tail = {p.s, p.to, word.to};
        const size_t opened = count(p, pairs[i][0]), closed = count(tail, close);
        if (opened <= count(p, close)) continue;
        for (size_t n = opened < closed ? opened : closed; n > 0; n--)
            p.to = jstr_find(p.s, p.to, word.to, &find, false) + find.n;
    }
    jbuild_part(&k->out, p.s, word.from, p.from);
    put_middle(k, p);
    jbuild_part(&k->out, p.s, p.to, word.to);
}

/* ---- arguments ---- */
/* [\w.+-]{2,}:/{0,2} */
static bool is_scheme(struct jval v)
{
    if (v.kind != J_STR) return false;
    struct part p = {v.u.s, 0, v.u.s->n};
    const struct part name = {p.s, 0, run(p, 0, ".+-")};
    size_t at = name.to;
    if (chars(name) < 2 || at == p.to || p.s->p[at++] != ':') return false;
    return p.to - at <= 2 && memcmp(p.s->p + at, "//", p.to - at) == 0;
}

static int read_schemes(struct links *k, struct jval v)
{
    struct jlist *l;
    if (v.kind == J_MISSING || v.kind == J_NONE) return 0;
    if (jval_elements(k->vm, v, &l)) return -1;
    for (size_t i = 0; i < l->n; i++)
        if (!is_scheme(l->v[i]))
            return vm_fail(k->vm, "urlize: this is not a valid URI scheme prefix");
    k->schemes = l;
    return 0;
}

/* Sets rel to the sorted words of the argument, "noopener" (a policy of jinja2) and "nofollow". */
static int read_rel(struct links *k, struct jval rel, bool nofollow)
{
    static const struct jstr blank = {.p = " ", .n = 1}, always = {.p = "noopener", .n = 8},
                             no = {.p = "nofollow", .n = 8};
    const struct jstr *s;
    struct jlist *words = jlist_new(k->vm, 2), *set = jlist_new(k->vm, 2);
    if (!words || !set || jarg_str(k->vm, rel, &s)) return -1;
    if (s && jstr_split(k->vm, s, NULL, -1, false, &words)) return -1;
    if (jlist_add(k->vm, words, jval_str(&always))) return -1;
    if (nofollow && jlist_add(k->vm, words, jval_str(&no))) return -1;
    const struct jval exact[] = {jval_bool(false), jval_bool(true), jval_none()};
    struct jval sorted;
    if (jfilter_sort(k->vm, jval_list(words, J_LIST), &(struct jargs){.pos = exact, .npos = 3},
                     &sorted))
        return -1;
    words = sorted.u.list;
    for (size_t i = 0; i < words->n; i++)
        if (!i || !jval_eq(k->vm, words->v[i], words->v[i - 1]))
            if (jlist_add(k->vm, set, words->v[i])) return -1;
    return jstr_join(k->vm, &blank, set, true, &k->rel);
}

int jfilter_urlize(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    struct links k = {.vm = vm, .target = a->pos[2]};
    const struct jstr *s;
    struct jval text;
    if (jarg_int(vm, a->pos[0], -1, &k.limit) || read_rel(&k, a->pos[3], jval_truth(a->pos[1])) ||
        read_schemes(&k, a->pos[4]) || jval_tostr(vm, self, true, &s) || jstr_escape(vm, s, &text))
        return -1;
    if (k.limit < -1) return vm_fail(vm, "urlize: a negative limit is not supported");
    s = text.u.s;
    /* A word is looked through some ten times. */
    if (vm_charge(vm, (size_t)s->n * 10)) return -1;
    jbuild_init(&k.out, vm);
    for (size_t at = 0, end, len; at < s->n && !k.out.failed; at = end) {
        const bool space = jchar_space(jchar_get(s->p + at, s->n - at, &len));
        for (end = at; end < s->n; end += len)
            if (jchar_space(jchar_get(s->p + end, s->n - end, &len)) != space) break;
        if (space)
            jbuild_part(&k.out, s, at, end);
        else
            put_word(&k, (struct part){s, at, end});
    }
    return jbuild_done(&k.out, out);
}
