/* SPDX-License-Identifier: Apache-2.0 */
/* Inside wgmma: its instruction, and the stages of a product. */
#ifndef EMU_WGMMA_IMPL_H
#define EMU_WGMMA_IMPL_H

#include "wgmma.h"

/* Properties of wgmma.mma_async; instr.count is N / 8, compare and combine the types of A and B. */
static inline int wgmma_n(const struct instr *i) { return i->count * 8; }
static inline int wgmma_size(const struct instr *i)
{
    return i->compare <= W_F16 ? 2 : i->compare == W_TF32 ? 4 : 1;
}
static inline int wgmma_depth(const struct instr *i) { return 32 / wgmma_size(i); }
static inline bool wgmma_a_registers(const struct instr *i) { return group_size(i, 1) == 4; }
/* Returns whether A (0) or B (1) is transposed, by the last immediates. */
static inline bool wgmma_transposed(const struct instr *i, int which)
{
    if (wgmma_size(i) != 2) return false;
    return operand(i, which ? i->groups - 1 : 6)->constant->narrow[0] & 1;
}
/* Returns the product of the signs of A and B. */
static inline int wgmma_sign(const struct instr *i)
{
    if (i->groups < 6) return 1;
    return (int32_t)operand(i, 4)->constant->narrow[0] *
           (int32_t)operand(i, 5)->constant->narrow[0];
}

/* Checks and marks the shared memory that a warp's part of a product reads. */
void wgmma_begin(struct warp *w, const struct wgmma *x);
/* Computes it, and ends what wgmma_begin began. before, after: the warp's products that end with
 * it, or NULL. */
void wgmma_end(struct warp *w, const struct wgmma *x, const struct wgmma *before,
               const struct wgmma *after);
/* Returns whether two products have the same registers of D. */
bool wgmma_same_accumulators(const struct instr *a, const struct instr *b);

#endif
