/* SPDX-License-Identifier: Apache-2.0 */
/* Sections of the page with texts that people or models wrote. */
#include "report.h"

enum { TEXT_MOST = 4000 }; /* bytes of a text that are shown */

/* Returns the beginning of a text that is shown; no character is cut. */
static struct str beginning(struct str text)
{
    size_t n = text.n < TEXT_MOST ? text.n : TEXT_MOST;
    while (n < text.n && n > 0 && ((unsigned char)text.p[n] & 0xc0) == 0x80) n--;
    return (struct str){text.p, n};
}

static void put_block(struct buf *b, const char *class, struct str text)
{
    const struct str shown = beginning(text);
    buf_printf(b, "<pre%s dir=auto>", class);
    page_text(b, shown);
    if (shown.n < text.n) buf_printf(b, "\n(%zu bytes more)", text.n - shown.n);
    buf_puts(b, "</pre>");
}

static void put_answer(struct buf *b, const struct answer *a)
{
    buf_printf(b, "<tr><td>%lld", (long long)a->first);
    if (a->last > a->first) buf_printf(b, " to %lld", (long long)a->last);
    buf_puts(b, "</td>");
    page_number(b, (double)a->tokens, 9);
    buf_puts(b, "<td>");
    page_text(b, a->end);
    buf_puts(b, "</td><td>");
    put_block(b, "", a->text);
    buf_puts(b, "</td></tr>\n");
}

static void put_prompts(struct buf *b, const struct run *r)
{
    for (size_t i = 0; i < r->nprompts; i++) {
        put_block(b, " class=said", r->prompts[i].text);
        buf_puts(b, "\n<table class=texts>\n<tr><th>step</th><th>tokens</th><th>end</th>"
                    "<th class=text>answer</th></tr>\n");
        for (size_t k = 0; k < r->prompts[i].n; k++) put_answer(b, &r->prompts[i].list[k]);
        buf_puts(b, "</table>\n");
    }
}

/* The heading of one of several runs. */
static void put_name(struct buf *b, const struct run *run, size_t r, size_t n)
{
    if (n < 2) return;
    buf_printf(b, "<h3><span class=\"swatch r%zu\"></span>", r % 8);
    page_text(b, str_z(run->name));
    buf_puts(b, "</h3>\n");
}

void page_answers(struct buf *b, const struct run *runs, size_t n)
{
    bool any = false;
    for (size_t r = 0; r < n; r++) {
        if (!runs[r].nprompts) continue;
        if (!any) buf_puts(b, "<h2>Answers</h2>\n");
        any = true;
        put_name(b, &runs[r], r, n);
        put_prompts(b, &runs[r]);
    }
}

void page_worst(struct buf *b, const struct worst *w)
{
    if (!w->name) return;
    buf_printf(b, "<h2>Rows with the largest losses</h2>\n<p>%zu of %llu in <code>", w->n,
               (unsigned long long)w->rows);
    page_text(b, str_z(w->name));
    buf_puts(b, "</code></p>\n<table class=texts>\n<tr><th>file:row</th><th>loss</th>"
                "<th>trained tokens</th><th class=text>text</th></tr>\n");
    for (size_t i = 0; i < w->n; i++) {
        const struct worst_row *r = &w->list[i];
        buf_printf(b, "<tr><td>%lld:%lld</td>", (long long)r->file, (long long)r->row);
        page_number(b, r->loss, 5);
        page_number(b, (double)r->labels, 9);
        buf_puts(b, "<td>");
        if (r->text.p)
            put_block(b, "", r->text);
        else
            buf_puts(b, "(the data file is not given: --data)");
        buf_puts(b, "</td></tr>\n");
    }
    buf_puts(b, "</table>\n");
}

static void put_origin(struct buf *b, const struct origin *o)
{
    buf_printf(b, "<tr><td>%s</td><td><code>", o->what);
    page_text(b, o->name);
    buf_puts(b, "</code></td><td><code>");
    page_text(b, str_z(o->hash ? o->hash : ""));
    buf_printf(b, "</code></td><td>%s</td></tr>\n", o->link ? o->link : "");
}

void page_origins(struct buf *b, const struct run *runs, size_t n)
{
    bool any = false;
    for (size_t r = 0; r < n; r++) {
        if (!runs[r].norigins) continue;
        if (!any) buf_puts(b, "<h2>From the data to the checkpoint</h2>\n");
        any = true;
        put_name(b, &runs[r], r, n);
        buf_puts(b, "<div class=wide><table class=origin>\n<tr><th></th><th>name</th><th>hash</th>"
                    "<th></th></tr>\n");
        for (size_t i = 0; i < runs[r].norigins; i++) put_origin(b, &runs[r].origins[i]);
        buf_puts(b, "</table></div>\n");
    }
}
