/* SPDX-License-Identifier: Apache-2.0 */
/* Unicode normalization forms (UAX #15) that record the origin of each character. Origins follow
 * the crate unicode-normalization-alignments of `tokenizers`. */
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

/* A character of the decomposed text, with its `change` for transform_put(). */
struct mark {
    uint32_t c;
    int32_t change;
    uint32_t order; /* combining class << 24 | index, so that sorting is stable */
};

struct composer {
    struct normalizer_scratch *s;
    struct transform t;
    bool compose;
    size_t n;      /* unsorted marks in s->list */
    bool has_base; /* composing: `base` is a starter that may compose with later marks */
    struct mark base;
    struct mark *pending; /* [npending] marks behind the base that do not compose with it */
    size_t npending, pending_cap;
    int last_class; /* combining class of the last pending mark, or -1 */
    struct err *e;
};

static int put(struct composer *f, const struct mark *m)
{
    return transform_put(&f->t, m->c, m->change, f->e);
}

static int put_pending(struct composer *f)
{
    for (size_t i = 0; i < f->npending; i++)
        if (put(f, &f->pending[i])) return -1;
    f->npending = 0;
    f->last_class = -1;
    return 0;
}

static int add_pending(struct composer *f, const struct mark *m, int class)
{
    if (mem_grow(&f->pending, &f->pending_cap, f->npending + 1, sizeof *f->pending, f->e))
        return -1;
    f->pending[f->npending++] = *m;
    f->last_class = class;
    return 0;
}

/* Adds the next character in canonical order; it composes with the base where UAX #15 allows it. */
static int add_ordered(struct composer *f, const struct mark *m)
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
    if (class != 0) return add_pending(f, m, class);
    if (put(f, &f->base) || put_pending(f)) return -1;
    f->base = *m;
    return 0;
}

static int compare_order(const void *a, const void *b)
{
    uint32_t x = ((const struct mark *)a)->order, y = ((const struct mark *)b)->order;
    return (x > y) - (x < y);
}

static int flush(struct composer *f)
{
    struct mark *list = f->s->list;
    if (f->n > 1) qsort(list, f->n, sizeof *list, compare_order);
    for (size_t i = 0; i < f->n; i++)
        if (add_ordered(f, &list[i])) return -1;
    f->n = 0;
    return 0;
}

static int add_decomposed(struct composer *f, uint32_t c, bool first)
{
    uint32_t class = unicode_combining(c);
    struct mark m = {c, first ? 0 : 1, 0};
    if (class == 0) return flush(f) ? -1 : add_ordered(f, &m);
    if (f->n >= 1u << 24) return err_set(f->e, ERR_DATA, "too many combining marks in a row");
    m.order = class << 24 | (uint32_t)f->n;
    if (mem_grow(&f->s->list, &f->s->list_cap, f->n + 1, sizeof m, f->e)) return -1;
    ((struct mark *)f->s->list)[f->n++] = m;
    return 0;
}

int normal_form(struct normalizer_scratch *s, const struct ntext *from, struct ntext *to,
                bool compose, bool compat, struct err *e)
{
    struct composer f = {
        .s = s, .t = {.from = from, .to = to}, .compose = compose, .last_class = -1, .e = e};
    int rc = 0;
    for (size_t i = 0; i < from->n && !rc;) {
        uint32_t c, part[UNICODE_DECOMPOSED_MAX];
        i += utf8_get(from->p + i, &c);
        unsigned n = unicode_decompose(c, compat, part);
        for (unsigned k = 0; k < n && !rc; k++) rc = add_decomposed(&f, part[k], k == 0);
    }
    if (!rc) rc = flush(&f);
    if (!rc && f.has_base) rc = put(&f, &f.base);
    if (!rc) rc = put_pending(&f);
    mem_free(f.pending);
    return rc;
}

/* True when NFC may change or move the character. */
static bool is_affected(uint32_t c)
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
    size_t last = 0; /* start of the last character, which may compose with the next one */
    for (size_t i = 0; i < text.n;) {
        uint32_t c;
        uint64_t w;
        if (text.n - i >= 8 && (memcpy(&w, text.p + i, 8), (w & 0x8080808080808080u) == 0)) {
            i += 8;
            last = i - 1;
            continue;
        }
        unsigned len = utf8_get(text.p + i, &c);
        if (is_affected(c)) return last;
        last = i;
        i += len;
    }
    return text.n;
}

/* Returns the start of the next character, after the first, that NFC cannot change; n: there is
 * none. */
static size_t affected_end(const char *p, size_t n)
{
    size_t i = n == 0 ? 0 : utf8_len((unsigned char)p[0]);
    while (i < n) {
        uint32_t c;
        unsigned len = utf8_get(p + i, &c);
        if (!is_affected(c)) break;
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
        size_t care = affected_end(from->p + i, from->n - i);
        struct ntext part = {.p = from->p + i, .n = care, .align = from->align + i};
        if (care > 0 && normal_form(s, &part, to, true, false, e)) return -1;
        i += care;
    }
    return 0;
}
