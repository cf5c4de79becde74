/* SPDX-License-Identifier: Apache-2.0 */
/* A stage: the layers whose weights are on this rank, with the embedding if they include the first
 * layer, and with the output projection if they include the last. They are one or more chunks of
 * consecutive layers. A pass is one micro-batch in flight in a chunk: its inputs and activations. A
 * schedule gives the order of the forward and backward passes; these functions only queue
 * operations and allocate nothing.
 *
 * T is the number of tokens of a micro-batch, H the hidden size, I the intermediate size, V the
 * vocabulary, C the number of targets whose logits exist at one time. In a sparse layer E is the
 * number of experts, K those that a token chooses, F their intermediate size, S that of the expert
 * of all tokens; R = T * K is the number of rows that the chosen experts compute. Where P ranks
 * share out the experts, A is the number of tokens of all of them that have chosen one of this
 * rank's N experts, R = A * min(K, N), and W = min(K, P) the most ranks that a token goes to; else
 * A is T and N is E. */
#ifndef SFT_MODEL_STAGE_H
#define SFT_MODEL_STAGE_H

#include "model/micro_batch.h"
#include "model/weights.h"

/* The recompute policy: the activations that the backward pass recomputes. Every policy computes
 * the same bits. */
enum recompute {
    RECOMPUTE_NONE,      /* only the results of norms, which their backward computes anyway */
    RECOMPUTE_SELECTIVE, /* also the activations of MLPs, and q and k after their norms */
    RECOMPUTE_FULL,      /* all except each layer's input: the layer runs again */
};
struct stage_options {
    enum recompute recompute; /* without gradients no activation outlives its layer */
    int64_t tokens;           /* the most of a micro-batch that this rank has */
    struct comm *cp;   /* the ranks that share a micro-batch; NULL: this rank has all of it */
    int64_t all;       /* with cp: the most tokens of a micro-batch, of all its ranks */
    struct comm *ep;   /* the ranks that share out the experts; NULL: this rank has all */
    int64_t chunk;     /* targets whose logits exist at one time; 0: the device's value */
    enum dtype logits; /* DT_BF16, for compute type bf16; else they are of the accumulation type */
    int passes;        /* the most in flight: schedule_passes; 0: 1 */
    int64_t cache;     /* generation: the tokens whose keys and values are stored; 0: none */
    int32_t docs;      /* with a cache: the most documents of a pass, at most `chunk`; 0: 1 */
    struct comm *pp;   /* with a cache: the stages of the model; NULL: this one is all of it */
};

/* The activations of one layer; compute type unless said otherwise. */
struct activations {
    void *res1, *rstd1; /* [T,H] the attention block's input; [T]; both accumulation type */
    void *h1;           /* [T,H] normalised res1, or without pre_norm res1 itself */
    void *qkv, *rot;    /* [T,qkv_width] the projection; attention's input: qkv rotated in place,
                           or with qk_norm its heads normalised and rotated; with
                           qk_norm_after_rope qkv rotated in place, rot its heads normalised;
                           some layers do not rotate */
    void *keys;         /* [all+1,2*kv_width] with cp: k and v of all ranks, see context.c */
    void *rstd_qk;      /* with qk_norm: [T, norms of q] then [T, of k]; accumulation type */
    void *o, *lse;      /* [T,q_width]; [heads,T] accumulation type */
    void *out1, *rstd_out1; /* with post_norm, for backward: [T,H] the attention block's result; [T]
                               accumulation type */
    void *res2, *rstd2;     /* [T,H] the MLP block's input; [T]; both accumulation type */
    void *h2;               /* [T,H] normalised res2, or res2 itself */
    void *gate_up; /* [T,2I], not gated [T,I], or [R,2F]; holds its own gradient in backward */
    void *z;       /* [T,I] or [R,F] the result of the activation */
    void *out2, *rstd_out2; /* as out1, rstd_out1 of the MLP block's result */
    struct {
        void *prob, *weight;               /* [T,E], [T,K] of op_route; accumulation type */
        void *expert;                      /* [T,K] of op_route */
        void *their_weight, *their_expert; /* [A,K] the same of the tokens that came from ranks */
        void *row, *token, *starts;        /* [A,K] [R] [N+1] of op_dispatch */
        void *peer_row, *peer_token;       /* with ep, [T,W] [T*W]: the same by ranks of experts */
        int32_t *sends, *accepts; /* with ep, on the host, [P] rows to and from each rank; NULL in
                                     a rehearsal */
        void *rows; /* [R,H] the experts' results; before and after it their inputs and gradients */
    } experts;      /* of a sparse layer */
    struct {
        void *gate;        /* [T] accumulation type: the logits of its weights */
        void *gate_up, *z; /* [T,2S]; [T,S] the result of the activation times the weights */
    } shared;              /* of the expert of all tokens */
};

