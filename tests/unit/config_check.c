/* SPDX-License-Identifier: Apache-2.0 */
/* Keys, types, ranges, suggestions, device_mapping, what follows from several keys, and what the
 * trainer refuses. */
#include "config_make.h"

#include "config/keys.h"

#define DEEPSPEED(config)                                                                          \
    "sft_train: {strategy_args: {strategy_name: deepspeed_train, strategy_config: " config "}"
#define MEGATRON(config)                                                                           \
    "sft_train: {strategy_args: {strategy_name: megatron_train, strategy_config: " config "}"
#define FSDP2_OF_8(keys)                                                                           \
    "strategy_args: {strategy_config: {" keys "}}, device_mapping: [0, 1, 2, 3, 4, 5, 6, 7]"

static void test_defaults(void)
{
    struct made m = make_config(BASE, NULL, NULL);
    CHECK("configuration: a minimal file loads", m.rc == 0);
    if (m.rc) return;
    const struct config *c = m.c;
    CHECK("configuration: defaults of ROLL",
          c->seed == 42 && c->save_steps == 50 && c->eval_steps == 10 && c->max_grad_norm == 1.0 &&
              c->sft_train.training_args.learning_rate == 5e-5 &&
              c->sft_train.training_args.adam_beta2 == 0.999 &&
              c->sft_train.training_args.per_device_train_batch_size == 8 &&
              c->sft_train.infer_batch_size == 16 && !strcmp(c->prompt_key, "instruction") &&
              !strcmp(c->response_key, "output") && !c->query_key && !c->system_key &&
              !strcmp(c->output_dir, "./output") && !strcmp(c->track_with, "tensorboard"));
    CHECK("configuration: own defaults", c->sft.shuffle && !c->sft.skip_nonfinite &&
                                             c->sft.master_dtype == DT_F32 && c->max_steps == 0 &&
                                             c->run.max_steps == 0 && !c->resume_from_checkpoint);
    CHECK("configuration: the derived values of a minimal file",
          c->run.world_size == 1 && c->run.global_batch_size == 8 &&
              !strcmp(c->run.pack_mode, "none") && !strcmp(c->run.template, "native") &&
              !strcmp(c->run.model, "m") && c->run.dtype == DT_BF16);
    CHECK("configuration: exp_name is the file's name", !strncmp(c->exp_name, "config-", 7));
    CHECK("configuration: a minimal file can be trained",
          !config_check_trainable(c, &(struct config_start){1, "sft-train", false}, &m.e));
    CHECK("configuration: two processes cannot train a minimal file",
          config_check_trainable(c, &(struct config_start){2, "sft-train", false}, &m.e) == -1 &&
              m.e.code == ERR_CONFIG);
    config_free(m.c);
}

static void test_types(void)
{
    CHECK("configuration types: integer for a real",
          gives("sft_train: {training_args: {num_train_epochs: 2}}\n",
                "sft_train.training_args.num_train_epochs", "2.0\n"));
    CHECK("configuration types: a fraction of an epoch",
          gives("sft_train: {training_args: {num_train_epochs: 0.5}}\n",
                "sft_train.training_args.num_train_epochs", "0.5\n"));
    CHECK("configuration types: a number where a string is wanted",
          gives("exp_name: 007\n", "exp_name", "007\n"));
    CHECK("configuration types: null is the default", gives("seed: null\n", "seed", "42\n"));
    CHECK("configuration types: an empty section",
          gives("validation:\ntracker_kwargs:\n", "seed", "42\n"));
    CHECK("configuration types: one file or a list",
          gives("sft_train: {data_args: {file_name: [a, b]}}\n", "train_files", "a\nb\n"));
    CHECK("configuration types: real for an integer",
          refused("seed: 1.5\n", ":3: seed: '1.5' is not an integer"));
    CHECK("configuration types: text for a number",
          refused("max_grad_norm: big\n", "'big' is not a number"));
    CHECK("configuration types: no infinity", refused("max_grad_norm: .inf\n", "is not a number"));
    CHECK("configuration types: below its range",
          refused("logging_steps: 0\n", ":3: logging_steps: 0 is below 1"));
    CHECK("configuration types: a number beyond doubles",
          refused("max_grad_norm: 1e400\n", "is not a number"));
    CHECK("configuration types: a scale of nothing",
          refused("sft_train: {model_args: {lora_target: q_proj, lora_alpha: 0}}\n",
                  "lora_alpha: 0 is below 1e-06"));
    CHECK("configuration types: beyond 64 bits",
          refused("seed: 99999999999999999999\n", "is not an integer"));
    CHECK("configuration types: a boolean for a string", refused("exp_name: on\n", "in quotes"));
    CHECK("configuration types: a list for a string",
          refused("exp_name: [a]\n", "a list is not a string"));
    CHECK("configuration types: a scalar for a section",
          refused("sft_train: 3\n", "'3' is not a mapping"));
    CHECK("configuration types: literals are listed",
          refused("sft: {device: gpu}\n", "none of: auto, cpu, cuda"));
    CHECK("configuration types: a literal with a bar",
          refused("sft: {device: 'auto|cpu'}\n", "none of"));
    CHECK("configuration types: resume_from_checkpoint takes a flag or a path",
          gives("resume_from_checkpoint: true\n", "resume_from_checkpoint", "true\n") &&
              gives("resume_from_checkpoint: a/b\n", "resume_from_checkpoint", "a/b\n"));
    CHECK("configuration types: a key with no effect is checked too",
          refused("num_nodes: many\n", "not an integer"));
}

