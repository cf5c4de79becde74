/* SPDX-License-Identifier: Apache-2.0 */
/* Atomic operations. Each lane works on a cell of its own, then 32 lanes on four cells; only
 * outcomes that do not depend on the order are kept: of the four, the last values. */
#include "conform.h"
#include "conform_number.h"

static struct family here("atom");

enum { THREADS = 32, SHARED_CELLS = 4, PARTS = 2 * THREADS + SHARED_CELLS };

#define AT_GLOBAL(p) "l"((uint64_t)__cvta_generic_to_global(p))
#define AT_SHARED(p) "r"((uint32_t)__cvta_generic_to_shared(p))

/* Output: the old values, the new ones, the four contested cells. */
template <class Op> __global__ void atomic(const void *in, void *out)
{
    typedef typename Op::R R;
    __shared__ R shared[THREADS + SHARED_CELLS];
    const int i = threadIdx.x;
    R *old = (R *)out, *cells = Op::space ? shared : old + THREADS, *contested = cells + THREADS;
    const uint64_t *slots = (const uint64_t *)in;
    cells[i] = *(const R *)(slots + i);
    if (i < SHARED_CELLS) contested[i] = *(const R *)(slots + 4 * THREADS);
    __syncthreads();
    const R b = *(const R *)(slots + THREADS + i), c = *(const R *)(slots + 2 * THREADS + i);
    old[i] = Op::f(cells + i, b, c);
    if (Op::contest) Op::f(contested + i % SHARED_CELLS, *(const R *)(slots + 3 * THREADS + i), c);
    __syncthreads();
    if (Op::space) {
        old[THREADS + i] = shared[i];
        if (i < SHARED_CELLS) old[2 * THREADS + i] = contested[i];
    }
}

/* A small integer as a value of a kind. */
static uint64_t small_value(int kind, int x)
{
    const float f = (float)x;
    const double d = x;
    switch (kind) {
    case K_F16:
        return d2h(x);
    case K_BF16:
        return d2b(x);
    case K_F16X2:
        return pair(d2h(x), d2h(2 * x));
    case K_BF16X2:
        return pair(d2b(x), d2b(2 * x));
    case K_F32:
        return bits_of(f);
    case K_F64:
        return bits_of(d);
    default:
        return (uint64_t)x * 0x0101010101010101u >> 7;
    }
}

static void fill_cells(const struct form *f, void *in)
{
    uint64_t *slots = (uint64_t *)in;
    for (int k = 0; k < 3; k++)
        for (int i = 0; i < THREADS; i++)
            slots[k * THREADS + i] = sample((enum kind)f->arg[0], k, i + (k ? 16 : 0));
    /* Every other comparison of a cas succeeds. */
    for (int i = 0; f->arg[1] && i < THREADS; i += 2) slots[THREADS + i] = slots[i];
    for (int i = 0; i < THREADS; i++) slots[3 * THREADS + i] = small_value(f->arg[0], i % 7 + 1);
    slots[4 * THREADS] = small_value(f->arg[0], 3);
}

template <class Op> int want_cells(const struct form *, const void *in, void *want)
{
    typedef typename Op::R R;
    const uint64_t *slots = (const uint64_t *)in;
    R *old = (R *)want, *cells = old + THREADS, *contested = cells + THREADS;
    for (int i = 0; i < SHARED_CELLS; i++) contested[i] = *(const R *)(slots + 4 * THREADS);
    for (int i = 0; i < THREADS; i++) {
        R *cell = contested + i % SHARED_CELLS;
        const R b = *(const R *)(slots + THREADS + i), c = *(const R *)(slots + 2 * THREADS + i);
        const R o = *(const R *)(slots + i);
        old[i] = Op::returns ? o : b;
        if (!Op::want(cells[i], o, b, c)) return 0;
        if (Op::contest && !Op::want(*cell, *cell, *(const R *)(slots + 3 * THREADS + i), c))
            return 0;
    }
    return 1;
}

