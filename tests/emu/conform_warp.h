/* SPDX-License-Identifier: Apache-2.0 */
/* Forms in which the lanes of a warp, or the threads of a block, meet. */
#ifndef CONFORM_WARP_H
#define CONFORM_WARP_H

#include "conform.h"

/* Two values of a lane; form bodies see lane, in, a, b and set x and y. */
#define WARP_(id, name, type, threads, body, ...)                                                  \
    static __global__ void CAT(kernel_, id)(const void *in_, void *out)                            \
    {                                                                                              \
        const uint32_t lane = threadIdx.x, *in = (const uint32_t *)in_;                            \
        const uint32_t a = in[lane], b = in[threads + lane];                                       \
        uint32_t x = a, y = b;                                                                     \
        body;                                                                                      \
        ((uint32_t *)out)[lane] = x;                                                               \
        ((uint32_t *)out)[threads + lane] = y;                                                     \
    }                                                                                              \
    static int CAT(want_, id)(const struct form *, const void *in_, void *want)                    \
    {                                                                                              \
        const uint32_t *in = (const uint32_t *)in_, *as = in, *bs = in + threads;                  \
        uint32_t *xs = (uint32_t *)want, *ys = xs + threads;                                       \
        for (uint32_t lane = 0; lane < threads; lane++) {                                          \
            const uint32_t a = as[lane], b = bs[lane];                                             \
            uint32_t &x = xs[lane], &y = ys[lane];                                                 \
            x = a, y = b;                                                                          \
            __VA_ARGS__;                                                                           \
        }                                                                                          \
        return 1;                                                                                  \
    }                                                                                              \
    FORM(with_want(form_new(name, type, CAT(kernel_, id), threads, 8 * threads, 8 * threads),      \
                   CAT(want_, id)))
#define WARP(name, body, ...)           WARP_(__COUNTER__, name, "u32", 32, body, __VA_ARGS__)
#define BLOCK(name, threads, body, ...) WARP_(__COUNTER__, name, "u32", threads, body, __VA_ARGS__)

#endif
