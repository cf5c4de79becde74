/* SPDX-License-Identifier: Apache-2.0 */
/* ldmatrix, stmatrix and movmatrix. */
#include "conform.h"

static struct family here("ldmatrix");

/* Matrices of 8 x 8 halves lie one after another, each row's address from its lane. */
template <int n, bool trans> __global__ void load_matrix(const void *in, void *out)
{
    __shared__ __align__(16) uint32_t s[4 * 32];
    uint32_t r[4] = {};
    for (int i = threadIdx.x; i < 128; i += 32) s[i] = ((const uint32_t *)in)[i];
    __syncwarp();
    /* Rows in reverse: the address decides, not the lane. */
    const uint32_t at = (uint32_t)__cvta_generic_to_shared(s) +
                        (n * 8 - 1 - (threadIdx.x < n * 8 ? threadIdx.x : 0)) * 16;
    if (n == 1 && !trans)
        asm volatile("ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%0}, [%1];" : "=r"(r[0]) : "r"(at));
    if (n == 2 && !trans)
        asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];"
                     : "=r"(r[0]), "=r"(r[1])
                     : "r"(at));
    if (n == 4 && !trans)
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                     : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                     : "r"(at));
    if (n == 1 && trans)
        asm volatile("ldmatrix.sync.aligned.m8n8.x1.trans.shared.b16 {%0}, [%1];"
                     : "=r"(r[0])
                     : "r"(at));
    if (n == 2 && trans)
        asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];"
                     : "=r"(r[0]), "=r"(r[1])
                     : "r"(at));
    if (n == 4 && trans)
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                     : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                     : "r"(at));
    for (int i = 0; i < n; i++) ((uint32_t *)out)[i * 32 + threadIdx.x] = r[i];
}

static uint16_t cell(const void *in, int row, int column)
{
    return ((const uint16_t *)in)[row * 8 + column];
}

static int want_load(const struct form *f, const void *in, void *want)
{
    const int n = f->arg[0], trans = f->arg[1];
    for (int i = 0; i < n; i++)
        for (int lane = 0; lane < 32; lane++)
            for (int h = 0; h < 2; h++) {
                const int row = trans ? lane % 4 * 2 + h : lane / 4;
                const int column = trans ? lane / 4 : lane % 4 * 2 + h;
                ((uint16_t *)want)[(i * 32 + lane) * 2 + h] =
                    cell(in, n * 8 - 1 - (i * 8 + row), column);
            }
    return 1;
}

/* stmatrix writes what ldmatrix would read: register i of a lane holds two halves of matrix i. */
#if CONFORM_SM >= 90
template <int n, bool trans> __global__ void store_matrix(const void *in, void *out)
{
    __shared__ __align__(16) uint32_t s[4 * 32];
    uint32_t r[4];
    for (int i = 0; i < n; i++) r[i] = ((const uint32_t *)in)[i * 32 + threadIdx.x];
    const uint32_t at = (uint32_t)__cvta_generic_to_shared(s) +
                        (n * 8 - 1 - (threadIdx.x < n * 8 ? threadIdx.x : 0)) * 16;
    if (n == 1 && !trans)
        asm volatile("stmatrix.sync.aligned.m8n8.x1.shared.b16 [%0], {%1};" ::"r"(at), "r"(r[0]));
    if (n == 2 && !trans)
        asm volatile("stmatrix.sync.aligned.m8n8.x2.shared.b16 [%0], {%1,%2};" ::"r"(at), "r"(r[0]),
                     "r"(r[1]));
    if (n == 4 && !trans)
        asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1,%2,%3,%4};" ::"r"(at),
                     "r"(r[0]), "r"(r[1]), "r"(r[2]), "r"(r[3]));
    if (n == 1 && trans)
        asm volatile("stmatrix.sync.aligned.m8n8.x1.trans.shared.b16 [%0], {%1};" ::"r"(at),
                     "r"(r[0]));
    if (n == 2 && trans)
        asm volatile("stmatrix.sync.aligned.m8n8.x2.trans.shared.b16 [%0], {%1,%2};" ::"r"(at),
                     "r"(r[0]), "r"(r[1]));
    if (n == 4 && trans)
        asm volatile(
            "stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%0], {%1,%2,%3,%4};" ::"r"(at),
            "r"(r[0]), "r"(r[1]), "r"(r[2]), "r"(r[3]));
    __syncwarp();
    for (int i = threadIdx.x; i < n * 32; i += 32) ((uint32_t *)out)[i] = s[i];
}

static int want_store(const struct form *f, const void *in, void *want)
{
    const int n = f->arg[0], trans = f->arg[1];
    for (int i = 0; i < n; i++)
        for (int lane = 0; lane < 32; lane++)
            for (int h = 0; h < 2; h++) {
                const int row = trans ? lane % 4 * 2 + h : lane / 4;
                const int column = trans ? lane / 4 : lane % 4 * 2 + h;
                ((uint16_t *)want)[(n * 8 - 1 - (i * 8 + row)) * 8 + column] =
                    ((const uint16_t *)in)[(i * 32 + lane) * 2 + h];
            }
    return 1;
}
#endif

static struct form matrix(const char *name, kernel_fn *kernel, int n, int trans,
                          int (*want)(const struct form *, const void *, void *))
{
    struct form f = form_new(name, "u32", kernel, 32, 512, 128 * (unsigned)n);
    f.arg[0] = n, f.arg[1] = trans, f.want = want;
    return f;
}
#define MATRIX(n)                                                                                  \
    FORM(matrix("ldmatrix.sync.aligned.m8n8.x" #n ".shared.b16", load_matrix<n, false>, n, 0,      \
                want_load))                                                                        \
    FORM(matrix("ldmatrix.sync.aligned.m8n8.x" #n ".trans.shared.b16", load_matrix<n, true>, n, 1, \
                want_load))
MATRIX(1)
MATRIX(2)
MATRIX(4)
#if CONFORM_SM >= 90
#define STORE_MATRIX(n)                                                                            \
    FORM(matrix("stmatrix.sync.aligned.m8n8.x" #n ".shared.b16", store_matrix<n, false>, n, 0,     \
                want_store))                                                                       \
    FORM(matrix("stmatrix.sync.aligned.m8n8.x" #n ".trans.shared.b16", store_matrix<n, true>, n,   \
                1, want_store))
STORE_MATRIX(1)
STORE_MATRIX(2)
STORE_MATRIX(4)
#endif

static __global__ void move_matrix(const void *in, void *out)
{
    uint32_t r;
    asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;"
                 : "=r"(r)
                 : "r"(((const uint32_t *)in)[threadIdx.x]));
    ((uint32_t *)out)[threadIdx.x] = r;
}
static int want_moved(const struct form *, const void *in, void *want)
{
    for (int i = 0; i < 64; i++) ((uint16_t *)want)[i] = ((const uint16_t *)in)[i % 8 * 8 + i / 8];
    return 1;
}
FORM(with_want(form_new("movmatrix.sync.aligned.m8n8.trans.b16", "u32", move_matrix, 32, 128, 128),
               want_moved))
