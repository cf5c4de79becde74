/* SPDX-License-Identifier: Apache-2.0 */
/* The descriptor of a decoder-only transformer, and its parameter table: the tensors and their
 * offsets in one flat allocation. This file does not depend on a device. */
#ifndef SFT_MODEL_MODEL_H
#define SFT_MODEL_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "hf/config.h"
#include "hf/family.h"
#include "model/lora.h"
#include "ops/ops.h"

enum rope_type { ROPE_DEFAULT, ROPE_LINEAR, ROPE_DYNAMIC, ROPE_YARN, ROPE_LLAMA3, ROPE_LONGROPE };
/* Rotary positions: pair i of a head rotates by position * frequency(i). */
struct rope {
    enum rope_type type;
    double theta;
    double factor;    /* all types except the default */
    double original;  /* llama3, yarn, longrope, q_beta: positions of the base model's training */
    double low, high; /* llama3 */
    double beta_fast, beta_slow; /* yarn */
    double attention;            /* yarn, longrope: a factor of cos and sin */
    bool truncate;               /* yarn */
    /* longrope: divisors of the frequencies in documents of up to `original` tokens, and in longer
     * ones */
    float short_factor[HF_ROPE_PAIRS], long_factor[HF_ROPE_PAIRS];
    double q_beta; /* q is multiplied by 1 + q_beta ln(1 + floor(position / original)) */
};

/* The Llama family: RMSNorm, rotary positions, grouped-query attention, an MLP with or
 * without gate. */
struct model {
    const struct hf_family *family;
    enum hf_names names; /* of the tensors in files; parameters have those of modules */
    int32_t layers, heads, kv_heads, head_dim;
    int64_t hidden, inter, vocab, positions; /* positions: max_position_embeddings */
    int64_t vocab_first;                     /* of model_local: its first row of the vocabulary */
    double eps;
    double embed_scale, logit_scale; /* factors of embeddings, and of logits */
    bool embed_scale_rounded;        /* to the type of the weights */
    double residual_scale;           /* factor of what a branch adds to the residual stream */
    double attention_scale;          /* factor of q k^T */
    struct rope rope, window_rope;   /* two_ropes: that of layers with a window */
    bool two_ropes;
    int32_t rotary_dim;    /* elements of a head that rotate, its first ones; 0: all */
    bool rope_interleaved; /* pairs are (2i, 2i+1), not (i, i + rotary_dim/2) */
    int32_t window;        /* keys that a query reads, including its own */
    uint64_t window_layers[HF_MAX_LAYERS / 64]; /* layers with a window; the others read all keys */
    uint64_t rope_layers[HF_MAX_LAYERS / 64];   /* layers with rotary positions */
    bool tied;                                  /* the embedding is the output projection */
    bool qkv_bias, o_bias, mlp_bias;            /* of q, k and v; of o; of gate, up and down */
    double attention_cap, logit_cap;            /* soft caps of scores and of logits; 0: none */
    enum hf_qk_norm qk_norm;  /* RMSNorm of q and k, before the rotation: of each head or of all */
    bool pre_norm, post_norm; /* RMSNorm of the input of attention and of the MLP; of the result */
    bool qk_norm_after_rope;  /* of the rotated q and k */
    bool gain_offset;         /* the gain of every norm is 1 + w */
    enum act act;             /* of the MLP */
    bool gated;               /* MLP: down(act(gate x) * up x); not gated:
                                 down(act(up x)) */
    /* Sparse layers have experts instead of an MLP. Each token has the results of `chosen` of them,
     * times the probabilities that the router gives them, divided by their sum if `normalise`. */
    int32_t experts, chosen;
    int64_t expert_inter;
    bool normalise;
    int64_t shared_inter;   /* the inner size of an expert that all tokens have too; 0: none */
    bool shared_router;     /* its result is multiplied by the sigmoid of a product of the token */
    double router_loss;     /* the factor of the auxiliary loss; 0: none */
    bool router_loss_given; /* by the run, not by the model's config.json */
    uint64_t sparse_layers[HF_LAYER_WORDS];
};

/* Makes the descriptor of the model in config.json. Fails with ERR_DATA, which says what is not
 * supported and what is. */
int model_from_hf(const struct hf_config *c, struct model *m, struct err *e);
/* Returns the config.json name of a value that differs in a and b, or NULL if both compute the
 * same. A factor that the run gives to a (router_loss_given) is not compared. */
const char *model_difference(const struct model *a, const struct model *b);

/* The tokens that have an embedding: ids [0, size). text(arg, id, b) appends the text of an id for
 * messages; if it is NULL, messages have no text. */