/* True when a configuration may set the path with an effect: it is a used key, or the group of one.
 */
static bool leads(const char *path, enum key_scope scope)
{
    const size_t n = strlen(path);
    const struct config_key *k;
    for (size_t i = 0; (k = config_key_at(i)); i++)
        if (k->effect == KEY_USED && (k->scope == KEY_ALWAYS || k->scope == scope) &&
            strncmp(k->path, path, n) == 0 && (!k->path[n] || k->path[n] == '.'))
            return true;
    return false;
}

/* Leaves a letter out of the middle of a key's last word; false for a suggestion that does not
 * lead. */
static bool leads_from(const struct config_key *k, enum key_scope scope, size_t *suggested)
{
    char typed[300], near[300];
    const char *dot = strrchr(k->path, '.');
    const size_t from = dot ? (size_t)(dot + 1 - k->path) : 0, at = (from + strlen(k->path)) / 2;
    snprintf(typed, sizeof typed, "%.*s%s", (int)at, k->path, k->path + at + 1);
    if (config_key_nearest(typed, scope, near, sizeof near) != CONFIG_NEAR_KEY) return true;
    ++*suggested;
    return EXPECT(typed, leads(near, scope));
}

static void test_suggestions(void)
{
    const struct config_key *k;
    size_t bad = 0, suggested = 0;
    for (int scope = KEY_MEGATRON; scope <= KEY_DEEPSPEED; scope++)
        for (size_t i = 0; (k = config_key_at(i)); i++)
            bad += !leads_from(k, (enum key_scope)scope, &suggested);
    CHECK("configuration keys: misspelt ones get suggestions", suggested > 200);
    CHECK("configuration keys: each suggestion has an effect", bad == 0);
    CHECK("configuration keys: where a key without effect is near, its reason is told",
          refused("num_gpus_per_nod: 8\n", "leave it out: the launcher places the processes"));
    CHECK("configuration keys: so it is where a refused one is near",
          refused("moe_aux_loss_coeff: 1\n", "leave it out: the auxiliary loss is that of"));
    CHECK("configuration keys: a key that is nearer elsewhere goes before one without effect",
          refused("lora_rnk: 8\n", "did you mean sft_train.model_args.lora_rank?"));
    CHECK("configuration keys: a key of the other strategy is not suggested",
          refused(MEGATRON("{param_dtyp: fp32}") "}\n", "only fsdp2_train reads it"));
    CHECK("configuration keys: another trainer's name leads to the key",
          refused("save_total_limit: 2\n", "did you mean max_ckpt_to_keep?") &&
              refused("fp16: true\n", "did you mean sft_train.model_args.dtype?"));
    CHECK("configuration keys: a key of two sections is that of the section, or of training",
          refused("validation: {file_name: x}\n", "did you mean validation.data_args.file_name?") &&
              refused("file_name: x\n", "did you mean sft_train.data_args.file_name?"));
    CHECK("configuration types: a word that is none lists those that are supported",
          refused("sft_train: {training_args: {optim: adam}}\n",
                  "'adam' is none of: adamw_torch, adamw_torch_fused, sgd"));
}

