/* SPDX-License-Identifier: Apache-2.0 */
/* Plans all memory before any is used. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "model/freeze.h"
#include "run.h"

/* Replaces a type that the device is slow at; gradients are bf16 only beside a bf16 computation. */
static void adjust_compute(const struct run *r, struct trainer_options *o)
{
    if (o->compute == DT_BF16 && !device_has_bf16(r->device)) {
        log_line(LOG_INFO, "this CPU has no bf16 matrix instructions: computing in fp32");
        o->compute = DT_F32;
    }
    if (strcmp(r->device->ops->name, "ref64") == 0) o->compute = DT_F64;
    if (o->compute != DT_BF16) o->gradient = DT_F32;
}

static int check_length(const struct run *r, struct err *e)
{
    const int64_t reach = rope_reach(&r->model, 0);
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
    const char *unused = config_lora_unused(r->config);
    if (unused)
        log_line(LOG_WARN,
                 "sft_train.model_args.%s is set, but not lora_target: there is no adapter, and "
                 "the whole model is "
                 "trained, as in ROLL; sft_train.model_args.lora_target=all-linear trains an "
                 "adapter, sft_train.model_args.lora_target=null says that none is wanted",
                 unused);
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
    adjust_compute(r, o);
    o->saved_dtype = r->hf.dtype == DT_BF16 ? DT_BF16 : DT_F32;
    if (frozen && !adapter_on(r->adapter))
        o->params = (struct params_options){.frozen = freeze_match, .arg = (void *)frozen};
    adapter_params(r->adapter, &o->params);
    run_samples_options(r, o);
    return check_length(r, e);
}

/* Counts what checkpoints keep of the model's files; run_ready tells what is wrong with those. */
static void count_kept(struct run *r)
{
    struct kept k = {0};
    struct err why;
    struct safetensors *s =
        r->silent || adapter_on(r->adapter) ? NULL : safetensors_open(r->model_dir, &why);
    if (s && kept_find(&r->trainer.weights, s, &k, &why) == 0) r->kept_bytes = k.bytes;
    kept_free(&k);
    safetensors_close(s);
}

static void warn(const char *text) { log_line(LOG_WARN, "%s", text); }

int run_plan(struct run *r, struct err *e)
{
    if (train_options_from(r->config, r->validation, &r->options, e) || complete_options(r, e))
        return -1;
    const int rc =
        trainer_init(&r->trainer, &r->model, &r->options.trainer, &r->mesh, r->device, e);
    const struct params *params = trainer_params(&r->trainer);
    if (adapter_on(r->adapter) && params->count &&
        adapter_check(r->adapter, params, r->config->run.model, warn, e))
        return -1; /* it says more than trainer_init, for which nothing is trained */
    if (rc || adapter_on(r->adapter)) return rc;
    count_kept(r);
    const char *frozen = r->config->sft_train.model_args.freeze_module_prefix;
    return frozen ? freeze_check(frozen, params, e) : 0;
}
