/* SPDX-License-Identifier: Apache-2.0 */
/* A model on a device: its buffers, its layers forward and backward, its loss. All memory is in one
 * plan, made before anything is allocated; forward and backward only run operations. */
#ifndef SFT_MODEL_NET_H
#define SFT_MODEL_NET_H

#include "hf/safetensors.h"
#include "model/model.h"
#include "model/plan.h"
#include "ops/ops.h"

/* What forward leaves for backward. The results are the same, bit for bit. */
enum net_keep {
    NET_KEEP_NOTHING, /* no backward: validation, generation */
    NET_KEEP_ALL,     /* every activation but what norms give, which costs nothing to make again */
    NET_KEEP_SELECTIVE, /* nor what SwiGLU gives */
    NET_KEEP_INPUTS,    /* each layer's input; the layer runs again before its backward */
};
struct net_options {
    enum dtype compute; /* DT_BF16, DT_F32; DT_F64 on a device that has it */
    enum net_keep keep;
    int64_t tokens;               /* most tokens of a micro-batch */
    int64_t length;               /* longest document, positions included that a cache holds */
    struct params_options params; /* what is frozen */
    int64_t chunk;                /* targets whose logits exist at one time; 0: as 128 MiB hold */
    bool cache;                   /* keys and values of `length` positions are kept: generation */
};

/* One micro-batch on the host: whole documents side by side. The loss at targets[i] is that of
 * predicting the token target[i] from row rows[i]. */
struct net_batch {
    int64_t T, targets, max_len;
    int32_t docs;
    int32_t *ids, *pos;     /* [T] */
    int32_t *sample;        /* [T] a name of the token's sample; read only for dropout */
    int32_t *cu;            /* [docs + 1], where each document begins, and T */
    int32_t *rows, *target; /* [targets]; rows rise */
    float *weight;          /* [targets] */
    bool cached;            /* generation: one document, whose first `past` positions */
    int64_t past;           /* have their keys and values in the cache */
};

struct net_acts {       /* of one layer; compute type unless said otherwise */
    void *res1, *rstd1; /* [T,H] the attention block's input; [T]; both real */
    void *h1;           /* [T,H] normalised res1 */
    void *qkv, *rot;    /* [T,qkv_width] the projection; what attention reads: qkv itself, rotated,
                           or with qk_norm what its norms and the rotation make of it */
    void *rstd_qk;      /* with qk_norm: [T,heads] then [T,kv_heads] real */
    void *o, *lse;      /* [T,q_width]; [heads,T] real */
    void *res2, *rstd2; /* [T,H] the MLP block's input; [T]; both real */
    void *h2;           /* [T,H] normalised res2 */
    void *gate_up;      /* [T,2I]; holds its own gradient in backward */
    void *z;            /* [T,I] what SwiGLU gives */
    void *kv;           /* [length,2*kv_width] the cache */
};

struct net {
    struct model m;
    struct params params;
    struct net_options o;
    enum dtype real; /* of sums, gradients, statistics */
    struct device *device;
    struct plan plan;
    void *arena, *host; /* the plan's allocations, of the device and beside it */
    bool fresh;         /* gradients of matrices are to be written, not added to: see net_begin */
    size_t held, past;  /* trained elements [held, past) have master weights and moments here */

    void *weights;         /* [params.total] compute type */
    void *gradients;       /* [params.trained] real; NULL when nothing is kept */
    void *cosines, *sines; /* [length, head_dim/2] real; see rotary.c */
    struct net_acts *acts; /* [layers]; see net_layer */
    void *branch;          /* [T,H] real, what a block adds to the residual stream */
    void *h;               /* [T,H] h1 and h2 */
    void *z, *rot;         /* [T,I], [T,qkv] where z, rot are not kept */
    void *res_final, *rstd_final, *h_final;      /* [T,H] real, [T] real, [T,H] */
    void *head_in, *logits, *dlogits, *dhead;    /* [C,H], [C,V] real, [C,V], [T,H] */
    void *nll;                                   /* [T] real, in the order of targets */
    void *dres, *dh, *dz, *dqkv, *dout;          /* [T,H] [T,H] [T,I] [T,qkv] [T,q_width] */
    void *ids, *pos, *cu, *cu_k, *rows, *target; /* int32 */
    void *weight;                                /* [T] real */
    void *loss;                                  /* double: sum of weight * nll */
    void *sample;                                /* int32 [T]; NULL without dropout */
    void *argmax;                                /* int32 [1] */
    void *work;                                  /* scratch of the operations */
    void *staging;                               /* host, for uploads in another type */
    struct {
        void *u, *du; /* [T, parts * r] x A^T and its gradient, of the block at hand */
        void *x;      /* [T, in] x with elements dropped; NULL without dropout */
        uint64_t key;
        bool on; /* elements are dropped */
    } lora;
};

