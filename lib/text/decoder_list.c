/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of strings, as the steps of a decoder pass them on. */
#include "text/decoder.h"
#include "unicode/utf8.h"

void decoder_list_free(struct decoder_list *l)
{
    buf_free(&l->text);
    mem_free(l->end);
    *l = (struct decoder_list){0};
}

void decoder_list_reset(struct decoder_list *l)
{
    buf_reset(&l->text);
    l->n = 0;
}

int decoder_check(const struct buf *b, struct err *e)
{
    if (!b->over) return buf_check(b, e);
    return err_set(
        e, ERR_DATA,
        "tokenizer.json: its decoder makes more than %zu bytes of these tokens, too many "
        "for their length",
        b->max);
}

int decoder_list_end(struct decoder_list *l, struct err *e)
{
    if (mem_grow(&l->end, &l->cap, l->n + 1, sizeof *l->end, e)) return -1;
    l->end[l->n++] = l->text.len;
    return decoder_check(&l->text, e);
}

void decoder_lossy(struct str s, struct buf *out)
{
    while (s.n > 0) {
        size_t bad = 0, good = utf8_valid(s.p, s.n, &bad);
        buf_add(out, s.p, good);
        s.p += good;
        s.n -= good;
        if (s.n == 0) break;
        buf_puts(out, "\xef\xbf\xbd");
        s.p += bad;
        s.n -= bad;
    }
}
