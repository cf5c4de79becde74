/* SPDX-License-Identifier: Apache-2.0 */
/* The forward and backward passes of adapters. The backward pass recomputes x A^T [T, r]: to store
 * it for every layer would cost as much memory as another residual stream if r is in the hundreds.
 */
#include "base/rng.h"
#include "model/model_impl.h"

const struct lora_block *lora_block_of(const struct weights *w, size_t weight)
{
    for (size_t i = 0; i < w->params.nlora; i++)
        if (w->params.lora[i].parts && w->params.lora[i].weight == weight)
            return &w->params.lora[i];
    return NULL;
}

/* Returns the largest input width of an adapted block, or 0 if no block is adapted. */
static size_t widest(const struct weights *w)
{
    size_t most = 0;
    for (size_t i = 0; i < w->params.nlora; i++)
        if (w->params.lora[i].parts && (size_t)w->params.lora[i].in > most)
            most = (size_t)w->params.lora[i].in;
    return most;
}

void lora_plan(struct stage *s, struct plan *plan, int end)
{
    const struct weights *w = s->w;
    const size_t T = (size_t)s->o.tokens, size = dtype_size(w->compute), in = widest(w);
    size_t n = T * LORA_PARTS * (size_t)w->lora.rank;
    if (!in) return;
    if (lora_experts_size(s) > n) n = lora_experts_size(s);
    plan_add(plan, PLAN_ACTIVATIONS, "adapter", -1, n, size, 0, end, &s->lora.u);
    if (w->has_gradients)
        plan_add(plan, PLAN_ACTIVATIONS, "dadapter", -1, n, size, 0, end, &s->lora.du);
    if (w->lora.dropout <= 0) return;
    plan_add(plan, PLAN_ACTIVATIONS, "dropped", -1, T * in, size, 0, end, &s->lora.x);
}

/* Computes y[T,in] = scale * dropout(x) with the mask of part i of a block, or adds it to y. */
static void drop(struct stage *s, const struct pass *p, const struct lora_block *k, int i, void *y,
                 const void *x, bool add)
{
    const struct weights *w = s->w;
    op_dropout(w->device, &(struct op_dropout){.y = y,
                                               .x = x,
                                               .sample = p->sample,
                                               .pos = p->pos,
                                               .T = rows_all(s->w, p->b.T),
                                               .H = k->in,
                                               .first = k->first,
                                               .key = s->lora.key,
                                               .site = k->site + (uint32_t)i,
                                               .add = add,
                                               .p = s->lora.on ? w->lora.dropout : 0,
                                               .scale = w->lora.scale,
                                               .dtype = w->compute});
}

/* Scales in place, without dropout. */
static void scale(struct stage *s, const struct pass *p, int64_t H, void *y)
{
    const struct weights *w = s->w;
    op_dropout(w->device, &(struct op_dropout){.y = y,
                                               .x = y,
                                               .T = rows_all(s->w, p->b.T),
                                               .H = H,
                                               .scale = w->lora.scale,
                                               .dtype = w->compute});
}

/* Queues a product of matrices of the compute type. */
static struct op_matmul product(const struct stage *s, void *c, const void *a, const void *b,
                                int64_t rows, int64_t cols, int64_t k)
{
    return (struct op_matmul){.c = c,
                              .a = a,
                              .b = b,
                              .m = rows,
                              .n = cols,
                              .k = k,
                              .ab_dtype = s->w->compute,
                              .c_dtype = s->w->compute};
}

/* Returns the offset of A of part i of a block. */
static size_t part_a(const struct stage *s, const struct lora_block *k, int i)
{
    return k->a + (size_t)(i * s->w->lora.rank * k->in);
}

/* Computes u[T, parts * r] = scale * x A^T of all parts at once; all parts read the same x. */
static void project(struct stage *s, const struct pass *p, const struct lora_block *k,
                    const void *x)
{
    const int64_t all = k->parts * s->w->lora.rank;
    struct op_matmul mm =
        product(s, s->lora.u, x, weights_at(s->w, k->a), rows_all(s->w, p->b.T), all, k->in);
    mm.tb = true;
    op_matmul(s->w->device, &mm);
    scale(s, p, all, s->lora.u);
}

/* Computes the columns of u of part i from x after the dropout of that part (s->lora.x). */
static void project_part(struct stage *s, const struct pass *p, const struct lora_block *k, int i,
                         const void *x)
{
    const int64_t r = s->w->lora.rank;
    drop(s, p, k, i, s->lora.x, x, false);
    struct op_matmul mm =
        product(s, stage_columns(s, s->lora.u, i * r), s->lora.x, weights_at(s->w, part_a(s, k, i)),
                rows_all(s->w, p->b.T), r, k->in);
    mm.tb = true;
    mm.ldc = k->parts * r;
    op_matmul(s->w->device, &mm);
}

