/* SPDX-License-Identifier: Apache-2.0 */
/* A chart as SVG inside of HTML: a line for each run, a dashed one for the second metric. */
#include <math.h>
#include <stdio.h>

#include "report.h"

/* The drawing, and its frame. */
enum { WIDTH = 720, HEIGHT = 260, LEFT = 64, RIGHT = 708, TOP = 12, BOTTOM = 224 };
enum { COLUMNS = RIGHT - LEFT }; /* of the frame, of which each shows two points at most */

static double x_of(const struct span *s, double step)
{
    return LEFT + (step - s->left) / (s->right - s->left) * (RIGHT - LEFT);
}
static double y_of(const struct span *s, double value)
{
    return BOTTOM - (value - s->low) / (s->high - s->low) * (BOTTOM - TOP);
}

/* A step that is less than the distance of two doubles would never come to the end. */
enum { TICKS = 20 };
static void axes(struct buf *b, const struct span *s)
{
    char text[64];
    const double dy = chart_step(s->high - s->low, 7);
    const double steps = chart_step(s->right - s->left, 8), dx = steps < 1 ? 1 : steps;
    for (int i = 0; i < TICKS; i++) {
        const double v = ceil(s->low / dy) * dy + i * dy, y = y_of(s, v);
        if (!(v <= s->high)) break;
        chart_number(fabs(v) < dy / 1e6 ? 0 : v, 4, text, sizeof text);
        buf_printf(b, "<line class=grid x1=%d x2=%d y1=%.1f y2=%.1f />", LEFT, RIGHT, y, y);
        buf_printf(b, "<text x=%d y=%.1f text-anchor=end>%s</text>\n", LEFT - 6, y + 4, text);
    }
    for (int i = 0; i < TICKS; i++) {
        const double v = ceil(s->left / dx) * dx + i * dx, x = x_of(s, v);
        if (!(v <= s->right)) break;
        chart_number(v, 9, text, sizeof text);
        buf_printf(b, "<line class=grid x1=%.1f x2=%.1f y1=%d y2=%d />", x, x, BOTTOM, BOTTOM + 4);
        buf_printf(b, "<text x=%.1f y=%d text-anchor=middle>%s</text>\n", x, BOTTOM + 18, text);
    }
    buf_printf(b, "<text x=%d y=%d text-anchor=middle>step</text>\n", (LEFT + RIGHT) / 2,
               HEIGHT - 2);
}

static void point(struct buf *b, const struct span *s, double step, double value)
{
    buf_printf(b, "%.1f,%.1f ", x_of(s, step), y_of(s, value));
}

/* The points of a long series: of those in each column of the drawing the least and the greatest,
 * in their order. */
static void thin(struct buf *b, const struct chart *c, const struct span *s, const struct series *x)
{
    for (size_t i = 0; i < x->n;) {
        const int column = (int)(x_of(s, x->step[i]) + 0.5);
        size_t low = i, high = i;
        for (; i < x->n && (int)(x_of(s, x->step[i]) + 0.5) == column; i++) {
            if (x->value[i] < x->value[low]) low = i;
            if (x->value[i] > x->value[high]) high = i;
        }
        const size_t first = low < high ? low : high, second = low < high ? high : low;
        point(b, s, x->step[first], c->scale * x->value[first]);
        if (second != first) point(b, s, x->step[second], c->scale * x->value[second]);
    }
}

static void draw(struct buf *b, const struct chart *c, const struct span *s, const struct series *x,
                 size_t run, int line)
{
    if (x->n == 1)
        buf_printf(b, "<circle class=\"r%zu\" cx=%.1f cy=%.1f r=3 />\n", run % 8,
                   x_of(s, x->step[0]), y_of(s, c->scale * x->value[0]));
    if (x->n < 2) return;
    buf_printf(b, "<polyline class=\"r%zu%s\" points=\"", run % 8, line ? " dashed" : "");
    if (x->n > 2 * COLUMNS)
        thin(b, c, s, x);
    else
        for (size_t i = 0; i < x->n; i++) point(b, s, x->step[i], c->scale * x->value[i]);
    buf_puts(b, "\"/>\n");
}

void svg_chart(struct buf *b, const struct chart *c, const struct run *runs, size_t n)
{
    struct span s;
    if (!chart_span(c, runs, n, &s)) return;
    buf_printf(b, "<figure><figcaption>%s%s%s", c->title, *c->unit ? ", " : "", c->unit);
    for (int l = 0; l < c->count; l++)
        if (*c->lines[l].label)
            buf_printf(b, " <span class=key>%s %s</span>", l ? "- -" : "&mdash;",
                       c->lines[l].label);
    buf_printf(b, "</figcaption>\n<svg viewBox=\"0 0 %d %d\" role=img aria-label=\"%s by step\">\n",
               WIDTH, HEIGHT, c->title);
    axes(b, &s);
    for (size_t r = 0; r < n; r++)
        for (int l = 0; l < c->count; l++) draw(b, c, &s, &runs[r].of[c->lines[l].metric], r, l);
    buf_puts(b, "</svg></figure>\n");
}
