/* SPDX-License-Identifier: Apache-2.0 */
/* Conversion of config.json to a descriptor, and rejection of unsupported models. */
#include "model/model.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Fails with a message; `what` is its text up to "is not supported". */
static int unsupported(struct err *e, const char *what)
{
    char names[HF_FAMILY_NAMES];
    return err_set(
        e, ERR_DATA,
        "config.json: %s is not supported; supported are models of the Llama "
        "family (model_type %s; hidden_act silu, gelu, gelu_pytorch_tanh or relu2; full or "
        "sliding-window attention; "
        "rotary scaling default, linear, dynamic, yarn, llama3 or longrope; weights in bf16, "
        "fp16 or fp32)",
        what, hf_family_names(false, ", ", names));
}

/* Finds the activation of that name. */
static int read_act(const char *name, enum act *act, struct err *e)
{
    static const struct {
        const char *name;
        enum act act;
    } all[] = {{"silu", ACT_SILU},          {"swish", ACT_SILU},
               {"gelu", ACT_GELU},          {"gelu_pytorch_tanh", ACT_GELU_TANH},
               {"gelu_new", ACT_GELU_TANH}, {"relu2", ACT_RELU2}};
    char what[HF_MAX_NAME + 64];
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strcmp(all[i].name, name) == 0) {
            *act = all[i].act;
            return 0;
        }
    snprintf(what, sizeof what, "hidden_act %s", name);
    return unsupported(e, what);
}

static int check_features(const struct hf_config *c, struct err *e)
{
    char what[2 * HF_MAX_NAME + 96];
    const bool moe = hf_config_is_moe(c);
    snprintf(what, sizeof what, "model_type %s%s%s%s", c->model_type,
             c->shell[0] ? " in the text_config of " : "", c->shell,
             moe ? " is a mixture of experts (MoE), which" : "");
    if (moe || !c->family) return unsupported(e, what);
    /* its attention is not causal within the prompt */
    if (strcmp(c->shell, "paligemma") == 0) return unsupported(e, "model_type paligemma");
    if (c->quantized) return unsupported(e, "a quantized model (quantization_config)");
    if (c->bidirectional) return unsupported(e, "use_bidirectional_attention");
    if (c->attention_dropout != 0) return unsupported(e, "attention_dropout");
    if (c->residual_dropout != 0) return unsupported(e, "resid_pdrop");
    if (c->rope.partial_rotary_factor != 1 && !c->family->partial_rotary)
        return unsupported(e, "partial_rotary_factor in this family");
    if (c->qkv_clip > 0) return unsupported(e, "clip_qkv");
    if (c->router_jitter > 0) return unsupported(e, "router_jitter_noise");
    return 0;
}

static int check_sizes(const struct hf_config *c, struct err *e)
{
    const int64_t most = 1 << 20;
    if (c->vocab_size < 1 || c->vocab_size > INT32_MAX || c->hidden_size < 1 ||
        c->hidden_size > most || c->intermediate_size < 1 || c->intermediate_size > most ||
        c->num_hidden_layers < 1 || c->num_hidden_layers > HF_MAX_LAYERS ||
        c->num_attention_heads < 1 || c->num_attention_heads > 4096 || c->num_key_value_heads < 1 ||
        c->head_dim < 2 || c->head_dim > 4096)
        return unsupported(e, "a size out of range");
    if (c->num_attention_heads % c->num_key_value_heads)
        return err_set(e, ERR_DATA,
                       "config.json: num_attention_heads (%lld) is not a multiple of "
                       "num_key_value_heads (%lld)",
                       (long long)c->num_attention_heads, (long long)c->num_key_value_heads);
    if (c->num_experts > 1 << 16 || c->expert_size > most || c->shared_size > most)
        return unsupported(e, "a size of experts out of range");
    if (c->head_dim % 2) return unsupported(e, "an odd head_dim");
    if (hf_rotary_dim(c) < 2 || hf_rotary_dim(c) % 2)
        return unsupported(e, "a partial_rotary_factor that rotates no even part of a head");
    return 0;
}

