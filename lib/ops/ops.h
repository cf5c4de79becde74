/* SPDX-License-Identifier: Apache-2.0 */
/* The table of operations. A backend runs them on its own memory; callers hold device pointers that
 * they must not read, and move data only by explicit copies.
 *
 * All matrices are row-major and dense unless a stride (in elements) is given. T is the number of
 * tokens of a micro-batch, H the hidden size, I the intermediate size, V the vocabulary. The
 * accumulation type is float, or double where dtype is DT_F64 (only the backend "ref64" supports
 * it). All sums use at least this type, in a fixed order that depends on the shapes alone.
 * Gradients of weights have the accumulation type unless their type (dw_dtype, db_dtype,
 * grad_dtype) is DT_BF16: each call then adds a sum to the stored value and rounds once, to
 * nearest. */
#ifndef SFT_OPS_OPS_H
#define SFT_OPS_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/dtype.h"
#include "base/err.h"

/* y[T,H] = w[ids[t] - first,:]. w has the rows of ids [first, first + V); any other id gives 0. */
struct op_embed {
    void *y;
    const void *w;
    const int32_t *ids;
    int64_t T, H, V, first;
    enum dtype dtype;
};
/* dw[V,H] += rows of dy[T,H]. The rows of dw are those of ids [first, first + V); any other id is
 * ignored. Ids may repeat; sums run in order of t. order[T] lists the tokens by id, tokens of one
 * id in order of t; starts[unique + 1] is where each of the `unique` distinct ids begins in order,
 * and T. The host computes both, so that ids can be summed in parallel. */
struct op_embed_grad {
    void *dw;
    const void *dy;
    const int32_t *ids, *order, *starts;
    int64_t T, H, V, first, unique;
    enum dtype dtype, dw_dtype; /* type of dy */
};
/* s = x + r (s = x when r is NULL; s may be NULL or alias x); y = s * rstd * (gain_offset + w),
 * rstd[t] = 1/sqrt(mean(s^2) + eps), computed in the accumulation type and rounded once. x, r, s, y
 * [T,H], w [H], rstd [T] of the accumulation type (may be NULL). heads > 0: every token has `heads`
 * rows of H, each normalised with the same w. In x and y (which may alias) row h of token t begins
 * at element t * stride + h * H; r, s and rstd are dense, [T,heads,H] and [T,heads]. gain_offset is
 * 0 or 1. wide: x, r and s have the accumulation type regardless of dtype, for a residual stream
 * with bf16 branches.
 *
 * branch: the norm of a term of such a stream. x and y have the accumulation type; s is x rounded
 * to dtype, the norm is that of s, and r is NULL. squares, when not NULL, has the sum of squares of
 * each row in the accumulation type, where x has only some of its `all` elements; rstd is then
 * 1/sqrt(squares/all + eps); branch has no squares. */
struct op_rmsnorm {
    void *y, *s, *rstd;
    const void *x, *r, *w, *squares;
    int64_t T, H, stride, all;
    int32_t heads;
    float gain_offset;
    double eps;
    bool wide, branch;
    enum dtype dtype;
};
/* dx = (dres ? dres : 0) + d rmsnorm; dw[H] += ...; dx may alias dres or dy. s is the input of the
 * normalisation. y, when not NULL, receives the recomputed forward result. heads, stride and
 * gain_offset are as in the forward; the stride applies to s, dy, dx and dres; rstd and y are
 * dense. wide: s has the accumulation type. dots, when not NULL, has the sum of
 * dy * (gain_offset + w) * s of each row in the accumulation type, where s has only some of its
 * `all` elements. */
struct op_rmsnorm_grad {
    void *dx, *dw, *y;
    const void *dy, *dres, *s, *w, *rstd, *dots;
    int64_t T, H, stride, all;
    int32_t heads;
    float gain_offset;
    bool wide;
    enum dtype dtype, dw_dtype;
};
/* y[t] = sum over i of a[t,i] * b[t,i], or of a[t,i] * b[t,i] * (gain_offset + w[i]) if w is not
 * NULL; y [T] has the accumulation type. Row t of a and of b begins at element t * stride. */
