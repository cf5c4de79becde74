/* SPDX-License-Identifier: Apache-2.0 */
/* config.json -> descriptor: published models have the parameters they are known to have, what is
 * not supported is refused; the work and the reach that follow from a descriptor. */
#include "hf/config.h"
#include "model/model.h"
#include "test.h"
#include "tiny.h"

/* ---- published models: their tensors add up to what they are known to have ---- */
#define LLAMA_3_2_1B                                                                               \
    "{\"model_type\":\"llama\",\"attention_bias\":false,\"head_dim\":64,\"hidden_act\":\"silu\","  \
    "\"hidden_size\":2048,\"intermediate_size\":8192,\"max_position_embeddings\":131072,"          \
    "\"mlp_bias\":false,\"num_attention_heads\":32,\"num_hidden_layers\":16,"                      \
    "\"num_key_value_heads\":8,\"pretraining_tp\":1,\"rms_norm_eps\":1e-05,\"rope_scaling\":{"     \
    "\"factor\":32.0,\"high_freq_factor\":4.0,\"low_freq_factor\":1.0,"                            \
    "\"original_max_position_embeddings\":8192,\"rope_type\":\"llama3\"},"                         \
    "\"rope_theta\":500000.0,\"tie_word_embeddings\":true,\"vocab_size\":128256}"
#define LLAMA_2_7B                                                                                 \
    "{\"model_type\":\"llama\",\"hidden_act\":\"silu\",\"hidden_size\":4096,"                      \
    "\"intermediate_size\":11008,\"max_position_embeddings\":4096,\"num_attention_heads\":32,"     \
    "\"num_hidden_layers\":32,\"rms_norm_eps\":1e-05,\"rope_scaling\":null,\"vocab_size\":32000}"
#define QWEN_2_5_0_5B                                                                              \
    "{\"model_type\":\"qwen2\",\"attention_dropout\":0.0,\"hidden_act\":\"silu\","                 \
    "\"hidden_size\":896,\"intermediate_size\":4864,\"max_position_embeddings\":32768,"            \
    "\"max_window_layers\":21,\"num_attention_heads\":14,\"num_hidden_layers\":24,"                \
    "\"num_key_value_heads\":2,\"rms_norm_eps\":1e-06,\"rope_theta\":1000000.0,"                   \
    "\"sliding_window\":32768,\"tie_word_embeddings\":true,\"use_sliding_window\":false,"          \
    "\"vocab_size\":151936}"
#define QWEN_3_0_6B                                                                                \
    "{\"model_type\":\"qwen3\",\"attention_bias\":false,\"attention_dropout\":0.0,"                \
    "\"head_dim\":128,\"hidden_act\":\"silu\",\"hidden_size\":1024,\"intermediate_size\":3072,"    \
    "\"max_position_embeddings\":40960,\"max_window_layers\":28,\"num_attention_heads\":16,"       \
    "\"num_hidden_layers\":28,\"num_key_value_heads\":8,\"rms_norm_eps\":1e-06,"                   \
    "\"rope_scaling\":null,\"rope_theta\":1000000,\"sliding_window\":null,"                        \
    "\"tie_word_embeddings\":true,\"use_sliding_window\":false,\"vocab_size\":151936}"
#define MISTRAL_7B                                                                                 \
    "{\"model_type\":\"mistral\",\"hidden_act\":\"silu\",\"hidden_size\":4096,"                    \
    "\"intermediate_size\":14336,\"max_position_embeddings\":32768,\"num_attention_heads\":32,"    \
    "\"num_hidden_layers\":32,\"num_key_value_heads\":8,\"rms_norm_eps\":1e-05,"                   \
    "\"rope_theta\":10000.0,\"sliding_window\":4096,\"tie_word_embeddings\":false,"                \
    "\"vocab_size\":32000}"

