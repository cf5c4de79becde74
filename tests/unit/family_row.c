/* SPDX-License-Identifier: Apache-2.0 */
/* A family is a row: one that is made up here, with keys, names and fused tensors of its own, is
 * read, computed, adapted, cut and saved by its row alone. And the rows that there are fit. */
#include "base/buf.h"
#include "hf/params.h"
#include "hf/safetensors.h"
#include "rig.h"
#include "save/layout.h"
#include "test.h"

#define BLOCK "blocks.%d."
static const struct hf_row tensors[] = {
    {"wte.weight", NULL, {HF_ROLE_EMBED}},
    {BLOCK "norm_a.weight", NULL, {HF_ROLE_NORM1}},
    {BLOCK "attn.qkv_proj.weight", NULL, {HF_ROLE_Q, HF_ROLE_K, HF_ROLE_V}},
    {BLOCK "attn.qkv_proj.bias", NULL, {HF_ROLE_Q_BIAS, HF_ROLE_K_BIAS, HF_ROLE_V_BIAS}},
    {BLOCK "attn.out_proj.weight", NULL, {HF_ROLE_O}},
    {BLOCK "norm_b.weight", NULL, {HF_ROLE_NORM2}},
    {BLOCK "mlp.gate_up_proj.weight", NULL, {HF_ROLE_GATE, HF_ROLE_UP}},
    {BLOCK "mlp.down_proj.weight", NULL, {HF_ROLE_DOWN}},
    {"norm_f.weight", NULL, {HF_ROLE_NORM_FINAL}},
    {"unembed.weight", NULL, {HF_ROLE_HEAD}},
    {NULL, NULL, {HF_ROLE_END}},
};
static const struct hf_key keys[] = {
    {"use_bias", HF_FIELD_QKV_BIAS, true, true},        {"norm_epsilon", HF_FIELD_EPS, 1e-5, 1e-5},
    {"rope_theta", HF_FIELD_THETA, 5e5, 5e5},           {"n_kv", HF_FIELD_KV_HEADS, 2, 0},
    {"tie_word_embeddings", HF_FIELD_TIED, true, true}, {NULL, HF_FIELD_END, 0, 0},
};
static const struct hf_family fused = {.type = "fused",
                                       .architecture = "FusedForCausalLM",
                                       .tensors = tensors,
                                       .keys = keys,
                                       .window = HF_WINDOW_ALL,
                                       .window_keys = 16};
static const struct hf_family periodic = {.type = "periodic",
                                          .tensors = tensors,
                                          .keys = keys,
                                          .window = HF_WINDOW_PERIODIC,
                                          .window_key = "pattern",
                                          .window_number = 2,
                                          .window_keys = 16,
                                          .layer_types = true};

/* ---- config.json ---- */
static bool parse_as(const struct hf_family *f, const char *more, struct hf_config *c)
{
    char text[1000];
    struct err e;
    snprintf(text, sizeof text,
             "{\"model_type\":\"fused\",\"vocab_size\":97,\"hidden_size\":24,"
             "\"intermediate_size\":40,\"num_hidden_layers\":2,\"num_attention_heads\":4,"
             "\"head_dim\":8%s}",
             more);
    if (hf_config_parse_as(text, strlen(text), "config.json", f, c, &e) == 0) return true;
    printf("# %s\n", e.msg);
    return false;
}
static bool parse(const char *more, struct hf_config *c) { return parse_as(&fused, more, c); }