struct op_row_dot {
    void *y;
    const void *a, *b, *w;
    int64_t T, H, stride;
    float gain_offset;
    enum dtype dtype;
};
/* C[m,n] = op(A) op(B) (+ C when accumulate) (+ bias[n]); op(A) is [m,k], stored [k,m] when ta;
 * op(B) is [k,n], stored [n,k] when tb. a, b and bias have type ab_dtype; c may be wider. Leading
 * dimensions lda, ldb, ldc are in elements, 0: dense. k = 0 gives bias (+ C). */
struct op_matmul {
    void *c;
    const void *a, *b, *bias;
    int64_t m, n, k;
    int64_t lda, ldb, ldc;
    bool ta, tb, accumulate;
    enum dtype ab_dtype, c_dtype;
};
/* Rotates `heads` successive heads of each row of x in place. Of a head of dim elements the first
 * `rotary` (0: all) are rotated, and the others stay. With h = rotary/2, a pair is (x[i], x[i+h])
 * (Hugging Face's half-split form) or, interleaved, (x[2i], x[2i+1]); its angle is pos[t]*f[i]. cos
 * and sin are [positions, h] of the accumulation type. The arithmetic is that of the accumulation
 * type. inverse: rotates by the opposite angle (the gradient). scale [positions] of the
 * accumulation type (may be NULL) multiplies cos and sin of the first `scaled` heads by
 * scale[pos[t]], also with inverse. */
struct op_rope {
    void *x;
    const void *cos, *sin, *scale;
    const int32_t *pos;
    int64_t T, stride;
    int32_t heads, dim, rotary, scaled;
    bool inverse, interleaved;
    enum dtype dtype;
};
/* Returns the number of pairs of a head that rotate. */
static inline int64_t rope_pairs(const struct op_rope *a)
{
    return (a->rotary > 0 ? a->rotary : a->dim) / 2;
}
/* Causal attention within documents. Document d has queries [cu_q[d], cu_q[d+1]) and keys [cu_k[d],
 * cu_k[d+1]); its last query sees its last key. kv_heads divides heads. window > 0: a query sees at
 * most `window` keys, including its own. q is [Tq, q_stride], k and v are [Tk, kv_stride], o is
 * [Tq, o_stride]; each row begins with `heads` (q, o) or `kv_heads` (k, v) heads of `dim` elements.
 * The score of a pair is s = scale * q.k or, with a cap > 0, cap * tanh(s / cap), before the mask.
 * lse [heads, Tq] of the accumulation type: log of the sum of exp(score); may be NULL.
 * max_len is at least the number of queries and of keys of any document. Rows of o whose query sees
 * no key or lies in no document are 0.
 *
 * key_end, when not NULL, makes the queries of a document two chunks of its positions (context
 * parallelism). Chunk e = 2 d or 2 d + 1 of document d has queries [cu_q[e], cu_q[e+1]) and keys
 * [cu_k[d], key_end[e]); its last query sees its last key. Chunks may be empty; the positions of
 * the second are behind those of the first. cu_q has 2 docs + 1 items. */
struct op_attention {
    void *o, *lse;
    const void *q, *k, *v;
    const int32_t *cu_q, *cu_k, *key_end;
    int64_t Tq, Tk, q_stride, kv_stride, o_stride, max_len;
    int32_t docs, heads, kv_heads, dim, window;
    double scale, cap;
    enum dtype dtype;
};
/* The number of ranges of queries in cu_q. */
static inline int32_t attention_entries(const struct op_attention *a)
{
    return a->key_end ? 2 * a->docs : a->docs;
}
/* Writes dq, dk, dv (strides as q, k, v); rows of no document are 0. Outputs must not overlap
 * inputs. wide: dk and dv have the accumulation type, for sums with those of other queries. */
