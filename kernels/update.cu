/* SPDX-License-Identifier: Apache-2.0 */
/* AdamW and SGD with the random bits of op_random_bits, so that values stored in bf16 round as on a
 * CPU. A warp updates 256 elements at a time, each lane 8 successive ones, which are read and
 * written 16 bytes at a time. A block of 64 elements has 16 draws of Philox, each for four elements
 * 16 apart: a lane draws two, and shared memory carries their words to the lanes that need them.
 * Bytes per element: AdamW 30 with fp32 master and moments, 14 with everything in bf16; limit: 85 %
 * of the copy rate. Predicted for an H100 with state in bf16: 85 %, by about 60 instructions an
 * element, a third of the time that its bytes take (66 % was measured when a lane accessed single
 * elements).
 */
#include "element.cuh"
#include "random.cuh"

/* An array in fp32 or bf16, or none. */
struct kept {
    void *p;
    bool narrow;
};
static struct kept kept_of(void *p, enum dtype t)
{
    struct kept k = {p, t == DT_BF16};
    return k;
}

enum { PACK = 8, WARP_PACK = 32 * PACK };

/* Loads the elements [from, to) of the pack that begins at element i. `whole`: all, 16 bytes at a
 * time. */
static __device__ __forceinline__ void kept_load(float (&x)[PACK], const struct kept &k, int64_t i,
                                                 int from, int to, bool whole)
{
    if (whole && k.narrow) {
        load<bf16, PACK>(x, (const bf16 *)k.p + i);
    } else if (whole) {
        load<float, 4>(x, (const float *)k.p + i);
        load<float, 4>(x + 4, (const float *)k.p + i + 4);
    } else {
#pragma unroll
        for (int e = 0; e < PACK; e++)
            if (e >= from && e < to)
                x[e] = k.narrow ? __bfloat162float(((const bf16 *)k.p)[i + e])
                                : ((const float *)k.p)[i + e];
    }
}

static __device__ __forceinline__ void store_bits(const struct kept &k, const uint16_t (&r)[PACK],
                                                  int64_t i, int from, int to, bool whole)
{
    if (whole) {
        pack_of<uint16_t, PACK> all;
#pragma unroll
        for (int e = 0; e < PACK; e++) all.v[e] = r[e];
        *(pack_of<uint16_t, PACK> *)((uint16_t *)k.p + i) = all;
    } else {
#pragma unroll
        for (int e = 0; e < PACK; e++)
            if (e >= from && e < to) ((uint16_t *)k.p)[i + e] = r[e];
    }
}

static __device__ __forceinline__ void store_floats(const struct kept &k, const float (&x)[PACK],
                                                    int64_t i, int from, int to, bool whole)
{
    if (whole) {
        store<float, 4>((float *)k.p + i, x);
        store<float, 4>((float *)k.p + i + 4, x + 4);
    } else {
#pragma unroll
        for (int e = 0; e < PACK; e++)
            if (e >= from && e < to) ((float *)k.p)[i + e] = x[e];
    }
}

/* Stores x for the next update, in bf16 by stochastic rounding with the low 16 of the bits; x
 * becomes the stored values. */
static __device__ __forceinline__ void kept_store(const struct kept &k, float (&x)[PACK], int64_t i,
                                                  int from, int to, bool whole,
                                                  const uint32_t (&bits)[PACK])
{
    if (!k.narrow) {
        store_floats(k, x, i, from, to, whole);
        return;
    }
    uint16_t r[PACK];
#pragma unroll
    for (int e = 0; e < PACK; e++) {
        r[e] = round_random(x[e], bits[e]);
        x[e] = __uint_as_float((uint32_t)r[e] << 16);
    }
    store_bits(k, r, i, from, to, whole);
}

struct update {
    struct kept own, copy, m, v; /* copy: own rounded to nearest; p may be NULL */
    struct kept grad;
    const double *sumsq;
    int64_t n;
    double max_norm;
    struct op_random random;
    bool draws; /* stochastic rounding is used */
    bool fast;  /* every pack begins at a multiple of 16 bytes in all arrays */
};

