/* SPDX-License-Identifier: Apache-2.0 */
/* Vectors of VL floats for the instruction set of this compilation. Elements in memory are fp32 or
 * bf16; arithmetic is fp32. */
#ifndef SFT_OPS_SIMD_H
#define SFT_OPS_SIMD_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "ops/ops.h"
#if defined(ISA_v3) || defined(ISA_v4)
#include <immintrin.h>
#endif

#if defined(ISA_v4)
enum { VL = 16 };
#elif defined(ISA_v3)
enum { VL = 8 };
#else
enum { VL = 4 };
#endif
typedef float vf __attribute__((vector_size(4 * VL)));
typedef int32_t vi __attribute__((vector_size(4 * VL)));
typedef uint32_t vu __attribute__((vector_size(4 * VL)));
typedef uint16_t vh __attribute__((vector_size(2 * VL)));

#define INLINE static inline __attribute__((always_inline))

INLINE vf v_set(float x) { return (vf){0} + x; }
INLINE vf v_load(const float *p)
{
    vf v;
    memcpy(&v, p, sizeof v);
    return v;
}
INLINE void v_store(float *p, vf v) { memcpy(p, &v, sizeof v); }

/* mask lanes are all ones or all zeros */
INLINE vf v_select(vi mask, vf yes, vf no) { return (vf)((mask & (vi)yes) | (~mask & (vi)no)); }
INLINE vi v_lanes(void)
{
    vi v;
    for (int i = 0; i < VL; i++) v[i] = i;
    return v;
}

/* Returns a * b + c, fused where the CPU supports it. */
INLINE vf v_fma(vf a, vf b, vf c)
{
#if defined(ISA_v4)
    return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(ISA_v3)
    return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
    return a * b + c;
#endif
}

INLINE vf v_max(vf a, vf b)
{
#if defined(ISA_v4)
    return (vf)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(ISA_v3)
    return (vf)_mm256_max_ps((__m256)a, (__m256)b);
#else
    return v_select(a > b, a, b);
#endif
}

INLINE vf v_sqrt(vf a)
{
#if defined(ISA_v4)
    return (vf)_mm512_sqrt_ps((__m512)a);
#elif defined(ISA_v3)
    return (vf)_mm256_sqrt_ps((__m256)a);
#else
    for (int i = 0; i < VL; i++) a[i] = sqrtf(a[i]);
    return a;
#endif
}

/* Returns the sum of the lanes in a fixed tree order. */
INLINE float v_sum(vf v)
{
#if defined(ISA_v4)
    return _mm512_reduce_add_ps((__m512)v);
#endif
    float x[VL];
    memcpy(x, &v, sizeof x);
    for (int n = VL / 2; n; n /= 2)
        for (int i = 0; i < n; i++) x[i] += x[i + n];
    return x[0];
}
INLINE float v_hmax(vf v)
{
#if defined(ISA_v4)
    return _mm512_reduce_max_ps((__m512)v);
#endif
    float x[VL];
    memcpy(x, &v, sizeof x);
    for (int n = VL / 2; n; n /= 2)
        for (int i = 0; i < n; i++) x[i] = x[i] > x[i + n] ? x[i] : x[i + n];
    return x[0];
}

/* Returns 2^n p for integer n <= 128; 0 where x, which n was rounded from, is below -126; NaN for
 * NaN. */
INLINE vf v_scale(vf p, vf n, vf x)
{
#if defined(ISA_v4)
    __mmask16 in = _mm512_cmp_ps_mask((__m512)x, _mm512_set1_ps(-126), _CMP_NLT_UQ);
    return (vf)_mm512_maskz_scalef_ps(in, (__m512)p, (__m512)n);
#else
    vi in = ~(x < -126.0f), e = __builtin_convertvector(v_select(in, n, v_set(0)), vi);
    vi half = e >> 1; /* two factors, for n = 128 */
    vf a = (vf)((half + 127) << 23), b = (vf)((e - half + 127) << 23);
    return (vf)(in & (vi)(p * a * b));
#endif
}
INLINE vf v_nearest(vf x)
{
    const float magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
    return (x + magic) - magic;
}

/* Returns 2^x for x <= 128 with relative error below 2e-7: x = n + r with |r| <= 1/2, and 2^r by
 * its Taylor polynomial in r ln 2. */
