/* SPDX-License-Identifier: Apache-2.0 */
/* Reduces the blocks of the ranks in rank order. */
#include "comm/comm_impl.h"

#define LARGER(a, b) ((b) > (a) ? (b) : (a))
#define SUM(a, b)    ((a) + (b))

/* Makes one pass over `into` for each rank, because each pass is a loop that vectorises. */
#define FOLD(type, how)                                                                            \
    do {                                                                                           \
        type *restrict y = into;                                                                   \
        for (int r = 0; r < ranks; r++) {                                                          \
            const type *restrict x = (const type *)from + (size_t)r * n;                           \
            for (size_t i = 0; i < n; i++) y[i] = r == 0 ? x[i] : how(y[i], x[i]);                 \
        }                                                                                          \
    } while (0)

/* Reduces elements [at, at + count) of all blocks in fp32. */
enum { BF16_PIECE = 512 };
static void fold_bf16(uint16_t *into, const uint16_t *from, int ranks, size_t n, size_t at,
                      size_t count, enum comm_op op)
{
    float y[BF16_PIECE];
    for (int r = 0; r < ranks; r++) {
        const uint16_t *x = from + (size_t)r * n + at;
        for (size_t i = 0; i < count; i++) {
            const float v = bf16_to_f32(x[i]);
            y[i] = r == 0 ? v : op == COMM_SUM ? SUM(y[i], v) : LARGER(y[i], v);
        }
    }
    for (size_t i = 0; i < count; i++) into[at + i] = bf16_from_f32(y[i]);
}

void comm_fold(void *into, const void *from, int ranks, size_t n, enum dtype t, enum comm_op op)
{
    if (t == DT_BF16)
        for (size_t at = 0; at < n; at += BF16_PIECE)
            fold_bf16(into, from, ranks, n, at, n - at < BF16_PIECE ? n - at : BF16_PIECE, op);
    else if (t == DT_F32 && op == COMM_SUM)
        FOLD(float, SUM);
    else if (t == DT_F32)
        FOLD(float, LARGER);
    else if (op == COMM_SUM)
        FOLD(double, SUM);
    else
        FOLD(double, LARGER);
}
