/* SPDX-License-Identifier: Apache-2.0 */
/* The page: one HTML file that loads nothing, in light and dark colours, on wide and narrow
 * screens. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/version.h"
#include "report.h"

static const char head[] =
    "<!DOCTYPE html>\n<html lang=en>\n<head>\n<meta charset=utf-8>\n"
    "<meta name=viewport content=\"width=device-width, "
    "initial-scale=1\">\n<title>sft-report</title>\n"
    "<style>\n"
    ":root { color-scheme: light dark; --ink: #1a1a1a; --paper: #fff; --faint: #ccc;\n"
    "  --r0: #1f5fbf; --r1: #c4420a; --r2: #1b7f4b; --r3: #8a3fa0; --r4: #946200; --r5: #0a7d8c;\n"
    "  --r6: #b3245e; --r7: #555; }\n"
    "@media (prefers-color-scheme: dark) {\n"
    "  :root { --ink: #e6e6e6; --paper: #161616; --faint: #444;\n"
    "    --r0: #7fb0ff; --r1: #ff9a6b; --r2: #6fd8a0; --r3: #d69cea; --r4: #e0b64d; --r5: "
    "#5fd0e0;\n"
    "    --r6: #ff8fb8; --r7: #bbb; } }\n"
    "body { font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--paper);\n"
    "  max-width: 92rem; margin: 0 auto; padding: 1rem; }\n"
    "h1, h3, p { overflow-wrap: anywhere }\n"
    "h1 { font-size: 1.4rem } h2 { font-size: 1.15rem; margin-top: 2rem }\n"
    ".charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 28rem), "
    "1fr));\n"
    "  gap: 1rem }\n"
    "figure { margin: 0 } figcaption { font-weight: 600 } .key { font-weight: 400; margin-left: "
    ".6em }\n"
    "svg { width: 100%; height: auto } svg text { font-size: 12px; fill: var(--ink) }\n"
    ".grid { stroke: var(--faint) }\n"
    "polyline { fill: none; stroke-width: 1.6; stroke-linejoin: round } .dashed { "
    "stroke-dasharray: 5 4 }\n"
    ".wide { overflow-x: auto }\n"
    "table { border-collapse: collapse } th, td { text-align: left; padding: .2rem .8rem .2rem 0;\n"
    "  border-bottom: 1px solid var(--faint); vertical-align: top }\n"
    "td.n { text-align: right; font-variant-numeric: tabular-nums } code { overflow-wrap: anywhere "
    "}\n"
    "pre { margin: 0; font: inherit; white-space: pre-wrap; overflow-wrap: anywhere;\n"
    "  max-height: 24em; overflow-y: auto }\n"
    ".texts { width: 100%; table-layout: fixed } .texts th { width: 5.5em } .texts th.text { "
    "width: "
    "auto }\n"
    ".said { border-left: 3px solid var(--faint); padding-left: .6em; margin: .8em 0 .3em }\n"
    ".bar { display: flex; height: 1rem; min-width: 14rem; background: var(--faint) }\n"
    ".swatch { display: inline-block; width: .8em; height: .8em; margin-right: .4em }\n";

/* The colours of runs: lines, points, and patches of HTML. */
static void put_colours(struct buf *b)
{
    for (int i = 0; i < 8; i++)
        buf_printf(b,
                   "polyline.r%d { stroke: var(--r%d) } circle.r%d { fill: var(--r%d) } "
                   "span.r%d { background: var(--r%d) }\n",
                   i, i, i, i, i, i);
    buf_puts(b, "</style>\n</head>\n<body>\n");
}

void page_text(struct buf *b, struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        const unsigned char c = (unsigned char)text.p[i];
        if (c == '&')
            buf_puts(b, "&amp;");
        else if (c == '<')
            buf_puts(b, "&lt;");
        else if (c == '>')
            buf_puts(b, "&gt;");
        else if (c == '"')
            buf_puts(b, "&quot;");
        else
            buf_putc(b, c != '\n' && (c < 0x20 || c == 0x7f) ? ' ' : (char)c);
    }
}

