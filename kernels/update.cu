/* SPDX-License-Identifier: Apache-2.0 */
/* AdamW and SGD with the random bits of op_random_bits, so that values stored in bf16 round as on a
 * CPU. A warp updates 128 elements at a time, each lane 4 successive ones, so that every access of
 * a warp covers whole sectors of 32 bytes, in bf16 as in fp32. A block of 64 elements has 16 draws
 * of Philox, each for four elements 16 apart: a lane draws one, and shared memory carries its words
 * to the lanes that need them. Bytes per element: AdamW 30 with fp32 master and moments, 14 with
 * everything in bf16; limit: 85 % of the copy rate. An H200 gives 110 % in fp32 and 90 % in bf16.
 * It gave 79 and 55 % when a lane had 8 elements (an fp32 access of a warp touched each sector
 * twice), a lane waited for one array before it read the next, and divisions and square roots were
 * exact, which takes 25 instructions each, in branches.
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

enum { PACK = 4, WARP_PACK = 32 * PACK };

/* A lane's pack: the elements [i + from, i + to) of the arrays. whole: all, in one access. */
struct place {
    int64_t i;
    int from, to;
    bool whole;
};

/* Elements as they were read: two bf16 elements a word where a whole pack of these was read, else
 * the bits of fp32 elements. Nothing waits for the values before they are unpacked. */
struct packed {
    uint32_t w[PACK];
};

static __device__ __forceinline__ void kept_load(struct packed &x, const struct kept &k,
                                                 const struct place &at)
{
    if (at.whole && k.narrow) {
        *(uint2 *)x.w = *(const uint2 *)((const bf16 *)k.p + at.i);
    } else if (at.whole) {
        *(uint4 *)x.w = *(const uint4 *)((const float *)k.p + at.i);
    } else {
#pragma unroll
        for (int e = 0; e < PACK; e++)
            if (e >= at.from && e < at.to)
                x.w[e] = k.narrow ? (uint32_t)((const uint16_t *)k.p)[at.i + e] << 16
                                  : ((const uint32_t *)k.p)[at.i + e];
    }
}

static __device__ __forceinline__ void unpack(float (&y)[PACK], const struct packed &x,
                                              const struct kept &k, const struct place &at)
{
    const bool pairs = at.whole && k.narrow;
#pragma unroll
    for (int e = 0; e < PACK; e++) {
        const uint32_t pair = x.w[e / 2], own = e % 2 ? pair & 0xffff0000u : pair << 16;
        y[e] = __uint_as_float(pairs ? own : x.w[e]);
    }
}

template <typename T>
static __device__ __forceinline__ void put(void *to, const T (&x)[PACK], const struct place &at)
{
    if (at.whole) {
        pack_of<T, PACK> all;
#pragma unroll
        for (int e = 0; e < PACK; e++) all.v[e] = x[e];
        *(pack_of<T, PACK> *)((T *)to + at.i) = all;
    } else {
#pragma unroll
        for (int e = 0; e < PACK; e++)
            if (e >= at.from && e < at.to) ((T *)to)[at.i + e] = x[e];
    }
}

/* Stores x for the next update, in bf16 by stochastic rounding with the low 16 of the bits; x
 * becomes the stored values. */
static __device__ __forceinline__ void kept_store(const struct kept &k, float (&x)[PACK],
                                                  const struct place &at,
                                                  const uint32_t (&bits)[PACK])
{
    if (!k.narrow) {
        put<float>(k.p, x, at);
        return;
    }
    uint16_t r[PACK];
#pragma unroll
    for (int e = 0; e < PACK; e++) {
        r[e] = round_random(x[e], bits[e]);
        x[e] = __uint_as_float((uint32_t)r[e] << 16);
    }
    put<uint16_t>(k.p, r, at);
}

