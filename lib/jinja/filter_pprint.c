/* SPDX-License-Identifier: Apache-2.0 */
/* The filter pprint: Python's pprint.pformat with its defaults: 80 columns, keys sorted. */
#include <string.h>

#include "jinja/filters.h"

enum { WIDTH = 80 };

struct printer {
    struct jbuild b;
    struct vm *vm;
};
/* Room for a value: columns before it, and columns that what follows it in its line needs. */
struct place {
    size_t indent, allowance;
    unsigned level;
};
static int print(struct printer *p, struct jval v, struct place at);

/* ---- the order of keys ---- */
/* Compares as `<` does: -1, 0 or 1; 2 where Python's values cannot be compared. */
static int compare(struct vm *vm, struct jval a, struct jval b)
{
    int order = 2;
    double f, g;
    if (a.kind == J_STR && b.kind == J_STR) return jval_compare(vm, a, b, &order) ? 2 : order;
    if (jval_is_real(a, &f) && jval_is_real(b, &g)) return (f > g) - (f < g);
    if (a.kind != J_TUPLE || b.kind != J_TUPLE) return 2;
    const struct jlist *x = a.u.list, *y = b.u.list;
    for (size_t i = 0; i < x->n && i < y->n; i++)
        if (!jval_eq(vm, x->v[i], y->v[i])) return compare(vm, x->v[i], y->v[i]);
    return (x->n > y->n) - (x->n < y->n);
}

/* Values that cannot be compared are ordered by the names of their types. */
static bool precedes(struct vm *vm, struct jval a, struct jval b)
{
    const int order = compare(vm, a, b);
    return order == 2 ? strcmp(jval_type(a), jval_type(b)) < 0 : order < 0;
}

/* Sorts the indices of the n keys; spare has room for n. Stable. */
static void sort_keys(struct vm *vm, const struct jval *keys, uint32_t *v, uint32_t *spare,
                      size_t n)
{
    const size_t half = n / 2;
    size_t i = 0, k = half, at = 0;
    if (n < 2) return;
    sort_keys(vm, keys, v, spare, half);
    sort_keys(vm, keys, v + half, spare, n - half);
    while (i < half && k < n) spare[at++] = precedes(vm, keys[v[k]], keys[v[i]]) ? v[k++] : v[i++];
    while (i < half) spare[at++] = v[i++];
    memcpy(v, spare, at * sizeof *v);
}

/* Returns the indices of d's entries in the order of their keys. */
static uint32_t *sorted(struct printer *p, const struct jdict *d)
{
    uint32_t *v = vm_alloc(p->vm, 2 * d->n + 1, sizeof *v);
    for (size_t i = 0; v && i < d->n; i++) v[i] = (uint32_t)i;
    if (v) sort_keys(p->vm, d->keys, v, v + d->n, d->n);
    if (!v || vm_charge_items(p->vm, d->n)) p->b.failed = true;
    return p->b.failed ? NULL : v;
}

/* ---- values on one line ---- */
/* Appends the repr of v with sorted keys to b, which is p->b, or one that measures and stops behind
 * `most` bytes. */
static void put_line(struct printer *p, struct jbuild *b, struct jval v, size_t most);

static void put_dict(struct printer *p, struct jbuild *b, const struct jdict *d, size_t most)
{
    const uint32_t *order = sorted(p, d);
    jbuild_z(b, "{");
    for (size_t i = 0; order && i < d->n && b->n <= most && !b->failed; i++) {
        if (i) jbuild_z(b, ", ");
        put_line(p, b, d->keys[order[i]], most);
        jbuild_z(b, ": ");
        put_line(p, b, d->vals[order[i]], most);
    }
    jbuild_z(b, "}");
}

