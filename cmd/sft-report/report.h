/* SPDX-License-Identifier: Apache-2.0 */
/* sft-report: what runs were, as a page or as text. */
#ifndef SFT_REPORT_H
#define SFT_REPORT_H

#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"

/* ---- runs (run.c) ---- */
/* The numbers that a line of metrics.jsonl may have, and two that follow from them. */
enum metric {
    LOSS,
    VAL_LOSS,
    RATE, /* the learning rate */
    NORM,
    TOKENS,
    LABELS,
    SPEED, /* tokens a second */
    PADDING,
    LENGTH,
    LONGEST,
    RSS,
    STEP_TIME,
    FORWARD,
    BACKWARD,
    OPTIMIZER,
    DATA,
    CHECKPOINT,
    VALIDATION,
    DENSITY, /* 1 - PADDING */
    SHARE,   /* LABELS / TOKENS */
    METRICS
};
struct series {
    double *step, *value; /* [n] */
    size_t n, step_cap, value_cap;
};
/* A run's logs. Texts are those of files and may have any characters. */
struct run {
    char *path, *name;
    struct series of[METRICS];
    double speed; /* the median of SPEED; NaN: there is none */
    uint64_t bad; /* lines of metrics.jsonl that are no JSON objects with a step */
    struct arena memory;
    struct json *settings; /* of config.yaml; NULL: there is none */
};
/* Reads metrics.jsonl and config.yaml of a folder, or the file itself. */
int run_open(struct run *r, const char *path, struct err *e);
void run_close(struct run *r);

/* ---- figures of a series (figures.c) ---- */
double series_first(const struct series *s); /* all: NaN if there is none */
double series_last(const struct series *s);
double series_least(const struct series *s, double *step); /* step: where; NULL: not wanted */
double series_most(const struct series *s);
double series_sum(const struct series *s);
/* Sets *median to the middle value, the upper one of two. */
int series_median(const struct series *s, double *median, struct err *e);

/* ---- settings (settings.c) ---- */
/* A key in the form a.b.c, and its value in each of n runs as JSON; an empty text: it has none. */
struct setting {
    char *key;
    char **value; /* [n] */
    bool differs;
};
struct settings {
    struct setting *list;
    size_t count, cap, runs;
};
/* The settings of all runs, in the order of the first that has them. */
int settings_of(struct settings *s, const struct run *runs, size_t n, struct err *e);
void settings_free(struct settings *s);

/* ---- charts (chart.c, svg.c, text.c) ---- */
struct line {
    enum metric metric;
    const char *label;
};
struct chart {
    const char *title, *unit;
    double scale; /* a value times this is shown */
    struct line lines[2];
    int count;
};
extern const struct chart charts[];
extern const size_t chart_count;
/* The ends of the axes over all lines of all runs. */
struct span {
    double left, right, low, high;
};
/* False if no run has a finite value. */
bool chart_span(const struct chart *c, const struct run *runs, size_t n, struct span *s);
/* Returns a step of 1, 2 or 5 times a power of ten, so that the range has at most `most` of them.
 */
double chart_step(double range, int most);
/* Writes a number in at most `digits` digits, as 1.2e-05 or 12 000. */
void chart_number(double v, int digits, char *out, size_t size);

void svg_chart(struct buf *b, const struct chart *c, const struct run *runs, size_t n);
void text_report(struct buf *b, const struct run *runs, size_t n);

/* ---- the page (page.c) ---- */
int page_report(struct buf *b, const struct run *runs, size_t n, struct err *e);

#endif
