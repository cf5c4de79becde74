/* SPDX-License-Identifier: Apache-2.0 */
/* Computes the loss of a model over a stream, sum(w * NLL) / sum(w), and that of each sample. */
#include <math.h>
#include <stdio.h>

#include "data/feed_check.h"
#include "window.h"

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

/* The result of a sample. */
static int count(struct eval *v, const struct feed_sample *x, const struct sums *one,
                 struct tally *sum, struct err *e)
{
    sums_add(&sum->all, one);
    if (groups_add(&sum->groups, x, one, e)) return -1;
    if (v->per_sample && v->out && print_sample(v, x, one, e)) return -1;
    return v->losses ? keep(v->losses, one->loss, one->weight, e) : 0;
}

/* Prints the groups, and the sums of all samples with the time that they took. */
static int print_sums(struct eval *v, const struct tally *t, struct err *e)
{
    struct buf b = {0};
    const double seconds = log_clock() - t->began;
    if (!v->out) return 0;
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
             "first at file %u row %llu, token %u",
             name, (unsigned long long)s->bad, (unsigned long long)s->samples, s->source.file,
             (unsigned long long)s->source.row, s->token);
    return eval_nonfinite(v, what, e);
}

/* Opens the stream. *length = the tokens of its longest row; the header of a packed stream tells.
 */
static int open_feed(struct eval *v, struct feed **feed, int64_t *length, struct err *e)
{
    char identity[HASH128_HEX];
    const struct model_vocab vocab = eval_vocab(v);
    struct feed *f = *feed = feed_open_broadcast(v->stream, true, &vocab, &v->mesh, e);
    const struct feed_wanted w = {.tokenizer = identity};
    if (!f || tokenizer_identity(v->tokenizer, identity, e) || feed_check(f, &w, e)) return -1;
    *length = v->length;
    if (feed_header(f)->kind == STREAM_PACKED) *length = (int64_t)feed_header(f)->length;
    if (*length > rope_reach(&v->m, 0)) *length = rope_reach(&v->m, 0);
    feed_limit(f, (uint64_t)*length);
    return 0;
}

/* Shows the steps of a packed stream, or the samples, and the loss so far. */
static void show(struct eval *v, uint64_t steps, const struct sums *s)
{
    char note[40] = "";
    if (s->weight > 0) snprintf(note, sizeof note, "loss %.4f", s->loss / s->weight);
    if (v->progress.tty) progress_step(&v->progress, steps, note);
}

/* --per-sample has all samples; else reading ends where no loss is possible any more. */
static bool goes_on(const struct eval *v, const struct tally *t)
{
    return v->per_sample || !t->all.bad;
}

/* Counts the samples of a window in the stream's order, on every rank. */
static int count_window(struct eval *v, const struct window *w, struct tally *t, struct err *e)
{
    const struct sums *one = w->sums;
    for (size_t k = 0; k < w->n && goes_on(v, t); k++) {
        const struct feed_step *s = &w->steps[k];
        for (size_t i = 0; i < s->nsamples; i++)
            if (count(v, &s->samples[i], one++, t, e)) return -1;
        show(v, s->step + 1, &t->all);
    }
    return 0;
}

/* Reads the stream to its end. What is before a fault in it is counted. */
static int add_losses(struct eval *v, struct window *w, struct tally *t, struct err *e)
{
    do {
        if (window_read(w, e) || window_compute(w, e) ||
            mesh_agree(&v->mesh, count_window(v, w, t, e), e))
            return -1;
    } while (w->more == 1 && goes_on(v, t));
    return mesh_agree(&v->mesh, w->more < 0 && goes_on(v, t) ? -1 : 0, e);
}

/* Loads the model for rows of up to `length` tokens. */
static int open_window(struct eval *v, struct window *w, struct feed *f, int64_t length,
                       struct err *e)
{
    const struct stage_options o = {.tokens = length};
    return eval_open(v, &o, length, e) || window_open(w, v, f, length, e) ? -1 : 0;
}

int eval_loss(struct eval *v, struct err *e)
{
    struct window w = {0};
    struct tally t = {.groups = {.by = v->by}};
    struct feed *f = NULL;
    int64_t length = 0;
    int rc = mesh_agree(&v->mesh, open_feed(v, &f, &length, e), e);
    if (rc == 0) rc = mesh_agree(&v->mesh, open_window(v, &w, f, length, e), e);
    if (rc == 0) progress_total(&v->progress, feed_header(f)->steps);
    t.began = log_clock();
    if (rc == 0) rc = add_losses(v, &w, &t, e);
    progress_erase(&v->progress);
    if (rc == 0) rc = conclude(v, feed_name(f), &t, e);
    window_close(&w);
    mem_free(t.groups.v);
    feed_close(f);
    return rc;
}
