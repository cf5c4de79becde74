/* SPDX-License-Identifier: Apache-2.0 */
/* Loads the BPE model; it refuses the malformed files that `tokenizers` refuses. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "text/bpe_impl.h"
#include "text/bytechars.h"
#include "text/fields.h"
#include "unicode/utf8.h"

enum { MAX_AFFIX = 256 }; /* a prefix or suffix is copied to each character */

static int load_vocab(struct bpe *b, const struct json *model, struct err *e)
{
    const struct json *v = json_get(model, "vocab");
    if (!v || v->kind != JSON_OBJECT) return err_set(e, ERR_DATA, "\"vocab\" must be an object");
    /* A table has an entry for each id: a small file with a large id must not need a large one. */
    const size_t wide = (1 << 16) + 64 * v->count;
    const int most = wide < VOCAB_MAX_ID ? (int)wide : VOCAB_MAX_ID;
    if (vocab_reserve(&b->vocab, v->count, e)) return -1;
    for (size_t i = 0; i < v->count; i++) {
        int64_t id;
        if (json_int(&v->items[i], &id) || id < 0 || id > most)
            return err_set(e, ERR_DATA,
                           "vocab: \"%.*s\": the id must be a number from 0 to %d in a vocabulary "
                           "of %zu tokens",
                           STR_FMT(v->keys[i]), most, v->count);
        if (vocab_add(&b->vocab, v->keys[i], (uint32_t)id, e)) return -1;
    }
    return 0;
}

/* Splits a merge, "a b" or ["a", "b"]. */
static int split_merge(const struct json *m, size_t index, struct str *left, struct str *right,
                       struct err *e)
{
    const char *space;
    if (m->kind == JSON_ARRAY && m->count == 2 && m->items[0].kind == JSON_STRING &&
        m->items[1].kind == JSON_STRING) {
        *left = m->items[0].s;
        *right = m->items[1].s;
        return 0;
    }
    if (m->kind != JSON_STRING)
        return err_set(e, ERR_DATA, "merges: entry %zu is not a pair of tokens", index);
    space = memchr(m->s.p, ' ', m->s.n);
    *left = (struct str){m->s.p, !space ? 0 : (size_t)(space - m->s.p)};
    if (!space || memchr(space + 1, ' ', m->s.n - left->n - 1))
        return err_set(e, ERR_DATA,
                       "merges: entry %zu \"%.*s\" must be two tokens with one space between",
                       index, STR_FMT(m->s));
    *right = (struct str){space + 1, m->s.n - left->n - 1};
    return 0;
}

static int token_of(const struct bpe *b, struct str s, size_t index, uint32_t *id, struct err *e)
{
    *id = vocab_find(&b->vocab, s);
    if (*id != VOCAB_NONE) return 0;
    return err_set(e, ERR_DATA, "merges: entry %zu: token \"%.*s\" is not in the vocabulary", index,
                   STR_FMT(s));
}

/* Adds a merge, or replaces the earlier one of the same pair. */
static void put_merge(struct bpe *b, uint32_t left, uint32_t right, uint32_t rank, uint32_t id)
{
    uint64_t pair = (uint64_t)left << 32 | right, h = merge_hash(b, pair),
             bit = h >> (b->shift - 2);
    size_t i = (size_t)(h >> b->shift);
    b->filter[bit >> 6] |= 1ull << (bit & 63);
    while (b->merge[i].pair != MERGE_FREE && b->merge[i].pair != pair) i = (i + 1) & (b->slots - 1);
    b->merge[i] = (struct merge){pair, rank, id};
}

