/* SPDX-License-Identifier: Apache-2.0 */
/* sft-eval: computes the loss of a model over a stream, or answers prompts. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "comm/comm.h"
#include "eval.h"
#include "hf/folder.h"
#include "ops/choose.h"
#include "ops/waits.h"

/* Refuses a checkpoint of an adapter: it has no model. */
static int check_whole(struct eval *v, struct err *e)
{
    char *dir, *folder;
    if (hf_folder_find(v->model, &folder, e)) return -1;
    const int found = peft_find_dir(folder, &dir, e);
    mem_free(folder);
    if (found <= 0) return found;
    mem_free(dir);
    return err_set(e, ERR_NOINPUT,
                   "%s: an adapter; give its base model with -m and this with --adapter", v->model);
}

static int open_model(struct eval *v, struct err *e)
{
    if (check_whole(v, e)) return -1;
    if (v->adapter_name && !(v->adapter = peft_open(v->adapter_name, e))) return -1;
    if (hf_folder_resolve(v->model, &v->dir, e) || hf_config_read(v->dir, &v->hf, e)) return -1;
    if (model_from_hf(&v->hf, &v->m, e)) return err_prefix(e, "%s", v->dir);
    v->tokenizer = tokenizer_load(v->dir, e);
    return v->tokenizer ? 0 : -1;
}

static int open_device(struct eval *v, struct err *e)
{
    struct device_choice c;
    char about[300];
    const char *asked = v->device_name ? v->device_name : "auto";
    if (device_choose(asked, v->mesh.world->place.node_rank, &c, e)) return -1;
    if (*c.why) log_line(c.hidden ? LOG_WARN : LOG_INFO, "computing on the CPU: %s", c.why);
    v->device = device_open(c.name, v->threads, e);
    if (!v->device) return -1;
    if (v->device->card && v->device->card->planned)
        return err_set(e, ERR_CONFIG, "%s: only sft-train --plan takes a kind of GPU", c.name);
    bool fast = device_has_bf16(v->device);
    v->compute = v->dtype == EVAL_FP32 || (v->dtype == EVAL_AUTO && !fast) ? DT_F32 : DT_BF16;
    if (v->dtype == EVAL_BF16 && !fast) {
        log_line(LOG_INFO, "this CPU has no bf16 matrix instructions: computing in fp32");
        v->compute = DT_F32;
    }
    if (strcmp(c.name, "ref64") == 0) v->compute = DT_F64;
    device_about(v->device, about, sizeof about);
    log_line(v->device->card ? LOG_INFO : LOG_DEBUG, "computing in %s on %s",
             dtype_name(v->compute), about);
    return 0;
}

static void rehearse(void *arg) { stage_rehearse(arg); }

static int plan(struct eval *v, const struct weights_options *w, const struct stage_options *o,
                struct err *e)
{
    struct plan *p = &v->memory.plan;
    if (weights_init(&v->weights, &v->m, w, v->device, p, e) ||
        stage_init(&v->stage, &v->weights, o, p, e))
        return -1;
    return memory_place(&v->memory, &v->weights.device, rehearse, &v->stage, e);
}

/* Warns of an adapter that was trained on other weights: the results are those of neither. */
static int tell_base(const struct eval *v, const struct safetensors *s, struct err *e)
{
    const int differs = peft_base_differs(v->adapter, s, e);
    if (differs > 0)
        log_line(LOG_WARN, "%s: was trained on other weights than those of %s", v->adapter_name,
                 v->model);
    return differs < 0 ? -1 : 0;
}

