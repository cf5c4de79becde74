/* SPDX-License-Identifier: Apache-2.0 */
/* All memory, before any is used: the plan, and what --plan prints of it. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "hf/folder.h"
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

static struct optimizer_options optimizer_options(const struct config *c)
{
    const struct config_optimizer *o = &c->run.optimizer;
    return (struct optimizer_options){.kind = o->sgd ? OPTIMIZER_SGD : OPTIMIZER_ADAMW,
                                      .momentum = o->momentum,
                                      .dampening = o->dampening,
                                      .nesterov = o->nesterov,
                                      .beta1 = c->sft_train.training_args.adam_beta1,
                                      .beta2 = c->sft_train.training_args.adam_beta2,
                                      .epsilon = c->sft_train.training_args.adam_epsilon,
                                      .weight_decay = c->sft_train.training_args.weight_decay,
                                      .max_norm = c->max_grad_norm,
                                      .no_master = c->sft.master_dtype == CONFIG_BF16,
                                      .moments =
                                          c->sft.moments_dtype == CONFIG_BF16 ? DT_BF16 : DT_F32,
                                      .seed = (uint64_t)c->seed};
}

struct feed_room run_room(const struct run *r, unsigned *ahead)
{
    const struct config *c = r->config;
    *ahead = (unsigned)c->sft_train.training_args.dataloader_num_workers;
    return feed_room((uint64_t)c->sequence_length, (uint64_t)c->run.global_batch_size,
                     (enum pack_mode)c->run.pack_mode);
}

struct feed_room run_validation_room(const struct run *r)
{
    const struct config *c = r->config;
    struct feed_room room = feed_room((uint64_t)c->sequence_length,
                                      (uint64_t)c->sft_train.infer_batch_size, PACK_DENSE);
    room.parts = true;
    return room;
}

void run_stream_memory(const struct run *r, unsigned ahead, struct trainer_options *o)
{
    enum { ROW = 64 }; /* a row's place among the ranks */
    const uint64_t length = (uint64_t)r->config->sequence_length;
    const struct feed_room validation = run_validation_room(r);
    unsigned planned;
    const struct feed_room room = run_room(r, &planned);
    o->steps = feed_room_bytes(&room, ahead);
    o->reading = stream_room(length) + (size_t)(room.rows + validation.rows) * ROW;
    if (!r->validation) return;
    if (mem_add(o->steps, feed_room_bytes(&validation, 0), &o->steps)) o->steps = SIZE_MAX;
    o->reading += stream_room(length);
}

/* What the configuration asks of the trainer. */
static int options(const struct run *r, struct trainer_options *out, struct err *e)
{
    static const enum recompute recompute[] = {RECOMPUTE_NONE, RECOMPUTE_SELECTIVE, RECOMPUTE_FULL};
    const struct config *c = r->config;
    const int64_t each = c->sft_train.training_args.per_device_train_batch_size;
    struct trainer_options o = {.recompute = recompute[c->run.recompute],
                                .length = c->sequence_length,
                                .optimizer = optimizer_options(c),
                                .shard_optimizer = c->run.shard_optimizer,
                                .guard = {.skip_nonfinite = c->sft.skip_nonfinite,
                                          .spike_factor = c->sft.spike_factor,
                                          .window = (uint32_t)c->sft.spike_window,
                                          .spike_action = (enum guard_action)c->sft.spike_action},
                                .staging = (size_t)c->sft.staging << 20,
                                .saved_dtype = r->hf.dtype == DT_BF16 ? DT_BF16 : DT_F32};
    run_stream_memory(r, (unsigned)c->sft_train.training_args.dataloader_num_workers, &o);
    if (compute_type(r, &o.compute, e)) return -1;
    const int64_t reach = rope_reach(&r->model, false);
    if (c->sequence_length > reach)
        return err_set(e, ERR_CONFIG, "sequence_length %lld: the model has %lld positions",
                       (long long)c->sequence_length, (long long)reach);
    if (__builtin_mul_overflow(each, c->sequence_length, &o.tokens))
        return err_set(e, ERR_CONFIG,
                       "per_device_train_batch_size times sequence_length is too "
                       "large");
    if (c->sft_train.model_args.freeze_module_prefix && !adapter_on(r->adapter))
        o.params = (struct params_options){
            .frozen = freeze_match, .arg = (void *)c->sft_train.model_args.freeze_module_prefix};
    adapter_options(r->adapter, c, &o.params);
    *out = o;
    return 0;
}

