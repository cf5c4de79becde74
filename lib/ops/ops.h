/* SPDX-License-Identifier: Apache-2.0 */
/* The one table of operations. A backend runs them on its own memory; callers hold device pointers
 * that they must not read, and move data only by explicit copies.
 *
 * All matrices are row-major and dense unless a stride (in elements) is given. T is the number of
 * tokens of a micro-batch, H the hidden size, I the intermediate size, V the vocabulary.
 * "real" stands for float, or double where dtype is DT_F64 (only the backend "ref64" has that); all
 * sums run in real at least, in a fixed order that depends on the shapes alone. Gradients of
 * weights are real unless their type (dw_dtype, db_dtype, grad_dtype) says DT_BF16: then a sum is
 * added to what is there and rounded once, to nearest, in each call. */
#ifndef SFT_OPS_OPS_H
#define SFT_OPS_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/dtype.h"
#include "base/err.h"

/* y[T,H] = w[ids[t] - first,:]; w has the rows of ids [first, first + V), any other id gives 0 */
struct op_embed {
    void *y;
    const void *w;
    const int32_t *ids;
    int64_t T, H, V, first;
    enum dtype dtype;
};
/* dw[V,H], whose rows are those of ids [first, first + V), += rows of dy[T,H]; any other id counts
 * for nothing; ids may repeat; summed in order of t. order[T] lists the tokens by id, those of one
 * id in order of t; starts[unique + 1] says where each of the `unique` distinct ids begins in it,
 * and T: the host makes both, so that ids can be summed side by side. */
struct op_embed_grad {
    void *dw;
    const void *dy;
    const int32_t *ids, *order, *starts;
    int64_t T, H, V, first, unique;
    enum dtype dtype, dw_dtype; /* dtype: of dy */
};
/* s = x + r (s = x when r is NULL; s may be NULL, or be x); y = s * rstd * w,
 * rstd[t] = 1/sqrt(mean(s^2) + eps). x, r, s, y [T,H], w [H], rstd [T] real (may be NULL).
 * heads > 0: every token has so many rows of H, normalised one by one with the same w. In x and y
 * (which may be x) row h of token t begins at element t * stride + h * H; r, s and rstd are dense,
 * [T,heads,H] and [T,heads]. wide: x, r and s are real whatever dtype says, as a residual stream
 * that bf16 branches feed should be. */
struct op_rmsnorm {
    void *y, *s, *rstd;
    const void *x, *r, *w;
    int64_t T, H, stride;
    int32_t heads;
    double eps;
    bool wide;
    enum dtype dtype;
};
/* dx = (dres ? dres : 0) + d rmsnorm; dw[H] += ...; dx may be dres or dy. s is the input
 * that was normalised. y, when not NULL, is made again (the forward's result, for recomputation).
 * heads and stride: as in the forward, the stride being that of s, dy, dx and dres; rstd and y are
 * dense. wide: s is real. */
struct op_rmsnorm_grad {
    void *dx, *dw, *y;
    const void *dy, *dres, *s, *w, *rstd;
    int64_t T, H, stride;
    int32_t heads;
    bool wide;
    enum dtype dtype, dw_dtype;
};
/* C[m,n] = op(A) op(B) (+ C when accumulate) (+ bias[n]); op(A) is [m,k], stored [k,m] when ta;
 * op(B) is [k,n], stored [n,k] when tb. a, b and bias share ab_dtype; c may be wider. Leading
 * dimensions lda, ldb, ldc in elements, 0: dense. k = 0 gives bias (+ C). */
struct op_matmul {
    void *c;
    const void *a, *b, *bias;
    int64_t m, n, k;
    int64_t lda, ldb, ldc;
    bool ta, tb, accumulate;
    enum dtype ab_dtype, c_dtype;
};
/* Rotates `heads` successive heads of each row of x in place (Hugging Face's half-split form):
 * with h = dim/2, (x[i], x[i+h]) by angle pos[t]*f[i]; cos and sin are real [positions, dim/2].
 * inverse: by the opposite angle (the gradient). */
struct op_rope {
    void *x;
    const void *cos, *sin;
    const int32_t *pos;
    int64_t T, stride;
    int32_t heads, dim;
    bool inverse;
    enum dtype dtype;
};
/* Causal attention within documents. Document d has queries [cu_q[d], cu_q[d+1]) and keys
 * [cu_k[d], cu_k[d+1]); its last query sees its last key. kv_heads divides heads. window > 0: a
 * query sees at most that many keys, itself included. q [Tq, q_stride], k and v [Tk, kv_stride], o
 * [Tq, o_stride]: `heads` resp. `kv_heads` of `dim` elements from the row's start. lse [heads, Tq]
 * real: log of the sum of exp(scale * q.k); NULL: not wanted. max_len: at least the queries, and
 * the keys, of any document. A query that sees no key, and rows of o in no document, give 0. */
