/* SPDX-License-Identifier: Apache-2.0 */
/* Encodes a word: its symbols, unknown characters, the cache. */
#include <string.h>

#include "text/bpe_impl.h"
#include "unicode/utf8.h"

struct bpe_scratch *bpe_scratch_new(struct err *e)
{
    struct bpe_scratch *s = mem_alloc(1, sizeof *s, e);
    if (s && !(s->cache = word_cache_new(e))) {
        mem_free(s);
        return NULL;
    }
    return s;
}

void bpe_scratch_free(struct bpe_scratch *s)
{
    if (!s) return;
    mem_free(s->symbol);
    mem_free(s->heap);
    buf_free(&s->text);
    word_cache_free(s->cache);
    mem_free(s);
}

static int add_symbol(struct bpe_scratch *s, uint32_t id, size_t len, struct err *e)
{
    if (mem_grow(&s->symbol, &s->symbol_cap, s->nsymbol + 1, sizeof *s->symbol, e)) return -1;
    s->symbol[s->nsymbol++] = (struct symbol){.id = id, .len = (uint32_t)len};
    return 0;
}

/* Unknown characters for which no symbol is added yet. */
struct unknown {
    bool any;
    size_t len;
};

static int flush_unknown(const struct bpe *b, struct bpe_scratch *s, struct unknown *u,
                         struct err *e)
{
    uint32_t id;
    if (!u->any) return 0;
    u->any = false;
    id = b->unk_id;
    if (id == VOCAB_NONE)
        return err_set(e, ERR_DATA, "the unknown token \"%.*s\" is not in the vocabulary",
                       STR_FMT(b->unk));
    return add_symbol(s, id, u->len, e);
}

/* Adds the bytes of a character as tokens <0xNN>. 1; 0: the vocabulary lacks one of them; -1. */
static int add_fallback(const struct bpe *b, struct bpe_scratch *s, const char *p, unsigned n,
                        struct err *e)
{
    for (unsigned i = 0; i < n; i++)
        if (b->fallback[(unsigned char)p[i]] == VOCAB_NONE) return 0;
    for (unsigned i = 0; i < n; i++)
        if (add_symbol(s, b->fallback[(unsigned char)p[i]], 1, e)) return -1;
    return 1;
}

/* Handles a character that is not in the vocabulary. */
static int add_unknown(const struct bpe *b, struct bpe_scratch *s, const char *p, unsigned n,
                       struct unknown *u, struct err *e)
{
    int rc = b->byte_fallback ? add_fallback(b, s, p, n, e) : 0;
    if (rc) return rc < 0 ? -1 : 0;
    s->cacheable = false;
    if (!b->unk.p) return 0; /* `tokenizers` omits the character */
    if (u->any && !b->fuse_unk && flush_unknown(b, s, u, e)) return -1;
    u->len = (u->any ? u->len : 0) + n;
    u->any = true;
    return 0;
}

/* Sets *id to the token of one character with the prefix or suffix that the model adds. */
static int char_token(const struct bpe *b, struct bpe_scratch *s, struct str c, bool first,
                      bool last, uint32_t *id, struct err *e)
{
    bool prefix = !first && b->prefix.n > 0, suffix = last && b->suffix.n > 0;
    if (!prefix && !suffix) return *id = vocab_find(&b->vocab, c), 0;
    buf_reset(&s->text);
    if (prefix) buf_str(&s->text, b->prefix);
    buf_str(&s->text, c);
    if (suffix) buf_str(&s->text, b->suffix);
    if (buf_check(&s->text, e)) return -1;
    *id = vocab_find(&b->vocab, (struct str){s->text.data, s->text.len});
    return 0;
}

static int symbols_of_chars(const struct bpe *b, struct bpe_scratch *s, const char *p, size_t n,
                            struct err *e)
{
    struct unknown u = {0};
    for (size_t i = 0; i < n;) {
        unsigned len = utf8_len((unsigned char)p[i]);
        uint32_t id = VOCAB_NONE;
        int rc = char_token(b, s, (struct str){p + i, len}, i == 0, i + len == n, &id, e);
        if (rc) return -1;
        if (id == VOCAB_NONE)
            rc = add_unknown(b, s, p + i, len, &u, e);
        else if (!(rc = flush_unknown(b, s, &u, e)))
            rc = add_symbol(s, id, len, e);
        if (rc) return -1;
        i += len;
    }
    return flush_unknown(b, s, &u, e);
}