static struct update update_of(void *param, enum dtype param_type, void *master,
                               enum dtype master_type, struct kept grad, const double *sumsq,
                               int64_t n, double max_norm, const struct op_random *random)
{
    struct update u = {};
    u.own = master ? kept_of(master, master_type) : kept_of(param, param_type);
    u.copy = kept_of(master ? param : NULL, param_type);
    u.grad = grad;
    u.sumsq = sumsq;
    u.n = n;
    u.max_norm = max_norm;
    u.random = *random;
    return u;
}

/* Returns min(1, max_norm / (norm + 1e-6)). */
static __device__ __forceinline__ float clip_of(const struct update &u)
{
    if (u.max_norm <= 0) return 1;
    const double clip = u.max_norm / (sqrt(*u.sumsq) + 1e-6);
    return (float)(clip > 1 ? 1 : clip);
}

/* Draws the bits of 256 elements from element 256 w on; a lane gets those of its 8. room: 320 words
 * of the warp. */
static __device__ __forceinline__ void draw_bits(uint32_t (&bits)[PACK], const struct op_random &r,
                                                 uint64_t w, uint32_t *room)
{
    enum { BLOCK = 64 + 16 }; /* words between blocks, so that they lie in other banks */
    const int lane = threadIdx.x % 32, block = lane / 8 * BLOCK;
    uint32_t word[2][4];
#pragma unroll
    for (int k = 0; k < 2; k++) {
        const uint64_t d = w * 64 + 2 * lane + k;
        philox((uint32_t)d, (uint32_t)(d >> 32), (uint32_t)r.step,
               ((uint32_t)(r.step >> 32) & 0xffffff) | 4u << 24, r.seed, word[k]);
    }
    __syncwarp();
#pragma unroll
    for (int k = 0; k < 4; k++)
        *(uint2 *)(room + block + 16 * k + lane % 8 * 2) = make_uint2(word[0][k], word[1][k]);
    __syncwarp();
#pragma unroll
    for (int e = 0; e < PACK; e++) bits[e] = room[block + lane % 8 * 8 + e];
}

/* Calls f(i, from, to, whole, bits) for the packs of this thread: elements [from, to) of the 8 from
 * i on. */
template <typename F> static __device__ __forceinline__ void each_pack(const struct update &u, F f)
{
    __shared__ __align__(16) uint32_t room[THREADS / 32][320];
    const uint64_t begin = u.random.first, end = begin + (uint64_t)u.n;
    const uint64_t past = (end + WARP_PACK - 1) / WARP_PACK;
    for (uint64_t w = begin / WARP_PACK + (uint64_t)grid_index() / 32; w < past;
         w += (uint64_t)grid_size() / 32) {
        uint32_t bits[PACK] = {};
        if (u.draws) draw_bits(bits, u.random, w, room[threadIdx.x / 32]);
        const int64_t i = (int64_t)(w * WARP_PACK + threadIdx.x % 32 * PACK - begin);
        const int from = i < 0 ? (int)min((int64_t)PACK, -i) : 0;
        const int to = (int)max((int64_t)0, min((int64_t)PACK, u.n - i));
        if (from < to) f(i, from, to, u.fast && to - from == PACK, bits);
    }
}

/* Returns true if packs begin at multiples of 16 bytes. */
static bool packs_align(const struct update &u)
{
    const uintptr_t all = (uintptr_t)u.own.p | (uintptr_t)u.copy.p | (uintptr_t)u.m.p |
                          (uintptr_t)u.v.p | (uintptr_t)u.grad.p;
    return all % 16 == 0 && u.random.first % PACK == 0;
}

static __device__ __forceinline__ void store_weights(const struct update &u, float (&p)[PACK],
                                                     int64_t i, int from, int to, bool whole,
                                                     const uint32_t (&bits)[PACK])
{
    kept_store(u.own, p, i, from, to, whole, bits);
    if (!u.copy.p) return;
    if (!u.copy.narrow) {
        store_floats(u.copy, p, i, from, to, whole);
        return;
    }
    uint16_t r[PACK];
#pragma unroll
    for (int e = 0; e < PACK; e++) r[e] = __bfloat16_as_ushort(__float2bfloat16_rn(p[e]));
    store_bits(u.copy, r, i, from, to, whole);
}

struct adamw_factors {
    float step, shrink, root, b1, b2, c1, c2, eps;
};