int eval_open(struct eval *v, const struct stage_options *o, int64_t length, struct err *e)
{
    struct weights_options w = {.compute = v->compute, .length = length};
    if (v->adapter) w.params.lora = lora_of_peft(v->adapter);
    progress_doing(&v->progress, "loading the model", 0, 0);
    struct safetensors *s = safetensors_open(v->dir, e);
    int rc = s ? 0 : -1;
    if (rc == 0 && v->adapter)
        rc = peft_check(v->adapter, s, v->m.family, v->m.names, v->m.tied, e);
    if (rc == 0 && v->adapter) rc = tell_base(v, s, e);
    if (rc == 0) rc = plan(v, &w, o, e);
    if (rc == 0) rc = memory_alloc(&v->memory, e);
    if (rc == 0) stage_bind(&v->stage);
    if (rc == 0) weights_fill_rotary(&v->weights);
    if (rc == 0) rc = weights_load(&v->weights, s, NULL, e);
    if (rc == 0 && v->adapter) rc = lora_load(&v->weights, v->adapter, NULL, e);
    safetensors_close(s);
    return rc;
}

static void put_token(void *arg, uint32_t id, struct buf *b)
{
    const struct eval *v = arg;
    tokenizer_decode(v->tokenizer, &id, 1, false, b, NULL);
}

struct model_vocab eval_vocab(struct eval *v)
{
    return (struct model_vocab){.size = v->m.vocab, .text = put_token, .arg = v};
}

const char eval_hint[] = ": --dtype fp32 may do";

int eval_nonfinite(struct eval *v, const char *what, struct err *e)
{
    char text[200];
    const bool found = weights_find_nonfinite(&v->weights, text, sizeof text);
    return err_set(e, ERR_NONFINITE, "%s; %s%s", what, text,
                   !found && v->compute == DT_BF16 ? eval_hint : "");
}

int eval_begin(struct eval *v, struct err *e)
{
    progress_start(&v->progress, "eval", 0);
    if (mesh_agree(&v->mesh, open_model(v, e), e) || mesh_agree(&v->mesh, open_device(v, e), e))
        return -1;
    return comm_check_devices(v->mesh.world, v->device, e);
}

void eval_close(struct eval *v)
{
    progress_erase(&v->progress);
    stage_free(&v->stage);
    weights_free(&v->weights);
    memory_free(&v->memory);
    peft_close(v->adapter);
    device_close(v->device);
    tokenizer_free(v->tokenizer);
    hf_config_free(&v->hf);
    mem_free(v->dir);
    v->adapter = NULL;
    v->device = NULL;
    v->tokenizer = NULL;
    v->dir = NULL;
}

static int open_output(struct eval *v, struct err *e)
{
    if (v->silent) return 0;
    v->out = io_create(v->output ? v->output : "-", e);
    return v->out ? 0 : -1;
}

static int run(struct eval *v, struct err *e)
{
    if (v->prompt) return eval_complete(v, e);
    if (v->prompts) return eval_prompts(v, e);
    if (v->chat) return eval_chat(v, e);
    return v->compare ? eval_compare(v, e) : eval_loss(v, e);
}

static int eval(struct eval *v, struct err *e)
{
    const struct mesh *m = &v->mesh;
    if (eval_begin(v, e) || mesh_agree(m, open_output(v, e), e)) return -1;
    const int rc = mesh_agree(m, run(v, e), e);
    if (rc && e->code != ERR_NONFINITE) return -1;
    struct io_out *out = v->out; /* the losses of samples are kept beside one that is not finite */
    v->out = NULL;
    return mesh_agree(m, out ? io_commit(out, rc ? NULL : e) : 0, e) || rc ? -1 : 0;
}

int main(int argc, char **argv)
{
    waits_short(argv, "2000"); /* decoding waits for short operations between long ones */
    struct err e = {0};
    struct opt_common common = {0};
    struct eval v = {.max_tokens = 256,
                     .length = 4096,
                     .seed = 42,
                     .sampling = {.top_p = 1, .repetition = 1},
                     .comm_timeout = 600,
                     .launch = launch_detect(getenv),
                     .world = *world_self()};
    v.silent = v.launch.rank > 0;
    int rc = eval_parse(&v, &common, argc, argv, &e);
    if (rc > 0) return 0;
    if (rc == 0) rc = eval_join(&v, common.threads, &e);
    if (rc == 0) rc = eval(&v, &e);
    progress_erase(&v.progress);
    const int status = rc ? world_fail(&v.world, v.silent, &e) : 0;
    io_abort(v.out);
    eval_close(&v);
    world_leave(&v.world, status);
    return status;
}
