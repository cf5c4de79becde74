/* SPDX-License-Identifier: Apache-2.0 */
/* The weights of a model, or of some of its layers, on a device: the parameter table, one flat
 * allocation of the values, one of their gradients, and the rotary tables.
 *
 * Data-parallel ranks may each have a part of the gradients (ZeRO-2), and of the values too
 * (ZeRO-3). A flat allocation then has this rank's parts of all buckets, and a pass works on
 * buffers with the buckets of the layers that it is at; see parts.c. A rank may also sum its part
 * of the gradients alone, but in an allocation of them all. */
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
    struct weights_parts {
        struct comm *group;     /* the ranks that each have an equal part of every bucket */
        struct comm *experts;   /* those of them with the same experts, which have the parts of the
                                   buckets of experts; NULL: there is no such bucket */
        bool gradients, values; /* what is in parts; values: then gradients too */
        bool all_sums;          /* the gradients' sums have room for all parts */
    } parts;
};
/* A buffer of which a rank has part `at` of `parts` equal parts of every bucket, one after the
 * other: the optimizer's state, gradients, values. */
struct weights_state {
    void *flat; /* NULL: there is none */
    enum dtype type;
    int parts, at;
};
/* The buffers of weights in parts. */
enum { WEIGHTS_OF_ENDS = 2, WEIGHTS_SLOTS }; /* two take turns for the layers, one has the ends */
enum { WEIGHTS_NO_LAYER = -2 };
enum { WEIGHTS_GROUPS = 2 };
struct weights_slot {
    void *memory;
    int layer; /* whose buckets are in it; WEIGHTS_NO_LAYER: none */
};
struct weights_buffers {
    struct comm *group[WEIGHTS_GROUPS];      /* of most buckets; of those of experts */
    int parts, at;                           /* this rank sums part `at` of so many */
    struct weights_slot slot[WEIGHTS_SLOTS]; /* for values */
    int current;                             /* slot of the last layer that was used */
    bool gathers;                            /* a gather is queued that was not waited for */
    char **value;                            /* [all buckets] its begin in a slot, or NULL */
    void *gradients[WEIGHTS_SLOTS];
    char **gradient;                /* [trained buckets] its begin in a buffer, or NULL */
    size_t reduced[WEIGHTS_GROUPS]; /* the bucket of each group whose reduction is queued and not
                                     * yet added; or SIZE_MAX */
    bool adds, first;               /* they have to be added; this is the first micro-batch of a
                                     * step in this chunk */
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
    struct comm *tp;          /* see weights_options */
    void *values;             /* [params.total] compute type; NULL: in parts */
    void *gradients;          /* [params.trained] of type `gradient`; NULL: in parts */
    struct weights_state own; /* the values in parts: of all buckets */
    struct weights_state sum; /* the gradients in parts: summed over the group, of the micro-batches
                               * of a step so far; one part with weights_parts.all_sums */
    struct weights_buffers buffers;
    void *cosines, *sines; /* [length, model_pairs] accumulation type; see rotary.c */
    struct {
        void *cosines, *sines; /* the same of layers with a window, if they have their own */
    } window;
    void *q_scale;   /* [length] accumulation type; NULL: q has no factor */
    uint64_t begun;  /* steps that weights_begin has started */
    bool overwrite;  /* the gradient of a matrix overwrites the old one */
    void *staging;   /* host memory for conversions */
    uint64_t loaded; /* bytes of files that weights_load has copied */
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
 * backward pass of their layer, which must have tokens, overwrites them. */
void weights_begin(struct weights *w);
/* Clears the gradient of elements [from, to) of one bucket, except frozen ones. */
void weights_clear(struct weights *w, size_t from, size_t to);
/* Clears all gradients of a step, in which no rank has a micro-batch. */
void weights_clear_all(struct weights *w);
/* Sums partial gradients of elements [from, to), of which each rank of w->tp has one term, when
 * they are complete (parallel.c). */
void weights_sum_partial(struct weights *w, size_t from, size_t to);
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
/* Return the address of an element of a bucket in memory that lasts: the value, which this rank has
 * whole or in its part, and the gradient that it has for the update. */
void *weights_own_value(const struct weights *w, size_t bucket, size_t element);
void *weights_own_gradient(const struct weights *w, size_t bucket, size_t element);

/* ---- weights in parts (parts.c); without, these do nothing ---- */
/* Queues the reduction of the gradients of this layer, which this backward pass has completed. */
void weights_end_layer(struct weights *w, int layer);
/* Ends the sum of a step's gradients, after the last backward pass. */
void weights_end_step(struct weights *w);
/* Forgets what has been gathered, after the values have changed. */
void weights_changed(struct weights *w);
/* Lets weights_at find a layer between steps, with any values, until weights_changed. */
void weights_place(struct weights *w, int layer);
/* Returns the bytes of the largest collective on the group, or on that of the experts. */
size_t weights_collective(const struct weights *w, bool experts);

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
/* Clips a run of a tensor to the elements of which this rank has the state; s NULL or s->parts 0:
 * all. Returns false if it has none. */
bool weights_clip(const struct weights *w, const struct weights_state *s, const struct param *p,
                  struct param_run *r);
/* Sets the state of elements [at, at + count) of a tensor, as far as this rank has it. */
void weights_put_state(struct weights *w, const struct weights_state *s, const struct param *p,
                       size_t at, size_t count, const float *values);
/* Reads elements [at, at + count) of a flat allocation of type t, rounded to float. */
int weights_get(struct weights *w, const void *flat, enum dtype t, size_t at, size_t count,
                float *out, struct err *e);
/* Writes the name of the first tensor with a weight that is not finite, and its position, for the
 * message of a loss or logits that are not finite. Returns false if there is none. Reads all
 * weights that this rank has. */
bool weights_find_nonfinite(struct weights *w, char *text, size_t size);

#endif