struct model_vocab {
    int64_t size;
    void (*text)(void *arg, uint32_t id, struct buf *b);
    void *arg;
};
/* Returns 0, or fails with ERR_DATA if the id has no embedding; the message has the id's text and a
 * remedy. */
int model_check_id(const struct model_vocab *v, uint32_t id, struct err *e);
/* Fills in the model's sizes and conditions in the form that the tables of lib/hf use. */
void model_sizes(const struct model *m, struct hf_sizes *s);

static inline int64_t model_q_width(const struct model *m)
{
    return (int64_t)m->heads * m->head_dim;
}
static inline int64_t model_kv_width(const struct model *m)
{
    return (int64_t)m->kv_heads * m->head_dim;
}
static inline int64_t model_qkv_width(const struct model *m)
{
    return model_q_width(m) + 2 * model_kv_width(m);
}

/* Returns the width of the MLP's first product: gate and up, or up. */
static inline int64_t model_up_width(const struct model *m)
{
    return m->gated ? 2 * m->inter : m->inter;
}

/* Returns the number of norms of a token's q, and of its q and k together. */
static inline int64_t model_q_norms(const struct model *m)
{
    return m->qk_norm == HF_QK_NORM_ROW ? 1 : m->heads;
}
static inline int64_t model_qk_norms(const struct model *m)
{
    return m->qk_norm == HF_QK_NORM_ROW ? 2 : m->heads + m->kv_heads;
}

/* Returns the window of layer l as operations take it; 0: no window. */
static inline int32_t model_window(const struct model *m, int l)
{
    return hf_layer_is(m->window_layers, l) ? m->window : 0;
}

/* Returns true if layer l rotates q and k. */
static inline bool model_rotates(const struct model *m, int l)
{
    return hf_layer_is(m->rope_layers, l);
}

/* Returns the number of pairs of a head that rotate. */
static inline int64_t model_pairs(const struct model *m)
{
    return (m->rotary_dim > 0 ? m->rotary_dim : m->head_dim) / 2;
}

/* Reports whether layer l rotates by window_rope. */
static inline bool model_has_window_rope(const struct model *m, int l)
{
    return m->two_ropes && model_window(m, l);
}
static inline bool model_is_sparse(const struct model *m, int l)
{
    return hf_layer_is(m->sparse_layers, l);
}
/* Returns the number of sparse layers. */
int model_sparse_layers(const struct model *m);

/* Reads the rotary settings. Fails with ERR_DATA, which says what is not supported. */
int rope_from_hf(const struct hf_config *c, struct rope *r, struct err *e);
/* Returns true if documents of n tokens have their own rotary frequencies. */
bool rope_is_own(const struct model *m, int64_t n);
/* Returns the length of the longest document: max_position_embeddings, or the length to which the
 * scaling extends it. prompt > 0: the document grows token by token from so many. Then its
 * frequencies must not change: dynamic scaling cannot exceed max_position_embeddings, and a prompt
 * below the original positions of longrope cannot grow beyond them. */
int64_t rope_reach(const struct model *m, int64_t prompt);
/* Returns true if a document that grows to n tokens changes its frequencies with every token. */
bool rope_moves(const struct model *m, int64_t n);
/* Computes cos and sin, each [count, model_pairs], of positions [first, first + count) of a
 * document of n tokens, times the attention factor. */
void rope_table(const struct model *m, int64_t n, int64_t first, int64_t count, float *cosines,
                float *sines);
/* Returns true if q has a factor that differs from 1 within documents of n tokens. */
bool rope_scales_q(const struct model *m, int64_t n);
/* Computes this factor for positions [first, first + count). */
void rope_q_scale(const struct model *m, int64_t first, int64_t count, float *scale);

/* Returns the floating-point operations of a forward pass over `tokens` tokens; the output
 * projection computes `targets` of them. Attention is causal within documents; squares is the sum
 * of model_squares over their lengths. A backward pass takes twice as many operations.
 * Recomputation is not counted. */
double model_flops(const struct model *m, double tokens, double targets, double squares);
/* Returns twice the number of query-key pairs in a document of n tokens, averaged over the layers:
 * n squared if there is no window. */
double model_squares(const struct model *m, double n);

/* ---- tensor parallelism: the part of one rank ---- */
/* A block of a matrix, given by its rows and columns. A vector has one column. */
struct shard_block {
    uint64_t row, rows, column, columns;
};
/* Returns the begin of part `at` if n units are cut in `parts` parts; the part ends at the begin of
 * the next. The sizes of parts differ by at most one unit. */
