/* SPDX-License-Identifier: Apache-2.0 */
/* Exchanges in a warp, votes, matches and reductions. */
#include "conform_warp.h"

static struct family here("warp");

/* The source lane of a shuffle and whether it is in range, as the PTX manual defines them. */
static uint32_t shuffled(char mode, uint32_t lane, uint32_t b, uint32_t c, uint32_t *in_range)
{
    const uint32_t segment = c >> 8 & 31, bound = c & 31;
    const uint32_t high = (lane & segment) | (bound & ~segment), low = lane & segment;
    b &= 31;
    int j = mode == 'u' ? (int)lane - (int)b
                        : (int)(mode == 'd'   ? lane + b
                                : mode == 'b' ? lane ^ b
                                              : low | (b & ~segment));
    *in_range = mode == 'u' ? j >= (int)high : j <= (int)high;
    return *in_range ? (uint32_t)j : lane;
}

#define SHFL(mode, m, b_, c_)                                                                      \
    WARP("shfl.sync." mode ".b32/" #b_ "," #c_,                                                    \
         asm volatile("{.reg .pred p; shfl.sync." mode ".b32 %0|p, %2, " #b_ ", " #c_              \
                      ", 0xffffffff; selp.u32 %1, 1, 0, p;}"                                       \
                      : "=r"(x), "=r"(y)                                                           \
                      : "r"(a)),                                                                   \
         x = as[shuffled(m, lane, b_, c_, &y)])
SHFL("up", 'u', 1, 0)
SHFL("up", 'u', 16, 0)
SHFL("up", 'u', 3, 0x1800)
SHFL("up", 'u', 31, 0)
SHFL("up", 'u', 2, 0x1005)
SHFL("down", 'd', 1, 0x1f)
SHFL("down", 'd', 16, 0x1f)
SHFL("down", 'd', 3, 0x181f)
SHFL("down", 'd', 7, 0x1c1f)
SHFL("down", 'd', 4, 0x10)
SHFL("bfly", 'b', 1, 0x1f)
SHFL("bfly", 'b', 16, 0x1f)
SHFL("bfly", 'b', 2, 0x1c1f)
SHFL("bfly", 'b', 8, 0x181f)
SHFL("bfly", 'b', 31, 0x1f)
SHFL("idx", 'i', 0, 0x1f)
SHFL("idx", 'i', 13, 0x1f)
SHFL("idx", 'i', 5, 0x181f)
SHFL("idx", 'i', 9, 0x181f)
SHFL("idx", 'i', 20, 0x10)
WARP("shfl.sync.idx.b32/register",
     asm volatile("{.reg .pred p; shfl.sync.idx.b32 %0|p, %2, %3, 0x1f, -1; selp.u32 %1, 1, 0, p;}"
                  : "=r"(x), "=r"(y)
                  : "r"(a), "r"(b)),
     x = as[shuffled('i', lane, b, 0x1f, &y)])
WARP("shfl.sync.up.b32/register",
     asm volatile("{.reg .pred p; shfl.sync.up.b32 %0|p, %2, %3, 0, -1; selp.u32 %1, 1, 0, p;}"
                  : "=r"(x), "=r"(y)
                  : "r"(a), "r"(b & 31)),
     x = as[shuffled('u', lane, b, 0, &y)])
WARP("shfl.sync.bfly.b32/f32",
     asm volatile("shfl.sync.bfly.b32 %0, %1, 4, 0x1f, 0xffffffff;"
                  : "=f"(*(float *)&x)
                  : "f"(__uint_as_float(a))),
     x = as[lane ^ 4])
/* The two halves of a warp shuffle on their own. */
WARP("shfl.sync.bfly.b32/halves",
     if (lane < 16) asm volatile("shfl.sync.bfly.b32 %0, %1, 3, 0x1f, 0x0000ffff;"
                                 : "=r"(x)
                                 : "r"(a));
     else asm volatile("shfl.sync.bfly.b32 %0, %1, 5, 0x1f, 0xffff0000;"
                       : "=r"(x)
                       : "r"(a)),
     x = as[lane ^ (lane < 16 ? 3 : 5)])

static uint32_t count_below(const uint32_t *as, uint32_t limit)
{
    uint32_t n = 0;
    for (int i = 0; i < 32; i++) n |= (uint32_t)((int32_t)as[i] < (int32_t)limit) << i;
    return n;
}
#define VOTE(mode, test, host)                                                                     \
    WARP("vote.sync." mode "/" test,                                                               \
         asm volatile("{.reg .pred p, q; setp." test ".u32 p, %1, 20; vote.sync." mode             \
                      " q, p, 0xffffffff; selp.u32 %0, 1, 0, q;}"                                  \
                      : "=r"(x)                                                                    \
                      : "r"(lane)),                                                                \
         x = host)