static void put_line(struct printer *p, struct jbuild *b, struct jval v, size_t most)
{
    const bool tuple = v.kind == J_TUPLE;
    if (v.kind == J_DICT) {
        put_dict(p, b, v.u.dict, most);
    } else if (v.kind == J_LIST || tuple) {
        jbuild_z(b, tuple ? "(" : "[");
        for (size_t i = 0; i < v.u.list->n && b->n <= most && !b->failed; i++) {
            if (i) jbuild_z(b, ", ");
            put_line(p, b, v.u.list->v[i], most);
        }
        jbuild_z(b, tuple ? v.u.list->n == 1 ? ",)" : ")" : "]");
    } else if (v.kind == J_STR && v.u.s->n > most) {
        const struct jstr head = {.p = v.u.s->p, .n = (uint32_t)most + 1};
        jval_repr(b, jval_str(&head), 0);
    } else {
        jval_repr(b, v, 0);
    }
}

/* Returns the characters of the line that v makes; of a longer one than WIDTH, some more. A
 * character has up to 4 bytes. */
static size_t line_chars(struct printer *p, struct jval v)
{
    struct jbuild b;
    jbuild_init(&b, p->vm);
    put_line(p, &b, v, (size_t)4 * WIDTH);
    p->b.failed |= b.failed;
    return b.failed ? 0 : jstr_chars(&(struct jstr){.p = b.p, .n = (uint32_t)b.n});
}

static void new_line(struct printer *p, size_t indent)
{
    jbuild_z(&p->b, "\n");
    for (size_t i = 0; i < indent && !p->b.failed; i++) jbuild_z(&p->b, " ");
}

/* ---- long texts ---- */
/* The characters of a repr of a part of a text: of all but quotes, and the quotes. */
struct measure {
    size_t plain, single, twice;
};

static size_t measured(struct measure m)
{
    return 2 + m.plain + m.single + m.twice + (m.single && m.twice ? m.single : 0);
}

/* Adds the characters of a repr of s[from, to). */
static void add_measure(struct measure *m, const struct jstr *s, size_t from, size_t to)
{
    for (size_t i = from, len; i < to; i += len) {
        const uint32_t c = jchar_get(s->p + i, s->n - i, &len);
        m->single += c == '\'';
        m->twice += c == '"';
        if (c == '\'' || c == '"') continue;
        if (c == '\n' || c == '\r' || c == '\t' || c == '\\')
            m->plain += 2;
        else if (jchar_printable(c))
            m->plain += 1;
        else
            m->plain += c < 0x100 ? 4 : c < 0x10000 ? 6 : 10;
    }
}

/* A text that is put out in parts, each on a line. */
struct parts {
    const struct jstr *s;
    struct place at;
    size_t count;
    size_t from, to; /* the first part, until there is a second one */
};

static void put_part(struct printer *p, struct parts *k, size_t from, size_t to)
{
    struct jval v;
    if (++k->count == 1) {
        k->from = from;
        k->to = to;
        return;
    }
    if (k->count == 2) {
        if (k->at.level == 1) jbuild_z(&p->b, "(");
        if (jstr_part(p->vm, k->s, k->from, k->to, &v)) p->b.failed = true;
        if (!p->b.failed) jval_repr(&p->b, v, 0);
    }
    new_line(p, k->at.indent);
    if (jstr_part(p->vm, k->s, from, to, &v)) p->b.failed = true;
    if (!p->b.failed) jval_repr(&p->b, v, 0);
}

/* Returns the end of the word at `at` and the white space behind it, at most `to`. */
static size_t word_end(const struct jstr *s, size_t at, size_t to)
{
    size_t len = 0;
    while (at < to && !jchar_space(jchar_get(s->p + at, s->n - at, &len))) at += len;
    while (at < to && jchar_space(jchar_get(s->p + at, s->n - at, &len))) at += len;
    return at;
}

/* Divides a line that is too long at white space. */
static void put_words(struct printer *p, struct parts *k, size_t from, size_t to, size_t room)
{
    const bool last_line = to == k->s->n;
    struct measure current = {0};
    size_t begin = from;
    for (size_t at = from, end; at < to && !p->b.failed; at = end) {
        end = word_end(k->s, at, to);
        const size_t less = last_line && end == to ? k->at.allowance : 0;
        struct measure next = current;
        add_measure(&next, k->s, at, end);
        if (measured(next) + less > room) {
            if (at > begin) put_part(p, k, begin, at);
            begin = at;
            next = (struct measure){0};
            add_measure(&next, k->s, at, end);
        }
        current = next;
    }
    if (begin < to) put_part(p, k, begin, to);
}

