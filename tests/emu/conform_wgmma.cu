/* SPDX-License-Identifier: Apache-2.0 */
/* wgmma: shapes, types, sources of A, layouts and swizzles of shared memory, scales. The host lays
 * A and B out in shared memory's order and gives the descriptors without their address; D begins as
 * small integers. */
#include "conform_device.h"
#include "conform_product.h"

#if CONFORM_SM >= 90
static struct family here("wgmma");

#define D4(i)   "+r"(d[i]), "+r"(d[i + 1]), "+r"(d[i + 2]), "+r"(d[i + 3])
#define D8(i)   D4(i), D4(i + 4)
#define D16(i)  D8(i), D8(i + 8)
#define D32(i)  D16(i), D16(i + 16)
#define D64(i)  D32(i), D32(i + 32)
#define D128(i) D64(i), D64(i + 64)
#define N4      "%0,%1,%2,%3"
#define N8      N4 ",%4,%5,%6,%7"
#define N12     N8 ",%8,%9,%10,%11"
#define N16     N12 ",%12,%13,%14,%15"
#define N32     N16 ",%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31"
#define N64                                                                                        \
    N32 ",%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53" \
        ",%54,%55,%56,%57,%58,%59,%60,%61,%62,%63"
#define N128                                                                                       \
    N64 ",%64,%65,%66,%67,%68,%69,%70,%71,%72,%73,%74,%75,%76,%77,%78,%79,%80,%81,%82,%83,%84"     \
        ",%85,%86,%87,%88,%89,%90,%91,%92,%93,%94,%95,%96,%97,%98,%99,%100,%101,%102,%103,%104"    \
        ",%105,%106,%107,%108,%109,%110,%111,%112,%113,%114,%115,%116,%117,%118,%119,%120,%121"    \
        ",%122,%123,%124,%125,%126,%127"
/* Operands after n registers of D: A and B, then the predicate that keeps D. */
#define SS4    "%4, %5, p"
#define P4     "%6"
#define SS8    "%8, %9, p"
#define P8     "%10"
#define SS12   "%12, %13, p"
#define P12    "%14"
#define SS16   "%16, %17, p"
#define P16    "%18"
#define SS32   "%32, %33, p"
#define P32    "%34"
#define SS64   "%64, %65, p"
#define P64    "%66"
#define SS128  "%128, %129, p"
#define P128   "%130"
#define RS4    "{%4,%5,%6,%7}, %8, p"
#define RP4    "%9"
#define RS16   "{%16,%17,%18,%19}, %20, p"
#define RP16   "%21"
#define RS32   "{%32,%33,%34,%35}, %36, p"
#define RP32   "%37"
#define D12(i) D8(i), D4(i + 8)

#define WGMMA_SS(regs, op, immediates)                                                             \
    asm volatile("{.reg .pred p; setp.ne.u32 p, " P##regs ", 0; " op " {" N##regs                  \
                 "}, " SS##regs immediates ";}"                                                    \
                 : D##regs(0)                                                                      \
                 : "l"(a), "l"(b), "r"(keep)                                                       \
                 : "memory")
#define WGMMA_RS(regs, op, immediates)                                                             \
    asm volatile("{.reg .pred p; setp.ne.u32 p, " RP##regs ", 0; " op " {" N##regs                 \
                 "}, " RS##regs immediates ";}"                                                    \
                 : D##regs(0)                                                                      \
                 : "r"(f[0]), "r"(f[1]), "r"(f[2]), "r"(f[3]), "l"(b), "r"(keep)                   \
                 : "memory")

static __device__ uint32_t first_bits(int type, int thread, int reg)
{
    if (type == E_F32) return __float_as_uint((float)first_value(thread, reg));
    if (type == E_S32) return (uint32_t)first_value(thread, reg);
    uint32_t z;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;"
        : "=r"(z)
        : "f"((float)first_value(thread, 2 * reg + 1)), "f"((float)first_value(thread, 2 * reg)));
    return z;
}

