/* SPDX-License-Identifier: Apache-2.0 */
/* mma.sync. Each shape runs on small integers, whose sums
 * are exact in any order, and ("/real") on random reals. */
#include "conform.h"
#include "conform_matrix.h"
#include "conform_number.h"

static struct family here("mma");

/* A lane's registers: na of A, nb of B, nc of C, in this order in the input. */
template <class Op> __global__ void multiply(const void *in, void *out)
{
    const uint32_t *from = (const uint32_t *)in + threadIdx.x * (Op::na + Op::nb + Op::nc);
    uint32_t a[Op::na], b[Op::nb], c[Op::nc];
    for (int i = 0; i < Op::na; i++) a[i] = from[i];
    for (int i = 0; i < Op::nb; i++) b[i] = from[Op::na + i];
    for (int i = 0; i < Op::nc; i++) c[i] = from[Op::na + Op::nb + i];
    Op::f(a, b, c);
    for (int i = 0; i < Op::nc; i++) ((uint32_t *)out)[threadIdx.x * Op::nc + i] = c[i];
}

enum { A_TYPE, B_TYPE, C_TYPE, DEPTH, REAL, NA, NB, NC };

/* Puts an element into a lane's registers. */
static void put(uint32_t *regs, int bits, int index, uint32_t v)
{
    const int at = index * bits;
    if (bits == 32)
        regs[index] = v;
    else
        regs[at / 32] |= (v & ((1u << bits) - 1)) << at % 32;
}

static uint32_t get(const uint32_t *regs, int bits, int index)
{
    const int at = index * bits;
    return bits == 32 ? regs[index] : regs[at / 32] >> at % 32 & ((1u << bits) - 1);
}

/* Row and column (of A: 16 x depth; of B: 8 x depth, transposed) of a register's element. */
static void place(int lane, int bits, int index, int is_a, int *row, int *k)
{
    const int in_reg = 32 / bits, reg = index / in_reg, half = is_a ? reg >> 1 : reg;
    *row = lane / 4 + (is_a ? 8 * (reg & 1) : 0);
    *k = lane % 4 * in_reg + index % in_reg + half * 4 * in_reg;
}

static void fill_mma(const struct form *f, void *in)
{
    const int n = f->arg[NA] + f->arg[NB] + f->arg[NC];
    uint32_t *regs = (uint32_t *)in;
    memset(regs, 0, f->in_bytes);
    uint64_t at = 1;
    for (int lane = 0; lane < 32; lane++) {
        uint32_t *r = regs + lane * n;
        for (int m = 0; m < 3; m++) {
            const enum element type = (enum element)f->arg[A_TYPE + m];
            const int bits = element_bits(type), count = f->arg[NA + m] * 32 / bits;
            for (int i = 0; i < count; i++)
                put(r, bits, i, element_drawn(type, f->arg[REAL], at++));
            r += f->arg[NA + m];
        }
    }
}

static int want_mma(const struct form *f, const void *in, void *want)
{
    const int n = f->arg[NA] + f->arg[NB] + f->arg[NC], depth = f->arg[DEPTH];
    const enum element at = (enum element)f->arg[A_TYPE], bt = (enum element)f->arg[B_TYPE],
                       ct = (enum element)f->arg[C_TYPE];
    const int c_bits = element_bits(ct);
    static double a[16][256], b[8][256];
    for (int lane = 0; lane < 32; lane++) {
        const uint32_t *r = (const uint32_t *)in + lane * n;
        int row, k;
        for (int i = 0; i < f->arg[NA] * 32 / element_bits(at); i++) {
            place(lane, element_bits(at), i, 1, &row, &k);
            a[row][k] = element_value(at, get(r, element_bits(at), i));
        }
        for (int i = 0; i < f->arg[NB] * 32 / element_bits(bt); i++) {
            place(lane, element_bits(bt), i, 0, &row, &k);
            b[row][k] = element_value(bt, get(r + f->arg[NA], element_bits(bt), i));
        }
    }
    for (int lane = 0; lane < 32; lane++) {
        const uint32_t *c = (const uint32_t *)in + lane * n + f->arg[NA] + f->arg[NB];
        uint32_t *w = (uint32_t *)want + lane * f->arg[NC];
        for (int i = 0; i < f->arg[NC] * 32 / c_bits; i++) {
            double sum = element_value(ct, get(c, c_bits, i));
            for (int k = 0; k < depth; k++)
                sum += a[lane / 4 + 8 * (i / 2)][k] * b[lane % 4 * 2 + i % 2][k];
            put(w, c_bits, i, element_bits_of(ct, sum));
        }
    }
    return 1;
}