static int symbols_of_bytes(const struct bpe *b, struct bpe_scratch *s, const char *p, size_t n,
                            struct err *e)
{
    if (mem_grow(&s->symbol, &s->symbol_cap, n, sizeof *s->symbol, e)) return -1;
    for (size_t i = 0; i < n; i++)
        s->symbol[i] = (struct symbol){.id = b->byte_id[(unsigned char)p[i]], .len = 1};
    s->nsymbol = n;
    return 0;
}

static int add_token(struct bpe_tokens *out, uint32_t id, size_t len, struct err *e)
{
    if (mem_grow(&out->v, &out->cap, out->n + 1, sizeof *out->v, e)) return -1;
    out->v[out->n++] = (struct bpe_token){id, (uint32_t)len};
    return 0;
}

static int merge_word(const struct bpe *b, struct bpe_scratch *s, const char *p, size_t n,
                      struct bpe_tokens *out, struct err *e)
{
    s->nsymbol = 0;
    s->cacheable = true;
    if ((b->bytes ? symbols_of_bytes : symbols_of_chars)(b, s, p, n, e) || bpe_merge(b, s, e) ||
        mem_grow(&out->v, &out->cap, out->n + s->nsymbol, sizeof *out->v, e))
        return -1;
    for (size_t i = 0; i < s->nsymbol; i++)
        out->v[out->n++] = (struct bpe_token){s->symbol[i].id, s->symbol[i].len};
    return 0;
}

/* Encodes a word that the cache or, with ignore_merges, the vocabulary may hold. */
static int one_word(const struct bpe *b, struct bpe_scratch *s, const char *p, size_t n,
                    size_t room, struct bpe_tokens *out, struct err *e)
{
    size_t from = out->n;
    int rc = n <= WORD_CACHE_MAX ? word_cache_get(s->cache, p, n, room, out, e) : 0;
    if (rc) return rc < 0 ? -1 : 0;
    if (b->ignore_merges) {
        uint32_t id = vocab_find(b->bytes ? &b->raw : &b->vocab, (struct str){p, n});
        if (id != VOCAB_NONE) return add_token(out, id, n, e);
    }
    if (merge_word(b, s, p, n, out, e)) return -1;
    if (n <= WORD_CACHE_MAX && s->cacheable)
        word_cache_put(s->cache, p, n, room, out->v + from, out->n - from);
    return 0;
}

/* Returns the length of the first part of a word: no merge joins it to the rest, which begins with
 * a U+2581 behind a different character. */
static size_t first_part(const char *p, size_t n)
{
    size_t i = 3;
    bool space = n >= 3 && memcmp(p, "\xe2\x96\x81", 3) == 0;
    if (!space) i = n == 0 ? 0 : utf8_len((unsigned char)p[0]);
    while (i < n) {
        bool now = n - i >= 3 && memcmp(p + i, "\xe2\x96\x81", 3) == 0;
        if (now && !space) return i;
        space = now;
        i += utf8_len((unsigned char)p[i]);
    }
    return n;
}

int bpe_word(const struct bpe *b, struct bpe_scratch *s, const char *p, size_t n, size_t room,
             struct bpe_tokens *out, struct err *e)
{
    if (!b->cut_at_space) return one_word(b, s, p, n, room, out, e);
    while (n > 0) {
        size_t part = first_part(p, n);
        if (one_word(b, s, p, part, room, out, e)) return -1;
        p += part;
        n -= part;
        room -= part;
    }
    return 0;
}

/* Returns the number of symbols by which the bytes of unknown characters exceed the characters. */
static size_t surplus(const struct bpe *b, struct str word)
{
    size_t n = 0;
    for (size_t i = 0; i < word.n;) {
        const unsigned len = utf8_len((unsigned char)word.p[i]);
        if (vocab_find(&b->vocab, (struct str){word.p + i, len}) == VOCAB_NONE) n += len - 1;
        i += len;
    }
    return n;
}

int bpe_alone(const struct bpe *b, struct bpe_scratch *s, struct str word, struct bpe_alone *out,
              struct err *e)
{
    s->nsymbol = 0;
    if (symbols_of_chars(b, s, word.p, word.n, e) || bpe_merge(b, s, e)) return -1;
    *out = (struct bpe_alone){s->nsymbol - surplus(b, word), s->last};
    return 0;
}
