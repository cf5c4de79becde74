/* SPDX-License-Identifier: Apache-2.0 */
/* Routing of tokens to experts, the sums of the experts' results, and the weight of an expert of
 * all tokens. Limits: of routing the exp of
 * each logit; of the sums memory bandwidth, each operand once. */
#include "ops/cpu/cpu.h"

/* Returns lanes of a row from i on; those from `left` on are `rest`. */
INLINE vf row_get(const float *x, int64_t i, int64_t left, float rest)
{
    const vf v = v_get(x, i, DT_F32, left);
    return left >= VL ? v : v_select(v_lanes() < (int32_t)left, v, v_set(rest));
}

INLINE float rank_of(float x) { return x != x ? -INFINITY : x; }

/* Keeps the K largest logits so far in falling order; an equal one that comes later stays behind.
 */
static void choose(const float *x, int32_t E, int32_t K, int32_t *expert)
{
    int32_t n = 0;
    for (int32_t e = 0; e < E; e++) {
        const float v = rank_of(x[e]);
        if (n == K && !(v > rank_of(x[expert[K - 1]]))) continue;
        int32_t at = n < K ? n++ : K - 1;
        for (; at > 0 && v > rank_of(x[expert[at - 1]]); at--) expert[at] = expert[at - 1];
        expert[at] = e;
    }
}

static void softmax(const float *x, float *p, int64_t E)
{
    vf max = v_set(-INFINITY), sum = v_set(0);
    for (int64_t i = 0; i < E; i += VL) max = v_max(max, row_get(x, i, E - i, -INFINITY));
    const float most = v_hmax(max);
    for (int64_t i = 0; i < E; i += VL) {
        const vf v = v_exp(row_get(x, i, E - i, -INFINITY) - most);
        sum += v;
        v_put(p, i, DT_F32, E - i, v);
    }
    const float factor = 1 / v_sum(sum);
    for (int64_t i = 0; i < E; i += VL)
        v_put(p, i, DT_F32, E - i, v_get(p, i, DT_F32, E - i) * factor);
}

static void route_token(const struct op_route *a, int64_t t)
{
    float *p = (float *)a->prob + t * a->E, *weight = (float *)a->weight + t * a->K, sum = 0;
    int32_t *expert = a->expert + t * a->K;
    choose((const float *)a->logits + t * a->E, a->E, a->K, expert);
    softmax((const float *)a->logits + t * a->E, p, a->E);
    for (int32_t k = 0; k < a->K; k++) sum += p[expert[k]];
    for (int32_t k = 0; k < a->K; k++) weight[k] = a->normalise ? p[expert[k]] / sum : p[expert[k]];
}

CPU_OP(route)
{
    const int64_t from = a->T * a->K, rest = (a->padded - a->T) * a->K;
    PARALLEL_FOR(d, t, a->T) route_token(a, t);
    for (int64_t i = 0; i < rest; i++) a->expert[from + i] = -1;
    memset((float *)a->weight + from, 0, (size_t)rest * sizeof(float));
}

/* Keeps the ranks of a token's choices so far in rising order. */
static void peers_token(const struct op_peers *a, int64_t t)
{
    const int32_t *expert = a->expert + t * a->K;
    int32_t *peer = a->peer + t * a->W, n = 0;
    for (int32_t k = 0; k < a->K; k++) {
        if (expert[k] < 0) continue;
        const int32_t rank = expert[k] / a->each;
        int32_t at = n;
        while (at > 0 && peer[at - 1] > rank) at--;
        if (at > 0 && peer[at - 1] == rank) continue;
        memmove(peer + at + 1, peer + at, (size_t)(n++ - at) * sizeof *peer);
        peer[at] = rank;
    }
    while (n < a->W) peer[n++] = -1;
}
CPU_OP(peers) { PARALLEL_FOR(d, t, a->T) peers_token(a, t); }

