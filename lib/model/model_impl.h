/* SPDX-License-Identifier: Apache-2.0 */
/* Functions that the files of lib/model share; no other file includes this. */
#ifndef SFT_MODEL_MODEL_IMPL_H
#define SFT_MODEL_MODEL_IMPL_H

#include "model/stage.h"

enum {
    TOKENS_MOST = INT32_MAX / 4, /* tokens of a micro-batch, and positions of a document */
    STAGING = 1 << 18            /* values that are converted at a time; weights.staging has
                                    room for so many doubles */
};

/* weights.c: return the value at this offset, and its gradient, or NULL if it is frozen. */
const void *weights_at(const struct weights *w, size_t offset);
void *weights_gradient(const struct weights *w, size_t offset);

/* Returns the table of the whole model, or NULL. If the weights are of some layers or experts, it
 * makes that table in *made. The caller frees *made in any case. */
const struct params *weights_whole(const struct weights *w, struct params *made, struct err *e);

/* Returns true if backward adds to the embedding's gradient; else the head overwrites it before. */
bool weights_sums_embedding(const struct weights *w);

/* ---- parts.c ---- */
/* Adds this rank's parts and the buffers to the plan, of what the options have in parts. */
int parts_init(struct weights *w, const struct weights_parts *o, struct plan *plan, struct err *e);
void parts_free(struct weights *w);
/* Returns the elements of a bucket of gradients that this rank sums over the group. */
struct params_part weights_summed(const struct weights *w, size_t bucket);
/* Use the weights of a layer in a forward or backward pass; the latter also begins the layer's
 * gradients. */
void stage_use(struct stage *s, const struct chunk *k, int layer);
void stage_use_backward(struct stage *s, const struct chunk *k, int layer);
/* Run a pass of a rank without a micro-batch: only the collectives of the others. */
void stage_idle_forward(struct stage *s, const struct chunk *k);
void stage_idle_backward(struct stage *s, const struct chunk *k);

/* stage_plan.c: Adds all buffers of a stage. The options are already checked. */
void stage_declare(struct stage *s, struct plan *plan);

/* stage.c: report which activations the recompute policy stores. */
bool stage_stores_layers(const struct stage *s); /* each layer has its own activations */
bool stage_stores_all(const struct stage *s);    /* also the activation, rotated q and k */
/* Returns the activations of layer l: its own, the ones that all layers share, or temporaries. */
struct activations stage_activations(const struct stage *s, const struct pass *p, int l);

/* Returns the rows from `column` on; the rows have the compute type. */
void *stage_columns(const struct stage *s, void *rows, int64_t column);

/* ---- linear.c: a linear layer is a matrix and the adapters of its block ---- */
/* Computes y[T,out] = x[T,in] W[out,in]^T + bias; bias is NULL if there is none. */
void linear_forward(struct stage *s, const struct pass *p, void *y, const void *x, size_t weight,
                    const void *bias, int64_t out, int64_t in);
/* Computes dx[T,in] = dy[T,out] W[out,in]. */
void linear_dgrad(struct stage *s, const struct pass *p, void *dx, const void *dy, size_t weight,
                  int64_t out, int64_t in);
/* Computes dW = dy^T x, or dW += dy^T x if w->overwrite is off; does nothing if W is frozen. */
void linear_wgrad(struct stage *s, const struct pass *p, const void *dy, const void *x,
                  size_t weight, int64_t out, int64_t in);
/* The same where another layer's gradients were computed after this one's linear_dgrad. */
void linear_wgrad_later(struct stage *s, const struct pass *p, const void *dy, const void *x,
                        size_t weight, int64_t out, int64_t in);
/* Compute the product of the matrix alone, for any number of rows; with add, add to the result. t:
 * the type of y. */
void matrix_forward(const struct weights *w, int64_t rows, void *y, enum dtype t, const void *x,
                    size_t weight, int64_t out, int64_t in, bool add);
void matrix_dgrad(const struct weights *w, int64_t rows, void *dx, const void *dy, size_t weight,
                  int64_t out, int64_t in, bool add);
void matrix_wgrad(const struct weights *w, int64_t rows, const void *dy, const void *x,
                  size_t weight, int64_t out, int64_t in, bool add);

/* ---- lora_product.c ---- */
void lora_plan(struct stage *s, struct plan *plan, int end); /* buffers, until time `end` */
/* Returns the adapters of the block at `weight`; NULL if it has none. */
const struct lora_block *lora_block_of(const struct weights *w, size_t weight);
/* Adds the product of the adapters of the block at `weight` to y[T,out] of type t. */
void lora_forward(struct stage *s, const struct pass *p, void *y, enum dtype t, const void *x,
                  size_t weight);