int run_plan(struct run *r, struct err *e)
{
    struct trainer_options o;
    r->adapter = adapter_new(r->config, &r->model, e);
    if (!r->adapter || options(r, &o, e)) return -1;
    const int rc = trainer_init(&r->trainer, &r->model, &o, &r->mesh, r->device, e);
    const struct params *params = &r->trainer.weights.params;
    if (adapter_on(r->adapter) && params->count && adapter_check(r->adapter, r->config, params, e))
        return -1; /* which says more than that nothing is trained */
    if (rc || adapter_on(r->adapter)) return rc;
    const char *frozen = r->config->sft_train.model_args.freeze_module_prefix;
    return frozen ? freeze_check(frozen, &r->trainer.weights.params, e) : 0;
}

/* ---- what is printed ---- */
static double mib(uint64_t bytes) { return (double)bytes / (1 << 20); }

/* What a checkpoint takes on the disk, but for headers and the manifest. */
struct disk {
    uint64_t model, state, files; /* files: those of the model's folder beside its weights */
};

static void plan_text(const struct run *r, const struct disk *d, const struct plan *others,
                      struct buf *b)
{
    const struct weights *w = &r->trainer.weights;
    const int ranks = r->mesh.size[MESH_DP];
    buf_printf(b, "%s, %.1f M parameters, %s; micro-batches of up to %lld tokens\n",
               r->model.family->type, (double)w->params.elements * 1e-6, dtype_name(w->compute),
               (long long)r->trainer.o.tokens);
    if (ranks > 1)
        buf_printf(b, "rank 0 of %d, with %s of the optimizer's state:\n", ranks,
                   r->trainer.optimizer.zero.sharded ? "its part" : "all");
    plan_print(&r->trainer.memory.plan, b);
    if (others) {
        buf_printf(b, "each of the other ranks, up to rank %d:\n", ranks - 1);
        plan_print(others, b);
    }
    buf_printf(b, "%s itself takes up to %d MiB more\n", others ? "each process" : "the process",
               RUN_PROCESS >> 20);
    buf_printf(b,
               "a checkpoint takes %.1f MiB on the disk: the model %.1f, the state %.1f, other "
               "files %.1f\n",
               mib(d->model + d->state + d->files), mib(d->model), mib(d->state), mib(d->files));
}

static void plan_object(const struct run *r, const struct disk *d, const struct plan *others,
                        struct buf *b)
{
    buf_printf(b,
               "{\"ranks\":%d,\"process\":%d,\"checkpoint\":{\"model\":%llu,\"state\":%llu,"
               "\"files\":%llu},",
               r->mesh.size[MESH_DP], RUN_PROCESS, (unsigned long long)d->model,
               (unsigned long long)d->state, (unsigned long long)d->files);
    plan_json(&r->trainer.memory.plan, b);
    if (others) {
        buf_puts(b, ",\"others\":{");
        plan_json(others, b);
        buf_puts(b, "}");
    }
    buf_puts(b, "}\n");
}

static int disk_of(const struct run *r, struct disk *d, struct err *e)
{
    uint64_t all;
    layout_bytes(&r->trainer.layout, &d->model, &all);
    d->state = all - d->model;
    return hf_folder_bytes(r->model_dir, !adapter_on(r->adapter), &d->files, e);
}

/* Rank 0 and any other, which are all alike. */
int run_print_plan(struct run *r, struct err *e)
{
    struct buf b = {0};
    struct trainer other = {0};
    struct mesh m = r->mesh;
    if (!r->plan || r->silent) return 0;
    struct disk d;
    const bool several = m.size[MESH_DP] > 1;
    m.at[MESH_DP] = 1;
    int rc = disk_of(r, &d, e);
    if (rc == 0 && several) rc = trainer_init(&other, &r->model, &r->trainer.o, &m, r->device, e);
    if (rc == 0)
        (r->json ? plan_object : plan_text)(r, &d, several ? &other.memory.plan : NULL, &b);
    if (rc == 0) rc = buf_check(&b, e) ? -1 : io_put("-", b.data, b.len, e);
    buf_free(&b);
    if (several) trainer_close(&other);
    return rc;
}
