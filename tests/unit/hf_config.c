/* SPDX-License-Identifier: Apache-2.0 */
/* config.json: defaults, families, both forms of the rotary settings, and what is refused. */
#include "hf/config.h"
#include "hf/params.h"
#include "model/model.h"
#include "test.h"

#define SIZES                                                                                      \
    "\"vocab_size\":100,\"hidden_size\":64,\"intermediate_size\":96,\"num_hidden_layers\":2,"      \
    "\"num_attention_heads\":4"

static int parse(const char *text, struct hf_config *c, struct err *e)
{
    memset(e, 0, sizeof *e);
    return hf_config_parse(text, strlen(text), "config.json", c, e);
}

static bool refused(const char *text, const char *why)
{
    struct hf_config c;
    struct err e;
    bool ok = parse(text, &c, &e) == -1 && e.code == ERR_DATA && strstr(e.msg, why) &&
              strstr(e.msg, "config.json");
    if (!ok) printf("# %s\n", e.msg);
    hf_config_free(&c);
    return ok;
}

static void defaults(void)
{
    struct hf_config c;
    struct err e;
    CHECK("config.json: a short one is read",
          parse("{\"model_type\":\"llama\"," SIZES "}", &c, &e) == 0);
    CHECK("config.json: absent keys have transformers' defaults",
          c.num_key_value_heads == 4 && c.head_dim == 16 && c.max_position_embeddings == 2048 &&
              c.rms_norm_eps == 1e-6 && c.rope.theta == 10000 && !c.tie_word_embeddings &&
              strcmp(c.hidden_act, "silu") == 0 && strcmp(c.rope.type, "default") == 0 &&
              c.bos_token_id == HF_NO_TOKEN && c.eos_count == 0 && c.dtype == DT_F32 &&
              !c.qkv_bias && !c.qk_norm && !hf_config_is_moe(&c) && !c.quantized);
    CHECK("config.json: its text is kept as it was",
          c.text.len == strlen(c.text.data) && strstr(c.text.data, "\"vocab_size\":100"));
    hf_config_free(&c);
}

#define KV "\"num_key_value_heads\":2,"

/* Which of the first layers have the window, as a number. */
static int windows(const char *text)
{
    struct hf_config c;
    struct err e;
    int got = parse(text, &c, &e) == 0 ? (int)c.window_layers[0] : -1;
    if (got < 0) printf("# %s\n", e.msg);
    if (got == 0 && c.sliding_window) got = -2;
    hf_config_free(&c);
    return got;
}

/* Three layers. */
#define THREE                                                                                      \
    "\"vocab_size\":100,\"hidden_size\":64,\"intermediate_size\":96,\"num_hidden_layers\":3,"      \
    "\"num_attention_heads\":4,\"num_key_value_heads\":2"
#define QWEN(more)      "{\"model_type\":\"qwen3\"," more "," THREE "}"
#define QWEN2_MOE(more) "{\"model_type\":\"qwen2_moe\"," more "," THREE "}"
#define MINISTRAL(more) "{\"model_type\":\"ministral\"," more "," THREE "}"
#define SMOLLM3(more)   "{\"model_type\":\"smollm3\"," more THREE "}"
#define GRANITE(more)   "{\"model_type\":\"granite\"," more THREE "}"
#define SEED_OSS(more)  "{\"model_type\":\"seed_oss\"," more THREE "}"