static void test_unknown(void)
{
    CHECK("configuration keys: an unknown key names the nearest",
          refused("save_stepz: 1\n", ":3: save_stepz: unknown key; did you mean save_steps?"));
    CHECK("configuration keys: a key in the wrong place names the right one",
          refused("learning_rate: 1\n", "did you mean sft_train.training_args.learning_rate?"));
    CHECK("configuration keys: an unknown section names the nearest",
          refused("sft_trian: {a: 1}\n", "did you mean sft_train?"));
    CHECK("configuration keys: dots are for overrides",
          refused("sft_train.infer_batch_size: 3\n", "nested mappings"));
    CHECK("configuration keys: an unknown key far from all",
          refused("qqqqqqqq: 1\n", "unknown key"));
    CHECK("configuration keys: an unknown key in validation names the nearest",
          refused("validation: {data_args: {file_nam: x}}\n",
                  "did you mean validation.data_args.file_name?"));
    CHECK("configuration keys: validation has the keys of sft_train",
          gives("validation: {data_args: {template: x}, infer_batch_size: 2}\n", "seed", "42\n"));
    CHECK("configuration keys: a key of the other strategy",
          refused(MEGATRON("{fsdp_size: 2}") "}\n", "is a key of fsdp2_train, not of megatron") &&
              refused(DEEPSPEED("{fsdp_size: 2}") "}\n", "not of deepspeed_train") &&
              refused(MEGATRON("{zero_optimization: {stage: 2}}") "}\n",
                      "is a key of deepspeed_train"));
    CHECK("configuration keys: fsdp2_train ignores keys of megatron, as in ROLL",
          gives("sft_train: {strategy_args: {strategy_config: {tensor_model_parallel_size: 2}}}\n",
                "tensor_parallel_size", "1\n"));
}

static void test_devices(void)
{
    static const char *const good[][2] = {
        {"[0, 1, 6]", "0\n1\n6\n"},
        {"list(range(0,4))", "0\n1\n2\n3\n"},
        {"list(range(2)) + list(range(8, 10))", "0\n1\n8\n9\n"},
        {"list(range(0, 8, 3))", "0\n3\n6\n"},
        {"'[3]+[5,]'", "3\n5\n"},
        {"list([2, 1])", "2\n1\n"},
        {"range(3,1,-1)", "3\n2\n"},
    };
    static const char *const bad[] = {
        "0",
        "[]",
        "list(range(0))",
        "list(range(0,8)",
        "list(range(0,8)) + ",
        "[0, 0]",
        "[-1]",
        "list(range(0,10,0))",
        "list(range(0,1000000000))",
        "__import__('os').system('true')",
        "list(range(0,8)); 1",
        "[a]",
        "{a: 1}",
        "[[0]]",
    };
    bool ok = true;
    char text[300];
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        snprintf(text, sizeof text, "sft_train: {device_mapping: \"%s\"}\n", good[i][0]);
        if (*good[i][0] == '\'')
            snprintf(text, sizeof text, "sft_train: {device_mapping: %s}\n", good[i][0]);
        ok &= EXPECT(good[i][0], gives(text, "sft_train.device_mapping", good[i][1]));
    }
    CHECK("device_mapping: every form of ROLL's is read", ok);
    ok = gives("sft_train:\n  device_mapping: [4, 2]\n", "sft_train.device_mapping", "4\n2\n") &&
         gives("sft_train:\n  device_mapping: list(range(0,2))\n", "world_size", "2\n");
    CHECK("device_mapping: a YAML list is read", ok);
    ok = true;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(text, sizeof text, "sft_train:\n  device_mapping: %s\n", bad[i]);
        ok &= EXPECT(bad[i], refused(text, "device_mapping: "));
    }
    CHECK("device_mapping: other forms are refused", ok);
}

#define FSDP(config)                                                                               \
    "sft_train: {device_mapping: [0, 1, 2, 3], strategy_args: {strategy_config: " config "}}\n"
