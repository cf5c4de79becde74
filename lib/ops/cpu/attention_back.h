/* SPDX-License-Identifier: Apache-2.0 */
/* Attention backward: for ROWS queries and KEYS keys at a time it recomputes the probabilities,
 * then dS = scale P (dO V^T - D),  dQ += dS K,  dK^T += Q^T dS,  dV^T += dO^T P,  D = rowsum(dO O).
 * Included once for each element type: see tile.h. */

struct T(backward) {
    ELT *rows, *k, *v, *kc;     /* keys of the document */
    ELT *q, *dout, *qt, *doutt; /* ROWS queries, and their transposes */
    ELT *ds, *dsp, *pp;         /* [ROWS, KEYS]: dS by rows; dS and P paired along the queries */
    float *s, *dp;              /* strips */
    float *dq, *dkt, *dvt, *mean, *lse;
    int64_t ld; /* leading dimension of dkt and dvt [width (padded to GROUP), keys] */
};

/* The keys and values of a document in the layouts of the products: K^T and V^T, and K by rows. */
struct T(keys) {
    struct T(paired) k, v, kc;
};

static struct T(backward) T(backward_scratch)(struct carve *c, int64_t max_len, int64_t width)
{
    const int64_t keys = padded(max_len, PAD), tall = padded(width, GROUP);
    struct T(backward) b = {.ld = keys + VL};
    ELT **by_key[] = {&b.rows, &b.k, &b.v, &b.kc}, **by_query[] = {&b.q, &b.dout, &b.qt, &b.doutt};
    for (int i = 0; i < 4; i++) *by_key[i] = carve(c, keys * width, sizeof(ELT));
    for (int i = 0; i < 4; i++) *by_query[i] = carve(c, ROWS_LD * tall, sizeof(ELT));
    ELT **tiles[] = {&b.ds, &b.dsp, &b.pp};
    for (int i = 0; i < 3; i++) *tiles[i] = carve(c, ROWS * KEYS, sizeof(ELT));
    b.s = carve(c, GROUP * KEYS, sizeof(float));
    b.dp = carve(c, GROUP * KEYS, sizeof(float));
    b.dq = carve(c, ROWS * width, sizeof(float));
    b.dkt = carve(c, tall * b.ld, sizeof(float));
    b.dvt = carve(c, tall * b.ld, sizeof(float));
    b.mean = carve(c, ROWS, sizeof(float));
    b.lse = carve(c, ROWS, sizeof(float));
    return b;
}

/* Transposes x [ROWS, width] to y [width, ROWS_LD] by pairs of rows; tmp: [ROWS_LD, width]. */
static void T(transpose_queries)(ELT *y, const ELT *x, ELT *tmp, int64_t width)
{
    struct T(paired) p = T(pair_columns)(tmp, x, ROWS, width);
    transpose((uint32_t *)y, ROWS_LD / PAIR, (const uint32_t *)p.p, width, ROWS / PAIR, width);
}

/* Loads ROWS queries of head h from i0 on, and the lse and D of each row. */
static void T(load_queries)(const struct op_attention_grad *g, const struct task *t,
                            struct T(backward) * b, int64_t h, int64_t i0, int64_t n)
{
    const struct op_attention *a = t->a;
    const int64_t row0 = t->q0 + i0, at = row0 * a->o_stride + h * t->dim;
    T(load)
    (b->q, t->width, ROWS, elem(a->q, row0 * a->q_stride + h * t->dim, a->dtype), n, a->q_stride,
     t->dim, a->dtype);
    T(load)(b->dout, t->width, ROWS, elem(g->dout, at, a->dtype), n, a->o_stride, t->dim, a->dtype);
    T(transpose_queries)(b->qt, b->q, b->rows, t->width);
    T(transpose_queries)(b->doutt, b->dout, b->rows, t->width);
    for (int64_t r = 0; r < ROWS; r++) {
        vf sum = v_set(0);
        for (int64_t i = 0; r < n && i < t->dim; i += VL)
            sum = v_fma(v_get(g->dout, at + r * a->o_stride + i, a->dtype, t->dim - i),
                        v_get(g->o, at + r * a->o_stride + i, a->dtype, t->dim - i), sum);
        b->mean[r] = v_sum(sum);
        /* a row that does not exist or sees no key must give P = 0 */
        float lse = r < n ? ((const float *)g->lse)[h * a->Tq + row0 + r] : -INFINITY;
        b->lse[r] = lse > -INFINITY ? lse * (float)LOG2E : INFINITY;
    }
}

/* Computes P and dS of two adjacent queries r and r + 1 from their strips of scores, which with a
 * cap have been through cap_scores. */