#define SEED_OSS_36B                                                                               \
    "{\"model_type\":\"seed_oss\",\"attention_bias\":true,\"attention_dropout\":0.1,"              \
    "\"attention_out_bias\":false,\"head_dim\":128,\"hidden_act\":\"silu\",\"hidden_size\":5120,"  \
    "\"intermediate_size\":27648,\"max_position_embeddings\":524288,\"mlp_bias\":false,"           \
    "\"num_attention_heads\":80,\"num_hidden_layers\":64,\"num_key_value_heads\":8,"               \
    "\"residual_dropout\":0.1,\"rms_norm_eps\":1e-06,\"rope_scaling\":{\"rope_type\":\"default\"}" \
    ","                                                                                            \
    "\"rope_theta\":10000000.0,\"tie_word_embeddings\":false,\"vocab_size\":155136}"
#define MINISTRAL_8B                                                                               \
    "{\"model_type\":\"ministral\",\"head_dim\":128,\"hidden_act\":\"silu\",\"hidden_size\":4096," \
    "\"intermediate_size\":12288,\"max_position_embeddings\":32768,\"num_attention_heads\":32,"    \
    "\"num_hidden_layers\":36,\"num_key_value_heads\":8,\"rms_norm_eps\":1e-05,"                   \
    "\"rope_theta\":100000000.0,\"sliding_window\":32768,\"tie_word_embeddings\":false,"           \
    "\"vocab_size\":131072}"
#define SMOLLM_3_3B                                                                                \
    "{\"model_type\":\"smollm3\",\"attention_bias\":false,\"hidden_act\":\"silu\","                \
    "\"hidden_size\":2048,\"intermediate_size\":11008,\"max_position_embeddings\":65536,"          \
    "\"max_window_layers\":28,\"mlp_bias\":false,\"no_rope_layer_interval\":4,"                    \
    "\"num_attention_heads\":16,\"num_hidden_layers\":36,\"num_key_value_heads\":4,"               \
    "\"rms_norm_eps\":1e-06,\"rope_scaling\":null,\"rope_theta\":5000000.0,"                       \
    "\"sliding_window\":null,\"use_sliding_window\":false,\"vocab_size\":128256}"

#define GRANITE_3_1_2B                                                                             \
    "{\"model_type\":\"granite\",\"attention_bias\":false,\"attention_multiplier\":0.015625,"      \
    "\"embedding_multiplier\":12.0,\"hidden_act\":\"silu\",\"hidden_size\":2048,"                  \
    "\"intermediate_size\":8192,\"logits_scaling\":8.0,\"max_position_embeddings\":131072,"        \
    "\"mlp_bias\":false,\"num_attention_heads\":32,\"num_hidden_layers\":40,"                      \
    "\"num_key_value_heads\":8,\"residual_multiplier\":0.22,\"rms_norm_eps\":1e-05,"               \
    "\"rope_scaling\":null,\"rope_theta\":5000000.0,\"tie_word_embeddings\":true,"                 \
    "\"vocab_size\":49155}"
#define PHI_3_MINI                                                                                 \
    "{\"model_type\":\"phi3\",\"hidden_act\":\"silu\",\"hidden_size\":3072,"                       \
    "\"intermediate_size\":8192,\"max_position_embeddings\":4096,\"num_attention_heads\":32,"      \
    "\"num_hidden_layers\":32,\"num_key_value_heads\":32,"                                         \
    "\"original_max_position_embeddings\":4096,\"rms_norm_eps\":1e-05,\"rope_scaling\":null,"      \
    "\"sliding_window\":2047,\"tie_word_embeddings\":false,\"vocab_size\":32064}"
#define PHI_4_MINI                                                                                 \
    "{\"model_type\":\"phi3\",\"hidden_size\":3072,\"intermediate_size\":8192,"                    \
    "\"max_position_embeddings\":131072,\"num_attention_heads\":24,\"num_hidden_layers\":32,"      \
    "\"num_key_value_heads\":8,\"original_max_position_embeddings\":4096,"                         \
    "\"partial_rotary_factor\":0.75,\"rope_scaling\":null,\"sliding_window\":262144,"              \
    "\"tie_word_embeddings\":true,\"vocab_size\":200064}"
#define ERNIE_4_5_0_3B                                                                             \
    "{\"model_type\":\"ernie4_5\",\"hidden_size\":1024,\"intermediate_size\":3072,"                \
    "\"num_attention_heads\":16,\"num_hidden_layers\":18,\"num_key_value_heads\":2,"               \
    "\"tie_word_embeddings\":true,\"use_bias\":false,\"vocab_size\":103424}"
