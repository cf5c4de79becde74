/* SPDX-License-Identifier: Apache-2.0 */
/* Which charts there are, and their axes. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "report.h"

const struct chart charts[] = {
    {"Loss", "", 1, {{LOSS, "training"}, {VAL_LOSS, "validation"}}, 2},
    {"Learning rate", "", 1, {{RATE, ""}}, 1},
    {"Gradient norm", "", 1, {{NORM, ""}}, 1},
    {"Throughput", "tokens/s", 1, {{SPEED, ""}}, 1},
    {"Time of a step", "s", 1, {{STEP_TIME, ""}}, 1},
    {"Memory of the process", "GiB", 1.0 / (1 << 30), {{RSS, ""}}, 1},
    {"Lengths of samples", "tokens", 1, {{LENGTH, "mean"}, {LONGEST, "longest"}}, 2},
    {"Packing density", "%", 100, {{DENSITY, ""}}, 1},
    {"Tokens with a label", "%", 100, {{SHARE, ""}}, 1},
};
const size_t chart_count = sizeof charts / sizeof *charts;

bool chart_span(const struct chart *c, const struct run *runs, size_t n, struct span *s)
{
    *s = (struct span){INFINITY, -INFINITY, INFINITY, -INFINITY};
    for (size_t r = 0; r < n; r++)
        for (int l = 0; l < c->count; l++) {
            const struct series *x = &runs[r].of[c->lines[l].metric];
            for (size_t i = 0; i < x->n; i++) {
                s->left = fmin(s->left, x->step[i]);
                s->right = fmax(s->right, x->step[i]);
                s->low = fmin(s->low, c->scale * x->value[i]);
                s->high = fmax(s->high, c->scale * x->value[i]);
            }
        }
    if (!(s->left <= s->right)) return false;
    if (s->right == s->left) s->right += fmax(1, s->left / 1e9); /* 1 alone is lost in 2^53 */
    const double room = s->high > s->low ? (s->high - s->low) / 20 : fabs(s->high) / 20 + 1e-12;
    s->low = s->low >= 0 && s->low < room ? 0 : s->low - room;
    s->high += room;
    return true;
}

double chart_step(double range, int most)
{
    const double least = range / most, power = pow(10, floor(log10(least))), part = least / power;
    return power * (part <= 1 ? 1 : part <= 2 ? 2 : part <= 5 ? 5 : 10);
}

/* Puts spaces between groups of three digits, from five digits on. */
static void group(char *text, size_t size)
{
    char plain[64];
    size_t used = 0;
    snprintf(plain, sizeof plain, "%s", text);
    const size_t sign = plain[0] == '-', digits = strspn(plain + sign, "0123456789");
    if (digits < 5) return;
    for (size_t i = 0; plain[i] && used + 2 < size; i++) {
        if (i > sign && i < sign + digits && (sign + digits - i) % 3 == 0) text[used++] = ' ';
        text[used++] = plain[i];
    }
    text[used] = 0;
}

void chart_number(double v, int digits, char *out, size_t size)
{
    if (!isfinite(v))
        snprintf(out, size, "-");
    else if (v == 0 || (fabs(v) >= 1e-3 && fabs(v) < 1e9)) {
        const int whole = v == 0 ? 1 : (int)floor(log10(fabs(v))) + 1;
        const int decimals = digits > whole ? digits - whole : 0;
        snprintf(out, size, "%.*f", decimals > 9 ? 9 : decimals, v);
        if (strchr(out, '.')) {
            size_t n = strlen(out);
            while (out[n - 1] == '0') n--;
            out[n - (out[n - 1] == '.')] = 0;
        }
        group(out, size);
    } else {
        snprintf(out, size, "%.*g", digits, v);
    }
}
