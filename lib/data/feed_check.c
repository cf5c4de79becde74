/* SPDX-License-Identifier: Apache-2.0 */
/* Compares a stream with the configuration, and looks through a file. */
#include "data/feed_check.h"

#include <stdio.h>
#include <string.h>

/* The error of a plan of `all` steps whose first `steps` have no trained token. */
static int nothing_to_learn(const char *name, uint64_t steps, uint64_t all, struct err *e)
{
    char where[80] = "the whole plan";
    if (steps < all)
        snprintf(where, sizeof where, "the steps up to max_steps (%llu of %llu)",
                 (unsigned long long)steps, (unsigned long long)all);
    return err_set(e, ERR_DATA,
                   "%s: no trained token in %s: there is no loss, and nothing to learn; sft-view "
                   "--stats counts steps and samples without one, and sft-pack -v names the rows",
                   name, where);
}

static int differs(const struct feed *f, struct err *e, const char *what, const char *has,
                   const char *wants)
{
    return err_set(e, ERR_CONFIG,
                   "%s: the stream has %s %s, the configuration %s; run sft-pack again, or "
                   "change the configuration",
                   feed_name(f), what, has, wants);
}

static int differs_u64(const struct feed *f, struct err *e, const char *what, uint64_t has,
                       uint64_t wants)
{
    char a[24], b[24];
    snprintf(a, sizeof a, "%llu", (unsigned long long)has);
    snprintf(b, sizeof b, "%llu", (unsigned long long)wants);
    return differs(f, e, what, a, b);
}

int feed_check(const struct feed *f, const struct feed_wanted *w, struct err *e)
{
    const struct stream_header *h = feed_header(f);
    if (strcmp(h->tokenizer, w->tokenizer) != 0)
        return err_set(e, ERR_DATA,
                       "%s: the stream was made with another tokenizer (%s) than the model's (%s); "
                       "make it with -m of this model",
                       feed_name(f), h->tokenizer, w->tokenizer);
    if (w->length && (w->plan ? h->length != w->length : h->length > w->length))
        return differs_u64(f, e, "rows of length", h->length, w->length);
    if (h->kind == STREAM_PACKED && h->steps && !h->label_tokens)
        return nothing_to_learn(feed_name(f), h->steps, h->steps, e);
    if (!w->plan) return 0;
    if (h->global_batch != w->global_batch)
        return differs_u64(f, e, "a global batch of", h->global_batch, w->global_batch);
    if (h->mode != w->mode)
        return differs(f, e, "mode", stream_mode_name(h->mode), stream_mode_name(w->mode));
    if (h->epochs < w->epochs || h->epochs > w->epochs) {
        char a[32], b[32];
        snprintf(a, sizeof a, "%g", h->epochs);
        snprintf(b, sizeof b, "%g", w->epochs);
        return differs(f, e, "epochs", a, b);
    }
    return 0;
}

/* ---- survey of a file ---- */
static int check_ids(const struct model_vocab *v, const struct stream_sample *s, struct err *e)
{
    for (uint32_t i = 0; i < s->n; i++)
        if (model_check_id(v, s->ids[i], e))
            return err_prefix(e, "file %u row %llu", s->source.file,
                              (unsigned long long)s->source.row);
    return 0;
}

static int survey(struct stream_reader *r, const struct model_vocab *v, uint64_t steps,
                  struct err *e)
{
    const bool foreign = stream_header(r)->vocab_size > (uint64_t)v->size;
    const struct stream_record *row;
    bool learns = false;
    int rc = 0;
    while ((!learns || foreign) && (rc = stream_next(r, &row, e)) == 1 && row->step < steps)
        for (uint32_t i = 0; i < row->nsamples; i++) {
            learns |= stream_labels(&row->samples[i]).n > 0;
            if (foreign && check_ids(v, &row->samples[i], e))
                return err_prefix(e, "%s", stream_name(r));
        }
    if (rc < 0 || learns) return rc < 0 ? -1 : 0;
    return nothing_to_learn(stream_name(r), steps, stream_header(r)->steps, e);
}

int feed_survey(const char *path, const struct model_vocab *v, uint64_t steps, struct err *e)
{
    struct stream_reader *r = stream_open(path, STREAM_PACKED, e);
    const int rc = r ? survey(r, v, steps, e) : -1;
    stream_close(r);
    return rc;
}
