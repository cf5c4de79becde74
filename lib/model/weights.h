/* SPDX-License-Identifier: Apache-2.0 */
/* The weights of a model, or of some of its layers, on a device: the parameter table, one flat
 * allocation of the values, one of their gradients, and the rotary tables. */
#ifndef SFT_MODEL_WEIGHTS_H
#define SFT_MODEL_WEIGHTS_H

#include "hf/safetensors.h"
#include "model/memory.h"
#include "model/model.h"
#include "ops/ops.h"

struct comm;

struct weights_options {
    enum dtype compute;           /* DT_BF16, DT_F32; DT_F64 on a device that has it */
    bool gradients;               /* trained parameters have gradients; false: forward only */
    enum dtype gradient;          /* their type: DT_BF16, with the compute type bf16; else the
                                     accumulation type */
    int64_t length;               /* positions of the longest document */
    struct params_options params; /* the layers, and what is frozen in them; this rank's part */
    struct comm *tp;              /* the params.tp ranks that each have a part; NULL: one has all */
};
struct weights {
    struct model whole, m;      /* the model; the descriptor of what this rank computes of it */
    int64_t most_vocab;         /* the most rows of the vocabulary that a rank has */
    struct params_options made; /* the options of params, which are of the whole model */
    struct params params;
    enum dtype compute;  /* the type of the values */
    enum dtype accum;    /* of sums and statistics: fp32, or fp64 with DT_F64 */
    enum dtype gradient; /* of the weights' gradients: accum, or bf16 */
    int64_t length;      /* positions of the longest document */
    struct lora_options lora;
    bool has_gradients;
    struct device *device;
    struct comm *tp;       /* see weights_options */
    void *values;          /* [params.total] compute type */
    void *gradients;       /* [params.trained] of type `gradient` */
    void *cosines, *sines; /* [length, head_dim/2] accumulation type; see rotary.c */
    bool overwrite;        /* the next gradient of a matrix overwrites what is there */
    void *staging;         /* host memory for conversions */
};
/* A buffer of the optimizer's state: part `at` of `parts` equal ones of every bucket, one after the
 * other. */
struct weights_state {
    void *flat; /* NULL: there is none */
    enum dtype type;
    int parts, at;
};

/* Makes the parameter table and adds the flat allocations to the plan. The model is copied; the
 * device must outlive w. Without gradients the plan has none. */
int weights_init(struct weights *w, const struct model *m, const struct weights_options *o,
                 struct device *d, struct plan *plan, struct err *e);
void weights_free(struct weights *w);
/* The parameter table of the whole model with the same options, for a rank that has a part of it;
 * params_free. */
int weights_table(const struct weights *w, struct params *t, struct err *e);
/* Fills the rotary tables, once the plan is allocated. */
void weights_fill_rotary(struct weights *w);

/* ---- gradients ---- */
/* The gradient of a step starts from zero. The gradients of matrices are not cleared: the first
 * backward pass, which must have tokens, overwrites them. */
void weights_begin(struct weights *w);
/* Clears the gradient of elements [from, to), unless they are frozen. */
void weights_clear(struct weights *w, size_t from, size_t to);
/* After the last backward pass of a step: gradients of which each rank of w->tp has a part become
 * their sum (parallel.c). */
void weights_sum_partial(struct weights *w);
/* The elements of a trained matrix that is the embedding and the output projection; 0: none is. */
size_t weights_tied(const struct weights *w);
/* Its gradient becomes the sum of those in the first and in the last stage, which are the ranks of
 * `ends`; NULL: one stage is both. */
void weights_sum_tied(struct weights *w, struct comm *ends);
/* True where this rank counts element `at` of the gradients in the norm: what several ranks of one
 * model hold is counted by one of them. *end is lowered to where another answer may begin. */
bool weights_counted(const struct weights *w, size_t at, size_t *end);
/* True if the block at this offset has a gradient. */
static inline bool weights_trained(const struct weights *w, size_t offset)
{
    return offset < w->params.trained;
}

/* ---- values in and out (load.c) ---- */
/* Reads all tensors of the table: into the values and, unless NULL, into the master weights.
 * ERR_DATA for a tensor that is missing, of another shape, or not the model's. */
int weights_load(struct weights *w, const struct safetensors *s, const struct weights_state *master,
                 struct err *e);
/* Sets elements [at, at + count) of a tensor's values and, unless master is NULL or the tensor is
 * frozen, those of its master weights that are here. */
void weights_set(struct weights *w, const struct weights_state *master, const struct param *p,
                 size_t at, size_t count, const float *values);
/* Sets elements [at, at + count) of one flat allocation of type t. */
void weights_put(struct weights *w, void *flat, enum dtype t, size_t at, size_t count,
                 const float *values);
/* Sets those of elements [at, at + count) of a trained tensor whose state is here. */
void weights_put_state(struct weights *w, const struct weights_state *s, const struct param *p,
                       size_t at, size_t count, const float *values);
/* Clips elements [*from, *to) of the allocation of weights, in one bucket, to those whose state is
 * here; returns the address of the state of the first. */
void *weights_state_at(const struct weights *w, const struct weights_state *s, size_t bucket,
                       size_t *from, size_t *to);
/* Reads elements [at, at + count) of a flat allocation of type t, rounded to float. */
int weights_get(struct weights *w, const void *flat, enum dtype t, size_t at, size_t count,
                float *out, struct err *e);
/* For the message of a loss or logits that are not finite: names the first tensor with such a
 * weight and the place in it, or says that there is none (false). Reads all weights. */
bool weights_find_nonfinite(struct weights *w, char *text, size_t size);

#endif