uint64_t shard_begin(uint64_t n, int parts, int at);
/* Computes the block of a whole matrix [rows, columns] that rank `at` of tp has; tp 0 or 1: the
 * whole matrix. Returns -1 if the cut dimension is not divisible by tp; the parts of a vocabulary
 * may differ in size. */
int shard_cut(enum shard shard, uint64_t rows, uint64_t columns, int tp, int at,
              struct shard_block *b);
/* Makes the descriptor of the part that rank `at` of tp computes: its heads, key-value heads, rows
 * of the MLP and of the vocabulary. tp 0 or 1: m itself. Fails with ERR_CONFIG, which names the
 * sizes that are not divisible by tp. */
int model_local(const struct model *m, int tp, int at, struct model *local, struct err *e);

/* ---- the parameter table ---- */
struct param {
    char name[72];     /* the Hugging Face name of its module */
    int rank;          /* 1, 2, or of stacked experts 3 */
    uint64_t shape[2]; /* shape of this rank's part; stacked matrices are one below the other */
    uint64_t whole[3]; /* shape of the tensor in files */
    /* The blocks of the whole, as one matrix, that this rank has: these, then for each next one of
     * `stacked` experts the same ones as many rows below as an expert has, `each`. They are stored
     * one below the other. See param_block. */
    struct shard_block block[HF_ROW_ROLES];
    int blocks, stacked;
    uint64_t each;
    size_t offset, n; /* elements, in the flat allocation */
    size_t place;     /* canonical position of the whole tensor's first element */
    size_t range;     /* position of the begin of its range of the canonical order */
    size_t bucket;    /* index of its bucket */
    enum shard shard;
    bool decay;       /* weight decay applies: matrices, not norms and biases */
    bool trained;     /* it has a gradient */
    bool adapter;     /* a LoRA matrix, which is not in the model's own files */
    bool routed;      /* of a router or of experts */
    uint64_t experts; /* the LoRA matrix of so many experts; 0: of a linear layer */
};
/* Returns the number of blocks of a parameter, and block i. */
static inline int param_blocks(const struct param *p)
{
    return p->blocks * (p->stacked > 0 ? p->stacked : 1);
}
static inline struct shard_block param_block(const struct param *p, int i)
{
    struct shard_block b = p->block[i % p->blocks];
    b.row += (uint64_t)(i / p->blocks) * p->each;
    return b;
}
/* Returns the columns of the whole tensor, as one matrix; of a vector 1. */
static inline uint64_t param_width(const struct param *p)
{
    return p->rank > 1 ? p->whole[p->rank - 1] : 1;
}
/* Returns the elements of the whole tensor. */
uint64_t param_whole(const struct param *p);
/* Elements [at, at + n) of a parameter that are also adjacent in the whole tensor, where they begin
 * at element `whole`. */
struct param_run {
    size_t at, n;
    uint64_t whole;
};
/* Moves r to the next run, of at most `most` elements; starts from {0}. Returns false if there is
 * none. */
bool param_next(const struct param *p, size_t most, struct param_run *r);

/* q, k and v of a layer are adjacent, so [q; k; v] is one matrix of qkv_width rows. gate and up are
 * adjacent too, and the experts of a layer: [experts, 2 * expert_inter, hidden] and, of down,
 * [experts, hidden, expert_inter]. The allocation begins with the buckets of trained tensors: the
 * embedding, each layer, then the last norm with the head. The buckets of frozen tensors follow in
 * [trained, total), in the same order. The values have both. The gradients have the first only, at
 * the same offsets. A whole block of adjacent tensors is trained if one of them is; the runs omit
 * its frozen tensors.
 *
 * The canonical order lists the trained matrices of the whole model, then its trained vectors, then
 * its frozen tensors. Each list goes from the embedding to the head, and each block begins at a
 * multiple of 64. The position of an element does not depend on the buckets or on the part of this
 * rank. Files, stochastic rounding and sums of squares use this order. A range of it is a sequence
 * of trained tensors of one bucket with the same weight decay and without a frozen tensor between
 * them. */
struct layer_offsets {
    size_t norm1, qkv, qkv_bias, q_norm, k_norm, o, o_bias, norm1_out, norm2, gate_up, gate_up_bias,
        down, down_bias, norm2_out, router, shared_router, expert_gate_up, expert_down,
        shared_gate_up, shared_down;
};
/* The trained tensors of a layer, whose gradients are complete at the same time, or its frozen
 * ones. Each data-parallel rank owns an equal part of it. layer: -1 is the embedding; the number of
 * layers is the last norm and the head. Where ranks share out the experts, those of a layer are a
 * bucket of their own behind the layer's other one, and the ranks that have the same experts own
 * its parts. */
