/* wgmma: shapes, types, sources of A, layouts and swizzles of shared memory, scales. The host lays A
 * and B out in shared memory's order and gives the descriptors without their address; D begins as
 * small integers. */
#include "conform_device.h"
#include "conform_matrix.h"
#include "conform_number.h"

#if CONFORM_SM >= 90
static struct family here("wgmma");

enum { MN_MAJOR = 1, WARPGROUP = 128, IMAGE = 16384 };

/* How a matrix lies in shared memory. width: of the swizzle in bytes, 0 for none. */
struct layout {
    int width, mn_major;
};

struct product {
    const char *name;
    enum element a, b, d;
    int n, depth, steps; /* steps: products added up, depth apart */
    struct layout a_layout, b_layout;
    int a_in_registers, keep, a_sign, b_sign, real;
};

/* The kernel's input; a_image holds fragments when A is in registers. */
struct input {
    uint64_t a_descriptor, b_descriptor;
    uint32_t a_step, b_step, keep, steps;
    uint32_t a_image[IMAGE / 4], b_image[IMAGE * 2 / 4];
};

__host__ __device__ static int first_value(int thread, int i) { return (thread * 3 + i) % 7 - 3; }

#define D4(i)   "+r"(d[i]), "+r"(d[i + 1]), "+r"(d[i + 2]), "+r"(d[i + 3])
#define D8(i)   D4(i), D4(i + 4)
#define D16(i)  D8(i), D8(i + 8)
#define D32(i)  D16(i), D16(i + 16)
#define D64(i)  D32(i), D32(i + 32)
#define D128(i) D64(i), D64(i + 64)
#define N4   "%0,%1,%2,%3"
#define N8   N4 ",%4,%5,%6,%7"
#define N12  N8 ",%8,%9,%10,%11"
#define N16  N12 ",%12,%13,%14,%15"
#define N32  N16 ",%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31"
#define N64                                                                                        \
    N32 ",%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53" \
        ",%54,%55,%56,%57,%58,%59,%60,%61,%62,%63"
#define N128                                                                                       \
    N64 ",%64,%65,%66,%67,%68,%69,%70,%71,%72,%73,%74,%75,%76,%77,%78,%79,%80,%81,%82,%83,%84"     \
        ",%85,%86,%87,%88,%89,%90,%91,%92,%93,%94,%95,%96,%97,%98,%99,%100,%101,%102,%103,%104"    \
        ",%105,%106,%107,%108,%109,%110,%111,%112,%113,%114,%115,%116,%117,%118,%119,%120,%121"    \
        ",%122,%123,%124,%125,%126,%127"
/* Operands after n registers of D: A and B, then the predicate that keeps D. */
#define SS4   "%4, %5, p"
#define P4    "%6"
#define SS8   "%8, %9, p"
#define P8    "%10"
#define SS12  "%12, %13, p"
#define P12   "%14"
#define SS16  "%16, %17, p"
#define P16   "%18"
#define SS32  "%32, %33, p"
#define P32   "%34"
#define SS64  "%64, %65, p"
#define P64   "%66"
#define SS128 "%128, %129, p"
#define P128  "%130"
#define RS4   "{%4,%5,%6,%7}, %8, p"
#define RP4   "%9"
#define RS16  "{%16,%17,%18,%19}, %20, p"
#define RP16  "%21"
#define RS32  "{%32,%33,%34,%35}, %36, p"
#define RP32  "%37"
#define D12(i) D8(i), D4(i + 8)

#define WGMMA_SS(regs, op, immediates)                                                             \
    asm volatile("{.reg .pred p; setp.ne.u32 p, " P##regs ", 0; " op " {" N##regs "}, " SS##regs   \
                 immediates ";}"                                                                   \
                 : D##regs(0)                                                                      \
                 : "l"(a), "l"(b), "r"(keep)                                                       \
                 : "memory")
#define WGMMA_RS(regs, op, immediates)                                                             \
    asm volatile("{.reg .pred p; setp.ne.u32 p, " RP##regs ", 0; " op " {" N##regs "}, " RS##regs  \
                 immediates ";}"                                                                   \
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

template <class Op> __global__ void __launch_bounds__(WARPGROUP) multiply(const void *in_, void *out)
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
        asm volatile("wgmma.commit_group.sync.aligned; wgmma.wait_group.sync.aligned 0;" :::
                     "memory");
        a += in->a_step >> 4, b += in->b_step >> 4, keep = 1;
    }
    for (int i = 0; i < Op::regs; i++) ((uint32_t *)out)[i * WARPGROUP + t] = d[i];
}

