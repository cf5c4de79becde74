/* SPDX-License-Identifier: Apache-2.0 */
/* Single numbers that sum up a series. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"

double series_first(const struct series *s) { return s->n ? s->value[0] : NAN; }
double series_last(const struct series *s) { return s->n ? s->value[s->n - 1] : NAN; }

double series_least(const struct series *s, double *step)
{
    size_t at = 0;
    for (size_t i = 1; i < s->n; i++)
        if (s->value[i] < s->value[at]) at = i;
    if (step) *step = s->n ? s->step[at] : NAN;
    return s->n ? s->value[at] : NAN;
}

double series_most(const struct series *s)
{
    double most = series_first(s);
    for (size_t i = 1; i < s->n; i++) most = fmax(most, s->value[i]);
    return most;
}

double series_sum(const struct series *s)
{
    double sum = s->n ? 0 : NAN;
    for (size_t i = 0; i < s->n; i++) sum += s->value[i];
    return sum;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int series_median(const struct series *s, double *median, struct err *e)
{
    double *sorted = s->n ? mem_alloc(s->n, sizeof *sorted, e) : NULL;
    *median = NAN;
    if (!sorted) return s->n ? -1 : 0;
    memcpy(sorted, s->value, s->n * sizeof *sorted);
    qsort(sorted, s->n, sizeof *sorted, by_value);
    *median = sorted[s->n / 2];
    mem_free(sorted);
    return 0;
}