static struct form mma_form(const char *name, kernel_fn *kernel, enum element a, enum element b,
                            enum element c, int depth, int real, const int *count)
{
    const unsigned n = (unsigned)(count[0] + count[1] + count[2]);
    const char *type = c == E_F32 ? "f32" : c == E_F16 ? "f16x2" : "s32";
    struct form f = form_new(name, type, kernel, 32, 128 * n, 128 * (unsigned)count[2]);
    const int arg[] = {a, b, c, depth, real, count[0], count[1], count[2]};
    memcpy(f.arg, arg, sizeof arg);
    f.fill = fill_mma, f.want = want_mma;
    if (real) f.tolerance = c == E_F32 ? "abs:1e-5" : "abs:0.02";
    return f;
}

#define MMA_(id, op, a_type, b_type, c_type, depth, na_, nb_, nc_, text, ...)                      \
    namespace                                                                                      \
    {                                                                                              \
    struct CAT(op_, id) {                                                                          \
        enum { na = na_, nb = nb_, nc = nc_ };                                                     \
        static __device__ void f(const uint32_t *a, const uint32_t *b, uint32_t *c)                \
        {                                                                                          \
            asm volatile(op text : __VA_ARGS__);                                                   \
        }                                                                                          \
    };                                                                                             \
    }                                                                                              \
    static const int CAT(count_, id)[] = {na_, nb_, nc_};                                          \
    FORM(mma_form(op, multiply<CAT(op_, id)>, a_type, b_type, c_type, depth, 0, CAT(count_, id)))  \
    MMA_REAL_##c_type(op "/real", multiply<CAT(op_, id)>, a_type, b_type, c_type, depth,           \
                      CAT(count_, id))
#define MMA_REAL_E_F32(name, kernel, a, b, c, depth, count)                                        \
    FORM(mma_form(name, kernel, a, b, c, depth, 1, count))
#define MMA_REAL_E_F16(name, kernel, a, b, c, depth, count)                                        \
    FORM(mma_form(name, kernel, a, b, c, depth, 1, count))
#define MMA_REAL_E_S32(name, kernel, a, b, c, depth, count)
/* Registers of A, B and C: 4 2 4, 2 1 4, 4 2 2, 2 1 2. */
#define MMA424(op, a_, b_, c_, depth)                                                              \
    MMA_(__COUNTER__, op, a_, b_, c_, depth, 4, 2, 4,                                              \
         " {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};", "+r"(c[0]), "+r"(c[1]),         \
         "+r"(c[2]), "+r"(c[3])                                                                    \
         : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]))
#define MMA214(op, a_, b_, c_, depth)                                                              \
    MMA_(__COUNTER__, op, a_, b_, c_, depth, 2, 1, 4,                                              \
         " {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};", "+r"(c[0]), "+r"(c[1]), "+r"(c[2]),      \
         "+r"(c[3])                                                                                \
         : "r"(a[0]), "r"(a[1]), "r"(b[0]))
#define MMA422(op, a_, b_, c_, depth)                                                              \
    MMA_(__COUNTER__, op, a_, b_, c_, depth, 4, 2, 2,                                              \
         " {%0,%1}, {%2,%3,%4,%5}, {%6,%7}, {%0,%1};", "+r"(c[0]), "+r"(c[1])                      \
         : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]))
