/* SPDX-License-Identifier: Apache-2.0 */
/* Functions that the files of lib/model share; nobody else includes this. */
#ifndef SFT_MODEL_MODEL_IMPL_H
#define SFT_MODEL_MODEL_IMPL_H

#include "model/stage.h"

enum {
    TOKENS_MOST = INT32_MAX / 4, /* of a micro-batch, and positions of a document */
    STAGING = 1 << 18            /* values that are converted at a time; weights.staging has
                                    room for so many doubles */
};

/* weights.c: the value at this offset; its gradient, NULL where it is frozen. */
const void *weights_at(const struct weights *w, size_t offset);
void *weights_gradient(const struct weights *w, size_t offset);

/* stage_plan.c: adds all buffers of a stage whose options are checked. */
void stage_declare(struct stage *s, struct plan *plan);

/* stage.c: the policy by what it leaves in memory. */
bool stage_stores_layers(const struct stage *s); /* each layer has activations of its own */
bool stage_stores_all(const struct stage *s);    /* SwiGLU's and the rotated q and k, too */
/* The activations of layer l: its own, those that all layers share, or temporaries. */
struct activations stage_activations(const struct stage *s, const struct pass *p, int l);

/* Rows of the compute type, from that column. */
void *stage_columns(const struct stage *s, void *rows, int64_t column);

/* ---- linear.c: linear layers are a matrix and the adapters of its block ---- */
/* The type of a product that is written to y: what is added to the residual stream (s->branch) has
 * the accumulation type. */
enum dtype linear_type(const struct stage *s, const void *y);
/* y[T,out] = x[T,in] W[out,in]^T + bias; bias is NULL where there is none. */
void linear_forward(struct stage *s, const struct pass *p, void *y, const void *x, size_t weight,
                    const void *bias, int64_t out, int64_t in);
/* dx[T,in] = dy[T,out] W[out,in] */
void linear_dgrad(struct stage *s, const struct pass *p, void *dx, const void *dy, size_t weight,
                  int64_t out, int64_t in);
/* dW = dy^T x, or += where w->overwrite is off; nothing where W is frozen */
void linear_wgrad(struct stage *s, const struct pass *p, const void *dy, const void *x,
                  size_t weight, int64_t out, int64_t in);
/* The matrix alone, of any number of rows; += with add. */
void matrix_dgrad(const struct weights *w, int64_t rows, void *dx, const void *dy, size_t weight,
                  int64_t out, int64_t in);
void matrix_wgrad(const struct weights *w, int64_t rows, const void *dy, const void *x,
                  size_t weight, int64_t out, int64_t in, bool add);

/* ---- lora_product.c ---- */
void lora_plan(struct stage *s, struct plan *plan, int end); /* buffers, until time `end` */
/* y[T,out] += the adapters' part of the block at `weight` */
void lora_forward(struct stage *s, const struct pass *p, void *y, const void *x, size_t weight);
/* dx[T,in] += the gradient through the adapters; leaves what lora_wgrad of the same block needs */
void lora_dgrad(struct stage *s, const struct pass *p, void *dx, const void *dy, size_t weight);
/* dA and dB, written, or added to */
void lora_wgrad(struct stage *s, const struct pass *p, const void *dy, const void *x, size_t weight,
                bool add);

/* ---- parallel.c: the ranks among which each layer is cut; alone these do nothing ---- */
/* x[n] = the ranks' sum */
void parallel_sum(const struct weights *w, void *x, int64_t n, enum dtype t);
/* True on the rank that adds what must be in a sum over the ranks once. */
bool parallel_adds(const struct weights *w);
/* True where the vocabulary is cut. */
bool parallel_cuts(const struct weights *w);
void parallel_plan(struct stage *s, struct plan *plan, int time); /* s->parts, at that time */
/* s->parts = what each rank's part of the logits[c,V] gives op_xent */
void parallel_parts(struct stage *s, const int32_t *target, int64_t c);

/* ---- forward.c ---- */
/* One layer: the residual stream enters as x + r (r NULL: x) and leaves as res2 + branch.
 * recompute: for backward, from the stored res1 and only up to what backward reads. */
void layer_forward(struct stage *s, const struct pass *p, int l, const void *x, const void *r,
                   bool recompute);
struct op_attention layer_attention(const struct stage *s, const struct pass *p, int l, void *qkv);
/* Fills rot from qkv. */
void layer_rotate(struct stage *s, const struct pass *p, int l, const struct activations *a);
/* With qk_norm: rstd of the heads of k. */
void *layer_rstd_k(const struct stage *s, const struct pass *p, const struct activations *a);

/* ---- backward.c ---- */
void norm_backward(struct stage *s, const struct pass *p, size_t weight, void *y, const void *dy,
                   const void *dres, const void *x, const void *rstd);

/* ---- head.c ---- */
/* As stage_loss; and the gradients of the output projection and the last norm. */
void head_backward(struct stage *s, struct pass *p, double scale);
/* logits[count,V] of the rows of h_final that are listed at rows (device). */
void head_logits(struct stage *s, const struct pass *p, const int32_t *rows, int64_t count);

/* ---- generate.c ---- */
/* The last T positions of the longest document, in a rehearsal. */
void generate_rehearse(struct stage *s, int64_t T);

/* ---- pass.c ---- */
struct micro_batch_layout pass_layout(const struct stage *s);
/* As stage_upload; for generation, too. */
void pass_upload(struct stage *s, struct pass *p);

/* ---- rotary.c ---- */
/* True if documents may have rotary frequencies of their own. */
bool rotary_is_own(const struct weights *w);
void rotary_plan(struct weights *w, struct plan *plan); /* the tables of weights */
/* The rotary rows of all documents, in the host's block. */
void rotary_fill(const struct weights *w, const struct micro_batch *b,
                 const struct micro_batch_layout *k, void *block);

#endif