static void test_zero(void)
{
    static const char *const stages[][2] = {
        {MEGATRON("{}") "}\n", "0\n"},
        {MEGATRON("{use_distributed_optimizer: true}") "}\n", "1\n"},
        {FSDP("{}"), "3\n"},
        {FSDP("{reshard_after_forward: null}"), "3\n"},
        {FSDP("{reshard_after_forward: true}"), "3\n"},
        {FSDP("{reshard_after_forward: false}"), "2\n"},
        {DEEPSPEED("{}") "}\n", "0\n"},
        {MEGATRON("{}") "}\nsft: {zero_stage: 3}\n", "3\n"},
        {FSDP("{}") "sft: {zero_stage: 1}\n", "1\n"},
        {DEEPSPEED("{zero_optimization: {stage: 1}}") "}\n", "1\n"},
        {DEEPSPEED("{zero_optimization: {stage: 2, overlap_comm: true}}") "}\n", "2\n"},
        {DEEPSPEED("{zero_optimization: {stage: 3, sub_group_size: 1e9}}") "}\n", "3\n"},
    };
    bool ok = true;
    for (size_t i = 0; i < sizeof stages / sizeof *stages; i++)
        ok &= EXPECT(stages[i][0], gives(stages[i][0], "zero_stage", stages[i][1]));
    CHECK("ZeRO: each strategy's keys give the stage", ok);
    CHECK("ZeRO: stages that add up micro-batches first, and others, have gradient_sum step",
          gives(DEEPSPEED("{}") "}\nsft: {gradient_sum: step}\n", "sft.gradient_sum", "step\n") &&
              gives(FSDP("{}") "sft: {gradient_sum: micro_batch}\n", "sft.gradient_sum",
                    "micro_batch\n"));
    CHECK("ZeRO: gradient_sum step is refused in stages 2 and 3",
          refused(FSDP("{}") "sft: {gradient_sum: step}\n", "sft.gradient_sum: is step, but") &&
              refused(FSDP("{}") "sft: {gradient_sum: step, zero_stage: 2}\n",
                      "sft.gradient_sum: is step, but stages 2 and 3"));
    CHECK("ZeRO: a stage that there is not",
          refused(DEEPSPEED("{zero_optimization: {stage: 4}}") "}\n", "zero_optimization.stage"));
    CHECK("ZeRO: fsdp_size up to 1, or from all workers on, is all of them",
          gives(FSDP("{fsdp_size: 1}"), "shard_size", "4\n") &&
              gives(FSDP("{fsdp_size: -1}"), "shard_size", "4\n") &&
              gives(FSDP("{fsdp_size: 8}"), "shard_size", "4\n") &&
              gives(FSDP("{fsdp_size: 2}"), "shard_size", "2\n"));
    CHECK("ZeRO: fsdp_size has to divide the workers",
          refused(FSDP("{fsdp_size: 3}"), "fsdp_size: 3 does not divide the 4 workers"));
    CHECK("ZeRO: bf16 of DeepSpeed is the dtype, auto is not",
          gives(DEEPSPEED("{bf16: {enabled: true}}") ", model_args: {dtype: fp32}}\n", "dtype",
                "bf16\n") &&
              gives(DEEPSPEED("{bf16: {enabled: auto}}") ", model_args: {dtype: fp32}}\n", "dtype",
                    "fp32\n"));
    CHECK("ZeRO: DeepSpeed's recomputation is that of model_args",
          gives(DEEPSPEED("{}") "}\n", "recompute", "full\n"));
}

