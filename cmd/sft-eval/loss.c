/* SPDX-License-Identifier: Apache-2.0 */
/* Computes the loss of a model over a stream, sum(w * NLL) / sum(w), and that of each sample. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "data/batch.h"
#include "data/feed_check.h"
#include "sums.h"

/* The sums while a stream is read. */
struct tally {
    struct sums all;
    struct groups groups;
    double began; /* log_clock() when the model was there */
};

static int keep(struct sample_losses *l, double loss, double weight, struct err *e)
{
    if (mem_grow(&l->v, &l->cap, l->n + 1, sizeof *l->v, e)) return -1;
    l->v[l->n++] = (struct sample_loss){loss, weight};
    return 0;
}

/* Adds the loss of token t of x, a target of weight w > 0. */
static void add_target(struct sums *s, const struct feed_sample *x, uint32_t t, double w, float nll)
{
    s->loss += w * (double)nll;
    s->weight += w;
    s->label_tokens++;
    if (isfinite(nll) || s->bad) return;
    s->bad = 1;
    snprintf(s->where, sizeof s->where, "file %u row %llu, token %u", x->source.file,
             (unsigned long long)x->source.row, t);
}

/* Prints a loss of null where no token is trained or the loss is not finite. */
static int print_sample(struct eval *v, const struct feed_sample *x, const struct sums *s,
                        struct err *e)
{
    struct buf b = {0};
    buf_printf(
        &b, "{\"source\":[%u,%llu],\"tokens\":%u,\"label_tokens\":%llu,\"loss\":", x->source.file,
        (unsigned long long)x->source.row, x->n, (unsigned long long)s->label_tokens);
    buf_json_number(&b, s->weight > 0 ? s->loss / s->weight : NAN, 9);
    buf_puts(&b, "}\n");
    int rc = buf_check(&b, e) ? -1 : io_write(v->out, b.data, b.len, e);
    buf_free(&b);
    return rc;
}

/* Adds up the rows [from, to). nll has the losses of their targets, in the order of the samples'
 * tokens. */
static int count_samples(struct eval *v, const struct feed_step *s, size_t from, size_t to,
                         const float *nll, struct tally *sum, struct err *e)
{
    for (size_t row = from; row < to; row++) {
        for (uint32_t i = 0; i < s->rows[row].samples; i++) {
            const struct feed_sample *x = &s->samples[s->rows[row].first + i];
            struct sums one = {.samples = 1, .tokens = x->n};
            for (uint32_t t = 0; t < x->n; t++) {
                double w = (double)s->weights[x->first + t];
                if (w > 0) add_target(&one, x, t, w, *nll++);
            }
            sums_add(&sum->all, &one);
            if (groups_add(&sum->groups, x, &one, e)) return -1;
            if (v->per_sample && print_sample(v, x, &one, e)) return -1;
            if (v->losses && keep(v->losses, one.loss, one.weight, e)) return -1;
        }
    }
    return 0;
}

static int step_loss(struct eval *v, const struct batch *b, const struct feed_step *s, float *nll,
                     struct tally *sum, struct err *e)
{
    struct pass *p = &v->stage.pass[0];
    for (size_t row = 0, next; row < s->nrows; row = next) {
        stage_refill(&v->stage, p);
        next = batch_take(b, s, row, &p->b);
        if (next == row) return err_set(e, ERR_INTERNAL, "a row does not fit the micro-batch");
        if (p->b.T) {
            stage_upload(&v->stage, p);
            stage_forward(&v->stage, p);
            stage_loss(&v->stage, p);
        }
        if (weights_get(&v->weights, p->nll, v->weights.accum, 0, (size_t)p->b.targets, nll, e) ||
            count_samples(v, s, row, next, nll, sum, e))
            return -1;
    }
    return 0;
}

/* Prints the groups, and the sums of all samples with the time that they took. */
static int print_sums(struct eval *v, const struct tally *t, struct err *e)
{
    struct buf b = {0};
    const double seconds = log_clock() - t->began;
    groups_put(&t->groups, &b);
    buf_putc(&b, '{');
    sums_put(&t->all, &b);
    buf_puts(&b, ",\"seconds\":");
    buf_json_number(&b, seconds, 6);
    buf_puts(&b, ",\"tokens_per_s\":");
    buf_json_number(&b, seconds > 0 ? (double)t->all.tokens / seconds : NAN, 6);
    buf_puts(&b, "}\n");
    int rc = buf_check(&b, e) ? -1 : io_write(v->out, b.data, b.len, e);
    buf_free(&b);
    return rc;
}

static int conclude(struct eval *v, const char *name, const struct tally *t, struct err *e)
{
    char what[400];
    const struct sums *s = &t->all;
    if (!(s->weight > 0))
        return err_set(e, ERR_DATA, "%s: no trained token, so there is no loss", name);
    if (s->bad == 0) return v->losses ? 0 : print_sums(v, t, e);
    snprintf(what, sizeof what,
             "%.200s: the loss of %llu of the %llu samples read is not finite, "
             "first at %s",
             name, (unsigned long long)s->bad, (unsigned long long)s->samples, s->where);
    return eval_nonfinite(v, what, e);
}

/* Opens the stream. *length = the tokens of its longest row; the header of a packed stream tells.
 */
static struct feed *open_feed(struct eval *v, int64_t *length, struct err *e)
{
    char identity[HASH128_HEX];
    const struct model_vocab vocab = eval_vocab(v);
    struct feed *f = feed_open(v->stream, true, &vocab, e);
    if (!f) return NULL;
    const struct feed_wanted w = {.tokenizer = identity};
    if (tokenizer_identity(v->tokenizer, identity, e) || feed_check(f, &w, e)) {
        feed_close(f);
        return NULL;
    }
    *length = v->length;
    if (feed_header(f)->kind == STREAM_PACKED) *length = (int64_t)feed_header(f)->length;
    if (*length > rope_reach(&v->m, 0)) *length = rope_reach(&v->m, 0);
    feed_limit(f, (uint64_t)*length);
    return f;
}

/* Shows the steps of a packed stream, or the samples, and the loss so far. */
static void show(struct eval *v, uint64_t steps, const struct sums *s)
{
    char note[40] = "";
    if (s->weight > 0) snprintf(note, sizeof note, "loss %.4f", s->loss / s->weight);
    if (v->progress.tty) progress_step(&v->progress, steps, note);
}

int eval_loss(struct eval *v, struct err *e)
{
    struct batch b = {0};
    struct feed_step s = {0};
    struct tally t = {.groups = {.by = v->by}};
    float *nll = NULL;
    int64_t length;
    struct feed *f = open_feed(v, &length, e);
    int rc = f ? 0 : -1;
    if (rc == 0) {
        const struct stage_options o = {.tokens = length};
        b.capacity = length;
        rc = eval_open(v, &o, length, e);
    }
    if (rc == 0) rc = (nll = mem_alloc((size_t)length, sizeof *nll, e)) ? 0 : -1;
    if (rc == 0) progress_total(&v->progress, feed_header(f)->steps);
    t.began = log_clock();
    /* --per-sample reads all samples; else reading ends where no loss is possible any more */
    for (uint64_t n = 1;
         rc == 0 && (v->per_sample || !t.all.bad) && (rc = feed_next(f, &s, e)) == 1; n++) {
        rc = step_loss(v, &b, &s, nll, &t, e);
        show(v, n, &t.all);
    }
    progress_erase(&v->progress);
    if (rc == 0) rc = conclude(v, feed_name(f), &t, e);
    mem_free(nll);
    mem_free(t.groups.v);
    feed_step_free(&s);
    feed_close(f);
    return rc;
}
