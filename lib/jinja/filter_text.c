/* SPDX-License-Identifier: Apache-2.0 */
/* Filters that make text: wordcount, striptags, urlencode, filesizeformat, xmlattr. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/opt.h"
#include "jinja/filters.h"

static bool is_letter(char c) { return (c | 32) >= 'a' && (c | 32) <= 'z'; }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* ---- wordcount ---- */
int jfilter_wordcount(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    const struct jstr *s;
    int64_t words = 0;
    bool inside = false;
    (void)a;
    if (jval_tostr(vm, self, true, &s) || vm_charge(vm, s->n)) return -1;
    for (size_t i = 0, len; i < s->n; i += len) {
        uint32_t c = jchar_get(s->p + i, s->n - i, &len);
        const bool word = jchar_word(c);
        words += word && !inside;
        inside = word;
    }
    *out = jval_int(words);
    return 0;
}

/* ---- striptags ---- */
static struct jstr text_of(const char *z)
{
    return (struct jstr){.p = z, .n = (uint32_t)strlen(z)};
}

/* Removes everything from each `open` to the next `close`. */
static int remove_between(struct vm *vm, const struct jstr *s, const char *open, const char *close,
                          struct jval *out)
{
    const struct jstr from = text_of(open), to = text_of(close);
    struct jbuild b;
    size_t done = 0, start, end;
    jbuild_init(&b, vm);
    while ((start = jstr_find(s, done, s->n, &from, false)) != SIZE_MAX &&
           (end = jstr_find(s, start, s->n, &to, false)) != SIZE_MAX) {
        jbuild_part(&b, s, done, start);
        done = end + to.n;
    }
    jbuild_part(&b, s, done, s->n);
    return jbuild_done(&b, out);
}

/* Decodes the entity at s[at], which is '&'. Returns its length with the text in out; 0: it is
 * none; -1: it is not supported. */
static int entity(const struct jstr *s, size_t at, char out[4], size_t *n)
{
    static const char *const names[] = {"amp;&", "lt;<", "gt;>", "quot;\"", "apos;'"};
    const char *p = s->p + at + 1;
    size_t left = s->n - at - 1;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t len = strlen(names[i]) - 1;
        if (left < len || memcmp(p, names[i], len) != 0) continue;
        *out = names[i][len];
        *n = 1;
        return (int)len + 1;
    }
    if (left && is_letter(*p)) return -1;
    if (!left || *p != '#') return 0;
    char digits[12] = "";
    size_t k = 1;
    bool hex = left > 1 && (p[1] | 32) == 'x';
    for (k += hex; k < left && k < 9 && (is_digit(p[k]) || (hex && is_letter(p[k]))); k++)
        digits[k - 1 - hex] = p[k];
    uint64_t c = 0;
    for (const char *d = digits; *d; d++) {
        int v = is_digit(*d) ? *d - '0' : (*d | 32) - 'a' + 10;
        if (v >= (hex ? 16 : 10)) return -1;
        c = c * (hex ? 16 : 10) + (uint64_t)v;
    }
    bool plain =
        (c >= 0x20 && c < 0x7f) || (c >= 0xa0 && c < 0xd800) || (c >= 0xe000 && c < 0xfdd0);
    if (!*digits) return 0;
    if (!plain || k == left || p[k] != ';') return -1;
    *n = jchar_put((uint32_t)c, out);
    return (int)k + 2;
}

static int unescape(struct vm *vm, const struct jstr *s, struct jval *out)
{
    struct jbuild b;
    size_t done = 0, n = 0;
    char c[4];
    jbuild_init(&b, vm);
    for (size_t i = 0; i < s->n; i++) {
        int len = s->p[i] == '&' ? entity(s, i, c, &n) : 0;
        if (len < 0) return vm_fail(vm, "striptags: this character reference is not supported");
        if (!len) continue;
        jbuild_part(&b, s, done, i);
        jbuild_derived(&b, c, n, s, i, i + (size_t)len);
        done = i + (size_t)len;
        i = done - 1;
    }
    jbuild_part(&b, s, done, s->n);
    return jbuild_done(&b, out);
}

int jfilter_striptags(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    static const struct jstr blank = {.p = " ", .n = 1};
    const struct jstr *s;
    struct jlist *words;
    struct jval v;
    (void)a;
    if (jval_tostr(vm, self, true, &s) || vm_charge(vm, s->n) ||
        remove_between(vm, s, "<!--", "-->", &v) || remove_between(vm, v.u.s, "<", ">", &v) ||
        jstr_split(vm, v.u.s, NULL, -1, false, &words) || jstr_join(vm, &blank, words, true, &v))
        return -1;
    return unescape(vm, v.u.s, out);
}

/* ---- urlencode ---- */
/* Appends str(v) with %XX for all bytes but letters, digits, "_.-~" and those of `safe`; plus: a
 * blank becomes +. */
static int put_quoted(struct jbuild *b, struct jval v, const char *safe, bool plus)
{
    const struct jstr *s;
    char code[4];
    if (jval_tostr(b->vm, v, true, &s)) return -1;
    for (size_t i = 0; i < s->n && !b->failed; i++) {
        char c = s->p[i];
        snprintf(code, sizeof code, "%%%02X", (unsigned char)c);
        if (c && (is_letter(c) || is_digit(c) || strchr(safe, c)))
            jbuild_part(b, s, i, i + 1);
        else
            jbuild_derived(b, plus && c == ' ' ? "+" : code, plus && c == ' ' ? 1 : 3, s, i, i + 1);
    }
    return b->failed ? -1 : 0;
}

