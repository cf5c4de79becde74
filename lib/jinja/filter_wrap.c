/* SPDX-License-Identifier: Apache-2.0 */
/* The filter wordwrap: Python's textwrap.wrap on each line, without its replacement of white space.
 */
#include "jinja/filters.h"

/* The classes of a character in the pattern by which textwrap splits a line into chunks. */
enum { BLANK = 1, WORD = 2, LETTER = 4, PUNCT = 8, HYPHEN = 16, SPACE = 32 };

/* A line as characters; at[n] is its end. */
struct line {
    const struct jstr *s;
    const uint32_t *at;
    const uint8_t *is;
    size_t n;
};
struct wrap {
    struct vm *vm;
    int64_t width;
    bool breaks, hyphens, chunks; /* break long words; at hyphens too; chunks end at hyphens */
    const struct jstr *newline;
    struct jbuild out;
    bool begun; /* a line was put out */
};

static uint8_t classes(uint32_t c)
{
    static const char punct[] = "!\"'&.,?";
    uint8_t k = jchar_space(c) ? SPACE : 0;
    if (c == ' ' || (c >= '\t' && c <= '\r')) k |= BLANK;
    if (jchar_word(c)) k |= jchar_decimal(c) ? WORD | PUNCT : WORD | PUNCT | LETTER;
    for (const char *p = punct; *p; p++)
        if (c == (unsigned char)*p) k |= PUNCT;
    return c == '-' ? k | HYPHEN : k;
}

static int read_line(struct vm *vm, const struct jstr *s, struct line *l)
{
    const size_t n = jstr_chars(s);
    uint32_t *at = vm_alloc(vm, n + 1, sizeof *at);
    uint8_t *is = vm_alloc(vm, n + 1, 1);
    size_t k = 0;
    if (!at || !is || vm_charge(vm, (size_t)s->n * 8)) return -1;
    for (size_t i = 0, len; i < s->n && k < n; i += len, k++) {
        at[k] = (uint32_t)i;
        is[k] = classes(jchar_get(s->p + i, s->n - i, &len));
    }
    at[k] = s->n;
    *l = (struct line){s, at, is, k};
    return 0;
}

static bool is(const struct line *l, size_t i, int what) { return i < l->n && l->is[i] & what; }

/* The end of the dash of two or more hyphens at i, before a word and behind one; 0: there is none.
 */
static size_t dash_end(const struct line *l, size_t i)
{
    size_t k = i;
    if (!i || !is(l, i - 1, PUNCT)) return 0;
    while (is(l, k, HYPHEN)) k++;
    return k - i >= 2 && is(l, k, WORD) ? k : 0;
}

/* True for a hyphen at i within a word: two letters, or two with a hyphen between them, on each
 * side. */
static bool splits_word(const struct line *l, size_t i)
{
    if (!is(l, i, HYPHEN) || i < 2 || !is(l, i - 1, LETTER)) return false;
    const bool before =
        is(l, i - 2, LETTER) || (i >= 3 && is(l, i - 2, HYPHEN) && is(l, i - 3, LETTER));
    return before && is(l, i + 1, LETTER) &&
           (is(l, i + 2, LETTER) || (is(l, i + 2, HYPHEN) && is(l, i + 3, LETTER)));
}

/* Returns the end of the chunk that begins at i. */
static size_t chunk_end(const struct wrap *w, const struct line *l, size_t i)
{
    size_t k = i + 1;
    if (is(l, i, BLANK)) {
        while (is(l, k, BLANK)) k++;
        return k;
    }
    if (w->chunks && (k = dash_end(l, i))) return k;
    for (k = i + 1; k < l->n && !is(l, k, BLANK); k++) {
        if (!w->chunks) continue;
        if (splits_word(l, k)) return k + 1;
        if (dash_end(l, k)) return k;
    }
    return k;
}

static bool is_blank(const struct line *l, size_t from, size_t to)
{
    while (from < to && l->is[from] & SPACE) from++;
    return from == to;
}