INLINE void T(pair_grad)(const struct task *t, struct T(backward) * b, int64_t r, int64_t i,
                         int64_t key, int64_t v0, int64_t v1, bool capped)
{
    const float scale = (float)t->a->scale, scale2 = score_scale(t->a);
    int64_t from[2], to[2];
    for (int x = 0; x < 2; x++) visible(t, i + x, &from[x], &to[x]);
    for (int64_t v = v0; v < v1; v++) {
        vf p[2], ds[2];
#pragma GCC unroll 2
        for (int x = 0; x < 2; x++) {
            const int64_t at = (r % GROUP + x) * KEYS + v * VL;
            const vf s = v_load(b->s + at);
            p[x] = EXP2(v_fma(s, v_set(scale2), v_set(-b->lse[r + x])));
            p[x] = only(p[x], v, from[x] - key, to[x] - key, 0);
            ds[x] = p[x] * (v_load(b->dp + at) - b->mean[r + x]) * scale;
            if (capped) ds[x] = ds[x] * (1 - s * s);
        }
#if PAIR == 2
        vh p0 = v_to_bf16(p[0]), p1 = v_to_bf16(p[1]), d0 = v_to_bf16(ds[0]), d1 = v_to_bf16(ds[1]);
        vu pp = __builtin_convertvector(p0, vu) | __builtin_convertvector(p1, vu) << 16;
        vu dd = __builtin_convertvector(d0, vu) | __builtin_convertvector(d1, vu) << 16;
        memcpy(b->pp + r * KEYS + v * VL * 2, &pp, sizeof pp);
        memcpy(b->dsp + r * KEYS + v * VL * 2, &dd, sizeof dd);
        memcpy(b->ds + r * KEYS + v * VL, &d0, sizeof d0);
        memcpy(b->ds + (r + 1) * KEYS + v * VL, &d1, sizeof d1);
#else
        for (int x = 0; x < 2; x++) {
            v_store(b->pp + (r + x) * KEYS + v * VL, p[x]);
            v_store(b->ds + (r + x) * KEYS + v * VL, ds[x]);
        }
#endif
    }
}

/* Zeroes vectors [v0, v1) of the tile's P and dS for GROUP rows: keys that other rows see, but not
 * these. */
static void T(clear)(struct T(backward) * b, int64_t r, int64_t v0, int64_t v1)
{
    if (v0 >= v1) return;
    for (int64_t x = r; x < r + GROUP; x += PAIR) {
        const int64_t at = x * KEYS + v0 * VL * PAIR;
        const size_t bytes = (size_t)((v1 - v0) * VL * PAIR) * sizeof(ELT);
        memset(b->pp + at, 0, bytes);
        memset((PAIR == 2 ? b->dsp : b->ds) + at, 0, bytes);
    }
}

/* Computes the vectors [*g0, *g1) of the keys of vectors [v0, v1) from `key` on that a group of
 * queries from r on (of n existing ones) sees. */
INLINE void T(seen)(const struct task *t, int64_t i0, int64_t r, int64_t n, int64_t key, int64_t v0,
                    int64_t v1, int64_t *g0, int64_t *g1)
{
    int64_t from = 0, to = 0, last;
    if (r < n) {
        visible(t, i0 + r, &from, &to);
        visible(t, i0 + cpu_min(r + GROUP, n) - 1, &last, &to);
    }
    *g0 = from > key ? (from - key) / VL : 0;
    *g1 = to > key ? (to - key + VL - 1) / VL : 0;
    *g0 = *g0 < v0 ? v0 : cpu_min(*g0, v1);
    *g1 = *g1 < *g0 ? *g0 : cpu_min(*g1, v1);
}

/* Computes P and dS of n queries and the keys of vectors [v0, v1) from `key` on, and adds to dQ. */
static void T(grad_scores)(const struct task *t, struct T(backward) * b, const struct T(keys) * k,
                           int64_t i0, int64_t n, int64_t key, int64_t v0, int64_t v1)
{
    const int64_t steps = t->width / PAIR;
    const struct T(paired) kt = {k->k.p + key / PANEL * k->k.panel, k->k.ld, k->k.panel};
    const struct T(paired) vt = {k->v.p + key / PANEL * k->v.panel, k->v.ld, k->v.panel};
    for (int64_t r = 0; r < padded(n, GROUP); r += GROUP) {
        int64_t g0, g1;
        T(seen)(t, i0, r, n, key, v0, v1, &g0, &g1);
        T(clear)(b, r, v0, g0);
        T(clear)(b, r, g1, v1);
        if (g0 == g1) continue;
        MULTIPLY(steps, b->q + r * t->width, t->width, kt, g0, g1, b->s, KEYS, false);
        MULTIPLY(steps, b->dout + r * t->width, t->width, vt, g0, g1, b->dp, KEYS, false);
        cap_scores(t->a, b->s, GROUP, g0, g1);
        for (int64_t x = r; x < r + GROUP; x += 2) {
            if (t->a->cap > 0)
                T(pair_grad)(t, b, x, i0 + x, key, g0, g1, true);
            else
                T(pair_grad)(t, b, x, i0 + x, key, g0, g1, false);
        }
        const struct T(paired)
            kc = {k->kc.p + (key + g0 * VL) / PAIR * k->kc.ld, k->kc.ld, k->kc.panel};
        MULTIPLY((g1 - g0) * VL / PAIR, b->ds + r * KEYS + g0 * VL, KEYS, kc, 0, t->width / VL,
                 b->dq + r * t->width, t->width, true);
    }
}