static void layers_with_windows(void)
{
    CHECK("mistral: in all layers",
          windows("{\"model_type\":\"mistral\",\"sliding_window\":9," THREE "}") == 7);
    CHECK("mistral: absent means 4096", windows("{\"model_type\":\"mistral\"," THREE "}") == 7);
    CHECK("mistral: null means none",
          windows("{\"model_type\":\"mistral\",\"sliding_window\":null," THREE "}") == 0);
    CHECK("windows: llama has none",
          windows("{\"model_type\":\"llama\",\"sliding_window\":9," THREE "}") == 0);
    CHECK("qwen: no window unless use_sliding_window says so",
          windows(QWEN("\"sliding_window\":9,\"max_window_layers\":1")) == 0);
    CHECK("qwen: from max_window_layers on",
          windows(QWEN("\"sliding_window\":9,\"use_sliding_window\":true,"
                       "\"max_window_layers\":1")) == 6);
    CHECK("qwen: an absent max_window_layers is 28",
          windows(QWEN("\"sliding_window\":9,\"use_sliding_window\":true")) == 0);
    CHECK("qwen: layer_types say which layers have the window",
          windows(QWEN("\"sliding_window\":9,\"use_sliding_window\":true,\"layer_types\":["
                       "\"sliding_attention\",\"full_attention\",\"sliding_attention\"]")) == 5);
    CHECK("qwen2_moe: in every second layer below max_window_layers, from the first on",
          windows(QWEN2_MOE("\"sliding_window\":9,\"use_sliding_window\":true")) == 5 &&
              windows(QWEN2_MOE("\"sliding_window\":9,\"use_sliding_window\":true,"
                                "\"max_window_layers\":2")) == 1 &&
              windows(QWEN2_MOE("\"sliding_window\":9,\"use_sliding_window\":true,"
                                "\"max_window_layers\":0")) == 0);
    CHECK("qwen2_moe: no window unless use_sliding_window says so",
          windows(QWEN2_MOE("\"sliding_window\":9")) == 0);
    CHECK("qwen2_moe: layer_types override that rule",
          windows(QWEN2_MOE("\"sliding_window\":9,\"use_sliding_window\":true,\"layer_types\":["
                            "\"full_attention\",\"sliding_attention\",\"full_attention\"]")) == 2);
    CHECK("qwen: layer_types of full attention need no window",
          windows(QWEN("\"layer_types\":[\"full_attention\",\"full_attention\","
                       "\"full_attention\"]")) == 0);
    CHECK("ministral: in all layers", windows(MINISTRAL("\"sliding_window\":9")) == 7);
    CHECK("ministral: absent means 4096", windows(MINISTRAL("\"head_dim\":16")) == 7);
    CHECK("ministral: null means none", windows(MINISTRAL("\"sliding_window\":null")) == 0);
    CHECK("ministral: layer_types say which layers have the window",
          windows(MINISTRAL("\"layer_types\":[\"full_attention\",\"sliding_attention\","
                            "\"full_attention\"]")) == 2);
    CHECK("mistral: layer_types have no effect",
          windows("{\"model_type\":\"mistral\",\"layer_types\":[\"full_attention\"]," THREE "}") ==
              7);
    CHECK("smollm3: no window unless use_sliding_window says so",
          windows(SMOLLM3("\"sliding_window\":9,\"no_rope_layers\":[0,1,0],")) == 0);
    CHECK("smollm3: in the layers without rotary positions",
          windows(SMOLLM3("\"sliding_window\":9,\"use_sliding_window\":true,"
                          "\"no_rope_layers\":[0,1,0],")) == 5);
    CHECK("smollm3: an absent sliding_window is none",
          windows(SMOLLM3("\"use_sliding_window\":true,\"no_rope_layers\":[0,1,0],")) == 0);
    CHECK("smollm3: layer_types override that rule",
          windows(SMOLLM3("\"sliding_window\":9,\"use_sliding_window\":true,\"no_rope_layers\":"
                          "[0,1,0],\"layer_types\":[\"full_attention\",\"sliding_attention\","
                          "\"full_attention\"],")) == 2);
    CHECK("windows: too few layer_types are refused",
          refused(QWEN("\"layer_types\":[\"full_attention\"]"), "layer_types: must be a list"));
    CHECK("windows: another type of layer is refused",
          refused(QWEN("\"layer_types\":[\"full_attention\",\"full_attention\","
                       "\"linear_attention\"]"),
                  "layer_types: must be a list"));
    CHECK("windows: layer_types without use_sliding_window are refused",
          refused(QWEN("\"sliding_window\":9,\"layer_types\":[\"full_attention\","
                       "\"full_attention\",\"sliding_attention\"]"),
                  "use_sliding_window: must be true"));
    CHECK("windows: layer_types without the window's size are refused",
          refused(MINISTRAL("\"sliding_window\":null,\"layer_types\":[\"full_attention\","
                            "\"full_attention\",\"sliding_attention\"]"),
                  ": sliding_window: must be set"));
    CHECK("windows: a window of 0 is refused",
          refused("{\"model_type\":\"mistral\",\"sliding_window\":0," THREE "}",
                  "sliding_window: must be a positive integer"));
}

/* The layers with rotary positions, as a number. */
static int rotated(const char *text)
{
    struct hf_config c;
    struct err e;
    const int got = parse(text, &c, &e) == 0 ? (int)c.rope_layers[0] : -1;
    if (got < 0) printf("# %s\n", e.msg);
    hf_config_free(&c);
    return got;
}

static void layers_with_rotation(void)
{
    CHECK("rotation: in all layers of llama, whatever it says",
          rotated("{\"model_type\":\"llama\",\"no_rope_layers\":[0,0,0],"
                  "\"no_rope_layer_interval\":2," THREE "}") == 7);
    CHECK("rotation: not in every fourth layer of smollm3",
          rotated("{\"model_type\":\"smollm3\",\"num_hidden_layers\":9,"
                  "\"vocab_size\":100,\"hidden_size\":64,\"intermediate_size\":96,"
                  "\"num_attention_heads\":4}") == 0x177);
    CHECK("rotation: not in every layer of the interval",
          rotated(SMOLLM3("\"no_rope_layer_interval\":2,")) == 5);
    CHECK("rotation: an interval of 1 leaves none",
          rotated(SMOLLM3("\"no_rope_layer_interval\":1,")) == 0);
    CHECK("rotation: the list overrides the interval, and may be longer",
          rotated(SMOLLM3("\"no_rope_layer_interval\":2,\"no_rope_layers\":[0,1,1,0],")) == 6);
    CHECK("rotation: null is no list",
          rotated(SMOLLM3("\"no_rope_layer_interval\":3,\"no_rope_layers\":null,")) == 3);
    CHECK("rotation: a list that is too short is refused",
          refused(SMOLLM3("\"no_rope_layers\":[0,1],"), "no_rope_layers: must be a list"));
    CHECK("rotation: another value than 0 and 1 is refused",
          refused(SMOLLM3("\"no_rope_layers\":[0,1,2],"), "no_rope_layers: must be a list"));
    CHECK("rotation: an interval of 0 is refused",
          refused(SMOLLM3("\"no_rope_layer_interval\":0,"), "no_rope_layer_interval"));
}