template <class Op>
__global__ void __launch_bounds__(WARPGROUP) multiply(const void *in_, void *out)
{
    extern __shared__ __align__(1024) uint32_t s[];
    const struct input *in = (const struct input *)in_;
    uint32_t d[Op::regs], f[4] = {}, keep = in->keep;
    const int t = threadIdx.x;
    for (int i = 0; i < Op::regs; i++) d[i] = first_bits(Op::type, t, i);
    copy_words(s, in->a_image, IMAGE);
    copy_words(s + IMAGE / 4, in->b_image, 2 * IMAGE);
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    __syncthreads();
    uint64_t a = in->a_descriptor | (shared_address(s) & 0x3ffff) >> 4;
    uint64_t b = in->b_descriptor | (shared_address(s + IMAGE / 4) & 0x3ffff) >> 4;
    for (uint32_t step = 0; step < in->steps; step++) {
        for (int i = 0; i < 4; i++) f[i] = in->a_image[(step * WARPGROUP + t) * 4 + i];
        asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
        Op::f(d, f, a, b, keep);
        asm volatile("wgmma.commit_group.sync.aligned; wgmma.wait_group.sync.aligned 0;" ::
                         : "memory");
        a += in->a_step >> 4, b += in->b_step >> 4, keep = 1;
    }
    for (int i = 0; i < Op::regs; i++) ((uint32_t *)out)[i * WARPGROUP + t] = d[i];
}

#define KERNEL(name, regs_, type_, asm_)                                                           \
    namespace                                                                                      \
    {                                                                                              \
    struct name {                                                                                  \
        enum { regs = regs_, type = type_ };                                                       \
        static __device__ __forceinline__ void f(uint32_t *d, const uint32_t *f, uint64_t a,       \
                                                 uint64_t b, uint32_t keep)                        \
        {                                                                                          \
            (void)f, (void)a;                                                                      \
            asm_;                                                                                  \
        }                                                                                          \
    };                                                                                             \
    }
#define OP(n, types) "wgmma.mma_async.sync.aligned.m64n" n types
#define BF_TYPES     "k16.f32.bf16.bf16"
KERNEL(bf16_n8, 4, E_F32, WGMMA_SS(4, OP("8", BF_TYPES), ", 1, 1, 0, 0"))
KERNEL(bf16_n16, 8, E_F32, WGMMA_SS(8, OP("16", BF_TYPES), ", 1, 1, 0, 0"))
KERNEL(bf16_n24, 12, E_F32, WGMMA_SS(12, OP("24", BF_TYPES), ", 1, 1, 0, 0"))
KERNEL(bf16_n32, 16, E_F32, WGMMA_SS(16, OP("32", BF_TYPES), ", 1, 1, 0, 0"))
KERNEL(bf16_n64, 32, E_F32, WGMMA_SS(32, OP("64", BF_TYPES), ", 1, 1, 0, 0"))
KERNEL(bf16_n128, 64, E_F32, WGMMA_SS(64, OP("128", BF_TYPES), ", 1, 1, 0, 0"))
KERNEL(bf16_n256, 128, E_F32, WGMMA_SS(128, OP("256", BF_TYPES), ", 1, 1, 0, 0"))
KERNEL(bf16_n64_ta, 32, E_F32, WGMMA_SS(32, OP("64", BF_TYPES), ", 1, 1, 1, 0"))
KERNEL(bf16_n64_tb, 32, E_F32, WGMMA_SS(32, OP("64", BF_TYPES), ", 1, 1, 0, 1"))
KERNEL(bf16_n64_tab, 32, E_F32, WGMMA_SS(32, OP("64", BF_TYPES), ", 1, 1, 1, 1"))
KERNEL(bf16_n128_tb, 64, E_F32, WGMMA_SS(64, OP("128", BF_TYPES), ", 1, 1, 0, 1"))
KERNEL(bf16_n32_na, 16, E_F32, WGMMA_SS(16, OP("32", BF_TYPES), ", -1, 1, 0, 0"))
KERNEL(bf16_n32_nb, 16, E_F32, WGMMA_SS(16, OP("32", BF_TYPES), ", 1, -1, 0, 0"))
KERNEL(bf16_n32_nab, 16, E_F32, WGMMA_SS(16, OP("32", BF_TYPES), ", -1, -1, 0, 0"))
KERNEL(bf16_n8_rs, 4, E_F32, WGMMA_RS(4, OP("8", BF_TYPES), ", 1, 1, 0"))
KERNEL(bf16_n32_rs, 16, E_F32, WGMMA_RS(16, OP("32", BF_TYPES), ", 1, 1, 0"))
KERNEL(bf16_n64_rs, 32, E_F32, WGMMA_RS(32, OP("64", BF_TYPES), ", 1, 1, 0"))
KERNEL(bf16_n64_rs_tb, 32, E_F32, WGMMA_RS(32, OP("64", BF_TYPES), ", 1, 1, 1"))
KERNEL(bf16_n32_rs_na, 16, E_F32, WGMMA_RS(16, OP("32", BF_TYPES), ", -1, 1, 0"))
KERNEL(f16_n32, 16, E_F32, WGMMA_SS(16, OP("32", "k16.f32.f16.f16"), ", 1, 1, 0, 0"))
KERNEL(f16_n32_rs, 16, E_F32, WGMMA_RS(16, OP("32", "k16.f32.f16.f16"), ", 1, 1, 0"))
KERNEL(f16_n32_h, 8, E_F16, WGMMA_SS(8, OP("32", "k16.f16.f16.f16"), ", 1, 1, 0, 0"))
KERNEL(tf32_n32, 16, E_F32, WGMMA_SS(16, OP("32", "k8.f32.tf32.tf32"), ", 1, 1"))
KERNEL(tf32_n32_rs, 16, E_F32, WGMMA_RS(16, OP("32", "k8.f32.tf32.tf32"), ", 1, 1"))
KERNEL(e4m3_n32, 16, E_F32, WGMMA_SS(16, OP("32", "k32.f32.e4m3.e4m3"), ", 1, 1"))
KERNEL(e5m2_n32, 16, E_F32, WGMMA_SS(16, OP("32", "k32.f32.e5m2.e5m2"), ", 1, 1"))
KERNEL(e4m3_e5m2_n32, 16, E_F32, WGMMA_SS(16, OP("32", "k32.f32.e4m3.e5m2"), ", 1, 1"))
KERNEL(e5m2_e4m3_n32, 16, E_F32, WGMMA_SS(16, OP("32", "k32.f32.e5m2.e4m3"), ", 1, 1"))
KERNEL(e4m3_n32_rs, 16, E_F32, WGMMA_RS(16, OP("32", "k32.f32.e4m3.e4m3"), ", 1, 1"))
KERNEL(e4m3_n32_h, 8, E_F16, WGMMA_SS(8, OP("32", "k32.f16.e4m3.e4m3"), ", 1, 1"))
KERNEL(s8_n32, 16, E_S32, WGMMA_SS(16, OP("32", "k32.s32.s8.s8"), ""))
KERNEL(u8_s8_n32, 16, E_S32, WGMMA_SS(16, OP("32", "k32.s32.u8.s8"), ""))

