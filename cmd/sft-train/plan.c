/* SPDX-License-Identifier: Apache-2.0 */
/* Plans all memory before any is used, and prints the plan for --plan. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "hf/folder.h"
#include "model/freeze.h"
#include "run.h"

/* Replaces a type that the device is slow at. */
static void adjust_compute(const struct run *r, enum dtype *t)
{
    if (*t == DT_BF16 && !device_has_bf16(r->device)) {
        log_line(LOG_INFO, "this CPU has no bf16 matrix instructions: computing in fp32");
        *t = DT_F32;
    }
    if (strcmp(r->device->ops->name, "ref64") == 0) *t = DT_F64;
}

static int check_length(const struct run *r, struct err *e)
{
    const int64_t reach = rope_reach(&r->model, false);
    if (r->config->sequence_length <= reach) return 0;
    return err_set(e, ERR_CONFIG, "sequence_length %lld: the model has %lld positions",
                   (long long)r->config->sequence_length, (long long)reach);
}

/* Warns of settings that have no effect; ROLL passes over them in silence. */
static void warn_idle(const struct run *r)
{
    const struct adapter_options *o = &r->options.adapter;
    const bool on = adapter_on(r->adapter);
    if (on && r->config->sft_train.model_args.freeze_module_prefix)
        log_line(LOG_WARN, "freeze_module_prefix has no effect beside an adapter");
    if (!on && o->whole)
        log_line(LOG_WARN, "additional_target has no effect without lora_target: all is trained");
    if (o->path && o->target)
        log_line(LOG_WARN, "lora_target has no effect beside adapter_name_or_path");
}

/* Adds to the options what depends on the model and the device. */
static int complete_options(struct run *r, struct err *e)
{
    struct trainer_options *o = &r->options.trainer;
    const char *frozen = r->config->sft_train.model_args.freeze_module_prefix;
    r->adapter = adapter_new(&r->options.adapter, &r->model, e);
    if (!r->adapter) return -1;
    warn_idle(r);
    adjust_compute(r, &o->compute);
    o->saved_dtype = r->hf.dtype == DT_BF16 ? DT_BF16 : DT_F32;
    if (frozen && !adapter_on(r->adapter))
        o->params = (struct params_options){.frozen = freeze_match, .arg = (void *)frozen};
    adapter_params(r->adapter, &o->params);
    return check_length(r, e);
}

static void warn(const char *text) { log_line(LOG_WARN, "%s", text); }

int run_plan(struct run *r, struct err *e)
{
    if (train_options_from(r->config, r->validation, &r->options, e) || complete_options(r, e))
        return -1;
    const int rc =
        trainer_init(&r->trainer, &r->model, &r->options.trainer, &r->mesh, r->device, e);
    const struct params *params = &r->trainer.weights.params;
    if (adapter_on(r->adapter) && params->count &&
        adapter_check(r->adapter, params, r->config->run.model, warn, e))
        return -1; /* it says more than trainer_init, for which nothing is trained */
    if (rc || adapter_on(r->adapter)) return rc;
    const char *frozen = r->config->sft_train.model_args.freeze_module_prefix;
    return frozen ? freeze_check(frozen, params, e) : 0;
}

/* ---- printing ---- */
static double mib(uint64_t bytes) { return (double)bytes / (1 << 20); }

/* Bytes of a checkpoint on the disk, but for headers and the manifest. */
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

/* Prints the plan of rank 0 and that of any other rank, which are all alike. */
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