static void absent_keys(void)
{
    struct hf_config c;
    CHECK("keys: an absent one means what the row says",
          parse("", &c) && c.family == &fused && c.qkv_bias && !c.o_bias && c.tie_word_embeddings &&
              c.num_key_value_heads == 2 && c.rms_norm_eps == 1e-5 && c.rope.theta == 5e5 &&
              c.sliding_window == 16 && c.window_layers[0] == 3);
    hf_config_free(&c);
    CHECK("keys: null means what the row says, which is not absent",
          parse(",\"n_kv\":null,\"sliding_window\":null", &c) && c.num_key_value_heads == 4 &&
              c.sliding_window == 0);
    hf_config_free(&c);
    CHECK("keys: the row's key counts, and no other for that field",
          parse(",\"use_bias\":false,\"attention_bias\":true,\"norm_epsilon\":0.25", &c) &&
              !c.qkv_bias && !c.o_bias && c.rms_norm_eps == 0.25);
    hf_config_free(&c);
}

/* The first word of the set of layers with a window; UINT64_MAX: the text is refused. */
static uint64_t windows(const char *more)
{
    struct hf_config c;
    const uint64_t set = parse_as(&periodic, more, &c) ? c.window_layers[0] : UINT64_MAX;
    hf_config_free(&c);
    return set;
}

static void periodic_windows(void)
{
    CHECK("windows: all but every second layer", windows("") == 1);
    CHECK("windows: the period has a key", windows(",\"pattern\":3") == 3);
    CHECK("windows: a period of one leaves none", windows(",\"pattern\":1") == 0);
    CHECK("windows: a period of zero is refused", windows(",\"pattern\":0") == UINT64_MAX);
    CHECK("windows: layer_types override the period, whatever it is",
          windows(",\"pattern\":\"LG\",\"layer_types\":[\"full_attention\","
                  "\"sliding_attention\"]") == 2);
}

/* ---- tensors ---- */
static int add_name(void *arg, const struct hf_param *p, struct err *e)
{
    struct buf *b = arg;
    (void)e;
    buf_printf(b, "%s %llu %llu\n", p->name, (unsigned long long)p->dim[0],
               (unsigned long long)p->dim[1]);
    return 0;
}

static void listing(void)
{
    static const char want[] = "wte.weight 97 24\n"
                               "blocks.0.norm_a.weight 24 0\n"
                               "blocks.0.attn.qkv_proj.weight 64 24\n"
                               "blocks.0.attn.qkv_proj.bias 64 0\n"
                               "blocks.0.attn.out_proj.weight 24 32\n"
                               "blocks.0.norm_b.weight 24 0\n"
                               "blocks.0.mlp.gate_up_proj.weight 80 24\n"
                               "blocks.0.mlp.down_proj.weight 24 40\n"
                               "blocks.1.norm_a.weight 24 0\n";
    struct hf_config c;
    struct buf b = {0};
    struct err e;
    CHECK("listing: names and shapes are the row's",
          parse(",\"tie_word_embeddings\":false", &c) && hf_param_list(&c, add_name, &b, &e) == 0 &&
              strncmp(b.data, want, strlen(want)) == 0 &&
              strstr(b.data, "\nnorm_f.weight 24 0\nunembed.weight 97 24\n"));
    buf_free(&b);
    hf_config_free(&c);
}

/* The descriptor has the sizes that config.json has, whatever they are. */
static void sizes(void)
{
    struct hf_config c;
    struct model m;
    struct hf_sizes a, b;
    struct err e;
    bool ok = parse(",\"tie_word_embeddings\":false,\"n_kv\":1", &c) && !model_from_hf(&c, &m, &e);
    memset(&a, 0, sizeof a);
    memset(&b, 0, sizeof b);
    hf_sizes_of(&c, &a);
    model_sizes(&m, &b);
    for (int i = 0; i < HF_DIMS; i++) ok &= a.dim[i] == b.dim[i];
    for (int i = 0; i < HF_WHENS; i++) ok &= a.has[i] == b.has[i];
    CHECK("sizes: the descriptor's are those of config.json", ok);
    hf_config_free(&c);
}