/* name, kernel, A, B, D, n, depth, steps, layouts, A in registers, keep D, signs, real. */
#define K(width)                                                                                   \
    {                                                                                              \
        width, 0                                                                                   \
    }
#define MN(width)                                                                                  \
    {                                                                                              \
        width, 1                                                                                   \
    }
#define PRODUCT(name, kernel, ...) PRODUCT_(__COUNTER__, name, kernel, __VA_ARGS__)
#define PRODUCT_(id, name, kernel, ...)                                                            \
    static const struct product CAT(product_, id) = {"wgmma/" name, __VA_ARGS__};                  \
    FORM(product_form(&CAT(product_, id), multiply<kernel>))
#define BF(n, steps, a, b) E_BF16, E_BF16, E_F32, n, 16, steps, a, b
PRODUCT("bf16,n8", bf16_n8, BF(8, 1, K(128), K(128)), 0, 1, 1, 1, 0)
PRODUCT("bf16,n16", bf16_n16, BF(16, 1, K(128), K(128)), 0, 1, 1, 1, 0)
PRODUCT("bf16,n24", bf16_n24, BF(24, 1, K(128), K(128)), 0, 1, 1, 1, 0)
PRODUCT("bf16,n32", bf16_n32, BF(32, 1, K(128), K(128)), 0, 1, 1, 1, 0)
PRODUCT("bf16,n64", bf16_n64, BF(64, 1, K(128), K(128)), 0, 1, 1, 1, 0)
PRODUCT("bf16,n128", bf16_n128, BF(128, 1, K(128), K(128)), 0, 1, 1, 1, 0)
PRODUCT("bf16,n256", bf16_n256, BF(256, 1, K(64), K(64)), 0, 1, 1, 1, 0)
PRODUCT("bf16,n32,scale-d=0", bf16_n32, BF(32, 1, K(128), K(128)), 0, 0, 1, 1, 0)
PRODUCT("bf16,n32,-A", bf16_n32_na, BF(32, 1, K(128), K(128)), 0, 1, -1, 1, 0)
PRODUCT("bf16,n32,-B", bf16_n32_nb, BF(32, 1, K(128), K(128)), 0, 1, 1, -1, 0)
PRODUCT("bf16,n32,-A,-B", bf16_n32_nab, BF(32, 1, K(128), K(128)), 0, 1, -1, -1, 0)
#define WIDTHS(name, kernel, n, a, b)                                                              \
    PRODUCT(name ",none", kernel, BF(n, 1, a(0), b(0)), 0, 1, 1, 1, 0)                             \
    PRODUCT(name ",32B", kernel, BF(n, 1, a(32), b(32)), 0, 1, 1, 1, 0)                            \
    PRODUCT(name ",64B", kernel, BF(n, 1, a(64), b(64)), 0, 1, 1, 1, 0)                            \
    PRODUCT(name ",128B", kernel, BF(n, 1, a(128), b(128)), 0, 1, 1, 1, 0)