/* Computes from dy what lora_wgrad of the same block reads. */
void lora_dproject(struct stage *s, const struct pass *p, const void *dy, size_t weight);
/* Adds the gradient through the adapters to dx[T,in]; leaves the data that lora_wgrad of the same
 * block reads. */
void lora_dgrad(struct stage *s, const struct pass *p, void *dx, const void *dy, size_t weight);
/* Computes dA and dB; overwrites the gradients or adds to them. */
void lora_wgrad(struct stage *s, const struct pass *p, const void *dy, const void *x, size_t weight,
                bool add);

/* ---- lora_experts.c: the adapters of a layer's experts; x and y have the rows of op_dispatch,
 * which begin at a->experts.starts ---- */
/* Returns the elements of the largest x A^T. */
size_t lora_experts_size(const struct stage *s);
/* Adds the product of the adapters of the block at `weight` to y[R,out]. */
void lora_experts_forward(const struct stage *s, const struct pass *p, const struct activations *a,
                          void *y, const void *x, size_t weight, int64_t in);
/* Adds the gradient through the adapters to dx[R,in]. */
void lora_experts_dgrad(const struct stage *s, const struct pass *p, const struct activations *a,
                        void *dx, const void *dy, size_t weight, int64_t in);
/* Computes dA and dB; overwrites the gradients or adds to them. */
void lora_experts_wgrad(const struct stage *s, const struct pass *p, const struct activations *a,
                        const void *dy, const void *x, size_t weight, int64_t in);

/* ---- rows.c: the rows of the residual stream. With sequence parallelism each of the tp ranks has
 * an equal part of them, in rank order; otherwise each has all. T is the tokens of a micro-batch.
 * ---- */
/* Returns true if ranks have parts of the rows. */
bool rows_cut(const struct weights *w);
/* Returns the number of rows that a rank's products and its attention compute: T, rounded up to
 * equal parts by rows of no document. */
int64_t rows_all(const struct weights *w, int64_t T);
/* Returns the number of rows of the stream that a rank has. */
int64_t rows_own(const struct weights *w, int64_t T);
/* Returns this rank's rows in x[rows_all,H]; NULL if x is NULL. */
void *rows_part(const struct weights *w, int64_t T, void *x, enum dtype t);
/* Replaces x[rows_all,H] by its sum over the tp ranks, but only in this rank's rows. */
void rows_sum(const struct weights *w, int64_t T, void *x, enum dtype t);
/* Gathers x[rows_all,H] from the ranks' rows `own`, which may lie in x; returns x. Returns `own` if
 * that has all rows already. */
void *rows_gather(const struct weights *w, int64_t T, void *x, void *own, enum dtype t);

/* Returns the factor of embeddings. */
double rows_embed_scale(const struct weights *w);
/* Computes y[rows,H] = factor * x[rows,H]; y may be x. Does nothing if the factor is 1. */
void rows_scale(const struct weights *w, void *y, const void *x, int64_t rows, double factor,
                enum dtype t);

/* ---- parallel.c: tensor parallelism; with one rank these do nothing ---- */
/* Replaces x[n] by its sum over the ranks. */
void parallel_sum(const struct weights *w, void *x, int64_t n, enum dtype t);
/* Returns true if ranks have parts of the rows of q and k that a norm takes whole. */
bool norm_is_cut(const struct weights *w);
/* Returns true on the one rank that adds a term which a sum over the ranks must have once. */
bool parallel_adds(const struct weights *w);
void parallel_plan(struct stage *s, struct plan *plan, int time); /* adds s->parts at that time */
/* Gathers in s->parts the results of op_xent for each rank's part of the logits[c,V]. */
void parallel_parts(struct stage *s, const int32_t *target, int64_t c);

/* ---- context.c: context parallelism; only with s->o.cp ---- */
/* Adds the buffers of one layer's keys, shared by all layers, from time `begin` to `end`. */
void context_plan(struct stage *s, struct plan *plan, int begin, int end);
/* Returns the elements of activations.keys. */
int64_t context_count(const struct stage *s);
/* Gathers k and v of all ranks from their rows of a->rot in a->keys. */
void context_gather(struct stage *s, const struct pass *p, const struct activations *a);
/* Makes t read the keys and values in a->keys. */
void context_read(const struct stage *s, const struct pass *p, const struct activations *a,
                  struct op_attention *t);
