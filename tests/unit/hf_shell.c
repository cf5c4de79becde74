/* SPDX-License-Identifier: Apache-2.0 */
/* Text models inside of multimodal ones: what their config.json says, and their tensors' names. */
#include "hf/shell.h"

#include "hf/config.h"
#include "hf/family.h"
#include "hf/safetensors.h"
#include "model/model.h"
#include "test.h"

#define TEXT                                                                                       \
    "\"text_config\":{\"model_type\":\"mistral\",\"vocab_size\":3,\"hidden_size\":8,"              \
    "\"intermediate_size\":8,\"num_hidden_layers\":2,\"num_attention_heads\":2,"                   \
    "\"num_key_value_heads\":1,\"rms_norm_eps\":1e-5,\"bos_token_id\":1,"

static int parse(const char *text, struct hf_config *c, struct err *e)
{
    memset(e, 0, sizeof *e);
    return hf_config_parse(text, strlen(text), "config.json", c, e);
}

static void configs(void)
{
    struct hf_config c;
    struct model m;
    struct err e;
    CHECK("text_config: the text model is read from it",
          parse("{\"model_type\":\"mistral3\",\"hidden_size\":7," TEXT "\"eos_token_id\":2}}", &c,
                &e) == 0 &&
              strcmp(c.model_type, "mistral") == 0 && strcmp(c.shell, "mistral3") == 0 &&
              c.hidden_size == 8 && c.num_hidden_layers == 2 && c.bos_token_id == 1 &&
              c.eos_count == 1 && c.dtype == DT_F32 && model_from_hf(&c, &m, &e) == 0 &&
              m.names == HF_NAMES_INNER);
    hf_config_free(&c);
    CHECK("text_config: type, ids, tie and quantization outside of it count",
          parse("{\"model_type\":\"mistral3\",\"torch_dtype\":\"bfloat16\",\"eos_token_id\":[1,2],"
                "\"tie_word_embeddings\":true,\"quantization_config\":{}," TEXT
                "\"torch_dtype\":\"float32\",\"eos_token_id\":0}}",
                &c, &e) == 0 &&
              c.dtype == DT_BF16 && c.eos_count == 2 && c.bos_token_id == 1 &&
              c.tie_word_embeddings && c.quantized);
    hf_config_free(&c);
    CHECK("text_config: a wrong key is named with its place",
          parse("{\"model_type\":\"mistral3\"," TEXT "\"head_dim\":-1}}", &c, &e) == -1 &&
              strstr(e.msg, "text_config.head_dim: must be"));
    CHECK("text_config: one without a model_type leaves the outer one, which is refused",
          parse("{\"model_type\":\"gemma3\",\"text_config\":{}}", &c, &e) == 0 &&
              model_from_hf(&c, &m, &e) == -1 && strstr(e.msg, "model_type gemma3 is not"));
    hf_config_free(&c);
    CHECK("text_config: a model that reads its prompt in both directions is refused",
          parse("{\"model_type\":\"paligemma\"," TEXT "\"eos_token_id\":2}}", &c, &e) == 0 &&
              model_from_hf(&c, &m, &e) == -1 && strstr(e.msg, "paligemma"));
    hf_config_free(&c);
}

