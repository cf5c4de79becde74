/* SPDX-License-Identifier: Apache-2.0 */
/* Attention forward: a group of queries against a strip of keys at a time, with a running maximum
 * (Dao et al. 2022). Included once for each element type: see tile.h. */

struct T(forward) {
    ELT *rows, *k, *v, *q, *p;
    float *s, *o;
};

static struct T(forward) T(forward_scratch)(struct carve *c, int64_t max_len, int64_t width)
{
    const int64_t keys = padded(max_len, PAD);
    struct T(forward) f;
    f.rows = carve(c, keys * width, sizeof(ELT));
    f.k = carve(c, keys * width, sizeof(ELT));
    f.v = carve(c, keys * width, sizeof(ELT));
    f.q = carve(c, GROUP * width, sizeof(ELT));
    f.p = carve(c, GROUP * KEYS, sizeof(ELT));
    f.s = carve(c, GROUP * KEYS, sizeof(float));
    f.o = carve(c, GROUP * width, sizeof(float));
    return f;
}

/* Converts the scores s of one query for the keys of vectors [v0, v1), of which it sees [from, to),
 * to p; updates its running maximum and sum and rescales its o. Scores are in units of log 2. */
INLINE void T(softmax_row)(const float *s, ELT *p, int64_t v0, int64_t v1, int64_t from, int64_t to,
                           float scale, float *max, float *sum, float *o, int64_t width)
{
    vf m = v_set(*max);
    for (int64_t v = v0; v < v1; v++)
        m = v_max(m, only(v_load(s + v * VL) * scale, v, from, to, -INFINITY));
    const float most = v_hmax(m), base = most > -INFINITY ? most : 0;
    vf total = v_set(0);
    for (int64_t v = v0; v < v1; v++) {
        vf e = EXP2(v_fma(v_load(s + v * VL), v_set(scale), v_set(-base)));
        e = only(e, v, from, to, 0);
        total += e;
        v_put(p, v * VL, sizeof(ELT) == 2 ? DT_BF16 : DT_F32, VL, e);
    }
    if (most > *max && *sum > 0) {
        const float fade = exp2f(*max - most);
        *sum *= fade;
        for (int64_t i = 0; i < width; i += VL) v_store(o + i, v_load(o + i) * fade);
    }
    *sum += v_sum(total);
    *max = most;
}

/* Computes GROUP queries of head h from i0 on. */
static void T(attend)(const struct task *t, struct T(forward) * f, struct T(paired) k,
                      struct T(paired) v, int64_t h, int64_t i0)
{
    const struct op_attention *a = t->a;
    const int64_t n = cpu_min(GROUP, t->nq - i0), steps = t->width / PAIR;
    int64_t from[GROUP] = {0}, to[GROUP] = {0};
    float max[GROUP], sum[GROUP] = {0};
    T(load)
    (f->q, t->width, GROUP, elem(a->q, (t->q0 + i0) * a->q_stride + h * t->dim, a->dtype), n,
     a->q_stride, t->dim, a->dtype);
    for (int r = 0; r < GROUP; r++) max[r] = -INFINITY;
    for (int r = 0; r < n; r++) visible(t, i0 + r, &from[r], &to[r]);
    memset(f->o, 0, (size_t)(GROUP * t->width) * sizeof *f->o);
    for (int64_t key = from[0] / PAD * PAD; key < to[n - 1]; key += KEYS) {
        const int64_t end = cpu_min(key + KEYS, to[n - 1]), v1 = (end - key + VL - 1) / VL;
        const int64_t v0 = key < from[0] ? (from[0] - key) / VL : 0;
        struct T(paired) kb = {k.p + key / PANEL * k.panel, k.ld, k.panel};
        struct T(paired) vb = {v.p + (key + v0 * VL) / PAIR * v.ld, v.ld, v.panel};
        MULTIPLY(steps, f->q, t->width, kb, v0, v1, f->s, KEYS, false);
        cap_scores(a, f->s, GROUP, v0, v1);
        for (int r = 0; r < GROUP; r++) T(softmax_row)
        (f->s + r * KEYS, f->p + r * KEYS, v0, v1, from[r] - key, to[r] - key, score_scale(a),
         &max[r], &sum[r], f->o + r * t->width, t->width);
        MULTIPLY((v1 - v0) * VL / PAIR, f->p + v0 * VL, KEYS, vb, 0, t->width / VL, f->o, t->width,
                 true);
    }
    for (int r = 0; r < n; r++) {
        const int64_t row = t->q0 + i0 + r;
        const float scale = sum[r] > 0 ? 1 / sum[r] : 0;
        void *o = elem(a->o, row * a->o_stride + h * t->dim, a->dtype);
        for (int64_t i = 0; i < t->dim; i += VL)
            v_put(o, i, a->dtype, t->dim - i, v_load(f->o + r * t->width + i) * scale);
        if (a->lse) ((float *)a->lse)[h * a->Tq + row] = (max[r] + log2f(sum[r])) * (float)LN2;
    }
}

static void T(forward_task)(const struct task *t, char *scratch)
{
    const struct op_attention *a = t->a;
    const int64_t keys = padded(t->nk, PAD);
    struct carve c = {scratch, 0};
    struct T(forward) f = T(forward_scratch)(&c, a->max_len, t->width);
    const int64_t at = t->k0 * a->kv_stride + t->g * t->dim;
    T(load)
    (f.rows, t->width, keys, elem(a->k, at, a->dtype), t->nk, a->kv_stride, t->dim, a->dtype);
    struct T(paired) k = T(pair_rows)(f.k, f.rows, keys, t->width);
    T(load)
    (f.rows, t->width, keys, elem(a->v, at, a->dtype), t->nk, a->kv_stride, t->dim, a->dtype);
    struct T(paired) v = T(pair_columns)(f.v, f.rows, keys, t->width);
    for (int64_t h = t->h0; h < t->h1; h++)
        for (int64_t i = 0; i < t->nq; i += GROUP) T(attend)(t, &f, k, v, h, i);
}