static void test_derived(void)
{
    CHECK("configuration values: the global batch is the product",
          gives(MEGATRON("{tensor_model_parallel_size: 2}") ", "
                                                            "training_args: "
                                                            "{per_device_train_batch_size: 2, "
                                                            "gradient_accumulation_steps: 16}, "
                                                            "device_mapping: [0,1,2,3]}\n",
                "global_batch_size", "64\n"));
    CHECK("configuration values: a world that cannot be divided",
          refused(MEGATRON("{tensor_model_parallel_size: 3}") ", device_mapping: [0,1]}\n",
                  "2 devices cannot be divided by 3"));
    CHECK("configuration values: huge sizes do not overflow",
          refused(MEGATRON("{tensor_model_parallel_size: 65536, pipeline_model_parallel_size: "
                           "65536, context_parallel_size: 65536}") "}\n",
                  "cannot be divided"));
    CHECK("configuration values: ulysses is context parallelism",
          gives("sft_train: {model_args: {ulysses_size: 2}, device_mapping: [0,1,2,3]}\n",
                "data_parallel_size", "2\n"));
    CHECK("configuration values: packing from ROLL's keys and ours",
          gives("sft_train: {use_sequence_packing: true}\n", "pack_mode", "batch\n") &&
              gives("sft_train: {use_sequence_packing: true}\nsft: {pack_mode: dense}\n",
                    "pack_mode", "dense\n"));
    CHECK("configuration values: global_template goes first",
          gives("global_template: a\nsft_train: {data_args: {template: b}}\n", "template", "a\n") &&
              gives("global_template: ''\nsft_train: {data_args: {template: b}}\n", "template",
                    "b\n"));
    CHECK("configuration values: strategy_config goes over training_args",
          gives(MEGATRON("{learning_rate: 2e-5}") ", training_args: {learning_rate: 1e-5}}\n",
                "sft_train.training_args.learning_rate", "2e-05\n"));
    CHECK("configuration values: recomputation from ROLL's keys and ours",
          gives("", "recompute", "full\n") &&
              gives("sft: {recompute: none}\n", "recompute", "none\n") &&
              gives(MEGATRON("{recompute_granularity: selective}") "}\n", "recompute",
                    "selective\n") &&
              gives(MEGATRON("{}") "}\n", "recompute", "none\n"));
    CHECK("configuration values: param_dtype is the dtype",
          gives("sft_train: {strategy_args: {strategy_config: {param_dtype: fp32}}}\n", "dtype",
                "fp32\n"));
    struct made m = make_config("pretrain: m\nresponse_length: 500\n", NULL, NULL);
    CHECK("configuration values: sequence_length from its parts",
          !m.rc && m.c->sequence_length == 1524);
    if (!m.rc) config_free(m.c);
    m = make_config("pretrain: m\n", NULL, NULL);
    CHECK("configuration values: sequence_length is required",
          m.rc == -1 && strstr(m.e.msg, "sequence_length"));
    m = make_config("sequence_length: 8\n", NULL, NULL);
    CHECK("configuration values: a model is required", m.rc == -1 && strstr(m.e.msg, "pretrain"));
    m = make_config(BASE "max_steps: 30\nsft_train: {training_args: {max_steps: 20}}\n", NULL,
                    NULL);
    CHECK("configuration values: the smaller max_steps", !m.rc && m.c->run.max_steps == 20);
    if (!m.rc) config_free(m.c);
}

/* BASE and text load; sft-train refuses them with part in the message. */
static bool untrainable(const char *text, const char *part)
{
    char all[2000];
    snprintf(all, sizeof all, "%s%s", BASE, text);
    struct made m = make_config(all, NULL, NULL);
    if (m.rc) return printf("# %s\n", m.e.msg), false;
    int rc = config_check_trainable(m.c, &(struct config_start){1, "sft-train", false}, &m.e);
    bool ok = rc == -1 && m.e.code == ERR_CONFIG && strstr(m.e.msg, part);
    if (!ok) printf("# %s: %d '%s'\n", text, rc, rc ? m.e.msg : "");
    config_free(m.c);
    return ok;
}

