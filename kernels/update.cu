/* SPDX-License-Identifier: Apache-2.0 */
/* AdamW and SGD with the random bits of op_random_bits, so that values stored in bf16 round as on a
 * CPU. One thread draws Philox once for four elements, 16 apart: a block of 64 has 16 draws. Bytes
 * per element: AdamW 30 with fp32 master and moments, 14 with everything in bf16; limit: 85 % of
 * the copy rate. */
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

static __device__ __forceinline__ float kept_load(const struct kept &k, int64_t i)
{
    return k.narrow ? __bfloat162float(((const bf16 *)k.p)[i]) : ((const float *)k.p)[i];
}
/* Stores x for the next update, in bf16 by stochastic rounding; returns the stored value. */
static __device__ __forceinline__ float kept_store(const struct kept &k, int64_t i, float x,
                                                   uint32_t bits)
{
    if (!k.narrow) return ((float *)k.p)[i] = x;
    const uint16_t r = round_random(x, bits);
    ((uint16_t *)k.p)[i] = r;
    return __uint_as_float((uint32_t)r << 16);
}

struct update {
    struct kept own, copy, m, v; /* copy: own rounded to nearest; p may be NULL */
    struct kept grad;
    const double *sumsq;
    int64_t n;
    double max_norm;
    struct op_random random;
    bool draws; /* stochastic rounding is used */
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

/* Calls f(i, bits) for the elements of this thread. */
template <typename F>
static __device__ __forceinline__ void each_element(const struct update &u, F f)
{
    const uint64_t begin = u.random.first, end = begin + (uint64_t)u.n;
    const uint64_t draws = (end / 64 + (end % 64 != 0)) * 16;
    for (uint64_t d = begin / 64 * 16 + (uint64_t)grid_index(); d < draws;
         d += (uint64_t)grid_size()) {
        uint32_t word[4] = {0, 0, 0, 0};
        if (u.draws)
            philox((uint32_t)d, (uint32_t)(d >> 32), (uint32_t)u.random.step,
                   ((uint32_t)(u.random.step >> 32) & 0xffffff) | 4u << 24, u.random.seed, word);
#pragma unroll
        for (int k = 0; k < 4; k++) {
            const uint64_t i = d / 16 * 64 + 16 * k + d % 16;
            if (i >= begin && i < end) f((int64_t)(i - begin), word[k]);
        }
    }
}

static __device__ __forceinline__ void store_weights(const struct update &u, int64_t i, float p,
                                                     uint32_t bits)
{
    p = kept_store(u.own, i, p, bits);
    if (!u.copy.p) return;
    if (u.copy.narrow)
        ((bf16 *)u.copy.p)[i] = __float2bfloat16_rn(p);
    else
        ((float *)u.copy.p)[i] = p;
}

struct adamw_factors {
    float step, shrink, root, b1, b2, c1, c2, eps;
};

static __global__ void adamw(const struct update u, const struct adamw_factors k)
{
    const float clip = clip_of(u);
    each_element(u, [&](int64_t i, uint32_t bits) {
        const float g = kept_load(u.grad, i) * clip;
        const float m = k.b1 * kept_load(u.m, i) + k.c1 * g;
        const float v = k.b2 * kept_load(u.v, i) + k.c2 * g * g;
        const float p = kept_load(u.own, i) * k.shrink - k.step * (m / (sqrtf(v) / k.root + k.eps));
        kept_store(u.m, i, m, bits ^ bits >> 16);
        kept_store(u.v, i, v, bits >> 16);
        store_weights(u, i, p, bits);
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
    adamw<<<blocks_for(a->n / 4), THREADS, 0, c->stream>>>(u, k);
    return cudaGetLastError();
}

struct sgd_factors {
    float lr, decay, momentum, keep;
    bool begins, nesterov;
};

static __global__ void sgd(const struct update u, const struct sgd_factors k)
{
    const float clip = clip_of(u);
    each_element(u, [&](int64_t i, uint32_t bits) {
        const float p = kept_load(u.own, i);
        float g = kept_load(u.grad, i) * clip + k.decay * p;
        if (u.m.p) {
            const float m = k.begins ? g : k.momentum * kept_load(u.m, i) + k.keep * g;
            kept_store(u.m, i, m, bits ^ bits >> 16);
            g = k.nesterov ? g + k.momentum * m : m;
        }
        store_weights(u, i, p - k.lr * g, bits);
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
    sgd<<<blocks_for(a->n / 4), THREADS, 0, c->stream>>>(u, k);
    return cudaGetLastError();
}
