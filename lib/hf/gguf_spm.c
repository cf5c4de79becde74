/* SPDX-License-Identifier: Apache-2.0 */
/* The merges of a tokenizer of SentencePiece's form, from the scores of its tokens.
 *
 * llama.cpp joins the two neighbours whose text together is the token of the highest score. The
 * merges of a token are the pairs of tokens that its text divides into; those of a token with a
 * higher score come first, as transformers orders them. gguf_export_spm.c tells why that finds the
 * same tokens, provided that no two tokens have the same score: of those, llama.cpp joins the
 * leftmost in the text first. A character that is no token cannot be a part of a merge, while
 * llama.cpp joins it. Tokens of both kinds are counted, but not where those of one score all repeat
 * one character, as the runs of spaces in Llama 2 do. In such a run the symbols never get longer to
 * the right, so that the leftmost pair has the longest left part, and that merge comes first. */
#include <stdlib.h>
#include <string.h>

#include "hf/gguf_pieces.h"

enum { MAX_BYTES = 1 << 28 }; /* of the merges as text: many times those of the largest model */

/* A merge, and the characters of its parts. */
struct merge {
    uint32_t left, right, id;
    size_t nleft, nright;
};
/* The merges of all tokens with one score. */
struct group {
    struct merge *v;
    size_t n, cap;
    size_t bytes;  /* of the text of these and all merges before */
    size_t tokens; /* that have merges */
    bool same;     /* one character repeated makes all of them */
};

static int by_lengths(const void *a, const void *b)
{
    const struct merge *x = a, *y = b;
    if (x->nleft != y->nleft) return x->nleft > y->nleft ? -1 : 1;
    if (x->nright != y->nright) return x->nright > y->nright ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

/* ---- characters of UTF-8 ---- */
static bool is_tail(char c) { return ((unsigned char)c & 0xc0) == 0x80; }

static size_t chars(struct str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) n += !is_tail(s.p[i]);
    return n;
}

/* The bytes of the first and of the last character of a text that is not empty. */
static size_t first_of(struct str s)
{
    size_t n = 1;
    while (n < s.n && is_tail(s.p[n])) n++;
    return n;
}
static size_t last_of(struct str s)
{
    size_t n = 1;
    while (n < s.n && is_tail(s.p[s.n - n])) n++;
    return n;
}

/* True if s is made of the first character of `like` alone. */
static bool is_run(struct str s, struct str like)
{
    const size_t n = first_of(like);
    for (size_t i = 0; i < s.n; i += n)
        if (s.n - i < n || memcmp(s.p + i, like.p, n) != 0) return false;
    return true;
}

/* ---- merges ---- */
bool gguf_is_filler(const struct gguf_vocab *v, int64_t id)
{
    const struct str s = v->text[id];
    size_t i = 4;
    if (v->type[id] != GGUF_TOKEN_UNUSED || s.n < 6 || memcmp(s.p, "[PAD", 4) != 0) return false;
    while (s.p[i] >= '0' && s.p[i] <= '9' && i + 1 < s.n) i++;
    return i + 1 == s.n && s.p[i] == ']';
}

/* True for a token that text between added tokens can come to. There, spaces are U+2581, which can
 * complete the text of an added token. */
static bool is_made(const struct gguf_pieces *p, uint32_t id)
{
    const struct str s = gguf_piece_text(p, id);
    if (gguf_is_filler(&p->t->vocab, id)) return false;
    if (!gguf_is_added(&p->t->vocab, id)) return true;
    for (size_t i = 0; i + 3 <= s.n; i++)
        if (memcmp(s.p + i, "\u2581", 3) == 0) return true;
    return false;
}

/* The token of a byte stands for a byte that is no character, too, which llama.cpp joins to
 * nothing. */
static bool is_part(const struct gguf_pieces *p, uint32_t id)
{
    return is_made(p, id) && !gguf_is_byte(gguf_piece_text(p, id));
}