/* Returns the place at which a word [from, to) that is too long for a line is broken, with so many
 * characters left in the line: behind the last hyphen that fits and has a word before it, or there.
 */
static size_t break_word(const struct wrap *w, const struct line *l, size_t from, size_t to,
                         size_t left)
{
    const size_t end = from + left < to ? from + left : to;
    size_t k = end, first = from;
    if (!w->hyphens || to - from <= left) return end;
    while (k > from && !is(l, k - 1, HYPHEN)) k--;
    if (k <= from + 1) return end;
    while (first < k - 1 && is(l, first, HYPHEN)) first++;
    return first < k - 1 ? k : end;
}

static void put_line(struct wrap *w, const struct line *l, size_t from, size_t to)
{
    struct jval v;
    if (w->begun) jbuild_str(&w->out, w->newline);
    w->begun = true;
    if (w->newline->markup && jstr_part(w->vm, l->s, l->at[from], l->at[to], &v) == 0 &&
        jstr_escape(w->vm, v.u.s, &v) == 0)
        jbuild_str(&w->out, v.u.s);
    else if (w->newline->markup)
        w->out.failed = true;
    else
        jbuild_part(&w->out, l->s, l->at[from], l->at[to]);
}

/* Wraps one line. A line of the output is one part of it, since chunks follow one another. */
static int wrap_line(struct wrap *w, const struct line *l)
{
    const size_t width = (uint64_t)w->width < l->n + 1 ? (size_t)w->width : l->n + 1;
    bool any = false;
    for (size_t at = 0, end = 0; at < l->n && !w->out.failed;) {
        if (end <= at) end = chunk_end(w, l, at);
        if (any && is_blank(l, at, end)) {
            at = end;
            if (at == l->n) break;
            end = chunk_end(w, l, at);
        }
        const size_t from = at;
        size_t last = at; /* the begin of the last chunk of the line */
        while (at < l->n && end - from <= width) {
            last = at;
            at = end;
            if (at < l->n) end = chunk_end(w, l, at);
        }
        if (at < l->n && end - at > width && (w->breaks || at == from)) {
            last = at;
            at = w->breaks ? break_word(w, l, at, end, width - (at - from)) : end;
        }
        size_t to = at;
        if (to > from && is_blank(l, last, to)) to = last;
        if (to > from) put_line(w, l, from, to);
        any |= to > from;
    }
    if (!any) put_line(w, l, 0, 0);
    return w->out.failed ? -1 : 0;
}

int jfilter_wordwrap(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    static const struct jstr newline = {.p = "\n", .n = 1};
    const struct jval breaks = a->pos[1], hyphens = a->pos[3];
    struct wrap w = {.vm = vm,
                     .breaks = breaks.kind == J_MISSING || jval_truth(breaks),
                     .hyphens = hyphens.kind == J_MISSING || jval_truth(hyphens)};
    struct jlist *lines;
    struct line l;
    w.chunks = w.hyphens && (hyphens.kind == J_MISSING || hyphens.kind == J_BOOL);
    if (self.kind == J_UNDEF) return vm_undefined(vm, self);
    if (self.kind != J_STR)
        return vm_fail(vm, "wordwrap expects a string, not %s", jval_type(self));
    if (a->pos[0].kind == J_NONE) return vm_fail(vm, "wordwrap expects a width, not NoneType");
    if (jarg_int(vm, a->pos[0], 79, &w.width) || jarg_str(vm, a->pos[2], &w.newline) ||
        jstr_lines(vm, self.u.s, false, &lines))
        return -1;
    if (!w.newline) w.newline = &newline;
    if (w.width <= 0 && lines->n) return vm_fail(vm, "invalid width (must be > 0)");
    jbuild_init(&w.out, vm);
    for (size_t i = 0; i < lines->n; i++)
        if (read_line(vm, lines->v[i].u.s, &l) || wrap_line(&w, &l)) return -1;
    if (jbuild_done(&w.out, out)) return -1;
    ((struct jstr *)out->u.s)->markup = w.newline->markup;
    return 0;
}