/* Consecutive layers [first, end) of a stage. */
struct chunk {
    int first, end;
    bool embedding, head; /* it has the embedding; it has the output projection */
    uint64_t begun;       /* the last step in which it ran backward, see weights_begin */
};
struct pass {
    struct chunk *at;     /* the chunk that runs; stage_claim sets it */
    int micro_batch;      /* number of the micro-batch in flight; -1: none */
    struct micro_batch b; /* on the host, in `host`; the caller fills it */
    void *host, *block;   /* the block of the micro-batch, on the host and on the device */
    void *ids, *pos, *sample, *cu, *rows, *target, *order, *starts, *key_cu, *key_end, *key_row,
        *key_token;               /* in `block`, as in micro_batch.h */
    void *weight;                 /* [targets] accumulation type */
    void *turn, *cosines, *sines; /* [T] row indices; the rows; accumulation type */
    struct {
        void *weight, *cosines, *sines; /* in double, if that is the accumulation type */
    } wide;
    struct activations *acts; /* [s->layers]; see stage_activations */
    void *res_final; /* [T,H] accumulation type: the residual stream after the last layer */
    void *rstd_final, *h_final; /* [T] accumulation type; [T,H] the last norm's result: all passes
                                   share them, since the backward pass comes next */
    void *dres;                 /* [T,H] the gradient of the residual stream at the current layer */
    void *nll;                  /* [targets] accumulation type; all passes share it */
    double *load; /* [2,E] of op_load, of the sparse layers up to the chunk; NULL: no router loss */
    double *pool; /* [2,E] the same of all layers, for the backward pass */
    double balance;  /* op_route_grad.balance */
    int32_t *counts; /* with ep, on the host: [layers,2,P] activations.experts.sends, accepts */
};

struct stage {
    struct weights *w;
    struct stage_options o;
    struct chunk *chunk;       /* [chunks], from the first layers to the last */
    int chunks, layers;        /* layers: of the largest chunk */
    bool embedding, head;      /* a chunk has the embedding; one has the output projection */
    enum dtype logit_type;     /* accumulation type; bf16 if the device requests it */
    struct pass *pass;         /* [o.passes] */
    struct activations *layer; /* [passes, layers] */
    /* shared by all passes */
    void *branch;                /* [T,H] accumulation type: the next term of the stream */
    void *h;                     /* [T,H] h1 and h2 */
    void *sums;                  /* [2,T] accumulation type: sums over the tp ranks' parts of rows
                                    of q and of k, with a norm of all heads */
    void *z, *rot;               /* [T,I] or [T,S], [T,qkv_width] if they are recomputed */
    void *expert_rows;           /* [R,H] the same */
    void *head_in, *logits;      /* [C,H], [C,V] logit_type */
    void *parts;                 /* [ranks,C,3] of op_xent; NULL if the vocabulary is not cut */
    void *dlogits, *dhead;       /* [C,V] NULL: they overwrite logits; [T,H] */
    void *dh, *dz, *dqkv, *dout; /* [T,H] [T,I], [R,F] or [T,S] [T,qkv_width] [T,q_width] */
    void *dweight, *drouter;     /* [A,K] accumulation type; [T,E]: of the router */
    void *dshared;               /* [T]: of the logits of the weights of the expert of all tokens */
    struct {
        void *in, *out;             /* [A,H] or [T*W,H] rows that came; [T*W,H] or [A,H] that go */
        void *peer;                 /* [T,W] of op_peers */
        void *peer_starts;          /* [P+1] the begin of each rank's rows among those that go */
        void *starts_of_all;        /* [P,P+1] the same of all ranks */
        int32_t *counts;            /* the same on the host */
        void *row, *token, *starts; /* [T,K] [T*K] [E+1] this rank's tokens by expert, with an
                                       auxiliary loss */
    } dispatch;                     /* with ep */
    struct {
        void *blocks;  /* [ranks*each,2*kv_width] k and v, block by block */
        void *keys;    /* [all+1,2*kv_width] in the order of tokens, if they are gathered again */
        void *dkeys;   /* the same: their gradients; accumulation type */
        void *dblocks; /* [ranks*each,2*kv_width] the same, block by block */
    } context;         /* with cp */
    void *loss;        /* double: sum of weight * nll */
    void **cache;      /* [layers of the model] [o.cache, 2 * kv_width]; NULL: of another stage */
    void *argmax;      /* the next tokens, int32 [o.docs] */
    struct {
        void *logits; /* [o.docs, V of the whole model] logit_type */
        void *parts;  /* [ranks of w->tp, w->most_vocab] the same, of one document */
    } whole;          /* with a cache, where ranks have parts of the model */
    struct {
        void *u, *du; /* [T, parts * r] x A^T and its gradient, of the current block */
        void *x;      /* [T, in] x after dropout; NULL without dropout */
        uint64_t key;
        bool on; /* dropout is on */
    } lora;
};

