/* SPDX-License-Identifier: Apache-2.0 */
/* Texts that people or models wrote, for a terminal. */
#include "report.h"

enum { WORDS_MOST = 200 }; /* bytes of a text that are shown */

/* Appends the beginning of a text on one line. No character controls the terminal: U+0000 to U+001F
 * and U+007F to U+009F become spaces. */
static void put_words(struct buf *b, struct str t)
{
    size_t i = 0;
    for (; i < t.n; i++) {
        const unsigned char c = (unsigned char)t.p[i];
        const bool begins = (c & 0xc0) != 0x80;
        if (i >= WORDS_MOST && begins) break;
        if (c == 0xc2 && i + 1 < t.n && (unsigned char)t.p[i + 1] < 0xa0) {
            buf_putc(b, ' ');
            i++;
        } else
            buf_putc(b, c < 0x20 || c == 0x7f ? ' ' : (char)c);
    }
    if (i < t.n) buf_puts(b, "...");
    buf_putc(b, '\n');
}

void words_answers(struct buf *b, const struct run *r)
{
    if (r->nprompts) {
        buf_puts(b, "\nAnswers of ");
        put_words(b, str_z(r->name));
    }
    for (size_t i = 0; i < r->nprompts; i++) {
        buf_puts(b, "\n");
        put_words(b, r->prompts[i].text);
        for (size_t k = 0; k < r->prompts[i].n; k++) {
            const struct answer *a = &r->prompts[i].list[k];
            buf_printf(b, "%10lld |", (long long)a->first);
            put_words(b, a->text);
        }
    }
}

void words_worst(struct buf *b, const struct worst *w)
{
    if (!w->name) return;
    buf_printf(b, "\nRows with the largest losses, %zu of %llu in ", w->n,
               (unsigned long long)w->rows);
    put_words(b, str_z(w->name));
    for (size_t i = 0; i < w->n; i++) {
        const struct worst_row *r = &w->list[i];
        char loss[64];
        chart_number(r->loss, 6, loss, sizeof loss);
        buf_printf(b, "%7lld:%-8lld %8s |", (long long)r->file, (long long)r->row, loss);
        put_words(b, r->text);
    }
}

void words_origins(struct buf *b, const struct run *r)
{
    if (!r->norigins) return;
    buf_puts(b, "\nFrom the data to the checkpoint of ");
    put_words(b, str_z(r->name));
    for (size_t i = 0; i < r->norigins; i++) {
        const struct origin *o = &r->origins[i];
        buf_printf(b, "%20s  %-32s  ", o->what, o->hash ? o->hash : "-");
        put_words(b, o->name);
        if (o->link) buf_printf(b, "%20s  (%s)\n", "", o->link);
    }
}
