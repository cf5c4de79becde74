/* SPDX-License-Identifier: Apache-2.0 */
/* Special registers and state spaces. */
#include "conform_kernel.h"

static struct family here("misc");

#define GET(register) asm volatile("mov.u32 %0, %%" register ";" : "=r"(*o++))
KERNEL("%tid,%ntid,%ctaid,%nctaid,%laneid", 3, 64, 9, GET("tid.x"); GET("tid.y"); GET("tid.z");
       GET("ntid.x"); GET("ntid.y"); GET("ctaid.x"); GET("ctaid.z"); GET("nctaid.x"); GET("laneid");
       , const uint32_t v[] = {i % 64, 0, 0, 64, 1, i / 64, 0, 3, i % 32}; memcpy(w, v, sizeof v))
KERNEL("%lanemask", 1, 32, 5, GET("lanemask_eq"); GET("lanemask_le"); GET("lanemask_lt");
       GET("lanemask_ge"); GET("lanemask_gt");, w[0] = 1u << i; w[1] = w[0] | (w[0] - 1);
       w[2] = w[0] - 1; w[3] = ~w[2]; w[4] = ~w[1])
static __global__ void grid_2d(const void *, void *out)
{
    uint32_t *o =
        (uint32_t *)out +
        3 * (((blockIdx.y * gridDim.x + blockIdx.x) * blockDim.y + threadIdx.y) * blockDim.x +
             threadIdx.x);
    asm volatile("mov.u32 %0, %%tid.y;" : "=r"(o[0]));
    asm volatile("mov.u32 %0, %%ctaid.y;" : "=r"(o[1]));
    asm volatile("mov.u32 %0, %%laneid;" : "=r"(o[2]));
}
static int launch_2d(const struct form *, const void *in, void *out)
{
    grid_2d<<<dim3(2, 3), dim3(8, 6)>>>(in, out);
    return cudaGetLastError();
}
static int want_2d(const struct form *, const void *, void *want)
{
    for (uint32_t i = 0; i < 6 * 48; i++) {
        uint32_t *w = (uint32_t *)want + 3 * i;
        w[0] = i % 48 / 8, w[1] = i / 96, w[2] = i % 48 % 32;
    }
    return 1;
}
static struct form form_2d(void)
{
    struct form f = form_new("%tid.y,%ctaid.y", "u32", grid_2d, 48, 16, 6 * 48 * 12);
    f.launch = launch_2d, f.want = want_2d;
    return f;
}
FORM(form_2d())

/* State spaces. */
struct parameters {
    uint8_t b;
    uint16_t h;
    uint32_t w[5];
    uint64_t d;
    double f;
};
static __global__ void param_struct(struct parameters p, const void *, void *out, uint32_t index,
                                    int8_t s)
{
    uint32_t *o = (uint32_t *)out + threadIdx.x * 8;
    o[0] = p.b, o[1] = p.h, o[2] = p.w[0], o[3] = p.w[index], o[4] = p.w[threadIdx.x % 5];
    o[5] = (uint32_t)(p.d >> 32), o[6] = (uint32_t)p.f, o[7] = (uint32_t)(int32_t)s;
}
static const struct parameters some_parameters = {
    200, 60000, {11, 22, 33, 44, 0xdeadbeef}, 0x123456789abcdef0, 1234567.75};
static int launch_param(const struct form *, const void *in, void *out)
{
    param_struct<<<1, 32>>>(some_parameters, in, out, 3, -5);
    return cudaGetLastError();
}
static int want_param(const struct form *, const void *, void *want)
{
    for (uint32_t i = 0; i < 32; i++) {
        const uint32_t v[] = {200,        60000,   11,          44, some_parameters.w[i % 5],
                              0x12345678, 1234567, (uint32_t)-5};
        memcpy((uint32_t *)want + 8 * i, v, sizeof v);
    }
    return 1;
}
static struct form form_param(void)
{
    struct form f = form_new("ld.param/struct", "u32", NULL, 32, 16, 32 * 32);
    f.launch = launch_param, f.want = want_param;
    return f;
}
FORM(form_param())
static __constant__ uint32_t table[16] = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 0xffffffff};
static const uint32_t host_table[16] = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 0xffffffff};
KERNEL("ld.const", 1, 32, 2, o[0] = table[in[i] % 16]; o[1] = table[7];
       , w[0] = host_table[in[i] % 16]; w[1] = 6)
static __device__ uint32_t counters[4] = {10, 20, 30, 40};
KERNEL("ld.global/variable", 1, 32, 1, o[0] = counters[in[i] % 4];, w[0] = 10 * (in[i] % 4 + 1))
KERNEL("ld.local+st.local", 1, 32, 4, uint32_t a[16];
       for (int k = 0; k < 16; k++) a[(k * 7 + in[i]) % 16] = in[(i + k) % 32];
       for (int k = 0; k < 4; k++) o[k] = a[(in[i] / 16 + k) % 16];, uint32_t a[16];
       for (uint32_t k = 0; k < 16; k++) a[(k * 7 + in[i]) % 16] = in[(i + k) % 32];
       for (uint32_t k = 0; k < 4; k++) w[k] = a[(in[i] / 16 + k) % 16])
KERNEL(
    "ld.local.v4+st.local.v4", 1, 32, 4,
    {
        __align__(16) uint32_t a[8];
        asm volatile(
            "{.reg .u64 l; cvta.to.local.u64 l, %0; st.local.v4.u32 [l], {%1, %2, %3, %4}; "
            "st.local.u16 [l+16], %5;}" ::"l"(a),
            "r"(in[i]), "r"(i), "r"(~i), "r"(7), "h"((uint16_t)in[i])
            : "memory");
        asm volatile("{.reg .u64 l; cvta.to.local.u64 l, %4; ld.local.v2.u32 {%0, %1}, [l+8]; "
                     "ld.local.u8 %2, [l+1]; ld.local.s16 %3, [l+16];}"
                     : "=r"(o[0]), "=r"(o[1]), "=r"(o[2]), "=r"(o[3])
                     : "l"(a)
                     : "memory");
    },
    w[0] = ~i;
    w[1] = 7; w[2] = in[i] >> 8 & 255; w[3] = (uint32_t)(int32_t)(int16_t)in[i])
#define ISSPACE(o_, space, p)                                                                      \
    asm volatile("{.reg .pred p; isspacep." space " p, %1; selp.u32 %0, 1, 0, p;}"                 \
                 : "=r"(o_)                                                                        \
                 : "l"(p))
KERNEL("isspacep", 1, 32, 9, __shared__ uint32_t s; uint32_t l; asm volatile("" ::"l"(&l)
                                                                             : "memory");
       ISSPACE(o[0], "global", in_); ISSPACE(o[1], "shared", in_); ISSPACE(o[2], "local", in_);
       ISSPACE(o[3], "global", &s); ISSPACE(o[4], "shared", &s); ISSPACE(o[5], "local", &s);
       ISSPACE(o[6], "global", &l); ISSPACE(o[7], "shared", &l); ISSPACE(o[8], "local", &l);
       , const uint32_t v[] = {1, 0, 0, 0, 1, 0, 0, 0, 1}; memcpy(w, v, sizeof v))
