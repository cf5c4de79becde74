/* SPDX-License-Identifier: Apache-2.0 */
/* Edits of an adapter's files: it is refused, or fits its base, and then each row of the base gets
 * the same values alone as with all others. */
#include "fuzz/fuzz.h"
#include "hf/peft.h"

enum { MOST = 100, HIDDEN = 8, RANK = 2, EXPERTS = 2 };
static const char config[] =
    "{\"peft_type\":\"LORA\",\"r\":2,\"lora_alpha\":3,\"use_rslora\":false,"
    "\"target_modules\":[\"q_proj\"],\"target_parameters\":[\"mlp.experts.gate_up_proj\","
    "\"mlp.experts.down_proj\"],\"modules_to_save\":[\"norm\"],\"rank_pattern\":{}}";
static const char model[] =
    "{\"architectures\":[\"Qwen3MoeForCausalLM\"],\"model_type\":\"qwen3_moe\",\"hidden_size\":8,"
    "\"num_hidden_layers\":2,\"num_attention_heads\":2,\"num_key_value_heads\":1,\"head_dim\":4,"
    "\"intermediate_size\":8,\"vocab_size\":8,\"max_position_embeddings\":64,"
    "\"rms_norm_eps\":1e-5,\"rope_theta\":10000,\"num_experts\":2,\"num_experts_per_tok\":1,"
    "\"moe_intermediate_size\":4,\"mlp_only_layers\":[1],\"tie_word_embeddings\":false}";
static struct hf_config hf;
static struct safetensors *base;
static struct buf tensors; /* adapter_model.safetensors */

/* ---- the files ---- */
struct list {
    struct hf_tensor t[MOST];
    char name[MOST][120];
    size_t n;
};

static void add(struct list *l, const char *name, uint64_t rows, uint64_t columns)
{
    struct hf_tensor *t = &l->t[l->n];
    need(l->n < MOST);
    snprintf(l->name[l->n], sizeof *l->name, "%s", name);
    *t = (struct hf_tensor){.name = l->name[l->n++], .dtype = DT_F32, .ndim = columns ? 2 : 1};
    t->dim[0] = rows;
    t->dim[1] = columns;
    need(hf_tensor_size(t) == 0);
}

static int add_param(void *to, const struct hf_param *p, struct err *e)
{
    (void)e;
    add(to, p->name, p->dim[0], p->ndim == 2 ? p->dim[1] : 0);
    return 0;
}

static void write_all(const struct list *l, const char *dir, const char *stem)
{
    struct err e = {0};
    struct safetensors_writer *w = safetensors_create(dir, stem, l->t, l->n, 0, &e);
    need(w != NULL);
    for (size_t i = 0; i < l->n; i++)
        for (uint64_t k = 0; k < l->t[i].count; k++)
            need(safetensors_write(w, &(float){(float)(k % 7) - 3}, sizeof(float), &e) == 0);
    need(safetensors_commit(w, &e) == 0);
}

/* One tensor of the base has a name that stands for experts, and is a matrix. */
static void make_base(void)
{
    static struct list l;
    struct err e = {0};
    need(hf_config_parse(model, sizeof model - 1, "config.json", &hf, &e) == 0);
    need(hf_param_list(&hf, add_param, &l, &e) == 0);
    add(&l, "model.layers.1.mlp.experts.gate_up_proj.weight", HIDDEN, HIDDEN);
    need(io_mkdirs(fuzz_path("base"), &e) == 0 && io_mkdirs(fuzz_path("adapter"), &e) == 0);
    write_all(&l, fuzz_path("base"), "model");
    need((base = safetensors_open(fuzz_path("base"), &e)) != NULL);
}

static void make_adapter(void)
{
#define LAYER "base_model.model.model.layers.0."
    static struct list l;
    add(&l, LAYER "self_attn.q_proj.lora_A.weight", RANK, HIDDEN);
    add(&l, LAYER "self_attn.q_proj.lora_B.weight", HIDDEN, RANK);
    add(&l, LAYER "mlp.experts.base_layer.lora_A.weight", EXPERTS * RANK, HIDDEN);
    add(&l, LAYER "mlp.experts.base_layer.lora_B.weight", 8, EXPERTS * RANK);
    add(&l, LAYER "mlp.experts.lora_A.weight", EXPERTS * RANK, 4);
    add(&l, LAYER "mlp.experts.lora_B.weight", HIDDEN, EXPERTS * RANK);
    add(&l, "base_model.model.model.norm.weight", HIDDEN, 0);
    write_all(&l, fuzz_path("adapter"), "adapter_model");
    fuzz_get(fuzz_path("adapter/adapter_model.safetensors"), &tensors);
}

/* ---- the sum ---- */
static void check_rows(const struct peft *p, const struct hf_tensor *t)
{
    struct err e = {0};
    const uint64_t columns = t->ndim == 2 ? t->dim[1] : 1, rows = t->count / columns;
    float *all = malloc(t->bytes), *one = malloc(columns * sizeof *one);
    need(all && one);
    memcpy(all, t->data, t->bytes);
    need(peft_apply(p, t, 0, rows, all, &e) == 0);
    for (uint64_t r = 0; r < rows; r++) {
        memcpy(one, t->data + r * columns * sizeof *one, columns * sizeof *one);
        need(peft_apply(p, t, r, 1, one, &e) == 0);
        need(memcmp(one, all + r * columns, columns * sizeof *one) == 0);
    }
    free(all);
    free(one);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct buf edited;
    struct err e = {0};
    if (!base) make_base(), make_adapter();
    if (size == 0) return 0;
    const bool first = data[0] & 1;
    const void *from = first ? config : tensors.data;
    const size_t n = first ? sizeof config - 1 : tensors.len;
    fuzz_edit(&edited, from, n, data + 1, size - 1);
    const bool same = edited.len == n && memcmp(edited.data, from, n) == 0;
    fuzz_put(fuzz_path("adapter/adapter_config.json"), first ? edited.data : config,
             first ? edited.len : sizeof config - 1);
    fuzz_put(fuzz_path("adapter/adapter_model.safetensors"), first ? tensors.data : edited.data,
             first ? tensors.len : edited.len);
    struct peft *p = peft_open(fuzz_path("adapter"), &e);
    const bool good = p && peft_check(p, base, hf.family, hf.names, false, &e) == 0;
    if (!good && same) fprintf(stderr, "%s\n", e.msg);
    need(good || !same);
    if (!good) need_refusal(&e);
    for (size_t i = 0; good && i < safetensors_count(base); i++)
        check_rows(p, safetensors_at(base, i));
    peft_close(p);
    return 0;
}
