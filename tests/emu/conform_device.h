/* SPDX-License-Identifier: Apache-2.0 */
/* Functions that the kernels of several families use. */
#ifndef CONFORM_DEVICE_H
#define CONFORM_DEVICE_H

#include "conform.h"

static __device__ __forceinline__ uint32_t shared_address(const void *p)
{
    return (uint32_t)__cvta_generic_to_shared(p);
}

static __device__ __forceinline__ void barrier_init(uint64_t *barrier, uint32_t count)
{
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)),
                 "r"(count)
                 : "memory");
}

static __device__ __forceinline__ uint32_t barrier_test(uint64_t *barrier, uint32_t parity)
{
    uint32_t done;
    asm volatile("{.reg .pred p; mbarrier.test_wait.parity.shared::cta.b64 p, [%1], %2; "
                 "selp.u32 %0, 1, 0, p;}"
                 : "=r"(done)
                 : "r"(shared_address(barrier)), "r"(parity)
                 : "memory");
    return done;
}

/* Ends the kernel with an error if the phase does not end. */
static __device__ __forceinline__ void barrier_wait(uint64_t *barrier, uint32_t parity)
{
    for (int i = 0; i < 1 << 20; i++)
        if (barrier_test(barrier, parity)) return;
    __trap();
}

#if CONFORM_SM >= 90
static __device__ __forceinline__ void barrier_expect(uint64_t *barrier, uint32_t bytes)
{
    asm volatile(
        "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)),
        "r"(bytes)
        : "memory");
}
#endif

static __device__ __forceinline__ void copy_words(void *to, const void *from, int bytes)
{
    for (int i = threadIdx.x; i < bytes / 4; i += blockDim.x)
        ((uint32_t *)to)[i] = ((const uint32_t *)from)[i];
}

#endif
