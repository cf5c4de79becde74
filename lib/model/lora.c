/* SPDX-License-Identifier: Apache-2.0 */
/* Adapters forward and backward. x A^T is made again in backward: it is [T, r], but keeping it for
 * every layer would cost as much memory as another residual stream once r is in the hundreds. */
#include "model/lora.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/rng.h"
#include "model/net.h"

static const struct lora_options *options(const struct net *n) { return &n->o.params.lora; }

static const struct lora_block *block_of(const struct net *n, size_t weight)
{
    for (size_t i = 0; i < n->params.nlora; i++)
        if (n->params.lora[i].parts && n->params.lora[i].weight == weight)
            return &n->params.lora[i];
    return NULL;
}

void lora_plan(struct net *n, int end)
{
    const size_t T = (size_t)n->o.tokens, size = dtype_size(n->o.compute);
    const size_t r = (size_t)options(n)->rank;
    size_t widest = 0;
    for (size_t i = 0; i < n->params.nlora; i++)
        if (n->params.lora[i].parts && (size_t)n->params.lora[i].in > widest)
            widest = (size_t)n->params.lora[i].in;
    if (!widest) return;
    plan_add(&n->plan, PLAN_ACTIVATIONS, "adapter", -1, T * LORA_PARTS * r, size, 0, end,
             &n->lora.u);
    if (n->o.keep != NET_KEEP_NOTHING)
        plan_add(&n->plan, PLAN_ACTIVATIONS, "dadapter", -1, T * LORA_PARTS * r, size, 0, end,
                 &n->lora.du);
    if (options(n)->dropout <= 0) return;
    plan_add(&n->plan, PLAN_ACTIVATIONS, "dropped", -1, T * widest, size, 0, end, &n->lora.x);
    plan_add(&n->plan, PLAN_DATA, "samples", -1, T, sizeof(int32_t), PLAN_ALWAYS, 0, &n->sample);
}

/* y[T,H] (+)= scale * x, with what is dropped at this site left out. */
static void drop(struct net *n, int64_t T, int64_t H, void *y, const void *x, uint32_t site,
                 bool add)
{
    op_dropout(n->device, &(struct op_dropout){.y = y,
                                               .x = x,
                                               .sample = n->sample,
                                               .pos = n->pos,
                                               .T = T,
                                               .H = H,
                                               .key = n->lora.key,
                                               .site = site,
                                               .add = add,
                                               .p = n->lora.on ? options(n)->dropout : 0,
                                               .scale = options(n)->scale,
                                               .dtype = n->o.compute});
}

/* Scales in place; nothing is dropped. */
static void scale(struct net *n, int64_t T, int64_t H, void *y)
{
    op_dropout(
        n->device,
        &(struct op_dropout){
            .y = y, .x = y, .T = T, .H = H, .scale = options(n)->scale, .dtype = n->o.compute});
}

/* A product of matrices of the compute type, the result's type as given. */
static struct op_matmul product(const struct net *n, void *c, const void *a, const void *b,
                                int64_t rows, int64_t cols, int64_t k)
{
    return (struct op_matmul){.c = c,
                              .a = a,
                              .b = b,
                              .m = rows,
                              .n = cols,
                              .k = k,
                              .ab_dtype = n->o.compute,
                              .c_dtype = n->o.compute};
}

static void *gradient(const struct net *n, size_t offset)
{
    return (char *)n->gradients + offset * dtype_size(n->real);
}

/* Elements of a matrix that part i of a block has. */
static size_t part_a(const struct net *n, const struct lora_block *k, int i)
{
    return k->a + (size_t)(i * options(n)->rank * k->in);
}

/* u[T, parts * r] = scale * x A^T of all parts at once: the same x for each. */
static void project(struct net *n, int64_t T, const struct lora_block *k, const void *x)
{
    const int64_t all = k->parts * options(n)->rank;
    struct op_matmul p = product(n, n->lora.u, x, net_weight(n, k->a), T, all, k->in);
    p.tb = true;
    op_matmul(n->device, &p);
    scale(n, T, all, n->lora.u);
}

