/* SPDX-License-Identifier: Apache-2.0 */
/* String operations of Python that keep origins: find, strip, split, replace, join, case. */
#include <string.h>

#include "jinja/value.h"

size_t jstr_chars(const struct jstr *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++) n += ((unsigned char)s->p[i] & 0xC0) != 0x80;
    return n;
}

size_t jstr_offset(const struct jstr *s, size_t chars)
{
    size_t i = 0;
    while (i < s->n && chars) {
        i++;
        while (i < s->n && ((unsigned char)s->p[i] & 0xC0) == 0x80) i++;
        chars--;
    }
    return i;
}

/* A search from the end compares `find` at each byte, 16 bytes at once. */
int jstr_charge_find(struct vm *vm, const struct jstr *s, const struct jstr *find, bool last)
{
    return vm_charge(vm, last ? (size_t)s->n * (1 + find->n / 16) : (size_t)s->n + find->n);
}

size_t jstr_find(const struct jstr *s, size_t from, size_t to, const struct jstr *find, bool last)
{
    if (to < from || to - from < find->n) return SIZE_MAX;
    if (!last) {
        const char *p = find->n ? memmem(s->p + from, to - from, find->p, find->n) : s->p + from;
        return p ? (size_t)(p - s->p) : SIZE_MAX;
    }
    for (size_t i = to - find->n + 1; i-- > from;)
        if (memcmp(s->p + i, find->p, find->n) == 0) return i;
    return SIZE_MAX;
}

static bool strips(uint32_t c, const struct jstr *chars)
{
    if (!chars) return jchar_space(c);
    for (size_t i = 0, len; i < chars->n; i += len)
        if (jchar_get(chars->p + i, chars->n - i, &len) == c) return true;
    return false;
}

void jstr_strip(const struct jstr *s, const struct jstr *chars, bool left, bool right, size_t *from,
                size_t *to)
{
    size_t b = 0, e = s->n, len;
    while (left && b < e && strips(jchar_get(s->p + b, e - b, &len), chars)) b += len;
    while (right && e > b) {
        size_t k = e - 1;
        while (k > b && ((unsigned char)s->p[k] & 0xC0) == 0x80) k--;
        if (!strips(jchar_get(s->p + k, e - k, &len), chars)) break;
        e = k;
    }
    *from = b;
    *to = e;
}

static int add_part(struct vm *vm, struct jlist *l, const struct jstr *s, size_t from, size_t to)
{
    struct jval v;
    return jstr_part(vm, s, from, to, &v) ? -1 : jlist_add(vm, l, v);
}

static void reverse(struct jlist *l)
{
    for (size_t i = 0, k = l->n; i + 1 < k; i++) {
        struct jval v = l->v[i];
        l->v[i] = l->v[--k];
        l->v[k] = v;
    }
}

/* Splits at white space, from the left, or from the right into reverse order. */
static int split_space(struct vm *vm, const struct jstr *s, int64_t max, bool right,
                       struct jlist *l)
{
    size_t b, e, len, begin = 0, end = s->n;
    for (;;) {
        struct jstr rest = {.p = s->p + begin, .n = (uint32_t)(end - begin)};
        jstr_strip(&rest, NULL, !right, right, &b, &e);
        if (b == e) break;
        size_t from = begin + b, to = begin + e, k;
        if (max >= 0 && (int64_t)l->n == max) {
            return add_part(vm, l, s, right ? begin : from, right ? to : end);
        }
        if (!right) {
            for (k = from; k < end && !jchar_space(jchar_get(s->p + k, end - k, &len));) k += len;
            if (add_part(vm, l, s, from, k)) return -1;
            begin = k;
        } else {
            for (k = to; k > begin;) {
                size_t c = k - 1;
                while (c > begin && ((unsigned char)s->p[c] & 0xC0) == 0x80) c--;
                if (jchar_space(jchar_get(s->p + c, k - c, &len))) break;
                k = c;
            }
            if (add_part(vm, l, s, k, to)) return -1;
            end = k;
        }
    }
    return 0;
}

int jstr_split(struct vm *vm, const struct jstr *s, const struct jstr *sep, int64_t max, bool right,
               struct jlist **out)
{
    struct jlist *l = jlist_new(vm, 4);
    if (!l || vm_charge(vm, s->n)) return -1;
    *out = l;
    if (!sep) {
        if (split_space(vm, s, max, right, l)) return -1;
        if (right) reverse(l);
        return 0;
    }
    if (!sep->n) return vm_fail(vm, "empty separator");
    if (jstr_charge_find(vm, s, sep, right)) return -1;
    size_t begin = 0, end = s->n, at;
    while ((max < 0 || (int64_t)l->n < max) &&
           (at = jstr_find(s, begin, end, sep, right)) != SIZE_MAX) {
        if (add_part(vm, l, s, right ? at + sep->n : begin, right ? end : at)) return -1;
        if (right)
            end = at;
        else
            begin = at + sep->n;
    }
    if (add_part(vm, l, s, begin, end)) return -1;
    if (right) reverse(l);
    return 0;
}