/* Makes the parameter table and declares every buffer in n->plan, to which the caller may add. */
int net_init(struct net *n, const struct model *m, const struct net_options *o, struct device *d,
             struct err *e);
/* Places the plan. rehearse(arg) must run what the run will run: every operation is only asked for
 * its scratch; the largest becomes part of the plan. NULL: net_rehearse on n itself. */
int net_place(struct net *n, void (*rehearse)(void *arg), void *arg, struct err *e);
/* A forward, loss and, where activations are kept, backward of the largest micro-batch. */
void net_rehearse(struct net *n);
/* Allocates the plan and fills the rotary tables. */
int net_alloc(struct net *n, struct err *e);
void net_close(struct net *n); /* not the device */

/* Reads all weights: into weights in the compute type and, unless NULL, into master (real). Tensors
 * that are missing, too many or of another shape are ERR_DATA. */
int net_load(struct net *n, const struct safetensors *s, void *master, struct err *e);
/* Sets elements [at, at + count) of a flat allocation of weights, and of master unless NULL. */
void net_set(struct net *n, void *master, size_t at, size_t count, const float *values);
/* Sets such elements of one flat allocation of type t. */
void net_put(struct net *n, void *flat, enum dtype t, size_t at, size_t count, const float *values);
/* As net_put, but only those of the elements that are in [held, past). */
void net_put_held(struct net *n, void *flat, enum dtype t, size_t at, size_t count,
                  const float *values);
/* Reads elements [at, at + count) of a flat allocation of type t, rounded to float. */
int net_get(struct net *n, const void *flat, enum dtype t, size_t at, size_t count, float *out,
            struct err *e);

/* For the message of a loss or logits that are not finite: names the first tensor with such a
 * weight and the place in it, or says that there is none (false). Reads all weights. */
bool net_find_nonfinite(struct net *n, char *text, size_t size);

void net_upload(struct net *n, const struct net_batch *b);
/* Through the layers and the last norm (h_final). */
void net_forward(struct net *n, const struct net_batch *b);
/* The gradient starts from zero. Those of matrices are not cleared: the first micro-batch, which
 * must have tokens, overwrites them. */
void net_begin(struct net *n);
/* The output projection and the loss: *loss += sum of weight * nll; nll is filled. With gradients,
 * those of scale * that sum are begun: the projection's are added to n->gradients. */
void net_loss(struct net *n, const struct net_batch *b, bool gradients, double scale);
/* After net_loss with gradients: adds up all the others in n->gradients. */
void net_backward(struct net *n, const struct net_batch *b);

/* One document with a cache: tokens at positions [past, past + T). Afterwards net_next gives the
 * likeliest next token. */
void net_extend(struct net *n, const int32_t *ids, int64_t T, int64_t past);
int net_next(struct net *n, int32_t *id, struct err *e);
/* The same logits, [vocab] as float, for those who want them all. */
int net_logits(struct net *n, float *out, struct err *e);

/* Inside lib/model. */
struct net_acts net_layer(const struct net *n, int l);
void net_layer_forward(struct net *n, const struct net_batch *b, int l, const void *x,
                       const void *r, bool again);
const void *net_weight(const struct net *n, size_t offset);
void *net_columns(const struct net *n, void *rows, int64_t column); /* rows, from that column */
/* Of what a layer's projection writes to y: what goes to the residual stream stays real. */
enum dtype net_result_type(const struct net *n, const void *y);
struct op_attention net_attention(const struct net *n, const struct net_batch *b, int l, void *qkv);
/* Makes rot of qkv. */
void net_rotate(struct net *n, const struct net_batch *b, int l, const struct net_acts *a);
/* With qk_norm: rstd of the heads of k. */
void *net_rstd_k(const struct net *n, int64_t T, const struct net_acts *a);
/* rotary.c: rows of the tables of cos and sin; those for a run, and what a micro-batch adds. */
int64_t net_rope_rows(const struct net *n);
void net_rope_fill(struct net *n);
void net_rope_upload(struct net *n, const struct net_batch *b);
/* dx[T,in] = dy[T,out] W[out,in];  dW = dy^T x, or += with add; nothing where W is frozen */
void net_dgrad(struct net *n, int64_t T, void *dx, const void *dy, size_t weight, int64_t out,
               int64_t in);
void net_wgrad(struct net *n, int64_t T, const void *dy, const void *x, size_t weight, int64_t out,
               int64_t in, bool add);
/* Whether the block at this offset has a gradient. */
static inline bool net_trained(const struct net *n, size_t offset)
{
    return offset < n->params.trained;
}
/* Clears the gradient of elements [from, to), unless they are frozen. */
void net_clear(struct net *n, size_t from, size_t to);
void net_norm_grad(struct net *n, int64_t T, void *dx, size_t weight, void *y, const void *dy,
                   const void *dres, const void *s, const void *rstd);

#endif