struct op_attention_grad {
    void *dq, *dk, *dv;
    const void *dout, *o, *lse;
    struct op_attention fwd; /* q, k, v and the shapes; its o and lse are unused */
    bool wide;
};
/* Activation functions: x sigmoid(x); x P(x), where P is the normal distribution function;
 * the approximation of that one by tanh; max(x, 0)^2. */
enum act { ACT_SILU, ACT_GELU, ACT_GELU_TANH, ACT_RELU2, ACTS };
/* y[T,I] = f(x), x [T,I]; gated: y = f(x[:, :I]) * x[:, I:], x [T,2I]. f is the function act.
 * count: on the device, the number of first rows that are computed, at most T; NULL: all. */
struct op_activation {
    void *y;
    const void *x;
    const int32_t *count;
    int64_t T, I;
    bool gated;
    enum act act;
    enum dtype dtype;
};
/* Computes dx from dy; dx may alias x. y, when not NULL, receives the recomputed forward result.
 * count: as above. */
struct op_activation_grad {
    void *dx, *y;
    const void *dy, *x;
    const int32_t *count;
    int64_t T, I;
    bool gated;
    enum act act;
    enum dtype dtype;
};
/* nll[t] = log sum exp(logits[t,:]) - logits[t, target[t]], [n] of the accumulation type; dlogits
 * (may be NULL) = weight[t] * scale * (softmax - onehot). logits [n,V] have the accumulation type
 * unless logits_dtype is DT_BF16. dlogits may alias logits when both have one type; otherwise it is
 * separate memory. A target outside [0, V) is ignored: its nll and dlogits are 0. When the
 * vocabulary is split across ranks, logits are those of tokens [first, first + V) of `all`, and
 * parts [ranks,n,3] of the accumulation type has the results of op_xent_part of each rank, which
 * are combined in rank order. parts NULL: the vocabulary is whole, and first, all and ranks are not
 * read. cap > 0: the softmax is of cap * tanh(logit / cap), and dlogits are of the logits before
 * it; op_xent_part then has the same cap. */
struct op_xent {
    void *nll, *dlogits;
    const void *logits, *parts;
    const int32_t *target;
    const void *weight; /* [n], accumulation type */
    double scale, cap;
    int64_t n, V, first, all;
    int32_t ranks;
    enum dtype dtype, d_dtype, logits_dtype;
};
/* part[n,3] (accumulation type): for each row of logits [n,V] of tokens [first, first + V): the
 * maximum, the sum of exp(x - maximum), and the logit of the target, or 0 if the target is not
 * among them. logits have the accumulation type unless logits_dtype is DT_BF16; cap > 0: x is
 * cap * tanh(logit / cap). */
struct op_xent_part {
    void *part;
    const void *logits;
    const int32_t *target;
    int64_t n, V, first;
    double cap;
    enum dtype dtype, logits_dtype;
};
/* y[n,H] = x[rows[i],:]; where rows[i] is below 0, the row of y stays as it is. */
struct op_gather {
    void *y;
    const void *x;
    const int32_t *rows;
    int64_t n, H;
    enum dtype dtype;
};
/* y[T,H] = 0, then y[rows[i],:] = x[i,:]; rows are increasing */
struct op_scatter {
    void *y;
    const void *x;
    const int32_t *rows;
    int64_t T, n, H;
    enum dtype dtype;
};
/* y = a + b, n elements; y may alias a or b */
struct op_add {
    void *y;
    const void *a, *b;
    int64_t n;
    enum dtype dtype;
};
struct op_zero {
    void *y;
    size_t bytes;
};
struct op_cast {
    void *y;
    const void *x;
    int64_t n;
    enum dtype to, from;
};
/* Copies `rows` rows of `bytes` bytes between strided matrices (strides in bytes). */
struct op_copy_rows {
    void *y;
    const void *x;
    int64_t rows;
    size_t bytes, y_stride, x_stride;
};
/* sum (one double on the device) += sum_i x[i] * w[i], or of x[i]^2. w has the type of x; NULL: 1.
 */