/* ---- computing ---- */
/* The value of element i of a fused tensor: that of the role it belongs to, by Llama's name. */
static float value(const struct hf_row *row, int layer, const struct hf_sizes *s, size_t i)
{
    char name[100];
    const struct hf_family *llama = hf_family_find("llama");
    for (const enum hf_role *role = row->roles; *role; role++) {
        const struct hf_role_info *x = &hf_roles[*role];
        const size_t n = (size_t)(s->dim[x->rows] * s->dim[x->columns]);
        hf_row_name(hf_row_find(llama->tensors, *role)->name, layer, 0, name, sizeof name);
        if (i < n) return tiny_value(name, (uint32_t)i);
        i -= n;
    }
    return NAN;
}

struct file {
    struct hf_sizes sizes;
    struct buf header, data;
};
static int add_tensor(void *arg, const struct hf_param *p, struct err *e)
{
    struct file *f = arg;
    const size_t n = (size_t)(p->dim[0] * (p->ndim == 2 ? p->dim[1] : 1));
    buf_printf(&f->header, "%s\"%s\":{\"dtype\":\"F32\",\"shape\":[%llu", f->header.len ? "," : "{",
               p->name, (unsigned long long)p->dim[0]);
    if (p->ndim == 2) buf_printf(&f->header, ",%llu", (unsigned long long)p->dim[1]);
    buf_printf(&f->header, "],\"data_offsets\":[%zu,%zu]}", f->data.len, f->data.len + 4 * n);
    for (size_t i = 0; i < n; i++) {
        const float v = value(p->row, p->layer, &f->sizes, i);
        buf_add(&f->data, &v, sizeof v);
    }
    return buf_check(&f->data, e);
}

/* The bytes of a safetensors file of the fused model; buf_free. */
static struct buf make_file(const struct hf_config *c)
{
    struct file f = {.header = {0}};
    struct buf out = {0};
    struct err e;
    hf_sizes_of(c, &f.sizes);
    if (hf_param_list(c, add_tensor, &f, &e)) printf("# %s\n", e.msg);
    buf_puts(&f.header, "}");
    buf_u64(&out, f.header.len);
    buf_add(&out, f.header.data, f.header.len);
    buf_add(&out, f.data.data, f.data.len);
    buf_free(&f.header);
    buf_free(&f.data);
    return out;
}

/* Loss and gradients, [trained] floats after the loss; free(). */
static double *compute(struct tiny *n, size_t *bytes)
{
    static const int lengths[] = {9, 21, 1};
    struct err e;
    struct micro_batch b = tiny_batch(lengths, 3, 97, 0);
    struct device *d = n->w.device;
    *bytes = sizeof(double) + n->w.params.trained * sizeof(float);
    double *out = malloc(*bytes);
    *out = tiny_loss(&n->s, &b, true);
    if (d->ops->download(d, out + 1, n->w.gradients, *bytes - sizeof *out, &e)) *out = NAN;
    tiny_free(&b);
    return out;
}

static void computing(bool tied)
{
    struct err e = {0};
    struct hf_config c;
    struct model m;
    size_t na = 0, nb = 0;
    double *a = NULL, *b = NULL;
    struct device *d = device_open("cpu", 2, &e);
    bool ok = d && parse(tied ? "" : ",\"tie_word_embeddings\":false", &c) &&
              model_from_hf(&c, &m, &e) == 0;
    struct tiny *n = ok ? tiny_open(&m, d, DT_F32, RECOMPUTE_NONE, 31) : NULL;
    struct buf file = make_file(&c);
    struct safetensors *s = safetensors_parse(file.data, file.len, "fused", &e);
    if (n && s && weights_load(&n->w, s, NULL, &e) == 0) a = compute(n, &na);
    tiny_close(n);
    m.family = hf_family_find("llama");
    n = tiny_open(&m, d, DT_F32, RECOMPUTE_NONE, 31);
    if (n) {
        tiny_weights(&n->w, NULL);
        b = compute(n, &nb);
    }
    tiny_close(n);
    if (!a) printf("# %s\n", e.msg);
    CHECK(tied ? "computing: a tied model's loss and gradients are those of split tensors"
               : "computing: loss and gradients are those of split tensors",
          a && b && na == nb && isfinite(*a) && memcmp(a, b, na) == 0);
    free(a);
    free(b);
    safetensors_close(s);
    buf_free(&file);
    hf_config_free(&c);
    device_close(d);
}

