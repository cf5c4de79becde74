/* SPDX-License-Identifier: Apache-2.0 */
/* Loads and stores: every width and vector, state spaces, cache operators and hints. */
#include "conform.h"

static struct family here("mem");

enum { THREADS = 32, ROOM = 32 * 32 };

#define AT_GLOBAL(p)  "l"((uint64_t)__cvta_generic_to_global(p))
#define AT_SHARED(p)  "r"((uint32_t)__cvta_generic_to_shared(p))
#define AT_GENERIC(p) "l"((uint64_t)(p))

/* Input for the loads and output for the stores, in shared memory. */
static __device__ char *staged_in(char *shared, const void *in)
{
    for (int i = threadIdx.x; i < ROOM; i += THREADS) shared[i] = ((const char *)in)[i];
    __syncthreads();
    return shared;
}

static __device__ void staged_out(const char *shared, void *out, int bytes)
{
    __syncthreads();
    for (int i = threadIdx.x; i < bytes; i += THREADS) ((char *)out)[i] = shared[i];
}

template <class Op> __global__ void load(const void *in, void *out)
{
    __shared__ __align__(16) char shared[ROOM];
    const char *from = Op::space ? staged_in(shared, in) : (const char *)in;
    Op::f(from + threadIdx.x * Op::n * sizeof(typename Op::M),
          (typename Op::R *)out + threadIdx.x * Op::n);
}

template <class Op> __global__ void store(const void *in, void *out)
{
    __shared__ __align__(16) char shared[ROOM];
    typename Op::R z[4];
    const int at = threadIdx.x * Op::n * sizeof(typename Op::M);
    for (int k = 0; k < Op::n; k++)
        z[k] = (typename Op::R)((const typename Op::M *)((const char *)in + at))[k];
    Op::f((Op::space ? shared : (char *)out) + at, z);
    if (Op::space) staged_out(shared, out, THREADS * Op::n * sizeof(typename Op::M));
}

template <class Op> int want_load(const struct form *, const void *in, void *want)
{
    for (int i = 0; i < THREADS * Op::n; i++)
        ((typename Op::R *)want)[i] = (typename Op::R)((const typename Op::M *)in)[i];
    return 1;
}

static int want_copy(const struct form *f, const void *in, void *want)
{
    memcpy(want, in, f->out_bytes);
    return 1;
}