static int add_merge(struct bpe *b, const struct json *m, size_t index, uint32_t rank,
                     struct buf *text, struct err *e)
{
    struct str left = {NULL, 0}, right = {NULL, 0};
    uint32_t l, r, made;
    if (split_merge(m, index, &left, &right, e) || token_of(b, left, index, &l, e) ||
        token_of(b, right, index, &r, e))
        return -1;
    if (right.n < b->prefix.n)
        return err_set(e, ERR_DATA, "merges: entry %zu: the second token lacks the prefix", index);
    buf_reset(text);
    buf_str(text, left);
    buf_add(text, right.p + b->prefix.n, right.n - b->prefix.n);
    if (buf_check(text, e) ||
        token_of(b, (struct str){text->data ? text->data : "", text->len}, index, &made, e))
        return -1;
    put_merge(b, l, r, rank, made);
    /* The merge joins U+2581 to a different character before it. */
    if (right.n >= 3 && memcmp(right.p, "\xe2\x96\x81", 3) == 0 &&
        !(left.n >= 3 && memcmp(left.p + left.n - 3, "\xe2\x96\x81", 3) == 0))
        b->cut_at_space = false;
    return 0;
}

static int load_merges(struct bpe *b, const struct json *model, struct err *e)
{
    const struct json *list = field_need_array(model, "merges", e);
    struct buf text = {0};
    uint32_t rank = 0;
    int rc = 0;
    if (!list) return -1;
    b->factor = hash_seed() | 1;
    b->slots = 64, b->shift = 58;
    for (; b->slots < list->count + list->count / 2 && b->shift > 32; b->shift--) b->slots *= 2;
    b->merge = mem_alloc(b->slots, sizeof *b->merge, e);
    b->filter = mem_alloc(b->slots / 16, sizeof *b->filter, e);
    if (!b->merge || !b->filter) return -1;
    memset(b->merge, 0xff, b->slots * sizeof *b->merge);
    b->cut_at_space = b->prefix.n == 0 && b->suffix.n == 0 && !b->ignore_merges;
    for (size_t i = 0; i < list->count && !rc; i++) {
        const struct json *m = &list->items[i];
        if (m->kind != list->items[0].kind)
            rc = err_set(e, ERR_DATA, "merges: strings and pairs are mixed at entry %zu", i);
        else if (m->kind == JSON_STRING && m->s.n >= 8 && memcmp(m->s.p, "#version", 8) == 0)
            continue;
        else
            rc = add_merge(b, m, i, rank++, &text, e);
    }
    b->nmerges = rank;
    buf_free(&text);
    return rc;
}

static int load_options(struct bpe *b, const struct json *model, struct err *e)
{
    const struct json *dropout = json_get(model, "dropout");
    double p = 0;
    if (dropout && dropout->kind != JSON_NULL && (json_real(dropout, &p) || p != 0))
        return err_set(e, ERR_DATA, "BPE with dropout is not supported");
    if (field_bool(model, "fuse_unk", false, &b->fuse_unk, e) ||
        field_bool(model, "byte_fallback", false, &b->byte_fallback, e) ||
        field_bool(model, "ignore_merges", false, &b->ignore_merges, e) ||
        field_str(model, "unk_token", &b->unk, e) ||
        field_str(model, "continuing_subword_prefix", &b->prefix, e) ||
        field_str(model, "end_of_word_suffix", &b->suffix, e))
        return -1;
    if (b->prefix.n > MAX_AFFIX || b->suffix.n > MAX_AFFIX)
        return err_set(e, ERR_DATA,
                       "continuing_subword_prefix and end_of_word_suffix may have at most %d bytes",
                       MAX_AFFIX);
    if (b->byte_fallback && (b->prefix.n > 0 || b->suffix.n > 0))
        return err_set(e, ERR_DATA,
                       "byte_fallback together with a prefix or suffix of subwords "
                       "is not supported");
    return 0;
}

/* Copies the text of an option, since the document is freed after loading. */
static int own_string(struct bpe *b, struct str *s, struct err *e)
{
    if (!s->p) return 0;
    s->p = arena_copy(&b->vocab.strings, s->p, s->n, e);
    return s->p ? 0 : -1;
}

static void find_fallback(struct bpe *b)
{
    for (unsigned i = 0; i < 256; i++) {
        char name[8];
        int n = snprintf(name, sizeof name, "<0x%02X>", i);
        b->fallback[i] = vocab_find(&b->vocab, (struct str){name, (size_t)n});
    }
}