#define GLM_4_9B                                                                                   \
    "{\"model_type\":\"glm\",\"attention_bias\":true,\"head_dim\":128,\"hidden_size\":4096,"       \
    "\"intermediate_size\":13696,\"max_position_embeddings\":131072,\"num_attention_heads\":32,"   \
    "\"num_hidden_layers\":40,\"num_key_value_heads\":2,\"partial_rotary_factor\":0.5,"            \
    "\"tie_word_embeddings\":false,\"vocab_size\":151552}"

static bool parse(const char *text, struct hf_config *c, struct model *m, struct err *e)
{
    *e = (struct err){0};
    return hf_config_parse(text, strlen(text), "config.json", c, e) == 0 &&
           model_from_hf(c, m, e) == 0;
}

static void published(void)
{
    static const struct {
        const char *name, *text;
        size_t elements;
        int32_t window;
    } models[] = {
        {"Llama-3.2-1B", LLAMA_3_2_1B, 1235814400, 0},
        {"Llama-2-7B", LLAMA_2_7B, 6738415616, 0},
        {"Qwen2.5-0.5B", QWEN_2_5_0_5B, 494032768, 0},
        {"Qwen3-0.6B", QWEN_3_0_6B, 596049920, 0},
        {"Mistral-7B", MISTRAL_7B, 7241732096, 4096},
        {"Seed-OSS-36B", SEED_OSS_36B, 36151104512, 0},
        {"Ministral-8B", MINISTRAL_8B, 8019808256, 32768},
        {"SmolLM3-3B", SMOLLM_3_3B, 3075098624, 0},
        {"granite-3.1-2b", GRANITE_3_1_2B, 2533531648, 0},
        {"Phi-3-mini-4k", PHI_3_MINI, 3821079552, 2047},
        {"Phi-4-mini", PHI_4_MINI, 3836021760, 262144},
        {"ERNIE-4.5-0.3B", ERNIE_4_5_0_3B, 360748032, 0},
        {"GLM-4-9B-chat", GLM_4_9B, 9399951360, 0},
    };
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        struct hf_config c;
        struct model m;
        struct params t;
        struct err e;
        bool ok = parse(models[i].text, &c, &m, &e) && params_make(&m, NULL, &t, &e) == 0;
        if (!ok) printf("# %s\n", e.msg);
        CHECK_IN("model", models[i].name,
                 ok && t.elements == models[i].elements && model_window(&m, 0) == models[i].window);
        if (ok) params_free(&t);
        hf_config_free(&c);
    }
}

/* ---- what is refused, each with the list of what is not ---- */
#define SIZES                                                                                      \
    "\"vocab_size\":100,\"hidden_size\":64,\"intermediate_size\":96,\"num_hidden_layers\":2,"      \
    "\"num_attention_heads\":4,\"num_key_value_heads\":2"
#define ROPE(text) "{\"model_type\":\"llama\",\"rope_scaling\":{" text "}," SIZES "}"

