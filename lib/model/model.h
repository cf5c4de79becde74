/* SPDX-License-Identifier: Apache-2.0 */
/* The descriptor of a decoder-only transformer, and its parameter table: the tensors and their
 * offsets in one flat allocation. No device is known here. */
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

enum rope_type { ROPE_DEFAULT, ROPE_LINEAR, ROPE_DYNAMIC, ROPE_YARN, ROPE_LLAMA3 };
/* Rotary positions: pair i of a head's dim/2 turns by position * frequency(i). */
struct rope {
    enum rope_type type;
    double theta;
    double factor;               /* of all types but the default */
    double original;             /* llama3, yarn: positions the base model was trained on */
    double low, high;            /* llama3 */
    double beta_fast, beta_slow; /* yarn */
    double attention;            /* yarn: a factor of cos and sin */
    bool truncate;               /* yarn */
};

/* The Llama family: RMSNorm, rotary positions (half-split), grouped-query attention, SwiGLU. */
struct model {
    const struct hf_family *family;
    int32_t layers, heads, kv_heads, head_dim;
    int64_t hidden, inter, vocab, positions; /* positions: max_position_embeddings */
    int64_t vocab_first;                     /* of model_local: its first row of the vocabulary */
    double eps;
    struct rope rope;
    int32_t window;                             /* keys that a query sees, itself included */
    uint64_t window_layers[HF_MAX_LAYERS / 64]; /* the layers where that is so; in others, all */
    bool tied;                                  /* the output projection is the embedding */
    bool qkv_bias, o_bias, mlp_bias;            /* of q, k and v; of o; of gate, up and down */
    bool qk_norm; /* RMSNorm of q and of k over each head, before the rotation */
};

/* The model that config.json describes. ERR_DATA naming what is not supported, and what is. */
int model_from_hf(const struct hf_config *c, struct model *m, struct err *e);
/* The name in config.json of a value that differs in a and b; NULL: they compute the same. */
const char *model_difference(const struct model *a, const struct model *b);

/* The tokens that a model has embeddings of, ids [0, size). text(arg, id, b) appends what an id
 * stands for, for messages; NULL: they do without. */
struct model_vocab {
    int64_t size;
    void (*text)(void *arg, uint32_t id, struct buf *b);
    void *arg;
};
/* 0, or ERR_DATA for an id that is not one of them, with what it stands for and what to do. */
int model_check_id(const struct model_vocab *v, uint32_t id, struct err *e);
/* The model's sizes and conditions, as the tables of lib/hf name them. */
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

/* The window of layer l as operations take it; 0: none. */
static inline int32_t model_window(const struct model *m, int l)
{
    return m->window_layers[l / 64] >> l % 64 & 1 ? m->window : 0;
}

/* ERR_DATA with what of it is not supported. */
int rope_from_hf(const struct hf_config *c, struct rope *r, struct err *e);
/* True if documents of n tokens have rotary frequencies of their own. */
bool rope_is_own(const struct model *m, int64_t n);
/* The longest document: max_position_embeddings, or what the scaling stretches it to. decoding:
 * token by token, which dynamic scaling cannot beyond them. */
int64_t rope_reach(const struct model *m, bool decoding);
/* cos and sin, each [count, head_dim/2], of positions [first, first + count) of a document of n
 * tokens, times the attention factor. */
void rope_table(const struct model *m, int64_t n, int64_t first, int64_t count, float *cosines,
                float *sines);

/* Floating-point operations of a forward pass over `tokens` tokens, `targets` of which meet the
 * output projection; attention is causal within documents, squares = the sum of model_squares of
 * their lengths. A backward pass takes twice as many. Recomputation is not counted. */
double model_flops(const struct model *m, double tokens, double targets, double squares);
/* Twice the pairs of query and key that a document of n tokens has, the mean of the layers: n
 * squared where there is no window. */
double model_squares(const struct model *m, double n);

/* ---- tensor parallelism: the part of one rank ---- */
/* A block of a matrix of rows and columns. A vector has one column. */
struct shard_block {
    uint64_t row, rows, column, columns;
};
/* Where part `at` of n units begins when they are cut in `parts`; it ends where the next begins.
 * Parts differ by at most one unit. */
uint64_t shard_begin(uint64_t n, int parts, int at);
/* The block of a whole matrix [rows, columns] that rank `at` of tp holds; tp 0 or 1: all of it.
 * -1 when the cut dimension does not divide by tp; a vocabulary may be cut unevenly. */
int shard_cut(enum shard shard, uint64_t rows, uint64_t columns, int tp, int at,
              struct shard_block *b);
/* The descriptor of what rank `at` of tp computes: its heads, key-value heads, rows of the MLP and
 * of the vocabulary. tp 0 or 1: m itself. ERR_CONFIG naming what does not divide by tp. */
int model_local(const struct model *m, int tp, int at, struct model *local, struct err *e);

