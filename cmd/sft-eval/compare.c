/* SPDX-License-Identifier: Apache-2.0 */
/* Compares two models on one stream, sample by sample: how hard a sample is cancels out, so the
 * interval of the difference is far narrower than those of the two losses. */
#include <math.h>

#include "base/json.h"
#include "eval.h"
#include "hf/folder.h"

/* Returns 1 if --compare names an adapter, 0 if it names a model. */
static int find_adapter(const char *name, struct err *e)
{
    char *dir = NULL, *folder = NULL;
    if (hf_folder_find(name, &folder, e)) return -1;
    const int found = peft_find_dir(folder, &dir, e);
    mem_free(folder);
    mem_free(dir);
    return found;
}

/* Makes `other` an evaluation of --compare: of a model, or of an adapter of the same model. */
static int begin_other(const struct eval *v, struct eval *other, struct err *e)
{
    const int adapter = find_adapter(v->compare, e);
    *other = (struct eval){.model = adapter ? v->model : v->compare,
                           .adapter_name = adapter ? v->compare : NULL,
                           .device_name = v->device_name,
                           .stream = v->stream,
                           .dtype = v->dtype,
                           .length = v->length,
                           .mesh = v->mesh,
                           .silent = v->silent,
                           .threads = v->threads};
    return mesh_agree(&v->mesh, adapter < 0 ? -1 : 0, e) ? -1 : eval_begin(other, e);
}

struct comparison {
    double weight, loss[2], difference, half; /* half the width of the 95 % interval */
    size_t samples;                           /* with a trained token */
};

/* The difference is a ratio of sums, sum(w d) / sum(w), over samples that are drawn at random: its
 * variance is about n / (n - 1) sum(w^2 (d - mean)^2) / sum(w)^2 (Cochran, Sampling Techniques,
 * section 6.4). */
static struct comparison compare(const struct sample_losses *a, const struct sample_losses *b)
{
    struct comparison c = {0};
    double squares = 0;
    for (size_t i = 0; i < a->n; i++) {
        c.weight += a->v[i].weight;
        c.loss[0] += a->v[i].loss;
        c.loss[1] += b->v[i].loss;
        c.samples += a->v[i].weight > 0;
    }
    c.loss[0] /= c.weight;
    c.loss[1] /= c.weight;
    c.difference = c.loss[1] - c.loss[0];
    for (size_t i = 0; i < a->n; i++) {
        const double off = b->v[i].loss - a->v[i].loss - a->v[i].weight * c.difference;
        squares += off * off;
    }
    const double n = (double)c.samples;
    c.half = n > 1 ? 1.96 * sqrt(n / (n - 1) * squares) / c.weight : NAN;
    return c;
}

static void put(struct buf *b, const char *key, double x)
{
    buf_printf(b, ",\"%s\":", key);
    buf_json_number(b, x, 9);
}

static int print(struct eval *v, const struct comparison *c, struct err *e)
{
    struct buf b = {0};
    if (!v->out) return 0;
    buf_puts(&b, "{\"model\":");
    buf_json(&b, str_z(v->model));
    buf_puts(&b, ",\"other\":");
    buf_json(&b, str_z(v->compare));
    put(&b, "loss", c->loss[0]);
    put(&b, "other_loss", c->loss[1]);
    put(&b, "difference", c->difference);
    put(&b, "low", c->difference - c->half);
    put(&b, "high", c->difference + c->half);
    buf_printf(&b, ",\"samples\":%zu,\"better\":", c->samples);
    if (c->difference + c->half < 0)
        buf_puts(&b, "\"other\"}\n");
    else
        buf_puts(&b, c->difference - c->half > 0 ? "\"model\"}\n" : "null}\n");
    const int rc = buf_check(&b, e) ? -1 : io_write(v->out, b.data, b.len, e);
    buf_free(&b);
    return rc;
}

int eval_compare(struct eval *v, struct err *e)
{
    struct eval other = {0};
    struct sample_losses a = {0}, b = {0};
    v->losses = &a;
    int rc = eval_loss(v, e);
    eval_close(v); /* one model at a time is in memory */
    if (rc == 0) rc = begin_other(v, &other, e);
    other.losses = &b;
    if (rc == 0) rc = eval_loss(&other, e);
    eval_close(&other);
    if (rc == 0 && a.n != b.n)
        rc = err_set(e, ERR_DATA, "%s: it changed while it was read", v->stream);
    if (rc == 0) {
        const struct comparison c = compare(&a, &b);
        rc = print(v, &c, e);
    }
    mem_free(a.v);
    mem_free(b.v);
    return rc;
}
