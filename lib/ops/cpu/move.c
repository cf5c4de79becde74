/* SPDX-License-Identifier: Apache-2.0 */
/* Operations that move or add rows. Limit: memory bandwidth. */
#include "ops/cpu/cpu.h"

enum {
    CHUNK = 1 << 14, /* elements of one piece of an elementwise loop */
    COLUMNS = 64,    /* columns of one piece of a sum over rows */
};

INLINE void copy_row(void *y, int64_t to, const void *x, int64_t from, int64_t H, enum dtype t)
{
    memcpy(elem(y, to * H, t), elem(x, from * H, t), (size_t)H * dtype_size(t));
}

/* Returns the row of an id in a matrix of the ids [first, first + V); negative: none. */
INLINE int64_t row_of(int32_t id, int64_t first, int64_t V)
{
    const int64_t row = id - first;
    return row < V ? row : -1;
}

INLINE void embed_row(const struct op_embed *a, int64_t t)
{
    const int64_t row = row_of(a->ids[t], a->first, a->V);
    if (row >= 0)
        copy_row(a->y, t, a->w, row, a->H, a->dtype);
    else
        memset(elem(a->y, t * a->H, a->dtype), 0, (size_t)a->H * dtype_size(a->dtype));
}
CPU_OP(embed) { PARALLEL_FOR(d, t, a->T) embed_row(a, t); }

CPU_OP(gather)
{
    PARALLEL_FOR(d, i, a->n)
    if (a->rows[i] >= 0) copy_row(a->y, i, a->x, a->rows[i], a->H, a->dtype);
}

/* Piece i clears the rows before its own and copies its row; the piece after the last only clears.
 */
CPU_OP(scatter)
{
    PARALLEL_FOR(d, i, a->n + 1)
    {
        int64_t from = i ? a->rows[i - 1] + 1 : 0, to = i < a->n ? a->rows[i] : a->T;
        memset(elem(a->y, from * a->H, a->dtype), 0,
               (size_t)((to - from) * a->H) * dtype_size(a->dtype));
        if (i < a->n) copy_row(a->y, to, a->x, i, a->H, a->dtype);
    }
}

/* Calls f(..., type, type of the gradient), so that f is compiled for each pair. */
#define BY_GRADIENT(t, to, f, ...)                                                                 \
    ((t) != DT_BF16    ? f(__VA_ARGS__, DT_F32, to)                                                \
     : (to) == DT_BF16 ? f(__VA_ARGS__, DT_BF16, DT_BF16)                                          \
                       : f(__VA_ARGS__, DT_BF16, DT_F32))

/* Adds the rows of a distinct id in order, `n` vectors from column i on at a time in registers, and
 * rounds once. */
INLINE void embed_grad_vectors(const struct op_embed_grad *a, int64_t u, int64_t i, int n,
                               enum dtype t, enum dtype to)
{
    enum { MOST = 4 };
    const int32_t begin = a->starts[u], end = a->starts[u + 1];
    const int64_t id = row_of(a->ids[a->order[begin]], a->first, a->V);
    const int64_t at = id * a->H + i, left = a->H - i;
    vf sum[MOST];
    for (int j = 0; j < n; j++) sum[j] = v_get(a->dw, at + j * VL, to, left - j * VL);
    for (int32_t k = begin; k < end; k++)
        for (int j = 0; j < n; j++)
            sum[j] += v_get(a->dy, a->order[k] * a->H + i + j * VL, t, left - j * VL);
    for (int j = 0; j < n; j++) v_put(a->dw, at + j * VL, to, left - j * VL, sum[j]);
}
INLINE void embed_grad_id(const struct op_embed_grad *a, int64_t u, enum dtype t, enum dtype to)
{
    int64_t i = 0;
    if (row_of(a->ids[a->order[a->starts[u]]], a->first, a->V) < 0) return;
    for (; i + 4 * VL <= a->H; i += 4 * VL) embed_grad_vectors(a, u, i, 4, t, to);
    for (; i < a->H; i += VL) embed_grad_vectors(a, u, i, 1, t, to);
}

