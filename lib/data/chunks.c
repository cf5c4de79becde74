/* SPDX-License-Identifier: Apache-2.0 */
/* The sizes of chunks in closed form. */
#include "data/chunks.h"

/* Returns the place of chunk c in the turn: the first chunks of all ranks, then the second. */
static int64_t turn_of(const struct chunks *k, int c)
{
    return c < k->ranks ? c : 3 * k->ranks - 1 - c;
}

int64_t chunks_begin(const struct chunks *k, int64_t n, int c)
{
    const int64_t all = 2 * (int64_t)k->ranks, rest = n % all, next = k->more % all;
    int64_t at = n / all * c;
    for (int i = 0; i < c; i++) at += (turn_of(k, i) - next + all) % all < rest;
    return at;
}

int64_t chunks_tokens(const struct chunks *k, int rank)
{
    return k->equal + k->more / k->ranks + (rank < k->more % k->ranks);
}

void chunks_add(struct chunks *k, int64_t n)
{
    const int64_t all = 2 * (int64_t)k->ranks;
    k->equal += n / all * 2;
    k->more += n % all;
}