struct op_attention {
    void *o, *lse;
    const void *q, *k, *v;
    const int32_t *cu_q, *cu_k;
    int64_t Tq, Tk, q_stride, kv_stride, o_stride, max_len;
    int32_t docs, heads, kv_heads, dim, window;
    double scale;
    enum dtype dtype;
};
/* Writes dq, dk, dv (strides as q, k, v); 0 in rows of no document. The
 * outputs share no memory with the inputs. */
struct op_attention_grad {
    void *dq, *dk, *dv;
    const void *dout, *o, *lse;
    struct op_attention fwd; /* q, k, v and the shapes; its o and lse are not used */
};
/* y[T,I] = silu(gu[:, :I]) * gu[:, I:];  gu [T, 2I] */
struct op_swiglu {
    void *y;
    const void *gu;
    int64_t T, I;
    enum dtype dtype;
};
/* dgu from dy; dgu may be gu. y, when not NULL, is made again. */
struct op_swiglu_grad {
    void *dgu, *y;
    const void *dy, *gu;
    int64_t T, I;
    enum dtype dtype;
};
/* nll[t] = log sum exp(logits[t,:]) - logits[t, target[t]] (real, [n]);
 * dlogits (NULL: none) = weight[t] * scale * (softmax - onehot). logits [n,V] are real unless
 * logits_dtype says DT_BF16; dlogits may be logits when both have one type, else it is separate
 * memory. A target outside [0, V) counts for nothing: its nll and dlogits are 0.
 * Where the vocabulary is cut among ranks, logits are those of tokens [first, first + V) of `all`,
 * and parts is real [ranks,n,3]: what op_xent_part gave for each rank's. They are combined in the
 * order of ranks. parts NULL: the vocabulary is whole, and first, all and ranks are not read. */
struct op_xent {
    void *nll, *dlogits;
    const void *logits, *parts;
    const int32_t *target;
    const void *weight; /* real [n] */
    double scale;
    int64_t n, V, first, all;
    int32_t ranks;
    enum dtype dtype, d_dtype, logits_dtype;
};
/* part[n,3] (real): of each row of logits [n,V], those of tokens [first, first + V), the
 * largest, the sum of exp(x - largest), and the target's, or 0 where it is not among them; logits
 * are real unless logits_dtype says DT_BF16 */
struct op_xent_part {
    void *part;
    const void *logits;
    const int32_t *target;
    int64_t n, V, first;
    enum dtype dtype, logits_dtype;
};
/* y[n,H] = x[rows[i],:] */
struct op_gather {
    void *y;
    const void *x;
    const int32_t *rows;
    int64_t n, H;
    enum dtype dtype;
};
/* y[T,H] = 0 but y[rows[i],:] = x[i,:]; rows rise */
struct op_scatter {
    void *y;
    const void *x;
    const int32_t *rows;
    int64_t T, n, H;
    enum dtype dtype;
};
/* y = a + b, n elements; y may be a or b */
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
/* rows x bytes, between strided rows (strides in bytes) */
struct op_copy_rows {
    void *y;
    const void *x;
    int64_t rows;
    size_t bytes, y_stride, x_stride;
};
/* sum (one double on the device) += sum_i x[i] * w[i] (w NULL: 1; of x's type), or of x[i]^2 */
struct op_sum {
    double *sum;
    const void *x, *w;
    int64_t n;
    bool squares;
    enum dtype dtype;
};
/* y[0..n) = the index of the largest of logits[t, :] (the lowest on a tie); logits of type dtype,
 * real or DT_BF16 */
struct op_argmax {
    int32_t *y;
    const void *logits;
    int64_t n, V;
    enum dtype dtype;
};
/* y[T,H] = (y when add, else 0) + scale / (1 - p) * x[T,H], but without those of x that are
 * dropped, each with probability p (a multiple of 2^-16). What is dropped is a function of key,
 * site, sample[t], pos[t] and the column alone; see ops/dropout.h. p = 0: sample and pos are not
 * read. y may be x. */
