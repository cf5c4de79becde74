/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the logs of a run. */
#include <math.h>
#include <string.h>

#include "base/doc.h"
#include "base/io.h"
#include "base/log.h"
#include "config/config.h"
#include "report.h"

static const char *const names[METRICS] = {
    [LOSS] = "sft_train/loss",
    [VAL_LOSS] = "sft_train/val_loss",
    [RATE] = "sft_train/lr",
    [NORM] = "sft_train/grad_norm",
    [TOKENS] = "sft_train/tokens",
    [LABELS] = "sft_train/label_tokens",
    [SPEED] = "sft_train/tokens_per_s",
    [PADDING] = "sft_train/padding_ratio",
    [LENGTH] = "global_seqlen/mean",
    [LONGEST] = "global_seqlen/max",
    [RSS] = "system/rss",
    [STEP_TIME] = "time/step_train",
    [FORWARD] = "time/forward",
    [BACKWARD] = "time/backward",
    [OPTIMIZER] = "time/optimizer",
    [DATA] = "time/data",
    [CHECKPOINT] = "time/checkpoint",
    [VALIDATION] = "time/val",
};

/* ---- metrics.jsonl ---- */
static const int64_t MOST_STEPS = (int64_t)1 << 53; /* a double counts so far */

static int add(struct series *s, double step, double value, struct err *e)
{
    if (mem_grow(&s->step, &s->step_cap, s->n + 1, sizeof *s->step, e) ||
        mem_grow(&s->value, &s->value_cap, s->n + 1, sizeof *s->value, e))
        return -1;
    s->step[s->n] = step;
    s->value[s->n++] = value;
    return 0;
}

static int take(struct run *r, const struct json *row, struct err *e)
{
    const double most = 1e300; /* differences of such values are numbers */
    int64_t step;
    double v[METRICS];
    if (json_int(json_get(row, "system/step"), &step) || step < 0 || step > MOST_STEPS) {
        r->bad++;
        return 0;
    }
    for (int m = 0; m < METRICS; m++)
        if (!names[m] || json_real(json_get(row, names[m]), &v[m])) v[m] = NAN;
    v[DENSITY] = 1 - v[PADDING];
    v[SHARE] = v[TOKENS] > 0 ? v[LABELS] / v[TOKENS] : NAN;
    for (int m = 0; m < METRICS; m++)
        if (fabs(v[m]) <= most && add(&r->of[m], (double)step, v[m], e)) return -1;
    return 0;
}

/* A line that is not JSON costs that line. */
static int read_rows(struct run *r, struct json_rows *rows, struct err *e)
{
    const struct json *row;
    for (;;) {
        const int rc = json_rows_next(rows, &row, e);
        if (rc == 0) return 0;
        if (rc < 0 && (e->code != ERR_DATA || !json_rows_skip(rows))) return -1;
        if (rc < 0 || row->kind != JSON_OBJECT)
            r->bad++;
        else if (take(r, row, e))
            return -1;
    }
}

static int read_metrics(struct run *r, const char *path, struct err *e)
{
    struct io_in *in = io_open_regular(path, e);
    struct json_rows *rows = in ? json_rows_open(in, e) : NULL;
    const int rc = rows ? read_rows(r, rows, e) : -1;
    json_rows_close(rows);
    io_close(in);
    if (rc == 0 && r->bad)
        log_line(LOG_WARN, "%s: %llu lines are no JSON objects with a step and are left out", path,
                 (unsigned long long)r->bad);
    return rc;
}

/* ---- config.yaml ---- */
static int read_settings(struct run *r, const char *path, struct err *e)
{
    struct config *c = NULL;
    struct buf text = {0};
    const int there = io_exists(path, e);
    if (there < 1) return there;
    int rc = config_load(path, NULL, 0, &c, e);
    if (rc == 0) rc = config_write_json(c, &text, e);
    if (rc == 0) rc = buf_check(&text, e);
    if (rc == 0 && !(r->settings = doc_parse(text.data, text.len, &r->memory, e))) rc = -1;
    config_free(c);
    buf_free(&text);
    return rc;
}

/* The last part of the folder's path. */
static char *name_of(const char *dir, struct err *e)
{
    size_t end = strlen(dir), begin;
    while (end > 1 && dir[end - 1] == '/') end--;
    for (begin = end; begin > 0 && dir[begin - 1] != '/';) begin--;
    return mem_strndup(dir + begin, end - begin, e);
}

/* Returns the folder of logs that a path means: itself, or that of a metrics.jsonl. */
static char *folder_of(const char *path, struct err *e)
{
    const char *slash = strrchr(path, '/'), *last = slash ? slash + 1 : path;
    if (strcmp(last, "metrics.jsonl") != 0) return mem_strndup(path, strlen(path), e);
    return slash ? mem_strndup(path, (size_t)(slash - path), e) : mem_strndup(".", 1, e);
}

int run_open(struct run *r, const char *path, struct err *e)
{
    *r = (struct run){.path = folder_of(path, e)};
    char *metrics = r->path ? io_path(r->path, "metrics.jsonl", e) : NULL;
    char *config = metrics ? io_path(r->path, "config.yaml", e) : NULL;
    int rc = config ? read_metrics(r, metrics, e) : -1;
    if (rc == 0) rc = read_settings(r, config, e);
    if (rc == 0) rc = samples_read(r, e);
    if (rc == 0) rc = series_median(&r->of[SPEED], &r->speed, e);
    if (rc == 0) rc = (r->name = name_of(r->path, e)) ? 0 : -1;
    if (rc == 0 && !r->of[LOSS].n && !r->of[VAL_LOSS].n)
        rc = err_set(e, ERR_DATA, "%s: has no losses yet", metrics);
    mem_free(metrics);
    mem_free(config);
    return rc;
}

void run_close(struct run *r)
{
    for (int m = 0; m < METRICS; m++) {
        mem_free(r->of[m].step);
        mem_free(r->of[m].value);
    }
    samples_close(r);
    mem_free(r->path);
    mem_free(r->name);
    arena_free(&r->memory);
}
