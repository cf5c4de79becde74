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
    enum dtype compute;           /* DT_BF16, DT_F32; DT_F64 on a device that supports it */
    bool gradients;               /* trained parameters have gradients; false: forward only */
    enum dtype gradient;          /* their type: DT_BF16 (only with compute type bf16), or the
                                     accumulation type */
    int64_t length;               /* positions of the longest document */
    struct params_options params; /* the layers, their frozen tensors, and this rank's part */
    struct comm *tp;              /* the params.tp ranks that each have a part; NULL: one rank */
};
struct weights {
    struct model whole, m;      /* the whole model; this rank's part */
    int64_t most_vocab;         /* the most rows of the vocabulary that a rank has */
    struct params_options made; /* the options that made params, for the whole model */
    struct params params;
    enum dtype compute;  /* the type of the values */
    enum dtype accum;    /* type of sums and statistics: fp32, or fp64 with DT_F64 */
    enum dtype gradient; /* type of the weights' gradients: accum, or bf16 */
    int64_t length;      /* positions of the longest document */
    struct lora_options lora;
    bool has_gradients;
    struct device *device;
    struct comm *tp;       /* see weights_options */
    void *values;          /* [params.total] compute type */
    void *gradients;       /* [params.trained] of type `gradient` */
    void *cosines, *sines; /* [length, head_dim/2] accumulation type; see rotary.c */
    bool overwrite;        /* the next gradient of a matrix overwrites the old one */
    void *staging;         /* host memory for conversions */
};
/* A buffer of the optimizer's state: part `at` of `parts` equal parts of every bucket, one after
 * the other. */
struct weights_state {
    void *flat; /* NULL: there is no state */
    enum dtype type;
    int parts, at;
};

/* Makes the parameter table and adds the flat allocations to the plan; without gradients, only the
 * values. The model is copied; the device must outlive w. */
int weights_init(struct weights *w, const struct model *m, const struct weights_options *o,
                 struct device *d, struct plan *plan, struct err *e);
void weights_free(struct weights *w);
/* Makes the parameter table of the whole model with the same options, for a rank that has a part of
 * it. The caller frees it with params_free. */
int weights_table(const struct weights *w, struct params *t, struct err *e);
/* Fills the rotary tables, after the plan is allocated. */
void weights_fill_rotary(struct weights *w);

/* ---- gradients ---- */
/* Starts the gradient of a step at zero. The gradients of matrices are not cleared: the first
 * backward pass, which must have tokens, overwrites them. */
void weights_begin(struct weights *w);
/* Clears the gradient of elements [from, to), except frozen ones. */
void weights_clear(struct weights *w, size_t from, size_t to);
/* Sums partial gradients, of which each rank of w->tp has one term, after the last backward pass of
 * a step (parallel.c). */
void weights_sum_partial(struct weights *w);
/* Returns the number of elements of the trained matrix that is the embedding and the output
 * projection, or 0 if there is none. */
size_t weights_tied(const struct weights *w);
/* Sums the gradients of the tied matrix in the first and in the last stage, which are the ranks of
 * `ends`; NULL: one stage is both. */
void weights_sum_tied(struct weights *w, struct comm *ends);
/* Returns true if this rank counts element `at` of the gradients in the norm: one rank counts an
 * element that several ranks of a model have. Lowers *end to the position where the result may
 * change. */
bool weights_counted(const struct weights *w, size_t at, size_t *end);
/* Returns true if the block at this offset has a gradient. */
static inline bool weights_trained(const struct weights *w, size_t offset)
{
    return offset < w->params.trained;
}

/* ---- transfer of values (load.c) ---- */
/* Checks names, shapes and types of the tensors of the whole model, without reading their values.
 * Needs a weights_init. ERR_DATA as weights_load. */
int weights_check(const struct weights *w, const struct safetensors *s, struct err *e);
/* Reads all tensors of the table to the values and, unless it is NULL, to the master weights. Fails
 * with ERR_DATA for a tensor that is missing, has another shape, or is not the model's. */
int weights_load(struct weights *w, const struct safetensors *s, const struct weights_state *master,
                 struct err *e);
/* Sets elements [at, at + count) of a tensor's values. Unless master is NULL or the tensor is
 * frozen, also sets the master weights of these elements that this rank has. */
void weights_set(struct weights *w, const struct weights_state *master, const struct param *p,
                 size_t at, size_t count, const float *values);
/* Sets elements [at, at + count) of one flat allocation of type t. */
void weights_put(struct weights *w, void *flat, enum dtype t, size_t at, size_t count,
                 const float *values);
/* Sets the state of elements [at, at + count) of a trained tensor, as far as this rank has it. */
void weights_put_state(struct weights *w, const struct weights_state *s, const struct param *p,
                       size_t at, size_t count, const float *values);
/* Reads elements [at, at + count) of a flat allocation of type t, rounded to float. */
int weights_get(struct weights *w, const void *flat, enum dtype t, size_t at, size_t count,
                float *out, struct err *e);
/* Writes the name of the first tensor with a weight that is not finite, and its position, for the
 * message of a loss or logits that are not finite. Returns false if there is none. Reads all
 * weights. */
bool weights_find_nonfinite(struct weights *w, char *text, size_t size);

#endif