VOTE("all.pred", "lt", 0)
VOTE("all.pred", "ne", 0)
VOTE("any.pred", "lt", 1)
VOTE("any.pred", "eq", 1)
VOTE("uni.pred", "lt", 0)
WARP("vote.sync.all.pred/true",
     asm volatile("{.reg .pred p, q; setp.lt.u32 p, %1, 32; vote.sync.all.pred q, p, -1; "
                  "vote.sync.uni.pred p, !p, -1; selp.u32 %0, 5, 0, q; @p add.u32 %0, %0, 2;}"
                  : "=r"(x)
                  : "r"(lane)),
     x = 7)
WARP("vote.sync.ballot.b32",
     asm volatile("{.reg .pred p; setp.lt.s32 p, %1, 1000; vote.sync.ballot.b32 %0, p, -1;}"
                  : "=r"(x)
                  : "r"(a)),
     x = count_below(as, 1000))
WARP("vote.sync.ballot.b32/even",
     if (lane % 2 == 0) asm volatile("{.reg .pred p; setp.lt.s32 p, %1, 1000; "
                                     "vote.sync.ballot.b32 %0, p, 0x55555555;}"
                                     : "=r"(x)
                                     : "r"(a)),
     if (lane % 2 == 0) x = count_below(as, 1000) & 0x55555555)
WARP("activemask.b32", asm volatile("activemask.b32 %0;" : "=r"(x)), x = 0xffffffff)
WARP("match.any.sync.b32",
     asm volatile("match.any.sync.b32 %0, %1, 0xffffffff;"
                  : "=r"(x)
                  : "r"(a & 3)),
     x = 0;
     for (int i = 0; i < 32; i++) x |= (uint32_t)((as[i] & 3) == (a & 3)) << i)
WARP("match.any.sync.b64",
     asm volatile("match.any.sync.b64 %0, %1, 0xffffffff;"
                  : "=r"(x)
                  : "l"((uint64_t)(a & 1) << 40 | (b & 1))),
     x = 0;
     for (int i = 0; i < 32; i++) x |= (uint32_t)((as[i] & 1) == (a & 1) && (bs[i] & 1) == (b & 1))
                                       << i)
WARP("match.all.sync.b32",
     asm volatile("{.reg .pred p; match.all.sync.b32 %0|p, %2, 0xffffffff; selp.u32 %1, 1, 0, p;}"
                  : "=r"(x), "=r"(y)
                  : "r"(a & 3)),
     x = 0, y = 0)
WARP("match.all.sync.b32/equal",
     asm volatile("{.reg .pred p; match.all.sync.b32 %0|p, %2, 0xffffffff; selp.u32 %1, 1, 0, p;}"
                  : "=r"(x), "=r"(y)
                  : "r"(a & 0)),
     x = 0xffffffff, y = 1)

static uint32_t reduced(const uint32_t *as, char op)
{
    uint32_t z = as[0];
    for (int i = 1; i < 32; i++) {
        const uint32_t v = as[i];
        if (op == '+') z += v;
        if (op == '&') z &= v;
        if (op == '|') z |= v;
        if (op == '^') z ^= v;
        if (op == 'u') z = v < z ? v : z;
        if (op == 'U') z = v > z ? v : z;
        if (op == 's') z = (int32_t)v < (int32_t)z ? v : z;
        if (op == 'S') z = (int32_t)v > (int32_t)z ? v : z;
    }
    return z;
}
#define REDUX(op, o)                                                                               \
    WARP("redux.sync." op,                                                                         \
         asm volatile("redux.sync." op " %0, %1, 0xffffffff;"                                      \
                      : "=r"(x)                                                                    \
                      : "r"(a)),                                                                   \
         x = reduced(as, o))
REDUX("add.u32", '+')
REDUX("add.s32", '+')
REDUX("min.u32", 'u')
REDUX("max.u32", 'U')
REDUX("min.s32", 's')
REDUX("max.s32", 'S')
REDUX("and.b32", '&')
REDUX("or.b32", '|')
REDUX("xor.b32", '^')
#if CONFORM_SM >= 90
WARP("elect.sync",
     asm volatile("{.reg .pred p; elect.sync %0|p, 0xffffffff; selp.u32 %1, 1, 0, p;}"
                  : "=r"(x), "=r"(y)),
     x = 0, y = lane == 0)
WARP("elect.sync/high",
     if (lane >=
         8) asm volatile("{.reg .pred p; elect.sync %0|p, 0xffffff00; selp.u32 %1, 1, 0, p;}"
                         : "=r"(x), "=r"(y)),
     if (lane >= 8) x = 8, y = lane == 8)
#endif