/* Adds all rows in order. */
INLINE void embed_grad_columns(const struct op_embed_grad *a, int64_t from, int64_t to,
                               enum dtype t)
{
    for (int64_t token = 0; token < a->T; token++) {
        const int64_t id = row_of(a->ids[token], a->first, a->V);
        if (id < 0) continue;
        float *dw = (float *)a->dw + id * a->H;
        for (int64_t i = from; i < to; i += VL) {
            vf sum = v_get(dw, i, DT_F32, to - i) + v_get(a->dy, token * a->H + i, t, to - i);
            v_put(dw, i, DT_F32, to - i, sum);
        }
    }
}

/* Pieces are columns, which read dy sequentially, if fp32 needs no rounding and every thread gets
 * several pieces. Otherwise pieces are distinct ids; some ids have many rows, so an idle thread
 * takes the next few. The sums are equal in both cases. */
CPU_OP(embed_grad)
{
    const int64_t blocks = cpu_blocks(a->H, COLUMNS);
    if (a->dw_dtype != DT_BF16 && blocks >= 4 * d->threads) {
        PARALLEL_FOR(d, b, blocks)
        BY_DTYPE(a->dtype, embed_grad_columns, a, b * COLUMNS, cpu_min((b + 1) * COLUMNS, a->H));
        return;
    }
    PARALLEL_DYNAMIC(d, u, a->unique, 8)
    BY_GRADIENT(a->dtype, a->dw_dtype, embed_grad_id, a, u);
}

INLINE void add_chunk(const struct op_add *a, int64_t from, int64_t to, enum dtype t)
{
    for (int64_t i = from; i < to; i += VL)
        v_put(a->y, i, t, to - i, v_get(a->a, i, t, to - i) + v_get(a->b, i, t, to - i));
}
CPU_OP(add)
{
    PARALLEL_FOR(d, b, cpu_blocks(a->n, CHUNK))
    BY_DTYPE(a->dtype, add_chunk, a, b * CHUNK, cpu_min((b + 1) * CHUNK, a->n));
}

CPU_OP(zero)
{
    const int64_t bytes = (int64_t)a->bytes;
    PARALLEL_FOR(d, b, cpu_blocks(bytes, CHUNK))
    memset((char *)a->y + b * CHUNK, 0, (size_t)cpu_min(CHUNK, bytes - b * CHUNK));
}

INLINE void cast_chunk(const struct op_cast *a, int64_t begin, int64_t end, enum dtype from)
{
    const enum dtype to = from == DT_BF16 ? DT_F32 : DT_BF16;
    for (int64_t i = begin; i < end; i += VL)
        v_put(a->y, i, to, end - i, v_get(a->x, i, from, end - i));
}
CPU_OP(cast)
{
    PARALLEL_FOR(d, b, cpu_blocks(a->n, CHUNK))
    {
        const int64_t from = b * CHUNK, to = cpu_min((b + 1) * CHUNK, a->n);
        if (a->to == a->from)
            memcpy(elem(a->y, from, a->to), elem(a->x, from, a->to),
                   (size_t)(to - from) * dtype_size(a->to));
        else
            BY_DTYPE(a->from, cast_chunk, a, from, to);
    }
}

CPU_OP(copy_rows)
{
    PARALLEL_FOR(d, r, a->rows)
    memcpy((char *)a->y + (size_t)r * a->y_stride, (const char *)a->x + (size_t)r * a->x_stride,
           a->bytes);
}

/* Adds rows in blocks, to limit the rounding error of long sums. */
INLINE void bias_grad_columns(const struct op_bias_grad *a, int64_t from, int64_t to, enum dtype t)
{
    enum { ROWS = 64 };
    for (int64_t i = from; i < to; i += VL) {
        vf sum = v_get(a->db, i, a->db_dtype, to - i);
        for (int64_t block = 0; block < a->T; block += ROWS) {
            vf part = v_set(0);
            for (int64_t row = block; row < cpu_min(block + ROWS, a->T); row++)
                part += v_get(a->dy, row * a->n + i, t, to - i);
            sum += part;
        }
        v_put(a->db, i, a->db_dtype, to - i, sum);
    }
}
CPU_OP(bias_grad)
{
    PARALLEL_FOR(d, b, cpu_blocks(a->n, COLUMNS))
    BY_DTYPE(a->dtype, bias_grad_columns, a, b * COLUMNS, cpu_min((b + 1) * COLUMNS, a->n));
}
