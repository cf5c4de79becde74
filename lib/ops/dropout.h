/* SPDX-License-Identifier: Apache-2.0 */
/* The definition of the elements that dropout drops, shared by all backends.
 *
 * Columns are grouped into tiles of 128. In the tile that begins at column 128 k, lane l in 0..15
 * draws Philox4x32-10 with counter (pos, sample, 16 k + l, site | RNG_DROPOUT << 24). The result is
 * eight 16-bit numbers, low halves of words first; number j decides on column 128 k + 16 j + l. The
 * element is dropped when the number is below p * 2^16. Vectors of 4, 8 or 16 lanes therefore need
 * no shuffle. */
#ifndef SFT_OPS_DROPOUT_H
#define SFT_OPS_DROPOUT_H

#include "base/rng.h"
#include "ops/ops.h"

enum { DROPOUT_TILE = 128, DROPOUT_LANES = 16, DROPOUT_EACH = 8 };

/* Returns the bound in [0, 2^16) below which a number drops its element. */
static inline uint32_t dropout_bound(const struct op_dropout *a)
{
    double n = a->p * 65536 + 0.5;
    return n >= 65535 ? 65535 : n > 0 ? (uint32_t)n : 0;
}
/* Returns the factor of the elements that stay; the expected value is scale * x. */
static inline double dropout_factor(const struct op_dropout *a)
{
    return a->scale / (1 - dropout_bound(a) / 65536.0);
}
static inline uint32_t dropout_site(const struct op_dropout *a)
{
    return (a->site & 0xffffff) | (uint32_t)RNG_DROPOUT << 24;
}

#endif