/* Makes g write the gradients of all keys and values. */
void context_write(const struct stage *s, struct op_attention_grad *g);
/* Sums these gradients over the ranks, and writes this rank's to the columns of k and v of dqkv. */
void context_reduce(struct stage *s, const struct pass *p, void *dqkv);

/* ---- forward.c ---- */
/* Computes one layer: the input of the residual stream is x + r (r NULL: x), the output is res2 +
 * branch. recompute: runs for the backward pass, from the stored res1, and computes only the
 * activations that the backward pass reads. */
void layer_forward(struct stage *s, const struct pass *p, int l, const void *x, const void *r,
                   bool recompute);
/* Describes attention among the tokens of a micro-batch: over rows of a->rot, or with s->o.cp over
 * the keys in a->keys. */
struct op_attention layer_attention(const struct stage *s, const struct pass *p, int l,
                                    const struct activations *a);
/* Writes this rank's rows x of the stream in the compute type to y[T,H], and gathers all rows. */
void layer_narrow(struct stage *s, const struct pass *p, void *y, const void *x);

/* ---- qkv.c: the norms of q and k and their rotation ---- */
/* Computes rot from qkv: its heads are normalised, if the model does so, and rotated in the layers
 * with rotary positions. With qk_norm_after_rope it rotates qkv in place. again: recomputes rot
 * from qkv as the first call left it. */
void layer_rotate(struct stage *s, const struct pass *p, int l, const struct activations *a,
                  bool again);
/* Replaces dqkv, the gradient of what attention read, by that of the projection's result. */
void layer_rotate_backward(struct stage *s, const struct pass *p, int l,
                           const struct activations *a);

/* ---- experts.c: the experts of a sparse layer, in the place of its MLP ---- */
/* Computes s->branch from a->h2; recompute: as in layer_forward. */
void experts_forward(struct stage *s, const struct pass *p, int l, const struct activations *a,
                     bool recompute);
/* Computes s->dh, the gradient of a->h2, and what experts_wgrad reads, from dy, the gradient of the
 * layer's result in all rows. */
void experts_dgrad(struct stage *s, const struct pass *p, int l, const struct activations *a,
                   const void *dy);
/* Computes the gradients of the weights that multiply a->h2, whose values are there again. */
void experts_wgrad(struct stage *s, const struct pass *p, int l, const struct activations *a);
/* Describes c[R,n] = a[R,k] times the matrix of each expert at b, [k,n], or [n,k] with tb; the
 * caller sets c and a. */
struct op_grouped experts_product(const struct stage *s, const struct pass *p,
                                  const struct activations *a, const void *b, int64_t n, int64_t k);
/* Begins the load of the experts in a forward pass. */
void experts_begin(struct stage *s, const struct pass *p);
/* Completes the pool, and adds the auxiliary loss, if the model has one, to s->loss before the
 * backward pass of the layers: times the micro-batch's weight, so that a step has the mean over its
 * micro-batches. */
void experts_loss(struct stage *s, const struct pass *p);
/* Prepares the backward pass of a chunk for its gradient. scale: as in stage_backward. */
void experts_balance(const struct stage *s, struct pass *p, double scale);

/* ---- shared_expert.c: the expert of all tokens, beside the chosen ones of a layer ---- */
/* Computes from a->h2 what the backward pass reads. */
void shared_expert_up(struct stage *s, const struct pass *p, int l, const struct activations *a);
/* Adds the expert's weighted result to s->branch. */
void shared_expert_down(struct stage *s, const struct pass *p, int l, const struct activations *a);
/* Computes the gradients down to those of gate and up, from dy, the gradient of the layer's result
 * in all rows. Overwrites s->dz. */
void shared_expert_down_backward(struct stage *s, const struct pass *p, int l,
                                 const struct activations *a, const void *dy);
/* Adds to s->dh, the gradient of a->h2. */
void shared_expert_input_backward(struct stage *s, const struct pass *p, int l,
                                  const struct activations *a);
/* Computes the gradients of the weights that multiply a->h2, whose values are there again. */
void shared_expert_wgrad(struct stage *s, const struct pass *p, int l, const struct activations *a);

/* ---- dispatch.c: ranks that share out the experts; with one of them the tokens are this rank's
 * own, and nothing is exchanged ---- */
/* Returns true if there are several of these ranks. */
bool dispatch_shares(const struct stage *s);
/* Returns the number of experts that this rank has of a layer. */
int32_t dispatch_experts(const struct stage *s);
/* Return the number of tokens whose choices this rank sorts, those of all ranks that chose one of
 * its experts; and of the rows that they may take: each token at most one for each of the experts,
 * dispatch_width of them. */
