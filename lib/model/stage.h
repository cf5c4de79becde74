/* SPDX-License-Identifier: Apache-2.0 */
/* A stage: the layers whose weights are here, with the embedding where they begin with the first
 * layer, and with the output projection where they end with the last. A pass is one micro-batch in
 * flight in a stage: its inputs and activations. A schedule gives the order of the forward and
 * backward passes; these functions only queue operations and allocate nothing.
 *
 * T is the number of tokens of a micro-batch, H the hidden size, I the intermediate size, V the
 * vocabulary, C the targets whose logits exist at one time. */
#ifndef SFT_MODEL_STAGE_H
#define SFT_MODEL_STAGE_H

#include "model/micro_batch.h"
#include "model/weights.h"

/* The recompute policy: which activations backward recomputes. No bit of a result depends on it. */
enum recompute {
    RECOMPUTE_NONE,      /* the results of norms only, which their backward gives at no cost */
    RECOMPUTE_SELECTIVE, /* and those of SwiGLU, and q and k behind their norms */
    RECOMPUTE_FULL,      /* all but each layer's input: the layer runs again */
};
struct stage_options {
    enum recompute recompute; /* without gradients no activation outlives its layer */
    int64_t tokens;           /* the most of a micro-batch */
    int64_t chunk;            /* targets whose logits exist at one time; 0: what the device likes */
    int passes;               /* the most in flight: schedule_passes; 0: 1 */
    bool cache;               /* keys and values of all positions are stored: generation */
};

/* The activations of one layer; compute type unless said otherwise. */
struct activations {
    void *res1, *rstd1; /* [T,H] the attention block's input; [T]; both accumulation type */
    void *h1;           /* [T,H] normalised res1 */
    void *qkv, *rot;    /* [T,qkv_width] the projection; what attention reads: qkv itself, rotated,
                           or with qk_norm its heads normalised and rotated */
    void *rstd_qk;      /* with qk_norm: [T,heads] then [T,kv_heads]; accumulation type */
    void *o, *lse;      /* [T,q_width]; [heads,T] accumulation type */
    void *res2, *rstd2; /* [T,H] the MLP block's input; [T]; both accumulation type */
    void *h2;           /* [T,H] normalised res2 */
    void *gate_up;      /* [T,2I]; holds its own gradient in backward */
    void *z;            /* [T,I] the result of SwiGLU */
};

struct pass {
    struct micro_batch b; /* on the host, in `host`; filled by the caller */
    void *host, *block;   /* the block of the micro-batch, on the host and on the device */
    void *ids, *pos, *sample, *cu, *rows, *target, *keys, *order,
        *starts;                  /* in `block`, as in micro_batch.h */
    void *weight;                 /* [targets] accumulation type */
    void *turn, *cosines, *sines; /* [T] each token's row of these; accumulation type */
    struct {
        void *weight, *cosines, *sines; /* in double, where that is the accumulation type */
    } wide;
    struct activations *acts; /* [layers of the model]; see stage_activations */
    void *res_final; /* [T,H] accumulation type: the residual stream behind the last layer */
    void *rstd_final, *h_final; /* [T] accumulation type; [T,H] the last norm's result */
    void *dres;                 /* [T,H] the gradient of the residual stream, layer by layer */
    void *nll;                  /* [targets] accumulation type */
};

struct stage {
    struct weights *w;
    struct stage_options o;
    int first, end;            /* its layers are [first, end) */
    bool embedding, head;      /* it begins with the embedding; ends with the output projection */
    enum dtype logit_type;     /* accumulation type; bf16 where the device wants that */
    struct pass *pass;         /* [o.passes] */
    struct activations *layer; /* [passes, layers of the model] */
    /* shared by all passes */
    void *branch;                /* [T,H] accumulation type: to be added to the stream */
    void *h;                     /* [T,H] h1 and h2 */
    void *z, *rot;               /* [T,I], [T,qkv_width] where they are recomputed */
    void *head_in, *logits;      /* [C,H], [C,V] logit_type */
    void *parts;                 /* [ranks,C,3] of op_xent; NULL where the vocabulary is whole */
    void *dlogits, *dhead;       /* [C,V] NULL: in the place of logits; [T,H] */
    void *dh, *dz, *dqkv, *dout; /* [T,H] [T,I] [T,qkv_width] [T,q_width] */
    void *loss;                  /* double: sum of weight * nll */
    void **cache;                /* [layers of the model] [length, 2 * kv_width] */
    void *argmax;                /* the next token, int32 [1] */
    struct {
        void *u, *du; /* [T, parts * r] x A^T and its gradient, of the block at hand */
        void *x;      /* [T, in] x with elements dropped; NULL without dropout */
        uint64_t key;
        bool on; /* elements are dropped */
    } lora;
};

/* Adds every buffer to the plan. w is initialised, and outlives the stage. */
int stage_init(struct stage *s, struct weights *w, const struct stage_options *o, struct plan *plan,
               struct err *e);
/* Points the passes' arrays into their blocks, once the plan's addresses are stored. */
void stage_bind(struct stage *s);
void stage_free(struct stage *s);
/* The largest micro-batch forward and, with gradients, backward; for memory_place. */
void stage_rehearse(struct stage *s);

/* The bytes of the largest collective that the stage queues among the ranks of w->tp; 0: none. */
size_t stage_collective(const struct stage *s);

/* ---- a pass ---- */
/* Before p->b is filled again: waits until the device has read what is there, which it does before
 * the pass it was uploaded for; so the host is a micro-batch ahead. */
void stage_refill(struct stage *s, struct pass *p);
/* Uploads the micro-batch p->b, of at most o.tokens. */
void stage_upload(struct stage *s, struct pass *p);
/* Through the layers; with the output projection, to the last norm. */
void stage_forward(struct stage *s, struct pass *p);
/* After the forward pass: *loss += sum of weight * nll; nll is filled. */
void stage_loss(struct stage *s, struct pass *p);
/* Called when the gradients of a layer are complete, layer by layer as backward runs: the number of
 * layers for the output projection and the last norm, then the layers, then -1 for the embedding.
 * Layers below the lowest one that has something trained are left out. */
struct layer_done {
    void (*call)(void *arg, int layer);
    void *arg;
};
/* After the forward pass: adds the gradient of scale * sum of weight * nll to w->gradients; a stage
 * with the output projection does as stage_loss first. done is NULL, or is told of each layer: for
 * the last micro-batch of a step. */
void stage_backward(struct stage *s, struct pass *p, double scale, const struct layer_done *done);

/* ---- between stages: what is received and sent, [T,H] ---- */
/* The residual stream that a stage without the embedding begins with; accumulation type. It is
 * written before stage_forward, while the pass holds no other micro-batch. */
void *stage_input(const struct stage *s, const struct pass *p);
/* The stream that a stage without the output projection ends with, after stage_forward. */
void *stage_output(const struct pass *p);
/* The stream's gradient, compute type: of the output before stage_backward, where the stage has no
 * output projection; of the input after it. */
void *stage_gradient(const struct pass *p);

/* ---- generation: a stage that is a whole model, with a cache ---- */
/* One document: tokens at positions [past, past + T). Afterwards stage_next gives the likeliest
 * next token. */
void stage_extend(struct stage *s, const int32_t *ids, int64_t T, int64_t past);
int stage_next(struct stage *s, int32_t *id, struct err *e);
/* The logits that it is chosen by, [vocab] as float. */
int stage_logits(struct stage *s, float *out, struct err *e);

/* Queues the largest matrix product of a layer on the largest micro-batch, and returns its
 * floating-point operations. Only activations are written. */
double stage_product(struct stage *s);

#endif
