/* SPDX-License-Identifier: Apache-2.0 */
/* Encodes text: added tokens, normalization, pre-tokenization, BPE, and the byte range of each
 * token. */
#include <string.h>

#include "text/tokenizer_impl.h"
#include "unicode/utf8.h"

struct tokenizer_scratch {
    struct pretok_state state;
    struct normalizer_scratch normal;
    struct bpe_scratch *bpe;
    struct added_hits hits;
    struct bpe_tokens tokens; /* the tokens of one word */
};

struct tokenizer_scratch *tokenizer_scratch_new(const struct tokenizer *t, struct err *e)
{
    struct tokenizer_scratch *s = mem_alloc(1, sizeof *s, e);
    (void)t;
    if (!s) return NULL;
    s->bpe = bpe_scratch_new(e);
    if (s->bpe) return s;
    mem_free(s);
    return NULL;
}

void tokenizer_scratch_free(struct tokenizer_scratch *s)
{
    if (!s) return;
    pretok_state_free(&s->state);
    normalizer_scratch_free(&s->normal);
    added_hits_free(&s->hits);
    bpe_scratch_free(s->bpe);
    mem_free(s->tokens.v);
    mem_free(s);
}

void token_list_free(struct token_list *l)
{
    mem_free(l->ids);
    mem_free(l->begin);
    mem_free(l->end);
    *l = (struct token_list){0};
}

static int grow(struct token_list *l, size_t need, struct err *e)
{
    size_t ids = l->cap, begin = l->cap, end = l->cap;
    if (need <= l->cap) return 0;
    if (mem_grow(&l->ids, &ids, need, sizeof *l->ids, e) ||
        mem_grow(&l->begin, &begin, need, sizeof *l->begin, e) ||
        mem_grow(&l->end, &end, need, sizeof *l->end, e))
        return -1;
    l->cap = ids < begin ? ids : begin;
    if (end < l->cap) l->cap = end;
    return 0;
}

static void put(struct token_list *l, uint32_t id, struct ntext_range r)
{
    l->ids[l->n] = id;
    l->begin[l->n] = r.begin;
    l->end[l->n++] = r.end;
}

int token_list_prepend(struct token_list *l, const uint32_t *ids, size_t n, struct err *e)
{
    if (grow(l, l->n + n, e)) return -1;
    memmove(l->ids + n, l->ids, l->n * sizeof *l->ids);
    memmove(l->begin + n, l->begin, l->n * sizeof *l->begin);
    memmove(l->end + n, l->end, l->n * sizeof *l->end);
    memcpy(l->ids, ids, n * sizeof *ids);
    memset(l->begin, 0, n * sizeof *l->begin);
    memset(l->end, 0, n * sizeof *l->end);
    l->n += n;
    return 0;
}

/* Splits every piece of text at the added tokens of a trie. */
static int split_added(const struct tokenizer *t, const struct added_trie *trie,
                       struct tokenizer_scratch *s, struct err *e)
{
    struct pretok_state *st = &s->state;
    if (!trie) return 0;
    st->next.n = 0;
    for (size_t i = 0; i < st->pieces.n; i++) {
        const struct piece *p = &st->pieces.v[i];
        int rc = p->id == PIECE_TEXT ? added_split(&t->added, trie, &st->text, p->begin, p->end,
                                                   &s->hits, &st->next, e)
                                     : pieces_add(&st->next, &st->text, p->begin, p->end, p->id, e);
        if (rc) return -1;
    }
    pretok_state_swap(st, false);
    return 0;
}

static bool is_unchanged(const struct tokenizer *t, const struct pretok_state *st,
                         const struct piece *p)
{
    return p->id != PIECE_TEXT ||
           normalizer_is_identity(t->normalizer,
                                  (struct str){st->text.p + p->begin, p->end - p->begin});
}

/* Normalizes the pieces of text. Nothing is copied when no piece changes. */
static int normalize(const struct tokenizer *t, struct tokenizer_scratch *s, struct err *e)
{
    struct pretok_state *st = &s->state;
    size_t i = 0;
    while (i < st->pieces.n && is_unchanged(t, st, &st->pieces.v[i])) i++;
    if (i == st->pieces.n) return 0;
    ntext_clear(&st->spare, st->most);
    regex_allow(&s->normal.mem, st->text.n);
    st->next.n = 0;
    for (i = 0; i < st->pieces.n; i++) {
        const struct piece *p = &st->pieces.v[i];
        size_t begin = st->spare.n;
        int rc = is_unchanged(t, st, p) ? ntext_copy(&st->spare, &st->text, p->begin, p->end, e)
                                        : normalizer_apply(t->normalizer, &s->normal, &st->text,
                                                           p->begin, p->end, &st->spare, e);
        if (rc || pieces_add(&st->next, &st->spare, begin, st->spare.n, p->id, e)) return -1;
    }
    pretok_state_swap(st, true);
    return 0;
}

static int encode_word(const struct tokenizer *t, struct tokenizer_scratch *s,
                       const struct piece *p, struct token_list *out, struct err *e)
{
    const struct ntext *text = &s->state.text;
    size_t at = p->begin;
    s->tokens.n = 0;
    if (bpe_word(t->bpe, s->bpe, text->p + p->begin, p->end - p->begin, text->n - p->begin,
                 &s->tokens, e) ||
        grow(out, out->n + s->tokens.n, e))
        return -1;
    for (size_t i = 0; i < s->tokens.n; i++) {
        size_t end = at + s->tokens.v[i].len;
        put(out, s->tokens.v[i].id, ntext_origin(text, at, end));
        at = end;
    }
    return 0;
}

int tokenizer_encode(const struct tokenizer *t, struct tokenizer_scratch *s, struct str text,
                     struct token_list *out, struct err *e)
{
    struct pretok_state *st = &s->state;
    size_t valid;
    out->n = 0;
    if (text.n >= (size_t)1 << 30) return err_set(e, ERR_DATA, "the text has 1 GiB or more");
    valid = utf8_valid(text.p, text.n, NULL);
    if (valid != text.n) return err_set(e, ERR_DATA, "the text is not UTF-8 at byte %zu", valid);
    ntext_view(&st->text, text);
    st->most = ntext_most(text.n);
    st->pieces.n = 0;
    if (pieces_add(&st->pieces, &st->text, 0, text.n, PIECE_TEXT, e) ||
        split_added(t, t->added.plain, s, e) || normalize(t, s, e) ||
        split_added(t, t->added.normalized, s, e) || pretok_apply(t->pretok, st, e))
        return -1;
    for (size_t i = 0; i < st->pieces.n; i++) {
        const struct piece *p = &st->pieces.v[i];
        if (p->id == PIECE_TEXT) {
            if (encode_word(t, s, p, out, e)) return -1;
        } else {
            if (grow(out, out->n + 1, e)) return -1;
            put(out, p->id, ntext_origin(&st->text, p->begin, p->end));
        }
    }
    return 0;
}

int tokenizer_alone(const struct tokenizer *t, struct tokenizer_scratch *s, struct str text,
                    size_t *parts, uint32_t *rank, struct err *e)
{
    struct bpe_alone alone;
    if (bpe_alone(t->bpe, s->bpe, text, &alone, e)) return -1;
    *parts = alone.parts;
    *rank = alone.rank;
    return 0;
}
