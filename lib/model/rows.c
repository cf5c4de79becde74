/* SPDX-License-Identifier: Apache-2.0 */
/* Sequence parallelism: the rows of the residual stream that a rank has. */
#include "model/model_impl.h"
#include "parallel/collect.h"

bool rows_cut(const struct weights *w) { return w->made.sequence && collect_size(w->tp) > 1; }

int64_t rows_own(const struct weights *w, int64_t T)
{
    const int64_t ranks = rows_cut(w) ? collect_size(w->tp) : 1;
    return (T + ranks - 1) / ranks;
}

int64_t rows_all(const struct weights *w, int64_t T)
{
    return rows_cut(w) ? rows_own(w, T) * collect_size(w->tp) : T;
}

/* Returns the elements of this rank's rows. */
static size_t count(const struct weights *w, int64_t T)
{
    return (size_t)(rows_own(w, T) * w->m.hidden);
}

void *rows_part(const struct weights *w, int64_t T, void *x, enum dtype t)
{
    if (!x || !rows_cut(w)) return x;
    return (char *)x + (size_t)collect_rank(w->tp) * count(w, T) * dtype_size(t);
}

void rows_sum(const struct weights *w, int64_t T, void *x, enum dtype t)
{
    if (rows_cut(w))
        collect_reduce_scatter(w->device, w->tp, rows_part(w, T, x, t), x, count(w, T), t);
    else
        collect_sum(w->device, w->tp, x, count(w, T), t);
    collect_join(w->device, w->tp);
}

void *rows_gather(const struct weights *w, int64_t T, void *x, void *own, enum dtype t)
{
    if (!rows_cut(w)) return own;
    collect_all_gather(w->device, w->tp, x, own, count(w, T), t);
    collect_join(w->device, w->tp);
    return x;
}

double rows_embed_scale(const struct weights *w)
{
    const double x = w->m.embed_scale;
    if (!w->m.embed_scale_rounded || w->compute == DT_F64) return x;
    const float f = (float)x;
    return (double)(w->compute == DT_BF16 ? bf16_to_f32(bf16_from_f32(f)) : f);
}

void rows_scale(const struct weights *w, void *y, const void *x, int64_t rows, double factor,
                enum dtype t)
{
    if (factor == 1 || rows == 0) return;
    op_dropout(w->device,
               &(struct op_dropout){
                   .y = y, .x = x, .T = rows, .H = w->m.hidden, .scale = factor, .dtype = t});
}

int64_t stage_rows(const struct stage *s, int64_t T) { return rows_own(s->w, T); }