WIDTHS("bf16,n64,K,K", bf16_n64, 64, K, K)
WIDTHS("bf16,n64,M,K", bf16_n64_ta, 64, MN, K)
WIDTHS("bf16,n64,K,N", bf16_n64_tb, 64, K, MN)
WIDTHS("bf16,n64,M,N", bf16_n64_tab, 64, MN, MN)
PRODUCT("bf16,n64,K32B,K128B", bf16_n64, BF(64, 1, K(32), K(128)), 0, 1, 1, 1, 0)
PRODUCT("bf16,n128,K,N,128B", bf16_n128_tb, BF(128, 1, K(128), MN(128)), 0, 1, 1, 1, 0)
PRODUCT("bf16,n128,K,N,64B", bf16_n128_tb, BF(128, 1, K(128), MN(64)), 0, 1, 1, 1, 0)
PRODUCT("bf16,n64,4-steps,128B", bf16_n64, BF(64, 4, K(128), K(128)), 0, 0, 1, 1, 0)
PRODUCT("bf16,n64,2-steps,64B", bf16_n64, BF(64, 2, K(64), K(64)), 0, 0, 1, 1, 0)
PRODUCT("bf16,n64,4-steps,none", bf16_n64, BF(64, 4, K(0), K(0)), 0, 0, 1, 1, 0)
PRODUCT("bf16,n64,4-steps,M,N,128B", bf16_n64_tab, BF(64, 4, MN(128), MN(128)), 0, 0, 1, 1, 0)
PRODUCT("bf16,n128,4-steps,K,N,128B", bf16_n128_tb, BF(128, 4, K(128), MN(128)), 0, 0, 1, 1, 0)
PRODUCT("bf16,n8,A-registers", bf16_n8_rs, BF(8, 1, K(128), K(128)), 1, 1, 1, 1, 0)
PRODUCT("bf16,n32,A-registers", bf16_n32_rs, BF(32, 1, K(128), K(128)), 1, 1, 1, 1, 0)
PRODUCT("bf16,n64,A-registers,N", bf16_n64_rs_tb, BF(64, 1, K(128), MN(128)), 1, 1, 1, 1, 0)
PRODUCT("bf16,n64,A-registers,4-steps", bf16_n64_rs, BF(64, 4, K(128), K(128)), 1, 0, 1, 1, 0)
PRODUCT("bf16,n32,A-registers,-A", bf16_n32_rs_na, BF(32, 1, K(128), K(128)), 1, 1, -1, 1, 0)
PRODUCT("bf16,n32/real", bf16_n32, BF(32, 1, K(128), K(128)), 0, 1, 1, 1, 1)
PRODUCT("bf16,n64,4-steps/real", bf16_n64, BF(64, 4, K(128), K(128)), 0, 1, 1, 1, 1)
PRODUCT("bf16,n32,A-registers/real", bf16_n32_rs, BF(32, 1, K(128), K(128)), 1, 1, 1, 1, 1)
#define N32_OF(a, b, d, depth, real) a, b, d, 32, depth, 1, K(128), K(128), 0, 1, 1, 1, real
PRODUCT("f16,n32", f16_n32, N32_OF(E_F16, E_F16, E_F32, 16, 0))
PRODUCT("f16,n32/real", f16_n32, N32_OF(E_F16, E_F16, E_F32, 16, 1))
PRODUCT("f16,n32,A-registers", f16_n32_rs, E_F16, E_F16, E_F32, 32, 16, 1, K(128), K(128), 1, 1, 1,
        1, 0)
