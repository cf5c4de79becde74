/* SPDX-License-Identifier: Apache-2.0 */
/* Checks a step against the losses before it. */
#include "train/guard.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAMED = 8 }; /* most samples that a message names */

void guard_init(struct guard *g, const struct guard_options *o)
{
    *g = (struct guard){.o = *o};
    if (g->o.window < GUARD_LEAST) g->o.window = GUARD_LEAST;
    if (g->o.window > GUARD_WINDOW) g->o.window = GUARD_WINDOW;
}

/* "0:17 0:3 and 62 more" */
static void name_rows(const struct feed_step *s, char *out, size_t n)
{
    size_t at = 0;
    out[0] = 0;
    for (size_t i = 0; i < s->nsamples && i < NAMED && at < n; i++)
        at +=
            (size_t)snprintf(out + at, n - at, "%s%u:%llu", i ? " " : "", s->samples[i].source.file,
                             (unsigned long long)s->samples[i].source.row);
    if (s->nsamples > NAMED && at < n)
        snprintf(out + at, n - at, " and %zu more, which metrics.jsonl names", s->nsamples - NAMED);
}

void guard_rows(const struct feed_step *s, struct buf *b)
{
    buf_putc(b, '[');
    for (size_t i = 0; i < s->nsamples; i++)
        buf_printf(b, "%s[%u,%llu]", i ? "," : "", s->samples[i].source.file,
                   (unsigned long long)s->samples[i].source.row);
    buf_putc(b, ']');
}

static int rising(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The median of the losses in the window; NAN where there are too few. */
static double median(const struct guard *g)
{
    double v[GUARD_WINDOW];
    size_t n = g->seen < g->o.window ? (size_t)g->seen : g->o.window;
    if (n < GUARD_LEAST) return NAN;
    memcpy(v, g->losses, n * sizeof *v);
    qsort(v, n, sizeof *v, rising);
    return (v[(n - 1) / 2] + v[n / 2]) / 2;
}

static void put_loss(struct guard *g, double loss) { g->losses[g->seen++ % g->o.window] = loss; }

/* Applies the action to the finding. `how` names the overrides with which the run would go on. */
static int act(struct guard *g, struct guard_finding *f, enum guard_action action, const char *how,
               struct err *e)
{
    f->found = true;
    f->skip = action == GUARD_SKIP;
    g->skipped += f->skip;
    if (action == GUARD_STOP) return err_set(e, ERR_NONFINITE, "%s; %s", f->text, how);
    size_t n = strlen(f->text);
    if (f->skip) snprintf(f->text + n, sizeof f->text - n, "; no update made");
    return 0;
}

static int not_finite(struct guard *g, uint64_t step, const struct feed_step *s, double loss,
                      double norm, struct guard_finding *f, struct err *e)
{
    char rows[300];
    name_rows(s, rows, sizeof rows);
    snprintf(f->text, sizeof f->text,
             "step %llu: loss %g, gradient norm %g: not finite; the step's samples (file:row) are "
             "%s",
             (unsigned long long)step, loss, norm, rows);
    return act(g, f, g->o.skip_nonfinite ? GUARD_SKIP : GUARD_STOP,
               "sft.skip_nonfinite=true leaves such steps out", e);
}

/* The update is left out: without a gradient, weight decay and momentum alone would move the
 * weights. */
static int untrained(struct guard *g, uint64_t step, const struct feed_step *s,
                     struct guard_finding *f, struct err *e)
{
    char rows[300];
    name_rows(s, rows, sizeof rows);
    snprintf(f->text, sizeof f->text,
             "step %llu: no trained token, nothing to learn; the step's samples (file:row) are %s",
             (unsigned long long)step, rows);
    return act(g, f, GUARD_SKIP, "", e);
}

static int spike(struct guard *g, uint64_t step, const struct feed_step *s, double loss,
                 struct guard_finding *f, struct err *e)
{
    char rows[300];
    size_t n = g->seen < g->o.window ? (size_t)g->seen : g->o.window;
    name_rows(s, rows, sizeof rows);
    snprintf(f->text, sizeof f->text,
             "step %llu: loss %g is %.3g times the median of the last %zu (%g); the step's samples "
             "(file:row) are %s",
             (unsigned long long)step, loss, loss / f->median, n, f->median, rows);
    return act(g, f, g->o.spike_action,
               "sft.spike_action=skip leaves such steps out, sft.spike_action=warn trains on them",
               e);
}

int guard_check(struct guard *g, uint64_t step, const struct feed_step *s, double loss, double norm,
                struct guard_finding *f, struct err *e)
{
    *f = (struct guard_finding){.median = NAN};
    if (!(s->weight > 0)) return untrained(g, step, s, f, e);
    if (!isfinite(loss) || !isfinite(norm)) return not_finite(g, step, s, loss, norm, f, e);
    double usual = median(g);
    int rc = 0;
    if (g->o.spike_factor > 0 && loss > g->o.spike_factor * usual) {
        f->median = usual;
        rc = spike(g, step, s, loss, f, e);
    }
    put_loss(g, loss);
    return rc;
}

/* ---- state ---- */
/* The oldest loss comes first, so that a run resumed with a smaller window has the newest. */
void guard_write(const struct guard *g, struct buf *b)
{
    uint64_t n = g->seen < g->o.window ? g->seen : g->o.window;
    buf_printf(b, "{\"skipped\":%llu,\"losses\":[", (unsigned long long)g->skipped);
    for (uint64_t i = g->seen - n; i < g->seen; i++) {
        if (i > g->seen - n) buf_putc(b, ',');
        buf_json_number(b, g->losses[i % g->o.window], 0);
    }
    buf_puts(b, "]}");
}

int guard_read(struct guard *g, const struct json *state, struct err *e)
{
    const struct json *losses = state ? json_get(state, "losses") : NULL;
    const struct json *skipped = state ? json_get(state, "skipped") : NULL;
    int64_t n = 0;
    const struct guard_options o = g->o;
    guard_init(g, &o);
    if (!state) return 0;
    if (!losses || losses->kind != JSON_ARRAY || !skipped || json_int(skipped, &n) || n < 0)
        return err_set(e, ERR_DATA,
                       "the guard's state has no losses or no number of skipped steps");
    g->skipped = (uint64_t)n;
    for (size_t i = 0; i < losses->count; i++) {
        double loss;
        if (json_real(&losses->items[i], &loss))
            return err_set(e, ERR_DATA, "the guard's state: loss %zu is not a number", i);
        put_loss(g, loss);
    }
    return 0;
}
