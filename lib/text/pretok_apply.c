/* SPDX-License-Identifier: Apache-2.0 */
/* Applies a pre-tokenizer: each step splits every piece, or rewrites the text. */
#include <string.h>

#include "text/bytechars.h"
#include "text/pretok_impl.h"
#include "unicode/utf8.h"

void pretok_state_free(struct pretok_state *s)
{
    ntext_free(&s->text);
    ntext_free(&s->spare);
    pieces_free(&s->pieces);
    pieces_free(&s->next);
    regex_mem_free(&s->mem);
}

void pretok_state_swap(struct pretok_state *s, bool text)
{
    struct pieces p = s->pieces;
    struct ntext t = s->text;
    s->pieces = s->next;
    s->next = p;
    if (!text) return;
    s->text = s->spare;
    s->spare = t;
}

/* Splits one piece. A part is a match or the text between two matches; the step's rule joins parts
 * to the last one, which stays open. */
struct cutter {
    struct pretok_state *s;
    enum split_rule rule;
    bool open, open_match; /* [begin, end) is open; the last part that was added to it is a match */
    size_t begin, end;
    struct err *e;
};

static int close_part(struct cutter *c)
{
    if (!c->open) return 0;
    c->open = false;
    return pieces_add(&c->s->next, &c->s->text, c->begin, c->end, PIECE_TEXT, c->e);
}

/* True when the rule joins a part to the open one. */
static bool joins(const struct cutter *c, bool match)
{
    switch (c->rule) {
    case SPLIT_CONTIGUOUS:
        return match == c->open_match;
    case SPLIT_WITH_PREVIOUS:
        return match && !c->open_match;
    case SPLIT_WITH_NEXT:
        return !match && c->open_match;
    default:
        return false;
    }
}

static int add_part(struct cutter *c, size_t begin, size_t end, bool match)
{
    if (c->rule == SPLIT_REMOVED && match) return 0;
    if (c->rule == SPLIT_REMOVED || c->rule == SPLIT_ISOLATED)
        return pieces_add(&c->s->next, &c->s->text, begin, end, PIECE_TEXT, c->e);
    if (c->open && joins(c, match)) {
        c->end = end;
        c->open_match = match;
        return 0;
    }
    if (close_part(c)) return -1;
    c->open = true;
    c->open_match = match;
    c->begin = begin;
    c->end = end;
    return 0;
}

static int split_piece(const struct pretok_step *step, struct pretok_state *s,
                       const struct piece *p, struct err *e)
{
    struct cutter c = {.s = s, .rule = step->rule, .e = e};
    const char *text = s->text.p + p->begin;
    size_t n = p->end - p->begin, last = 0, begin, end;
    struct regex_iter it;
    int rc;
    regex_iter_init(&it, step->pattern, &s->mem, text, n);
    while ((rc = regex_next(&it, &begin, &end, e)) > 0) {
        if (last != begin && add_part(&c, p->begin + last, p->begin + begin, step->invert))
            return -1;
        if (add_part(&c, p->begin + begin, p->begin + end, !step->invert)) return -1;
        last = end;
    }
    if (!rc && last != n) rc = add_part(&c, p->begin + last, p->end, step->invert);
    return rc < 0 ? -1 : close_part(&c);
}

static int split(const struct pretok_step *step, struct pretok_state *s, struct err *e)
{
    s->next.n = 0;
    regex_allow(&s->mem, s->text.n);
    for (size_t i = 0; i < s->pieces.n; i++) {
        const struct piece *p = &s->pieces.v[i];
        int rc = p->id == PIECE_TEXT ? split_piece(step, s, p, e)
                                     : pieces_add(&s->next, &s->text, p->begin, p->end, p->id, e);
        if (rc) return -1;
    }
    pretok_state_swap(s, false);
    return 0;
}

/* Appends the text of a piece to `spare` and replaces spaces by the mark. */
static int put_marked(const struct pretok_step *step, struct pretok_state *s, const struct piece *p,
                      struct err *e)
{
    size_t last = p->begin;
    for (size_t i = p->begin; i < p->end; i++) {
        if (s->text.p[i] != ' ') continue;
        if (ntext_copy(&s->spare, &s->text, last, i, e) ||
            ntext_put(&s->spare, step->mark, step->mark_n, ntext_origin(&s->text, i, i + 1), e))
            return -1;
        last = i + 1;
    }
    return ntext_copy(&s->spare, &s->text, last, p->end, e);
}

static bool starts_with(const struct pretok_state *s, const struct piece *p, const char *mark,
                        size_t n)
{
    return p->end - p->begin >= n && memcmp(s->text.p + p->begin, mark, n) == 0;
}

/* Appends a mark with the origin of the piece's first character. */
static int put_front(struct pretok_state *s, const struct piece *p, const char *mark, size_t n,
                     struct err *e)
{
    unsigned first = utf8_len((unsigned char)s->text.p[p->begin]);
    struct ntext_range r = ntext_origin(&s->text, p->begin, p->begin + first);
    return ntext_put(&s->spare, mark, n, r, e);
}

static int put_metaspace(const struct pretok_step *step, struct pretok_state *s,
                         const struct piece *p, struct err *e)
{
    bool has = starts_with(s, p, " ", 1) || starts_with(s, p, step->mark, step->mark_n);
    bool wants =
        step->scheme == PREPEND_ALWAYS || (step->scheme == PREPEND_FIRST && p->origin == 0);
    if (wants && !has && put_front(s, p, step->mark, step->mark_n, e)) return -1;
    return put_marked(step, s, p, e);
}

static int put_bytes(struct pretok_state *s, const struct piece *p, struct err *e)
{
    for (size_t i = p->begin; i < p->end; i++) {
        char out[4];
        unsigned n = utf8_put(out, bytechar_of((unsigned char)s->text.p[i]));
        if (ntext_put(&s->spare, out, n, ntext_origin(&s->text, i, i + 1), e)) return -1;
    }
    return 0;
}

static int rewrite_piece(const struct pretok_step *step, struct pretok_state *s,
                         const struct piece *p, struct err *e)
{
    if (p->id != PIECE_TEXT) return ntext_copy(&s->spare, &s->text, p->begin, p->end, e);
    if (step->kind == PRETOK_METASPACE) return put_metaspace(step, s, p, e);
    if (step->kind == PRETOK_BYTES) return put_bytes(s, p, e);
    if (!starts_with(s, p, " ", 1) && put_front(s, p, " ", 1, e)) return -1;
    return ntext_copy(&s->spare, &s->text, p->begin, p->end, e);
}

/* Applies a step that rewrites the text, piece by piece into `spare`. */
static int rewrite(const struct pretok_step *step, struct pretok_state *s, struct err *e)
{
    s->next.n = 0;
    ntext_clear(&s->spare, s->most);
    for (size_t i = 0; i < s->pieces.n; i++) {
        const struct piece *p = &s->pieces.v[i];
        size_t begin = s->spare.n;
        if (rewrite_piece(step, s, p, e) ||
            pieces_add(&s->next, &s->spare, begin, s->spare.n, p->id, e))
            return -1;
        /* The piece keeps the origin that it had when it was split off. */
        if (s->spare.n > begin) s->next.v[s->next.n - 1].origin = p->origin;
    }
    pretok_state_swap(s, true);
    return 0;
}

int pretok_apply(const struct pretok *p, struct pretok_state *s, struct err *e)
{
    for (size_t i = 0; i < p->n; i++) {
        const struct pretok_step *step = &p->step[i];
        if ((step->kind == PRETOK_SPLIT ? split : rewrite)(step, s, e)) return -1;
    }
    return 0;
}