struct op_sum {
    double *sum;
    const void *x, *w;
    int64_t n;
    bool squares;
    enum dtype dtype;
};
/* y[0..n) = the index of the maximum of logits[t, :] (the lowest index on a tie). logits have type
 * dtype: the accumulation type or DT_BF16. */
struct op_argmax {
    int32_t *y;
    const void *logits;
    int64_t n, V;
    enum dtype dtype;
};
/* y[T,H] = (add ? y : 0) + scale / (1 - p) * x[T,H] without the dropped elements of x. Each element
 * is dropped with probability p (a multiple of 2^-16), as a function of key, site, sample[t],
 * pos[t] and the column alone, where x has columns [first, first + H) of a matrix that may be split
 * across ranks; see ops/dropout.h. p = 0: sample, pos and first are not read. y may alias x. */
struct op_dropout {
    void *y;
    const void *x;
    const int32_t *sample, *pos;
    int64_t T, H, first;
    uint64_t key;
    uint32_t site; /* below 2^24 */
    bool add;
    double p, scale;
    enum dtype dtype;
};
/* db[n] += sum over rows of dy[T,n] */
struct op_bias_grad {
    void *db;
    const void *dy;
    int64_t T, n;
    enum dtype dtype, db_dtype;
};
/* Random bits of an update, for the values that it stores in bf16: 32 bits for element i of all
 * parameters in update `step` (from 1), independent of how calls split the elements. `first` is the
 * i of the call's element 0. Block k = i / 64 uses the Philox counters a = 16 k ... 16 k + 15 (b =
 * step, site RNG_ROUND): element i takes word i % 64 / 16 of counter a = 16 k + i % 16. The weight
 * is rounded with the low 16 bits, the second moment with the high 16, the first with the exclusive
 * or of both: any two of the three are independent. */
struct op_random {
    uint64_t seed, step, first;
};
uint32_t op_random_bits(const struct op_random *r, uint64_t i);

/* Updates of n elements. The updated weight is `master`, or `param` where master is NULL; with a
 * master, param receives the new value rounded to nearest. The gradient, master, m and v have the
 * accumulation type unless their type is DT_BF16. A bf16 value that the next update reads (master
 * or param, m, v) is rounded stochastically: rounding to nearest would lose every change below half
 * a unit in the last place, and at beta2 = 0.999 a second moment in bf16 could never decrease
 * (docs/ops.md). The gradient used is g = grad * clip;  clip = min(1, max_norm / (sqrt(*sumsq) +
 * 1e-6)), 1 when max_norm <= 0. */

/* AdamW as torch.optim.AdamW (decoupled decay):
 * p -= lr*wd*p;  m = b1 m + (1-b1) g;  v = b2 v + (1-b2) g^2;
 * p -= lr/c1 * m / (sqrt(v)/sqrt(c2) + eps),  c_i = 1 - b_i^k for update k from 1. */
struct op_adamw {
    void *param, *master, *m, *v;
    const void *grad;
    const double *sumsq;
    int64_t n;
    double lr, beta1, beta2, eps, weight_decay, c1, c2, max_norm;
    enum dtype param_dtype, dtype; /* dtype: accumulation type */
    enum dtype grad_dtype, master_dtype, m_dtype, v_dtype;
    struct op_random random;
};
/* SGD as torch.optim.SGD (the decay is part of the gradient):
 * g += wd*p;  m = momentum m + (1-dampening) g (m = g at random.step 1);
 * p -= lr * (nesterov ? g + momentum m : m). m NULL: momentum is 0 and p -= lr*g. */
struct op_sgd {
    void *param, *master, *m;
    const void *grad;
    const double *sumsq;
    int64_t n;
    double lr, momentum, dampening, weight_decay, max_norm;
    bool nesterov;
    enum dtype param_dtype, dtype; /* dtype: accumulation type */
    enum dtype grad_dtype, master_dtype, m_dtype;
    struct op_random random;
};

