/* SPDX-License-Identifier: Apache-2.0 */
/* Barriers of a block. */
#include "conform_warp.h"

static struct family here("barrier");

/* Each thread leaves its value for its mirror image in the block, with a barrier between. */
#define MIRROR(name, n, barrier)                                                                   \
    BLOCK(                                                                                         \
        name, n,                                                                                   \
        {                                                                                          \
            __shared__ volatile uint32_t s[n];                                                     \
            s[lane] = a;                                                                           \
            asm volatile(barrier ::: "memory");                                                    \
            x = s[n - 1 - lane];                                                                   \
        },                                                                                         \
        x = as[n - 1 - lane])
MIRROR("bar.sync/0", 128, "bar.sync 0;")
MIRROR("bar.sync/3,128", 128, "bar.sync 3, 128;")
MIRROR("barrier.sync/1", 128, "barrier.sync 1;")
MIRROR("barrier.sync.aligned/1,128", 128, "barrier.sync.aligned 1, 128;")
MIRROR("barrier.cta.sync.aligned/2", 128, "barrier.cta.sync.aligned 2;")
MIRROR("bar.warp.sync", 32, "bar.warp.sync 0xffffffff;")
BLOCK(
    "bar.sync/two-groups", 128,
    {
        __shared__ volatile uint32_t s[128];
        s[lane] = a;
        asm volatile("bar.sync %0, 64;" ::"r"(1 + lane / 64) : "memory");
        x = s[lane ^ 63];
    },
    x = as[lane ^ 63])
/* Two warps produce and only arrive, two wait and read. */
BLOCK(
    "bar.arrive+bar.sync", 128,
    {
        __shared__ volatile uint32_t s[64];
        if (lane < 64) {
            s[lane] = a;
            asm volatile("membar.cta; bar.arrive 5, 128;" ::: "memory");
        } else {
            asm volatile("bar.sync 5, 128;" ::: "memory");
            x = s[lane - 64];
        }
    },
    x = as[lane % 64])
BLOCK(
    "barrier.arrive+barrier.sync", 128,
    {
        __shared__ volatile uint32_t s[64];
        if (lane < 64) {
            s[lane] = a;
            asm volatile("membar.cta; barrier.arrive 6, 128;" ::: "memory");
        } else {
            asm volatile("barrier.sync 6, 128;" ::: "memory");
            x = s[lane - 64];
        }
    },
    x = as[lane % 64])

static uint32_t negatives(const uint32_t *as, int n)
{
    uint32_t z = 0;
    for (int i = 0; i < n; i++) z += as[i] >> 31;
    return z;
}
BLOCK("bar.red.popc.u32", 128,
      asm volatile("{.reg .pred p; setp.lt.s32 p, %1, 0; bar.red.popc.u32 %0, 0, p;}"
                   : "=r"(x)
                   : "r"(a)),
      x = negatives(as, 128))
BLOCK("barrier.red.popc.u32/2,128", 128,
      asm volatile("{.reg .pred p; setp.lt.s32 p, %1, 0; barrier.red.popc.u32 %0, 2, 128, !p;}"
                   : "=r"(x)
                   : "r"(a)),
      x = 128 - negatives(as, 128))
#define BAR_RED(op, test, value)                                                                   \
    BLOCK("bar.red." op ".pred/" test, 128,                                                        \
          asm volatile("{.reg .pred p, q; setp." test ".u32 p, %1, 70; bar.red." op                \
                       ".pred q, 0, p; selp.u32 %0, 1, 0, q;}"                                     \
                       : "=r"(x)                                                                   \
                       : "r"(lane)),                                                               \
          x = value)
BAR_RED("and", "lt", 0)
BAR_RED("and", "ne", 0)
BAR_RED("or", "lt", 1)
BAR_RED("or", "gt", 1)
BLOCK("bar.red.and.pred/true", 64,
      asm volatile("{.reg .pred p, q; setp.lt.u32 p, %1, 64; bar.red.and.pred q, 1, p; "
                   "selp.u32 %0, 1, 0, q;}"
                   : "=r"(x)
                   : "r"(lane)),
      x = 1)
/* Warps that have left count no more. */
BLOCK(
    "bar.sync/exited", 128,
    {
        __shared__ volatile uint32_t s[128];
        s[lane] = a;
        asm volatile("bar.sync 0;" ::: "memory");
        if (lane >= 96) {
            ((uint32_t *)out)[lane] = x;
            ((uint32_t *)out)[128 + lane] = y;
            return;
        }
        asm volatile("bar.sync 0;" ::: "memory");
        x = s[95 - lane];
    },
    if (lane < 96) x = as[95 - lane])