INLINE vf v_exp2(vf x)
{
    vf n = v_nearest(x), r = x - n;
    vf p = v_set(1.54035304e-4f);
    p = v_fma(p, r, v_set(1.33335581e-3f));
    p = v_fma(p, r, v_set(9.61812911e-3f));
    p = v_fma(p, r, v_set(5.55041087e-2f));
    p = v_fma(p, r, v_set(2.40226507e-1f));
    p = v_fma(p, r, v_set(6.93147181e-1f));
    return v_scale(v_fma(p, r, v_set(1)), n, x);
}
/* Returns 2^x with relative error below 5e-5, for results that are rounded to bf16. */
INLINE vf v_exp2_short(vf x)
{
    vf n = v_nearest(x), r = x - n;
    vf p = v_set(9.61812911e-3f);
    p = v_fma(p, r, v_set(5.55041087e-2f));
    p = v_fma(p, r, v_set(2.40226507e-1f));
    p = v_fma(p, r, v_set(6.93147181e-1f));
    return v_scale(v_fma(p, r, v_set(1)), n, x);
}
INLINE vf v_exp(vf x)
{
    return v_exp2(x * 1.44269504f); /* the error grows with |x|: 1e-5 at 87, where exp is 1e-38 */
}

/* Returns tanh x with relative error below 5e-7: a rational function up to where tanh is 1. */
INLINE vf v_tanh(vf x)
{
    const vf most = v_set(7.90531110763549805f);
    x = v_select(x > most, most, x);
    x = v_select(x < -most, -most, x);
    const vf x2 = x * x;
    vf p = v_set(-2.76076847742355e-16f), q = v_set(1.19825839466702e-06f);
    p = v_fma(p, x2, v_set(2.00018790482477e-13f));
    p = v_fma(p, x2, v_set(-8.60467152213735e-11f));
    p = v_fma(p, x2, v_set(5.12229709037114e-08f));
    p = v_fma(p, x2, v_set(1.48572235717979e-05f));
    p = v_fma(p, x2, v_set(6.37261928875436e-04f));
    p = v_fma(p, x2, v_set(4.89352455891786e-03f));
    q = v_fma(q, x2, v_set(1.18534705686654e-04f));
    q = v_fma(q, x2, v_set(2.26843463243900e-03f));
    q = v_fma(q, x2, v_set(4.89352518554385e-03f));
    return x * p / q;
}

/* ---- elements in memory; t is a constant wherever speed matters ---- */

INLINE vf v_from_bf16(vh h)
{
#if defined(ISA_v4)
    return (vf)((vu)_mm512_cvtepu16_epi32((__m256i)h) << 16); /* GCC 12 converts in halves */
#else
    return (vf)(__builtin_convertvector(h, vu) << 16);
#endif
}

/* Rounds to nearest, ties to even; NaN stays NaN. */
INLINE vh v_to_bf16(vf v)
{
#if defined(ISA_v4)
    return (vh)_mm512_cvtneps_pbh((__m512)v);
#else
    vu u = (vu)v, round = (u + 0x7fff + (u >> 16 & 1)) >> 16, quiet = u >> 16 | 0x40;
    vu nan = (vu)(v != v);
    return __builtin_convertvector((nan & quiet) | (~nan & round), vh);
#endif
}

/* Returns v rounded to type t. */
INLINE vf v_round(vf v, enum dtype t) { return t == DT_BF16 ? v_from_bf16(v_to_bf16(v)) : v; }

/* Loads lanes i, i+1, ... of p, of which `left` exist: the others are read as 0 and, in v_put, not
 * written. */
INLINE vf v_get(const void *p, int64_t i, enum dtype t, int64_t left)
{
    const char *from = (const char *)p + i * (t == DT_BF16 ? 2 : 4);
    if (t == DT_BF16) {
        vh h = {0};
        if (left >= VL)
            memcpy(&h, from, sizeof h);
        else
            memcpy(&h, from, (size_t)left * 2);
        return v_from_bf16(h);
    }
    vf v = {0};
    if (left >= VL)
        memcpy(&v, from, sizeof v);
    else
        memcpy(&v, from, (size_t)left * 4);
    return v;
}
INLINE void v_put(void *p, int64_t i, enum dtype t, int64_t left, vf v)
{
    char *to = (char *)p + i * (t == DT_BF16 ? 2 : 4);
    if (t == DT_BF16) {
        vh h = v_to_bf16(v);
        if (left >= VL)
            memcpy(to, &h, sizeof h);
        else
            memcpy(to, &h, (size_t)left * 2);
    } else if (left >= VL) {
        memcpy(to, &v, sizeof v);
    } else {
        memcpy(to, &v, (size_t)left * 4);
    }
}

#endif
