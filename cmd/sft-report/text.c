/* SPDX-License-Identifier: Apache-2.0 */
/* The charts for a terminal: a run is a digit, the second metric of a chart a letter. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "report.h"

enum { COLUMNS = 64, ROWS = 14, MARGIN = 10 };

static int place(double v, double from, double to, int cells)
{
    const double at = (v - from) / (to - from) * cells;
    return !(at > 0) ? 0 : at >= cells ? cells - 1 : (int)at;
}

static void mark(char grid[ROWS][COLUMNS], const struct chart *c, const struct span *s,
                 const struct series *x, char sign)
{
    for (size_t i = 0; i < x->n; i++)
        grid[ROWS - 1 - place(c->scale * x->value[i], s->low, s->high, ROWS)]
            [place(x->step[i], s->left, s->right, COLUMNS)] = sign;
}

static void text_chart(struct buf *b, const struct chart *c, const struct run *runs, size_t n)
{
    char grid[ROWS][COLUMNS], text[64], left[64], right[64];
    struct span s;
    if (!chart_span(c, runs, n, &s)) return;
    memset(grid, ' ', sizeof grid);
    for (size_t r = n; r-- > 0;)
        for (int l = c->count; l-- > 0;)
            mark(grid, c, &s, &runs[r].of[c->lines[l].metric],
                 (char)((l ? 'a' : '1') + (int)(r % 9)));
    buf_printf(b, "\n%s%s%s", c->title, *c->unit ? ", " : "", c->unit);
    if (c->count > 1) buf_printf(b, " (1: %s, a: %s)", c->lines[0].label, c->lines[1].label);
    buf_putc(b, '\n');
    for (int y = 0; y < ROWS; y++) {
        int end = COLUMNS;
        while (end > 0 && grid[y][end - 1] == ' ') end--;
        chart_number(s.high - (y + 0.5) / ROWS * (s.high - s.low), 4, text, sizeof text);
        buf_printf(b, "%*s |%.*s\n", MARGIN, y % 4 == 0 ? text : "", end, grid[y]);
    }
    chart_number(s.left, 9, left, sizeof left);
    chart_number(s.right, 9, right, sizeof right);
    buf_printf(b, "%*s +%.*s\n%*s  %s%*s\n", MARGIN, "", COLUMNS,
               "----------------------------------------------------------------", MARGIN, "", left,
               COLUMNS - (int)strlen(left), right);
}

static void figures(struct buf *b, const struct run *r, size_t number)
{
    char last[64], least[64], val[64], speed[64];
    double step;
    const double best = series_least(&r->of[VAL_LOSS], &step);
    chart_number(series_last(&r->of[LOSS]), 5, last, sizeof last);
    chart_number(best, 5, least, sizeof least);
    chart_number(series_last(&r->of[VAL_LOSS]), 5, val, sizeof val);
    chart_number(r->speed, 4, speed, sizeof speed);
    buf_printf(b, "%zu  %s: %zu steps, loss %s", number, r->name, r->of[LOSS].n, last);
    if (r->of[VAL_LOSS].n) buf_printf(b, ", val_loss %s, least %s at step %.0f", val, least, step);
    buf_printf(b, ", %s tokens/s\n", speed);
}

void text_report(struct buf *b, const struct run *runs, size_t n)
{
    for (size_t r = 0; r < n; r++) figures(b, &runs[r], r + 1);
    for (size_t c = 0; c < chart_count; c++) text_chart(b, &charts[c], runs, n);
}