/* ---- adapters, shards, checkpoints ---- */
static struct model fused_model(void)
{
    struct model m = tiny_model(true, true);
    m.family = &fused;
    return m;
}
static bool every(void *arg, const char *module)
{
    (void)arg;
    return module[0] != 0;
}

static void adapters(void)
{
    const struct model m = fused_model();
    const struct params_options o = {.lora = {.rank = 3, .scale = 1, .target = every}};
    struct params t;
    struct err e;
    char names[HF_FAMILY_NAMES];
    CHECK("adapters: the linear layers have the row's names",
          strcmp(hf_family_linear(&fused, NULL, ",", ",", names),
                 "qkv_proj,out_proj,gate_up_proj,down_proj") == 0);
    const struct hf_sizes gateless = {.layers = 1, .has = {[HF_ALWAYS] = true}};
    CHECK("adapters: a linear layer that the model lacks has no name",
          strcmp(hf_family_linear(hf_family_find("arcee"), &gateless, ",", ",", names),
                 "q_proj,k_proj,v_proj,o_proj,up_proj,down_proj") == 0);
    bool ok = params_make(&m, &o, &t, &e) == 0;
    const struct param *a = params_find(&t, "blocks.1.attn.qkv_proj.lora_A.weight", 36);
    const struct param *b = params_find(&t, "blocks.1.attn.qkv_proj.lora_B.weight", 36);
    CHECK("adapters: a fused tensor has one of its own", ok && a && b && a->shape[0] == 3 &&
                                                             a->shape[1] == 24 &&
                                                             b->shape[0] == 64 && b->shape[1] == 3);
    params_free(&t);
}

static bool is_block(const struct shard_block *b, uint64_t row, uint64_t rows)
{
    return b->row == row && b->rows == rows && b->column == 0 && b->columns == 24;
}

static void shards(void)
{
    const struct model m = fused_model();
    const struct params_options o = {.tp = 2, .at = 1};
    struct params t;
    struct err e;
    bool ok = params_make(&m, &o, &t, &e) == 0;
    const struct param *p = params_find(&t, "blocks.0.attn.qkv_proj.weight", 29);
    CHECK("shards: of a fused tensor a rank holds its heads of each role",
          ok && p && p->blocks == 3 && is_block(&p->block[0], 16, 16) &&
              is_block(&p->block[1], 40, 8) && is_block(&p->block[2], 56, 8));
    params_free(&t);
}

/* The model's file of a checkpoint. */
static void checkpoints(void)
{
    static const char want[] = " wte.weight:2328 blocks.0.attn.qkv_proj.weight:1536"
                               " blocks.0.attn.out_proj.weight:768"
                               " blocks.0.mlp.gate_up_proj.weight:1920"
                               " blocks.0.mlp.down_proj.weight:960 blocks.1.";
    const struct model m = fused_model();
    struct rig r;
    struct err e;
    struct layout c = {0};
    struct buf b = {0};
    struct save_part part[OPTIMIZER_PARTS];
    bool ok = rig_open(&r, "cpu", &m,
                       (struct trainer_options){.compute = DT_F32,
                                                .recompute = RECOMPUTE_NONE,
                                                .tokens = 32,
                                                .optimizer = RIG_ADAMW}) &&
              layout_make(&c, &r.t.weights, &r.mesh, 1, part, optimizer_parts(&r.t.optimizer, part),
                          DT_F32, &e) == 0;
    for (size_t i = 0; i < c.count; i++)
        if (c.tensors[i].file == 0)
            buf_printf(&b, " %s:%llu", c.tensors[i].name, (unsigned long long)c.tensors[i].n);
    CHECK("checkpoints: tensors are saved as they were loaded",
          ok && strncmp(b.data, want, strlen(want)) == 0 &&
              strstr(b.data, " blocks.1.attn.qkv_proj.bias:64") &&
              strstr(b.data, " norm_f.weight:24"));
    buf_free(&b);
    layout_free(&c);
    rig_close(&r);
}