static void test_trainable(void)
{
    CHECK("trainable: DeepSpeed is, with what is offloaded told",
          !untrainable(
              DEEPSPEED("{zero_optimization: {stage: 3, offload_optimizer: {device: cpu}}}") "}\n",
              ""));
    CHECK("trainable: fp16 and compressed exchanges of DeepSpeed are not",
          untrainable(DEEPSPEED("{fp16: {enabled: true}}") "}\n", "fp16 is not supported") &&
              untrainable(DEEPSPEED("{zero_optimization: {zero_quantized_weights: true}}") "}\n",
                          "compressed exchanges"));
    CHECK("trainable: parallel experts are",
          gives(MEGATRON("{expert_model_parallel_size: 4}") ", device_mapping: [0, 1, 2, 3]}\n",
                "expert_parallel_size", "4\n"));
    CHECK("trainable: parallel experts that do not divide the data-parallel workers are not",
          refused(MEGATRON("{expert_model_parallel_size: 4}") ", device_mapping: [0, 1]}\n",
                  "expert_model_parallel_size: 4 does not divide the 2 data-parallel x "
                  "context-parallel workers"));
    CHECK(
        "trainable: experts that are split like their layer are",
        gives(
            MEGATRON(
                "{tensor_model_parallel_size: 2, expert_tensor_parallel_size: 2}") ", "
                                                                                   "device_mapping:"
                                                                                   " [0, 1]}\n",
            "tensor_parallel_size", "2\n"));
    CHECK(
        "trainable: experts that are split otherwise are not",
        refused(
            MEGATRON(
                "{tensor_model_parallel_size: 2, expert_tensor_parallel_size: 1}") ", "
                                                                                   "device_mapping:"
                                                                                   " [0, 1]}\n",
            "expert_tensor_parallel_size: 1 is not tensor_model_parallel_size, which is 2"));
    CHECK("trainable: parallel experts of fsdp2_train are, over all workers",
          gives("sft_train: {model_args: {ulysses_size: 2}, " FSDP2_OF_8("ep_size: 8") "}\n",
                "expert_parallel_size", "8\n"));
    CHECK("trainable: parallel experts of fsdp2_train that do not divide the workers are not",
          refused("sft_train: {" FSDP2_OF_8("ep_size: 3") "}\n",
                  "ep_size: 3 does not divide the 8 data-parallel x context-parallel workers"));
    CHECK("trainable: an efsdp_size of the workers with the same experts is",
          gives("sft_train: {" FSDP2_OF_8("ep_size: 4, efsdp_size: 2") "}\n",
                "expert_parallel_size", "4\n"));
    CHECK("trainable: another efsdp_size is not",
          refused("sft_train: {" FSDP2_OF_8("ep_size: 4, efsdp_size: 1") "}\n",
                  "efsdp_size: 1 is not the 2 workers that share one copy of the same experts, 8 / "
                  "ep_size 4"));
    CHECK("trainable: parallel experts beside hybrid sharding are",
          gives("sft_train: {" FSDP2_OF_8("ep_size: 2, fsdp_size: 4, efsdp_size: 2") "}\n",
                "shard_size", "4\n"));
    CHECK("trainable: a copy of the weights without all experts is not",
          refused("sft_train: {" FSDP2_OF_8("ep_size: 4, fsdp_size: 2") "}\n",
                  "fsdp_size: 2 is not a multiple of ep_size 4"));
    CHECK("trainable: an efsdp_size of several copies is not",
          refused("sft_train: {" FSDP2_OF_8("ep_size: 2, fsdp_size: 4, efsdp_size: 4") "}\n",
                  "efsdp_size: 4 is not the 2 workers that share one copy of the same experts, 4 / "
                  "ep_size 2"));
    CHECK("trainable: more processes than one; the message names ep_size",
          untrainable("sft_train: {" FSDP2_OF_8("ep_size: 8") "}\n", "strategy_config.ep_size=1"));
    CHECK("trainable: LoRA is",
          !untrainable("sft_train: {model_args: {lora_target: all-linear}}\n", ""));
    CHECK("trainable: fp16 is not",
          untrainable("sft_train: {model_args: {dtype: fp16}}\n", "'fp16'"));
    CHECK("trainable: an unknown schedule is not",
          untrainable("sft_train: {training_args: {lr_scheduler_type: greedy}}\n", "'greedy'"));
    CHECK(
        "trainable: an inference strategy is not",
        untrainable("sft_train: {strategy_args: {strategy_name: vllm, strategy_config: {x: 1}}}\n",
                    "'vllm'"));
    CHECK("trainable: tensor and pipeline parallelism need a worker for each part of each stage",
          untrainable(MEGATRON("{tensor_model_parallel_size: 2, pipeline_model_parallel_size: "
                               "2}") ", device_mapping: [0, 1, 2, 3]}\n",
                      "4 workers, but 1 process was started; type: mpirun -np 4 "));
    CHECK(
        "trainable: context parallelism needs a worker for each part; the message has the override "
        "to type, with the global batch kept",
        untrainable(MEGATRON("{context_parallel_size: 2}") ", device_mapping: "
                                                           "\"list(range(0,8))\", "
                                                           "training_args: "
                                                           "{gradient_accumulation_steps: 3}}\n",
                    "8 workers, but 1 process was started; type: mpirun -np 8 --bind-to none "
                    "sft-train; or, for one process with the same global batch, add: "
                    "sft_train.device_mapping='[0]' "
                    "sft_train.strategy_args.strategy_config.context_parallel_size=1 "
                    "sft_train.training_args.gradient_accumulation_steps=12"));
    CHECK("trainable: so does it under fsdp2_train",
          untrainable("sft_train: {model_args: {ulysses_size: 2}, device_mapping: [0, 1]}\n",
                      "add: sft_train.device_mapping='[0]' sft_train.model_args.ulysses_size=1"));
    CHECK("trainable: contexts that do not divide the workers are named",
          refused("sft_train: {model_args: {ulysses_size: 2}, device_mapping: [0, 1, 2]}\n",
                  "3 devices cannot be divided by 2 = 1 (tensor) x 1 (pipeline) x 2 (context"));
    CHECK("trainable: more workers than processes; the message has both ways on",
          untrainable("sft_train: {device_mapping: [0, 1, 2, 3], training_args: "
                      "{gradient_accumulation_steps: 3}}\n",
                      "4 workers, but 1 process was started; type: mpirun -np 4 --bind-to none "
                      "sft-train; or, for one process with the same global batch, add: "
                      "sft_train.device_mapping='[0]' "
                      "sft_train.training_args.gradient_accumulation_steps=12"));
    CHECK("trainable: neutral values of unsupported keys are taken",
          gives(MEGATRON("{expert_model_parallel_size: 1, mtp_num_layers: 0, "
                         "moe_token_dispatcher_type: alltoall}") "}\n",
                "seed", "42\n"));
}