static void names(void)
{
    static const struct {
        enum hf_names form;
        const char *layer, *head, *module, *module_head;
    } all[] = {
        {HF_NAMES_OWN, "model.layers.3.x", "lm_head.weight", "model.layers.3.x", "lm_head.weight"},
        {HF_NAMES_INNER, "model.language_model.layers.3.x", "lm_head.weight",
         "model.language_model.layers.3.x", "lm_head.weight"},
        {HF_NAMES_OUTER, "language_model.model.layers.3.x", "language_model.lm_head.weight",
         "model.language_model.layers.3.x", "lm_head.weight"},
        {HF_NAMES_MIXED, "language_model.model.layers.3.x", "lm_head.weight",
         "model.language_model.layers.3.x", "lm_head.weight"},
        {HF_NAMES_TEXT, "model.text_model.layers.3.x", "lm_head.weight",
         "model.text_model.layers.3.x", "lm_head.weight"},
    };
    char layer[HF_TENSOR_NAME], head[HF_TENSOR_NAME], back[HF_TENSOR_NAME];
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        const enum hf_names form = all[i].form;
        hf_name_in(form, "model.layers.3.x", layer, sizeof layer);
        CHECK_IN("names: files have those of their form", all[i].layer,
                 strcmp(layer, all[i].layer) == 0 &&
                     strcmp(hf_name_of_role(NULL, form, HF_ROLE_HEAD, head), all[i].head) == 0);
        hf_name_in(hf_module_names(form), "model.layers.3.x", back, sizeof back);
        hf_module_name(all[i].head, head, sizeof head);
        CHECK_IN("names: modules have transformers'", all[i].layer,
                 strcmp(back, all[i].module) == 0 && strcmp(head, all[i].module_head) == 0);
        hf_module_name(all[i].layer, back, sizeof back);
        hf_file_name(form, back, layer, sizeof layer);
        hf_file_name(form, all[i].module_head, head, sizeof head);
        CHECK_IN("names: there and back they are the file's", all[i].layer,
                 strcmp(back, all[i].module) == 0 && strcmp(layer, all[i].layer) == 0 &&
                     strcmp(head, all[i].head) == 0);
    }
}

/* Resolves a configuration with the tensors of a header, of which each has one byte of `data`. */
static bool resolves(const char *outside, const char *embed, const char *head, const char *data,
                     enum hf_names form, bool tied)
{
    struct hf_config c;
    struct err e;
    struct buf text = {0}, header = {0}, file = {0};
    const uint64_t count = head ? 2 : 1;
    buf_printf(&text, "{\"model_type\":\"mistral3\",%s" TEXT "\"eos_token_id\":2}}", outside);
    buf_printf(&header, "{\"%s\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}", embed);
    if (head)
        buf_printf(&header, ",\"%s\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}",
                   head);
    buf_puts(&header, "}");
    buf_u64(&file, header.len);
    buf_add(&file, header.data, header.len);
    buf_add(&file, data, count);
    struct safetensors *s = safetensors_parse(file.data, file.len, "file", &e);
    bool ok = s && parse(text.data, &c, &e) == 0;
    if (ok) {
        hf_shell_resolve(c.family, s, &c.names, c.untied ? NULL : &c.tie_word_embeddings);
        ok = c.names == form && c.tie_word_embeddings == tied;
        hf_config_free(&c);
    }
    safetensors_close(s);
    buf_free(&text);
    buf_free(&header);
    buf_free(&file);
    return ok;
}

static void files(void)
{
    static const char outer[] = "language_model.model.embed_tokens.weight";
    static const char inner[] = "model.language_model.embed_tokens.weight";
    static const char no[] = "\"tie_word_embeddings\":false,";
    static const char tied[] = "\"tie_word_embeddings\":true,";
    CHECK("files: the form of the names is theirs",
          resolves("", outer, "language_model.lm_head.weight", "ab", HF_NAMES_OUTER, false) &&
              resolves("", outer, "lm_head.weight", "ab", HF_NAMES_MIXED, false) &&
              resolves("", inner, "lm_head.weight", "ab", HF_NAMES_INNER, false) &&
              resolves("", "model.text_model.embed_tokens.weight", "lm_head.weight", "ab",
                       HF_NAMES_TEXT, false));
    CHECK("files: a model without a head of its own is tied",
          resolves("", outer, NULL, "a", HF_NAMES_OUTER, true) &&
              resolves(tied, inner, NULL, "a", HF_NAMES_INNER, true));
    CHECK("files: a head that differs is not tied, one that does not is",
          resolves(tied, inner, "lm_head.weight", "ab", HF_NAMES_INNER, false) &&
              resolves(tied, inner, "lm_head.weight", "aa", HF_NAMES_INNER, true));
    CHECK("files: config.json may say that it is not tied",
          resolves(no, inner, "lm_head.weight", "aa", HF_NAMES_INNER, false) &&
              resolves(no, inner, NULL, "a", HF_NAMES_INNER, false));
}

int main(void)
{
    configs();
    names();
    files();
    TEST_END();
}
