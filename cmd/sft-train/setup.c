/* SPDX-License-Identifier: Apache-2.0 */
/* What happens before the first step: configuration, model, device, memory plan, streams. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "hf/folder.h"
#include "run.h"
#include "text/tokenizer.h"

static void count_no_effect(void *arg, const char *key, unsigned line, const char *why)
{
    (void)arg;
    log_line(LOG_DEBUG, "%s (line %u) has no effect: %s", key, line, why);
}

int run_config(struct run *r, struct err *e)
{
    if (config_load(r->config_path, r->overrides, r->noverrides, &r->config, e) ||
        config_check_trainable(r->config, 1, e))
        return -1;
    size_t n = config_no_effect(r->config, count_no_effect, NULL);
    if (n)
        log_line(LOG_INFO, "%zu keys have no effect here; sft-config %s lists them", n,
                 r->config_path);
    if (!r->resume) r->resume = r->config->resume_from_checkpoint;
    const char *track = r->config->track_with;
    if (track && *track && strcmp(track, "tensorboard") != 0 && strcmp(track, "stdout") != 0)
        log_line(LOG_WARN,
                 "track_with: %s is not built in; metrics.jsonl is written, and "
                 "track_with=tensorboard gives event files",
                 track);
    return 0;
}

int run_model(struct run *r, struct err *e)
{
    char *found = NULL;
    int rc = config_find_model(r->config->run.model, &found, e);
    if (rc == 0) rc = hf_folder_resolve(found, &r->model_dir, e);
    if (rc == 0) rc = hf_config_read(r->model_dir, &r->hf, e);
    if (rc == 0) rc = model_from_hf(&r->hf, &r->model, e) ? err_prefix(e, "%s", r->model_dir) : 0;
    free(found);
    return rc;
}

int run_device(struct run *r, struct err *e)
{
    static const char *const words[] = {"auto", "cpu", "cuda"};
    const char *name = r->device_name ? r->device_name : words[r->config->sft.device];
    int64_t threads = r->common.threads > 0 ? r->common.threads : r->config->sft.threads;
    if (strcmp(name, "auto") == 0) name = "cpu";
    if (strcmp(name, "cuda") == 0)
        return err_set(e, ERR_DEVICE,
                       "device cuda: this program was not built with CUDA; "
                       "use --device cpu");
    r->device = device_open(name, opt_threads(threads), e);
    return r->device ? mesh_self(&r->mesh, r->device, e) : -1;
}

/* The type of computation: what was asked for, if the device is good at it. */
static int compute_type(const struct run *r, enum dtype *t, struct err *e)
{
    *t = r->config->run.dtype == CONFIG_BF16 ? DT_BF16 : DT_F32;
    if (r->config->run.dtype == CONFIG_FP16)
        return err_set(e, ERR_CONFIG, "dtype fp16 is not supported; use bf16 or fp32");
    if (*t == DT_BF16 && !device_has_bf16(r->device)) {
        log_line(LOG_INFO, "this CPU has no bf16 matrix instructions: computing in fp32");
        *t = DT_F32;
    }
    if (strcmp(r->device->ops->name, "ref64") == 0) *t = DT_F64;
    return 0;
}

int run_plan(struct run *r, struct err *e)
{
    static const enum net_keep keep[] = {NET_KEEP_ALL, NET_KEEP_SELECTIVE, NET_KEEP_INPUTS};
    const struct config *c = r->config;
    const int64_t each = c->sft_train.training_args.per_device_train_batch_size;
    struct trainer_options o = {
        .keep = keep[c->run.recompute],
        .length = c->sequence_length,
        .optimizer = {.beta1 = c->sft_train.training_args.adam_beta1,
                      .beta2 = c->sft_train.training_args.adam_beta2,
                      .epsilon = c->sft_train.training_args.adam_epsilon,
                      .weight_decay = c->sft_train.training_args.weight_decay,
                      .max_norm = c->max_grad_norm},
        .skip_nonfinite = c->sft.skip_nonfinite};
    if (compute_type(r, &o.compute, e)) return -1;
    if (c->sequence_length > r->model.positions)
        return err_set(e, ERR_CONFIG, "sequence_length %lld: the model has %lld positions",
                       (long long)c->sequence_length, (long long)r->model.positions);
    if (__builtin_mul_overflow(each, c->sequence_length, &o.tokens))
        return err_set(e, ERR_CONFIG,
                       "per_device_train_batch_size times sequence_length is too "
                       "large");
    return trainer_init(&r->trainer, &r->model, &o, &r->mesh, r->device, e);
}

int run_print_plan(struct run *r, struct err *e)
{
    struct buf b = {0};
    struct net *n = &r->trainer.net;
    if (r->json) {
        plan_json(&n->plan, &b);
    } else {
        buf_printf(&b, "%s, %.1f M parameters, %s; micro-batches of up to %lld tokens\n",
                   r->model.family, (double)n->params.elements * 1e-6, dtype_name(n->o.compute),
                   (long long)n->o.tokens);
        plan_print(&n->plan, &b);
    }
    struct io_out *out = buf_check(&b, e) ? NULL : io_create("-", e);
    int rc = out ? io_write(out, b.data, b.len, e) : -1;
    if (rc == 0)
        rc = io_commit(out, e);
    else
        io_abort(out);
    buf_free(&b);
    return rc;
}

static int tokenizer_of(struct run *r, struct err *e)
{
    struct tokenizer *t = tokenizer_load(r->model_dir, e);
    if (!t) return -1;
    tokenizer_identity(t, r->tokenizer);
    tokenizer_free(t);
    return 0;
}

int run_stream(struct run *r, struct err *e)
{
    static const enum pack_mode modes[] = {PACK_BATCH, PACK_DENSE, PACK_NONE};
    const struct config *c = r->config;
    const struct feed_wanted w = {.tokenizer = r->tokenizer,
                                  .length = (uint64_t)c->sequence_length,
                                  .global_batch = (uint64_t)c->run.global_batch_size,
                                  .epochs = c->sft_train.training_args.num_train_epochs,
                                  .mode = modes[c->run.pack_mode],
                                  .plan = true};
    if (tokenizer_of(r, e)) return -1;
    r->feed = feed_open(r->stream, false, r->model.vocab, e);
    if (!r->feed || feed_check(r->feed, &w, e)) return -1;
    if (feed_header(r->feed)->steps == 0)
        return err_set(e, ERR_DATA, "%s: no step to train", r->stream);
    return 0;
}