/* Offset of an element, mn in [0, rows), k in [0, depth of the whole image). */
static int offset_of(struct layout l, int size, int rows, int depth, int mn, int k)
{
    const int t = 16 / size, w = l.width;
    int at;
    if (!w && !l.mn_major) at = mn % 8 * 16 + mn / 8 * (depth / t) * 128 + k / t * 128 + k % t * size;
    else if (!w) at = mn % t * size + k % 8 * 16 + mn / t * (depth / 8) * 128 + k / 8 * 128;
    else if (!l.mn_major) at = mn % 8 * w + mn / 8 * 8 * w + k * size;
    else at = mn % (w / size) * size + k % 8 * w + k / 8 * 8 * w + mn / (w / size) * depth * w;
    (void)rows;
    return w ? at ^ (at >> 7 & (w / 16 - 1)) << 4 : at;
}

/* Leading and stride byte offsets and the swizzle, in the descriptor's places. */
static uint64_t descriptor_of(struct layout l, int size, int depth)
{
    const int t = 16 / size, w = l.width;
    uint64_t leading, stride, swizzle = w == 128 ? 1 : w == 64 ? 2 : w == 32 ? 3 : 0;
    if (!w && !l.mn_major) leading = 128, stride = (uint64_t)(depth / t * 128);
    else if (!w) leading = 128, stride = (uint64_t)(depth / 8 * 128);
    else if (!l.mn_major) leading = 16, stride = (uint64_t)(8 * w);
    else leading = (uint64_t)(depth * w), stride = (uint64_t)(8 * w);
    return leading >> 4 << 16 | stride >> 4 << 32 | swizzle << 62;
}

/* Bytes from a product's operand to that of the next depth. */
static int advance(struct layout l, int size, int depth)
{
    if (!l.width) return l.mn_major ? depth / 8 * 128 : depth * size / 16 * 128;
    return l.mn_major ? depth / 8 * 8 * l.width : depth * size;
}

static uint32_t element_of(const struct product *p, int is_b, int row, int k)
{
    return element_drawn(is_b ? p->b : p->a, p->real,
                         (uint64_t)(is_b ? 1 << 20 : 0) + (uint64_t)(row * 256 + k));
}

static void lay_out(const struct product *p, int is_b, uint32_t *image)
{
    const int bits = element_bits(is_b ? p->b : p->a), rows = is_b ? p->n : 64;
    const int depth = p->depth * p->steps;
    for (int row = 0; row < rows; row++)
        for (int k = 0; k < depth; k++) {
            const uint32_t v = element_of(p, is_b, row, k);
            const int at = offset_of(is_b ? p->b_layout : p->a_layout, bits / 8, rows, depth, row, k);
            memcpy((char *)image + at, &v, (size_t)bits / 8);
        }
}

/* Fragments of A: the registers of mma's A, for each warp 16 rows. */
static void lay_fragments(const struct product *p, uint32_t *image)
{
    const int bits = element_bits(p->a), in_reg = 32 / bits;
    memset(image, 0, IMAGE);
    for (int step = 0; step < p->steps; step++)
        for (int t = 0; t < WARPGROUP; t++)
            for (int i = 0; i < 4 * in_reg; i++) {
                const int reg = i / in_reg, row = t / 32 * 16 + t % 32 / 4 + 8 * (reg & 1);
                const int k = t % 4 * in_reg + i % in_reg + (reg >> 1) * 4 * in_reg;
                image[(step * WARPGROUP + t) * 4 + reg] |=
                    element_of(p, 0, row, step * p->depth + k) << i % in_reg * bits % 32;
            }
}

static void fill_product(const struct form *f, void *in)
{
    const struct product *p = (const struct product *)f->extra;
    struct input *to = (struct input *)in;
    const int depth = p->depth * p->steps, a_size = element_bits(p->a) / 8;
    const int b_size = element_bits(p->b) / 8;
    memset(to, 0, sizeof *to);
    to->a_descriptor = descriptor_of(p->a_layout, a_size, depth);
    to->b_descriptor = descriptor_of(p->b_layout, b_size, depth);
    to->a_step = (uint32_t)advance(p->a_layout, a_size, p->depth);
    to->b_step = (uint32_t)advance(p->b_layout, b_size, p->depth);
    to->keep = (uint32_t)p->keep, to->steps = (uint32_t)p->steps;
    if (p->a_in_registers) lay_fragments(p, to->a_image);
    else lay_out(p, 0, to->a_image);
    lay_out(p, 1, to->b_image);
}