/* Which of three layers have experts, as a number; the last of `more` may be any key. */
static int sparse(const char *type, const char *more, struct hf_config *c)
{
    char text[500];
    struct err e;
    snprintf(text, sizeof text, "{\"model_type\":\"%s\",%s" THREE "}", type, more);
    const int got = parse(text, c, &e) == 0 ? (int)c->sparse_layers[0] : -1;
    if (got < 0) printf("# %s\n", e.msg);
    hf_config_free(c);
    return got;
}

static void layers_with_experts(void)
{
    struct hf_config c;
    CHECK("experts: absent keys of qwen3_moe have transformers' defaults",
          sparse("qwen3_moe", "", &c) == 7 && c.num_experts == 128 && c.experts_per_token == 8 &&
              c.expert_size == 768 && !c.normalise_experts && c.head_dim == 16 && !c.router_loss &&
              c.router_loss_scale == 0.001 && c.sliding_window == 0 && !hf_config_is_moe(&c));
    CHECK("experts: absent keys of mixtral have transformers' defaults",
          sparse("mixtral", "", &c) == 7 && c.num_experts == 8 && c.experts_per_token == 2 &&
              c.expert_size == 96 && c.normalise_experts && c.rope.theta == 1e6 &&
              c.rms_norm_eps == 1e-5 && c.sliding_window == 0);
    CHECK("experts: absent keys of olmoe have transformers' defaults",
          sparse("olmoe", "", &c) == 7 && c.num_experts == 64 && c.experts_per_token == 8 &&
              c.expert_size == 96 && !c.normalise_experts && c.qk_norm == HF_QK_NORM_ROW &&
              c.router_loss_scale == 0.01 && c.rms_norm_eps == 1e-5 && c.sliding_window == 0);
    CHECK("experts: absent keys of qwen2_moe have transformers' defaults",
          sparse("qwen2_moe", "", &c) == 7 && c.num_experts == 60 && c.experts_per_token == 4 &&
              c.expert_size == 1408 && c.shared_size == 5632 && c.shared_router && c.qkv_bias &&
              !c.o_bias && !c.normalise_experts && c.max_position_embeddings == 32768 &&
              sparse("llama", "\"shared_expert_intermediate_size\":9,", &c) == 0 &&
              c.shared_size == 0);
    CHECK("experts: absent keys of granitemoe have transformers' defaults",
          sparse("granitemoe", "\"shared_intermediate_size\":9,", &c) == 7 && c.num_experts == 8 &&
              c.experts_per_token == 2 && c.expert_size == 96 && c.normalise_experts &&
              c.attention_scale == 1 && c.residual_scale == 1 && c.shared_size == 0 &&
              sparse("granitemoeshared", "\"shared_intermediate_size\":9,", &c) == 7 &&
              c.shared_size == 9 && !c.shared_router);
    CHECK("experts: heads of olmoe fill hidden_size",
          refused("{\"model_type\":\"olmoe\",\"head_dim\":8," THREE "}", "head_dim: must be"));
    CHECK("experts: their number has the key of transformers 4 or that of 5",
          sparse("qwen3_moe", "\"num_experts\":16,", &c) == 7 && c.num_experts == 16 &&
              sparse("qwen3_moe", "\"num_local_experts\":12,", &c) == 7 && c.num_experts == 12);
    CHECK("experts: every decoder_sparse_step-th layer has them",
          sparse("qwen3_moe", "\"decoder_sparse_step\":2,", &c) == 2);
    CHECK("experts: the layers of mlp_only_layers have none",
          sparse("qwen3_moe", "\"mlp_only_layers\":[0,2,70],", &c) == 2);
    CHECK("experts: mixtral does not read mlp_only_layers",
          sparse("mixtral", "\"mlp_only_layers\":[0],", &c) == 7);
    CHECK("experts: a model without one has an MLP in every layer",
          sparse("qwen3_moe", "\"num_experts\":0,", &c) == 0);
    CHECK("experts: use_sliding_window of qwen3_moe is about every layer",
          sparse("qwen3_moe", "\"use_sliding_window\":true,\"sliding_window\":9,", &c) == 7 &&
              c.sliding_window == 9 && c.window_layers[0] == 7);
    CHECK("experts: more choices than experts are refused",
          refused("{\"model_type\":\"mixtral\",\"num_experts_per_tok\":9," THREE "}",
                  "num_experts_per_tok: must be at most the number of experts"));
    CHECK("experts: a list that is none is refused",
          refused("{\"model_type\":\"qwen3_moe\",\"mlp_only_layers\":3," THREE "}",
                  "mlp_only_layers: must be a list of indices of layers"));
}