static void put_text(struct buf *b, const char *text) { page_text(b, str_z(text)); }

void page_number(struct buf *b, double v, int digits)
{
    char text[64];
    chart_number(v, digits, text, sizeof text);
    buf_printf(b, "<td class=n>%s</td>", text);
}

static void put_names(struct buf *b, const struct run *runs, size_t n)
{
    for (size_t r = 0; r < n; r++) {
        buf_printf(b, "<th><span class=\"swatch r%zu\"></span>", r % 8);
        put_text(b, runs[r].name);
        buf_puts(b, "</th>");
    }
    buf_puts(b, "</tr>\n");
}

/* ---- figures ---- */
enum figure { FIRST, LAST, LEAST, LEAST_AT, MOST, SUM, MEDIAN, COUNT };
static const struct {
    const char *title;
    enum metric metric;
    enum figure figure;
    double scale;
    int digits;
} figures[] = {
    {"steps", LOSS, COUNT, 1, 9},
    {"training loss, first", LOSS, FIRST, 1, 5},
    {"training loss, last", LOSS, LAST, 1, 5},
    {"validation loss, first", VAL_LOSS, FIRST, 1, 5},
    {"validation loss, least", VAL_LOSS, LEAST, 1, 5},
    {"at step", VAL_LOSS, LEAST_AT, 1, 9},
    {"validation loss, last", VAL_LOSS, LAST, 1, 5},
    {"gradient norm, greatest", NORM, MOST, 1, 4},
    {"tokens", TOKENS, SUM, 1, 12},
    {"tokens with a label", LABELS, SUM, 1, 12},
    {"tokens/s, median", SPEED, MEDIAN, 1, 4},
    {"seconds of steps", STEP_TIME, SUM, 1, 5},
    {"seconds of validations", VALIDATION, SUM, 1, 5},
    {"memory of the process, most, GiB", RSS, MOST, 1.0 / (1 << 30), 4},
    {"longest sample, tokens", LONGEST, MOST, 1, 9},
};

static double figure_of(const struct run *r, size_t i)
{
    const struct series *s = &r->of[figures[i].metric];
    double step;
    switch (figures[i].figure) {
    case FIRST:
        return series_first(s);
    case LAST:
        return series_last(s);
    case LEAST:
        return series_least(s, NULL);
    case LEAST_AT:
        return series_least(s, &step), step;
    case MOST:
        return series_most(s);
    case SUM:
        return series_sum(s);
    case MEDIAN:
        return r->speed;
    default:
        return (double)s->n;
    }
}

static void put_figures(struct buf *b, const struct run *runs, size_t n)
{
    buf_puts(b, "<div class=wide><table>\n<tr><th></th>");
    put_names(b, runs, n);
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++) {
        bool any = false;
        for (size_t r = 0; r < n; r++) any |= isfinite(figure_of(&runs[r], i)) != 0;
        if (!any) continue;
        buf_printf(b, "<tr><td>%s</td>", figures[i].title);
        for (size_t r = 0; r < n; r++)
            page_number(b, figures[i].scale * figure_of(&runs[r], i), figures[i].digits);
        buf_puts(b, "</tr>\n");
    }
    buf_puts(b, "</table></div>\n");
}

/* ---- the time of a step ---- */
static const struct {
    enum metric metric;
    const char *title;
} parts[] = {{FORWARD, "forward"},
             {BACKWARD, "backward"},
             {OPTIMIZER, "optimizer"},
             {DATA, "waiting for data"},
             {CHECKPOINT, "saving"}};
enum { PARTS = sizeof parts / sizeof *parts };

static void put_parts(struct buf *b, const struct run *r)
{
    const double all = series_sum(&r->of[STEP_TIME]);
    if (!(all > 0)) return;
    buf_puts(b, "<tr><td>");
    put_text(b, r->name);
    buf_puts(b, "</td><td><div class=bar>");
    for (int p = 0; p < PARTS; p++) {
        const double share = 100 * series_sum(&r->of[parts[p].metric]) / all;
        if (share > 0)
            buf_printf(b, "<span class=r%d style=\"width:%.2f%%\" title=\"%s\"></span>", p, share,
                       parts[p].title);
    }
    buf_puts(b, "</div></td>");
    for (int p = 0; p < PARTS; p++)
        page_number(b, 100 * series_sum(&r->of[parts[p].metric]) / all, 3);
    buf_puts(b, "</tr>\n");
}

