/* SPDX-License-Identifier: Apache-2.0 */
/* Texts from files in Markdown: a code span, whose contents are no markup. */
#include "card.h"

/* The length of the character at p if it would break the line or change the direction of the text
 * around it, else 0: controls, and U+2028 to U+202E, U+2066 to U+2069. */
static size_t disturbing(const unsigned char *p, size_t n)
{
    if (*p < 0x20 || *p == 0x7f) return 1;
    if (n >= 2 && *p == 0xc2 && p[1] < 0xa0) return 2;
    if (n < 3 || *p != 0xe2) return 0;
    const bool lines = p[1] == 0x80 && p[2] >= 0xa8 && p[2] <= 0xae;
    return lines || (p[1] == 0x81 && p[2] >= 0xa6 && p[2] <= 0xa9) ? 3 : 0;
}

static size_t longest_fence(struct str text)
{
    size_t most = 0, run = 0;
    for (size_t i = 0; i < text.n; i++) {
        run = text.p[i] == '`' ? run + 1 : 0;
        if (run > most) most = run;
    }
    return most;
}

void card_code(struct buf *b, struct str text)
{
    const size_t inside = longest_fence(text);
    for (size_t i = 0; i <= inside; i++) buf_putc(b, '`');
    if (inside) buf_putc(b, ' ');
    for (size_t i = 0; i < text.n;) {
        const size_t bad = disturbing((const unsigned char *)text.p + i, text.n - i);
        buf_putc(b, bad ? '?' : text.p[i]);
        i += bad ? bad : 1;
    }
    if (inside) buf_putc(b, ' ');
    for (size_t i = 0; i <= inside; i++) buf_putc(b, '`');
}

void card_item(struct buf *b, const char *key, struct str text)
{
    if (!text.n) return;
    buf_printf(b, "- %s: ", key);
    card_code(b, text);
    buf_putc(b, '\n');
}

void card_section(struct buf *b, const char *title, const struct buf *lines)
{
    if (!lines->len) return;
    buf_printf(b, "\n## %s\n\n", title);
    buf_add(b, lines->data, lines->len);
}