static void refusals(void)
{
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"{\"model_type\":\"mpt\"," SIZES "}", "model_type mpt"},
        {"{\"model_type\":\"gemma\",\"use_bidirectional_attention\":true," SIZES "}",
         "use_bidirectional_attention"},
        {"{\"model_type\":\"deepseek_v3\",\"n_routed_experts\":8," SIZES "}", "mixture of experts"},
        {"{\"model_type\":\"mixtral\",\"router_jitter_noise\":0.1," SIZES "}",
         "router_jitter_noise"},
        {"{\"model_type\":\"olmoe\",\"clip_qkv\":8.0," SIZES "}", "clip_qkv"},
        {"{\"model_type\":\"llama\",\"hidden_act\":\"tanh\"," SIZES "}", "hidden_act tanh"},
        {"{\"model_type\":\"llama\",\"attention_dropout\":0.1," SIZES "}", "attention_dropout"},
        {"{\"model_type\":\"llama\",\"quantization_config\":{}," SIZES "}", "quantized"},
        {"{\"model_type\":\"llama\",\"head_dim\":7," SIZES "}", "an odd head_dim"},
        {"{\"model_type\":\"llama\",\"partial_rotary_factor\":0.5," SIZES "}", "partial_rotary"},
        {"{\"model_type\":\"glm\",\"partial_rotary_factor\":0.01," SIZES "}",
         "rotates no even part"},
        {"{\"model_type\":\"phi3\",\"resid_pdrop\":0.1," SIZES "}", "resid_pdrop"},
        {ROPE("\"type\":\"longrope\",\"factor\":2.0"),
         "short_factor and a long_factor of 8 numbers"},
        {"{\"model_type\":\"ministral3\",\"rope_parameters\":{\"llama_4_scaling_beta\":0.1}," SIZES
         "}",
         "llama_4_scaling_beta without"},
        {"{\"model_type\":\"ministral3\",\"rope_parameters\":{\"llama_4_scaling_beta\":0.1,"
         "\"original_max_position_embeddings\":8,\"type\":\"dynamic\",\"factor\":2}," SIZES "}",
         "llama_4_scaling_beta with"},
        {ROPE("\"type\":\"yarn\",\"factor\":0.5"), "factor below 1"},
        {ROPE("\"rope_type\":\"llama3\",\"factor\":8.0"), "llama3 with these factors"},
        {"{\"model_type\":\"llama\",\"head_dim\":2,\"rope_scaling\":{\"type\":\"dynamic\","
         "\"factor\":2.0}," SIZES "}",
         "head_dim of 2"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct hf_config c;
        struct model m;
        struct err e;
        bool ok = !parse(cases[i].text, &c, &m, &e) && e.code == ERR_DATA &&
                  strstr(e.msg, cases[i].why) && strstr(e.msg, "is not supported; supported are") &&
                  strstr(e.msg, "llama, mistral, qwen2, qwen3") &&
                  strstr(e.msg, "llama3 or longrope");
        if (!ok) printf("# %s\n", e.msg);
        CHECK_IN("model refused", cases[i].why, ok);
        hf_config_free(&c);
    }
}

static void spellings(void)
{
    struct hf_config c;
    struct model m;
    struct err e;
    CHECK("model: swish is taken as silu",
          parse("{\"model_type\":\"llama\",\"hidden_act\":\"swish\"," SIZES "}", &c, &m, &e) &&
              m.act == ACT_SILU && m.gated);
    hf_config_free(&c);
}