static void flops(void)
{
    const struct model a = fused_model();
    struct model b = a;
    b.family = hf_family_find("llama");
    const double x = model_flops(&a, 10, 5, 100), y = model_flops(&b, 10, 5, 100);
    CHECK("work: as much as with split tensors", x > 0 && !(x < y) && !(x > y));
}

/* ---- the rows that there are ---- */
/* The roles of a row are of one block, in its order, and differ in nothing but their rows. */
static bool row_fits(const struct hf_row *r, bool *seen)
{
    bool ok = r->roles[HF_ROW_ROLES] == HF_ROLE_END;
    for (const enum hf_role *role = r->roles; ok && *role; role++) {
        const struct hf_role_info *a = hf_row_info(r), *b = &hf_roles[*role];
        ok = !seen[*role] && a->bucket == b->bucket && a->block == b->block && a->kind == b->kind &&
             a->columns == b->columns && a->shard == b->shard &&
             (a->when == b->when || b->when == HF_ALWAYS) &&
             (role == r->roles || *role == role[-1] + 1);
        seen[*role] = true;
    }
    return ok && (hf_row_info(r)->bucket == HF_LAYER) == (strstr(r->name, "%d") != NULL);
}

/* A sparse layer has no MLP, and a dense one no experts. */
static bool is_needed(enum hf_role role, enum hf_sparse sparse)
{
    const struct hf_role_info *x = &hf_roles[role];
    const enum hf_block b = x->block;
    if (b >= HF_BLOCK_GATE_UP && b <= HF_BLOCK_DOWN_BIAS && sparse == HF_SPARSE_ALL) return false;
    if (b >= HF_BLOCK_ROUTER && b <= HF_BLOCK_EXPERT_DOWN && sparse == HF_SPARSE_NONE) return false;
    return x->when == HF_ALWAYS || x->when == HF_IF_UNTIED;
}

/* Rows are in the order of the forward pass, a block has no more than there is room for, and no
 * role that every model has is missing. */
static bool table_fits(const struct hf_row *table, enum hf_sparse sparse)
{
    bool seen[HF_ROLES] = {false}, ok = true;
    int rows[HF_BLOCKS] = {0};
    for (const struct hf_row *r = table; r->name; r++) {
        ok &= row_fits(r, seen) && ++rows[hf_row_info(r)->block] <= HF_BLOCK_ROWS;
        ok &= r == table || hf_row_info(r - 1)->bucket <= hf_row_info(r)->bucket;
    }
    for (int i = 1; i < HF_ROLES; i++) ok &= seen[i] || !is_needed(i, sparse);
    return ok;
}

static void families(void)
{
    char names[HF_FAMILY_NAMES], check[100];
    hf_family_names(false, ", ", names);
    for (char *name = strtok(names, ", "); name; name = strtok(NULL, ", ")) {
        const struct hf_family *f = hf_family_find(name);
        snprintf(check, sizeof check, "rows: those of %s fit the roles", name);
        CHECK(check, f && table_fits(f->tensors, f->sparse));
    }
    CHECK("rows: those of the family made up here fit the roles",
          table_fits(tensors, fused.sparse));
    CHECK("rows: an unknown family has none", !hf_family_find("fused"));
}

int main(void)
{
    absent_keys();
    periodic_windows();
    listing();
    sizes();
    computing(false);
    computing(true);
    adapters();
    shards();
    checkpoints();
    flops();
    families();
    TEST_END();
}
