/* SPDX-License-Identifier: Apache-2.0 */
/* The identity of a tokenizer: a hash of everything that decides its results. */
#include "text/tokenizer_impl.h"

/* Appends the length and the bytes, so that different lists of strings have different bytes. */
static void put(struct buf *b, struct str s)
{
    buf_varint(b, s.n);
    buf_str(b, s);
}

static void put_added(const struct tokenizer *t, struct buf *b)
{
    for (uint32_t id = 0; id < t->added.by_id_n; id++) {
        const struct added_token *k = added_get(&t->added, id);
        if (!k) continue;
        buf_u32(b, id);
        put(b, k->content);
        buf_putc(b, (char)(k->special | k->single_word << 1 | k->lstrip << 2 | k->rstrip << 3 |
                           k->normalized << 4));
    }
}

int tokenizer_identity(const struct tokenizer *t, char out[HASH128_HEX], struct err *e)
{
    const struct vocab *v = bpe_vocab(t->bpe);
    struct hash128 *h = hash128_new(e);
    struct buf b = {0};
    int rc;
    if (!h) return -1;
    buf_puts(&b, "sft tokenizer 1\n");
    buf_u32(&b, v->n);
    for (uint32_t id = 0; id < v->n; id++) put(&b, v->token[id]);
    rc = bpe_describe(t->bpe, &b, e);
    put_added(t, &b);
    buf_add(&b, t->description.data, t->description.len);
    if (!rc) rc = buf_check(&b, e);
    if (!rc) {
        hash128_add(h, b.data, b.len);
        hash128_hex(h, out);
    }
    hash128_free(h);
    buf_free(&b);
    return rc;
}
