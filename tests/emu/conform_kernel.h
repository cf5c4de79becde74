/* SPDX-License-Identifier: Apache-2.0 */
/* Forms whose kernel is ordinary CUDA C++ or a few instructions. */
#ifndef CONFORM_KERNEL_H
#define CONFORM_KERNEL_H

#include "conform.h"

/* A kernel in which each of blocks x threads threads leaves words words in o. body sees i, the
 * thread, in and o; the last argument sets w likewise on the host. */
#define KERNEL(name, blocks_, threads_, words_, body, ...)                                         \
    KERNEL_(__COUNTER__, name, blocks_, threads_, words_, body, __VA_ARGS__)
#define KERNEL_(id, name, blocks_, threads_, words_, body, ...)                                    \
    static __global__ void CAT(kernel_, id)(const void *in_, void *out)                            \
    {                                                                                              \
        const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;                                  \
        [[maybe_unused]] const uint32_t *in = (const uint32_t *)in_;                               \
        [[maybe_unused]] uint32_t *o = (uint32_t *)out + i * words_;                               \
        body                                                                                       \
    }                                                                                              \
    static int CAT(want_, id)(const struct form *, const void *in_, void *want)                    \
    {                                                                                              \
        [[maybe_unused]] const uint32_t *in = (const uint32_t *)in_;                               \
        for (uint32_t i = 0; i < (blocks_) * (threads_); i++) {                                    \
            uint32_t *w = (uint32_t *)want + i * words_;                                           \
            __VA_ARGS__;                                                                           \
        }                                                                                          \
        return 1;                                                                                  \
    }                                                                                              \
    FORM(with_want(                                                                                \
        with_blocks(form_new(name, "u32", CAT(kernel_, id), threads_, 4 * (blocks_) * (threads_),  \
                             4 * (words_) * (blocks_) * (threads_)),                               \
                    blocks_),                                                                      \
        CAT(want_, id)))
static inline struct form with_blocks(struct form f, unsigned blocks)
{
    f.blocks = blocks;
    return f;
}

#endif
