/* SPDX-License-Identifier: Apache-2.0 */
/* Experts in the tables: which tensors there are, how they lie in memory and are cut among ranks,
 * what is adapted, what a token costs, and what is refused. */
#include "hf/params.h"
#include "model/lora.h"
#include "test.h"
#include "tiny.h"

/* Three layers; the second one is dense. */
static struct model sparse_model(void)
{
    struct model m = tiny_model(false, false);
    m.family = hf_family_find("qwen3_moe");
    m.layers = 3;
    m.qk_norm = true;
    m.experts = 4;
    m.chosen = 2;
    m.expert_inter = 10;
    m.sparse_layers[0] = 5;
    return m;
}

/* The same with an expert of all tokens. */
static struct model shared_model(void)
{
    struct model m = sparse_model();
    m.family = hf_family_find("qwen2_moe");
    m.qk_norm = false;
    m.qkv_bias = true;
    m.shared_inter = 14;
    m.shared_router = true;
    return m;
}

static const struct param *find(const struct params *t, const char *name)
{
    return params_find(t, name, strlen(name));
}

/* ---- names ---- */
static int add_name(void *arg, const struct hf_param *p, struct err *e)
{
    struct buf *b = arg;
    (void)e;
    if (!strstr(p->name, "mlp.") && !strstr(p->name, "moe.")) return 0;
    buf_puts(b, p->name + strlen("model.layers."));
    for (int i = 0; i < p->ndim; i++) buf_printf(b, "%c%d", i ? 'x' : ' ', (int)p->dim[i]);
    buf_puts(b, "\n");
    return 0;
}

/* Returns true if a model with these keys beside others has these tensors in the place of MLPs. */
static bool has_names(const char *keys, const char *want)
{
    char text[500];
    struct hf_config c;
    struct buf b = {0};
    struct err e;
    snprintf(text, sizeof text,
             "{\"vocab_size\":9,\"hidden_size\":8,"
             "\"intermediate_size\":6,\"num_attention_heads\":2,\"num_key_value_heads\":1,%s}",
             keys);
    bool ok = hf_config_parse(text, strlen(text), "config.json", &c, &e) == 0 &&
              hf_param_list(&c, add_name, &b, &e) == 0 && b.len && strcmp(b.data, want) == 0;
    if (!ok) printf("# %s\n", b.len ? b.data : e.msg);
    buf_free(&b);
    hf_config_free(&c);
    return ok;
}