/* Formatted and read again: every field but the text. */
static void round_trip(const char *name, const char *text)
{
    struct hf_config c, d = {0};
    struct err e;
    struct buf b = {0};
    bool ok = parse(text, &c, &e) == 0 && hf_config_format(&c, &b, &e) == 0 &&
              hf_config_parse(b.data, b.len, "again", &d, &e) == 0;
    if (!ok) printf("# %s\n", e.msg);
    buf_free(&c.text);
    buf_free(&d.text);
    c.text = d.text = (struct buf){0};
    CHECK_IN("config.json written", name, ok && memcmp(&c, &d, sizeof c) == 0);
    buf_free(&b);
}

static void round_trips(void)
{
    round_trip("written: llama with biases",
               "{\"model_type\":\"llama\",\"architectures\":[\"LlamaForCausalLM\"],"
               "\"attention_bias\":true,\"mlp_bias\":true,\"eos_token_id\":[1,2]," THREE "}");
    round_trip("written: mistral", "{\"model_type\":\"mistral\",\"sliding_window\":9," THREE "}");
    round_trip("written: mistral without a window",
               "{\"model_type\":\"mistral\",\"sliding_window\":null," THREE "}");
    round_trip("written: qwen2",
               "{\"model_type\":\"qwen2\",\"rope_scaling\":{\"type\":\"yarn\",\"factor\":4.0,"
               "\"original_max_position_embeddings\":512}," THREE "}");
    round_trip("written: qwen3 with windows",
               QWEN("\"sliding_window\":9,\"use_sliding_window\":true,\"max_window_layers\":1,"
                    "\"attention_bias\":true,\"head_dim\":24"));
    round_trip("written: ministral with windows in some layers",
               MINISTRAL("\"sliding_window\":9,\"layer_types\":[\"full_attention\","
                         "\"sliding_attention\",\"full_attention\"]"));
    round_trip("written: ministral without a window", MINISTRAL("\"sliding_window\":null"));
    round_trip("written: smollm3 with windows where nothing rotates",
               SMOLLM3("\"sliding_window\":9,\"use_sliding_window\":true,"
                       "\"no_rope_layers\":[0,1,0],\"tie_word_embeddings\":false,"));
    round_trip("written: granite",
               GRANITE("\"embedding_multiplier\":12,\"logits_scaling\":49.3,"
                       "\"residual_multiplier\":0.22,\"attention_multiplier\":0.0078125,"));
    round_trip("written: seed_oss", SEED_OSS(""));
    round_trip("written: seed_oss with other biases",
               SEED_OSS("\"attention_bias\":false,\"attention_out_bias\":true,\"mlp_bias\":true,"));
    round_trip("written: qwen3_moe with dense layers",
               "{\"model_type\":\"qwen3_moe\",\"num_local_experts\":6,\"norm_topk_prob\":true,"
               "\"decoder_sparse_step\":2,\"mlp_only_layers\":[2],\"use_sliding_window\":true,"
               "\"sliding_window\":9,\"num_experts_per_tok\":3," THREE "}");
    round_trip("written: mixtral",
               "{\"model_type\":\"mixtral\",\"num_local_experts\":6,"
               "\"output_router_logits\":true,\"router_aux_loss_coef\":0.01," THREE "}");
    round_trip("written: qwen2_moe with windows, without biases",
               QWEN2_MOE("\"num_experts\":6,\"shared_expert_intermediate_size\":48,"
                         "\"qkv_bias\":false,\"use_sliding_window\":true,\"sliding_window\":9,"
                         "\"mlp_only_layers\":[0]"));
    round_trip("written: granitemoeshared",
               "{\"model_type\":\"granitemoeshared\",\"num_local_experts\":6,"
               "\"shared_intermediate_size\":48,\"attention_multiplier\":0.0078125,"
               "\"residual_multiplier\":0.22," THREE "}");
    round_trip("written: olmoe",
               "{\"model_type\":\"olmoe\",\"num_experts\":6,\"num_experts_per_tok\":3,"
               "\"clip_qkv\":null,\"attention_bias\":true,\"norm_topk_prob\":true," THREE "}");
    round_trip("written: olmoe with a bound of q, k and v",
               "{\"model_type\":\"olmoe\",\"clip_qkv\":8.0," THREE "}");
    round_trip("written: yarn",
               QWEN("\"rope_parameters\":{\"rope_type\":\"yarn\",\"rope_theta\":1e6,"
                    "\"factor\":4.0,\"attention_factor\":1.5,\"beta_fast\":16.0,"
                    "\"beta_slow\":2.0,\"mscale\":0.7,\"mscale_all_dim\":1.3,"
                    "\"truncate\":false}"));
    round_trip("written: longrope, positions at the top",
               "{\"model_type\":\"phi3\",\"original_max_position_embeddings\":512,"
               "\"rope_scaling\":{\"type\":\"su\",\"short_factor\":[1.0,1.1],"
               "\"long_factor\":[2,4.7]},\"partial_rotary_factor\":0.25," THREE "}");
    round_trip(
        "written: glm without biases, whole heads",
        "{\"model_type\":\"glm\",\"attention_bias\":false,\"partial_rotary_factor\":1.0," THREE
        "}");
    round_trip("written: ernie4_5 with biases, untied",
               "{\"model_type\":\"ernie4_5\",\"use_bias\":true,\"tie_word_embeddings\":false," THREE
               "}");
    round_trip("written: ministral3 without rotary settings",
               "{\"model_type\":\"ministral3\"," THREE "}");
    round_trip("written: ministral3 with others",
               "{\"model_type\":\"ministral3\",\"rope_parameters\":{\"rope_type\":\"default\","
               "\"rope_theta\":7e5,\"original_max_position_embeddings\":64,"
               "\"llama_4_scaling_beta\":0.3}," THREE "}");
    round_trip("written: dynamic", QWEN("\"rope_scaling\":{\"type\":\"dynamic\",\"factor\":2}"));
}

