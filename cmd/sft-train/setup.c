/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of a run before its memory is filled: configuration, model, streams. */
#include <math.h>
#include <string.h>

#include "base/io.h"
#include "base/log.h"
#include "hf/folder.h"
#include "run.h"
#include "text/tokenizer.h"

static void count_no_effect(void *arg, const struct config_idle *k)
{
    (void)arg;
    log_line(LOG_DEBUG, "%s (line %u) has no effect: %s", k->key, k->line, k->why);
}

/* --resume overrides the key resume_from_checkpoint, and a leading ~ is expanded in both. */
static int choose_resume(struct run *r, struct err *e)
{
    if (!r->resume) return r->resume = r->config->resume_from_checkpoint, 0;
    if (io_expand_home(r->resume, &r->resume_path, e)) return err_prefix(e, "--resume");
    r->resume = r->resume_path.data ? r->resume_path.data : "";
    return 0;
}

int run_config(struct run *r, struct err *e)
{
    if (config_load(r->config_path, r->overrides, r->noverrides, &r->config, e) ||
        run_check_start(r, e) || choose_resume(r, e) || run_check_best(r, e))
        return -1;
    size_t n = config_no_effect(r->config, count_no_effect, NULL);
    if (n)
        log_line(LOG_INFO, "%zu keys have no effect here; sft-config %s lists them", n,
                 r->config_path);
    if (!r->comm_timeout) r->world.timeout = (double)r->config->sft.collective_timeout;
    const char *track = r->config->track_with;
    if (track && *track && strcmp(track, "tensorboard") != 0 && strcmp(track, "stdout") != 0)
        log_line(LOG_WARN,
                 "track_with: %s is not built in; docs/bridges.md tells how metrics.jsonl gets to "
                 "W&B, MLflow or Prometheus, and track_with=tensorboard gives event files",
                 track);
    return 0;
}

/* Sets the factor of the loss that balances experts, where the configuration gives one. */
static void give_router_loss(struct run *r)
{
    const double factor = r->config->sft_train.model_args.moe_aux_loss_coef;
    if (isnan(factor)) return;
    if (!r->model.experts) {
        log_line(LOG_WARN, "sft_train.model_args.moe_aux_loss_coef: the model has no experts");
        return;
    }
    r->model.router_loss = factor;
    r->model.router_loss_given = true;
}

static int read_config(struct run *r, struct err *e)
{
    if (hf_config_read(r->model_dir, &r->hf, e) == 0) return 0;
    if (e->code != ERR_NOINPUT || io_has(r->model_dir, "adapter_config.json", NULL) <= 0) return -1;
    return err_set(e, ERR_NOINPUT,
                   "%s: an adapter; give its base model as pretrain, and this as "
                   "sft_train.model_args.adapter_name_or_path",
                   r->config->run.model);
}

int run_model(struct run *r, struct err *e)
{
    int rc = hf_folder_resolve(r->config->run.model, &r->model_dir, e);
    if (rc == 0) rc = read_config(r, e);
    if (rc == 0) rc = model_from_hf(&r->hf, &r->model, e) ? err_prefix(e, "%s", r->model_dir) : 0;
    if (rc == 0) give_router_loss(r);
    return rc;
}

/* Appends the text of a token, for a message. The tokenizer is loaded for it alone. */
static void put_token(void *arg, uint32_t id, struct buf *b)
{
    const struct run *r = arg;
    struct tokenizer *t = tokenizer_load(r->model_dir, NULL);
    if (t) tokenizer_decode(t, &id, 1, false, b, NULL);
    tokenizer_free(t);
}

struct model_vocab run_vocab(struct run *r)
{
    return (struct model_vocab){.size = r->model.vocab, .text = put_token, .arg = r};
}

/* Reads through the file of a stream on one rank; its error becomes that of all. */
static int survey(const struct run *r, const char *path, const struct model_vocab *v,
                  uint64_t steps, struct err *e)
{
    struct stat st;
    if (r->silent || strcmp(path, "-") == 0 || io_stat(path, &st, NULL) || !S_ISREG(st.st_mode))
        return 0; /* a pipe's rows are checked when they come */
    return feed_survey(path, v, steps, e);
}

/* Checks the stream for validation before training begins. */
static int check_validation(struct run *r, struct err *e)
{
    struct stat st;
    const struct model_vocab v = run_vocab(r);
    if (io_stat(r->validation, &st, e)) return err_prefix(e, "validation");
    if (!S_ISREG(st.st_mode))
        return err_set(
            e, ERR_USAGE,
            "validation: %s: not a file; it is read several times, so a pipe will not do",
            r->validation);
    struct feed *f = feed_open(r->validation, false, &v, e);
    int rc = f ? feed_check(f, &r->options.validation, e) : -1;
    if (rc == 0 && feed_header(f)->steps == 0)
        rc = err_set(e, ERR_DATA, "%s: no row to validate on", r->validation);
    if (rc == 0) rc = survey(r, r->validation, &v, feed_header(f)->steps, e);
    feed_close(f);
    return rc ? err_prefix(e, "validation") : 0;
}

int run_stream(struct run *r, struct err *e)
{
    const struct model_vocab v = run_vocab(r);
    progress_start(&r->progress, "train", 0);
    progress_doing(&r->progress, "checking the streams", 0, 0);
    if (run_agreed(r, run_tokenizer(r, e), e)) return -1;
    r->options.stream.tokenizer = r->options.validation.tokenizer = r->tokenizer;
    r->feed = feed_open_broadcast(r->stream, false, &v, &r->mesh, e);
    if (!r->feed || feed_check(r->feed, &r->options.stream, e)) return -1;
    if (feed_header(r->feed)->steps == 0)
        return err_set(e, ERR_DATA, "%s: no step to train", r->stream);
    r->steps = loop_steps(&r->options.loop, feed_header(r->feed));
    if (survey(r, r->stream, &v, r->steps, e)) return -1;
    return r->validation ? check_validation(r, e) : 0;
}
