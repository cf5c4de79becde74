/* SPDX-License-Identifier: Apache-2.0 */
/* The loss of a model over a stream: sum(w * NLL) / sum(w), and each sample's own. */
#include <math.h>
#include <stdio.h>

#include "eval.h"
#include "train/batch.h"
#include "train/feed.h"

struct sums {
    double loss, weight;
    uint64_t label_tokens, samples;
};

static void add(struct sums *to, const struct sums *from)
{
    to->loss += from->loss;
    to->weight += from->weight;
    to->label_tokens += from->label_tokens;
    to->samples += from->samples;
}

static int print_sample(struct eval *v, const struct feed_sample *x, const struct sums *s,
                        struct err *e)
{
    char line[160];
    int n = snprintf(line, sizeof line, "{\"source\":[%u,%llu],\"tokens\":%u,\"label_tokens\":%llu",
                     x->source.file, (unsigned long long)x->source.row, x->n,
                     (unsigned long long)s->label_tokens);
    if (io_write(v->out, line, (size_t)n, e)) return -1;
    n = s->weight > 0 ? snprintf(line, sizeof line, ",\"loss\":%.9g}\n", s->loss / s->weight)
                      : snprintf(line, sizeof line, ",\"loss\":null}\n");
    return io_write(v->out, line, (size_t)n, e);
}

/* The NLLs of a batch come in the order of its targets, which is that of the samples' tokens. */
static int count_samples(struct eval *v, const struct feed_step *s, size_t from, size_t to,
                         const float *nll, struct sums *all, struct err *e)
{
    for (size_t row = from; row < to; row++) {
        for (uint32_t i = 0; i < s->rows[row].samples; i++) {
            const struct feed_sample *x = &s->samples[s->rows[row].first + i];
            struct sums one = {.samples = 1};
            for (uint32_t t = 0; t < x->n; t++) {
                double w = (double)s->weights[x->first + t];
                if (!(w > 0)) continue;
                one.loss += w * (double)*nll++;
                one.weight += w;
                one.label_tokens++;
            }
            add(all, &one);
            if (v->per_sample && print_sample(v, x, &one, e)) return -1;
        }
    }
    return 0;
}

static int step_loss(struct eval *v, struct batch *b, const struct feed_step *s, float *nll,
                     struct sums *all, struct err *e)
{
    for (size_t row = 0, next; row < s->nrows; row = next) {
        next = batch_take(b, s, row);
        if (next == row) return err_set(e, ERR_INTERNAL, "a row does not fit the micro-batch");
        if (b->b.T) {
            net_upload(&v->net, &b->b);
            net_forward(&v->net, &b->b);
            net_loss(&v->net, &b->b, false, 0);
        }
        if (net_get(&v->net, v->net.nll, v->net.real, 0, (size_t)b->b.targets, nll, e) ||
            count_samples(v, s, row, next, nll, all, e))
            return -1;
    }
    return 0;
}

static int print_sums(struct eval *v, const struct sums *s, struct err *e)
{
    char line[256];
    double loss = s->loss / s->weight;
    int n = snprintf(line, sizeof line,
                     "{\"loss\":%.9g,\"perplexity\":%.9g,\"label_tokens\":%llu,\"samples\":%llu}\n",
                     loss, exp(loss), (unsigned long long)s->label_tokens,
                     (unsigned long long)s->samples);
    return io_write(v->out, line, (size_t)n, e);
}

/* Rows of at most `length` tokens; a packed stream tells its own. */
static struct feed *open_feed(struct eval *v, int64_t *length, struct err *e)
{
    char identity[HASH128_HEX];
    struct feed *f = feed_open(v->stream, true, v->m.vocab, e);
    if (!f) return NULL;
    tokenizer_identity(v->tokenizer, identity);
    const struct feed_wanted w = {.tokenizer = identity};
    if (feed_check(f, &w, e)) {
        feed_close(f);
        return NULL;
    }
    *length = v->length;
    if (feed_header(f)->kind == STREAM_PACKED) *length = (int64_t)feed_header(f)->length;
    if (*length > rope_reach(&v->m, false)) *length = rope_reach(&v->m, false);
    feed_limit(f, (uint64_t)*length);
    return f;
}

int eval_loss(struct eval *v, struct err *e)
{
    struct batch b = {0};
    struct feed_step s = {0};
    struct sums all = {0};
    float *nll = NULL;
    int64_t length;
    struct feed *f = open_feed(v, &length, e);
    int rc = f ? 0 : -1;
    if (rc == 0) {
        const struct net_options o = {.compute = v->compute, .tokens = length, .length = length};
        rc = eval_net(v, &o, e);
    }
    if (rc == 0) rc = batch_init(&b, length, NULL, e);
    if (rc == 0) rc = (nll = mem_alloc((size_t)length, sizeof *nll, e)) ? 0 : -1;
    while (rc == 0 && (rc = feed_next(f, &s, e)) == 1) rc = step_loss(v, &b, &s, nll, &all, e);
    if (rc == 0 && !(all.weight > 0))
        rc = err_set(e, ERR_DATA, "%s: no token is trained, so there is no loss", v->stream);
    if (rc == 0) rc = print_sums(v, &all, e);
    mem_free(nll);
    batch_free(&b);
    feed_step_free(&s);
    feed_close(f);
    return rc;
}
