/* SPDX-License-Identifier: Apache-2.0 */
/* Compares the plan with the memory that there is, and names settings that make a run fit. */
#include <string.h>

#include "base/limits.h"
#include "ops/cuda_rules.h"
#include "run.h"
#include "train/fit.h"

/* The differences of `to` from the run's options, as one would type them. */
static void write_settings(const struct run *r, const struct trainer_options *to, struct buf *b)
{
    const struct config *c = r->config;
    const struct trainer_options *from = &r->trainer.o;
    const int64_t rows = c->sft_train.training_args.per_device_train_batch_size;
    const int64_t fewer = to->tokens / to->length;
    if (to->zero_stage > from->zero_stage && to->zero_stage > 1)
        buf_printf(b, " sft.zero_stage=%d%s", to->zero_stage,
                   c->sft.gradient_sum && !from->ranks_first ? " sft.gradient_sum=micro_batch"
                                                             : "");
    else if (to->zero_stage > from->zero_stage)
        buf_printf(b, " sft_train.strategy_args.strategy_config.%s",
                   strcmp(c->sft_train.strategy_args.strategy_name, "deepspeed_train") == 0
                       ? "zero_optimization.stage=1"
                       : "use_distributed_optimizer=true");
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
static uint64_t less(uint64_t a, uint64_t b) { return a > b ? a - b : 0; }

/* The memory that a plan may take. The context of a GPU grows while kernels are loaded, after the
 * plan is allocated, so its whole size counts from the start. */
static struct trainer_room room_of(const struct run *r)
{
    const struct device_card *card = r->device->card;
    const uint64_t host = less(limits_memory() / (uint64_t)r->world.place.node_size, RUN_PROCESS);
    if (!card) return (struct trainer_room){.device = host};
    const uint64_t all = less(card->memory, CUDA_CONTEXT);
    return (struct trainer_room){less(card->free < all ? card->free : all, run_peers(r)),
                                 card->planned ? UINT64_MAX : host};
}

/* Writes what the run needs and what there is, of the memory that is short. */
static void write_need(const struct run *r, const struct trainer_room *room, struct buf *b)
{
    const struct plan *p = &r->trainer.memory.plan;
    const struct device_card *card = r->device->card;
    if (!card)
        buf_printf(b, "the run needs %.2f GiB, and %.2f GiB are available",
                   gib(plan_size(p) + RUN_PROCESS), gib(room->device + RUN_PROCESS));
    else if (p->total > room->device)
        buf_printf(b, "the run needs %.2f GiB of the GPU, and %.2f of %.2f GiB are available (%s)",
                   gib(p->total), gib(room->device), gib(card->memory), card->name);
    else
        buf_printf(b, "the run needs %.2f GiB of the host's memory, and %.2f GiB are available",
                   gib(p->host), gib(room->host));
}

static void write_remedy(struct run *r, const struct trainer_room *room, struct buf *b)
{
    struct trainer_options fit;
    const int64_t rows = r->config->sft_train.training_args.per_device_train_batch_size;
    if (room->device &&
        trainer_fit(&r->trainer.o, rows, &r->model, &r->mesh, r->device, room, &fit)) {
        buf_puts(b, "; it fits with:");
        write_settings(r, &fit, b);
        return;
    }
    buf_printf(
        b,
        "; neither sft.recompute=full nor micro-batches of one row nor the optimizer in bf16 "
        "nor small buffers are enough: take a shorter sequence_length%s or a smaller model",
        adapter_on(r->adapter) ? "" : ", an adapter (sft_train.model_args.lora_target=all-linear)");
}

int run_fits(struct run *r, struct err *e)
{
    struct buf b = {0};
    const struct trainer_room room = room_of(r);
    if (trainer_has_room(&r->trainer.memory.plan, r->device, &room)) return 0;
    write_need(r, &room, &b);
    write_remedy(r, &room, &b);
    if (buf_check(&b, e) == 0) err_set(e, ERR_MEMORY, "%s", b.data);
    buf_free(&b);
    return -1;
}