PRODUCT("f16,f16-sum,n32", f16_n32_h, N32_OF(E_F16, E_F16, E_F16, 16, 0))
PRODUCT("f16,f16-sum,n32/real", f16_n32_h, N32_OF(E_F16, E_F16, E_F16, 16, 1))
PRODUCT("tf32,n32", tf32_n32, N32_OF(E_TF32, E_TF32, E_F32, 8, 0))
PRODUCT("tf32,n32/real", tf32_n32, N32_OF(E_TF32, E_TF32, E_F32, 8, 1))
PRODUCT("tf32,n32,none", tf32_n32, E_TF32, E_TF32, E_F32, 32, 8, 1, K(0), K(0), 0, 1, 1, 1, 0)
PRODUCT("tf32,n32,A-registers", tf32_n32_rs, E_TF32, E_TF32, E_F32, 32, 8, 1, K(128), K(128), 1, 1,
        1, 1, 0)
PRODUCT("e4m3,n32", e4m3_n32, N32_OF(E_E4M3, E_E4M3, E_F32, 32, 0))
PRODUCT("e4m3,n32/real", e4m3_n32, N32_OF(E_E4M3, E_E4M3, E_F32, 32, 1))
PRODUCT("e4m3,n32,none", e4m3_n32, E_E4M3, E_E4M3, E_F32, 32, 32, 1, K(0), K(0), 0, 1, 1, 1, 0)
PRODUCT("e4m3,n32,A-registers", e4m3_n32_rs, E_E4M3, E_E4M3, E_F32, 32, 32, 1, K(128), K(128), 1, 1,
        1, 1, 0)
PRODUCT("e4m3,f16-sum,n32", e4m3_n32_h, N32_OF(E_E4M3, E_E4M3, E_F16, 32, 0))
PRODUCT("e5m2,n32", e5m2_n32, N32_OF(E_E5M2, E_E5M2, E_F32, 32, 0))
PRODUCT("e5m2,n32/real", e5m2_n32, N32_OF(E_E5M2, E_E5M2, E_F32, 32, 1))
PRODUCT("e4m3,e5m2,n32", e4m3_e5m2_n32, N32_OF(E_E4M3, E_E5M2, E_F32, 32, 0))
PRODUCT("e5m2,e4m3,n32", e5m2_e4m3_n32, N32_OF(E_E5M2, E_E4M3, E_F32, 32, 0))
PRODUCT("s8,n32", s8_n32, N32_OF(E_S8, E_S8, E_S32, 32, 0))
PRODUCT("u8,s8,n32", u8_s8_n32, N32_OF(E_U8, E_S8, E_S32, 32, 0))

/* Two groups in flight; the wait for one leaves the other. */
static __global__ void __launch_bounds__(WARPGROUP) two_groups(const void *in_, void *out)
{
    extern __shared__ __align__(1024) uint32_t s[];
    const struct input *in = (const struct input *)in_;
    uint32_t d[4], e[4];
    const int t = threadIdx.x;
    for (int i = 0; i < 4; i++) d[i] = e[i] = first_bits(E_F32, t, i);
    copy_words(s, in->a_image, IMAGE);
    copy_words(s + IMAGE / 4, in->b_image, 2 * IMAGE);
    asm volatile("fence.proxy.async;" ::: "memory");
    __syncthreads();
    const uint64_t a = in->a_descriptor | (shared_address(s) & 0x3ffff) >> 4;
    const uint64_t b = in->b_descriptor | (shared_address(s + IMAGE / 4) & 0x3ffff) >> 4;
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
    bf16_n8::f(d, NULL, a, b, 0);
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
    bf16_n8::f(e, NULL, a, b, 1);
    asm volatile("wgmma.commit_group.sync.aligned; wgmma.wait_group.sync.aligned 1;" ::: "memory");
    for (int i = 0; i < 4; i++) ((uint32_t *)out)[i * WARPGROUP + t] = d[i];
    asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
    for (int i = 0; i < 4; i++) ((uint32_t *)out)[(4 + i) * WARPGROUP + t] = e[i];
}
static int want_two(const struct form *f, const void *in, void *want)
{
    struct product p = *(const struct product *)f->extra;
    struct form g = *f;
    g.extra = &p;
    p.keep = 0;
    want_product(&g, in, want);
    p.keep = 1;
    return want_product(&g, in, (uint32_t *)want + 4 * WARPGROUP);
}
static struct form two_form(const struct product *p)
{
    struct form f = product_form(p, two_groups);
    f.out_bytes *= 2, f.want = want_two;
    return f;
}
static const struct product two = {"wgmma.wait_group/1", BF(8, 1, K(128), K(128)), 0, 1, 1, 1, 0};
FORM(two_form(&two))
#endif
