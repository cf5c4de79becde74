/* SPDX-License-Identifier: Apache-2.0 */
/* The table of roles, and the list of a model's parameters from it and from its family's rows. */
#include "hf/params.h"

#include <stdio.h>
#include <string.h>

#include "hf/config.h"
#include "hf/family.h"

#define ROLE(role, bucket, block, kind, rows, columns, shard, when)                                \
    [HF_ROLE_##role] = {HF_##bucket,      HF_BLOCK_##block, HF_PARAM_##kind, HF_DIM_##rows,        \
                        HF_DIM_##columns, SHARD_##shard,    HF_##when}
/* A bias of rows that are cut is cut with them; a bias of a sum over ranks is added once, and so is
 * whole on each. The norm of a head is that of the heads of all ranks; the weights that the router
 * gives have their gradient from the parts of the experts on all ranks. */
const struct hf_role_info hf_roles[HF_ROLES] = {
    ROLE(EMBED, EMBED, EMBED, EMBEDDING, VOCAB, HIDDEN, VOCAB, ALWAYS),
    ROLE(NORM1, LAYER, NORM1, NORM, HIDDEN, ONE, REPLICATED, IF_PRE_NORM),
    ROLE(Q, LAYER, QKV, MATRIX, QUERY, HIDDEN, ROWS, ALWAYS),
    ROLE(K, LAYER, QKV, MATRIX, KEYS, HIDDEN, ROWS, ALWAYS),
    ROLE(V, LAYER, QKV, MATRIX, KEYS, HIDDEN, ROWS, ALWAYS),
    ROLE(Q_BIAS, LAYER, QKV_BIAS, BIAS, QUERY, ONE, ROWS, IF_QKV_BIAS),
    ROLE(K_BIAS, LAYER, QKV_BIAS, BIAS, KEYS, ONE, ROWS, IF_QKV_BIAS),
    ROLE(V_BIAS, LAYER, QKV_BIAS, BIAS, KEYS, ONE, ROWS, IF_QKV_BIAS),
    ROLE(Q_NORM, LAYER, Q_NORM, NORM, HEAD, ONE, PARTIAL, IF_QK_NORM),
    ROLE(K_NORM, LAYER, K_NORM, NORM, HEAD, ONE, PARTIAL, IF_QK_NORM),
    ROLE(Q_NORM_ROW, LAYER, Q_NORM, NORM, QUERY, ONE, ROWS, IF_QK_NORM_ROW),
    ROLE(K_NORM_ROW, LAYER, K_NORM, NORM, KEYS, ONE, ROWS, IF_QK_NORM_ROW),
    ROLE(O, LAYER, O, MATRIX, HIDDEN, QUERY, COLUMNS, ALWAYS),
    ROLE(O_BIAS, LAYER, O_BIAS, BIAS, HIDDEN, ONE, REPLICATED, IF_O_BIAS),
    ROLE(NORM1_OUT, LAYER, NORM1_OUT, NORM, HIDDEN, ONE, REPLICATED, IF_POST_NORM),
    ROLE(NORM2, LAYER, NORM2, NORM, HIDDEN, ONE, REPLICATED, IF_PRE_NORM),
    ROLE(GATE, LAYER, GATE_UP, MATRIX, INNER, HIDDEN, ROWS, IF_GATED),
    ROLE(UP, LAYER, GATE_UP, MATRIX, INNER, HIDDEN, ROWS, ALWAYS),
    ROLE(GATE_BIAS, LAYER, GATE_UP_BIAS, BIAS, INNER, ONE, ROWS, IF_GATE_BIAS),
    ROLE(UP_BIAS, LAYER, GATE_UP_BIAS, BIAS, INNER, ONE, ROWS, IF_MLP_BIAS),
    ROLE(DOWN, LAYER, DOWN, MATRIX, HIDDEN, INNER, COLUMNS, ALWAYS),
    ROLE(DOWN_BIAS, LAYER, DOWN_BIAS, BIAS, HIDDEN, ONE, REPLICATED, IF_MLP_BIAS),
    ROLE(NORM2_OUT, LAYER, NORM2_OUT, NORM, HIDDEN, ONE, REPLICATED, IF_POST_NORM),
    ROLE(ROUTER, LAYER, ROUTER, MATRIX, EXPERTS, HIDDEN, PARTIAL, ALWAYS),
    ROLE(SHARED_ROUTER, LAYER, SHARED_ROUTER, MATRIX, ONE, HIDDEN, PARTIAL, IF_SHARED_ROUTER),
    ROLE(EXPERT_GATE, LAYER, EXPERT_GATE_UP, MATRIX, EXPERT_INNER, HIDDEN, ROWS, ALWAYS),
    ROLE(EXPERT_UP, LAYER, EXPERT_GATE_UP, MATRIX, EXPERT_INNER, HIDDEN, ROWS, ALWAYS),
    ROLE(EXPERT_DOWN, LAYER, EXPERT_DOWN, MATRIX, HIDDEN, EXPERT_INNER, COLUMNS, ALWAYS),
    ROLE(SHARED_GATE, LAYER, SHARED_GATE_UP, MATRIX, SHARED_INNER, HIDDEN, ROWS, IF_SHARED),
    ROLE(SHARED_UP, LAYER, SHARED_GATE_UP, MATRIX, SHARED_INNER, HIDDEN, ROWS, IF_SHARED),
    ROLE(SHARED_DOWN, LAYER, SHARED_DOWN, MATRIX, HIDDEN, SHARED_INNER, COLUMNS, IF_SHARED),
    ROLE(NORM_FINAL, HEAD, NORM_FINAL, NORM, HIDDEN, ONE, REPLICATED, ALWAYS),
    ROLE(HEAD, HEAD, HEAD, MATRIX, VOCAB, HIDDEN, VOCAB, IF_UNTIED),
};

/* ---- rows ---- */
uint64_t hf_row_rows(const struct hf_row *r, const struct hf_sizes *s)
{
    uint64_t n = 0;
    for (const enum hf_role *x = r->roles; *x; x++) n += s->dim[hf_roles[*x].rows];
    return n;
}

/* ---- dense and sparse layers ---- */
/* A dense layer has an MLP; a sparse one has a router and experts in its place. */
static bool is_dense(enum hf_block b) { return b >= HF_BLOCK_GATE_UP && b <= HF_BLOCK_DOWN_BIAS; }
static bool is_sparse(enum hf_block b) { return b >= HF_BLOCK_ROUTER && b <= HF_BLOCK_SHARED_DOWN; }

bool hf_row_exists(const struct hf_row *r, const struct hf_sizes *s, int layer)
{
    const struct hf_role_info *x = hf_row_info(r);
    const bool sparse = x->bucket == HF_LAYER && hf_layer_is(s->sparse_layers, layer);
    return s->has[x->when] && !(sparse ? is_dense(x->block) : is_sparse(x->block));
}

/* Returns true if a layer of the model has the tensor. */
static bool exists_in_some(const struct hf_row *r, const struct hf_sizes *s)
{
    for (int l = 0; l < s->layers; l++)
        if (hf_row_exists(r, s, l)) return true;
    return false;
}

static bool is_routed(enum hf_block b)
{
    return b == HF_BLOCK_ROUTER || b == HF_BLOCK_EXPERT_GATE_UP || b == HF_BLOCK_EXPERT_DOWN;
}

static bool is_matrix(const struct hf_row *r)
{
    const struct hf_role_info *x = hf_row_info(r);
    return x->bucket == HF_LAYER && x->kind == HF_PARAM_MATRIX;
}

bool hf_row_is_linear(const struct hf_row *r)
{
    return is_matrix(r) && !is_routed(hf_row_info(r)->block);
}

bool hf_row_is_adapted(const struct hf_row *r, const struct hf_sizes *s, bool experts)
{
    bool sparse = false;
    const enum hf_block b = hf_row_info(r)->block;
    for (int i = 0; i < HF_LAYER_WORDS; i++) sparse |= s->sparse_layers[i] != 0;
    return is_matrix(r) && exists_in_some(r, s) &&
           (experts && sparse ? !is_dense(b) : !is_routed(b));
}

bool hf_row_is_expert(const struct hf_row *r)
{
    const enum hf_block b = hf_row_info(r)->block;
    return b == HF_BLOCK_EXPERT_GATE_UP || b == HF_BLOCK_EXPERT_DOWN;
}

bool hf_row_is_stacked(const struct hf_row *r)
{
    const char *layer = strstr(r->name, "%d");
    return hf_row_is_expert(r) && !strstr(layer + 2, "%d");
}

uint64_t hf_row_tensors(const struct hf_row *r, const struct hf_sizes *s)
{
    return hf_row_is_expert(r) && !hf_row_is_stacked(r) ? s->dim[HF_DIM_EXPERTS] : 1;
}

/* Returns the end of the rows from r on that belong to the same block. */
static const struct hf_row *block_end(const struct hf_row *r)
{
    const enum hf_block b = hf_row_info(r)->block;
    while (r->name && hf_row_info(r)->block == b) r++;
    return r;
}

void hf_rows_of(const struct hf_row *table, enum hf_bucket bucket, const struct hf_row **begin,
                const struct hf_row **end)
{
    for (*begin = table; (*begin)->name && hf_row_info(*begin)->bucket < bucket;) ++*begin;
    for (*end = *begin; (*end)->name && hf_row_info(*end)->bucket == bucket;) ++*end;
}

const struct hf_row *hf_row_find(const struct hf_row *table, enum hf_role role)
{
    for (const struct hf_row *r = table; r->name; r++)
        for (const enum hf_role *x = r->roles; *x; x++)
            if (*x == role) return r;
    return NULL;
}

void hf_row_name(const char *name, int layer, int expert, char *out, size_t size)
{
    const char *d = strstr(name, "%d"), *second = d ? strstr(d + 2, "%d") : NULL;
    if (second)
        snprintf(out, size, "%.*s%d%.*s%d%s", (int)(d - name), name, layer, (int)(second - d - 2),
                 d + 2, expert, second + 2);
    else if (d)
        snprintf(out, size, "%.*s%d%s", (int)(d - name), name, layer, d + 2);
    else
        snprintf(out, size, "%s", name);
}

/* ---- the list ---- */
void hf_sizes_of(const struct hf_config *c, struct hf_sizes *s)
{
    *s = (struct hf_sizes){
        .dim =
            {
                [HF_DIM_ONE] = 1,
                [HF_DIM_HIDDEN] = (uint64_t)c->hidden_size,
                [HF_DIM_INNER] = (uint64_t)c->intermediate_size,
                [HF_DIM_QUERY] = (uint64_t)(c->num_attention_heads * c->head_dim),
                [HF_DIM_KEYS] = (uint64_t)(c->num_key_value_heads * c->head_dim),
                [HF_DIM_HEAD] = (uint64_t)c->head_dim,
                [HF_DIM_VOCAB] = (uint64_t)c->vocab_size,
                [HF_DIM_EXPERTS] = (uint64_t)c->num_experts,
                [HF_DIM_EXPERT_INNER] = (uint64_t)c->expert_size,
                [HF_DIM_SHARED_INNER] = (uint64_t)c->shared_size,
            },
        .has =
            {
                [HF_ALWAYS] = true,
                [HF_IF_QKV_BIAS] = c->qkv_bias,
                [HF_IF_O_BIAS] = c->o_bias,
                [HF_IF_MLP_BIAS] = c->mlp_bias,
                [HF_IF_GATED] = c->gated,
                [HF_IF_GATE_BIAS] = c->gated && c->mlp_bias,
                [HF_IF_QK_NORM] = c->qk_norm == HF_QK_NORM_HEAD,
                [HF_IF_QK_NORM_ROW] = c->qk_norm == HF_QK_NORM_ROW,
                [HF_IF_PRE_NORM] = c->pre_norm,
                [HF_IF_POST_NORM] = c->post_norm,
                [HF_IF_SHARED] = c->shared_size > 0,
                [HF_IF_SHARED_ROUTER] = c->shared_router && c->shared_size > 0,
                [HF_IF_UNTIED] = !c->tie_word_embeddings,
            },
        .layers = (int)c->num_hidden_layers,
    };
    memcpy(s->sparse_layers, c->sparse_layers, sizeof s->sparse_layers);
}

struct lister {
    struct hf_sizes sizes;
    enum hf_names names;
    hf_param_fn *f;
    void *arg;
    struct err *e;
};

/* Fills in the shape of a row's tensor. */
static void set_shape(const struct hf_row *r, const struct hf_sizes *s, struct hf_param *p)
{
    if (hf_row_is_stacked(r)) p->dim[p->ndim++] = s->dim[HF_DIM_EXPERTS];
    p->dim[p->ndim++] = hf_row_rows(r, s);
    if (hf_row_info(r)->columns != HF_DIM_ONE) p->dim[p->ndim++] = hf_row_columns(r, s);
}

static int list_tensor(const struct lister *k, const struct hf_row *r, int layer, int expert)
{
    char own[HF_TENSOR_NAME], name[HF_TENSOR_NAME];
    if (!hf_row_exists(r, &k->sizes, layer)) return 0;
    hf_row_name(r->name, layer, expert, own, sizeof own);
    hf_name_in(k->names, own, name, sizeof name);
    struct hf_param p = {
        .name = name, .row = r, .kind = hf_row_info(r)->kind, .layer = layer, .expert = expert};
    set_shape(r, &k->sizes, &p);
    return k->f(k->arg, &p, k->e);
}

/* The rows of one bucket, and for a block of experts those of each; layer: -1 outside the layers.
 */
static int list_bucket(const struct lister *k, const struct hf_row *table, enum hf_bucket bucket,
                       int layer)
{
    const struct hf_row *r, *end, *next;
    int rc = 0;
    for (hf_rows_of(table, bucket, &r, &end); r < end && rc == 0; r = next) {
        const int n = (int)hf_row_tensors(r, &k->sizes);
        next = hf_row_is_expert(r) ? block_end(r) : r + 1;
        for (int expert = 0; expert < n; expert++)
            for (const struct hf_row *x = r; x < next && rc == 0; x++)
                rc = list_tensor(k, x, layer, expert);
    }
    return rc;
}

int hf_param_list(const struct hf_config *c, hf_param_fn *f, void *arg, struct err *e)
{
    struct lister k = {.names = c->names, .f = f, .arg = arg, .e = e};
    if (hf_config_is_moe(c))
        return err_set(e, ERR_DATA,
                       "model type %s is a mixture of experts (MoE), which is not "
                       "supported",
                       c->model_type);
    if (!c->family) return err_set(e, ERR_DATA, "model type %s is not supported", c->model_type);
    const struct hf_row *table = c->family->tensors;
    hf_sizes_of(c, &k.sizes);
    int rc = list_bucket(&k, table, HF_EMBED, -1);
    for (int64_t i = 0; i < c->num_hidden_layers && rc == 0; i++)
        rc = list_bucket(&k, table, HF_LAYER, (int)i);
    return rc ? rc : list_bucket(&k, table, HF_HEAD, -1);
}
