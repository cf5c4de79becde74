/* SPDX-License-Identifier: Apache-2.0 */
/* A small GGUF model, made here, to a Hugging Face folder; and what is refused. */
#include <unistd.h>

#include "base/io.h"
#include "base/json.h"
#include "gguf_make.h"
#include "hf/config.h"
#include "hf/gguf_convert.h"
#include "hf/safetensors.h"
#include "test.h"

enum { HIDDEN = 32, HEADS = 2, HEAD_DIM = 16, VOCAB = 5 };

/* The change that a test makes to the model. */
struct variant {
    const char *arch, *pre, *model, *token, *merge, *missing, *extra;
    bool bias, head, bos, yarn, experts, one_short, no_template, many;
    const char *named; /* a name in the list of templates; NULL: there is no list */
};

/* rows x cols (cols 0: a vector of rows elements); every element of a row is the row's number. */
static void add(struct make *m, const struct variant *v, const char *name, size_t cols, size_t rows)
{
    static float x[64 * 64];
    size_t n = rows ? rows * cols : cols;
    if (v->missing && strcmp(v->missing, name) == 0) return;
    for (size_t i = 0; i < n; i++) x[i] = (float)(rows ? i / cols : i);
    make_tensor(m, name, GGUF_TYPE_F32, cols, rows, x, n * sizeof *x);
}

static void add_layer(struct make *m, const struct variant *v)
{
    size_t keys = HEAD_DIM;
    add(m, v, "blk.0.attn_norm.weight", HIDDEN, 0);
    add(m, v, "blk.0.ffn_norm.weight", HIDDEN, 0);
    add(m, v, "blk.0.attn_q.weight", HIDDEN, HIDDEN);
    add(m, v, "blk.0.attn_k.weight", HIDDEN, v->one_short ? keys - 1 : keys);
    add(m, v, "blk.0.attn_v.weight", HIDDEN, keys);
    add(m, v, "blk.0.attn_output.weight", HIDDEN, HIDDEN);
    add(m, v, "blk.0.ffn_gate.weight", HIDDEN, 48);
    add(m, v, "blk.0.ffn_up.weight", HIDDEN, 48);
    add(m, v, "blk.0.ffn_down.weight", 48, HIDDEN);
    if (!v->bias) return;
    add(m, v, "blk.0.attn_q.bias", HIDDEN, 0);
    add(m, v, "blk.0.attn_k.bias", keys, 0);
    add(m, v, "blk.0.attn_v.bias", keys, 0);
}

static void add_number(struct make *m, const char *arch, const char *key, uint32_t n)
{
    char k[100];
    snprintf(k, sizeof k, "%s.%s", arch, key);
    make_u32(m, k, n);
}

static void add_tokenizer(struct make *m, const struct variant *v)
{
    static const uint32_t types[VOCAB] = {3, 1, 1, 1, 5};
    make_text(m, "tokenizer.ggml.model", v->model ? v->model : "gpt2");
    make_text(m, "tokenizer.ggml.pre", v->pre ? v->pre : "smollm");
    make_array(m, "tokenizer.ggml.tokens", GGUF_STRING, VOCAB);
    make_str(&m->pairs, "<|end|>");
    make_str(&m->pairs, "a");
    make_str(&m->pairs, v->token ? v->token : "\"");
    make_str(&m->pairs, "a\"");
    make_str(&m->pairs, "[PAD4]");
    make_array(m, "tokenizer.ggml.token_type", GGUF_I32, VOCAB);
    for (int i = 0; i < VOCAB; i++) buf_u32(&m->pairs, types[i]);
    make_array(m, "tokenizer.ggml.merges", GGUF_STRING, 1);
    make_str(&m->pairs, v->merge ? v->merge : "a \"");
    make_u32(m, "tokenizer.ggml.eos_token_id", 0);
    make_u32(m, "tokenizer.ggml.bos_token_id", 0);
    if (!v->no_template) make_text(m, "tokenizer.chat_template", "{{ 'x\n' }}");
    if (v->named) {
        const int n = v->many ? 64 : 1;
        make_array(m, "tokenizer.chat_templates", GGUF_STRING, (uint64_t)n);
        for (int i = 0; i < n; i++) make_str(&m->pairs, v->named);
        make_text(m, "tokenizer.chat_template.tool_use", "\"T\"");
    }
    make_key(m, "tokenizer.ggml.add_bos_token", GGUF_BOOL);
    buf_putc(&m->pairs, v->bos);
}

static struct buf model(const struct variant *v)
{
    struct make m = {0};
    const char *arch = v->arch ? v->arch : "llama";
    char key[100];
    make_text(&m, "general.architecture", arch);
    add_number(&m, arch, "block_count", 1);
    add_number(&m, arch, "context_length", 128);
    add_number(&m, arch, "embedding_length", HIDDEN);
    add_number(&m, arch, "feed_forward_length", 48);
    add_number(&m, arch, "attention.head_count", HEADS);
    add_number(&m, arch, "attention.head_count_kv", 1);
    if (v->experts) add_number(&m, arch, "expert_count", 8);
    snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon", arch);
    make_f32(&m, key, 1e-5f);
    snprintf(key, sizeof key, "%s.rope.scaling.type", arch);
    if (v->yarn) make_text(&m, key, "yarn");
    add_tokenizer(&m, v);
    add(&m, v, "token_embd.weight", HIDDEN, VOCAB);
    add_layer(&m, v);
    add(&m, v, "output_norm.weight", HIDDEN, 0);
    if (v->head) add(&m, v, "output.weight", HIDDEN, VOCAB);
    if (v->extra) add(&m, v, v->extra, 8, 0);
    return make_file(&m);
}

static char dir[] = "/tmp/sft-convert.XXXXXX";

static int convert(const struct variant *v, struct err *e)
{
    struct buf b = model(v);
    memset(e, 0, sizeof *e);
    struct gguf *g = gguf_parse(b.data, b.len, "m.gguf", e);
    int rc = g ? gguf_convert(g, dir, NULL, e) : -1;
    gguf_close(g);
    buf_free(&b);
    return rc;
}

static bool refused(struct variant v, const char *text)
{
    struct err e;
    bool ok = convert(&v, &e) == -1 && e.code == ERR_DATA && strstr(e.msg, text) &&
              strstr(e.msg, "m.gguf");
    if (!ok) printf("# %s\n", e.msg);
    return ok;
}

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

static struct json *read_json(const char *name, struct arena *a, struct buf *b)
{
    struct err e = {0};
    char *path = io_path(dir, name, &e);
    buf_reset(b);
    int rc = path ? io_slurp(path, 1 << 20, b, &e) : -1;
    free(path);
    return rc == 0 ? json_parse(b->data, b->len, a, &e) : NULL;
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
    CHECK("GGUF refused: a model with yarn", refused((struct variant){.yarn = true}, "\"yarn\""));
    CHECK("GGUF refused: a sentencepiece tokenizer",
          refused((struct variant){.model = "llama"}, "\"llama\""));
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

/* For command tests: a small model as a GGUF file. */
static int make_model(const char *path)
{
    struct err e = {0};
    const struct variant plain = {0};
    struct buf b = model(&plain);
    int rc = io_put(path, b.data, b.len, &e);
    buf_free(&b);
    if (rc) fprintf(stderr, "%s\n", e.msg);
    return rc ? 1 : 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "make") == 0) return make_model(argv[2]);
    if (!mkdtemp(dir)) return 1;
    llama();
    qwen2();
    tokenizer();
    templates();
    refusals();
    io_remove_tree(dir, NULL);
    TEST_END();
}