/* Adds the contribution of P and dS of n queries to dK^T and dV^T of these keys. */
static void T(grad_keys)(const struct task *t, struct T(backward) * b, int64_t i0, int64_t n,
                         int64_t key, int64_t v0, int64_t v1)
{
    enum { NARROW = 2 }; /* vectors at a time: short, to skip more beyond the causal edge */
    const ELT *ds = PAIR == 2 ? b->dsp : b->ds;
    const int64_t used = padded(n, GROUP);
    for (int64_t from = v0; from < v1; from += NARROW) {
        const int64_t to = cpu_min(from + NARROW, v1);
        int64_t skip = key + from * VL - (t->nk - t->nq) - i0; /* skipped queries */
        skip = skip < 0 ? 0 : skip / PAIR * PAIR;
        if (skip >= used) continue;
        const int64_t steps = (used - skip) / PAIR;
        const struct T(paired) dsb = {ds + skip * KEYS, KEYS * PAIR, PANEL * PAIR};
        const struct T(paired) pb = {b->pp + skip * KEYS, KEYS * PAIR, PANEL * PAIR};
        for (int64_t c = 0; c < padded(t->dim, GROUP); c += GROUP) {
            MULTIPLY(steps, b->qt + c * ROWS_LD + skip, ROWS_LD, dsb, from, to,
                     b->dkt + c * b->ld + key, b->ld, true);
            MULTIPLY(steps, b->doutt + c * ROWS_LD + skip, ROWS_LD, pb, from, to,
                     b->dvt + c * b->ld + key, b->ld, true);
        }
    }
}

static void T(grad_queries)(const struct op_attention_grad *g, const struct task *t,
                            struct T(backward) * b, const struct T(keys) * k, int64_t h, int64_t i0)
{
    const struct op_attention *a = t->a;
    const int64_t n = cpu_min(ROWS, t->nq - i0);
    int64_t from, to, last;
    visible(t, i0, &from, &to);
    visible(t, i0 + n - 1, &last, &to);
    T(load_queries)(g, t, b, h, i0, n);
    memset(b->dq, 0, (size_t)(ROWS * t->width) * sizeof *b->dq);
    for (int64_t key = from / PAD * PAD; key < to; key += KEYS) {
        const int64_t v0 = key < from ? (from - key) / VL : 0;
        const int64_t v1 = (cpu_min(to - key, KEYS) + VL - 1) / VL;
        T(grad_scores)(t, b, k, i0, n, key, v0, v1);
        T(grad_keys)(t, b, i0, n, key, v0, v1);
    }
    for (int64_t r = 0; r < n; r++) {
        void *dq = elem(g->dq, (t->q0 + i0 + r) * a->q_stride + h * t->dim, a->dtype);
        for (int64_t i = 0; i < t->dim; i += VL)
            v_put(dq, i, a->dtype, t->dim - i, v_load(b->dq + r * t->width + i));
    }
}

/* Runs a backward task. partials: the dK^T and dV^T of heads that are separate tasks. */
static void T(backward_task)(const struct op_attention_grad *g, const struct task *t, char *scratch,
                             float *partials)
{
    const struct op_attention *a = t->a;
    const int64_t keys = padded(t->nk, PAD);
    const int64_t at = t->k0 * a->kv_stride + t->g * t->dim, tall = padded(t->width, GROUP);
    struct carve c = {scratch, 0};
    struct T(backward) b = T(backward_scratch)(&c, a->max_len, t->width);
    if (t->alone) {
        b.ld = partial_ld(t);
        b.dkt = partial_of(t, partials, t->h0, 0);
        b.dvt = partial_of(t, partials, t->h0, 1);
    }
    T(load)
    (b.rows, t->width, keys, elem(a->v, at, a->dtype), t->nk, a->kv_stride, t->dim, a->dtype);
    struct T(keys) k;
    k.v = T(pair_rows)(b.v, b.rows, keys, t->width);
    T(load)
    (b.rows, t->width, keys, elem(a->k, at, a->dtype), t->nk, a->kv_stride, t->dim, a->dtype);
    k.k = T(pair_rows)(b.k, b.rows, keys, t->width);
    k.kc = T(pair_columns)(b.kc, b.rows, keys, t->width);
    memset(b.qt, 0, (size_t)(ROWS_LD * tall) * sizeof *b.qt);
    memset(b.doutt, 0, (size_t)(ROWS_LD * tall) * sizeof *b.doutt);
    memset(b.dkt, 0, (size_t)(tall * b.ld) * sizeof *b.dkt);
    memset(b.dvt, 0, (size_t)(tall * b.ld) * sizeof *b.dvt);
    for (int64_t h = t->h0; h < t->h1; h++)
        for (int64_t part = 0; part < (a->key_end ? 2 : 1); part++) {
            const struct task own = a->key_end ? task_chunk(t, part) : *t;
            for (int64_t i = 0; i < own.nq; i += ROWS) T(grad_queries)(g, &own, &b, &k, h, i);
        }
    if (t->alone) return;
    put_columns(t, g->dk, key_type(g), b.dkt, b.ld, b.dq);
    put_columns(t, g->dv, key_type(g), b.dvt, b.ld, b.dq);
}