static void names(void)
{
    static const char keys[] = "\"model_type\":\"qwen3_moe\",\"num_experts\":2,"
                               "\"num_hidden_layers\":2,"
                               "\"num_experts_per_tok\":1,\"moe_intermediate_size\":3,"
                               "\"mlp_only_layers\":[0]";
    static const char want[] = "0.mlp.gate_proj.weight 6x8\n"
                               "0.mlp.up_proj.weight 6x8\n"
                               "0.mlp.down_proj.weight 8x6\n"
                               "1.mlp.gate.weight 2x8\n"
                               "1.mlp.experts.0.gate_proj.weight 3x8\n"
                               "1.mlp.experts.0.up_proj.weight 3x8\n"
                               "1.mlp.experts.1.gate_proj.weight 3x8\n"
                               "1.mlp.experts.1.up_proj.weight 3x8\n"
                               "1.mlp.experts.0.down_proj.weight 8x3\n"
                               "1.mlp.experts.1.down_proj.weight 8x3\n";
    CHECK("names: a sparse layer has a router and experts, a dense one an MLP",
          has_names(keys, want));
    static const char more[] = "\"model_type\":\"qwen2_moe\",\"num_experts\":1,"
                               "\"num_hidden_layers\":2,"
                               "\"num_experts_per_tok\":1,\"moe_intermediate_size\":3,"
                               "\"shared_expert_intermediate_size\":5,\"mlp_only_layers\":[1]";
    static const char all[] = "0.mlp.gate.weight 1x8\n"
                              "0.mlp.shared_expert_gate.weight 1x8\n"
                              "0.mlp.experts.0.gate_proj.weight 3x8\n"
                              "0.mlp.experts.0.up_proj.weight 3x8\n"
                              "0.mlp.experts.0.down_proj.weight 8x3\n"
                              "0.mlp.shared_expert.gate_proj.weight 5x8\n"
                              "0.mlp.shared_expert.up_proj.weight 5x8\n"
                              "0.mlp.shared_expert.down_proj.weight 8x5\n"
                              "1.mlp.gate_proj.weight 6x8\n"
                              "1.mlp.up_proj.weight 6x8\n"
                              "1.mlp.down_proj.weight 8x6\n";
    CHECK("names: a sparse layer has the expert of all tokens and its weight, a dense one neither",
          has_names(more, all));
    static const char one[] = "\"model_type\":\"granitemoeshared\",\"num_local_experts\":3,"
                              "\"shared_intermediate_size\":5,\"num_hidden_layers\":1";
    CHECK("names: a family may have the experts of a layer stacked",
          has_names(one, "0.block_sparse_moe.router.layer.weight 3x8\n"
                         "0.block_sparse_moe.input_linear.weight 3x12x8\n"
                         "0.block_sparse_moe.output_linear.weight 3x8x6\n"
                         "0.shared_mlp.input_linear.weight 10x8\n"
                         "0.shared_mlp.output_linear.weight 8x5\n"));
    static const char none[] = "\"model_type\":\"granitemoeshared\",\"num_local_experts\":3,"
                               "\"num_hidden_layers\":1";
    CHECK("names: without a size there is no expert of all tokens",
          has_names(none, "0.block_sparse_moe.router.layer.weight 3x8\n"
                          "0.block_sparse_moe.input_linear.weight 3x12x8\n"
                          "0.block_sparse_moe.output_linear.weight 3x8x6\n"));
}

/* ---- memory ---- */
static void memory(void)
{
    const struct model m = sparse_model();
    struct params t;
    struct err e;
    bool ok = params_make(&m, NULL, &t, &e) == 0;
    size_t up = ok ? t.layers[2].expert_gate_up : 0, down = ok ? t.layers[2].expert_down : 0;
    const size_t gate_up = up;
    static const char *const kinds[] = {"gate", "up"};
    for (int x = 0; ok && x < 4; x++) {
        char name[100];
        for (int i = 0; i < 2; i++, up += 240) {
            snprintf(name, sizeof name, "model.layers.2.mlp.experts.%d.%s_proj.weight", x,
                     kinds[i]);
            ok &= find(&t, name) && find(&t, name)->offset == up && find(&t, name)->n == 240;
        }
        snprintf(name, sizeof name, "model.layers.2.mlp.experts.%d.down_proj.weight", x);
        ok &= find(&t, name) && find(&t, name)->offset == down && find(&t, name)->decay;
        down += 240;
    }
    CHECK("memory: the experts of a layer lie side by side, gate and up of each",
          ok && gate_up != t.layers[0].expert_gate_up);
    CHECK("memory: a dense layer has no experts, and a sparse one no MLP",
          ok && find(&t, "model.layers.1.mlp.gate_proj.weight") &&
              !find(&t, "model.layers.1.mlp.gate.weight") &&
              !find(&t, "model.layers.1.mlp.experts.0.up_proj.weight") &&
              !find(&t, "model.layers.0.mlp.gate_proj.weight"));
    params_free(&t);
}