/* Initialises s and adds every buffer to the plan. w is initialised, and outlives the stage. */
int stage_init(struct stage *s, struct weights *w, const struct stage_options *o, struct plan *plan,
               struct err *e);
/* Sets the passes' array pointers into their blocks, after the plan's addresses are stored. */
void stage_bind(struct stage *s);
void stage_free(struct stage *s);
/* Runs the largest micro-batch forward and, with gradients, backward; for memory_place. */
void stage_rehearse(struct stage *s);

/* Returns the bytes of the largest collective that the stage queues on w->tp; 0: none. */
size_t stage_collective(const struct stage *s);
/* Returns the bytes of the largest collective that the stage queues on o.cp; 0: none. */
size_t stage_context(const struct stage *s);
/* The same of o.ep, and of o.pp. */
size_t stage_experts(const struct stage *s);
size_t stage_pipeline(const struct stage *s);

/* ---- a pass ---- */
/* Returns a pass that has no micro-batch, and gives it this one in that chunk. There must be one.
 */
struct pass *stage_claim(struct stage *s, int chunk, int micro_batch);
/* Returns the pass that stage_claim gave them. */
struct pass *stage_pass(struct stage *s, int chunk, int micro_batch);
/* Takes the micro-batch from a pass, whose activations are not read again. */
void stage_release(struct pass *p);
/* Waits until the device has read p->b, before the caller fills it again. The device reads it
 * before the pass that it was uploaded for, so the host can prepare one micro-batch in advance. */
void stage_refill(struct stage *s, struct pass *p);
/* Uploads the micro-batch p->b, of at most o.tokens. */
void stage_upload(struct stage *s, struct pass *p);
/* Runs the layers of the chunk; with the output projection, also the last norm. */
void stage_forward(struct stage *s, struct pass *p);
/* Computes the loss after the forward pass: *loss += sum of weight * nll; fills nll. */
void stage_loss(struct stage *s, struct pass *p);
/* A callback for complete gradients, called layer by layer as the backward pass runs: with the
 * number of layers for the output projection and the last norm, then with each layer, then with -1
 * for the embedding. Layers below the lowest one with trained tensors are omitted. */
struct layer_done {
    void (*call)(void *arg, int layer);
    void *arg;
};
/* Runs the backward pass after the forward pass: adds the gradient of scale * sum of weight * nll
 * to w->gradients. A chunk with the output projection first does what stage_loss does. done is
 * called for each layer, for the last micro-batch of a step; it may be NULL. */
void stage_backward(struct stage *s, struct pass *p, double scale, const struct layer_done *done);

/* ---- between chunks: tensors that are received and sent, [stage_rows,H] ---- */
/* Returns the number of rows of the residual stream that this rank has of a micro-batch of T
 * tokens: all, or with sequence parallelism a part. */
int64_t stage_rows(const struct stage *s, int64_t T);
/* Returns the residual stream that a chunk without the embedding begins with; accumulation type. It
 * is written before stage_forward, while the pass has no other micro-batch. */
void *stage_input(const struct stage *s, const struct pass *p);
/* Returns the stream that a chunk without the output projection ends with, after stage_forward. */
void *stage_output(const struct pass *p);
/* Returns the stream's gradient, in the compute type: before stage_backward the gradient of the
 * output, if the chunk has no output projection; after it the gradient of the input. */
void *stage_gradient(const struct pass *p);

/* With an auxiliary loss pass->load goes with the stream: the load of the layers before a chunk.
 * pass->pool comes back with the gradient: the load of all layers. Returns the bytes of each for a
 * micro-batch of T tokens; 0: there is none. */
size_t stage_load_bytes(const struct stage *s, int64_t T);

/* ---- generation: a stage with a cache; where ranks have parts of the model, or of its weights,
 * all of them call these together, with the same documents ---- */
/* The next T tokens of a document, at its positions [past, past + T). Rows [row, row + past) of the
 * cache have the keys and values of those before, and get those of these tokens behind them. */
struct stage_tokens {
    const int32_t *ids; /* [T] */
    int64_t T, past, row;
};
/* Runs tokens of each of the documents, together at most o.tokens. */
void stage_extend(struct stage *s, const struct stage_tokens *x, int32_t docs);
/* Stores the most likely next token of each of these documents in ids [docs]. */
int stage_next(struct stage *s, int32_t *ids, struct err *e);
/* Copies the logits of document d's next token, [vocab] as float, to out. */
int stage_logits(struct stage *s, int32_t d, float *out, struct err *e);
/* Copies n rows of the cache from row `from` to row `to`; they do not overlap. A document there
 * then begins with the same n tokens. */
void stage_copy(struct stage *s, int64_t to, int64_t from, int64_t n);

/* Queues the largest matrix product of a layer on the largest micro-batch, and returns its
 * floating-point operations. It writes activations only. */
double stage_product(struct stage *s);

#endif