static void put_times(struct buf *b, const struct run *runs, size_t n)
{
    buf_puts(b, "<h2>Where the time of the steps went</h2>\n<div class=wide><table>\n"
                "<tr><th>%</th><th></th>");
    for (int p = 0; p < PARTS; p++)
        buf_printf(b, "<th><span class=\"swatch r%d\"></span>%s</th>", p, parts[p].title);
    buf_puts(b, "</tr>\n");
    for (size_t r = 0; r < n; r++) put_parts(b, &runs[r]);
    buf_puts(b, "</table></div>\n");
}

/* ---- settings ---- */
static void put_rows(struct buf *b, const struct settings *s, const struct run *runs, bool all)
{
    buf_puts(b, "<div class=wide><table>\n<tr><th></th>");
    put_names(b, runs, s->runs);
    for (size_t i = 0; i < s->count; i++) {
        if (!all && !s->list[i].differs) continue;
        buf_puts(b, "<tr><td><code>");
        put_text(b, s->list[i].key);
        buf_puts(b, "</code></td>");
        for (size_t r = 0; r < s->runs; r++) {
            buf_puts(b, "<td><code>");
            put_text(b, s->list[i].value[r] ? s->list[i].value[r] : "");
            buf_puts(b, "</code></td>");
        }
        buf_puts(b, "</tr>\n");
    }
    buf_puts(b, "</table></div>\n");
}

static void put_settings(struct buf *b, const struct settings *s, const struct run *runs)
{
    size_t differ = 0;
    for (size_t i = 0; i < s->count; i++) differ += s->list[i].differs;
    if (!s->count) return;
    if (s->runs > 1) {
        buf_printf(b, "<h2>Settings that differ</h2>\n%s", differ ? "" : "<p>None.</p>\n");
        if (differ) put_rows(b, s, runs, false);
    }
    buf_puts(b, "<h2>Settings</h2>\n<details><summary>All of config.yaml</summary>\n");
    put_rows(b, s, runs, true);
    buf_puts(b, "</details>\n");
}

/* ---- the whole ---- */
static void put_title(struct buf *b, const struct run *runs, size_t n)
{
    buf_puts(b, "<h1>");
    for (size_t r = 0; r < n; r++) {
        if (r) buf_puts(b, r + 1 < n ? ", " : " and ");
        put_text(b, runs[r].name);
    }
    buf_puts(b, "</h1>\n<p>");
    for (size_t r = 0; r < n; r++) {
        buf_puts(b, r ? "<br>\n<code>" : "<code>");
        put_text(b, runs[r].path);
        buf_puts(b, "</code>");
        if (runs[r].bad)
            buf_printf(b, ": %llu lines of metrics.jsonl cannot be read and are left out",
                       (unsigned long long)runs[r].bad);
    }
    buf_puts(b, "</p>\n");
}

int page_report(struct buf *b, const struct run *runs, size_t n, const struct worst *w,
                struct err *e)
{
    struct settings s = {0};
    const int rc = settings_of(&s, runs, n, e);
    buf_puts(b, head);
    put_colours(b);
    put_title(b, runs, n);
    put_figures(b, runs, n);
    buf_puts(b, "<h2>Course</h2>\n<div class=charts>\n");
    for (size_t c = 0; c < chart_count; c++) svg_chart(b, &charts[c], runs, n);
    buf_puts(b, "</div>\n");
    put_times(b, runs, n);
    page_answers(b, runs, n);
    page_worst(b, w);
    page_origins(b, runs, n);
    put_settings(b, &s, runs);
    buf_printf(b,
               "<p>Written by sft-report %s. Of a line with more points than its "
               "drawing has columns, the least and the greatest of each column are shown.</p>\n"
               "</body>\n</html>\n",
               sft_version);
    settings_free(&s);
    return rc;
}