/* Returns true if the frequencies depend on the document's length. */
static bool has_own(const struct rope *r)
{
    return r->type == ROPE_DYNAMIC || r->type == ROPE_LONGROPE;
}

/* Sets the rotary settings of layers with a window, if the family has some for each type. */
static int set_window_rope(const struct hf_config *c, struct model *m, struct err *e)
{
    struct hf_config other = *c;
    m->two_ropes = c->family->ropes && m->window;
    if (!m->two_ropes) return 0;
    other.rope = c->window_rope;
    if (rope_from_hf(&other, &m->window_rope, e)) return -1;
    if (c->window_rope.partial_rotary_factor != 1)
        return err_set(e, ERR_DATA, "partial_rotary_factor in this family");
    if (has_own(&m->rope) || has_own(&m->window_rope))
        return err_set(e, ERR_DATA,
                       "rope_type dynamic or longrope beside settings for another type of layer");
    return 0;
}

int model_from_hf(const struct hf_config *c, struct model *m, struct err *e)
{
    enum act act = ACT_SILU;
    if (check_features(c, e) || read_act(c->hidden_act, &act, e) || check_sizes(c, e)) return -1;
    *m = (struct model){
        .family = c->family,
        .names = c->names,
        .layers = (int32_t)c->num_hidden_layers,
        .heads = (int32_t)c->num_attention_heads,
        .kv_heads = (int32_t)c->num_key_value_heads,
        .head_dim = (int32_t)c->head_dim,
        .hidden = c->hidden_size,
        .inter = c->intermediate_size,
        .vocab = c->vocab_size,
        .positions = c->max_position_embeddings,
        .eps = c->rms_norm_eps,
        .embed_scale = c->embed_scale > 0 ? c->embed_scale : sqrt((double)c->hidden_size),
        .embed_scale_rounded = !(c->embed_scale > 0),
        .logit_scale = 1 / c->logit_divisor,
        .residual_scale = c->residual_scale,
        .attention_scale =
            c->attention_scale > 0
                ? c->attention_scale
                : 1 / sqrt(c->query_scalar > 0 ? c->query_scalar : (double)c->head_dim),
        .attention_cap = c->attention_cap,
        .logit_cap = c->logit_cap,
        .window = (int32_t)c->sliding_window,
        .tied = c->tie_word_embeddings,
        .qkv_bias = c->qkv_bias,
        .o_bias = c->o_bias,
        .mlp_bias = c->mlp_bias,
        .qk_norm = (enum hf_qk_norm)c->qk_norm,
        .pre_norm = c->pre_norm,
        .post_norm = c->post_norm,
        .rotary_dim = (int32_t)hf_rotary_dim(c),
        .rope_interleaved = c->family->interleaved,
        .qk_norm_after_rope = c->qk_norm_after_rope,
        .gain_offset = c->gain_offset,
        .act = act,
        .gated = c->gated,
        .experts = (int32_t)c->num_experts,
        .chosen = (int32_t)c->experts_per_token,
        .expert_inter = c->expert_size,
        .normalise = c->normalise_experts,
        .shared_inter = c->shared_size,
        .shared_router = c->shared_router && c->shared_size > 0,
        .router_loss = c->router_loss ? c->router_loss_scale : 0,
    };
    memcpy(m->sparse_layers, c->sparse_layers, sizeof m->sparse_layers);
    memcpy(m->window_layers, c->window_layers, sizeof m->window_layers);
    memcpy(m->rope_layers, c->rope_layers, sizeof m->rope_layers);
    struct err what;
    const bool bad = rope_from_hf(c, &m->rope, &what) || set_window_rope(c, m, &what);
    return bad ? unsupported(e, what.msg) : 0;
}

