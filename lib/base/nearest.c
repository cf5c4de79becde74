/* SPDX-License-Identifier: Apache-2.0 */
/* Finds the nearest word for a mistyped one, by optimal string alignment distance. */
#include <string.h>

#include "base/opt.h"

enum { WORD_MAX = 64 };

static size_t least3(size_t a, size_t b, size_t c)
{
    size_t m = a < b ? a : b;
    return m < c ? m : c;
}

/* Returns the number of edits (insert, delete, replace, swap of neighbours) that turn a into b.
 * Both have at most WORD_MAX bytes. */
static size_t distance(const char *a, size_t n, const char *b, size_t m)
{
    size_t row[3][WORD_MAX + 1];
    size_t *before = row[0], *last = row[1], *now = row[2];
    for (size_t k = 0; k <= m; k++) last[k] = k;
    for (size_t i = 1; i <= n; i++) {
        now[0] = i;
        for (size_t k = 1; k <= m; k++) {
            size_t same = a[i - 1] == b[k - 1] ? 0 : 1;
            now[k] = least3(last[k] + 1, now[k - 1] + 1, last[k - 1] + same);
            bool swapped = i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1];
            if (swapped && before[k - 2] + 1 < now[k]) now[k] = before[k - 2] + 1;
        }
        size_t *t = before;
        before = last;
        last = now;
        now = t;
    }
    return last[m];
}

const char *opt_nearest(const char *s, const char *const *words)
{
    const char *best = NULL;
    size_t n = strlen(s), least = n / 3 + 2; /* allows more edits in a longer word */
    if (n > WORD_MAX) return NULL;
    for (; *words; words++) {
        size_t m = strlen(*words);
        if (m > WORD_MAX) continue;
        size_t d = distance(s, n, *words, m);
        if (d >= least || d >= m || d >= n) continue;
        least = d;
        best = *words;
    }
    return best;
}
