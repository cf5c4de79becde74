/* SPDX-License-Identifier: Apache-2.0 */
/* A small GGUF model, made here, to a Hugging Face folder; and what is refused. */
#include <unistd.h>

#include "convert.h"
#include "hf/config.h"
#include "hf/safetensors.h"

/* The first element of row (or element) r of a bf16 tensor. */
static int value(const struct safetensors *s, const char *name, size_t r)
{
    const struct hf_tensor *t = safetensors_find(s, name);
    float f = -1;
    size_t at = t && t->ndim == 2 ? r * (size_t)t->dim[1] : r;
    if (t) dtype_to_f32(t->dtype, t->data + 2 * at, 1, &f);
    return (int)f;
}

/* Row i of a head comes from row 2i, row 8 + i from row 2i + 1. */
static bool unpermuted(const struct safetensors *s, const char *name, size_t heads, bool permuted)
{
    bool ok = true;
    for (size_t r = 0; r < heads * HEAD_DIM; r++) {
        size_t i = r % HEAD_DIM, from = r - i + (i < 8 ? 2 * i : 2 * (i - 8) + 1);
        ok = ok && value(s, name, r) == (int)(permuted ? from : r);
    }
    return ok;
}

static void llama(void)
{
    struct err e;
    struct variant v = {0};
    CHECK("GGUF llama: a llama is converted", convert(&v, &e) == 0);
    struct safetensors *s = safetensors_open(dir, &e);
    CHECK("GGUF llama: it becomes eleven tensors", s && safetensors_count(s) == 11);
    if (!s) return;
    CHECK("GGUF llama: q and k are put back in order",
          unpermuted(s, "model.layers.0.self_attn.q_proj.weight", 2, true) &&
              unpermuted(s, "model.layers.0.self_attn.k_proj.weight", 1, true));
    CHECK("GGUF llama: the other tensors keep their order",
          unpermuted(s, "model.layers.0.self_attn.v_proj.weight", 1, false) &&
              unpermuted(s, "model.layers.0.self_attn.o_proj.weight", 2, false) &&
              unpermuted(s, "model.layers.0.input_layernorm.weight", 2, false));
    const struct hf_tensor *t = safetensors_find(s, "model.layers.0.mlp.down_proj.weight");
    CHECK("GGUF llama: shapes are [out, in]", t && t->dim[0] == HIDDEN && t->dim[1] == 48);
    safetensors_close(s);
    struct hf_config c;
    CHECK("GGUF llama: the configuration has the model's sizes",
          hf_config_read(dir, &c, &e) == 0 && c.rms_norm_eps == 1e-5 &&
              c.num_key_value_heads == 1 && c.tie_word_embeddings && !c.qkv_bias &&
              c.dtype == DT_BF16);
    hf_config_free(&c);
}

static void qwen2(void)
{
    struct err e;
    struct variant v = {.arch = "qwen2", .pre = "qwen2", .bias = true, .head = true};
    CHECK("GGUF qwen2: a qwen2 is converted", convert(&v, &e) == 0);
    struct safetensors *s = safetensors_open(dir, &e);
    CHECK("GGUF qwen2: biases and a head are converted",
          s && safetensors_count(s) == 15 && value(s, "lm_head.weight", 4) == 4 &&
              value(s, "model.layers.0.self_attn.k_proj.bias", 3) == 3);
    CHECK("GGUF qwen2: its rows are not permuted",
          s && unpermuted(s, "model.layers.0.self_attn.q_proj.weight", 2, false));
    safetensors_close(s);
    v = (struct variant){.bias = true};
    /* attention_bias of Llama has a bias on the output too, which this file lacks. */
    CHECK("GGUF qwen2: a llama with half of its biases is refused", refused(v, "attn_output.bias"));
}

static void tokenizer(void)
{
    struct err e;
    struct arena a = {0};
    struct buf b = {0};
    struct variant v = {.bos = true};
    CHECK("GGUF tokenizer: a model with a BOS is converted", convert(&v, &e) == 0);
    struct json *t = read_json("tokenizer.json", &a, &b);
    const struct json *m = t ? json_get(t, "model") : NULL;
    const struct json *vocab = m ? json_get(m, "vocab") : NULL, *p = NULL;
    int64_t id = 0;
    CHECK("GGUF tokenizer: the vocabulary leaves out unused tokens",
          vocab && vocab->count == 4 && json_int(json_get(vocab, "a\""), &id) == 0 && id == 3);
    CHECK("GGUF tokenizer: the merge is converted",
          m && json_get(m, "merges")->count == 1 &&
              str_is(json_get(m, "merges")->items[0].s, "a \""));
    const struct json *added = t ? json_get(t, "added_tokens") : NULL;
    CHECK("GGUF tokenizer: the special token is converted",
          added && added->count == 1 &&
              str_is(json_get(&added->items[0], "content")->s, "<|end|>") &&
              json_get(&added->items[0], "special")->truth);
    p = t ? json_get(t, "pre_tokenizer") : NULL;
    CHECK("GGUF tokenizer: digits are split one by one",
          p && str_is(json_get(&json_get(p, "pretokenizers")->items[0], "type")->s, "Digits"));
    p = t ? json_get(t, "post_processor") : NULL;
    CHECK("GGUF tokenizer: the BOS is added",
          p && str_is(json_get(p, "type")->s, "TemplateProcessing"));
    struct json *c = read_json("tokenizer_config.json", &a, &b);
    CHECK("GGUF tokenizer: the chat template and the end token are converted",
          c && str_is(json_get(c, "chat_template")->s, "{{ 'x\n' }}") &&
              str_is(json_get(c, "eos_token")->s, "<|end|>"));
    v = (struct variant){.pre = "qwen2"};
    CHECK("GGUF tokenizer: a model with Qwen's pre-tokenizer is converted", convert(&v, &e) == 0);
    t = read_json("tokenizer.json", &a, &b);
    p = t ? json_get(json_get(t, "pre_tokenizer"), "pretokenizers") : NULL;
    const struct json *regex = p ? json_get(json_get(&p->items[0], "pattern"), "Regex") : NULL;
    CHECK("GGUF tokenizer: that pre-tokenizer's pattern is Qwen's",
          regex &&
              str_is(regex->s, "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}"
                               "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|"
                               "\\s+"));
    arena_free(&a);
    buf_free(&b);
}