static int want_product(const struct form *f, const void *, void *want)
{
    const struct product *p = (const struct product *)f->extra;
    const int depth = p->depth * p->steps, half = p->d == E_F16;
    static double a[64][256], b[256][256];
    for (int k = 0; k < depth; k++) {
        for (int i = 0; i < 64; i++) a[i][k] = element_value(p->a, element_of(p, 0, i, k));
        for (int i = 0; i < p->n; i++) b[i][k] = element_value(p->b, element_of(p, 1, i, k));
    }
    for (int t = 0; t < WARPGROUP; t++)
        for (int i = 0; i < p->n / 2; i++) {
            const int row = t / 32 * 16 + t % 32 / 4 + 8 * (i / 2 % 2);
            const int column = i / 4 * 8 + t % 4 * 2 + i % 2;
            double sum = 0;
            for (int k = 0; k < depth; k++) sum += a[row][k] * b[column][k];
            sum *= p->a_sign * p->b_sign;
            if (p->keep) sum += first_value(t, i);
            const uint32_t bits = element_bits_of(p->d, sum);
            if (half) ((uint16_t *)want)[(i / 2 * WARPGROUP + t) * 2 + i % 2] = (uint16_t)bits;
            else ((uint32_t *)want)[i * WARPGROUP + t] = bits;
        }
    return 1;
}

static struct form product_form(const struct product *p, kernel_fn *kernel)
{
    const unsigned words = (unsigned)(WARPGROUP * p->n / (p->d == E_F16 ? 4 : 2));
    struct form f = form_new(p->name, p->d == E_F32 ? "f32" : p->d == E_F16 ? "f16x2" : "s32",
                             kernel, WARPGROUP, sizeof(struct input), 4 * words);
    f.shared = 3 * IMAGE, f.fill = fill_product, f.want = want_product, f.extra = p;
    if (p->real) f.tolerance = p->d == E_F16 ? "abs:0.02" : "abs:1e-4";
    /* Odd, so that the printed elements meet every thread and register. */
    f.every = words > 8192 ? 31 : words > 2048 ? 17 : words > 1024 ? 5 : 1;
    return f;
}

#define KERNEL(name, regs_, type_, asm_)                                                           \
    namespace { struct name {                                                                      \
        enum { regs = regs_, type = type_ };                                                       \
        static __device__ __forceinline__ void f(uint32_t *d, const uint32_t *f, uint64_t a,       \
                                                 uint64_t b, uint32_t keep)                        \
        {                                                                                          \
            (void)f, (void)a;                                                                      \
            asm_;                                                                                  \
        }                                                                                          \
    }; }
#define OP(n, types) "wgmma.mma_async.sync.aligned.m64n" n types
#define BF_TYPES "k16.f32.bf16.bf16"
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
#define K(width)  {width, 0}
#define MN(width) {width, 1}
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
PRODUCT("f16,n32,A-registers", f16_n32_rs, E_F16, E_F16, E_F32, 32, 16, 1, K(128), K(128), 1, 1, 1, 1, 0)
PRODUCT("f16,f16-sum,n32", f16_n32_h, N32_OF(E_F16, E_F16, E_F16, 16, 0))
PRODUCT("f16,f16-sum,n32/real", f16_n32_h, N32_OF(E_F16, E_F16, E_F16, 16, 1))
PRODUCT("tf32,n32", tf32_n32, N32_OF(E_TF32, E_TF32, E_F32, 8, 0))
PRODUCT("tf32,n32/real", tf32_n32, N32_OF(E_TF32, E_TF32, E_F32, 8, 1))
PRODUCT("tf32,n32,none", tf32_n32, E_TF32, E_TF32, E_F32, 32, 8, 1, K(0), K(0), 0, 1, 1, 1, 0)
PRODUCT("tf32,n32,A-registers", tf32_n32_rs, E_TF32, E_TF32, E_F32, 32, 8, 1, K(128), K(128), 1, 1, 1, 1, 0)
PRODUCT("e4m3,n32", e4m3_n32, N32_OF(E_E4M3, E_E4M3, E_F32, 32, 0))
PRODUCT("e4m3,n32/real", e4m3_n32, N32_OF(E_E4M3, E_E4M3, E_F32, 32, 1))
PRODUCT("e4m3,n32,none", e4m3_n32, E_E4M3, E_E4M3, E_F32, 32, 32, 1, K(0), K(0), 0, 1, 1, 1, 0)
PRODUCT("e4m3,n32,A-registers", e4m3_n32_rs, E_E4M3, E_E4M3, E_F32, 32, 32, 1, K(128), K(128), 1, 1, 1, 1, 0)
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