static void families(void)
{
    struct hf_config c;
    struct err e;
    CHECK(
        "family: qwen2 has biases, and no window unless asked",
        parse(
            "{\"model_type\":\"qwen2\",\"sliding_window\":32,\"torch_dtype\":\"bfloat16\"," KV SIZES
            "}",
            &c, &e) == 0 &&
            c.qkv_bias && !c.o_bias && c.sliding_window == 0 && c.dtype == DT_BF16);
    hf_config_free(&c);
    CHECK("family: qwen3 norms q and k",
          parse("{\"model_type\":\"qwen3\",\"head_dim\":32," KV SIZES "}", &c, &e) == 0 &&
              c.qk_norm && !c.qkv_bias && c.head_dim == 32);
    hf_config_free(&c);
    CHECK("family: mistral has a window",
          parse("{\"model_type\":\"mistral\",\"sliding_window\":32,\"dtype\":\"float16\"," KV SIZES
                "}",
                &c, &e) == 0 &&
              c.sliding_window == 32 && c.dtype == DT_F16);
    hf_config_free(&c);
    CHECK("family: mistral has no biases, whatever it says",
          parse("{\"model_type\":\"mistral\",\"attention_bias\":true,\"mlp_bias\":true," KV SIZES
                "}",
                &c, &e) == 0 &&
              !c.qkv_bias && !c.o_bias && !c.mlp_bias);
    hf_config_free(&c);
    CHECK("family: absent sizes are the family's",
          parse("{\"model_type\":\"qwen3\"," KV SIZES "}", &c, &e) == 0 && c.head_dim == 128 &&
              c.max_position_embeddings == 32768);
    hf_config_free(&c);
    CHECK("family: seed_oss has a bias of q, k and v, and drops nothing whatever it says",
          parse(SEED_OSS("\"attention_dropout\":0.1,\"residual_dropout\":0.1,"), &c, &e) == 0 &&
              c.qkv_bias && !c.o_bias && !c.mlp_bias && c.attention_dropout == 0 &&
              c.head_dim == 128 && c.max_position_embeddings == 524288);
    hf_config_free(&c);
    CHECK("family: seed_oss has a key for the bias of o, and null head_dim is derived",
          parse(SEED_OSS("\"attention_bias\":false,\"attention_out_bias\":true,"
                         "\"head_dim\":null,"),
                &c, &e) == 0 &&
              !c.qkv_bias && c.o_bias && c.head_dim == 16);
    hf_config_free(&c);
    CHECK("family: the multipliers of granite are 1 when absent or null",
          parse(GRANITE("\"embedding_multiplier\":null,"), &c, &e) == 0 && c.embed_scale == 1 &&
              c.residual_scale == 1 && c.attention_scale == 1 && c.logit_divisor == 1);
    hf_config_free(&c);
    CHECK("family: granite has four multipliers",
          parse(GRANITE("\"embedding_multiplier\":12,\"logits_scaling\":8,"
                        "\"residual_multiplier\":0.25,\"attention_multiplier\":0.5,"),
                &c, &e) == 0 &&
              c.embed_scale == 12 && c.residual_scale == 0.25 && c.attention_scale == 0.5 &&
              c.logit_divisor == 8);
    hf_config_free(&c);
    CHECK("family: granite's multipliers have no effect in llama",
          parse("{\"model_type\":\"llama\",\"embedding_multiplier\":12,\"logits_scaling\":0,"
                "\"attention_multiplier\":3," THREE "}",
                &c, &e) == 0 &&
              c.embed_scale == 1 && c.attention_scale == 0 && c.logit_divisor == 1);
    hf_config_free(&c);
    CHECK("family: logits that are divided by 0 are refused",
          refused(GRANITE("\"logits_scaling\":0,"), "logits_scaling: must be a number"));
    CHECK("family: null heads of keys are as many as heads",
          parse("{\"model_type\":\"mistral\",\"num_key_value_heads\":null," SIZES "}", &c, &e) ==
                  0 &&
              c.num_key_value_heads == 4 && c.head_dim == 16);
    hf_config_free(&c);
    CHECK("family: absent heads of keys of mistral are eight",
          refused("{\"model_type\":\"mistral\"," SIZES "}", "num_key_value_heads"));
    CHECK("family: attention_bias of llama is on all four",
          parse("{\"model_type\":\"llama\",\"attention_bias\":true," SIZES "}", &c, &e) == 0 &&
              c.qkv_bias && c.o_bias);
    hf_config_free(&c);
    CHECK("family: attention_bias of glm is on q, k and v, and true when absent",
          parse("{\"model_type\":\"glm\"," KV SIZES "}", &c, &e) == 0 && c.qkv_bias && !c.o_bias &&
              !c.mlp_bias && c.rope.partial_rotary_factor == 0.5 && c.head_dim == 128);
    hf_config_free(&c);
    CHECK("family: use_bias of ernie4_5 is on all seven matrices",
          parse("{\"model_type\":\"ernie4_5\",\"use_bias\":true," KV SIZES "}", &c, &e) == 0 &&
              c.qkv_bias && c.o_bias && c.mlp_bias && c.tie_word_embeddings &&
              c.rope.theta == 500000);
    hf_config_free(&c);
    CHECK("family: heads of helium fill hidden_size",
          refused("{\"model_type\":\"helium\",\"head_dim\":8," KV SIZES "}", "head_dim: must be"));
    static const char *const moe[] = {"{\"model_type\":\"llama\",\"num_experts\":128," SIZES "}",
                                      "{\"model_type\":\"qwen3_5_moe\",\"text_config\":{}}",
                                      "{\"model_type\":\"deepseek_v3\",\"n_routed_experts\":256}"};
    for (int i = 0; i < 3; i++) {
        CHECK_IN("mixture of experts", moe[i], parse(moe[i], &c, &e) == 0 && hf_config_is_moe(&c));
        hf_config_free(&c);
    }
}