static void templates(void)
{
    struct err e;
    struct arena a = {0};
    struct buf b = {0};
    struct variant v = {.named = "tool_use"};
    CHECK("GGUF templates: a model with named ones is converted", convert(&v, &e) == 0);
    const struct json *c = read_json("tokenizer_config.json", &a, &b);
    const struct json *t = c ? json_get(c, "chat_template") : NULL;
    bool list = t && t->kind == JSON_ARRAY && t->count == 2;
    CHECK("GGUF templates: the default and the named one are listed",
          list && str_is(json_get(&t->items[0], "name")->s, "default") &&
              str_is(json_get(&t->items[0], "template")->s, "{{ 'x\n' }}") &&
              str_is(json_get(&t->items[1], "name")->s, "tool_use") &&
              str_is(json_get(&t->items[1], "template")->s, "\"T\""));
    v.no_template = true;
    CHECK("GGUF templates: a model without a default is converted", convert(&v, &e) == 0);
    c = read_json("tokenizer_config.json", &a, &b);
    t = c ? json_get(c, "chat_template") : NULL;
    CHECK("GGUF templates: the named one is listed alone",
          t && t->kind == JSON_ARRAY && t->count == 1);
    v.named = NULL;
    CHECK("GGUF templates: a model without any is converted", convert(&v, &e) == 0);
    c = read_json("tokenizer_config.json", &a, &b);
    CHECK("GGUF templates: a model without any gets none", c && !json_get(c, "chat_template"));
    arena_free(&a);
    buf_free(&b);
}

static void refusals(void)
{
    CHECK("GGUF refused: too many names of templates",
          refused((struct variant){.named = "tool_use", .many = true}, "63 names at most"));
    CHECK("GGUF refused: a named template that is not there",
          refused((struct variant){.named = "rag"}, "\"tokenizer.chat_template.rag\": missing"));
    CHECK("GGUF refused: another architecture",
          refused((struct variant){.arch = "gemma"}, "\"gemma\""));
    CHECK("GGUF refused: a model with experts", refused((struct variant){.experts = true}, "MoE"));
    CHECK("GGUF refused: a model with longrope",
          refused((struct variant){.longrope = true}, "\"longrope\""));
    CHECK("GGUF refused: a tokenizer of another kind, by name",
          refused((struct variant){.model = "t5"}, "tokenizer model \"t5\" cannot be converted"));
    CHECK("GGUF refused: an unknown pre-tokenizer",
          refused((struct variant){.pre = "poro"}, "\"poro\""));
    CHECK("GGUF refused: a token twice", refused((struct variant){.token = "a"}, "tokenizer"));
    CHECK("GGUF refused: a token that is not UTF-8",
          refused((struct variant){.token = "\xff"}, "tokenizer"));
    CHECK("GGUF refused: a merge of one part", refused((struct variant){.merge = "ab"}, "merge 0"));
    CHECK("GGUF refused: a merge of three", refused((struct variant){.merge = "a b c"}, "merge 0"));
    CHECK("GGUF refused: a missing tensor",
          refused((struct variant){.missing = "blk.0.ffn_up.weight"}, "blk.0.ffn_up.weight"));
    CHECK("GGUF refused: a missing embedding",
          refused((struct variant){.missing = "token_embd.weight"}, "token_embd"));
    CHECK("GGUF refused: a tensor of another shape",
          refused((struct variant){.one_short = true}, "blk.0.attn_k.weight"));
    CHECK("GGUF refused: a tensor too many",
          refused((struct variant){.extra = "rope_freqs.weight"}, "rope_freqs.weight"));
}

/* For command tests: a small model as a GGUF file. kind "spm": with a tokenizer of SentencePiece's
 * form; "apart": one that llama.cpp reads otherwise; NULL: byte-level. */
static int make_model(const char *path, const char *kind)
{
    static const float scores[VOCAB] = {-1, -1, -1, -2, -2};
    struct err e = {0};
    struct variant v = {.spm = kind};
    if (kind && strcmp(kind, "apart") == 0) {
        v = (struct variant){.spm = true, .text = {[0] = "ax", [4] = "ba"}, .score = scores};
        v.type[0] = v.type[4] = GGUF_TOKEN_NORMAL;
    }
    struct buf b = model(&v);
    int rc = io_put(path, b.data, b.len, &e);
    buf_free(&b);
    if (rc) fprintf(stderr, "%s\n", e.msg);
    return rc ? 1 : 0;
}

int main(int argc, char **argv)
{
    if (argc >= 3 && strcmp(argv[1], "make") == 0) return make_model(argv[2], argv[3]);
    if (!mkdtemp(dir)) return 1;
    llama();
    qwen2();
    tokenizer();
    templates();
    refusals();
    io_remove_tree(dir, NULL);
    TEST_END();
}
