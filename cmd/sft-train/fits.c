/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a run fits into the memory that there is, and which settings would make it fit. */
#include "base/limits.h"
#include "run.h"

/* Bytes that a run with these options would take; UINT64_MAX when it cannot be planned. */
static uint64_t need(struct run *r, const struct trainer_options *o)
{
    struct trainer t;
    uint64_t bytes = UINT64_MAX;
    if (trainer_init(&t, &r->model, o, &r->mesh, r->device, NULL) == 0)
        bytes = plan_size(&t.memory.plan) + RUN_PROCESS;
    trainer_close(&t);
    return bytes;
}

/* What a run could be made smaller by, beside its configuration. */
struct smaller {
    bool sharded;  /* each rank has a part of the optimizer's state */
    int recompute; /* of CONFIG_RECOMPUTE_WORDS */
    int64_t rows;  /* of a micro-batch */
    int buffers;   /* beside training: as configured, smaller, or least */
    int kept;      /* 1: moments in bf16; 2: and no master */
};
enum { BUFFERS = 3 };

/* MiB of checkpoint staging. */
static int64_t staging(const struct run *r, int buffers)
{
    static const int64_t most[BUFFERS] = {INT64_MAX, 64, 8};
    const int64_t now = r->config->sft.staging;
    return now < most[buffers] ? now : most[buffers];
}

static bool narrower(struct run *r, struct smaller s, uint64_t have)
{
    static const enum recompute recompute[] = {RECOMPUTE_NONE, RECOMPUTE_SELECTIVE, RECOMPUTE_FULL};
    struct trainer_options o = r->trainer.o;
    o.shard_optimizer = s.sharded;
    o.recompute = recompute[s.recompute];
    o.tokens = s.rows * r->config->sequence_length;
    o.staging = (size_t)staging(r, s.buffers) << 20;
    if (s.buffers) run_stream_memory(r, 0, &o);
    if (s.kept >= 1) o.optimizer.moments = DT_BF16;
    if (s.kept >= 2) o.optimizer.no_master = true;
    return need(r, &o) <= have;
}

/* As one would type them. */
static void write_settings(const struct run *r, struct smaller s, struct buf *b)
{
    static const char *const words[] = {"none", "selective", "full"};
    const struct config *c = r->config;
    const int64_t rows = c->sft_train.training_args.per_device_train_batch_size;
    if (s.sharded && !r->trainer.o.shard_optimizer)
        buf_puts(b, " sft_train.strategy_args.strategy_config.use_distributed_optimizer=true");
    if (s.recompute > (int)c->run.recompute) buf_printf(b, " sft.recompute=%s", words[s.recompute]);
    if (s.rows < rows)
        buf_printf(
            b,
            " sft_train.training_args.per_device_train_batch_size=%lld"
            " sft_train.training_args.gradient_accumulation_steps=%lld",
            (long long)s.rows,
            (long long)(c->sft_train.training_args.gradient_accumulation_steps * rows / s.rows));
    if (staging(r, s.buffers) < c->sft.staging)
        buf_printf(b, " sft.staging=%lld", (long long)staging(r, s.buffers));
    if (s.buffers && c->sft_train.training_args.dataloader_num_workers)
        buf_puts(b, " sft_train.training_args.dataloader_num_workers=0");
    if (s.kept >= 1 && r->trainer.o.optimizer.moments != DT_BF16)
        buf_puts(b, " sft.moments_dtype=bf16");
    if (s.kept >= 2 && !r->trainer.o.optimizer.no_master) buf_puts(b, " sft.master_dtype=bf16");
}

/* The next smaller micro-batch of which `rows` is a multiple; 0 after 1. */
static int64_t fewer(int64_t rows, int64_t now)
{
    do now--;
    while (now > 0 && rows % now);
    return now;
}

/* The settings that cost least and make the run fit: a sharded optimizer, more recomputation, then
 * smaller micro-batches, with as many more of them, then smaller buffers for saving and reading,
 * and only then what changes the result: less exact state of the optimizer. Nothing when all of
 * that is not enough. */
static void find_settings(struct run *r, uint64_t have, struct buf *b)
{
    const struct config *c = r->config;
    const int64_t rows = c->sft_train.training_args.per_device_train_batch_size;
    const int most = r->trainer.o.compute == DT_BF16 ? 2 : 1;
    const bool sharded = r->mesh.size[MESH_DP] > 1 || r->trainer.o.shard_optimizer;
    if (!narrower(r, (struct smaller){sharded, 2, 1, BUFFERS - 1, most}, have)) return;
    for (struct smaller s = {.sharded = sharded}; s.kept <= most; s.kept++)
        for (s.buffers = 0; s.buffers < BUFFERS; s.buffers++)
            for (s.rows = rows; s.rows >= 1; s.rows = fewer(rows, s.rows))
                for (s.recompute = (int)c->run.recompute; s.recompute < 3; s.recompute++)
                    if (narrower(r, s, have)) {
                        write_settings(r, s, b);
                        return;
                    }
}

static double gib(uint64_t bytes) { return (double)bytes / (1 << 30); }

int run_fits(struct run *r, struct err *e)
{
    struct buf b = {0};
    const uint64_t want = plan_size(&r->trainer.memory.plan) + RUN_PROCESS;
    const uint64_t have = limits_memory() / (uint64_t)r->world.place.node_size;
    if (want <= have) return 0;
    find_settings(r, have, &b);
    int rc = buf_check(&b, e);
    if (rc == 0 && b.len)
        rc = err_set(e, ERR_MEMORY,
                     "the run needs %.2f GiB, and %.2f GiB are available; it fits with:%s",
                     gib(want), gib(have), b.data);
    else if (rc == 0)
        rc = err_set(
            e, ERR_MEMORY,
            "the run needs %.2f GiB, and %.2f GiB are available; neither sft.recompute=full nor "
            "micro-batches of one row nor the optimizer in bf16 nor small buffers are enough: take "
            "a shorter sequence_length%s or a smaller model",
            gib(want), gib(have),
            adapter_on(r->adapter) ? "" : ", an adapter (model_args.lora_target=all-linear)");
    buf_free(&b);
    return rc;
}
