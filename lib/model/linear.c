/* SPDX-License-Identifier: Apache-2.0 */
/* The forward and backward passes of linear layers: a matrix product, plus the product of the
 * adapters. */
#include "model/model_impl.h"

/* Returns the type of a product that is written to y. A product that is added to the residual
 * stream (s->branch) has the accumulation type. */
static enum dtype linear_type(const struct stage *s, const void *y)
{
    return y == s->branch ? s->w->accum : s->w->compute;
}

void matrix_forward(const struct weights *w, int64_t rows, void *y, enum dtype t, const void *x,
                    size_t weight, int64_t out, int64_t in, bool add)
{
    op_matmul(w->device, &(struct op_matmul){.c = y,
                                             .a = x,
                                             .b = weights_at(w, weight),
                                             .m = rows,
                                             .n = out,
                                             .k = in,
                                             .tb = true,
                                             .accumulate = add,
                                             .ab_dtype = w->compute,
                                             .c_dtype = t});
}

void linear_forward(struct stage *s, const struct pass *p, void *y, const void *x, size_t weight,
                    const void *bias, int64_t out, int64_t in)
{
    const struct weights *w = s->w;
    const bool sums = y == s->branch; /* sum over ranks: each has a part of `in` */
    op_matmul(w->device, &(struct op_matmul){.c = y,
                                             .a = x,
                                             .b = weights_at(w, weight),
                                             .bias = sums && !parallel_adds(w) ? NULL : bias,
                                             .m = rows_all(w, p->b.T),
                                             .n = out,
                                             .k = in,
                                             .tb = true,
                                             .ab_dtype = w->compute,
                                             .c_dtype = linear_type(s, y)});
    lora_forward(s, p, y, linear_type(s, y), x, weight);
    if (sums) rows_sum(w, p->b.T, y, w->accum);
}

void matrix_dgrad(const struct weights *w, int64_t rows, void *dx, const void *dy, size_t weight,
                  int64_t out, int64_t in, bool add)
{
    op_matmul(w->device, &(struct op_matmul){.c = dx,
                                             .a = dy,
                                             .b = weights_at(w, weight),
                                             .m = rows,
                                             .n = in,
                                             .k = out,
                                             .accumulate = add,
                                             .ab_dtype = w->compute,
                                             .c_dtype = w->compute});
}

void matrix_wgrad(const struct weights *w, int64_t rows, const void *dy, const void *x,
                  size_t weight, int64_t out, int64_t in, bool add)
{
    if (!weights_trained(w, weight)) return;
    op_matmul(w->device, &(struct op_matmul){.c = weights_gradient(w, weight),
                                             .a = dy,
                                             .b = x,
                                             .m = out,
                                             .n = in,
                                             .k = rows,
                                             .ta = true,
                                             .accumulate = add,
                                             .ab_dtype = w->compute,
                                             .c_dtype = w->gradient});
}

void linear_dgrad(struct stage *s, const struct pass *p, void *dx, const void *dy, size_t weight,
                  int64_t out, int64_t in)
{
    matrix_dgrad(s->w, rows_all(s->w, p->b.T), dx, dy, weight, out, in, false);
    lora_dgrad(s, p, dx, dy, weight);
    if (dx == s->dh) rows_sum(s->w, p->b.T, dx, s->w->compute); /* each rank has a part of `out` */
}

void linear_wgrad(struct stage *s, const struct pass *p, const void *dy, const void *x,
                  size_t weight, int64_t out, int64_t in)
{
    const bool add = !s->w->overwrite;
    lora_wgrad(s, p, dy, x, weight, add);
    matrix_wgrad(s->w, rows_all(s->w, p->b.T), dy, x, weight, out, in, add);
}

void linear_wgrad_later(struct stage *s, const struct pass *p, const void *dy, const void *x,
                        size_t weight, int64_t out, int64_t in)
{
    lora_dproject(s, p, dy, weight);
    linear_wgrad(s, p, dy, x, weight, out, in);
}