void model_sizes(const struct model *m, struct hf_sizes *s)
{
    *s = (struct hf_sizes){
        .dim =
            {
                [HF_DIM_ONE] = 1,
                [HF_DIM_HIDDEN] = (uint64_t)m->hidden,
                [HF_DIM_INNER] = (uint64_t)m->inter,
                [HF_DIM_QUERY] = (uint64_t)model_q_width(m),
                [HF_DIM_KEYS] = (uint64_t)model_kv_width(m),
                [HF_DIM_HEAD] = (uint64_t)m->head_dim,
                [HF_DIM_VOCAB] = (uint64_t)m->vocab,
                [HF_DIM_EXPERTS] = (uint64_t)m->experts,
                [HF_DIM_EXPERT_INNER] = (uint64_t)m->expert_inter,
                [HF_DIM_SHARED_INNER] = (uint64_t)m->shared_inter,
            },
        .has =
            {
                [HF_ALWAYS] = true,
                [HF_IF_QKV_BIAS] = m->qkv_bias,
                [HF_IF_O_BIAS] = m->o_bias,
                [HF_IF_MLP_BIAS] = m->mlp_bias,
                [HF_IF_GATED] = m->gated,
                [HF_IF_GATE_BIAS] = m->gated && m->mlp_bias,
                [HF_IF_QK_NORM] = m->qk_norm == HF_QK_NORM_HEAD,
                [HF_IF_QK_NORM_ROW] = m->qk_norm == HF_QK_NORM_ROW,
                [HF_IF_PRE_NORM] = m->pre_norm,
                [HF_IF_POST_NORM] = m->post_norm,
                [HF_IF_SHARED] = m->shared_inter > 0,
                [HF_IF_SHARED_ROUTER] = m->shared_router,
                [HF_IF_UNTIED] = !m->tied,
            },
        .layers = m->layers,
    };
    memcpy(s->sparse_layers, m->sparse_layers, sizeof s->sparse_layers);
}

int model_sparse_layers(const struct model *m)
{
    int n = 0;
    for (int l = 0; l < m->layers; l++) n += model_is_sparse(m, l);
    return n;
}

static bool differ(double a, double b) { return a < b || a > b; }

static bool ropes_differ(const struct rope *a, const struct rope *b)
{
    return a->type != b->type || differ(a->factor, b->factor) || differ(a->original, b->original) ||
           differ(a->low, b->low) || differ(a->high, b->high) ||
           differ(a->beta_fast, b->beta_fast) || differ(a->beta_slow, b->beta_slow) ||
           differ(a->attention, b->attention) || a->truncate != b->truncate ||
           differ(a->q_beta, b->q_beta) ||
           memcmp(a->short_factor, b->short_factor, sizeof a->short_factor) != 0 ||
           memcmp(a->long_factor, b->long_factor, sizeof a->long_factor) != 0;
}

const char *model_difference(const struct model *a, const struct model *b)
{
    const struct {
        bool differ;
        const char *what;
    } all[] = {
        {a->family != b->family || a->rope_interleaved != b->rope_interleaved ||
             a->qk_norm != b->qk_norm || a->pre_norm != b->pre_norm || a->post_norm != b->post_norm,
         "model_type"},
        {a->names != b->names, "form of tensor names"},
        {a->layers != b->layers, "num_hidden_layers"},
        {a->heads != b->heads, "num_attention_heads"},
        {a->kv_heads != b->kv_heads, "num_key_value_heads"},
        {a->head_dim != b->head_dim, "head_dim"},
        {a->hidden != b->hidden, "hidden_size"},
        {a->inter != b->inter, "intermediate_size"},
        {a->vocab != b->vocab, "vocab_size"},
        {a->positions != b->positions, "max_position_embeddings"},
        {differ(a->eps, b->eps), "rms_norm_eps"},
        {differ(a->embed_scale, b->embed_scale), "embedding_multiplier"},
        {differ(a->logit_scale, b->logit_scale), "logits_scaling"},
        {differ(a->residual_scale, b->residual_scale), "residual_multiplier"},
        {differ(a->attention_scale, b->attention_scale), "attention_multiplier"},
        {differ(a->rope.theta, b->rope.theta), "rope_theta"},
        {ropes_differ(&a->rope, &b->rope), "rope_scaling"},
        {model_pairs(a) != model_pairs(b), "partial_rotary_factor"},
        {a->two_ropes != b->two_ropes || differ(a->window_rope.theta, b->window_rope.theta) ||
             ropes_differ(&a->window_rope, &b->window_rope),
         "rope_parameters"},
        {a->window != b->window ||
             memcmp(a->window_layers, b->window_layers, sizeof a->window_layers) != 0,
         "sliding_window"},
        {memcmp(a->rope_layers, b->rope_layers, sizeof a->rope_layers) != 0, "no_rope_layers"},
        {a->act != b->act, "hidden_act"},
        {a->tied != b->tied, "tie_word_embeddings"},
        {a->qkv_bias != b->qkv_bias, "attention_bias"},
        {a->o_bias != b->o_bias, "attention_bias or attention_out_bias"},
        {a->mlp_bias != b->mlp_bias, "mlp_bias"},
        {differ(a->attention_cap, b->attention_cap), "attn_logit_softcapping"},
        {differ(a->logit_cap, b->logit_cap), "final_logit_softcapping"},
        {a->experts != b->experts, "num_experts"},
        {a->chosen != b->chosen, "num_experts_per_tok"},
        {a->expert_inter != b->expert_inter, "moe_intermediate_size"},
        {a->normalise != b->normalise, "norm_topk_prob"},
        {a->shared_inter != b->shared_inter, "shared_expert_intermediate_size"},
        {!a->router_loss_given && differ(a->router_loss, b->router_loss), "router_aux_loss_coef"},
        {memcmp(a->sparse_layers, b->sparse_layers, sizeof a->sparse_layers) != 0,
         "decoder_sparse_step or mlp_only_layers"},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i].differ) return all[i].what;
    return NULL;
}