#define LOAD(id, name, t, m, count, in_shared, asm_)                                               \
    namespace                                                                                      \
    {                                                                                              \
    struct CAT(op_, id) {                                                                          \
        typedef T_##t::reg R;                                                                      \
        typedef m M;                                                                               \
        enum { n = count, space = in_shared };                                                     \
        static __device__ void f(const void *p, R *z) { asm_; }                                    \
    };                                                                                             \
    }                                                                                              \
    FORM(with_want(form_new(name, #t, load<CAT(op_, id)>, THREADS, ROOM,                           \
                            THREADS *count *(unsigned)sizeof(T_##t::reg)),                         \
                   want_load<CAT(op_, id)>))
#define LD1(op, t, m, s, at)                                                                       \
    LOAD(__COUNTER__, op, t, m, 1, s, asm volatile(op " %0, [%1];" : "=" CON_##t(z[0]) : at(p)))
#define LD2(op, t, m, s, at)                                                                       \
    LOAD(__COUNTER__, op, t, m, 2, s,                                                              \
         asm volatile(op " {%0, %1}, [%2];"                                                        \
                      : "=" CON_##t(z[0]), "=" CON_##t(z[1])                                       \
                      : at(p)))
#define LD4(op, t, m, s, at)                                                                       \
    LOAD(__COUNTER__, op, t, m, 4, s,                                                              \
         asm volatile(op " {%0, %1, %2, %3}, [%4];"                                                \
                      : "=" CON_##t(z[0]), "=" CON_##t(z[1]), "=" CON_##t(z[2]), "=" CON_##t(z[3]) \
                      : at(p)))
#define STORE(id, name, t, m, count, in_shared, asm_)                                              \
    namespace                                                                                      \
    {                                                                                              \
    struct CAT(op_, id) {                                                                          \
        typedef T_##t::reg R;                                                                      \
        typedef m M;                                                                               \
        enum { n = count, space = in_shared };                                                     \
        static __device__ void f(void *p, const R *z) { asm_; }                                    \
    };                                                                                             \
    }                                                                                              \
    FORM(with_want(form_new(name, "b8", store<CAT(op_, id)>, THREADS, ROOM,                        \
                            THREADS *count *(unsigned)sizeof(m)),                                  \
                   want_copy))
#define ST1(op, t, m, s, at)                                                                       \
    STORE(__COUNTER__, op, t, m, 1, s,                                                             \
          asm volatile(op " [%0], %1;" ::at(p), CON_##t(z[0])                                      \
                       : "memory"))
#define ST2(op, t, m, s, at)                                                                       \
    STORE(__COUNTER__, op, t, m, 2, s,                                                             \
          asm volatile(op " [%0], {%1, %2};" ::at(p), CON_##t(z[0]), CON_##t(z[1])                 \
                       : "memory"))
#define ST4(op, t, m, s, at)                                                                       \
    STORE(__COUNTER__, op, t, m, 4, s,                                                             \
          asm volatile(op " [%0], {%1, %2, %3, %4};" ::at(p), CON_##t(z[0]), CON_##t(z[1]),        \
                       CON_##t(z[2]), CON_##t(z[3])                                                \
                       : "memory"))

#define WIDTHS(ld, s, at)                                                                          \
    LD1(ld ".u8", u32, uint8_t, s, at)                                                             \
    LD1(ld ".s8", s32, int8_t, s, at)                                                              \
    LD1(ld ".u16", u32, uint16_t, s, at)                                                           \
    LD1(ld ".s16", s32, int16_t, s, at)                                                            \
    LD1(ld ".b16", u16, uint16_t, s, at)                                                           \
    LD1(ld ".u32", u32, uint32_t, s, at)                                                           \
    LD1(ld ".b32", u32, uint32_t, s, at)                                                           \
    LD1(ld ".f32", f32, float, s, at)                                                              \
    LD1(ld ".u64", u64, uint64_t, s, at)                                                           \
    LD1(ld ".b64", u64, uint64_t, s, at)                                                           \
    LD1(ld ".f64", f64, double, s, at)                                                             \
    LD1(ld ".s32", s64, int32_t, s, at)                                                            \
    LD2(ld ".v2.u8", u16, uint8_t, s, at)                                                          \
    LD4(ld ".v4.u8", u32, uint8_t, s, at)                                                          \
    LD4(ld ".v4.s8", s32, int8_t, s, at)                                                           \
    LD2(ld ".v2.u16", u16, uint16_t, s, at)                                                        \
    LD4(ld ".v4.u16", u16, uint16_t, s, at)                                                        \
    LD4(ld ".v4.s16", s32, int16_t, s, at)                                                         \
    LD2(ld ".v2.u32", u32, uint32_t, s, at)                                                        \
    LD4(ld ".v4.u32", u32, uint32_t, s, at)                                                        \
    LD2(ld ".v2.f32", f32, float, s, at)                                                           \
    LD4(ld ".v4.f32", f32, float, s, at)                                                           \
    LD2(ld ".v2.u64", u64, uint64_t, s, at)                                                        \
    LD2(ld ".v2.b64", u64, uint64_t, s, at)                                                        \
    LD2(ld ".v2.f64", f64, double, s, at)
#define STORES(st, s, at)                                                                          \
    ST1(st ".u8", u32, uint8_t, s, at)                                                             \
    ST1(st ".b8", u16, uint8_t, s, at)                                                             \
    ST1(st ".u16", u16, uint16_t, s, at)                                                           \
    ST1(st ".b16", u16, uint16_t, s, at)                                                           \
    ST1(st ".u32", u32, uint32_t, s, at)                                                           \
    ST1(st ".b32", u32, uint32_t, s, at)                                                           \
    ST1(st ".f32", f32, float, s, at)                                                              \
    ST1(st ".u64", u64, uint64_t, s, at)                                                           \
    ST1(st ".f64", f64, double, s, at)                                                             \
    ST2(st ".v2.u8", u16, uint8_t, s, at)                                                          \
    ST4(st ".v4.u8", u32, uint8_t, s, at)                                                          \
    ST2(st ".v2.u16", u16, uint16_t, s, at)                                                        \
    ST4(st ".v4.u16", u16, uint16_t, s, at)                                                        \
    ST2(st ".v2.u32", u32, uint32_t, s, at)                                                        \
    ST4(st ".v4.u32", u32, uint32_t, s, at)                                                        \
    ST2(st ".v2.f32", f32, float, s, at)                                                           \
    ST4(st ".v4.f32", f32, float, s, at)                                                           \
    ST2(st ".v2.u64", u64, uint64_t, s, at)                                                        \
    ST2(st ".v2.f64", f64, double, s, at)
WIDTHS("ld.global", 0, AT_GLOBAL)
WIDTHS("ld.global.nc", 0, AT_GLOBAL)
WIDTHS("ld.shared", 1, AT_SHARED)
WIDTHS("ld", 0, AT_GENERIC)
STORES("st.global", 0, AT_GLOBAL)
STORES("st.shared", 1, AT_SHARED)
STORES("st", 0, AT_GENERIC)

#define LD_OPERATOR(op)                                                                            \
    LD1(op ".b32", u32, uint32_t, 0, AT_GLOBAL)                                                    \
    LD1(op ".b16", u16, uint16_t, 0, AT_GLOBAL)                                                    \
    LD4(op ".v4.u32", u32, uint32_t, 0, AT_GLOBAL)                                                 \
    LD2(op ".v2.u64", u64, uint64_t, 0, AT_GLOBAL)
#define LD_PLAIN(op) LD1(op ".u32", u32, uint32_t, 0, AT_GLOBAL)
#define ST_OPERATOR(op)                                                                            \
    ST1(op ".b32", u32, uint32_t, 0, AT_GLOBAL)                                                    \
    ST1(op ".b16", u16, uint16_t, 0, AT_GLOBAL)                                                    \
    ST4(op ".v4.u32", u32, uint32_t, 0, AT_GLOBAL)
#define ST_PLAIN(op) ST1(op ".u32", u32, uint32_t, 0, AT_GLOBAL)
LD_OPERATOR("ld.global.ca")
LD_OPERATOR("ld.global.cg")
LD_OPERATOR("ld.global.cs")
LD_OPERATOR("ld.global.lu")
LD_OPERATOR("ld.global.cv")
LD_OPERATOR("ld.global.L1::no_allocate")
LD_OPERATOR("ld.global.nc.L1::no_allocate")
LD_OPERATOR("ld.global.nc.L1::no_allocate.L2::128B")
LD_OPERATOR("ld.global.nc.L1::evict_last")
LD_OPERATOR("ld.global.L1::evict_first")
LD_OPERATOR("ld.global.L2::64B")
LD_OPERATOR("ld.global.L2::256B")
LD_OPERATOR("ld.global.nc.L2::128B")
LD_OPERATOR("ld.weak.global")
LD_PLAIN("ld.volatile.global")
LD_PLAIN("ld.relaxed.cta.global")
LD_PLAIN("ld.relaxed.gpu.global")
LD_PLAIN("ld.relaxed.sys.global")
LD_PLAIN("ld.relaxed.gpu.global.L1::no_allocate")
LD_PLAIN("ld.acquire.cta.global")
LD_PLAIN("ld.acquire.gpu.global")
LD_PLAIN("ld.acquire.sys.global")
LD1("ld.volatile.shared.u32", u32, uint32_t, 1, AT_SHARED)
LD1("ld.relaxed.cta.shared.u32", u32, uint32_t, 1, AT_SHARED)
LD1("ld.volatile.u32", u32, uint32_t, 0, AT_GENERIC)
ST_OPERATOR("st.global.wb")
ST_OPERATOR("st.global.cg")
ST_OPERATOR("st.global.cs")
ST_OPERATOR("st.global.wt")
ST_OPERATOR("st.global.L1::no_allocate")
ST_OPERATOR("st.weak.global")
ST_PLAIN("st.volatile.global")
ST_PLAIN("st.relaxed.cta.global")
ST_PLAIN("st.relaxed.gpu.global")
ST_PLAIN("st.relaxed.sys.global")
ST_PLAIN("st.release.gpu.global")
ST_PLAIN("st.release.sys.global")
ST1("st.volatile.shared.u32", u32, uint32_t, 1, AT_SHARED)
#define HINTED(policy)                                                                             \
    LOAD(__COUNTER__, "ld.global.L2::cache_hint.v4.u32/" policy, u32, uint32_t, 4, 0,              \
         asm volatile("{.reg .b64 h; createpolicy.fractional." policy ".b64 h, 1.0; "              \
                      "ld.global.L2::cache_hint.v4.u32 {%0, %1, %2, %3}, [%4], h;}"                \
                      : "=r"(z[0]), "=r"(z[1]), "=r"(z[2]), "=r"(z[3])                             \
                      : AT_GLOBAL(p)))                                                             \
    STORE(__COUNTER__, "st.global.L2::cache_hint.u32/" policy, u32, uint32_t, 1, 0,                \
          asm volatile("{.reg .b64 h; createpolicy.fractional." policy ".b64 h, 1.0; "             \
                       "st.global.L2::cache_hint.u32 [%0], %1, h;}" ::AT_GLOBAL(p),                \
                       "r"(z[0])                                                                   \
                       : "memory"))
HINTED("L2::evict_last")
HINTED("L2::evict_first")
HINTED("L2::evict_unchanged")
LOAD(__COUNTER__, "ld.global.u32/offset", u32, uint32_t, 1, 0,
     asm volatile("{.reg .u64 a; sub.u64 a, %1, 1024; ld.global.u32 %0, [a+1024];}"
                  : "=r"(z[0])
                  : AT_GLOBAL(p)))
LOAD(__COUNTER__, "ld.shared.u32/offset", u32, uint32_t, 1, 1,
     asm volatile("{.reg .u32 a; add.u32 a, %1, 64; ld.shared.u32 %0, [a+-64];}"
                  : "=r"(z[0])
                  : AT_SHARED(p)))
LOAD(__COUNTER__, "prefetch.global", u32, uint32_t, 1, 0,
     asm volatile("prefetch.global.L1 [%1]; prefetch.global.L2 [%1]; "
                  "prefetch.global.L2::evict_last [%1]; prefetchu.L1 [%1]; ld.global.u32 %0, [%1];"
                  : "=r"(z[0])
                  : AT_GENERIC(p)))
LOAD(
    __COUNTER__, "cvta.to.global+cvta.global", u32, uint32_t, 1, 0,
    asm volatile("{.reg .u64 g, h; cvta.to.global.u64 g, %1; cvta.global.u64 h, g; ld.u32 %0, [h];}"
                 : "=r"(z[0])
                 : AT_GENERIC(p)))
LOAD(
    __COUNTER__, "cvta.to.shared+cvta.shared", u32, uint32_t, 1, 1,
    asm volatile("{.reg .u64 g, h; cvta.to.shared.u64 g, %1; cvta.shared.u64 h, g; ld.u32 %0, [h];}"
                 : "=r"(z[0])
                 : AT_GENERIC(p)))