static int put_pair(struct jbuild *b, struct jval key, struct jval v)
{
    if (b->n) jbuild_z(b, "&");
    if (put_quoted(b, key, "_.-~", true)) return -1;
    jbuild_z(b, "=");
    return put_quoted(b, v, "_.-~", true);
}

int jfilter_urlencode(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    struct jbuild b;
    struct jlist *l, *pair;
    (void)a;
    jbuild_init(&b, vm);
    if (self.kind == J_STR || !jval_iterable(self))
        return put_quoted(&b, self, "_.-~/", false) ? -1 : jbuild_done(&b, out);
    if (self.kind == J_DICT) {
        for (size_t i = 0; i < self.u.dict->n; i++)
            if (put_pair(&b, self.u.dict->keys[i], self.u.dict->vals[i])) return -1;
        return jbuild_done(&b, out);
    }
    if (jval_elements(vm, self, &l)) return -1;
    for (size_t i = 0; i < l->n; i++) {
        if (jval_elements(vm, l->v[i], &pair)) return -1;
        if (pair->n != 2) return vm_fail(vm, "urlencode expects pairs");
        if (put_pair(&b, pair->v[0], pair->v[1])) return -1;
    }
    return jbuild_done(&b, out);
}

/* ---- filesizeformat ---- */
static int size_of(struct vm *vm, struct jval v, double *bytes)
{
    char text[64];
    if (v.kind == J_UNDEF) return vm_undefined(vm, v);
    if (jval_is_real(v, bytes)) return 0;
    if (v.kind == J_STR && v.u.s->n < sizeof text && !memchr(v.u.s->p, 0, v.u.s->n)) {
        memcpy(text, v.u.s->p, v.u.s->n);
        text[v.u.s->n] = 0;
        if (!num_f64(text, bytes)) return 0;
    }
    return vm_fail(vm, "could not convert %s to float", jval_type(v));
}

int jfilter_filesizeformat(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    static const char units[] = "kMGTPEZY";
    const bool binary = jval_truth(a->pos[0]);
    const double base = binary ? 1024 : 1000;
    char text[400];
    double bytes, unit = base;
    if (size_of(vm, self, &bytes)) return -1;
    if (isnan(bytes) || isinf(bytes)) return vm_fail(vm, "filesizeformat: this is no size");
    if (bytes == 1) return jval_text(vm, "1 Byte", 6, out);
    int n = snprintf(text, sizeof text, "%.0f Bytes", trunc(bytes) + 0.0);
    size_t i = 0;
    for (; bytes >= base && i < 8; i++) {
        unit *= base;
        if (bytes < unit || i == 7) break;
    }
    if (bytes >= base)
        n = snprintf(text, sizeof text, "%.1f %c%sB", base * bytes / unit,
                     binary && i == 0 ? 'K' : units[i], binary ? "i" : "");
    char *p = arena_copy(vm->a, text, (size_t)n, vm->e);
    return p ? jval_text(vm, p, (size_t)n, out) : -1;
}

/* ---- xmlattr ---- */
static int put_attribute(struct jbuild *b, struct jval key, struct jval v)
{
    const struct jstr *k, *s;
    struct jval name, value;
    if (jval_tostr(b->vm, key, true, &k) || jval_tostr(b->vm, v, true, &s)) return -1;
    for (size_t i = 0, len; i < k->n; i += len) {
        uint32_t c = jchar_get(k->p + i, k->n - i, &len);
        if (jchar_space(c) || c == '/' || c == '>' || c == '=')
            return vm_fail(b->vm, "invalid character in attribute name");
    }
    if (jstr_escape(b->vm, k, &name) || jstr_escape(b->vm, s, &value)) return -1;
    if (b->n) jbuild_z(b, " ");
    jbuild_str(b, name.u.s);
    jbuild_z(b, "=\"");
    jbuild_str(b, value.u.s);
    jbuild_z(b, "\"");
    return b->failed ? -1 : 0;
}

int jfilter_xmlattr(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    struct jbuild b, spaced;
    struct jval v;
    if (self.kind == J_UNDEF) return vm_undefined(vm, self);
    if (self.kind != J_DICT) return vm_fail(vm, "xmlattr expects a mapping");
    if (vm_charge_items(vm, self.u.dict->n)) return -1;
    jbuild_init(&b, vm);
    for (size_t i = 0; i < self.u.dict->n; i++) {
        v = self.u.dict->vals[i];
        if (v.kind == J_NONE || v.kind == J_UNDEF) continue;
        if (put_attribute(&b, self.u.dict->keys[i], v)) return -1;
    }
    if (jbuild_done(&b, &v)) return -1;
    *out = v;
    if (!v.u.s->n || !(a->pos[0].kind == J_MISSING || jval_truth(a->pos[0]))) return 0;
    jbuild_init(&spaced, vm);
    jbuild_z(&spaced, " ");
    jbuild_str(&spaced, v.u.s);
    return jbuild_done(&spaced, out);
}
