/* SPDX-License-Identifier: Apache-2.0 */
/* The tokens of SentencePiece's form by score, and which of them begin and end others.
 *
 * The tokens that begin a token are a chain: the longest, the longest that begins that one, and so
 * on; those that end it are another. Sorting finds the chains: behind a token come those that it
 * begins. So the work is linear in the texts, but for the sorting. */
#include "hf/gguf_pieces.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- orders ---- */
static int by_text(const void *a, const void *b)
{
    const struct str x = ((const struct gguf_piece *)a)->text,
                     y = ((const struct gguf_piece *)b)->text;
    const size_t n = x.n < y.n ? x.n : y.n;
    const int c = n ? memcmp(x.p, y.p, n) : 0;
    return c ? c : (x.n > y.n) - (x.n < y.n);
}

static int by_reversed_text(const void *a, const void *b)
{
    const struct str x = ((const struct gguf_piece *)a)->text,
                     y = ((const struct gguf_piece *)b)->text;
    const size_t n = x.n < y.n ? x.n : y.n;
    for (size_t i = 1; i <= n; i++)
        if (x.p[x.n - i] != y.p[y.n - i])
            return (unsigned char)x.p[x.n - i] < (unsigned char)y.p[y.n - i] ? -1 : 1;
    return (x.n > y.n) - (x.n < y.n);
}

static int by_score(const void *a, const void *b)
{
    const struct gguf_piece *x = a, *y = b;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

/* ---- chains ---- */
static bool begins(struct str s, struct str part)
{
    return part.n <= s.n && (part.n == 0 || memcmp(s.p, part.p, part.n) == 0);
}
static bool ends(struct str s, struct str part)
{
    return part.n <= s.n && (part.n == 0 || memcmp(s.p + s.n - part.n, part.p, part.n) == 0);
}

/* Sets up[id] of the sorted tokens. A token that does not begin this one begins none behind it. */
static void link_chains(const struct gguf_pieces *p, uint32_t *up,
                        bool (*holds)(struct str, struct str))
{
    uint32_t top = GGUF_NO_PIECE;
    for (size_t i = 0; i < p->n; i++) {
        while (top != GGUF_NO_PIECE && !holds(p->v[i].text, gguf_piece_text(p, top))) top = up[top];
        up[p->v[i].id] = top;
        top = p->v[i].text.n ? p->v[i].id : GGUF_NO_PIECE;
    }
}

static int check_texts(const struct gguf_pieces *p, struct err *e)
{
    for (size_t i = 1; i < p->n; i++)
        if (str_eq(p->v[i - 1].text, p->v[i].text))
            return err_set(e, ERR_DATA,
                           "%s: tokenizer.ggml.tokens: tokens %" PRIu32 " and %" PRIu32
                           " have the same text",
                           gguf_name(p->t->g), p->v[i - 1].id, p->v[i].id);
    return 0;
}

static int find_chains(struct gguf_pieces *p, struct err *e)
{
    qsort(p->v, p->n, sizeof *p->v, by_text);
    if (check_texts(p, e)) return -1;
    link_chains(p, p->prefix, begins);
    qsort(p->v, p->n, sizeof *p->v, by_reversed_text);
    link_chains(p, p->suffix, ends);
    return 0;
}

/* Sets *longest to the bytes of the longest text. */
static int fill(struct gguf_pieces *p, const struct gguf_value *scores, size_t *longest,
                struct err *e)
{
    const unsigned char *at = scores->items;
    struct gguf_value score;
    *longest = 0;
    while (p->n < (size_t)p->t->vocab.count && gguf_next(scores, &at, &score)) {
        const uint32_t id = (uint32_t)p->n;
        if (!isfinite(score.f))
            return err_set(e, ERR_DATA,
                           "%s: tokenizer.ggml.scores: the score of token %" PRIu32
                           " is not a finite number",
                           gguf_name(p->t->g), id);
        p->v[p->n++] = (struct gguf_piece){gguf_piece_text(p, id), (float)score.f, id};
        if (gguf_piece_text(p, id).n > *longest) *longest = gguf_piece_text(p, id).n;
    }
    return 0;
}

static int read_scores(struct gguf_pieces *p, struct err *e)
{
    const size_t n = (size_t)p->t->vocab.count;
    size_t longest;
    const struct gguf_value *scores =
        gguf_need_array(p->t->g, "tokenizer.ggml.scores", GGUF_F32, e);
    if (!scores) return -1;
    if (scores->count != n)
        return err_set(e, ERR_DATA,
                       "%s: tokenizer.ggml.scores: has %" PRIu64 " numbers for %zu tokens",
                       gguf_name(p->t->g), scores->count, n);
    p->v = mem_alloc(n, sizeof *p->v, e);
    p->prefix = mem_alloc(n, sizeof *p->prefix, e);
    p->suffix = mem_alloc(n, sizeof *p->suffix, e);
    if (!p->v || !p->prefix || !p->suffix || fill(p, scores, &longest, e)) return -1;
    p->ends = mem_alloc(longest < n ? longest : n, sizeof *p->ends, e);
    return p->ends ? 0 : -1;
}

int gguf_pieces_read(struct gguf_pieces *p, struct err *e)
{
    if (read_scores(p, e) || find_chains(p, e)) return -1;
    qsort(p->v, p->n, sizeof *p->v, by_score);
    return 0;
}

void gguf_pieces_free(struct gguf_pieces *p)
{
    mem_free(p->v);
    mem_free(p->prefix);
    mem_free(p->suffix);
    mem_free(p->ends);
}