#define ATOM_(id, name, t, in_shared, contested, cas, returns_, asm_, ...)                         \
    namespace                                                                                      \
    {                                                                                              \
    struct CAT(op_, id) {                                                                          \
        typedef T_##t::reg R;                                                                      \
        enum { space = in_shared, contest = contested, returns = returns_ };                       \
        static __device__ R f(R *p, R b, R c)                                                      \
        {                                                                                          \
            R z = b;                                                                               \
            asm_;                                                                                  \
            return z;                                                                              \
        }                                                                                          \
        static bool want(R &z, R a, R b, R c)                                                      \
        {                                                                                          \
            (void)z, (void)a, (void)b, (void)c;                                                    \
            return false __VA_OPT__(|| (z = (R)(__VA_ARGS__), true));                              \
        }                                                                                          \
    };                                                                                             \
    }                                                                                              \
    FORM(atom_form(name, #t, atomic<CAT(op_, id)>, sizeof(T_##t::reg), T_##t::kind, cas,           \
                   want_cells<CAT(op_, id)>))

static struct form atom_form(const char *name, const char *type, kernel_fn *kernel, size_t size,
                             int kind, int cas, int (*want)(const form *, const void *, void *))
{
    struct form f =
        form_new(name, type, kernel, THREADS, (4 * THREADS + 1) * 8, PARTS * (unsigned)size);
    f.fill = fill_cells, f.want = want, f.arg[0] = kind, f.arg[1] = cas;
    return f;
}

