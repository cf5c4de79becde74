/* SPDX-License-Identifier: Apache-2.0 */
/* sft-report: what runs were, as a page or as text. */
#ifndef SFT_REPORT_H
#define SFT_REPORT_H

#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/opt.h"

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
/* A prompt of samples.jsonl and its answers, one for each that differs from the one before. */
struct answer {
    int64_t first, last; /* steps that have it */
    struct str text, end;
    int64_t tokens;
};
struct prompt {
    int64_t row;
    struct str text;
    struct answer *list;
    size_t n, cap;
};
/* A thing that a run is made from or has made, with its hash and what that proves. */
struct origin {
    const char *what;
    struct str name;
    const char *hash; /* NULL: none is recorded */
    const char *link; /* to what comes before or after; NULL: nothing is known */
};
enum { ORIGINS = 100 };
/* A run's logs. Texts are those of files and may have any characters. */
struct run {
    char *path, *name;
    struct series of[METRICS];
    double speed;           /* the median of SPEED; NaN: there is none */
    uint64_t bad;           /* lines of metrics.jsonl that are no JSON objects with a step */
    struct prompt *prompts; /* by row; none without samples.jsonl */
    size_t nprompts, prompts_cap;
    struct origin origins[ORIGINS]; /* from the data to the checkpoint */
    size_t norigins;
    struct arena memory;
    struct json *settings; /* of config.yaml; NULL: there is none */
};
/* Reads metrics.jsonl and config.yaml of a folder, or the file itself. */
int run_open(struct run *r, const char *path, struct err *e);
void run_close(struct run *r);

/* ---- answers (samples.c) ---- */
/* Reads samples.jsonl of the run's folder, if it is there; samples_close() releases them. */
int samples_read(struct run *r, struct err *e);
void samples_close(struct run *r);
/* Copies the texts of a row into memory: "prompt", or its other members as "key: text" and the
 * messages of a conversation as "role: text", a line each. */
int row_texts(const struct json *row, struct arena *memory, struct str *out, struct err *e);

/* ---- origins (origin.c) ---- */
/* Follows the hashes from the data files through the stream to the newest checkpoint, as far as
 * they are recorded and reachable. stream: that of the run; NULL: as sft-run names it. */
int origins_find(struct run *r, const char *stream, struct err *e);

/* ---- rows with the largest losses (rows.c) ---- */
enum { WORST = 20 };
struct worst_row {
    int64_t file, row, labels;
    double loss;
    struct str text; /* p NULL: the data file is not given */
};
struct worst {
    struct worst_row list[WORST]; /* from the largest loss */
    size_t n;
    uint64_t rows;
    const char *name; /* of the file; NULL: none was given */
    struct arena memory;
};
/* Reads what sft-eval --per-sample wrote, and the texts of the rows from the data files, in the
 * order in which sft-tokenize read them. */
int worst_read(struct worst *w, const char *path, const struct opt_list *data, struct err *e);

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
/* Appends answers and worst rows as text for a terminal (words.c). */
void words_answers(struct buf *b, const struct run *r);
void words_worst(struct buf *b, const struct worst *w);
void words_origins(struct buf *b, const struct run *r);

/* ---- the page (page.c) ---- */
int page_report(struct buf *b, const struct run *runs, size_t n, const struct worst *w,
                struct err *e);
/* Appends a text of a file: no markup, and no character that would move the text around it. */
void page_text(struct buf *b, struct str text);
void page_number(struct buf *b, double v, int digits); /* as a cell */
/* blocks.c: sections of answers and of worst rows; nothing where there are none. */
void page_answers(struct buf *b, const struct run *runs, size_t n);
void page_worst(struct buf *b, const struct worst *w);
void page_origins(struct buf *b, const struct run *runs, size_t n);

#endif
