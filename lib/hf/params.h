/* SPDX-License-Identifier: Apache-2.0 */
/* The parameters of a decoder by role, and the rows that say under which names the checkpoints of a
 * family hold them. Sizes are symbols here: what a model has of them is a struct hf_sizes. */
#ifndef SFT_HF_PARAMS_H
#define SFT_HF_PARAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "hf/config.h"

/* ---- roles: the function of a parameter, independent of its name ---- */
enum hf_param_kind { HF_PARAM_MATRIX, HF_PARAM_EMBEDDING, HF_PARAM_NORM, HF_PARAM_BIAS };

/* Sizes that dimensions refer to. A vector has one column. */
enum hf_dim {
    HF_DIM_ONE,
    HF_DIM_HIDDEN, /* the residual stream */
    HF_DIM_INNER,  /* the MLP */
    HF_DIM_QUERY,  /* heads * head_dim */
    HF_DIM_KEYS,   /* kv_heads * head_dim */
    HF_DIM_HEAD,   /* one head */
    HF_DIM_VOCAB,
    HF_DIM_EXPERTS,      /* experts of a sparse layer */
    HF_DIM_EXPERT_INNER, /* the MLP of one expert */
    HF_DIM_SHARED_INNER, /* the MLP of the expert of all tokens */
    HF_DIMS
};
/* When a parameter exists. */
enum hf_when {
    HF_ALWAYS,
    HF_IF_QKV_BIAS,
    HF_IF_O_BIAS,
    HF_IF_MLP_BIAS,
    HF_IF_GATED,
    HF_IF_GATE_BIAS,   /* both */
    HF_IF_QK_NORM,     /* of each head */
    HF_IF_QK_NORM_ROW, /* of all heads together */
    HF_IF_PRE_NORM,
    HF_IF_POST_NORM,
    HF_IF_SHARED,        /* an expert of all tokens */
    HF_IF_SHARED_ROUTER, /* with a weight */
    HF_IF_UNTIED,
    HF_WHENS
};
/* How a parameter is cut among the ranks of a tensor-parallel group. The rows of SHARD_VOCAB may be
 * cut unevenly. A parameter that is not cut is on every rank: each has its whole gradient, or with
 * SHARD_PARTIAL a part, and the gradient is the sum over the ranks. */
enum shard { SHARD_REPLICATED, SHARD_PARTIAL, SHARD_ROWS, SHARD_COLUMNS, SHARD_VOCAB };
static inline bool shard_is_cut(enum shard s)
{
    return s != SHARD_REPLICATED && s != SHARD_PARTIAL;
}
/* The parts of a model, in the order of the forward pass. */
enum hf_bucket { HF_EMBED, HF_LAYER, HF_HEAD };
/* Parameters of one block lie side by side in memory, in the order of the roles, as one matrix of
 * all their rows (or one vector): q, k and v are one product, and so are gate and up. A block of
 * experts has this for the first expert, then for the second, and so on. */
enum hf_block {
    HF_BLOCK_EMBED,
    HF_BLOCK_NORM1,
    HF_BLOCK_QKV,
    HF_BLOCK_QKV_BIAS,
    HF_BLOCK_Q_NORM,
    HF_BLOCK_K_NORM,
    HF_BLOCK_O,
    HF_BLOCK_O_BIAS,
    HF_BLOCK_NORM1_OUT,
    HF_BLOCK_NORM2,
    HF_BLOCK_GATE_UP,
    HF_BLOCK_GATE_UP_BIAS,
    HF_BLOCK_DOWN,
    HF_BLOCK_DOWN_BIAS,
    HF_BLOCK_NORM2_OUT,
    HF_BLOCK_ROUTER,
    HF_BLOCK_SHARED_ROUTER,
    HF_BLOCK_EXPERT_GATE_UP,
    HF_BLOCK_EXPERT_DOWN,
    HF_BLOCK_SHARED_GATE_UP,
    HF_BLOCK_SHARED_DOWN,
    HF_BLOCK_NORM_FINAL,
    HF_BLOCK_HEAD,
    HF_BLOCKS
};
enum hf_role {
    HF_ROLE_END, /* ends a list */
    HF_ROLE_EMBED,
    HF_ROLE_NORM1, /* before attention */
    HF_ROLE_Q,
    HF_ROLE_K,
    HF_ROLE_V,
    HF_ROLE_Q_BIAS,
    HF_ROLE_K_BIAS,
    HF_ROLE_V_BIAS,
    HF_ROLE_Q_NORM, /* over each head, before the rotation */
    HF_ROLE_K_NORM,
    HF_ROLE_Q_NORM_ROW, /* over all heads together, before the rotation */
    HF_ROLE_K_NORM_ROW,
    HF_ROLE_O,
    HF_ROLE_O_BIAS,
    HF_ROLE_NORM1_OUT, /* behind attention, before its result is added to the stream */
    HF_ROLE_NORM2,     /* before the MLP */
    HF_ROLE_GATE,
    HF_ROLE_UP,
    HF_ROLE_GATE_BIAS,
    HF_ROLE_UP_BIAS,
    HF_ROLE_DOWN,
    HF_ROLE_DOWN_BIAS,
    HF_ROLE_NORM2_OUT,     /* behind the MLP */
    HF_ROLE_ROUTER,        /* a row for each expert */
    HF_ROLE_SHARED_ROUTER, /* a row for the logit of the weight of the expert of all tokens */
    HF_ROLE_EXPERT_GATE,   /* of each expert of a sparse layer, which has no MLP */
    HF_ROLE_EXPERT_UP,
    HF_ROLE_EXPERT_DOWN,
    HF_ROLE_SHARED_GATE, /* of the expert of all tokens */
    HF_ROLE_SHARED_UP,
    HF_ROLE_SHARED_DOWN,
    HF_ROLE_NORM_FINAL,
    HF_ROLE_HEAD, /* the output projection */
    HF_ROLES
};
struct hf_role_info {
    enum hf_bucket bucket;
    enum hf_block block;
    enum hf_param_kind kind;
    enum hf_dim rows, columns; /* [out, in] of a projection */
    enum shard shard;
    enum hf_when when;
};
extern const struct hf_role_info hf_roles[HF_ROLES];