void lora_forward(struct stage *s, const struct pass *p, void *y, enum dtype t, const void *x,
                  size_t weight)
{
    const struct lora_block *k = lora_block_of(s->w, weight);
    const int64_t r = s->w->lora.rank;
    if (!k) return;
    if (!s->lora.x) project(s, p, k, x);
    for (int i = 0; i < k->parts; i++) {
        const struct lora_part *part = &k->part[i];
        if (s->lora.x) project_part(s, p, k, i, x);
        struct op_matmul mm =
            product(s, stage_columns(s, y, part->column), stage_columns(s, s->lora.u, i * r),
                    weights_at(s->w, part->b), rows_all(s->w, p->b.T), part->out, r);
        mm.tb = mm.accumulate = true;
        mm.lda = k->parts * r;
        mm.ldc = k->out;
        mm.c_dtype = t;
        op_matmul(s->w->device, &mm);
    }
}

/* Applies the backward pass of one part's dropout: dx += dropped(du A). s->lora.x is scratch. */
static void dgrad_part(struct stage *s, const struct pass *p, const struct lora_block *k, int i,
                       void *dx)
{
    const int64_t r = s->w->lora.rank;
    struct op_matmul mm =
        product(s, s->lora.x, stage_columns(s, s->lora.du, i * r),
                weights_at(s->w, part_a(s, k, i)), rows_all(s->w, p->b.T), k->in, r);
    mm.lda = k->parts * r;
    op_matmul(s->w->device, &mm);
    drop(s, p, k, i, dx, s->lora.x, true);
}

/* Computes the columns of du = dy B of part i, without the scale. */
static void dproject_part(struct stage *s, const struct pass *p, const struct lora_block *k, int i,
                          const void *dy)
{
    const int64_t r = s->w->lora.rank;
    const struct lora_part *part = &k->part[i];
    struct op_matmul mm = product(s, stage_columns(s, s->lora.du, i * r),
                                  stage_columns(s, (void *)(uintptr_t)dy, part->column),
                                  weights_at(s->w, part->b), rows_all(s->w, p->b.T), r, part->out);
    mm.lda = k->out;
    mm.ldc = k->parts * r;
    op_matmul(s->w->device, &mm);
}

/* du is scaled, unless dropout scales x. */
void lora_dproject(struct stage *s, const struct pass *p, const void *dy, size_t weight)
{
    const struct lora_block *k = lora_block_of(s->w, weight);
    if (!k) return;
    for (int i = 0; i < k->parts; i++) dproject_part(s, p, k, i, dy);
    if (!s->lora.x) scale(s, p, k->parts * s->w->lora.rank, s->lora.du);
}

void lora_dgrad(struct stage *s, const struct pass *p, void *dx, const void *dy, size_t weight)
{
    const struct lora_block *k = lora_block_of(s->w, weight);
    if (!k) return;
    lora_dproject(s, p, dy, weight);
    for (int i = 0; i < k->parts && s->lora.x; i++) dgrad_part(s, p, k, i, dx);
    if (s->lora.x) return;
    struct op_matmul mm = product(s, dx, s->lora.du, weights_at(s->w, k->a), rows_all(s->w, p->b.T),
                                  k->in, k->parts * s->w->lora.rank);
    mm.accumulate = true;
    op_matmul(s->w->device, &mm);
}

/* Sets the gradient at offset `at` to left^T right, where left and right are the factors of the
 * product mm; with add, adds to it. */
static void wgrad(struct stage *s, size_t at, struct op_matmul mm, bool add)
{
    mm.c = weights_gradient(s->w, at);
    mm.ta = true;
    mm.accumulate = add;
    mm.c_dtype = s->w->gradient;
    op_matmul(s->w->device, &mm);
}

/* Computes dA of part i, with dropout. project_part leaves the dropped x, and part i of u for dB.
 */
static void wgrad_dropped(struct stage *s, const struct pass *p, const struct lora_block *k, int i,
                          const void *x, bool add)
{
    const int64_t r = s->w->lora.rank;
    project_part(s, p, k, i, x);
    struct op_matmul mm = product(s, NULL, stage_columns(s, s->lora.du, i * r), s->lora.x, r, k->in,
                                  rows_all(s->w, p->b.T));
    mm.lda = k->parts * r;
    wgrad(s, part_a(s, k, i), mm, add);
}

void lora_wgrad(struct stage *s, const struct pass *p, const void *dy, const void *x, size_t weight,
                bool add)
{
    const struct lora_block *k = lora_block_of(s->w, weight);
    const int64_t r = s->w->lora.rank;
    if (!k) return;
    const int64_t all = k->parts * r;
    if (!s->lora.x) {
        project(s, p, k, x);
        wgrad(s, k->a, product(s, NULL, s->lora.du, x, all, k->in, rows_all(s->w, p->b.T)), add);
    }
    for (int i = 0; i < k->parts; i++) {
        const struct lora_part *part = &k->part[i];
        if (s->lora.x) wgrad_dropped(s, p, k, i, x, add);
        struct op_matmul mm =
            product(s, NULL, stage_columns(s, (void *)(uintptr_t)dy, part->column),
                    stage_columns(s, s->lora.u, i * r), part->out, r, rows_all(s->w, p->b.T));
        mm.lda = k->out;
        mm.ldb = all;
        wgrad(s, part->b, mm, add);
    }
}

void lora_drop(struct stage *s, bool on, uint64_t step)
{
    s->lora.on = on && s->lora.x;
    s->lora.key = rng_u64(s->w->lora.seed, RNG_DROPOUT, step, 0);
}