static int print_text(struct printer *p, const struct jstr *s, struct place at)
{
    struct jlist *lines;
    struct parts k = {.s = s, .at = at};
    size_t from = 0;
    if (at.level == 1) k.at.indent++, k.at.allowance++;
    const size_t room = k.at.indent < WIDTH ? WIDTH - k.at.indent : 0;
    if (jstr_lines(p->vm, s, true, &lines) || vm_charge(p->vm, (size_t)s->n * 4)) return -1;
    for (size_t i = 0; i < lines->n && !p->b.failed; i++) {
        const size_t to = from + lines->v[i].u.s->n;
        struct measure m = {0};
        add_measure(&m, s, from, to);
        if (measured(m) + (i + 1 == lines->n ? k.at.allowance : 0) <= room)
            put_part(p, &k, from, to);
        else
            put_words(p, &k, from, to, room);
        from = to;
    }
    /* As in Python, a single part gives way to the last line, which it is. */
    if (k.count == 1) jval_repr(&p->b, lines->v[lines->n - 1], 0);
    if (k.count > 1 && at.level == 1) jbuild_z(&p->b, ")");
    return p->b.failed ? -1 : 0;
}

/* ---- values on several lines ---- */
static int print_dict(struct printer *p, const struct jdict *d, struct place at)
{
    const uint32_t *order = sorted(p, d);
    jbuild_z(&p->b, "{");
    for (size_t i = 0; order && i < d->n && !p->b.failed; i++) {
        const struct jval key = d->keys[order[i]];
        const size_t before = p->b.n;
        if (i) new_line(p, at.indent + 1);
        const size_t begin = i ? before + at.indent + 2 : before;
        put_line(p, &p->b, key, SIZE_MAX);
        if (p->b.failed) return -1;
        const struct jstr rep = {.p = p->b.p + begin, .n = (uint32_t)(p->b.n - begin)};
        const bool last = i + 1 == d->n;
        const struct place in = {at.indent + 1 + jstr_chars(&rep) + 2, last ? at.allowance + 1 : 1,
                                 at.level};
        jbuild_z(&p->b, ": ");
        if (print(p, d->vals[order[i]], in)) return -1;
        if (!last) jbuild_z(&p->b, ",");
    }
    jbuild_z(&p->b, "}");
    return p->b.failed ? -1 : 0;
}

static int print_list(struct printer *p, struct jval v, struct place at)
{
    const struct jlist *l = v.u.list;
    const char *end = v.kind == J_LIST ? "]" : l->n == 1 ? ",)" : ")";
    jbuild_z(&p->b, v.kind == J_LIST ? "[" : "(");
    for (size_t i = 0; i < l->n && !p->b.failed; i++) {
        const bool last = i + 1 == l->n;
        const struct place in = {at.indent + 1, last ? at.allowance + strlen(end) : 1, at.level};
        if (i) new_line(p, at.indent + 1);
        if (print(p, l->v[i], in)) return -1;
        if (!last) jbuild_z(&p->b, ",");
    }
    jbuild_z(&p->b, end);
    return p->b.failed ? -1 : 0;
}

static int print(struct printer *p, struct jval v, struct place at)
{
    const size_t used = at.indent + at.allowance, chars = line_chars(p, v);
    const struct place in = {at.indent, at.allowance, at.level + 1};
    if (p->b.failed) return -1;
    if (chars + used > WIDTH) {
        if (v.kind == J_DICT) return print_dict(p, v.u.dict, in);
        if (v.kind == J_LIST || v.kind == J_TUPLE) return print_list(p, v, in);
        if (v.kind == J_STR && !v.u.s->markup && v.u.s->n) return print_text(p, v.u.s, in);
    }
    put_line(p, &p->b, v, SIZE_MAX);
    return p->b.failed ? -1 : 0;
}

int jfilter_pprint(struct vm *vm, struct jval self, const struct jargs *a, struct jval *out)
{
    struct printer p = {.vm = vm};
    (void)a;
    jbuild_init(&p.b, vm);
    return print(&p, self, (struct place){0, 0, 0}) ? -1 : jbuild_done(&p.b, out);
}