static __global__ void __launch_bounds__(THREADS)
    adamw(const struct update u, const struct adamw_factors k)
{
    const float clip = clip_of(u);
    each_pack(u, [&](int64_t i, int from, int to, bool whole, const uint32_t(&bits)[PACK]) {
        float g[PACK] = {}, m[PACK] = {}, v[PACK] = {}, p[PACK] = {};
        uint32_t other[PACK];
        kept_load(g, u.grad, i, from, to, whole);
        kept_load(m, u.m, i, from, to, whole);
        kept_load(v, u.v, i, from, to, whole);
        kept_load(p, u.own, i, from, to, whole);
#pragma unroll
        for (int e = 0; e < PACK; e++) {
            g[e] *= clip;
            m[e] = k.b1 * m[e] + k.c1 * g[e];
            v[e] = k.b2 * v[e] + k.c2 * g[e] * g[e];
            p[e] = p[e] * k.shrink - k.step * (m[e] / (sqrtf(v[e]) / k.root + k.eps));
            other[e] = bits[e] ^ bits[e] >> 16;
        }
        kept_store(u.m, m, i, from, to, whole, other);
#pragma unroll
        for (int e = 0; e < PACK; e++) other[e] = bits[e] >> 16;
        kept_store(u.v, v, i, from, to, whole, other);
        store_weights(u, p, i, from, to, whole, bits);
    });
}

int kernel_adamw(const struct op_adamw *a, const struct kernel_context *c)
{
    struct update u =
        update_of(a->param, a->param_dtype, a->master, a->master_dtype,
                  kept_of((void *)a->grad, a->grad_dtype), a->sumsq, a->n, a->max_norm, &a->random);
    u.m = kept_of(a->m, a->m_dtype);
    u.v = kept_of(a->v, a->v_dtype);
    u.draws = u.own.narrow || u.m.narrow || u.v.narrow;
    const struct adamw_factors k = {(float)(a->lr / a->c1), (float)(1 - a->lr * a->weight_decay),
                                    (float)sqrt(a->c2),     (float)a->beta1,
                                    (float)a->beta2,        (float)(1 - a->beta1),
                                    (float)(1 - a->beta2),  (float)a->eps};
    u.fast = packs_align(u);
    adamw<<<blocks_for(a->n / PACK + 1), THREADS, 0, c->stream>>>(u, k);
    return cudaGetLastError();
}

struct sgd_factors {
    float lr, decay, momentum, keep;
    bool begins, nesterov;
};

static __global__ void __launch_bounds__(THREADS)
    sgd(const struct update u, const struct sgd_factors k)
{
    const float clip = clip_of(u);
    each_pack(u, [&](int64_t i, int from, int to, bool whole, const uint32_t(&bits)[PACK]) {
        float g[PACK] = {}, m[PACK] = {}, p[PACK] = {};
        uint32_t other[PACK];
        kept_load(g, u.grad, i, from, to, whole);
        kept_load(p, u.own, i, from, to, whole);
        if (u.m.p && !k.begins) kept_load(m, u.m, i, from, to, whole);
#pragma unroll
        for (int e = 0; e < PACK; e++) {
            g[e] = g[e] * clip + k.decay * p[e];
            m[e] = k.begins ? g[e] : k.momentum * m[e] + k.keep * g[e];
            if (u.m.p) g[e] = k.nesterov ? g[e] + k.momentum * m[e] : m[e];
            p[e] -= k.lr * g[e];
            other[e] = bits[e] ^ bits[e] >> 16;
        }
        if (u.m.p) kept_store(u.m, m, i, from, to, whole, other);
        store_weights(u, p, i, from, to, whole, bits);
    });
}

int kernel_sgd(const struct op_sgd *a, const struct kernel_context *c)
{
    struct update u =
        update_of(a->param, a->param_dtype, a->master, a->master_dtype,
                  kept_of((void *)a->grad, a->grad_dtype), a->sumsq, a->n, a->max_norm, &a->random);
    u.m = kept_of(a->m, a->m_dtype);
    u.draws = u.own.narrow || (u.m.p && u.m.narrow);
    const struct sgd_factors k = {(float)a->lr,        (float)a->weight_decay,
                                  (float)a->momentum,  (float)(1 - a->dampening),
                                  a->random.step <= 1, a->nesterov};
    u.fast = packs_align(u);
    sgd<<<blocks_for(a->n / PACK + 1), THREADS, 0, c->stream>>>(u, k);
    return cudaGetLastError();
}