/* ---- the parameter table ---- */
struct param {
    char name[72];                          /* Hugging Face's */
    int rank;                               /* 1 or 2 */
    uint64_t shape[2];                      /* of what this rank holds */
    uint64_t whole[2];                      /* of the tensor in files */
    struct shard_block block[HF_ROW_ROLES]; /* of the whole; they lie here one below the other */
    int blocks;
    size_t offset, n; /* elements, in the flat allocation */
    size_t place;     /* the canonical position of the whole tensor's first element */
    size_t range;     /* the position where its range of the canonical order begins */
    size_t bucket;    /* the index of its bucket; params.nbuckets: it lies in none */
    enum shard shard;
    bool decay;   /* weight decay applies: matrices, not norms and biases */
    bool trained; /* its gradient is wanted */
    bool adapter; /* a matrix of LoRA, which the model's own files do not have */
};
/* Elements [at, at + n) of a parameter that are adjacent in the whole tensor too, from element
 * `whole` on. */
struct param_run {
    size_t at, n;
    uint64_t whole;
};
/* The next run, of at most `most` elements; begins after {0}. false: there is none. */
bool param_next(const struct param *p, size_t most, struct param_run *r);

/* q, k and v of a layer are adjacent, so that [q; k; v] is one matrix of qkv_width rows; so are
 * gate and up. The allocation begins with the buckets of trained tensors: the embedding, each
 * layer, then the last norm with the head. The frozen tensors follow in [trained, total). The
 * values have both parts. The gradients have the buckets only, at the same offsets. A block of
 * adjacent tensors lies in a bucket as a whole if one of them is trained; the runs leave its frozen
 * tensors out.
 *
 * The canonical order lists the trained matrices of the whole model, then its trained vectors, then
 * its frozen tensors, each from the embedding to the head, each block at a multiple of 64. The
 * position of an element in it depends neither on the buckets nor on what this rank holds. Files,
 * random rounding and sums of squares follow it. A range of it is a sequence of trained tensors
 * that decay alike, without a frozen one between them. */
struct layer_offsets {
    size_t norm1, qkv, qkv_bias, q_norm, k_norm, o, o_bias, norm2, gate_up, gate_up_bias, down,
        down_bias;
};
/* The gradients of a bucket are complete at the same time, and data-parallel ranks own equal parts
 * of it. layer: -1 is the embedding; the number of layers is the last norm and the head. */
struct params_bucket {
    size_t begin, end; /* elements; a multiple of params_options.multiple */
    size_t decay_end;  /* matrices, which decay, end here; then come vectors, then padding */
    int layer;
};
/* Elements [begin, end) of a bucket, alignment included, that an optimizer updates alike. They are
 * adjacent in the canonical order too, from position `place` on. */
struct params_run {
    size_t begin, end;
    size_t place, range, bucket; /* as of a param */
    bool decay;
};
/* Elements [begin, end) of a bucket, one of its equal parts. The optimizer's state of a rank has
 * its parts of all buckets one after the other; that of this part begins at `state`. */
struct params_part {
    size_t begin, end, state;
};
struct params {
    struct param *p; /* in canonical order */
    const struct param **by_name;
    size_t count, cap;
    size_t trained, total;             /* where buckets, and frozen tensors, end: elements */
    size_t elements, elements_trained; /* without alignment */
    size_t places, places_trained;     /* positions in the canonical order, alignment included;
                                          those of what is trained */
    size_t embed, head, final_norm;    /* head is embed when tied */
    struct layer_offsets *layers;      /* of all layers of the model; valid in [first, end) */
    struct params_bucket *buckets;     /* one after the other from element 0 on */
    struct params_run *runs;           /* in canonical order */
    size_t nbuckets, buckets_cap, nruns, runs_cap;
    struct lora_block *lora; /* see lora.h; blocks without one have no parts */
    size_t nlora;
    int lowest;     /* layers below this one have nothing that is trained, nor has the embedding */
    int first, end; /* the table is of layers [first, end) */
    bool has_embedding, has_head; /* the last norm goes with the head */
};
struct params_options {
    struct lora_options lora; /* its matrices are trained, whatever `frozen` says */
    /* True if the tensor of this name is frozen; NULL: none is. */
    bool (*frozen)(void *arg, const char *name);
    void *arg;
    int first, end; /* only the tensors of layers [first, end); end 0: of all. The first layer comes
                       with the embedding, the last with the norm and the head behind it. */
    size_t multiple; /* the size of a bucket is a multiple of it: equal parts; 0: of 64 */
    int tp, at;      /* tensor-parallel ranks, and this one among them; 0: there is one */
};
/* The parameters that this rank holds of the whole model m. o NULL: all of them, all trained. */
int params_make(const struct model *m, const struct params_options *o, struct params *t,
                struct err *e);
void params_free(struct params *t);
/* Part `at` of `parts` equal ones of a bucket; `parts` divides params_options.multiple. */
struct params_part params_part(const struct params *t, size_t bucket, int parts, int at);
/* Cuts [*begin, *end) down to its intersection with [from, to); empty: *begin = *end. */
void params_clip(size_t *begin, size_t *end, size_t from, size_t to);
/* NULL when there is none of that name. */
const struct param *params_find(const struct params *t, const char *name, size_t n);

#endif