/* ---- mixtures of experts ----
 * Each of T tokens chooses K <= E experts. Choice (t, k) has a row among `rows` = T * K rows that
 * are sorted by expert, within one by token: rows [starts[e], starts[e+1]) are those of expert e.
 * op_dispatch makes row, token and starts on the device, and no host reads them: callers know the
 * number of rows, not which expert has how many. op_gather with rows = token copies the tokens to
 * their rows, op_grouped multiplies them, op_combine adds the results of each token. The gradient
 * by the tokens is op_combine without weights. T * K is below 2^31.
 *
 * If ranks share out the experts, the rows are those of the choices of this rank's experts alone,
 * and fewer than callers know: other choices have row -1, which op_combine leaves out, and rows of
 * no choice have token -1. op_peers gives the ranks that have a token's experts; op_dispatch with
 * ranks in the place of experts sorts what goes to them. */

/* prob[T,E] = softmax of logits[T,E] (it may alias logits); expert[T,K] = the K largest logits of
 * each token in falling order, the lowest index first on a tie; weight[T,K] = their probabilities,
 * divided by their sum if normalise. expert and weight have `padded` rows, at least T: those behind
 * the tokens are -1 and 0. NaN is chosen like -infinity. */
struct op_route {
    void *prob, *weight; /* accumulation type */
    int32_t *expert;
    const void *logits; /* accumulation type */
    int64_t T, padded;
    int32_t E, K;
    bool normalise;
    enum dtype dtype; /* the accumulation type */
};
/* peer[T,W] = the ranks that have the experts expert[T,K] of each token, rank e / each that of
 * expert e: every rank once, in rising order, then -1. Expert -1 is none. W: min(K, the number of
 * ranks).
 */
struct op_peers {
    int32_t *peer;
    const int32_t *expert;
    int64_t T;
    int32_t each, K, W;
};
/* Sorts the choices expert[T,K] of experts [first, first + E). row[T,K] and token[rows] are inverse
 * to each other, up to k: choice (t, k) has row row[t,k], whose token is token[row[t,k]] = t. A
 * choice of another expert has row -1; the rows behind the last choice have token -1. starts has
 * E + 1 items. rows: at least the number of choices of these experts. */
struct op_dispatch {
    int32_t *row, *token, *starts;
    const int32_t *expert;
    int64_t T, rows;
    int32_t first, E, K;
};
/* dlogits[T,E] from dweight[T,K], and from the loss of op_load_loss if pool is not NULL: `balance`
 * is that operation's scale, times the gradient by its sum. The choice itself and the counts of
 * pool have no gradient. */
struct op_route_grad {
    void *dlogits; /* d_dtype */
    const void *dweight, *prob;
    const int32_t *expert;
    const double *pool; /* [2,E], of all rows that the loss pools */
    int64_t T;
    int32_t E, K;
    bool normalise;
    double balance;
    enum dtype dtype, d_dtype; /* dtype: the accumulation type */
};
/* The load of the experts, which layers and ranks may pool: pool[0,e] += the choices of expert e;
 * pool[1,e] += the sum over tokens of prob[t,e]. */
struct op_load {
    double *pool; /* [2,E] */
    const void *prob;
    const int32_t *starts;
    int64_t T;
    int32_t E;
    enum dtype dtype; /* of prob: the accumulation type */
};
/* sum (one double on the device) += scale * sum over e of pool[0,e] * pool[1,e]. With scale = E /
 * R^2 for pools of R tokens (each layer's count) this is the auxiliary loss of Switch Transformers,
 * E * sum f_e P_e, with f_e the choices of e per token and P_e its mean probability: K when all
 * experts are equal. */