/* The columns of u that are part i's, from x as that part's dropout leaves it (n->lora.x). */
static void project_part(struct net *n, int64_t T, const struct lora_block *k, int i, const void *x)
{
    const int64_t r = options(n)->rank;
    drop(n, T, k->in, n->lora.x, x, k->site + (uint32_t)i, false);
    struct op_matmul p = product(n, net_columns(n, n->lora.u, i * r), n->lora.x,
                                 net_weight(n, part_a(n, k, i)), T, r, k->in);
    p.tb = true;
    p.ldc = k->parts * r;
    op_matmul(n->device, &p);
}

void lora_forward(struct net *n, int64_t T, void *y, const void *x, size_t weight)
{
    const struct lora_block *k = block_of(n, weight);
    const int64_t r = options(n)->rank;
    if (!k) return;
    if (!n->lora.x) project(n, T, k, x);
    for (int i = 0; i < k->parts; i++) {
        const struct lora_part *part = &k->part[i];
        if (n->lora.x) project_part(n, T, k, i, x);
        struct op_matmul p =
            product(n, net_columns(n, y, part->column), net_columns(n, n->lora.u, i * r),
                    net_weight(n, part->b), T, part->out, r);
        p.tb = p.accumulate = true;
        p.lda = k->parts * r;
        p.ldc = k->out;
        p.c_dtype = net_result_type(n, y);
        op_matmul(n->device, &p);
    }
}

/* Through one part's dropout: dx += dropped(du A), by way of n->lora.x. */
static void dgrad_part(struct net *n, int64_t T, const struct lora_block *k, int i, void *dx)
{
    const int64_t r = options(n)->rank;
    struct op_matmul p = product(n, n->lora.x, net_columns(n, n->lora.du, i * r),
                                 net_weight(n, part_a(n, k, i)), T, k->in, r);
    p.lda = k->parts * r;
    op_matmul(n->device, &p);
    drop(n, T, k->in, dx, n->lora.x, k->site + (uint32_t)i, true);
}

/* du = dy B, which n->lora.du keeps for lora_wgrad: scaled, unless dropout scales x. */
void lora_dgrad(struct net *n, int64_t T, void *dx, const void *dy, size_t weight)
{
    const struct lora_block *k = block_of(n, weight);
    const int64_t r = options(n)->rank;
    if (!k) return;
    for (int i = 0; i < k->parts; i++) {
        const struct lora_part *part = &k->part[i];
        struct op_matmul p = product(n, net_columns(n, n->lora.du, i * r),
                                     net_columns(n, (void *)(uintptr_t)dy, part->column),
                                     net_weight(n, part->b), T, r, part->out);
        p.lda = k->out;
        p.ldc = k->parts * r;
        op_matmul(n->device, &p);
        if (n->lora.x) dgrad_part(n, T, k, i, dx);
    }
    if (n->lora.x) return;
    scale(n, T, k->parts * r, n->lora.du);
    struct op_matmul p = product(n, dx, n->lora.du, net_weight(n, k->a), T, k->in, k->parts * r);
    p.accumulate = true;
    op_matmul(n->device, &p);
}

/* A gradient [rows, cols] (+)= left^T right, the factors' rows `lda` and `ldb` apart. */
static void wgrad(struct net *n, int64_t T, size_t at, int64_t rows, int64_t cols, const void *left,
                  int64_t lda, const void *right, int64_t ldb, bool add)
{
    struct op_matmul p = product(n, gradient(n, at), left, right, rows, cols, T);
    p.ta = true;
    p.lda = lda;
    p.ldb = ldb;
    p.accumulate = add;
    p.c_dtype = n->real;
    op_matmul(n->device, &p);
}

void lora_wgrad(struct net *n, int64_t T, const void *dy, const void *x, size_t weight, bool add)
{
    const struct lora_block *k = block_of(n, weight);
    const int64_t r = options(n)->rank;
    if (!k) return;
    const int64_t all = k->parts * r;
    if (!n->lora.x) {
        project(n, T, k, x);
        wgrad(n, T, k->a, all, k->in, n->lora.du, all, x, k->in, add);
    }
    for (int i = 0; i < k->parts; i++) {
        const struct lora_part *part = &k->part[i];
        if (n->lora.x) {
            project_part(n, T, k, i, x);
            wgrad(n, T, part_a(n, k, i), r, k->in, net_columns(n, n->lora.du, i * r), all,
                  n->lora.x, k->in, add);
        }
        wgrad(n, T, part->b, part->out, r, net_columns(n, (void *)(uintptr_t)dy, part->column),
              k->out, net_columns(n, n->lora.u, i * r), all, add);
    }
}