struct update {
    struct kept own, copy, m, v; /* copy: own rounded to nearest; p may be NULL */
    struct kept grad;
    const double *sumsq;
    int64_t n;
    double max_norm;
    struct op_random random;
    bool draws; /* stochastic rounding is used */
    bool fast;  /* every pack can be accessed at once in all arrays */
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

/* Draws the bits of 128 elements from element 128 w on; a lane gets those of its 4. room: ROOM
 * words of the warp. */
enum { ROOM_BLOCK = 64 + 16, ROOM = 2 * ROOM_BLOCK }; /* 16: the blocks lie in other banks */
static __device__ __forceinline__ void draw_bits(uint32_t (&bits)[PACK], const struct op_random &r,
                                                 uint64_t w, uint32_t *room)
{
    const int lane = threadIdx.x % 32;
    uint32_t *const block = room + lane / 16 * ROOM_BLOCK;
    const uint64_t d = w * 32 + lane;
    uint32_t word[4];
    philox((uint32_t)d, (uint32_t)(d >> 32), (uint32_t)r.step,
           ((uint32_t)(r.step >> 32) & 0xffffff) | 4u << 24, r.seed, word);
    __syncwarp();
#pragma unroll
    for (int k = 0; k < 4; k++) block[16 * k + lane % 16] = word[k];
    __syncwarp();
    const uint4 mine = *(const uint4 *)(block + lane % 16 * PACK);
    bits[0] = mine.x, bits[1] = mine.y, bits[2] = mine.z, bits[3] = mine.w;
}

/* Calls read(place), then update(values, place, bits) with what it returned, for the packs of this
 * thread. The bits are drawn while the values are on their way. */
template <typename R, typename F>
static __device__ __forceinline__ void each_pack(const struct update &u, R read, F update)
{
    __shared__ __align__(16) uint32_t room[THREADS / 32][ROOM];
    const uint64_t begin = u.random.first, end = begin + (uint64_t)u.n;
    const uint64_t past = (end + WARP_PACK - 1) / WARP_PACK;
    for (uint64_t w = begin / WARP_PACK + (uint64_t)grid_index() / 32; w < past;
         w += (uint64_t)grid_size() / 32) {
        uint32_t bits[PACK] = {};
        struct place at = {(int64_t)(w * WARP_PACK + threadIdx.x % 32 * PACK - begin)};
        at.from = at.i < 0 ? (int)min((int64_t)PACK, -at.i) : 0;
        at.to = (int)max((int64_t)0, min((int64_t)PACK, u.n - at.i));
        at.whole = u.fast && at.to - at.from == PACK;
        auto values = read(at);
        if (u.draws) draw_bits(bits, u.random, w, room[threadIdx.x / 32]);
        if (at.from < at.to) update(values, at, bits);
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
                                                     const struct place &at,
                                                     const uint32_t (&bits)[PACK])
{
    kept_store(u.own, p, at, bits);
    if (!u.copy.p) return;
    if (!u.copy.narrow) {
        put<float>(u.copy.p, p, at);
        return;
    }
    uint16_t r[PACK];
#pragma unroll
    for (int e = 0; e < PACK; e++) r[e] = __bfloat16_as_ushort(__float2bfloat16_rn(p[e]));
    put<uint16_t>(u.copy.p, r, at);
}

/* The operands of an update. */
struct values {
    struct packed g, m, v, p;
};

struct adamw_factors {
    float step, shrink, scale, b1, b2, c1, c2, eps;
};

/* Returns m / (sqrt(v) scale + eps) with an error of a few units in the last place: sqrt.approx and
 * div.approx, which have no branches. The divisor is below 2^126, where div.approx is accurate. */
static __device__ __forceinline__ float direction(float m, float v, const struct adamw_factors &k)
{
    float root;
    asm("sqrt.approx.f32 %0, %1;" : "=f"(root) : "f"(v));
    return __fdividef(m, root * k.scale + k.eps);
}

static __global__ void __launch_bounds__(THREADS)
    adamw(const struct update u, const struct adamw_factors k)
{
    const float clip = clip_of(u);
    auto read = [&](const struct place &at) {
        struct values x = {};
        kept_load(x.g, u.grad, at);
        kept_load(x.m, u.m, at);
        kept_load(x.v, u.v, at);
        kept_load(x.p, u.own, at);
        return x;
    };
    auto step = [&](const struct values &x, const struct place &at, const uint32_t(&bits)[PACK]) {
        float g[PACK], m[PACK], v[PACK], p[PACK];
        uint32_t other[PACK];
        unpack(g, x.g, u.grad, at);
        unpack(m, x.m, u.m, at);
        unpack(v, x.v, u.v, at);
        unpack(p, x.p, u.own, at);
#pragma unroll
        for (int e = 0; e < PACK; e++) {
            g[e] *= clip;
            m[e] = k.b1 * m[e] + k.c1 * g[e];
            v[e] = k.b2 * v[e] + k.c2 * g[e] * g[e];
            p[e] = p[e] * k.shrink - k.step * direction(m[e], v[e], k);
            other[e] = bits[e] ^ bits[e] >> 16;
        }
        kept_store(u.m, m, at, other);
#pragma unroll
        for (int e = 0; e < PACK; e++) other[e] = bits[e] >> 16;
        kept_store(u.v, v, at, other);
        store_weights(u, p, at, bits);
    };
    each_pack(u, read, step);
}

int kernel_adamw(const struct op_adamw *a, const struct kernel_context *c)
{
    struct update u =
        update_of(a->param, a->param_dtype, a->master, a->master_dtype,
                  kept_of((void *)a->grad, a->grad_dtype), a->sumsq, a->n, a->max_norm, &a->random);
    u.m = kept_of(a->m, a->m_dtype);
    u.v = kept_of(a->v, a->v_dtype);
    u.draws = u.own.narrow || u.m.narrow || u.v.narrow;
    const struct adamw_factors k = {(float)(a->lr / a->c1),   (float)(1 - a->lr * a->weight_decay),
                                    (float)(1 / sqrt(a->c2)), (float)a->beta1,
                                    (float)a->beta2,          (float)(1 - a->beta1),
                                    (float)(1 - a->beta2),    (float)a->eps};
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
    auto read = [&](const struct place &at) {
        struct values x = {};
        kept_load(x.g, u.grad, at);
        kept_load(x.p, u.own, at);
        if (u.m.p && !k.begins) kept_load(x.m, u.m, at);
        return x;
    };
    auto step = [&](const struct values &x, const struct place &at, const uint32_t(&bits)[PACK]) {
        float g[PACK], m[PACK], p[PACK];
        uint32_t other[PACK];
        unpack(g, x.g, u.grad, at);
        unpack(m, x.m, u.m, at);
        unpack(p, x.p, u.own, at);
#pragma unroll
        for (int e = 0; e < PACK; e++) {
            g[e] = g[e] * clip + k.decay * p[e];
            m[e] = k.begins ? g[e] : k.momentum * m[e] + k.keep * g[e];
            if (u.m.p) g[e] = k.nesterov ? g[e] + k.momentum * m[e] : m[e];
            p[e] -= k.lr * g[e];
            other[e] = bits[e] ^ bits[e] >> 16;
        }
        if (u.m.p) kept_store(u.m, m, at, other);
        store_weights(u, p, at, bits);
    };
    each_pack(u, read, step);
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