static void activations(void)
{
    static const struct {
        const char *family, *more;
        enum act act;
        bool gated;
    } cases[] = {
        {"llama", "", ACT_SILU, true},
        {"llama", "\"hidden_act\":\"gelu\",", ACT_GELU, true},
        {"arcee", "", ACT_RELU2, false},
        {"arcee", "\"hidden_act\":\"silu\",", ACT_SILU, false},
        {"gemma", "\"hidden_activation\":\"relu2\",", ACT_GELU_TANH, true},
        {"gemma", "\"hidden_act\":\"gelu\",", ACT_GELU_TANH, true},
        {"gemma", "\"hidden_act\":\"relu2\",", ACT_RELU2, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct hf_config c;
        struct model m;
        struct err e;
        char text[400], name[100];
        snprintf(text, sizeof text, "{\"model_type\":\"%s\",%s" SIZES "}", cases[i].family,
                 cases[i].more);
        snprintf(name, sizeof name, "%s with {%s}", cases[i].family, cases[i].more);
        CHECK_IN("the activation is the one that transformers takes", name,
                 parse(text, &c, &m, &e) && m.act == cases[i].act && m.gated == cases[i].gated);
        hf_config_free(&c);
    }
}

/* Scaling by alpha does not depend on the length. */
static void alpha(void)
{
    struct hf_config c;
    struct model m;
    struct err e;
    CHECK("hunyuan: alpha is a factor of theta, whatever the length",
          parse("{\"model_type\":\"hunyuan_v1_dense\",\"head_dim\":18,\"rope_scaling\":{"
                "\"type\":\"dynamic\",\"alpha\":256.0}," SIZES "}",
                &c, &m, &e) &&
              m.rope.type == ROPE_DEFAULT && fabs(m.rope.theta - 10000 * 512) < 1e-6);
    hf_config_free(&c);
    CHECK("llama: an alpha has no effect",
          parse(ROPE("\"type\":\"dynamic\",\"alpha\":\"?\",\"factor\":2.0"), &c, &m, &e) &&
              m.rope.type == ROPE_DYNAMIC);
    hf_config_free(&c);
}

/* Pairs of query and key, counted one by one; diagonals are left out, as always. */
static void squares(void)
{
    struct model m = tiny_model(true, false);
    bool right = model_squares(&m, 100) == 10000;
    m.window = 24;
    m.window_layers[0] = 2; /* of two layers, the second */
    for (int n = 1; n < 100; n += 7) {
        double pairs = 0;
        for (int i = 0; i < n; i++) pairs += i + 1 + (i + 1 < 24 ? i + 1 : 24);
        right &= fabs(model_squares(&m, n) - pairs) <= n;
    }
    CHECK("model: the work of a window is counted", right);
}

static void reach(void)
{
    struct model m = tiny_model(true, false);
    bool right = rope_reach(&m, 0) == 64;
    m.rope = (struct rope){.type = ROPE_DYNAMIC, .theta = 10000, .factor = 2.5};
    right &= rope_reach(&m, 0) == 160 && rope_reach(&m, 1) == 64;
    m.rope = (struct rope){.type = ROPE_YARN, .theta = 10000, .factor = 4, .original = 32};
    right &= rope_reach(&m, 0) == 128 && rope_reach(&m, 1) == 128;
    m.rope.original = 8; /* less than max_position_embeddings says already */
    right &= rope_reach(&m, 1) == 64;
    m.rope = (struct rope){.type = ROPE_LONGROPE, .theta = 10000, .factor = 4, .original = 16};
    right &= rope_reach(&m, 0) == 64 && rope_reach(&m, 15) == 16 && rope_reach(&m, 16) == 64;
    right &= rope_is_own(&m, 17) && !rope_is_own(&m, 16) && !rope_moves(&m, 17);
    CHECK("model: the longest document follows from positions and scaling", right);
}

#define FORM "{\"model_type\":\"%s\",%s," SIZES "}"

/* Configurations that differ in one key. */
static void differences(void)
{
    static const struct {
        const char *type, *a, *b, *name;
    } cases[] = {
        {"seed_oss", "\"attention_bias\":true", "\"attention_bias\":false", "attention_bias"},
        {"seed_oss", "\"attention_out_bias\":true", "\"attention_out_bias\":false",
         "attention_bias or attention_out_bias"},
        {"ministral", "\"sliding_window\":9", "\"sliding_window\":null", "sliding_window"},
        {"smollm3", "\"no_rope_layers\":[0,1]", "\"no_rope_layer_interval\":2", "no_rope_layers"},
        {"granite", "\"embedding_multiplier\":2", "\"embedding_multiplier\":3",
         "embedding_multiplier"},
        {"granite", "\"logits_scaling\":2", "\"logits_scaling\":3", "logits_scaling"},
        {"granite", "\"residual_multiplier\":2", "\"residual_multiplier\":3",
         "residual_multiplier"},
        {"granite", "\"attention_multiplier\":2", "\"attention_multiplier\":3",
         "attention_multiplier"},
        {"llama", "\"embedding_multiplier\":2", "\"embedding_multiplier\":3", NULL},
        {"smollm3", "\"no_rope_layers\":[1,0]", "\"no_rope_layer_interval\":2", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[2][400];
        struct hf_config c[2];
        struct model m[2];
        struct err e;
        const char *got = "none was read";
        snprintf(text[0], sizeof text[0], FORM, cases[i].type, cases[i].a);
        snprintf(text[1], sizeof text[1], FORM, cases[i].type, cases[i].b);
        if (parse(text[0], &c[0], &m[0], &e) && parse(text[1], &c[1], &m[1], &e))
            got = model_difference(&m[0], &m[1]);
        CHECK_IN("model: the key that differs is told", cases[i].b,
                 cases[i].name ? got && strcmp(got, cases[i].name) == 0 : !got);
        hf_config_free(&c[0]);
        hf_config_free(&c[1]);
    }
}

int main(void)
{
    published();
    differences();
    refusals();
    spellings();
    activations();
    alpha();
    squares();
    reach();
    TEST_END();
}