static void shards(void)
{
    const struct model m = sparse_model();
    const struct params_options o = {.tp = 2, .at = 1};
    struct params t;
    struct err e = {0};
    bool ok = params_make(&m, &o, &t, &e) == 0;
    const struct param *up = find(&t, "model.layers.0.mlp.experts.3.up_proj.weight");
    const struct param *down = find(&t, "model.layers.0.mlp.experts.3.down_proj.weight");
    const struct param *router = find(&t, "model.layers.0.mlp.gate.weight");
    CHECK("shards: a rank has its part of every expert's inner size",
          ok && up && up->block[0].row == 5 && up->block[0].rows == 5 && down &&
              down->block[0].column == 5 && down->block[0].columns == 5 &&
              up->offset == t.layers[0].expert_gate_up + (2 * 3 + 1) * 5 * 24);
    CHECK("shards: each rank has the router, and a part of its gradient",
          ok && router && router->n == 4 * 24 && router->shard == SHARD_PARTIAL);
    params_free(&t);
    struct model odd = m;
    odd.expert_inter = 9;
    struct model local;
    CHECK("shards: an inner size that ranks do not divide is refused by its name",
          model_local(&odd, 2, 0, &local, &e) && e.code == ERR_CONFIG &&
              strstr(e.msg, "moe_intermediate_size, which is 9") && !strstr(e.msg, "heads"));
    memset(odd.sparse_layers, 0xff, sizeof odd.sparse_layers);
    odd.expert_inter = 10;
    odd.inter = 41;
    CHECK("shards: the MLP's size counts where a layer has one",
          model_local(&odd, 2, 0, &local, &e) == 0);
}

static void shared_shards(void)
{
    const struct model m = shared_model();
    const struct params_options o = {.tp = 2, .at = 1};
    struct params t;
    struct err e = {0};
    bool ok = params_make(&m, &o, &t, &e) == 0;
    const struct param *up = find(&t, "model.layers.0.mlp.shared_expert.up_proj.weight");
    const struct param *down = find(&t, "model.layers.0.mlp.shared_expert.down_proj.weight");
    const struct param *gate = find(&t, "model.layers.0.mlp.shared_expert_gate.weight");
    CHECK("shards: a rank has its part of the inner size of the expert of all tokens",
          ok && up && up->block[0].row == 7 && up->block[0].rows == 7 && down &&
              down->block[0].column == 7 && down->block[0].columns == 7 &&
              up->offset == t.layers[0].shared_gate_up + 7 * 24 &&
              down->offset == t.layers[0].shared_down);
    CHECK("shards: each rank has its weight, and a part of the gradient, beside the router's",
          ok && gate && gate->n == 24 && gate->shard == SHARD_PARTIAL && gate->decay &&
              gate->offset == t.layers[0].shared_router &&
              gate->offset - t.layers[0].router == 128);
    params_free(&t);
    struct model local, odd = m;
    odd.shared_inter = 15;
    CHECK("shards: its inner size is refused by its name if ranks do not divide it",
          model_local(&odd, 2, 0, &local, &e) && e.code == ERR_CONFIG &&
              strstr(e.msg, "model's shared_expert_intermediate_size, which is 15;"));
}

static struct model stacked_model(void)
{
    struct model m = sparse_model();
    m.family = hf_family_find("granitemoeshared");
    m.qk_norm = false;
    m.layers = 1;
    m.sparse_layers[0] = 1;
    m.shared_inter = 14;
    return m;
}

/* Returns true if runs of the parameter have all its elements once, expert by expert, where this
 * rank of two has rows, or columns, [5, 10) of each role. */
static bool stacked_runs(const struct param *p, bool columns)
{
    uint64_t at = 0;
    bool ok = p && p->n == (columns ? 4 * 24 * 5 : 4 * 10 * 24);
    for (struct param_run r = {0}; ok && param_next(p, SIZE_MAX, &r); at += r.n)
        for (uint64_t i = at; i < at + r.n; i++) {
            const uint64_t row = columns ? i / 5 : i / 24, expert = row / 10, part = row % 10;
            const uint64_t want = columns
                                      ? row * 10 + 5 + i % 5
                                      : (expert * 20 + part + (part < 5 ? 5 : 10)) * 24 + i % 24;
            ok &= r.at == at && r.whole + (i - at) == want;
        }
    return ok && at == p->n;
}

