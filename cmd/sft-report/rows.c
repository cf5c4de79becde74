/* SPDX-License-Identifier: Apache-2.0 */
/* The rows with the largest losses, from the output of sft-eval --per-sample, and their texts. */
#include <math.h>
#include <string.h>

#include "base/io.h"
#include "report.h"

/* Puts a row in its place, if it is one of the worst. */
static void insert(struct worst *w, const struct worst_row *r)
{
    size_t at = w->n < WORST ? w->n++ : WORST;
    if (at == WORST && !(r->loss > w->list[WORST - 1].loss)) return;
    if (at == WORST) at--;
    for (; at > 0 && w->list[at - 1].loss < r->loss; at--) w->list[at] = w->list[at - 1];
    w->list[at] = *r;
}

/* Takes a line of a sample; false for one of another form. A sample without a trained token, and
 * one whose loss is not finite, has a loss of null. */
static bool take(struct worst *w, const struct json *row)
{
    struct worst_row r = {0};
    const struct json *source = row->kind == JSON_OBJECT ? json_get(row, "source") : NULL;
    if (!source || source->kind != JSON_ARRAY || source->count != 2 ||
        json_int(&source->items[0], &r.file) || json_int(&source->items[1], &r.row) ||
        json_int(json_get(row, "label_tokens"), &r.labels))
        return false;
    w->rows++;
    if (json_real(json_get(row, "loss"), &r.loss) == 0) insert(w, &r);
    return true;
}

/* The last line has the sums of all. */
static int read_losses(struct worst *w, const char *path, struct err *e)
{
    const struct json *row;
    struct io_in *in = io_open(path, e);
    struct json_rows *rows = in ? json_rows_open(in, e) : NULL;
    int rc = rows ? 0 : -1;
    while (rc == 0 && (rc = json_rows_next(rows, &row, e)) == 1) {
        take(w, row);
        rc = 0;
    }
    json_rows_close(rows);
    io_close(in);
    if (rc == 0 && !w->rows)
        rc = err_set(e, ERR_DATA, "%s: has no line of a sample, as sft-eval --per-sample writes it",
                     path);
    return rc ? -1 : 0;
}

/* Takes the texts of row `at` of data file `file`. */
static int take_text(struct worst *w, int64_t file, uint64_t at, const struct json *row,
                     struct err *e)
{
    for (size_t i = 0; i < w->n; i++)
        if (w->list[i].file == file && w->list[i].row == (int64_t)at &&
            row_texts(row, &w->memory, &w->list[i].text, e))
            return -1;
    return 0;
}

static int read_texts(struct worst *w, const char *path, int64_t file, struct err *e)
{
    const struct json *row;
    struct io_in *in = io_open(path, e);
    struct json_rows *rows = in && io_expand(in, e) == 0 ? json_rows_open(in, e) : NULL;
    int rc = rows ? 0 : -1;
    while (rc == 0 && (rc = json_rows_next(rows, &row, e)) != 0) {
        if (rc < 0 && (e->code != ERR_DATA || !json_rows_skip(rows))) break;
        rc = rc < 0 ? 0 : take_text(w, file, json_rows_index(rows), row, e);
    }
    json_rows_close(rows);
    io_close(in);
    return rc;
}

int worst_read(struct worst *w, const char *path, const struct opt_list *data, struct err *e)
{
    if (read_losses(w, path, e)) return -1;
    for (int i = 0; i < data->n; i++)
        if (read_texts(w, data->v[i], i, e)) return -1;
    for (size_t i = 0; i < w->n; i++) {
        const struct worst_row *r = &w->list[i];
        if (!r->text.p && r->file >= 0 && r->file < data->n)
            return err_set(e, ERR_DATA,
                           "%s: has no row %lld, which %s names; --data takes the files in the "
                           "order in which sft-tokenize read them",
                           data->v[r->file], (long long)r->row, path);
    }
    return 0;
}
