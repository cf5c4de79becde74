/* SPDX-License-Identifier: Apache-2.0 */
/* Unicode normalization forms (UAX #15) with the origin of each character: the order in which
 * `tokenizers` attributes characters (its crate unicode-normalization-alignments) is kept. */
#include <stdlib.h>
#include <string.h>

#include "text/normalizer.h"
#include "unicode/unicode.h"
#include "unicode/utf8.h"

int transform_put(struct transform *t, uint32_t c, int change, struct err *e)
{
    const struct ntext *f = t->from;
    struct ntext_range r = {0, 0};
    char out[4];
    if (f->n > 0 && (change > 0 ? t->at > 0 : true)) {
        size_t i = change > 0 ? t->at - 1 : t->at;
        r = f->align[i < f->n ? i : f->n - 1];
    }
    for (int k = change; k <= 0 && t->at < f->n; k++) t->at += utf8_len((unsigned char)f->p[t->at]);
    return ntext_put(t->to, out, utf8_put(out, c), r, e);
}

/* A character of the decomposed text. */
struct mark {
    uint32_t c;
    int32_t change;
    uint32_t order; /* class << 24 | place among its neighbours, to sort stably */
};

struct former {
    struct normalizer_scratch *s;
    struct transform t;
    bool compose;
    size_t n;      /* marks that wait to be sorted, in s->list */
    bool has_base; /* composing: a starter that may still take marks */
    struct mark base;
    size_t held, held_cap; /* marks that did not compose, after the base */
    struct mark *hold;
    int last_class; /* of the last held mark, or -1 */
    struct err *e;
};

static int put(struct former *f, const struct mark *m)
{
    return transform_put(&f->t, m->c, m->change, f->e);
}

static int put_held(struct former *f)
{
    for (size_t i = 0; i < f->held; i++)
        if (put(f, &f->hold[i])) return -1;
    f->held = 0;
    f->last_class = -1;
    return 0;
}

static int hold(struct former *f, const struct mark *m, int class)
{
    if (mem_grow(&f->hold, &f->held_cap, f->held + 1, sizeof *f->hold, f->e)) return -1;
    f->hold[f->held++] = *m;
    f->last_class = class;
    return 0;
}

/* The next character in canonical order: composed with the base where that is allowed. */
static int take(struct former *f, const struct mark *m)
{
    int class = (int)unicode_combining(m->c);
    uint32_t both;
    if (!f->compose) return put(f, m);
    if (!f->has_base) {
        if (class != 0) return put(f, m);
        f->base = *m;
        f->has_base = true;
        return 0;
    }
    if (f->last_class < class || f->last_class < 0) {
        both = unicode_composite(f->base.c, m->c);
        if (both != 0) {
            f->base.c = both;
            f->base.change += m->change - 1;
            return 0;
        }
    }
    if (class != 0) return hold(f, m, class);
    if (put(f, &f->base) || put_held(f)) return -1;
    f->base = *m;
    return 0;
}

static int compare_order(const void *a, const void *b)
{
    uint32_t x = ((const struct mark *)a)->order, y = ((const struct mark *)b)->order;
    return (x > y) - (x < y);
}

static int flush(struct former *f)
{
    struct mark *list = f->s->list;
    if (f->n > 1) qsort(list, f->n, sizeof *list, compare_order);
    for (size_t i = 0; i < f->n; i++)
        if (take(f, &list[i])) return -1;
    f->n = 0;
    return 0;
}

static int feed(struct former *f, uint32_t c, bool first)
{
    uint32_t class = unicode_combining(c);
    struct mark m = {c, first ? 0 : 1, 0};
    if (class == 0) return flush(f) ? -1 : take(f, &m);
    if (f->n >= 1u << 24) return err_set(f->e, ERR_DATA, "too many combining marks in a row");
    m.order = class << 24 | (uint32_t)f->n;
    if (mem_grow(&f->s->list, &f->s->list_cap, f->n + 1, sizeof m, f->e)) return -1;
    ((struct mark *)f->s->list)[f->n++] = m;
    return 0;
}

int normal_form(struct normalizer_scratch *s, const struct ntext *from, struct ntext *to,
                bool compose, bool compat, struct err *e)
{
    struct former f = {
        .s = s, .t = {.from = from, .to = to}, .compose = compose, .last_class = -1, .e = e};
    int rc = 0;
    for (size_t i = 0; i < from->n && !rc;) {
        uint32_t c, part[UNICODE_DECOMPOSED_MAX];
        i += utf8_get(from->p + i, &c);
        unsigned n = unicode_decompose(c, compat, part);
        for (unsigned k = 0; k < n && !rc; k++) rc = feed(&f, part[k], k == 0);
    }
    if (!rc) rc = flush(&f);
    if (!rc && f.has_base) rc = put(&f, &f.base);
    if (!rc) rc = put_held(&f);
    mem_free(f.hold);
    return rc;
}

/* True when the character may change or move under NFC. */
static bool cares(uint32_t c)
{
    const uint32_t *r = unicode_nfc_care;
    size_t lo = 0, hi = unicode_nfc_care_n / 2;
    if (c < r[0] || (c >= 0x3100 && c < 0xa66f)) return false;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (c > r[2 * mid + 1])
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < unicode_nfc_care_n / 2 && c >= r[2 * lo];
}

size_t normal_form_nfc_prefix(struct str text)
{
    size_t last = 0; /* start of the last character, which might compose with the next one */
    for (size_t i = 0; i < text.n;) {
        uint32_t c;
        uint64_t w;
        if (text.n - i >= 8 && (memcpy(&w, text.p + i, 8), (w & 0x8080808080808080u) == 0)) {
            i += 8;
            last = i - 1;
            continue;
        }
        unsigned len = utf8_get(text.p + i, &c);
        if (cares(c)) return last;
        last = i;
        i += len;
    }
    return text.n;
}

/* Where the first character that NFC never touches begins after the first one, or n. */
static size_t end_of_care(const char *p, size_t n)
{
    size_t i = n == 0 ? 0 : utf8_len((unsigned char)p[0]);
    while (i < n) {
        uint32_t c;
        unsigned len = utf8_get(p + i, &c);
        if (!cares(c)) break;
        i += len;
    }
    return i;
}

int normal_form_nfc(struct normalizer_scratch *s, const struct ntext *from, struct ntext *to,
                    struct err *e)
{
    for (size_t i = 0; i < from->n;) {
        struct str rest = {from->p + i, from->n - i};
        size_t same = normal_form_nfc_prefix(rest);
        if (ntext_copy(to, from, i, i + same, e)) return -1;
        i += same;
        size_t care = end_of_care(from->p + i, from->n - i);
        struct ntext part = {.p = from->p + i, .n = care, .align = from->align + i};
        if (care > 0 && normal_form(s, &part, to, true, false, e)) return -1;
        i += care;
    }
    return 0;
}