/* Adds the merges of a token to the group. */
static int add_splits(struct group *m, const struct gguf_pieces *p, uint32_t id, struct err *e)
{
    const size_t n = gguf_piece_text(p, id).n, before = m->n;
    size_t k = 0;
    for (uint32_t r = p->suffix[id]; r != GGUF_NO_PIECE; r = p->suffix[r]) p->ends[k++] = r;
    for (uint32_t l = p->prefix[id]; l != GGUF_NO_PIECE; l = p->prefix[l]) {
        const size_t rest = n - gguf_piece_text(p, l).n;
        while (k && gguf_piece_text(p, p->ends[k - 1]).n < rest) k--;
        if (!k || gguf_piece_text(p, p->ends[k - 1]).n != rest) continue;
        const uint32_t r = p->ends[k - 1];
        if (!is_part(p, l) || !is_part(p, r)) continue;
        if ((m->bytes += n + 8) > MAX_BYTES)
            return err_set(e, ERR_DATA,
                           "%s: tokenizer.ggml.tokens: the merges are more than %d MiB",
                           gguf_name(p->t->g), MAX_BYTES >> 20);
        if (mem_grow(&m->v, &m->cap, m->n + 1, sizeof *m->v, e)) return -1;
        m->v[m->n++] =
            (struct merge){l, r, id, chars(gguf_piece_text(p, l)), chars(gguf_piece_text(p, r))};
    }
    if (m->n == before) return 0;
    m->tokens++;
    m->same = m->same && is_run(gguf_piece_text(p, id), gguf_piece_text(p, m->v[0].id));
    return 0;
}

/* Appends the merges of one score, and empties the group. */
static void put_group(struct buf *b, const struct gguf_pieces *p, struct group *m, size_t *merges)
{
    if (m->n) qsort(m->v, m->n, sizeof *m->v, by_lengths);
    for (size_t i = 0; i < m->n; i++) {
        buf_puts(b, (*merges)++ ? ",\n      [" : "\n      [");
        buf_json(b, gguf_piece_text(p, m->v[i].left));
        buf_puts(b, ", ");
        buf_json(b, gguf_piece_text(p, m->v[i].right));
        buf_putc(b, ']');
    }
    *m = (struct group){.v = m->v, .cap = m->cap, .bytes = m->bytes, .same = true};
}

static size_t length_of(const struct gguf_pieces *p, uint32_t id)
{
    return id == GGUF_NO_PIECE ? 0 : gguf_piece_text(p, id).n;
}

/* True where llama.cpp can join the first or the last character, which is no token, to the rest. */
static bool is_loose(const struct gguf_pieces *p, uint32_t id)
{
    const struct str s = gguf_piece_text(p, id);
    uint32_t first = p->prefix[id], last = p->suffix[id];
    if (s.n == 0) return false;
    const size_t head = first_of(s), tail = last_of(s);
    if (head + tail > s.n) return false;
    while (first != GGUF_NO_PIECE && p->prefix[first] != GGUF_NO_PIECE) first = p->prefix[first];
    while (last != GGUF_NO_PIECE && p->suffix[last] != GGUF_NO_PIECE) last = p->suffix[last];
    const bool pair = head + tail == s.n;
    return (length_of(p, first) != head && (pair || length_of(p, p->suffix[id]) == s.n - head)) ||
           (length_of(p, last) != tail && (pair || length_of(p, p->prefix[id]) == s.n - tail));
}

static int put_all(struct buf *b, struct gguf_pieces *p, struct group *m,
                   struct gguf_converted *done, struct err *e)
{
    size_t merges = 0;
    for (size_t i = 0; i < p->n;) {
        const float score = p->v[i].score;
        for (; i < p->n && p->v[i].score == score; i++) {
            if (!is_made(p, p->v[i].id)) continue;
            if (add_splits(m, p, p->v[i].id, e)) return -1;
            done->loose += is_loose(p, p->v[i].id);
        }
        if (m->tokens > 1 && !m->same) done->tied += m->tokens;
        put_group(b, p, m, &merges);
    }
    return 0;
}

int gguf_put_scored_merges(struct buf *b, const struct gguf_tokenizer *t,
                           struct gguf_converted *done, struct err *e)
{
    struct gguf_pieces p = {.t = t};
    struct group m = {.same = true};
    int rc = gguf_pieces_read(&p, e);
    if (rc == 0) rc = put_all(b, &p, &m, done, e);
    mem_free(m.v);
    gguf_pieces_free(&p);
    return rc;
}