struct bpe *bpe_load(const struct json *model, struct err *e)
{
    struct bpe *b = mem_alloc(1, sizeof *b, e);
    if (!b) return NULL;
    if (load_options(b, model, e) || load_vocab(b, model, e) || load_merges(b, model, e) ||
        own_string(b, &b->unk, e) || own_string(b, &b->prefix, e) || own_string(b, &b->suffix, e)) {
        bpe_free(b);
        return NULL;
    }
    b->unk_id = vocab_find(&b->vocab, b->unk.p ? b->unk : STR(""));
    find_fallback(b);
    return b;
}

void bpe_free(struct bpe *b)
{
    if (!b) return;
    vocab_free(&b->vocab);
    vocab_free(&b->raw);
    mem_free(b->merge);
    mem_free(b->filter);
    mem_free(b);
}

bool bpe_has_bytes(const struct bpe *b)
{
    if (b->prefix.n > 0 || b->suffix.n > 0) return false;
    for (unsigned i = 0; i < 256; i++) {
        char c[4];
        unsigned n = utf8_put(c, bytechar_of(i));
        if (vocab_find(&b->vocab, (struct str){c, n}) == VOCAB_NONE) return false;
    }
    return true;
}

/* Makes the vocabulary of tokens as bytes. A token with a character outside the byte-level alphabet
 * cannot occur. */
static int load_raw(struct bpe *b, struct err *e)
{
    struct buf text = {0};
    int rc = vocab_reserve(&b->raw, b->vocab.count, e);
    for (size_t i = 0; i < b->vocab.slots && !rc; i++) {
        struct str s = b->vocab.key[i];
        bool ok = s.p;
        buf_reset(&text);
        for (size_t k = 0; ok && k < s.n;) {
            uint32_t c;
            k += utf8_get(s.p + k, &c);
            ok = bytechar_byte(c) >= 0;
            if (ok) buf_putc(&text, (char)bytechar_byte(c));
        }
        rc = buf_check(&text, e);
        if (!rc && ok && text.len > 0)
            rc = vocab_add(&b->raw, (struct str){text.data, text.len}, b->vocab.value[i], e);
    }
    buf_free(&text);
    return rc;
}

int bpe_set_bytes(struct bpe *b, struct err *e)
{
    for (unsigned i = 0; i < 256; i++) {
        char c[4];
        unsigned n = utf8_put(c, bytechar_of(i));
        b->byte_id[i] = vocab_find(&b->vocab, (struct str){c, n});
    }
    b->bytes = true;
    b->cut_at_space = false;
    return b->ignore_merges ? load_raw(b, e) : 0;
}

const struct vocab *bpe_vocab(const struct bpe *b) { return &b->vocab; }

int bpe_describe(const struct bpe *b, struct buf *out, struct err *e)
{
    struct merge *list = mem_alloc(b->nmerges + 1, sizeof *list, e);
    size_t n = 0;
    if (!list) return -1;
    for (size_t i = 0; i < b->nmerges; i++) list[i].pair = MERGE_FREE;
    for (size_t i = 0; i < b->slots; i++)
        if (b->merge[i].pair != MERGE_FREE) list[b->merge[i].rank] = b->merge[i];
    for (size_t i = 0; i < b->nmerges; i++) /* a replaced merge leaves a gap */
        if (list[i].pair != MERGE_FREE) list[n++] = list[i];
    buf_printf(out, "bpe fuse %d fallback %d ignore %d", b->fuse_unk, b->byte_fallback,
               b->ignore_merges);
    buf_printf(out, " unk %.*s prefix %.*s suffix %.*s\n", (int)b->unk.n, b->unk.n ? b->unk.p : "",
               (int)b->prefix.n, b->prefix.n ? b->prefix.p : "", (int)b->suffix.n,
               b->suffix.n ? b->suffix.p : "");
    buf_u64(out, n);
    for (size_t i = 0; i < n; i++) {
        buf_u64(out, list[i].pair);
        buf_u32(out, list[i].id);
    }
    mem_free(list);
    return buf_check(out, e);
}
