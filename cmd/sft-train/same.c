/* SPDX-License-Identifier: Apache-2.0 */
/* Compares the base, tokenizer and batch of a run with those of what it goes on from. */
#include <string.h>

#include "base/log.h"
#include "run.h"

int run_same_base(const struct run *r, struct err *e)
{
    const char *from = r->folder.resume;
    const int differs = adapter_other_base(r->adapter, from, r->base, e);
    if (differs <= 0) return differs;
    if (from)
        return err_set(e, ERR_CONFIG,
                       "%s: its adapter was trained on other weights than those of %s; resume with "
                       "the pretrain that it was made with",
                       from, r->config->run.model);
    log_line(LOG_WARN, "%s: was trained on other weights than those of %s",
             r->config->sft_train.model_args.adapter_name_or_path, r->config->run.model);
    return 0;
}

static int other_tokenizer(const struct run *r, const struct json *was, struct err *e)
{
    return err_set(e, ERR_CONFIG,
                   "%s: trained with another tokenizer (%.*s) than that of %s and %s (%s); resume "
                   "with the model and the stream that it was made with",
                   r->folder.resume, STR_FMT(was->s), r->config->run.model, feed_name(r->feed),
                   r->tokenizer);
}

int run_same_stream(const struct run *r, const struct restore_cursor *c, struct err *e)
{
    int64_t batch;
    const uint64_t now = feed_header(r->feed)->global_batch;
    if (c->tokenizer && c->tokenizer->kind == JSON_STRING && !str_is(c->tokenizer->s, r->tokenizer))
        return other_tokenizer(r, c->tokenizer, e);
    if (json_int(c->global_batch, &batch) || batch == (int64_t)now) return 0;
    return err_set(e, ERR_CONFIG,
                   "%s: trained with a global batch of %lld, and %s has one of %llu; resume with "
                   "the batch that it was made with",
                   r->folder.resume, (long long)batch, feed_name(r->feed), (unsigned long long)now);
}

void run_tell_done(const struct run *r)
{
    const unsigned long long done = r->first_step, steps = r->steps;
    if (done == steps && done > 0)
        log_line(LOG_INFO, "all %llu steps are done: nothing is left to train", done);
    if (done > steps)
        log_line(LOG_WARN,
                 "%s: has %llu steps, and the run has %llu: nothing is left to train; a larger "
                 "max_steps or num_train_epochs makes more",
                 r->folder.resume, done, steps);
}