static void stacked_shards(void)
{
    const struct model m = stacked_model();
    const struct params_options o = {.tp = 2, .at = 1};
    struct params t;
    struct err e = {0};
    bool ok = params_make(&m, NULL, &t, &e) == 0;
    const struct param *up = find(&t, "model.layers.0.block_sparse_moe.input_linear.weight");
    const struct param *down = find(&t, "model.layers.0.block_sparse_moe.output_linear.weight");
    CHECK("shards: stacked experts are one tensor, all of it on one rank",
          ok && up && up->rank == 3 && up->whole[0] == 4 && up->whole[1] == 20 &&
              up->whole[2] == 24 && up->n == 4 * 20 * 24 && param_blocks(up) == 1 &&
              up->offset == t.layers[0].expert_gate_up && down && down->whole[1] == 24 &&
              down->whole[2] == 10 && down->offset == t.layers[0].expert_down && down->decay);
    params_free(&t);
    ok = params_make(&m, &o, &t, &e) == 0;
    up = find(&t, "model.layers.0.block_sparse_moe.input_linear.weight");
    down = find(&t, "model.layers.0.block_sparse_moe.output_linear.weight");
    CHECK("shards: of stacked experts a rank has its rows of gate and of up of each",
          ok && stacked_runs(up, false));
    CHECK("shards: and its columns of down of each", ok && stacked_runs(down, true));
    params_free(&t);
    struct model local, odd = m;
    odd.shared_inter = 15;
    CHECK("shards: the size of the expert of all tokens has the family's name",
          model_local(&odd, 2, 0, &local, &e) &&
              strstr(e.msg, "model's shared_intermediate_size, which is 15;"));
}

/* ---- ranks that share out the experts ---- */
static void ranks(void)
{
    struct model m = sparse_model();
    const struct params_options o = {.ep = 2, .ep_at = 1, .multiple = 64 * 4};
    struct params t, all;
    struct err e = {0};
    bool ok = params_make(&m, NULL, &all, &e) == 0 && params_make(&m, &o, &t, &e) == 0;
    const struct param *up = find(&t, "model.layers.2.mlp.experts.2.gate_proj.weight");
    CHECK("ranks: each has an equal range of the experts, and no other",
          ok && up && up->offset == t.layers[2].expert_gate_up &&
              find(&t, "model.layers.2.mlp.experts.3.down_proj.weight") &&
              !find(&t, "model.layers.2.mlp.experts.1.gate_proj.weight"));
    CHECK("ranks: each has the router and all of a dense layer",
          find(&t, "model.layers.0.mlp.gate.weight") &&
              find(&t, "model.layers.0.mlp.gate.weight")->n == 4 * 24 &&
              find(&t, "model.layers.1.mlp.up_proj.weight"));
    for (size_t i = 0; ok && i < t.count; i++) ok = t.p[i].place == find(&all, t.p[i].name)->place;
    CHECK("ranks: the canonical order does not depend on them", ok && t.places == all.places);
    for (size_t i = 0; ok && i < t.count; i++)
        ok = t.buckets[t.p[i].bucket].experts == (strstr(t.p[i].name, ".experts.") != NULL);
    CHECK("ranks: the experts of a layer have a bucket of their own", ok && t.nbuckets == 5 + 2);
    params_free(&t);
    params_free(&all);
}

/* The parts of the buckets of 2 x 4 ranks: ep, and those with the same experts. */
static void rank_parts(void)
{
    const struct model m = sparse_model();
    const struct params_options o = {.ep = 2, .multiple = 64 * 8};
    struct params t;
    struct err e = {0};
    size_t state = 0;
    bool ok = params_make(&m, &o, &t, &e) == 0, holds = ok, mine = ok;
    for (size_t b = 0; ok && b < t.nbuckets; b++) {
        const struct params_bucket *k = &t.buckets[b];
        size_t next = k->begin;
        for (int r = 0; r < 8; r++) {
            const struct params_part part = params_part(&t, b, 8, r);
            mine &= params_shares(&t, b, r) == (!k->experts || r % 2 == 0);
            if (!params_shares(&t, b, r)) continue;
            holds &= part.begin == next && part.state == state;
            next = part.end;
        }
        holds &= next == k->end;
        state += (k->end - k->begin) / (k->experts ? 4 : 8);
    }
    CHECK("parts: ranks with the same experts own equal parts of them, in their order", holds);
    CHECK("parts: every other rank has the same experts", mine);
    CHECK("parts: a rank's state has no gap", ok && params_held(&t, t.nbuckets, 8) == state &&
                                                  params_held(&t, t.nbuckets, 1) == t.trained);
    params_free(&t);
}