/* ---- values ---- */
void lora_drop(struct net *n, bool on, uint64_t step)
{
    n->lora.on = on && n->lora.x;
    n->lora.key = rng_u64(options(n)->seed, RNG_DROPOUT, step, 0);
}

static bool is_a(const struct param *p) { return strstr(p->name, ".lora_A.") != NULL; }

int lora_start(struct net *n, uint64_t seed, void *master, struct err *e)
{
    for (size_t i = 0; i < n->params.count; i++) {
        const struct param *p = &n->params.p[i];
        if (!p->adapter) continue;
        float *v = mem_alloc(p->n, sizeof *v, e);
        if (!v) return -1;
        const double bound = is_a(p) ? 1 / sqrt((double)p->shape[1]) : 0;
        const uint64_t stream = hash64(p->name, strlen(p->name), 0);
        for (size_t j = 0; j < p->n; j++)
            v[j] = (float)(bound * (2 * rng_uniform(seed, RNG_INIT, stream, j) - 1));
        net_set(n, master, p->offset, p->n, v);
        mem_free(v);
    }
    return 0;
}

static bool peft_has(void *arg, const char *module)
{
    char param[PEFT_MAX_NAME];
    snprintf(param, sizeof param, "%s.weight", module);
    return peft_find(arg, PEFT_A, param) != NULL;
}

struct lora_options lora_of_peft(const struct peft *p)
{
    return (struct lora_options){.rank = p->config.rank,
                                 .scale = peft_scale(&p->config),
                                 .target = peft_has,
                                 .arg = (void *)(uintptr_t)p};
}

static int load_one(struct net *n, const struct param *p, const struct hf_tensor *t, void *master,
                    struct err *e)
{
    float *v = mem_alloc(p->n, sizeof *v, e);
    if (!v) return -1;
    int rc = t->count == p->n ? hf_to_f32(t->dtype, t->data, p->n, v) : -1;
    if (rc)
        err_set(e, ERR_DATA, "%s: tensor %s has another size or type than the run's", t->file,
                t->name);
    else
        net_set(n, p->trained ? master : NULL, p->offset, p->n, v);
    mem_free(v);
    return rc;
}

/* The adapter's tensor for a parameter of the net; NULL: it has none. */
static const struct hf_tensor *tensor_of(const struct peft *p, const struct param *x)
{
    char full[2 * PEFT_MAX_NAME], base[PEFT_MAX_NAME];
    enum peft_role role;
    peft_tensor_name(PEFT_SAVED, x->name, full, sizeof full);
    return peft_tensor_role(full, &role, base) == 0 ? peft_find(p, role, base) : NULL;
}

/* t: what the adapter has for x, or NULL. A run trains what its adapter has and nothing else; else
 * its next checkpoint would not be what it computes with. Who only evaluates takes the rest from
 * the base. */
static int check_part(const struct net *n, const struct peft *p, const struct param *x,
                      const struct hf_tensor *t, struct err *e)
{
    const bool runs = n->o.keep != NET_KEEP_NOTHING;
    if (t && !x->trained)
        return err_set(e, ERR_DATA,
                       "%s: the adapter has %s, which this run does not train; leave "
                       "additional_target as it was",
                       p->dir, x->name);
    if (!t && (x->adapter || (runs && x->trained)))
        return err_set(e, ERR_DATA,
                       "%s: the adapter has no %s, which this run trains; leave lora_target and "
                       "additional_target as they were",
                       p->dir, x->name);
    return 0;
}

int lora_load(struct net *n, const struct peft *p, void *master, struct err *e)
{
    size_t used = 0;
    for (size_t i = 0; i < n->params.count; i++) {
        const struct param *x = &n->params.p[i];
        const struct hf_tensor *t = tensor_of(p, x);
        if (check_part(n, p, x, t, e)) return -1;
        if (t && load_one(n, x, t, master, e)) return -1;
        used += x->adapter;
    }
    for (size_t i = 0; i < p->count; i++) used -= p->list[i].role != PEFT_SAVED;
    if (used)
        return err_set(e, ERR_DATA,
                       "%s: the adapter has matrices for layers that this run does "
                       "not adapt; leave lora_target as it was",
                       p->dir);
    return 0;
}