struct op_load_loss {
    double *sum;
    const double *pool;
    int32_t E;
    double scale;
};
/* For each expert e and its rows r: c[r,n] = a[r,k] b[e] (+ c when accumulate), b is [E,k,n], each
 * matrix stored [n,k] when tb. weights: the gradient by matrices instead, c[e] = a_e^T b_e (+ c[e]
 * when accumulate) for c [E,k,n], a [rows,k], b [rows,n]; an expert without rows gets zeros, or
 * keeps its sum; tb is not read. Matrices are dense; a and b have type ab_dtype, c may be wider.
 * starts may be a part of a longer list, whose experts have their matrices elsewhere: other rows
 * are neither read nor written. */
struct op_grouped {
    void *c;
    const void *a, *b;
    const int32_t *starts; /* [E + 1] */
    int64_t rows, n, k;    /* rows: of the matrices of rows; starts[E] or more */
    int32_t E;
    bool tb, weights, accumulate;
    enum dtype ab_dtype, c_dtype;
};
/* y[T,H] = (add ? y : 0) + sum over k, in order, of weight[t,k] * z[row[t,k],:], without those
 * whose row is -1. weight [T,K] has the accumulation type; NULL: 1. */
struct op_combine {
    void *y;
    const void *z, *weight;
    const int32_t *row;
    int64_t T, H;
    int32_t K;
    bool add;
    enum dtype dtype, y_dtype; /* dtype: of z */
};
/* dz[row[t,k],:] = weight[t,k] * dy[t,:]; dweight[t,k] = the product of dy[t,:] and z[row[t,k],:],
 * of the accumulation type, or 0 if the row is -1. dz may alias z when both have one type. */
struct op_combine_grad {
    void *dz, *dweight;
    const void *dy, *z, *weight;
    const int32_t *row;
    int64_t T, H;
    int32_t K;
    enum dtype dtype, z_dtype; /* dtype: of dz and dy */
};

/* The weight that an expert of all tokens may have: y[T,I] = sigmoid(gate[t]) * x[t,:]. gate [T]
 * has the accumulation type. y may alias x. */
struct op_gate {
    void *y;
    const void *x, *gate;
    int64_t T, I;
    enum dtype dtype;
};
/* dx[t,:] = sigmoid(gate[t]) * dy[t,:]; dgate[t] = (1 - sigmoid(gate[t])) * the product of dy[t,:]
 * and y[t,:], the result of op_gate. dx may alias dy. All but gate have type dtype. */
struct op_gate_grad {
    void *dx, *dgate;
    const void *dy, *y, *gate;
    int64_t T, I;
    enum dtype dtype;
};

/* Returns the number of rows that a norm of T tokens normalises; below: the begin of row i in a
 * strided operand. */
static inline int64_t norm_rows(int64_t T, int32_t heads) { return heads > 0 ? T * heads : T; }
static inline int64_t norm_at(int64_t row, int64_t H, int32_t heads, int64_t stride)
{
    return heads > 0 ? row / heads * stride + row % heads * H : row * H;
}

/* The list of operations, which generates everything about them. A new operation adds a line here,
 * its struct above, and its function in each backend. */
#define OPS_LIST(X)                                                                                \
    X(embed)                                                                                       \
    X(embed_grad)                                                                                  \
    X(rmsnorm)                                                                                     \
    X(rmsnorm_grad)                                                                                \
    X(row_dot)                                                                                     \
    X(matmul)                                                                                      \
    X(rope)                                                                                        \
    X(attention)                                                                                   \
    X(attention_grad)                                                                              \
    X(activation)                                                                                  \
    X(activation_grad)                                                                             \
    X(xent)                                                                                        \
    X(xent_part)                                                                                   \
    X(gather)                                                                                      \
    X(scatter)                                                                                     \
    X(route)                                                                                       \
    X(route_grad)                                                                                  \
    X(peers)                                                                                       \
    X(dispatch)                                                                                    \
    X(load)                                                                                        \
    X(load_loss)                                                                                   \
    X(grouped)                                                                                     \
    X(combine)                                                                                     \
    X(combine_grad)                                                                                \
    X(gate)                                                                                        \
    X(gate_grad)                                                                                   \
    X(add) X(zero) X(cast) X(copy_rows) X(sum) X(argmax) X(bias_grad) X(dropout) X(adamw) X(sgd)

