/* SPDX-License-Identifier: Apache-2.0 */
/* Answers many conversations together: their places in the cache, and the order of the answers. */
#include <string.h>

#include "decode/talk_impl.h"

/* ---- places ---- */
/* Returns true if one of the first `own` rows of a document is among rows [row, row + n). */
static bool meets(const struct talk_doc *d, int64_t own, int64_t row, int64_t n)
{
    return d->row < row + n && row < d->row + own;
}

/* Returns a document whose answer is made and which has one of these rows, or NULL. */
static const struct talk_doc *taken(const struct talk *t, int64_t row, int64_t n)
{
    for (const struct talk_doc *d = t->docs; d < t->docs + t->room.docs; d++)
        if (d->answer && meets(d, d->room, row, n)) return d;
    return NULL;
}

/* Returns the first of n rows that are free, or -1. */
static int64_t find_rows(const struct talk *t, int64_t n)
{
    const struct talk_doc *d;
    int64_t row = 0;
    while (row + n <= t->room.cache && (d = taken(t, row, n))) row = d->row + d->room;
    return row + n <= t->room.cache ? row : -1;
}

/* Returns a document without an answer, if there is one that which begins in this row: what it
 * begins with needs no copy. NULL: all have one. */
static struct talk_doc *find_doc(const struct talk *t, int64_t row)
{
    struct talk_doc *found = NULL;
    for (struct talk_doc *d = t->docs; d < t->docs + t->room.docs; d++)
        if (!d->answer && (!found || (found->row != row && d->row == row))) found = d;
    return found;
}

/* Returns the document that has most of what the prompt begins with, among those that stay where
 * they are when the prompt gets these rows; and `own`, which has the same first row or is new. */
static struct talk_doc likest(const struct talk *t, const struct token_list *prompt,
                              const struct talk_doc *own, int64_t row, int64_t room)
{
    struct talk_doc like = {.row = row, .ids = t->ids + row};
    if (own->row == row) like.n = talk_same(own, prompt);
    for (const struct talk_doc *d = t->docs; d < t->docs + t->room.docs; d++) {
        if (meets(d, d->n, row, room)) continue;
        const int64_t n = talk_same(d, prompt);
        if (n > like.n) like = (struct talk_doc){.row = d->row, .ids = d->ids, .n = n};
    }
    return like;
}

/* Returns a document with rows for the prompt and its answer, and what it begins with; NULL: there
 * is no room. A prompt has room when no answer is made. */
static struct talk_doc *place(struct talk *t, const struct token_list *prompt)
{
    const int64_t whole = (int64_t)prompt->n + t->room.most, length = t->room.length;
    const int64_t room = whole < length ? whole : length, row = find_rows(t, room);
    struct talk_doc *d = row < 0 ? NULL : find_doc(t, row);
    if (!d) return NULL;
    const struct talk_doc like = likest(t, prompt, d, row, room);
    uint32_t *ids = t->ids + row;
    if (like.row != row) {
        stage_copy(t->with.stage, row, like.row, like.n);
        memcpy(ids, like.ids, (size_t)like.n * sizeof *ids);
    }
    for (struct talk_doc *old = t->docs; old < t->docs + t->room.docs; old++)
        if (meets(old, old->n, row, room)) old->n = 0; /* its rows are overwritten */
    *d = (struct talk_doc){.ids = ids, .row = row, .room = room, .n = like.n};
    return d;
}

/* ---- the order of the answers ---- */
struct many {
    struct talk *t;
    const struct talk_many *m;
    const struct token_list *prompt; /* it waits for a place; NULL: none does */
    uint64_t begun, told;            /* answers */
    bool over;                       /* there is no other conversation */
    int rc;                          /* -1: the next one failed with */
    struct err error;
};

static struct talk_answer *answer_of(const struct many *x, uint64_t number)
{
    return &x->t->answers[number % (uint64_t)x->t->room.held];
}

/* Tells the answers that have ended, up to the first one that has not. */
static int tell(struct many *x, struct err *e)
{
    for (; x->told < x->begun; x->told++) {
        const struct talk_answer *a = answer_of(x, x->told);
        if (a->end == TALK_GOES_ON) return 0;
        if (x->m->ended(x->m->arg, x->told, a, e)) return -1;
    }
    return 0;
}

/* Takes the next conversation, unless one waits. Returns false if there is none, or no room for
 * its answer. */
static bool has_next(struct many *x)
{
    if (x->prompt) return true;
    if (x->over || x->begun - x->told >= (uint64_t)x->t->room.held) return false;
    x->rc = x->m->next(x->m->arg, &x->prompt, &x->error);
    if (x->rc) x->prompt = NULL;
    x->over = !x->prompt;
    return !x->over;
}

/* Begins as many answers as have room. */
static int fill(struct many *x, struct err *e)
{
    while (has_next(x)) {
        struct talk_doc *d = place(x->t, x->prompt);
        if (!d) return 0;
        d->number = x->m->first + x->begun * x->m->each;
        if (talk_read(x->t, x->prompt, d, e)) return -1;
        x->prompt = NULL;
        if (talk_answer_to(x->t, d, answer_of(x, x->begun++), e) || tell(x, e)) return -1;
    }
    return 0;
}

int talk_many(struct talk *t, const struct talk_many *m, struct err *e)
{
    struct many x = {.t = t, .m = m};
    int32_t going = 1;
    talk_start(t, &m->watch);
    memset(t->docs, 0, (size_t)t->room.docs * sizeof *t->docs); /* the weights may be others now */
    while (going > 0) {
        if (fill(&x, e)) return -1;
        going = talk_step(t, e);
        if (going < 0 || tell(&x, e)) return -1;
    }
    if (x.rc) *e = x.error;
    return x.rc;
}
