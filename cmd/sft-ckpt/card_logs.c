/* SPDX-License-Identifier: Apache-2.0 */
/* The data and the losses of a run, as config.yaml and metrics.jsonl in its logs tell them. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/io.h"
#include "base/json.h"
#include "card.h"
#include "config/config.h"

enum { MAX_ID = 4096 };

/* The part of a path after its last slash: the folders of this machine are nobody's business. */
static struct str last_part(struct str path)
{
    for (size_t i = path.n; i > 0; i--)
        if (path.p[i - 1] == '/') return (struct str){path.p + i, path.n - i};
    return path;
}

/* ---- whose logs ---- */
/* Compares the run's id in the logs with that in the folder that has the checkpoint: 1 for the same
 * one, 0 when one is not there, as for a copied checkpoint, or -1. */
static int check_owner(const struct card *c, const char *config, struct err *e)
{
    struct config_run r = {0};
    struct buf id = {0};
    char *path = io_path(c->model->dir, "../../../.run", e);
    int rc = path ? config_run_read(config, &r, e) : -1;
    const int there = rc == 0 ? io_exists(path, e) : -1;
    if (there > 0) rc = io_slurp(path, MAX_ID, &id, e);
    if (rc == 0 && id.data && r.id) {
        id.data[strcspn(id.data, "\n")] = 0;
        rc = 1;
        if (strcmp(id.data, r.id) != 0)
            rc = err_set(e, ERR_DATA, "%s: the logs of another run than %s: give those of run %s",
                         c->logs, c->model->path, id.data);
    }
    config_run_free(&r);
    buf_free(&id);
    mem_free(path);
    return there < 0 ? -1 : rc;
}

/* ---- config.yaml ---- */
static void put_files(struct buf *b, const char *label, const struct config_strings *files)
{
    for (size_t i = 0; i < files->n; i++) card_item(b, label, last_part(str_z(files->v[i])));
}

static void put_text(struct buf *b, const char *label, const char *text)
{
    if (text) card_item(b, label, last_part(str_z(text)));
}

static int put_config(const char *path, struct buf *data, struct buf *base, struct err *e)
{
    struct config *c = NULL;
    if (config_load(path, NULL, 0, &c, e)) return -1;
    put_files(data, "training data", &c->sft_train.data_args.file_name);
    put_files(data, "validation data", &c->validation.data_args.file_name);
    put_text(data, "chat template", c->run.template);
    put_text(data, "mask", c->sft.mask);
    put_text(data, "packing", c->run.pack_mode);
    put_text(data, "samples longer than a row", c->sft.over_length);
    if (c->run.model) buf_puts(base, c->run.model);
    config_free(c);
    return buf_check(base, e);
}

/* ---- metrics.jsonl ---- */
/* A loss as the file has it, and its step. */
struct loss {
    char text[40];
    double value;
    int64_t step; /* -1: there is none */
};
struct course {
    struct loss first, last, validation, best;
    double known; /* a loss that the checkpoint has */
    bool found;   /* the file has it, too */
};

static void set_loss(struct loss *l, const struct json *v, int64_t step)
{
    if (json_real(v, &l->value) || v->s.n >= sizeof l->text) return;
    memcpy(l->text, v->s.p, v->s.n);
    l->text[v->s.n] = 0;
    l->step = step;
}

static void take(struct course *c, const struct json *row, int64_t step)
{
    const struct json *loss = json_get(row, "sft_train/loss");
    const struct json *validation = json_get(row, "sft_train/val_loss");
    double value;
    if (loss && c->first.step < 0) set_loss(&c->first, loss, step);
    if (loss) set_loss(&c->last, loss, step);
    /* the file has nine digits */
    if (loss && fabs(c->last.value - c->known) <= 1e-8 * fabs(c->known)) c->found = true;
    if (!validation || json_real(validation, &value)) return;
    set_loss(&c->validation, validation, step);
    if (c->best.step < 0 || value < c->best.value) set_loss(&c->best, validation, step);
}

static int read_rows(struct json_rows *rows, int64_t most, struct course *c, struct err *e)
{
    const struct json *row;
    int rc;
    while ((rc = json_rows_next(rows, &row, e)) > 0) {
        int64_t step;
        if (json_int(json_get(row, "system/step"), &step) == 0 && step <= most) take(c, row, step);
    }
    return rc;
}

static void put_loss(struct buf *b, const char *label, const struct loss *l)
{
    char text[100];
    snprintf(text, sizeof text, "%s at step %" PRId64, l->text, l->step);
    if (l->step >= 0) card_item(b, label, str_z(text));
}

/* Sets *found when a loss of the checkpoint is among those of the file. */
static int put_metrics(const char *path, const struct card_point *p, bool *found,
                       struct buf *losses, struct err *e)
{
    struct course c = {{.step = -1}, {.step = -1}, {.step = -1}, {.step = -1}, p->loss, false};
    const int there = io_exists(path, e);
    struct io_in *in = there > 0 ? io_open_regular(path, e) : NULL;
    struct json_rows *rows = in ? json_rows_open(in, e) : NULL;
    int rc = rows ? read_rows(rows, p->step, &c, e) : there ? -1 : 0;
    put_loss(losses, "first training loss", &c.first);
    put_loss(losses, "last training loss", &c.last);
    put_loss(losses, "last validation loss", &c.validation);
    put_loss(losses, "best validation loss", &c.best);
    json_rows_close(rows);
    io_close(in);
    *found = c.found;
    return rc;
}

int card_logs(const struct card *c, const struct card_point *p, struct buf *data,
              struct buf *losses, struct buf *base, struct err *e)
{
    bool found = false;
    char *config = io_path(c->logs, "config.yaml", e);
    char *metrics = config ? io_path(c->logs, "metrics.jsonl", e) : NULL;
    const int own = metrics ? check_owner(c, config, e) : -1;
    int rc = own < 0 ? -1 : put_config(config, data, base, e);
    if (rc == 0) rc = put_metrics(metrics, p, &found, losses, e);
    if (rc == 0 && own == 0 && !found && !isnan(p->loss))
        rc = err_set(e, ERR_DATA, "%s: has not the last loss of %s; give the logs of its run",
                     c->logs, c->model->path);
    mem_free(config);
    mem_free(metrics);
    return rc;
}