enum op_id {
#define X(name) OP_##name,
    OPS_LIST(X)
#undef X
        OP_COUNT
};
const char *op_name(enum op_id op);

/* Slots of marks: [0, MARK_TIMES) for times, then one for device_upload, then the slots of passes.
 */
enum { MARK_TIMES = 128, MARK_UPLOAD = MARK_TIMES, MARK_PASSES, DEVICE_MARKS = 256 };
/* A device with queues has two, which run concurrently. Uploads and marks go to the first,
 * operations to device.queue. */
enum device_queue { QUEUE_COMPUTE, QUEUE_COMM, DEVICE_QUEUES };

/* An open device: the table of its backend, followed by its state. */
struct device;
struct ops {
    const char *name;
    void (*close)(struct device *d);
    /* Allocates device memory, 64-byte aligned; ERR_MEMORY. */
    void *(*alloc)(struct device *d, size_t bytes, struct err *e);
    void (*free)(struct device *d, void *p, size_t bytes);
    /* Allocates host memory that the device copies from and to directly, such as pinned memory,
     * 64-byte aligned and zeroed; ERR_MEMORY. */
    void *(*host_alloc)(struct device *d, size_t bytes, struct err *e);
    void (*host_free)(struct device *d, void *p, size_t bytes);
    /* Queues a copy host -> device. The device reads src when it reaches the copy; src must not
     * change until then. `reached` of a later mark, a sync or a download confirms this. Memory of
     * host_alloc is copied asynchronously; for other memory a device may block the host. */
    void (*upload)(struct device *d, void *dst, const void *src, size_t n);
    /* Copies device -> host after all earlier operations; returns their first failure. */
    int (*download)(struct device *d, void *dst, const void *src, size_t n, struct err *e);
    /* Copies as download, but from any thread and without waiting for operations; concurrent
     * operations must not write the source. NULL: the device has no such copy. */
    int (*peek)(struct device *d, void *dst, const void *src, size_t n, struct err *e);
    /* Copies host -> device from any thread, concurrently with operations that do not touch dst;
     * src may be reused on return. NULL: the device has no such copy, or has a queue whose progress
     * another thread cannot observe. */
    void (*poke)(struct device *d, void *dst, const void *src, size_t n);
    /* Waits for all earlier operations; returns their first failure. */
    int (*sync)(struct device *d, struct err *e);
    /* Returns the scratch in bytes that an operation needs beyond its arguments. Pointers in args
     * are not dereferenced; only whether an optional one is NULL matters. It also prepares what a
     * run with the same args needs to be fast. */
    size_t (*work)(struct device *d, enum op_id op, const void *args);
    /* Runs or queues an operation; args is its struct, copied when queued. The next download or
     * sync reports a failure. */
    void (*run)(struct device *d, enum op_id op, const void *args, size_t size);
    /* Records the time at which the device reaches this point, in slot 0 .. DEVICE_MARKS - 1. */
    void (*mark)(struct device *d, int slot);
    /* Returns the seconds from one mark to a later one. Waits until the device has reached both;
     * failures are kept. */
    double (*between)(struct device *d, int from, int to);
    /* Waits until the device has reached the last mark set in the slot, if any, but not for work
     * queued after it; failures are kept. */
    void (*reached)(struct device *d, int slot);
    /* The three functions below are NULL on a device that runs operations synchronously; call is
     * also NULL where the host cannot be a step of a queue. */
    /* Queues fn(arg) for the host. fn may upload and download, which then neither wait nor queue
     * (so that src may be reused on return), and makes no other use of the device. arg[size] is
     * copied. */
    void (*call)(struct device *d, enum device_queue q, void (*fn)(void *arg), const void *arg,
                 size_t size);
    /* Makes later work of q begin after all work already queued on the other queue. */
    void (*after)(struct device *d, enum device_queue q);
    /* Waits for all work queued on q; failures are kept. */
    void (*wait)(struct device *d, enum device_queue q);
};
/* Scratch of the operations of one queue. */
struct device_work {
    void *p; /* device memory, provided by the owner of the memory plan */
    size_t bytes;
};
/* The best configuration of the output projection. Logits are computed for a chunk of targets at a
 * time; each chunk reads the whole projection, and reads and writes its gradient. */