/* Two of four stacked experts, of which this rank of two has columns, or rows, [5, 10). */
static void stacked_ranks(void)
{
    const struct model m = stacked_model();
    const struct params_options o = {.tp = 2, .at = 1, .ep = 2, .ep_at = 1};
    const struct params_options whole = {.ep = 2, .ep_at = 1};
    struct params t;
    struct err e = {0};
    bool ok = params_make(&m, &o, &t, &e) == 0;
    const struct param *up = find(&t, "model.layers.0.block_sparse_moe.input_linear.weight");
    struct param_run r = {0};
    CHECK("ranks: of stacked experts a rank has its rows of its range",
          ok && up && up->n == 2 * 10 * 24 && up->whole[0] == 4 && param_next(up, SIZE_MAX, &r) &&
              r.whole == (2 * 20 + 5) * 24 && r.n == 5 * 24 && param_next(up, SIZE_MAX, &r) &&
              r.whole == (2 * 20 + 15) * 24 && param_next(up, SIZE_MAX, &r) &&
              r.whole == (3 * 20 + 5) * 24);
    params_free(&t);
    ok = params_make(&m, &whole, &t, &e) == 0;
    up = find(&t, "model.layers.0.block_sparse_moe.input_linear.weight");
    r = (struct param_run){0};
    CHECK("ranks: they are one run if they are whole", ok && up && param_next(up, SIZE_MAX, &r) &&
                                                           r.n == up->n && r.n == 2 * 20 * 24 &&
                                                           r.whole == 2 * 20 * 24);
    params_free(&t);
}

static void not_shared(void)
{
    struct model m = sparse_model();
    struct params_options o = {.ep = 3};
    struct params t;
    struct err e = {0};
    CHECK("ranks: a number of experts that they do not divide is refused by its name",
          params_make(&m, &o, &t, &e) && e.code == ERR_CONFIG &&
              strstr(e.msg, "expert_model_parallel_size 3") &&
              strstr(e.msg, "num_experts, which is 4"));
    m.family = hf_family_find("mixtral");
    CHECK("ranks: it has another name in mixtral",
          params_make(&m, &o, &t, &e) && strstr(e.msg, "num_local_experts, which is 4"));
    m = tiny_model(false, false);
    CHECK("ranks: a model without experts is refused",
          params_make(&m, &o, &t, &e) && e.code == ERR_CONFIG &&
              strstr(e.msg, "needs a model with experts"));
}

/* ---- adapters ---- */
static bool every(void *arg, const char *module)
{
    (void)arg;
    return module[0] != 0;
}

#define EXPERTS "model.layers.0.mlp.experts."
static void adapters(void)
{
    struct model m = sparse_model();
    struct hf_sizes s;
    struct err e;
    struct params t;
    char list[HF_FAMILY_NAMES];
    model_sizes(&m, &s);
    CHECK("adapters: the linear layers have the names of attention, router and experts",
          strcmp(hf_family_linear(m.family, &s, ",", ",", list),
                 "q_proj,k_proj,v_proj,o_proj,gate,gate_proj,up_proj,down_proj") == 0);
    const struct params_options o = {.lora = {.rank = 3, .scale = 1, .target = every}};
    bool ok = params_make(&m, &o, &t, &e) == 0;
    size_t n = 0;
    for (size_t i = 0; ok && i < t.count; i++) n += t.p[i].adapter;
    CHECK("adapters: experts have two in a layer, the router one, an MLP beside experts none",
          ok && n == 3 * 4 * 2 + 2 * 3 * 2);
    const struct param *a = ok ? find(&t, EXPERTS "gate_up_proj.lora_A.weight") : NULL;
    const struct param *b = ok ? find(&t, EXPERTS "gate_up_proj.lora_B.weight") : NULL;
    CHECK("adapters: that of gate and up has twice the rank",
          a && b && a->whole[0] == 6 * (uint64_t)m.experts && a->whole[1] == 24 &&
              b->whole[0] == (uint64_t)m.experts && b->whole[1] == 20 && b->whole[2] == 6);
    CHECK("adapters: the file has the number of B's expert last",
          b && lora_is_permuted(b) && !lora_is_permuted(a) &&
              lora_file_element(b, (3 * 20 + 5) * 6 + 2) == (5 * 6 + 2) * (uint64_t)m.experts + 3);
    params_free(&t);
    m = shared_model();
    m.family = hf_family_find("qwen2_moe");
    CHECK("adapters: in qwen2_moe the expert of all tokens has one, router and experts have none",
          params_make(&m, &o, &t, &e) == 0 &&
              find(&t, "model.layers.0.mlp.shared_expert.up_proj.lora_A.weight") &&
              find(&t, "model.layers.0.mlp.shared_expert_gate.lora_B.weight") &&
              !find(&t, "model.layers.0.mlp.gate.lora_A.weight") &&
              !find(&t, "model.layers.0.mlp.experts.down_proj.lora_A.weight") &&
              find(&t, "model.layers.0.self_attn.o_proj.lora_A.weight"));
    params_free(&t);
}

