/* SPDX-License-Identifier: Apache-2.0 */
/* Compares the plan with the memory that there is, and names settings that make a run fit. */
#include "base/limits.h"
#include "run.h"
#include "train/fit.h"

/* The differences of `to` from the run's options, as one would type them. */
static void write_settings(const struct run *r, const struct trainer_options *to, struct buf *b)
{
    const struct config *c = r->config;
    const struct trainer_options *from = &r->trainer.o;
    const int64_t rows = c->sft_train.training_args.per_device_train_batch_size;
    const int64_t fewer = to->tokens / to->length;
    if (to->shard_optimizer && !from->shard_optimizer)
        buf_puts(b, " sft_train.strategy_args.strategy_config.use_distributed_optimizer=true");
    if (to->recompute > from->recompute)
        buf_printf(b, " sft.recompute=%s", option_recompute(to->recompute));
    if (fewer < rows)
        buf_printf(
            b,
            " sft_train.training_args.per_device_train_batch_size=%lld"
            " sft_train.training_args.gradient_accumulation_steps=%lld",
            (long long)fewer,
            (long long)(c->sft_train.training_args.gradient_accumulation_steps * rows / fewer));
    if (to->staging < from->staging) buf_printf(b, " sft.staging=%zu", to->staging >> 20);
    if (to->rooms.ahead < from->rooms.ahead)
        buf_puts(b, " sft_train.training_args.dataloader_num_workers=0");
    if (to->optimizer.moments != from->optimizer.moments) buf_puts(b, " sft.moments_dtype=bf16");
    if (to->optimizer.no_master && !from->optimizer.no_master)
        buf_puts(b, " sft.master_dtype=bf16");
}

static double gib(uint64_t bytes) { return (double)bytes / (1 << 30); }

static int too_small(const struct run *r, uint64_t want, uint64_t have, struct err *e)
{
    return err_set(
        e, ERR_MEMORY,
        "the run needs %.2f GiB, and %.2f GiB are available; neither sft.recompute=full nor "
        "micro-batches of one row nor the optimizer in bf16 nor small buffers are enough: take a "
        "shorter sequence_length%s or a smaller model",
        gib(want), gib(have),
        adapter_on(r->adapter) ? "" : ", an adapter (model_args.lora_target=all-linear)");
}

int run_fits(struct run *r, struct err *e)
{
    struct buf b = {0};
    struct trainer_options fit;
    const int64_t rows = r->config->sft_train.training_args.per_device_train_batch_size;
    const uint64_t want = plan_size(&r->trainer.memory.plan) + RUN_PROCESS;
    const uint64_t have = limits_memory() / (uint64_t)r->world.place.node_size;
    if (want <= have) return 0;
    if (have < RUN_PROCESS ||
        !trainer_fit(&r->trainer.o, rows, &r->model, &r->mesh, r->device, have - RUN_PROCESS, &fit))
        return too_small(r, want, have, e);
    write_settings(r, &fit, &b);
    if (buf_check(&b, e) == 0)
        err_set(e, ERR_MEMORY,
                "the run needs %.2f GiB, and %.2f GiB are available; it fits with:%s", gib(want),
                gib(have), b.data);
    buf_free(&b);
    return -1;
}