/* Families that have no row, some with keys that no family of the table may have. */
static void others(void)
{
    static const char *const texts[][2] = {
        {"falcon", "\"vocab_size\":65024,\"hidden_size\":64,\"ffn_hidden_size\":256,"
                   "\"num_kv_heads\":1,\"rope_theta\":\"10000\",\"torch_dtype\":\"auto\""},
        {"gpt2", "\"n_embd\":64,\"n_layer\":2,\"n_head\":4,\"head_dim\":null"},
        {"opt",
         "\"ffn_dim\":256,\"architectures\":[7],\"eos_token_id\":\"</s>\",\"num_experts\":{}"},
        {"mpt", "\"d_model\":64,\"n_layers\":2,\"attention_dropout\":{},\"hidden_act\":[1]"}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct hf_config c;
        struct model m;
        struct err e = {0};
        char text[400], wanted[80];
        snprintf(text, sizeof text, "{\"model_type\":\"%s\",%s}", texts[i][0], texts[i][1]);
        snprintf(wanted, sizeof wanted, "model_type %s is not supported; supported are",
                 texts[i][0]);
        CHECK_IN("other families: the name is told, not a key that they have not", texts[i][0],
                 parse(text, &c, &e) == 0 && !c.family && model_from_hf(&c, &m, &e) < 0 &&
                     e.code == ERR_DATA && strstr(e.msg, wanted) && strstr(e.msg, "qwen3"));
        hf_config_free(&c);
    }
}