int jstr_lines(struct vm *vm, const struct jstr *s, bool keep, struct jlist **out)
{
    struct jlist *l = jlist_new(vm, 4);
    if (!l || vm_charge(vm, s->n)) return -1;
    size_t from = 0, len;
    for (size_t i = 0; i < s->n; i += len) {
        uint32_t c = jchar_get(s->p + i, s->n - i, &len);
        if (!jchar_linebreak(c)) continue;
        if (c == '\r' && i + 1 < s->n && s->p[i + 1] == '\n') len = 2;
        if (add_part(vm, l, s, from, keep ? i + len : i)) return -1;
        from = i + len;
    }
    if (from < s->n && add_part(vm, l, s, from, s->n)) return -1;
    *out = l;
    return 0;
}

/* Replaces the empty string, which in Python matches before every character and at the end. */
static void replace_empty(struct jbuild *b, const struct jstr *s, const struct jstr *to,
                          int64_t max)
{
    size_t i = 0, len;
    for (; i < s->n && max != 0 && !b->failed; i += len, max--) {
        jchar_get(s->p + i, s->n - i, &len);
        jbuild_str(b, to);
        jbuild_part(b, s, i, i + len);
    }
    if (max != 0) jbuild_str(b, to);
    jbuild_part(b, s, i, s->n);
}

int jstr_replace(struct vm *vm, const struct jstr *s, const struct jstr *from,
                 const struct jstr *to, int64_t max, struct jval *out)
{
    struct jbuild b;
    jbuild_init(&b, vm);
    if (!from->n) {
        replace_empty(&b, s, to, max);
        return jbuild_done(&b, out);
    }
    size_t at, done = 0;
    if (jstr_charge_find(vm, s, from, false)) return -1;
    while (max != 0 && !b.failed && (at = jstr_find(s, done, s->n, from, false)) != SIZE_MAX) {
        jbuild_part(&b, s, done, at);
        jbuild_str(&b, to);
        done = at + from->n;
        max--;
    }
    jbuild_part(&b, s, done, s->n);
    return jbuild_done(&b, out);
}

int jstr_join(struct vm *vm, const struct jstr *sep, const struct jlist *l, bool soft,
              struct jval *out)
{
    struct jbuild b;
    jbuild_init(&b, vm);
    for (size_t i = 0; i < l->n; i++) {
        if (!soft && l->v[i].kind != J_STR)
            return vm_fail(vm, "sequence item %zu: expected str instance, %s found", i,
                           jval_type(l->v[i]));
        if (i) jbuild_str(&b, sep);
        jbuild_value(&b, l->v[i]);
    }
    return jbuild_done(&b, out);
}

/* ---- case ---- */
static bool word_start(uint32_t c)
{
    return c == '-' || c == '(' || c == '{' || c == '[' || c == '<' || jchar_space(c);
}

static void put_case(struct jbuild *b, const struct jstr *s, size_t i, size_t len, uint32_t c,
                     bool upper)
{
    char text[12], more[8] = "";
    uint32_t k = upper ? jchar_upper(c, more) : jchar_lower(c);
    size_t n = jchar_put(k, text), extra = strlen(more);
    memcpy(text + n, more, extra);
    if (!upper && c == 0x130) { /* capital I with dot above becomes i and a combining dot */
        memcpy(text, "i\xCC\x87", 3);
        n = 3;
    }
    jbuild_derived(b, text, n + extra, s, i, i + len);
}

/* Characters that Unicode's rule for the final sigma ignores. */
static bool case_ignorable(uint32_t c)
{
    return c == '\'' || c == '.' || c == ':' || c == '^' || c == '`' || c == 0xAD || c == 0xB7 ||
           (c >= 0x300 && c < 0x370) || (c >= 0x2018 && c <= 0x2019) || c == 0x2024 || c == 0x2027;
}

/* True when the capital sigma at i ends a word, so that it becomes the final form. */
static bool final_sigma(const struct jstr *s, size_t i, bool after_cased)
{
    size_t len;
    if (!after_cased) return false;
    i += 2;
    while (i < s->n) {
        uint32_t c = jchar_get(s->p + i, s->n - i, &len);
        if (jchar_cased(c)) return false;
        if (!case_ignorable(c)) break;
        i += len;
    }
    return true;
}

int jstr_case(struct vm *vm, const struct jstr *s, enum jcase how, struct jval *out)
{
    struct jbuild b;
    bool start = true, after_cased = false, in_word = false,
         titled = how == JCASE_CAPITALIZE || how == JCASE_TITLE;
    const char *title;
    jbuild_init(&b, vm);
    for (size_t i = 0, len; i < s->n && !b.failed; i += len) {
        uint32_t c = jchar_get(s->p + i, s->n - i, &len);
        bool first = start, cased = jchar_cased(c), upper = how == JCASE_UPPER;
        if (how == JCASE_CAPITALIZE) upper = i == 0;
        if (how == JCASE_TITLE) upper = !after_cased;
        if (how == JCASE_SWAP) upper = jchar_lower(c) == c && c != 0x130;
        if (how == JCASE_WORDS) upper = start;
        if (!upper && c == 0x3A3 && final_sigma(s, i, in_word))
            jbuild_derived(&b, "\xCF\x82", 2, s, i, i + len);
        else if (upper && titled && (title = jchar_title(c)))
            jbuild_derived(&b, title, strlen(title), s, i, i + len);
        else
            put_case(&b, s, i, len, c, upper);
        start = word_start(c);
        after_cased = cased;
        in_word = (cased || (in_word && case_ignorable(c))) && !(how == JCASE_WORDS && first);
    }
    return jbuild_done(&b, out);
}