double model_squares(const struct model *m, double n)
{
    const double w = (double)m->window, within = n <= w ? n * n : 2 * n * w - w * w;
    double sum = 0;
    for (int l = 0; l < m->layers; l++) sum += model_window(m, l) ? within : n * n;
    return sum / m->layers;
}

/* Returns the parameters of layer l that a token is multiplied with: of a tensor that each expert
 * has, those of the chosen experts. */
static double active(const struct model *m, const struct hf_sizes *s, int l)
{
    const struct hf_row *r, *end;
    double n = 0;
    for (hf_rows_of(m->family->tensors, HF_LAYER, &r, &end); r < end; r++)
        if (hf_row_info(r)->kind == HF_PARAM_MATRIX && hf_row_exists(r, s, l))
            n += (double)hf_row_rows(r, s) * (double)hf_row_columns(r, s) *
                 (hf_row_is_expert(r) ? m->chosen : 1);
    return n;
}

double model_flops(const struct model *m, double tokens, double targets, double squares)
{
    const double q = (double)model_q_width(m);
    struct hf_sizes s;
    double layers = 0;
    model_sizes(m, &s);
    for (int l = 0; l < m->layers; l++) layers += active(m, &s, l);
    const double head = 2 * targets * (double)m->hidden * (double)m->vocab;
    const double gemm = 2 * tokens * layers + head;
    /* q k^T and p v: each costs 2 * width * half of the square of the length */
    return gemm + 2 * q * squares * m->layers;
}

/* Appends the first bytes of a token's text: whole characters, in quotes and parentheses. */
static void put_quoted(struct buf *b, struct str s)
{
    enum { SHOWN = 60 };
    size_t n = s.n < SHOWN ? s.n : SHOWN;
    while (n < s.n && n > 0 && ((unsigned char)s.p[n] & 0xc0) == 0x80) n--;
    if (n) buf_printf(b, " (\"%.*s%s\")", (int)n, s.p, n < s.n ? "..." : "");
}

int model_check_id(const struct model_vocab *v, uint32_t id, struct err *e)
{
    struct buf text = {0}, quoted = {0};
    if (id < (uint64_t)v->size) return 0;
    if (v->text) v->text(v->arg, id, &text);
    put_quoted(&quoted, (struct str){text.data, text.len});
    err_set(e, ERR_DATA,
            "token %u%s is not in the model's vocabulary of %lld tokens: its embedding has no such "
            "row; enlarge it (transformers: resize_token_embeddings), or take the tokenizer that "
            "the model was made with",
            (unsigned)id, quoted.len ? quoted.data : "", (long long)v->size);
    buf_free(&text);
    buf_free(&quoted);
    return -1;
}
