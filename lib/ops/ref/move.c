/* SPDX-License-Identifier: Apache-2.0 */
/* Reference of the operations that move or add rows: embed, gather, scatter, add, cast, copies. */
#include "ref.h"

static void copy_row(void *y, int64_t to, const void *x, int64_t from, int64_t H, enum dtype t)
{
    memcpy(elem(y, to * H, t), elem(x, from * H, t), (size_t)H * dtype_size(t));
}

REF_OP(embed)
{
    for (int64_t t = 0; t < a->T; t++) {
        const int64_t row = a->ids[t] - a->first;
        if (row >= 0 && row < a->V)
            copy_row(a->y, t, a->w, row, a->H, a->dtype);
        else
            memset(elem(a->y, t * a->H, a->dtype), 0, (size_t)a->H * dtype_size(a->dtype));
    }
}

REF_OP(embed_grad)
{
    const enum dtype to = kept_as(a->dw_dtype, real_of(a->dtype));
    for (int64_t u = 0; u < a->unique; u++) {
        const int64_t id = a->ids[a->order[a->starts[u]]] - a->first;
        for (int64_t i = 0; i < a->H && id >= 0 && id < a->V; i++) {
            const int64_t at = id * a->H + i;
            REAL sum = get(a->dw, at, to);
            for (int32_t k = a->starts[u]; k < a->starts[u + 1]; k++)
                sum += get(a->dy, a->order[k] * a->H + i, a->dtype);
            put(a->dw, at, to, sum);
        }
    }
}

REF_OP(gather)
{
    for (int64_t i = 0; i < a->n; i++)
        if (a->rows[i] >= 0) copy_row(a->y, i, a->x, a->rows[i], a->H, a->dtype);
}

REF_OP(scatter)
{
    memset(a->y, 0, (size_t)(a->T * a->H) * dtype_size(a->dtype));
    for (int64_t i = 0; i < a->n; i++) copy_row(a->y, a->rows[i], a->x, i, a->H, a->dtype);
}

REF_OP(add)
{
    for (int64_t i = 0; i < a->n; i++)
        put(a->y, i, a->dtype, get(a->a, i, a->dtype) + get(a->b, i, a->dtype));
}

REF_OP(zero) { memset(a->y, 0, a->bytes); }

REF_OP(cast)
{
    for (int64_t i = 0; i < a->n; i++) put(a->y, i, a->to, get(a->x, i, a->from));
}

REF_OP(copy_rows)
{
    for (int64_t r = 0; r < a->rows; r++)
        memcpy((char *)a->y + (size_t)r * a->y_stride, (const char *)a->x + (size_t)r * a->x_stride,
               a->bytes);
}