static void rope(void)
{
    struct hf_config c;
    struct err e;
    CHECK(
        "rope: rope_scaling with its older name",
        parse("{\"model_type\":\"llama\",\"rope_theta\":5e5,\"rope_scaling\":{\"type\":\"linear\","
              "\"factor\":2.0}," SIZES "}",
              &c, &e) == 0 &&
            strcmp(c.rope.type, "linear") == 0 && c.rope.factor == 2 && c.rope.theta == 500000);
    hf_config_free(&c);
    CHECK("rope: rope_parameters of transformers 5",
          parse("{\"model_type\":\"llama\",\"rope_parameters\":{\"rope_type\":\"llama3\","
                "\"rope_theta\":500000,\"factor\":8.0,\"low_freq_factor\":1.0,"
                "\"high_freq_factor\":4.0,\"original_max_position_embeddings\":8192}," SIZES "}",
                &c, &e) == 0 &&
              strcmp(c.rope.type, "llama3") == 0 && c.rope.factor == 8 &&
              c.rope.low_freq_factor == 1 && c.rope.high_freq_factor == 4 &&
              c.rope.original_max_position == 8192 && c.rope.theta == 500000);
    struct buf b = {0};
    struct hf_config d;
    CHECK("rope: written and read again, the settings are the same",
          hf_config_format(&c, &b, &e) == 0 &&
              hf_config_parse(b.data, b.len, "again", &d, &e) == 0 &&
              memcmp(&c.rope, &d.rope, sizeof c.rope) == 0);
    hf_config_free(&c);
    hf_config_free(&d);
    buf_free(&b);
    CHECK("rope: yarn and llama3 take what they lack from the positions",
          parse("{\"model_type\":\"llama\",\"max_position_embeddings\":512,"
                "\"original_max_position_embeddings\":128,\"rope_scaling\":{\"type\":\"yarn\","
                "\"original_max_position_embeddings\":64}," SIZES "}",
                &c, &e) == 0 &&
              c.rope.original_max_position == 128 && c.rope.factor == 4);
    hf_config_free(&c);
    CHECK("rope: partial_rotary_factor of the settings counts before that at the top",
          parse("{\"model_type\":\"phi3\",\"partial_rotary_factor\":0.5,\"rope_parameters\":"
                "{\"partial_rotary_factor\":0.75}," SIZES "}",
                &c, &e) == 0 &&
              c.rope.partial_rotary_factor == 0.75 && hf_rotary_dim(&c) == 12);
    hf_config_free(&c);
    CHECK("rope: yarn of phi3 is longrope, its positions are those at the top",
          parse("{\"model_type\":\"phi3\",\"max_position_embeddings\":8192,\"rope_scaling\":{"
                "\"type\":\"yarn\",\"original_max_position_embeddings\":64,"
                "\"short_factor\":[1,1.5],\"long_factor\":[2,3]}," SIZES "}",
                &c, &e) == 0 &&
              strcmp(c.rope.type, "longrope") == 0 && c.rope.original_max_position == 4096 &&
              c.rope.factor == 2 && c.rope.factors == 2 && c.rope.short_factor[1] == 1.5f &&
              c.rope.long_factor[0] == 2);
    hf_config_free(&c);
    CHECK("rope: another scaling of phi3 is refused",
          refused(
              "{\"model_type\":\"phi3\",\"rope_scaling\":{\"type\":\"linear\",\"factor\":2}," SIZES
              "}",
              "longrope, su or yarn"));
    CHECK("rope: lists of longrope that differ in length are refused",
          refused("{\"model_type\":\"phi3\",\"rope_scaling\":{\"type\":\"su\",\"short_factor\":[1],"
                  "\"long_factor\":[1,2]}," SIZES "}",
                  "as long as short_factor"));
    CHECK("rope: a factor of longrope that is no number is refused",
          refused("{\"model_type\":\"phi3\",\"rope_scaling\":{\"type\":\"su\",\"short_factor\":"
                  "[\"1\"]}," SIZES "}",
                  "rope_scaling.short_factor: must be a list"));
    CHECK("rope: ministral3 without settings has yarn and a factor of q",
          parse("{\"model_type\":\"ministral3\",\"rope_theta\":5," KV SIZES "}", &c, &e) == 0 &&
              strcmp(c.rope.type, "yarn") == 0 && c.rope.theta == 1e6 && c.rope.factor == 16 &&
              c.rope.original_max_position == 16384 && c.rope.q_beta == 0.1);
    hf_config_free(&c);
    CHECK("rope: ministral3 with settings has those alone",
          parse("{\"model_type\":\"ministral3\",\"rope_parameters\":{}," KV SIZES "}", &c, &e) ==
                  0 &&
              strcmp(c.rope.type, "default") == 0 && c.rope.theta == 10000 && c.rope.q_beta == 0);
    hf_config_free(&c);
    CHECK("rope: rope_scaling counts before rope_parameters",
          parse("{\"model_type\":\"llama\",\"rope_parameters\":{\"rope_type\":\"yarn\","
                "\"rope_theta\":5e5},\"rope_scaling\":{\"type\":\"linear\",\"factor\":2.0}," SIZES
                "}",
                &c, &e) == 0 &&
              strcmp(c.rope.type, "linear") == 0 && c.rope.theta == 10000);
    hf_config_free(&c);
    CHECK("rope: a scaling without its factor is refused",
          refused("{\"model_type\":\"llama\",\"rope_scaling\":{\"type\":\"linear\"}," SIZES "}",
                  "rope_scaling.factor: must be present"));
    CHECK("config.json: null means absent",
          parse("{\"model_type\":\"llama\",\"rope_scaling\":null,"
                "\"sliding_window\":null,\"eos_token_id\":null," SIZES "}",
                &c, &e) == 0 &&
              c.eos_count == 0);
    hf_config_free(&c);
    CHECK("config.json: several end tokens are read",
          parse("{\"model_type\":\"llama\",\"eos_token_id\":[7,9]," SIZES "}", &c, &e) == 0 &&
              c.eos_count == 2 && c.eos_token_id[1] == 9);
    hf_config_free(&c);
}

