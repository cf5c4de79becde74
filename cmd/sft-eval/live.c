/* SPDX-License-Identifier: Apache-2.0 */
/* Writes an answer while it is made: the text of each token as soon as it is whole. */
#include <string.h>

#include "eval.h"

/* True for text that ends within a character: its last bytes are decoded as U+FFFD. */
static bool is_cut(const struct buf *b)
{
    static const char unknown[] = "\xef\xbf\xbd";
    return b->len >= 3 && memcmp(b->data + b->len - 3, unknown, 3) == 0;
}

/* The text of a token depends on those before it (the space before a word, the bytes of a
 * character), so it is what decoding from `from` gives beyond the text of those up to `to`. */
int live_write(struct live *l, const uint32_t *ids, size_t n, bool end, struct err *e)
{
    enum { MOST = 16 }; /* tokens that wait for the end of a character */
    const struct tokenizer *t = l->v->tokenizer;
    struct buf before = {0}, now = {0};
    int rc = tokenizer_decode(t, ids + l->from, l->to - l->from, true, &before, e);
    if (rc == 0) rc = tokenizer_decode(t, ids + l->from, n - l->from, true, &now, e);
    const bool ready = rc == 0 && now.len > before.len;
    if (ready && (end || !is_cut(&now) || n - l->to > MOST)) {
        rc = io_write(l->v->out, now.data + before.len, now.len - before.len, e);
        l->from = l->to;
        l->to = n;
    }
    if (rc == 0 && end) rc = io_write(l->v->out, "\n", 1, e);
    buf_free(&before);
    buf_free(&now);
    return rc;
}

int live_took(void *arg, const struct talk_answer *a, uint64_t tokens, struct err *e)
{
    (void)tokens;
    return live_write(arg, a->ids, (size_t)a->n, false, e);
}