/* Every row is complete, and its default is a value of its type. */
static void test_table(void)
{
    const struct config_key *k;
    bool ok = true;
    for (size_t i = 0; (k = config_key_at(i)); i++) {
        ok &= EXPECT(k->path, k->doc && *k->doc);
        ok &= EXPECT(k->path, (k->effect == KEY_USED) == (k->to != 0));
        ok &= EXPECT(k->path, (k->effect == KEY_LIMIT) <= (k->only != NULL));
        ok &= EXPECT(k->path, (k->type == KEY_WORD || k->type == KEY_DTYPE) == (k->words != NULL));
        ok &= EXPECT(k->path, config_key_find(k->path, k->scope) == k); /* no row twice */
    }
    CHECK("configuration table: each key has a text, a place and fitting words", ok);
}

/* A printed configuration loads again to the same. */
static void test_round_trip(void)
{
    static const char text[] =
        BASE "exp_name: 'a: \"b\" \\\\ é \\${x} # '\n"
             "system_envs: {'a b': \"\\x07\\u2028\", '${k}': '\\${v}', n: null, l: [1, {x: yes}]}\n"
             "system_key: 'no'\nprompt_key: '1e5'\nresponse_key: ' x '\n";
    struct made m = make_config(text, NULL, NULL), again = {0};
    struct buf one = {0}, two = {0};
    bool ok = !m.rc && !config_write_yaml(m.c, &one, &m.e);
    if (ok) again = make_config(one.data, NULL, NULL);
    ok = ok && !again.rc && !config_write_yaml(again.c, &two, &again.e);
    CHECK("configuration: the resolved one reads back the same", ok && !strcmp(one.data, two.data));
    CHECK("configuration: the resolved one reads back with the same strings",
          ok && !strcmp(m.c->exp_name, again.c->exp_name) && !strcmp(again.c->system_key, "no") &&
              !strcmp(again.c->response_key, " x "));
    if (!ok) printf("# %s%s\n%s\n", m.e.msg, again.e.msg, one.data ? one.data : "");
    if (!m.rc) config_free(m.c);
    if (again.c) config_free(again.c);
    buf_free(&one);
    buf_free(&two);
}

int main(void)
{
    test_defaults();
    test_types();
    test_unknown();
    test_suggestions();
    test_devices();
    test_zero();
    test_derived();
    test_trainable();
    test_table();
    test_round_trip();
    TEST_END();
}