struct device_head {
    size_t bytes; /* maximum size of a chunk's logits */
    int64_t most; /* maximum targets of a chunk */
};
/* A GPU, or a kind of GPU for which memory is only planned. */
struct device_card {
    char name[256];
    int capability;            /* 90: sm_90; 0: planned */
    int runtime, driver, blas; /* versions of CUDA, 13000 for 13.0, and of cuBLASLt */
    unsigned char id[16];      /* of this very GPU */
    int gpus;                  /* that this process sees */
    size_t memory, free;       /* bytes: all, and those free once the GPU is open */
    bool planned;              /* memory cannot be allocated, and operations cannot run */
};
/* Called again and again while the host waits for a device with queues. Work that waits for another
 * rank never ends if that rank is lost; the owner of the work ends it here, and so the wait. */
struct device_watch {
    void (*look)(struct device_watch *w);
    struct device_watch *next;
};
struct device {
    const struct ops *ops;
    const struct device_card *card; /* NULL: the device computes in host memory */
    int threads;
    enum device_queue queue; /* queue that receives operations; unused without queues */
    struct device_work work[DEVICE_QUEUES];
    struct device_head head;
    bool has_bf16; /* see device_has_bf16 */
    struct device_watch *watch;
};

/* Opens a device. name: "cuda" or "cuda:N" (a GPU, by the plugin cuda.so), "cuda:h100" and the like
 * (no GPU: for planning memory only; see cuda_plan.c), "cpu" (fast; "cpu-base",
 * "cpu-v3", "cpu-v4" select the instruction set), "ref" (plain C, float), "ref64" (plain C,
 * double), "far" (cpu behind two queues, with memory that is unreadable outside operations and
 * copies; "far-N" draws the queues' speeds from the seed N). threads is as returned by opt_threads.
 * ERR_CONFIG: there is no such device, or there are not so many GPUs; ERR_DEVICE: it cannot be
 * opened. */
struct device *device_open(const char *name, int threads, struct err *e);
void device_close(struct device *d); /* accepts NULL */
static inline void device_look(const struct device *d)
{
    for (struct device_watch *w = d->watch; w; w = w->next) w->look(w);
}
static inline const struct device_work *device_work(const struct device *d)
{
    return &d->work[d->queue];
}
/* Copies host -> device and returns when src may be reused; for use outside a step. */
void device_upload(struct device *d, void *dst, const void *src, size_t n);
/* Returns true when bf16 matrix products are at least as fast as float ones on this device. */
bool device_has_bf16(const struct device *d);

/* Writes the device as people read it: "cuda:0 (NVIDIA H100, sm_90)", "cpu, 2 threads". */
void device_about(const struct device *d, char *text, size_t bytes);

/* op_<name>(device, &(struct op_<name>){...}) and op_<name>_work(device, &args) */
#define X(name)                                                                                    \
    static inline void op_##name(struct device *d, const struct op_##name *a)                      \
    {                                                                                              \
        d->ops->run(d, OP_##name, a, sizeof *a);                                                   \
    }                                                                                              \
    static inline size_t op_##name##_work(struct device *d, const struct op_##name *a)             \
    {                                                                                              \
        return d->ops->work(d, OP_##name, a);                                                      \
    }
OPS_LIST(X)
#undef X

#endif
