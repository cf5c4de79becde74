/* SPDX-License-Identifier: Apache-2.0 */
/* The forward and backward passes of the adapters of experts, as products of the rows that
 * op_dispatch has sorted by expert: u = scale * x A^T, y += u B^T. */
#include "model/model_impl.h"

size_t lora_experts_size(const struct stage *s)
{
    const struct params *t = &s->w->params;
    int64_t most = 0;
    for (size_t i = 0; i < t->nlora; i++)
        if (t->lora[i].parts && t->lora[i].experts && t->lora[i].rank > most)
            most = t->lora[i].rank;
    return most ? (size_t)(dispatch_most(s) * dispatch_width(s) * most) : 0;
}

/* Describes c[rows,n] = x[rows,k] times each expert's matrix b. */
static struct op_grouped product(const struct stage *s, const struct pass *p,
                                 const struct activations *a, void *c, const void *x, const void *b,
                                 int64_t n, int64_t k)
{
    struct op_grouped g = experts_product(s, p, a, b, n, k);
    g.c = c;
    g.a = x;
    return g;
}

/* Multiplies u[rows,r] by the scale. Rows that no expert has are scaled too, and never read. */
static void scale(const struct stage *s, const struct pass *p, const struct activations *a,
                  int64_t r, void *u)
{
    const struct weights *w = s->w;
    op_dropout(w->device, &(struct op_dropout){.y = u,
                                               .x = u,
                                               .T = dispatch_rows(s, p, a),
                                               .H = r,
                                               .scale = w->lora.scale,
                                               .dtype = w->compute});
}

/* Computes u[R,r] = scale * x A^T. */
static void project(const struct stage *s, const struct pass *p, const struct activations *a,
                    const struct lora_block *k, const void *x, int64_t in)
{
    const struct weights *w = s->w;
    struct op_grouped g = product(s, p, a, s->lora.u, x, weights_at(w, k->a), k->rank, in);
    g.tb = true;
    op_grouped(w->device, &g);
    scale(s, p, a, k->rank, s->lora.u);
}

/* Computes du[R,r] = scale * dy B. */
static void dproject(const struct stage *s, const struct pass *p, const struct activations *a,
                     const struct lora_block *k, const void *dy)
{
    const struct weights *w = s->w;
    const struct lora_part *part = &k->part[0];
    const struct op_grouped g =
        product(s, p, a, s->lora.du, dy, weights_at(w, part->b), k->rank, part->out);
    op_grouped(w->device, &g);
    scale(s, p, a, k->rank, s->lora.du);
}

void lora_experts_forward(const struct stage *s, const struct pass *p, const struct activations *a,
                          void *y, const void *x, size_t weight, int64_t in)
{
    const struct weights *w = s->w;
    const struct lora_block *k = lora_block_of(w, weight);
    if (!k) return;
    const struct lora_part *part = &k->part[0];
    project(s, p, a, k, x, in);
    struct op_grouped g =
        product(s, p, a, y, s->lora.u, weights_at(w, part->b), part->out, k->rank);
    g.tb = g.accumulate = true;
    op_grouped(w->device, &g);
}

void lora_experts_dgrad(const struct stage *s, const struct pass *p, const struct activations *a,
                        void *dx, const void *dy, size_t weight, int64_t in)
{
    const struct weights *w = s->w;
    const struct lora_block *k = lora_block_of(w, weight);
    if (!k) return;
    dproject(s, p, a, k, dy);
    struct op_grouped g = product(s, p, a, dx, s->lora.du, weights_at(w, k->a), in, k->rank);
    g.accumulate = true;
    op_grouped(w->device, &g);
}

/* Sets the gradients at offset `at` to left_e^T right_e of each expert e, or adds them. */
static void wgrad(const struct stage *s, const struct pass *p, const struct activations *a,
                  size_t at, const void *left, int64_t k, const void *right, int64_t n)
{
    const struct weights *w = s->w;
    struct op_grouped g = product(s, p, a, weights_gradient(w, at), left, right, n, k);
    g.weights = true;
    g.accumulate = !w->overwrite;
    g.c_dtype = w->gradient;
    op_grouped(w->device, &g);
}

void lora_experts_wgrad(const struct stage *s, const struct pass *p, const struct activations *a,
                        const void *dy, const void *x, size_t weight, int64_t in)
{
    const struct lora_block *k = lora_block_of(s->w, weight);
    if (!k) return;
    const struct lora_part *part = &k->part[0];
    project(s, p, a, k, x, in);
    dproject(s, p, a, k, dy);
    wgrad(s, p, a, k->a, s->lora.du, k->rank, x, in);
    wgrad(s, p, a, part->b, dy, part->out, s->lora.u, k->rank);
}
