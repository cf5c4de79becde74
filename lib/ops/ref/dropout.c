/* SPDX-License-Identifier: Apache-2.0 */
/* Reference of dropout. */
#include "ops/dropout.h"
#include "ref.h"

static bool is_dropped(const struct op_dropout *a, int64_t t, int64_t column)
{
    const int64_t tile = column / DROPOUT_TILE, i = column % DROPOUT_TILE;
    const int64_t lane = i % DROPOUT_LANES, number = i / DROPOUT_LANES;
    const uint32_t counter[4] = {(uint32_t)a->pos[t], (uint32_t)a->sample[t],
                                 (uint32_t)(tile * DROPOUT_LANES + lane), dropout_site(a)};
    const uint32_t key[2] = {(uint32_t)a->key, (uint32_t)(a->key >> 32)};
    uint32_t word[4];
    rng_philox(counter, key, word);
    return (word[number / 2] >> (number % 2 * 16) & 0xffff) < dropout_bound(a);
}

REF_OP(dropout)
{
    const REAL factor = (REAL)dropout_factor(a);
    const bool some = dropout_bound(a) > 0;
    for (int64_t t = 0; t < a->T; t++)
        for (int64_t i = 0; i < a->H; i++) {
            const int64_t at = t * a->H + i;
            REAL y = some && is_dropped(a, t, a->first + i) ? 0 : factor * get(a->x, at, a->dtype);
            put(a->y, at, a->dtype, a->add ? get(a->y, at, a->dtype) + y : y);
        }
}