/* Returns the number of the expert of choice i among those of the list, or -1. */
INLINE int32_t listed(const struct op_dispatch *a, int64_t i)
{
    const int32_t e = a->expert[i] - a->first;
    return e >= 0 && e < a->E ? e : -1;
}

/* Sorts the choices by counting: ends[e] is the number of choices of e, then the end of its rows,
 * and falls to their begin as rows are taken from behind. */
CPU_OP(dispatch)
{
    const int64_t n = a->T * a->K;
    int32_t *ends = a->starts + 1, all = 0;
    (void)d;
    memset(a->starts, 0, (size_t)(a->E + 1) * sizeof *a->starts);
    for (int64_t i = 0; i < n; i++)
        if (listed(a, i) >= 0) ends[listed(a, i)]++;
    for (int32_t e = 0; e < a->E; e++) all = ends[e] += all;
    for (int64_t i = n - 1; i >= 0; i--) {
        const int32_t e = listed(a, i), row = e < 0 ? -1 : --ends[e];
        a->row[i] = row;
        if (e >= 0) a->token[row] = (int32_t)(i / a->K);
    }
    for (int32_t e = 0; e < a->E; e++) a->starts[e] = ends[e];
    a->starts[a->E] = all;
    for (int64_t r = all; r < a->rows; r++) a->token[r] = -1;
}

INLINE float pool_grad(const struct op_route_grad *a, int64_t e)
{
    return a->pool ? (float)(a->balance * a->pool[e]) : 0;
}

INLINE void route_grad_token(const struct op_route_grad *a, int64_t t, enum dtype to)
{
    const float *p = (const float *)a->prob + t * a->E, *dw = (const float *)a->dweight + t * a->K;
    const int32_t *expert = a->expert + t * a->K;
    float chosen = 0, dot = 0, mean = 0;
    for (int32_t k = 0; k < a->K; k++) chosen += p[expert[k]], dot += p[expert[k]] * dw[k];
    const float shift = a->normalise ? dot / chosen : 0, scale = a->normalise ? 1 / chosen : 1;
    for (int32_t k = 0; k < a->K; k++) mean += p[expert[k]] * (dw[k] - shift) * scale;
    for (int32_t e = 0; e < a->E && a->pool; e++) mean += p[e] * pool_grad(a, e);
    for (int32_t e = 0; e < a->E; e++) {
        const float g = p[e] * (pool_grad(a, e) - mean);
        v_put(a->dlogits, t * a->E + e, to, 1, v_set(g));
    }
    for (int32_t k = 0; k < a->K; k++) {
        const float g = pool_grad(a, expert[k]) + (dw[k] - shift) * scale;
        v_put(a->dlogits, t * a->E + expert[k], to, 1, v_set(p[expert[k]] * (g - mean)));
    }
}
CPU_OP(route_grad) { PARALLEL_FOR(d, t, a->T) BY_DTYPE(a->d_dtype, route_grad_token, a, t); }

/* Adds the rows of VL columns in blocks, each of them in double. */
static void load_columns(const struct op_load *a, int64_t i)
{
    enum { ROWS = 64 };
    double sum[VL] = {0};
    for (int64_t block = 0; block < a->T; block += ROWS) {
        vf part = v_set(0);
        for (int64_t t = block; t < cpu_min(block + ROWS, a->T); t++)
            part += v_get(a->prob, t * a->E + i, DT_F32, a->E - i);
        for (int j = 0; j < VL; j++) sum[j] += (double)part[j];
    }
    for (int64_t j = i; j < cpu_min(i + VL, a->E); j++) {
        a->pool[j] += a->starts[j + 1] - a->starts[j];
        a->pool[a->E + j] += sum[j - i];
    }
}
CPU_OP(load) { PARALLEL_FOR(d, b, cpu_blocks(a->E, VL)) load_columns(a, b * VL); }

