/* SPDX-License-Identifier: Apache-2.0 */
/* All memory, before any is used: the plan, whether it fits, and what would. */
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/log.h"
#include "model/freeze.h"
#include "run.h"

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

/* What the configuration asks of the trainer. */
static int options(const struct run *r, struct trainer_options *out, struct err *e)
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
        .shard_optimizer = c->run.shard_optimizer,
        .guard = {.skip_nonfinite = c->sft.skip_nonfinite,
                  .spike_factor = c->sft.spike_factor,
                  .window = (uint32_t)c->sft.spike_window,
                  .spike_action = (enum guard_action)c->sft.spike_action},
        .staging = (size_t)c->sft.staging << 20,
        .saved_dtype = r->hf.dtype == HF_BF16 ? HF_BF16 : HF_F32};
    if (compute_type(r, &o.compute, e)) return -1;
    const int64_t reach = rope_reach(&r->model, false);
    if (c->sequence_length > reach)
        return err_set(e, ERR_CONFIG, "sequence_length %lld: the model has %lld positions",
                       (long long)c->sequence_length, (long long)reach);
    if (__builtin_mul_overflow(each, c->sequence_length, &o.tokens))
        return err_set(e, ERR_CONFIG,
                       "per_device_train_batch_size times sequence_length is too "
                       "large");
    if (c->sft_train.model_args.freeze_module_prefix)
        o.params = (struct params_options){
            .frozen = freeze_match, .arg = (void *)c->sft_train.model_args.freeze_module_prefix};
    *out = o;
    return 0;
}

int run_plan(struct run *r, struct err *e)
{
    struct trainer_options o;
    if (options(r, &o, e) || trainer_init(&r->trainer, &r->model, &o, &r->mesh, r->device, e))
        return -1;
    const char *frozen = r->config->sft_train.model_args.freeze_module_prefix;
    return frozen ? freeze_check(frozen, &r->trainer.net.params, e) : 0;
}

/* ---- whether it fits ---- */

/* Beside the plan: code, libraries and their buffers, the stream's window. docs/benchmarks.md has
 * what was measured. */
enum { PROCESS = 48 << 20 };

/* Bytes that a run with these options would take; UINT64_MAX when it cannot be planned. */
static uint64_t need(struct run *r, const struct trainer_options *o)
{
    struct trainer t;
    uint64_t bytes = UINT64_MAX;
    if (trainer_init(&t, &r->model, o, &r->mesh, r->device, NULL) == 0)
        bytes = plan_size(&t.net.plan) + PROCESS;
    trainer_close(&t);
    return bytes;
}

/* The settings that cost least and make the run fit, as one would type them: a sharded optimizer,
 * or more recomputation first, then smaller micro-batches, with as many more of them. "" when that
 * is not enough. */
static void find_settings(struct run *r, uint64_t have, char *out, size_t n)
{
    static const char *const words[] = {"none", "selective", "full"};
    static const enum net_keep keep[] = {NET_KEEP_ALL, NET_KEEP_SELECTIVE, NET_KEEP_INPUTS};
    const struct config *c = r->config;
    const int64_t rows = c->sft_train.training_args.per_device_train_batch_size;
    struct trainer_options o = r->trainer.o;
    out[0] = 0;
    if (r->mesh.size[MESH_DP] > 1 && !o.shard_optimizer) {
        o.shard_optimizer = true;
        if (need(r, &o) <= have) {
            snprintf(out, n,
                     " sft_train.strategy_args.strategy_config.use_distributed_optimizer=true");
            return;
        }
        o.shard_optimizer = false;
    }
    for (int64_t each = rows; each >= 1; each = each % 2 ? 0 : each / 2) {
        o.tokens = each * c->sequence_length;
        for (size_t k = (size_t)c->run.recompute; k < 3; k++) {
            o.keep = keep[k];
            if (need(r, &o) > have) continue;
            int at =
                k > (size_t)c->run.recompute ? snprintf(out, n, " sft.recompute=%s", words[k]) : 0;
            if (each < rows)
                snprintf(out + at, n - (size_t)at,
                         " sft_train.training_args.per_device_train_batch_size=%lld"
                         " sft_train.training_args.gradient_accumulation_steps=%lld",
                         (long long)each,
                         (long long)(c->sft_train.training_args.gradient_accumulation_steps * rows /
                                     each));
            return;
        }
    }
}

static double gib(uint64_t bytes) { return (double)bytes / (1 << 30); }

int run_fits(struct run *r, struct err *e)
{
    char settings[256];
    const uint64_t want = plan_size(&r->trainer.net.plan) + PROCESS;
    const uint64_t have = limits_memory() / (uint64_t)r->world.place.node_size;
    if (want <= have) return 0;
    find_settings(r, have, settings, sizeof settings);
    if (settings[0])
        return err_set(e, ERR_MEMORY,
                       "the run needs %.2f GiB, and %.2f GiB are available; it fits with:%s",
                       gib(want), gib(have), settings);
    return err_set(
        e, ERR_MEMORY,
        "the run needs %.2f GiB, and %.2f GiB are available; neither sft.recompute=full nor "
        "micro-batches of one row are enough: take a shorter sequence_length or a smaller "
        "model",
        gib(want), gib(have));
}

int run_print_plan(struct run *r, struct err *e)
{
    struct buf b = {0};
    struct net *n = &r->trainer.net;
    if (!r->plan || r->silent) return 0;
    if (r->json) {
        plan_json(&n->plan, &b);
    } else {
        buf_printf(&b, "%s, %.1f M parameters, %s; micro-batches of up to %lld tokens\n",
                   r->model.family, (double)n->params.elements * 1e-6, dtype_name(n->o.compute),
                   (long long)n->o.tokens);
        if (r->mesh.size[MESH_DP] > 1)
            buf_printf(&b, "each of %d ranks, with %s of the optimizer's state:\n",
                       r->mesh.size[MESH_DP],
                       r->trainer.optimizer.zero.sharded ? "its part" : "all");
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