static void refusals(void)
{
    CHECK("config.json refused: not JSON", refused("{", "line 1"));
    CHECK("config.json refused: a list", refused("[]", "object"));
    CHECK("config.json refused: no model_type", refused("{" SIZES "}", "model_type"));
    CHECK("config.json refused: a missing size",
          refused("{\"model_type\":\"llama\",\"vocab_size\":1}", "hidden_size"));
    CHECK("config.json refused: a size of zero",
          refused("{\"model_type\":\"llama\",\"head_dim\":0," SIZES "}",
                  "head_dim: must be a positive integer"));
    CHECK("config.json refused: a size that is text",
          refused("{\"model_type\":\"llama\",\"head_dim\":\"64\"," SIZES "}", "head_dim"));
    CHECK("config.json refused: an absurd size",
          refused("{\"model_type\":\"llama\",\"max_position_embeddings\":1e18," SIZES "}",
                  "max_position_embeddings"));
    CHECK("config.json refused: heads that do not divide",
          refused("{\"model_type\":\"llama\",\"num_key_value_heads\":3," SIZES "}", "divisor"));
#define UNEVEN                                                                                     \
    "\"vocab_size\":100,\"hidden_size\":64,\"intermediate_size\":96,\"num_hidden_layers\":2,"      \
    "\"num_attention_heads\":3,\"num_key_value_heads\":3,\"head_dim\":8}"
    struct hf_config c;
    struct err e;
    CHECK("config.json refused: heads that do not divide the hidden size, for Llama only",
          refused("{\"model_type\":\"llama\"," UNEVEN, "a divisor of hidden_size") &&
              parse("{\"model_type\":\"qwen3\"," UNEVEN, &c, &e) == 0 && c.head_dim == 8);
    hf_config_free(&c);
    CHECK("config.json refused: an epsilon below zero",
          refused("{\"model_type\":\"llama\",\"rms_norm_eps\":-1e-6," SIZES "}", "rms_norm_eps"));
    CHECK("config.json refused: a flag that is a number",
          refused("{\"model_type\":\"llama\",\"tie_word_embeddings\":1," SIZES "}",
                  "tie_word_embeddings"));
    CHECK("config.json refused: an unknown type of element",
          refused("{\"model_type\":\"llama\",\"torch_dtype\":\"int3\"," SIZES "}", "torch_dtype"));
    CHECK(
        "config.json refused: a key twice",
        refused("{\"model_type\":\"llama\",\"head_dim\":8,\"head_dim\":16," SIZES "}", "head_dim"));
    CHECK("config.json refused: rope settings that are no object",
          refused("{\"model_type\":\"llama\",\"rope_scaling\":4," SIZES "}", "rope_scaling"));
    CHECK("config.json refused: a rope factor that is text",
          refused("{\"model_type\":\"llama\",\"rope_scaling\":{\"factor\":\"2\"}," SIZES "}",
                  "rope_scaling.factor"));
}

static bool real_is(double v, bool single, const char *text)
{
    char got[NUM_TEXT];
    hf_real_text(v, single, got);
    return strcmp(got, text) == 0;
}

static void reals(void)
{
    CHECK("config.json: a number is written with the shortest text",
          real_is(1e-5f, true, "1e-05") && real_is(1e5, false, "100000.0") &&
              real_is(0.02, false, "0.02") && real_is(0, false, "0.0") &&
              real_is(1.0 / 3, false, "0.3333333333333333") && real_is(0.1f, true, "0.1"));
}

/* ---- the parameter list ---- */
struct tally {
    int count;
    uint64_t elements;
    char names[4000];
};
static int tally_param(void *arg, const struct hf_param *p, struct err *e)
{
    struct tally *t = arg;
    (void)e;
    t->count++;
    t->elements += p->dim[0] * (p->ndim == 2 ? p->dim[1] : 1);
    snprintf(t->names + strlen(t->names), sizeof t->names - strlen(t->names), " %s", p->name);
    return 0;
}

static void params(void)
{
    struct hf_config c;
    struct err e;
    struct tally t = {0};
    parse("{\"model_type\":\"llama\",\"num_key_value_heads\":2,\"tie_word_embeddings\":true," SIZES
          "}",
          &c, &e);
    /* 100*64 + 2 * (2*64 + 64*64*2 + 2*32*64 + 3*64*96) + 64 */
    CHECK("parameters: a tied llama has 2 and 9 a layer",
          hf_param_list(&c, tally_param, &t, &e) == 0 && t.count == 20 && t.elements == 68160);
    CHECK("parameters: a tied llama has no head",
          !strstr(t.names, "lm_head") && strstr(t.names, " model.norm.weight"));
    hf_config_free(&c);
    memset(&t, 0, sizeof t);
    parse("{\"model_type\":\"qwen2\"," SIZES "}", &c, &e);
    CHECK("parameters: an untied qwen2 has three biases a layer and a head",
          hf_param_list(&c, tally_param, &t, &e) == 0 && t.count == 27 &&
              strstr(t.names, "layers.1.self_attn.v_proj.bias") &&
              strstr(t.names, " lm_head.weight"));
    hf_config_free(&c);
    parse("{\"model_type\":\"gemma3n_text\"," SIZES "}", &c, &e);
    CHECK("parameters: another family is refused",
          hf_param_list(&c, tally_param, &t, &e) == -1 && strstr(e.msg, "gemma3n_text"));
    hf_config_free(&c);
}

int main(void)
{
    defaults();
    families();
    others();
    layers_with_windows();
    layers_with_rotation();
    layers_with_experts();
    round_trips();
    rope();
    refusals();
    reals();
    params();
    TEST_END();
}
