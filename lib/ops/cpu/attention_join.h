/* SPDX-License-Identifier: Apache-2.0 */
/* Attention backward: adds dK^T and dV^T of the heads that share them, and transposes the sums. */
#ifndef SFT_OPS_ATTENTION_JOIN_H
#define SFT_OPS_ATTENTION_JOIN_H

#include "ops/cpu/attention.h"

/* Each head of the long documents has one plane of floats for dK^T and one for dV^T. The plane has
 * the documents side by side, each [width (padded to GROUP), ld]; ld exceeds the keys by less than
 * PAD + VL, and there is at most one long document for every LONG keys. */
static int64_t partial_ld(const struct task *t) { return padded(t->nk, PAD) + VL; }

static int64_t partial_tall(const struct op_attention *a)
{
    return padded(padded(a->dim, WIDE), GROUP);
}

static int64_t partial_plane(const struct op_attention *a)
{
    return partial_tall(a) * (a->Tk + (a->Tk / LONG + 1) * (PAD + VL));
}

static size_t partial_bytes(const struct op_attention *a)
{
    if (a->max_len < LONG || a->heads == a->kv_heads) return 0;
    return (size_t)(2 * a->heads * partial_plane(a)) * sizeof(float);
}

static float *partial_of(const struct task *t, float *partials, int64_t head, int which)
{
    return partials + (2 * head + which) * partial_plane(t->a) +
           partial_tall(t->a) * (t->k0 + t->k0 / LONG * (PAD + VL));
}

/* Stores the columns of x [width, keys] as rows of y, of type `to_type`. tmp: [VL, width] floats.
 */
static void put_columns(const struct task *t, void *y, enum dtype to_type, const float *x,
                        int64_t ld, float *tmp)
{
    const struct op_attention *a = t->a;
    for (int64_t j = 0; j < t->nk; j += VL) {
        transpose((uint32_t *)tmp, t->width, (const uint32_t *)x + j, ld, t->width, VL);
        for (int64_t r = 0; r < cpu_min(VL, t->nk - j); r++) {
            void *to = elem(y, (t->k0 + j + r) * a->kv_stride + t->g * t->dim, to_type);
            for (int64_t i = 0; i < t->dim; i += VL)
                v_put(to, i, to_type, t->dim - i, v_load(tmp + r * t->width + i));
        }
    }
}

/* Adds the heads of a kv head in order. tmp: [VL, width] floats. */
static void join_heads(const struct op_attention_grad *g, const struct task *t, float *partials,
                       float *tmp)
{
    const int64_t ld = partial_ld(t), n = partial_tall(t->a) * ld;
    for (int which = 0; which < 2; which++) {
        float *sum = partial_of(t, partials, t->h0, which);
        for (int64_t h = t->h0 + 1; h < t->h1; h++) {
            const float *x = partial_of(t, partials, h, which);
            for (int64_t i = 0; i < n; i += VL) v_store(sum + i, v_load(sum + i) + v_load(x + i));
        }
        put_columns(t, which ? g->dv : g->dk, key_type(g), sum, ld, tmp);
    }
}

#endif
