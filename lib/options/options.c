/* SPDX-License-Identifier: Apache-2.0 */
/* The keys of the configuration that the trainer, the loop, the schedule and the streams follow. */
#include "options/options.h"

#include <string.h>

#include "options/words.h"

static int optimizer_from(const struct config *c, struct optimizer_options *o, struct err *e)
{
    int kind;
    if (option_find(option_optimizers, "optim", c->run.optimizer.kind, &kind, e)) return -1;
    *o = (struct optimizer_options){.kind = (enum optimizer_kind)kind,
                                    .momentum = c->run.optimizer.momentum,
                                    .dampening = c->run.optimizer.dampening,
                                    .nesterov = c->run.optimizer.nesterov,
                                    .beta1 = c->sft_train.training_args.adam_beta1,
                                    .beta2 = c->sft_train.training_args.adam_beta2,
                                    .epsilon = c->sft_train.training_args.adam_epsilon,
                                    .weight_decay = c->sft_train.training_args.weight_decay,
                                    .max_norm = c->max_grad_norm,
                                    .no_master = c->sft.master_dtype == DT_BF16,
                                    .moments = c->sft.moments_dtype,
                                    .seed = (uint64_t)c->seed};
    return 0;
}

static int guard_from(const struct config *c, struct guard_options *o, struct err *e)
{
    int action;
    if (option_find(option_spike_actions, "sft.spike_action", c->sft.spike_action, &action, e))
        return -1;
    *o = (struct guard_options){.skip_nonfinite = c->sft.skip_nonfinite,
                                .spike_factor = c->sft.spike_factor,
                                .window = (uint32_t)c->sft.spike_window,
                                .spike_action = (enum guard_action)action};
    return 0;
}

static int sched_from(const struct config *c, struct sched_options *o, struct err *e)
{
    const struct config_schedule_kwargs *k = &c->sft_train.training_args.lr_scheduler_kwargs;
    int type, warmup, decay;
    if (option_find(option_schedules, "lr_scheduler_type",
                    c->sft_train.training_args.lr_scheduler_type, &type, e) ||
        option_find(option_curves, "warmup_type", k->warmup_type, &warmup, e) ||
        option_find(option_curves, "decay_type", k->decay_type, &decay, e))
        return -1;
    *o = (struct sched_options){.type = (enum sched_type)type,
                                .learning_rate = c->sft_train.training_args.learning_rate,
                                .warmup_steps = c->sft_train.training_args.warmup_steps,
                                .warmup_ratio = c->sft_train.training_args.warmup_ratio,
                                .num_cycles = k->num_cycles,
                                .power = k->power,
                                .lr_end = k->lr_end,
                                .min_lr = k->min_lr,
                                .min_lr_rate = k->min_lr_rate,
                                .warmup_lr_rate = k->warmup_lr_rate,
                                .min_lr_ratio = k->min_lr_ratio,
                                .timescale = k->timescale,
                                .num_decay_steps = k->num_decay_steps,
                                .num_stable_steps = k->num_stable_steps,
                                .warmup_type = (enum sched_curve)warmup,
                                .decay_type = (enum sched_curve)decay};
    return 0;
}

static void streams_from(const struct config *c, struct train_options *o)
{
    o->stream = (struct feed_wanted){.length = (uint64_t)c->sequence_length,
                                     .global_batch = (uint64_t)c->run.global_batch_size,
                                     .epochs = c->sft_train.training_args.num_train_epochs,
                                     .mode = o->stream.mode,
                                     .plan = true};
    o->validation = (struct feed_wanted){.length = (uint64_t)c->sequence_length};
}

/* A step of validation that the room does not hold comes in parts. */
static struct feed_rooms rooms_from(const struct config *c, const struct feed_wanted *w,
                                    bool validates)
{
    struct feed_rooms r = {
        .training = feed_room(w->length, w->global_batch, w->mode),
        .ahead = (unsigned)c->sft_train.training_args.dataloader_num_workers,
        .validation = feed_room(w->length, (uint64_t)c->sft_train.infer_batch_size, PACK_DENSE),
        .validates = validates};
    r.validation.parts = true;
    return r;
}

static struct adapter_options adapter_from(const struct config *c)
{
    return (struct adapter_options){.path = c->sft_train.model_args.adapter_name_or_path,
                                    .target = c->sft_train.model_args.lora_target,
                                    .whole = c->sft_train.model_args.additional_target,
                                    .rank = c->sft_train.model_args.lora_rank,
                                    .alpha = c->sft_train.model_args.lora_alpha,
                                    .dropout = c->sft_train.model_args.lora_dropout,
                                    .rslora = c->sft.rslora,
                                    .seed = (uint64_t)c->seed};
}

/* Stages 2 and 3 do so in any case. */
static bool is_ranks_first(const struct config *c)
{
    return c->sft.gradient_sum && strcmp(c->sft.gradient_sum, "micro_batch") == 0;
}

static int trainer_from(const struct config *c, struct trainer_options *o, struct err *e)
{
    const int64_t each = c->sft_train.training_args.per_device_train_batch_size;
    int recompute;
    *o = (struct trainer_options){.compute = c->run.dtype,
                                  .gradient = c->sft.gradient_dtype,
                                  .logits = c->sft.logits_dtype,
                                  .length = c->sequence_length,
                                  .zero_stage = (int)c->run.zero_stage,
                                  .ranks_first = is_ranks_first(c),
                                  .shard_rows = c->run.shard_rows,
                                  .staging = (size_t)c->sft.staging << 20};
    if (c->run.dtype == DT_F16)
        return err_set(e, ERR_CONFIG, "dtype fp16 is not supported; use bf16 or fp32");
    if (__builtin_mul_overflow(each, c->sequence_length, &o->tokens))
        return err_set(e, ERR_CONFIG,
                       "per_device_train_batch_size times sequence_length is too large");
    if (option_find(option_recomputes, "sft.recompute", c->run.recompute, &recompute, e) ||
        optimizer_from(c, &o->optimizer, e) || guard_from(c, &o->guard, e))
        return -1;
    o->recompute = (enum recompute)recompute;
    return 0;
}

static struct best_options best_from(const struct config *c)
{
    return (struct best_options){.on = c->run.keeps_best,
                                 .patience =
                                     (uint64_t)c->sft_train.training_args.early_stopping_patience,
                                 .threshold = c->sft_train.training_args.early_stopping_threshold};
}

int train_options_from(const struct config *c, bool validates, struct train_options *o,
                       struct err *e)
{
    *o = (struct train_options){.loop = {.max_steps = (uint64_t)c->run.max_steps,
                                         .eval_steps = (uint64_t)c->eval_steps,
                                         .save_steps = (uint64_t)c->save_steps,
                                         .logging_steps = (uint64_t)c->logging_steps},
                                .best = best_from(c),
                                .adapter = adapter_from(c)};
    if (stream_mode_find(c->run.pack_mode, &o->stream.mode))
        return err_set(e, ERR_INTERNAL, "sft.pack_mode: nothing acts on the word %s",
                       c->run.pack_mode);
    streams_from(c, o);
    if (trainer_from(c, &o->trainer, e) || sched_from(c, &o->sched, e)) return -1;
    o->trainer.rooms = rooms_from(c, &o->stream, validates);
    return 0;
}