/* ---- rows: the tensors of a family's checkpoints ---- */
/* The most roles in a row, and the most rows in a block. */
enum { HF_ROW_ROLES = 3, HF_BLOCK_ROWS = 3 };

/* A tensor in a checkpoint. It may hold several roles one below the other, as qkv_proj holds q, k
 * and v: roles of one block, in its order. A table lists its rows in the order of the forward pass:
 * embedding, one layer, head. Experts have a tensor each, or all of them one [experts, rows,
 * columns]: then they are stacked. */
struct hf_row {
    const char *name;                     /* the first "%d" stands for the layer, a second one for
                                             the expert: one tensor of each; NULL ends a table */
    const char *gguf;                     /* its name in a GGUF file; NULL: there is none */
    enum hf_role roles[HF_ROW_ROLES + 1]; /* ended by HF_ROLE_END */
};
/* The sizes and conditions of one model. */
struct hf_sizes {
    uint64_t dim[HF_DIMS];
    bool has[HF_WHENS];
    int layers;
    uint64_t sparse_layers[HF_LAYER_WORDS]; /* as in struct hf_config */
};
void hf_sizes_of(const struct hf_config *c, struct hf_sizes *s);

/* The row's first role, which has all but the number of rows in common with its others. */
static inline const struct hf_role_info *hf_row_info(const struct hf_row *r)
{
    return &hf_roles[r->roles[0]];
}
/* Elements of the tensor, or of each matrix of a stacked one: rows of all its roles, and the
 * columns they share. */
uint64_t hf_row_rows(const struct hf_row *r, const struct hf_sizes *s);
static inline uint64_t hf_row_columns(const struct hf_row *r, const struct hf_sizes *s)
{
    return s->dim[hf_row_info(r)->columns];
}
/* True if the model has the tensor; of a layer, in this layer. */
bool hf_row_exists(const struct hf_row *r, const struct hf_sizes *s, int layer);
/* A linear layer of the layers. The router and the experts are none, as in transformers 5. */
bool hf_row_is_linear(const struct hf_row *r);
/* An adapter may adapt it in a model of these sizes: a linear layer that the model has. Where peft
 * adapts experts (experts: see struct hf_family) also the router and the experts, but then no MLP
 * of a layer without them, for whose layers' names peft reads those of the experts. */
bool hf_row_is_adapted(const struct hf_row *r, const struct hf_sizes *s, bool experts);
/* The row is a tensor of each expert, or a stacked one of all. */
bool hf_row_is_expert(const struct hf_row *r);
bool hf_row_is_stacked(const struct hf_row *r);
/* The number of tensors that the row stands for in a layer: one, or one for each expert. */
uint64_t hf_row_tensors(const struct hf_row *r, const struct hf_sizes *s);
/* The table's rows of one bucket: [*begin, *end). */
void hf_rows_of(const struct hf_row *table, enum hf_bucket bucket, const struct hf_row **begin,
                const struct hf_row **end);
/* The row that holds a role; NULL when the table has none. */
const struct hf_row *hf_row_find(const struct hf_row *table, enum hf_role role);
/* A name with the layer and, where it has one, the expert put in; cut to size. */
void hf_row_name(const char *name, int layer, int expert, char *out, size_t size);

/* ---- the parameters of one model ---- */
/* The name lives only during the call. dim: rows and columns, of stacked experts behind their
 * number; [n] of norms and biases. layer: -1 outside the layers. expert: 0 where there are none. */
struct hf_param {
    const char *name;
    const struct hf_row *row;
    enum hf_param_kind kind;
    int layer, expert;
    int ndim;
    uint64_t dim[3];
};
typedef int hf_param_fn(void *arg, const struct hf_param *p, struct err *e);

/* Calls f for each parameter in the order of the forward pass; stops at the first non-zero, which
 * it returns. The output projection only when it is not tied. ERR_DATA for a model of no known
 * family. */
int hf_param_list(const struct hf_config *c, hf_param_fn *f, void *arg, struct err *e);

#endif