int64_t dispatch_tokens(const struct stage *s, const struct pass *p, const struct activations *a);
int64_t dispatch_rows(const struct stage *s, const struct pass *p, const struct activations *a);
int64_t dispatch_width(const struct stage *s);
/* Returns the most ranks that have an expert of one token. */
int32_t dispatch_reach(const struct stage *s);
/* Returns where the device has the number of rows that are taken; NULL: all are. */
const int32_t *dispatch_count(const struct stage *s, const struct activations *a);
/* Sends the choices and weights of this rank's tokens to the ranks of their experts, and sorts the
 * choices of this rank's experts. */
void dispatch_sort(const struct stage *s, const struct pass *p, const struct activations *a);
/* Sends x[rows_all,H] there; returns the rows of all tokens that came, until the next exchange. */
const void *dispatch_send(const struct stage *s, const struct activations *a, const void *x);
/* Returns the starts of the experts of the whole layer among the choices of this rank's tokens. */
const int32_t *dispatch_load(const struct stage *s, const struct pass *p,
                             const struct activations *a);
/* Returns where the terms of the tokens that came are added up, of the type of x; x itself if this
 * rank has all terms. */
void *dispatch_terms(const struct stage *s, void *x);
/* Send the terms back, and sum those of this rank's tokens over the ranks: in x, of the
 * accumulation type; or add the sum to x, of the compute type. */
void dispatch_sum(const struct stage *s, const struct pass *p, const struct activations *a,
                  void *x);
void dispatch_add(const struct stage *s, const struct pass *p, const struct activations *a,
                  void *x);
/* Sends the gradients of the weights back: s->dweight has those of this rank's tokens then. */
void dispatch_sum_weights(const struct stage *s, const struct pass *p, const struct activations *a);
/* Completes the activations of the i-th layer of a chunk. */
void dispatch_bind(const struct stage *s, const struct pass *p, int i, struct activations *a);
/* Adds what a pass keeps on the host. */
void dispatch_plan_pass(const struct stage *s, struct plan *plan, struct pass *p);
/* Returns the most of dispatch_tokens. */
int64_t dispatch_most(const struct stage *s);
/* Adds the buffers of one layer, shared by all layers, from time `begin` to `end`. */
void dispatch_plan(struct stage *s, struct plan *plan, int begin, int end);

/* ---- backward.c ---- */
/* Returns the lowest layer of a chunk that runs backward. */
int chunk_lowest(const struct weights *w, const struct chunk *k);
/* Returns true if a backward pass of the chunk completes gradients of the embedding's bucket. */
bool chunk_has_embedding(const struct weights *w, const struct chunk *k);
/* Computes p->dres from s->dh, the gradient of a norm's result, of which this rank has its rows,
 * and dres, the gradient of the stream after it (NULL: none). y[T,H] receives the norm's result;
 * NULL: it is not needed. */
void norm_backward(struct stage *s, const struct pass *p, size_t weight, void *y, const void *dres,
                   const void *x, const void *rstd);

/* ---- head.c ---- */
/* Computes the loss as stage_loss does, and the gradients of the output projection and the last
 * norm. */
void head_backward(struct stage *s, struct pass *p, double scale);
/* Computes logits[count,V] of the rows of h_final whose indices are at `rows` (on the device). */
void head_logits(struct stage *s, const struct pass *p, const int32_t *rows, int64_t count);

/* ---- generate.c ---- */
/* Adds the cache, and the logits where ranks have parts of them. */
void generate_plan(struct stage *s, struct plan *plan);
/* Rehearses a pass of T tokens of so many documents, of the greatest length. */
void generate_rehearse(struct stage *s, int64_t T, int32_t docs);
/* Appends layer l's k and v to the cache, and makes t read them there. */
void generate_attend(struct stage *s, const struct pass *p, int l, struct op_attention *t);

/* ---- pass.c ---- */
struct micro_batch_layout pass_layout(const struct stage *s);
/* Uploads a micro-batch as stage_upload does; generation uses it too. */
void pass_upload(struct stage *s, struct pass *p);

/* ---- rotary.c ---- */
/* Returns true if documents may have their own rotary frequencies. */
bool rotary_is_own(const struct weights *w);
void rotary_plan(struct weights *w, struct plan *plan); /* adds the tables of weights */
/* Computes the rotary rows of all documents, or of this rank's chunks, in the host's block. Rows of
 * no document have those of the first token. */
void rotary_fill(const struct weights *w, const struct micro_batch *b, bool chunks,
                 const struct micro_batch_layout *k, void *block);

#endif