struct op_dropout {
    void *y;
    const void *x;
    const int32_t *sample, *pos;
    int64_t T, H;
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
/* Random bits of an update, for what it keeps in bf16: 32 for element i of all parameters in update
 * `step` (from 1), the same however the elements are cut into calls. `first` is the i of the
 * call's element 0. Block k = i / 64 is made of the Philox counters a = 16 k ... 16 k + 15 (b =
 * step, site RNG_ROUND): element i takes word i % 64 / 16 of counter a = 16 k + i % 16. The weight
 * is rounded with the low 16 bits, the second moment with the high 16, the first with the exclusive
 * or of both: any two of the three are independent. */
struct op_random {
    uint64_t seed, step, first;
};
uint32_t op_random_bits(const struct op_random *r, uint64_t i);

/* Updates of n elements. What is updated is `master`, or `param` where master is NULL; param beside
 * a master receives the new value to nearest. The gradient, master, m and v are real unless their
 * type says DT_BF16. A bf16 that is read again by the next update (master or param, m, v) is
 * rounded at random: to nearest, a change below half a unit in the last place is lost every time,
 * and at beta2 = 0.999 a second moment in bf16 could never fall (docs/ops.md).
 * The gradient used is g = grad * clip;  clip = min(1, max_norm / (sqrt(*sumsq) + 1e-6)), 1 when
 * max_norm <= 0. */

/* AdamW as torch.optim.AdamW (decoupled decay):
 * p -= lr*wd*p;  m = b1 m + (1-b1) g;  v = b2 v + (1-b2) g^2;
 * p -= lr/c1 * m / (sqrt(v)/sqrt(c2) + eps),  c_i = 1 - b_i^k for update k from 1. */
struct op_adamw {
    void *param, *master, *m, *v;
    const void *grad;
    const double *sumsq;
    int64_t n;
    double lr, beta1, beta2, eps, weight_decay, c1, c2, max_norm;
    enum dtype param_dtype, dtype; /* dtype: real */
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
    enum dtype param_dtype, dtype; /* dtype: real */
    enum dtype grad_dtype, master_dtype, m_dtype;
    struct op_random random;
};

/* Rows that a norm of T tokens normalises, and where row i begins in a strided operand. */
static inline int64_t norm_rows(int64_t T, int32_t heads) { return heads > 0 ? T * heads : T; }
static inline int64_t norm_at(int64_t row, int64_t H, int32_t heads, int64_t stride)
{
    return heads > 0 ? row / heads * stride + row % heads * H : row * H;
}

/* The list from which everything about an operation is made: add a line here, its struct above, and
 * its function in each backend. */
#define OPS_LIST(X)                                                                                \
    X(embed)                                                                                       \
    X(embed_grad)                                                                                  \
    X(rmsnorm)                                                                                     \
    X(rmsnorm_grad)                                                                                \
    X(matmul)                                                                                      \
    X(rope)                                                                                        \
    X(attention)                                                                                   \
    X(attention_grad)                                                                              \
    X(swiglu)                                                                                      \
    X(swiglu_grad)                                                                                 \
    X(xent)                                                                                        \
    X(xent_part)                                                                                   \
    X(gather)                                                                                      \
    X(scatter)                                                                                     \
    X(add) X(zero) X(cast) X(copy_rows) X(sum) X(argmax) X(bias_grad) X(dropout) X(adamw) X(sgd)

enum op_id {
#define X(name) OP_##name,
    OPS_LIST(X)
#undef X
        OP_COUNT
};
const char *op_name(enum op_id op);

/* Slots of marks: [0, MARK_TIMES) for times, then one for device_upload, then those of passes. */
enum { MARK_TIMES = 128, MARK_UPLOAD = MARK_TIMES, MARK_PASSES, DEVICE_MARKS = 256 };
/* A device with queues has two, which run beside one another. Uploads and marks go to the first,
 * operations to device.queue. */
enum device_queue { QUEUE_COMPUTE, QUEUE_COMM, DEVICE_QUEUES };

/* An open device: a backend's table, and its state behind it. */
struct device;
struct ops {
    const char *name;
    void (*close)(struct device *d);
    /* Device memory, 64-byte aligned; ERR_MEMORY. */
    void *(*alloc)(struct device *d, size_t bytes, struct err *e);
    void (*free)(struct device *d, void *p, size_t bytes);
    /* Memory of the host that the device copies from and to without a detour, such as pinned
     * memory, 64-byte aligned and zero; ERR_MEMORY. */
    void *(*host_alloc)(struct device *d, size_t bytes, struct err *e);
    void (*host_free)(struct device *d, void *p, size_t bytes);
    /* Queues a copy host -> device. src is read when the device gets there and must not change
     * until then, which `reached` of a later mark tells, or a sync or download. Memory of
     * host_alloc is copied while the host goes on; for other memory a device may let the host wait.
     */
    void (*upload)(struct device *d, void *dst, const void *src, size_t n);
    /* Copies device -> host after all earlier operations; returns their first failure. */
    int (*download)(struct device *d, void *dst, const void *src, size_t n, struct err *e);
    /* As download, but for any thread, beside operations that do not write there, and without
     * waiting for those that do. NULL: the device has no such copy. */
    int (*peek)(struct device *d, void *dst, const void *src, size_t n, struct err *e);
    /* A copy host -> device for any thread, beside operations that do not touch dst; src may be
     * reused on return. NULL: the device has
     * no such copy, or a queue, of which another thread cannot tell how far it is. */
    void (*poke)(struct device *d, void *dst, const void *src, size_t n);
    /* Waits for all earlier operations; returns their first failure. */
    int (*sync)(struct device *d, struct err *e);
    /* Scratch that an operation needs beyond its arguments, in bytes. Pointers in args are not
     * followed; whether an optional one is NULL counts. What a run needs to be quick is made here
     * already, if the run's args are the same. */
    size_t (*work)(struct device *d, enum op_id op, const void *args);
    /* Runs, or queues, an operation; args is its struct, copied when queued. A failure is kept and
     * reported by the next download or sync. */
    void (*run)(struct device *d, enum op_id op, const void *args, size_t size);
    /* The device notes the time at which it gets here, in slot 0 .. DEVICE_MARKS - 1. */
    void (*mark)(struct device *d, int slot);
    /* Seconds from one mark to another that was set later. Waits until the device has been there;
     * failures are kept. */
    double (*between)(struct device *d, int from, int to);
    /* The host waits until the device has been at the mark that was set last in the slot, if one
     * was, but not for what was queued after it; failures are kept. */
    void (*reached)(struct device *d, int slot);
    /* The three below are NULL on a device that runs operations when they are called; call is NULL
     * also where the host cannot take its turn in a queue. */
    /* Queues fn(arg) for the host. fn may upload and download, which then neither wait nor queue
     * (so that src may be reused on return),
     * and does nothing else with the device. arg[size] is copied. */
    void (*call)(struct device *d, enum device_queue q, void (*fn)(void *arg), const void *arg,
                 size_t size);
    /* Work that q is given from now on begins after all that the other queue has been given. */
    void (*after)(struct device *d, enum device_queue q);
    /* The host waits for all that q has been given; failures are kept. */
    void (*wait)(struct device *d, enum device_queue q);
};
/* Scratch of the operations of one queue. */
struct device_work {
    void *p; /* device memory, given by the owner of the memory plan */
    size_t bytes;
};
/* How the output projection runs best. Logits exist for some targets at a time, a chunk; each chunk
 * reads the whole projection, and reads and writes its gradient. */
struct device_head {
    size_t bytes;      /* of a chunk's logits, at most */
    int64_t most;      /* targets of a chunk, at most */
    enum dtype logits; /* DT_BF16: in bf16 where that is the type of the computation; else real */
};
struct device {
    const struct ops *ops;
    int threads;
    enum device_queue queue; /* that operations are given to; any, where there are no queues */
    struct device_work work[DEVICE_QUEUES];
    struct device_head head;
    bool has_bf16; /* see device_has_bf16 */
};

/* name: "cuda" or "cuda:N" (a GPU, by the plugin cuda.so), "cpu" (fast; "cpu-base", "cpu-v3",
 * "cpu-v4" name the instruction set), "ref" (plain C, float), "ref64" (plain C, double), "far" (cpu
 * behind two queues, with memory that is unreadable outside operations and copies; "far-N" draws
 * the queues' speeds from the seed N). threads as opt_threads gives. */
struct device *device_open(const char *name, int threads, struct err *e);
void device_close(struct device *d); /* NULL is fine */
static inline const struct device_work *device_work(const struct device *d)
{
    return &d->work[d->queue];
}
/* Copies host -> device and returns when src may be reused: for what is outside a step. */
void device_upload(struct device *d, void *dst, const void *src, size_t n);
/* True when matrix products of bf16 are at least as fast as of float on this device. */
bool device_has_bf16(const struct device *d);

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