struct params_bucket {
    size_t begin, end; /* elements; a multiple of params_options.multiple */
    size_t decay_end;  /* end of the matrices, which decay; then vectors, then padding */
    int layer;
    bool gaps;     /* there is alignment between the matrices, or behind them */
    bool experts;  /* its tensors are this rank's share of a layer's experts */
    size_t shared; /* elements of such buckets before it */
};
/* Elements [begin, end) of a bucket, including alignment, that an optimizer updates in the same
 * way. They are also adjacent in the canonical order, where they begin at position `place`. */
struct params_run {
    size_t begin, end;
    size_t place, range, bucket; /* as in struct param */
    bool decay;
};
/* Elements [begin, end) of a bucket, one of its equal parts. A rank's optimizer state has its parts
 * of all buckets, one after the other; the state of this part begins at `state`. */
struct params_part {
    size_t begin, end, state;
};
struct params {
    struct param *p; /* in canonical order */
    const struct param **by_name;
    size_t count, cap;
    size_t trained, total;             /* ends of the buckets, the frozen tensors */
    size_t elements, elements_trained; /* without alignment */
    size_t places, places_trained;     /* positions of the canonical order, with
                                          alignment; of its trained tensors */
    size_t embed, head, final_norm;    /* head is embed if tied */
    struct layer_offsets *layers;      /* for all layers of the model; valid for this rank's */
    struct params_bucket *buckets;     /* one after the other, from element 0: those of
                                        * trained tensors, then those of frozen ones */
    struct params_run *runs;           /* in canonical order */
    size_t nbuckets, nfrozen, buckets_cap, nruns, runs_cap;
    struct lora_block *lora; /* see lora.h; blocks without an adapter have no parts */
    size_t nlora;
    int lowest;                     /* the lowest layer from which gradients are needed */
    int all, stages, stage, chunks; /* the model's layers; see params_options and params_chunk */
    int ep, ep_at;                  /* see params_options; ep: at least 1 */
    bool has_embedding, has_head;   /* the last norm is stored with the head */
};
struct params_options {
    struct lora_options lora; /* its matrices are trained, even if `frozen` matches them */
    /* Returns true if the tensor of this name is frozen; NULL: no tensor is frozen. */
    bool (*frozen)(void *arg, const char *name);
    void *arg;
    /* Only the tensors of one of the stages of a pipeline, which has so many chunks of layers;
     * 0: 1. The first stage includes the embedding, the last the norm and the head. */
    int stages, stage, chunks;
    size_t multiple; /* the size of a bucket is a multiple of it: equal parts; 0: of 64 */
    int tp, at;      /* number of tensor-parallel ranks, and this rank's index; tp 0: one rank */
    /* Experts parallel: so many ranks share out the experts of a layer, in equal ranges, and this
     * is number ep_at of them; 0: one rank. Rank r of those that would have the same parameters
     * without it has range r % ep. ep_key: the setting's name for messages; NULL:
     * expert_model_parallel_size. */
    int ep, ep_at;
    const char *ep_key;
    bool sequence; /* sequence parallelism: each of the tp ranks has a part of the rows of the
                      residual stream, and so a part of the gradient of what acts on them */
};
/* Makes the table of the parameters of the whole model m that this rank has. o NULL: all
 * parameters, all trained. */
int params_make(const struct model *m, const struct params_options *o, struct params *t,
                struct err *e);
void params_free(struct params *t);
/* Computes the layers [*first, *end) of chunk c of a stage. The model is cut in stages * chunks
 * parts of equal size, or the first ones have one layer more, and part c * stages + stage is this
 * chunk. */
void params_chunk(const struct params *t, int c, int *first, int *end);
/* Returns the part of a bucket that data-parallel rank `at` of `parts` has, which are all, those of
 * one copy, or one; `parts` divides params_options.multiple, and ep divides `parts` unless it is 1.
 * In a bucket of experts it is the part among the ranks with the same experts, whichever these
 * are. */
struct params_part params_part(const struct params *t, size_t bucket, int parts, int at);
/* Returns the number of elements of a rank's parts of the first so many buckets. */
size_t params_held(const struct params *t, size_t buckets, int parts);
/* Returns true if data-parallel rank r has the tensors of the bucket, which are this rank's. */
bool params_shares(const struct params *t, size_t bucket, int r);
/* Returns the index of the bucket with the element at this offset. */
size_t params_bucket_at(const struct params *t, size_t offset);
/* Clips [*begin, *end) to its intersection with [from, to); if that is empty, *begin = *end. */
void params_clip(size_t *begin, size_t *end, size_t from, size_t to);
/* Returns the parameter of that name, or NULL if there is none. */
const struct param *params_find(const struct params *t, const char *name, size_t n);

#endif