/* ---- work ---- */
static void work(void)
{
    struct model m = sparse_model();
    const double both = model_flops(&m, 10, 0, 0);
    m.chosen = 3;
    const double more = model_flops(&m, 10, 0, 0);
    m.chosen = 2;
    m.experts = 5;
    const double wide = model_flops(&m, 10, 0, 0);
    CHECK("work: a token costs the experts that it chooses",
          more - both == 10.0 * 2 * 2 * 3 * 10 * 24);
    CHECK("work: another expert costs its row of the router", wide - both == 10.0 * 2 * 2 * 24);
    struct model a = shared_model(), b = a;
    b.shared_inter = 0;
    b.shared_router = false;
    CHECK("work: every token costs the expert of all tokens and its weight",
          model_flops(&a, 10, 0, 0) - model_flops(&b, 10, 0, 0) ==
              10.0 * 2 * 2 * (3 * 14 + 1) * 24);
}

/* ---- plans ---- */
static size_t planned(const struct tiny *n, const char *name)
{
    size_t bytes = 0;
    for (size_t i = 0; i < n->memory.plan.count; i++)
        if (strcmp(n->memory.plan.b[i].name, name) == 0) bytes += n->memory.plan.b[i].bytes;
    return bytes;
}

static void plans(void)
{
    struct err e = {0};
    struct model m = sparse_model();
    struct device *d = device_open("cpu", 1, &e);
    struct tiny_options o = tiny_options(DT_F32, RECOMPUTE_NONE, 32);
    struct tiny *n = calloc(1, sizeof *n);
    CHECK("plan: experts have exactly the rows that their tokens choose",
          tiny_plan(n, &m, d, &o, &e) == 0 &&
              planned(n, "expert rows") == 2 * 32 * 2 * 24 * sizeof(float) &&
              planned(n, "gate_up") == 32 * 2 * sizeof(float) * (2 * 2 * 10 + 40));
    tiny_close(n);
    n = calloc(1, sizeof *n);
    struct model shared = shared_model();
    shared.shared_inter = 50; /* more than anything else of its kind */
    CHECK("plan: the expert of all tokens has a row for each, and no result of its own",
          tiny_plan(n, &shared, d, &o, &e) == 0 &&
              planned(n, "shared expert gate_up") == 2 * 32 * 2 * 50 * sizeof(float) &&
              planned(n, "shared expert activation") == 2 * 32 * 50 * sizeof(float) &&
              planned(n, "dactivation") == 32 * 50 * sizeof(float) &&
              planned(n, "expert rows") == 2 * 32 * 2 * 24 * sizeof(float));
    tiny_close(n);
    n = calloc(1, sizeof *n);
    m.router_loss = 0.1;
    CHECK("plan: an auxiliary loss has room for the load of the experts",
          tiny_plan(n, &m, d, &o, &e) == 0 &&
              planned(n, "expert load") >= 2 * (size_t)m.experts * sizeof(double));
    tiny_close(n);
    device_close(d);
}

int main(void)
{
    names();
    memory();
    shards();
    shared_shards();
    stacked_shards();
    ranks();
    rank_parts();
    stacked_ranks();
    not_shared();
    adapters();
    work();
    plans();
    TEST_END();
}