#define MMA212(op, a_, b_, c_, depth)                                                              \
    MMA_(__COUNTER__, op, a_, b_, c_, depth, 2, 1, 2, " {%0,%1}, {%2,%3}, {%4}, {%0,%1};",         \
         "+r"(c[0]), "+r"(c[1])                                                                    \
         : "r"(a[0]), "r"(a[1]), "r"(b[0]))
MMA424("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32", E_BF16, E_BF16, E_F32, 16)
MMA424("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32", E_F16, E_F16, E_F32, 16)
MMA422("mma.sync.aligned.m16n8k16.row.col.f16.f16.f16.f16", E_F16, E_F16, E_F16, 16)
MMA214("mma.sync.aligned.m16n8k8.row.col.f32.bf16.bf16.f32", E_BF16, E_BF16, E_F32, 8)
MMA214("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32", E_F16, E_F16, E_F32, 8)
MMA212("mma.sync.aligned.m16n8k8.row.col.f16.f16.f16.f16", E_F16, E_F16, E_F16, 8)
MMA424("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32", E_TF32, E_TF32, E_F32, 8)
MMA214("mma.sync.aligned.m16n8k4.row.col.f32.tf32.tf32.f32", E_TF32, E_TF32, E_F32, 4)
MMA424("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32", E_S8, E_S8, E_S32, 32)
MMA424("mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32", E_U8, E_S8, E_S32, 32)
MMA424("mma.sync.aligned.m16n8k32.row.col.satfinite.s32.s8.u8.s32", E_S8, E_U8, E_S32, 32)
MMA214("mma.sync.aligned.m16n8k16.row.col.s32.s8.s8.s32", E_S8, E_S8, E_S32, 16)
MMA214("mma.sync.aligned.m16n8k16.row.col.s32.u8.u8.s32", E_U8, E_U8, E_S32, 16)
MMA424("mma.sync.aligned.m16n8k64.row.col.s32.s4.s4.s32", E_S4, E_S4, E_S32, 64)
MMA214("mma.sync.aligned.m16n8k32.row.col.s32.u4.s4.s32", E_U4, E_S4, E_S32, 32)
#if CONFORM_SM >= 90
MMA424("mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32", E_E4M3, E_E4M3, E_F32, 32)
MMA424("mma.sync.aligned.m16n8k32.row.col.f32.e5m2.e5m2.f32", E_E5M2, E_E5M2, E_F32, 32)
MMA424("mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e5m2.f32", E_E4M3, E_E5M2, E_F32, 32)
MMA424("mma.sync.aligned.m16n8k32.row.col.f32.e5m2.e4m3.f32", E_E5M2, E_E4M3, E_F32, 32)
#endif

/* f64: one element a lane of A and B, two of C. */
static __global__ void mma_f64(const void *in, void *out)
{
    const double *p = (const double *)in + threadIdx.x * 4;
    double c0 = p[2], c1 = p[3];
    asm volatile("mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%0,%1}, {%2}, {%3}, {%0,%1};"
                 : "+d"(c0), "+d"(c1)
                 : "d"(p[0]), "d"(p[1]));
    ((double *)out)[threadIdx.x * 2] = c0, ((double *)out)[threadIdx.x * 2 + 1] = c1;
}
static void fill_f64(const struct form *, void *in)
{
    for (int i = 0; i < 128; i++) ((double *)in)[i] = (double)(int)(mix(i) % 17) - 8;
}
static int want_f64(const struct form *, const void *in, void *want)
{
    const double *p = (const double *)in;
    for (int lane = 0; lane < 32; lane++)
        for (int i = 0; i < 2; i++) {
            double sum = p[lane * 4 + 2 + i];
            for (int k = 0; k < 4; k++)
                sum += p[(lane / 4 * 4 + k) * 4] * p[((lane % 4 * 2 + i) * 4 + k) * 4 + 1];
            ((double *)want)[lane * 2 + i] = sum;
        }
    return 1;
}
FORM(with_want(with_fill(form_new("mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64", "f64", mma_f64,
                                  32, 1024, 512),
                         fill_f64),
               want_f64))