CPU_OP(load_loss)
{
    double sum = 0;
    (void)d;
    for (int32_t e = 0; e < a->E; e++) sum += a->pool[e] * a->pool[a->E + e];
    *a->sum += a->scale * sum;
}

/* Calls f(..., t, u), so that f is compiled for each pair of types. */
#define BY_PAIR(t, u, f, ...)                                                                      \
    ((t) == DT_BF16 ? BY_DTYPE(u, f, __VA_ARGS__, DT_BF16) : BY_DTYPE(u, f, __VA_ARGS__, DT_F32))

INLINE void combine_token(const struct op_combine *a, int64_t t, enum dtype from, enum dtype to)
{
    const float *weight = a->weight;
    for (int64_t i = 0; i < a->H; i += VL) {
        vf sum = a->add ? v_get(a->y, t * a->H + i, to, a->H - i) : v_set(0);
        for (int64_t c = t * a->K; c < (t + 1) * a->K; c++) {
            if (a->row[c] < 0) continue;
            const vf z = v_get(a->z, a->row[c] * a->H + i, from, a->H - i);
            sum = weight ? v_fma(v_set(weight[c]), z, sum) : sum + z;
        }
        v_put(a->y, t * a->H + i, to, a->H - i, sum);
    }
}
CPU_OP(combine) { PARALLEL_FOR(d, t, a->T) BY_PAIR(a->dtype, a->y_dtype, combine_token, a, t); }

INLINE void combine_grad_choice(const struct op_combine_grad *a, int64_t c, enum dtype t,
                                enum dtype tz)
{
    const int64_t from = c / a->K * a->H, at = a->row[c] * a->H;
    const float weight = ((const float *)a->weight)[c];
    vf sum = v_set(0);
    for (int64_t i = 0; i < a->H && at >= 0; i += VL) {
        const vf dy = v_get(a->dy, from + i, t, a->H - i);
        sum = v_fma(dy, v_get(a->z, at + i, tz, a->H - i), sum);
        v_put(a->dz, at + i, t, a->H - i, weight * dy);
    }
    ((float *)a->dweight)[c] = v_sum(sum);
}
CPU_OP(combine_grad)
{
    PARALLEL_FOR(d, c, a->T * a->K)
    BY_PAIR(a->dtype, a->z_dtype, combine_grad_choice, a, c);
}

/* Returns the sigmoid of the gate of token t. */
INLINE float gate_of(const void *gate, int64_t t)
{
    const vf x = v_max(v_set(((const float *)gate)[t]), v_set(-88)); /* so that exp is finite */
    return (1 / (1 + v_exp(-x)))[0];
}

INLINE void gate_token(const struct op_gate *a, int64_t t, enum dtype type)
{
    const float w = gate_of(a->gate, t);
    for (int64_t i = 0; i < a->I; i += VL) {
        const vf x = v_get(a->x, t * a->I + i, type, a->I - i);
        v_put(a->y, t * a->I + i, type, a->I - i, w * x);
    }
}
CPU_OP(gate) { PARALLEL_FOR(d, t, a->T) BY_DTYPE(a->dtype, gate_token, a, t); }

INLINE void gate_grad_token(const struct op_gate_grad *a, int64_t t, enum dtype type)
{
    const float w = gate_of(a->gate, t);
    vf sum = v_set(0);
    for (int64_t i = 0; i < a->I; i += VL) {
        const vf dy = v_get(a->dy, t * a->I + i, type, a->I - i);
        sum = v_fma(dy, v_get(a->y, t * a->I + i, type, a->I - i), sum);
        v_put(a->dx, t * a->I + i, type, a->I - i, w * dy);
    }
    v_put(a->dgate, t, type, 1, v_set((1 - w) * v_sum(sum)));
}
CPU_OP(gate_grad) { PARALLEL_FOR(d, t, a->T) BY_DTYPE(a->dtype, gate_grad_token, a, t); }