#define ATOM_ASM(op, t, at)                                                                        \
    asm volatile(op " %0, [%1], %2;" : "=" CON_##t(z) : at(p), CON_##t(b) : "memory")
#define RED_ASM(op, t, at) asm volatile(op " [%0], %1;" ::at(p), CON_##t(b) : "memory")
#define CAS_ASM(op, t, at)                                                                         \
    asm volatile(op " %0, [%1], %2, %3;"                                                           \
                 : "=" CON_##t(z)                                                                  \
                 : at(p), CON_##t(b), CON_##t(c)                                                   \
                 : "memory")
#define ATOM(op, t, ...)                                                                           \
    ATOM_(__COUNTER__, op, t, 0, 1, 0, 1, ATOM_ASM(op, t, AT_GLOBAL), __VA_ARGS__)
#define ATOMS(op, t, ...)                                                                          \
    ATOM_(__COUNTER__, op, t, 1, 1, 0, 1, ATOM_ASM(op, t, AT_SHARED), __VA_ARGS__)
#define EXCH(op, t)  ATOM_(__COUNTER__, op, t, 0, 0, 0, 1, ATOM_ASM(op, t, AT_GLOBAL), b)
#define EXCHS(op, t) ATOM_(__COUNTER__, op, t, 1, 0, 0, 1, ATOM_ASM(op, t, AT_SHARED), b)
#define RED(op, t, ...)                                                                            \
    ATOM_(__COUNTER__, op, t, 0, 1, 0, 0, RED_ASM(op, t, AT_GLOBAL), __VA_ARGS__)
#define REDS(op, t, ...)                                                                           \
    ATOM_(__COUNTER__, op, t, 1, 1, 0, 0, RED_ASM(op, t, AT_SHARED), __VA_ARGS__)
#define CAS(op, t)  ATOM_(__COUNTER__, op, t, 0, 0, 1, 1, CAS_ASM(op, t, AT_GLOBAL), a == b ? c : a)
#define CASS(op, t) ATOM_(__COUNTER__, op, t, 1, 0, 1, 1, CAS_ASM(op, t, AT_SHARED), a == b ? c : a)

#define HALF_SUM(f, t) pair(t(sum_odd(f(a), f(b))), t(sum_odd(f(a >> 16), f(b >> 16))))
#define EVERY(A, R, where)                                                                         \
    A("atom." where ".add.u32", u32, a + b)                                                        \
    A("atom." where ".add.s32", s32, (uint32_t)a + (uint32_t)b)                                    \
    A("atom." where ".add.u64", u64, a + b)                                                        \
    A("atom." where ".add.f32", f32)                                                               \
    A("atom." where ".add.f64", f64, a + b)                                                        \
    A("atom." where ".add.noftz.f16x2", f16x2, HALF_SUM(h2d, d2h))                                 \
    A("atom." where ".add.noftz.f16", f16, d2h(sum_odd(h2d(a), h2d(b))))                           \
    A("atom." where ".min.u32", u32, a < b ? a : b)                                                \
    A("atom." where ".max.u32", u32, a > b ? a : b)                                                \
    A("atom." where ".min.s32", s32, a < b ? a : b)                                                \
    A("atom." where ".max.s32", s32, a > b ? a : b)                                                \
    A("atom." where ".min.u64", u64, a < b ? a : b)                                                \
    A("atom." where ".max.u64", u64, a > b ? a : b)                                                \
    A("atom." where ".min.s64", s64, a < b ? a : b)                                                \
    A("atom." where ".max.s64", s64, a > b ? a : b)                                                \
    A("atom." where ".and.b32", u32, a &b)                                                         \
    A("atom." where ".or.b32", u32, a | b)                                                         \
    A("atom." where ".xor.b32", u32, a ^ b)                                                        \
    A("atom." where ".and.b64", u64, a &b)                                                         \
    A("atom." where ".or.b64", u64, a | b)                                                         \
    A("atom." where ".xor.b64", u64, a ^ b)                                                        \
    R("red." where ".add.u32", u32, a + b)                                                         \
    R("red." where ".add.u64", u64, a + b)                                                         \
    R("red." where ".add.f32", f32)                                                                \
    R("red." where ".add.f64", f64, a + b)                                                         \
    R("red." where ".add.noftz.f16x2", f16x2, HALF_SUM(h2d, d2h))                                  \
    R("red." where ".min.s32", s32, a < b ? a : b)                                                 \
    R("red." where ".max.u32", u32, a > b ? a : b)                                                 \
    R("red." where ".and.b32", u32, a &b)                                                          \
    R("red." where ".or.b32", u32, a | b)                                                          \
    R("red." where ".xor.b64", u64, a ^ b)
EVERY(ATOM, RED, "global")
EVERY(ATOMS, REDS, "shared")
EXCH("atom.global.exch.b32", u32)
EXCH("atom.global.exch.b64", u64)
EXCHS("atom.shared.exch.b32", u32)
EXCHS("atom.shared.exch.b64", u64)
#define LONE(op, t, ...)                                                                           \
    ATOM_(__COUNTER__, op, t, 0, 0, 1, 1, ATOM_ASM(op, t, AT_GLOBAL), __VA_ARGS__)
#define LONES(op, t, ...)                                                                          \
    ATOM_(__COUNTER__, op, t, 1, 0, 1, 1, ATOM_ASM(op, t, AT_SHARED), __VA_ARGS__)
LONE("atom.global.inc.u32", u32, a >= b ? 0 : a + 1)
LONE("atom.global.dec.u32", u32, a == 0 || a > b ? b : a - 1)
LONES("atom.shared.inc.u32", u32, a >= b ? 0 : a + 1)
LONES("atom.shared.dec.u32", u32, a == 0 || a > b ? b : a - 1)
CAS("atom.global.cas.b16", u16)
CAS("atom.global.cas.b32", u32)
CAS("atom.global.cas.b64", u64)
CASS("atom.shared.cas.b16", u16)
CASS("atom.shared.cas.b32", u32)
CASS("atom.shared.cas.b64", u64)
ATOM("atom.relaxed.cta.global.add.u32", u32, a + b)
ATOM("atom.relaxed.gpu.global.add.u32", u32, a + b)
ATOM("atom.acquire.gpu.global.add.u32", u32, a + b)
ATOM("atom.release.gpu.global.add.u32", u32, a + b)
ATOM("atom.acq_rel.gpu.global.add.u32", u32, a + b)
ATOM("atom.acq_rel.sys.global.add.u64", u64, a + b)
CAS("atom.acq_rel.gpu.global.cas.b32", u32)
EXCH("atom.acquire.sys.global.exch.b32", u32)
RED("red.relaxed.gpu.global.add.u32", u32, a + b)
RED("red.release.gpu.global.add.u32", u32, a + b)
RED("red.release.gpu.global.add.f32", f32)
#if CONFORM_SM >= 90
ATOM("atom.global.add.noftz.bf16x2", bf16x2, HALF_SUM(b2d, d2b))
ATOM("atom.global.add.noftz.bf16", bf16, d2b(sum_odd(b2d(a), b2d(b))))
ATOMS("atom.shared.add.noftz.bf16x2", bf16x2, HALF_SUM(b2d, d2b))
RED("red.global.add.noftz.bf16x2", bf16x2, HALF_SUM(b2d, d2b))
REDS("red.shared.add.noftz.bf16x2", bf16x2, HALF_SUM(b2d, d2b))
ATOM("atom.acq_rel.cluster.global.add.u32", u32, a + b)

/* Vectors: each lane adds four numbers to its own cells. */
static __global__ void red_v4_f32(const void *in, void *out)
{
    const float4 b = ((const float4 *)in)[threadIdx.x], c = ((const float4 *)in)[32 + threadIdx.x];
    float4 *p = (float4 *)out + threadIdx.x;
    *p = c;
    asm volatile("red.global.add.v4.f32 [%0], {%1, %2, %3, %4};" ::AT_GLOBAL(p), "f"(b.x), "f"(b.y),
                 "f"(b.z), "f"(b.w)
                 : "memory");
}
static __global__ void atom_v2_f32(const void *in, void *out)
{
    const float2 b = ((const float2 *)in)[threadIdx.x], c = ((const float2 *)in)[32 + threadIdx.x];
    float2 *p = (float2 *)out + threadIdx.x, *old = p + 32;
    *p = c;
    asm volatile("atom.global.add.v2.f32 {%0, %1}, [%2], {%3, %4};"
                 : "=f"(old->x), "=f"(old->y)
                 : AT_GLOBAL(p), "f"(b.x), "f"(b.y)
                 : "memory");
}
static __global__ void red_v4_bf16x2(const void *in, void *out)
{
    const uint4 b = ((const uint4 *)in)[threadIdx.x], c = ((const uint4 *)in)[32 + threadIdx.x];
    uint4 *p = (uint4 *)out + threadIdx.x;
    *p = c;
    asm volatile("red.global.add.noftz.v4.bf16x2 [%0], {%1, %2, %3, %4};" ::AT_GLOBAL(p), "r"(b.x),
                 "r"(b.y), "r"(b.z), "r"(b.w)
                 : "memory");
}
static __global__ void red_max_v2_bf16x2(const void *in, void *out)
{
    const uint2 b = ((const uint2 *)in)[threadIdx.x], c = ((const uint2 *)in)[32 + threadIdx.x];
    uint2 *p = (uint2 *)out + threadIdx.x;
    *p = c;
    asm volatile("red.global.max.noftz.v2.bf16x2 [%0], {%1, %2};" ::AT_GLOBAL(p), "r"(b.x), "r"(b.y)
                 : "memory");
}
static __global__ void atom_exch_b128(const void *in, void *out)
{
    const ulonglong2 b = ((const ulonglong2 *)in)[threadIdx.x];
    ulonglong2 *p = (ulonglong2 *)out + threadIdx.x, *old = p + 32;
    *p = ((const ulonglong2 *)in)[32 + threadIdx.x];
    asm volatile("{.reg .b128 b, d; mov.b128 b, {%3, %4}; atom.global.exch.b128 d, [%2], b; "
                 "mov.b128 {%0, %1}, d;}"
                 : "=l"(old->x), "=l"(old->y)
                 : AT_GLOBAL(p), "l"(b.x), "l"(b.y)
                 : "memory");
}
static void fill_vectors(const struct form *f, void *in)
{
    for (unsigned i = 0; i < f->in_bytes / 4; i++)
        ((uint32_t *)in)[i] = (uint32_t)sample((enum kind)f->arg[0], i / 128, i % 128);
}
static struct form vectors(const char *name, const char *type, kernel_fn *kernel, unsigned bytes,
                           int kind)
{
    struct form f = form_new(name, type, kernel, THREADS, 1024, bytes);
    f.fill = fill_vectors, f.arg[0] = kind;
    return f;
}
FORM(vectors("red.global.add.v4.f32", "f32", red_v4_f32, 512, K_F32))
FORM(vectors("atom.global.add.v2.f32", "f32", atom_v2_f32, 512, K_F32))
FORM(vectors("red.global.add.noftz.v4.bf16x2", "bf16x2", red_v4_bf16x2, 512, K_BF16X2))
FORM(vectors("red.global.max.noftz.v2.bf16x2", "bf16x2", red_max_v2_bf16x2, 256, K_BF16X2))
FORM(vectors("atom.global.exch.b128", "u64", atom_exch_b128, 1024, K_B32))
#endif
