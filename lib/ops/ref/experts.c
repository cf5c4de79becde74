/* SPDX-License-Identifier: Apache-2.0 */
/* Reference of the operations of mixtures of experts. */
#include "ref.h"

/* Returns true if logit x of expert e precedes logit y of expert f. NaN counts as -infinity. */
static bool precedes(REAL x, int32_t e, REAL y, int32_t f)
{
    x = isnan(x) ? -(REAL)INFINITY : x, y = isnan(y) ? -(REAL)INFINITY : y;
    return x > y || (x == y && e < f);
}

/* Returns the first expert behind `last` (-1: the first of all) in the order of token t. */
static int32_t next_expert(const struct op_route *a, int64_t t, int32_t last)
{
    int32_t best = -1;
    for (int32_t e = 0; e < a->E; e++) {
        const REAL x = get(a->logits, t * a->E + e, a->dtype);
        if (last >= 0 && !precedes(get(a->logits, t * a->E + last, a->dtype), last, x, e)) continue;
        if (best < 0 || precedes(x, e, get(a->logits, t * a->E + best, a->dtype), best)) best = e;
    }
    return best;
}

static void route_token(const struct op_route *a, int64_t t)
{
    int32_t *expert = a->expert + t * a->K;
    REAL max = -(REAL)INFINITY, sum = 0, chosen = 0;
    for (int32_t k = 0; k < a->K; k++) expert[k] = next_expert(a, t, k ? expert[k - 1] : -1);
    for (int32_t e = 0; e < a->E; e++) max = fmax(max, get(a->logits, t * a->E + e, a->dtype));
    for (int32_t e = 0; e < a->E; e++) sum += exp(get(a->logits, t * a->E + e, a->dtype) - max);
    for (int32_t e = 0; e < a->E; e++) {
        const int64_t at = t * a->E + e;
        put(a->prob, at, a->dtype, exp(get(a->logits, at, a->dtype) - max) / sum);
    }
    for (int32_t k = 0; k < a->K; k++) chosen += get(a->prob, t * a->E + expert[k], a->dtype);
    for (int32_t k = 0; k < a->K; k++) {
        const REAL p = get(a->prob, t * a->E + expert[k], a->dtype);
        put(a->weight, t * a->K + k, a->dtype, a->normalise ? p / chosen : p);
    }
}

REF_OP(route)
{
    for (int64_t t = 0; t < a->T; t++) route_token(a, t);
    for (int64_t i = a->T * a->K; i < a->padded * a->K; i++) {
        a->expert[i] = -1;
        put(a->weight, i, a->dtype, 0);
    }
}

/* Returns the lowest rank behind `last` that has an expert of token t, or -1. */
static int32_t next_peer(const struct op_peers *a, int64_t t, int32_t last)
{
    int32_t next = -1;
    for (int32_t k = 0; k < a->K; k++) {
        const int32_t e = a->expert[t * a->K + k], rank = e < 0 ? -1 : e / a->each;
        if (rank > last && (next < 0 || rank < next)) next = rank;
    }
    return next;
}

REF_OP(peers)
{
    for (int64_t t = 0; t < a->T; t++) {
        int32_t rank = -1;
        for (int32_t w = 0; w < a->W; w++) {
            if (w == 0 || rank >= 0) rank = next_peer(a, t, rank);
            a->peer[t * a->W + w] = rank;
        }
    }
}

REF_OP(dispatch)
{
    int32_t next = 0;
    for (int64_t i = 0; i < a->T * a->K; i++) a->row[i] = -1;
    for (int32_t e = 0; e < a->E; e++) {
        a->starts[e] = next;
        for (int64_t i = 0; i < a->T * a->K; i++) {
            if (a->expert[i] != a->first + e) continue;
            a->token[next] = (int32_t)(i / a->K);
            a->row[i] = next++;
        }
    }
    a->starts[a->E] = next;
    for (int64_t r = next; r < a->rows; r++) a->token[r] = -1;
}

/* Returns the gradient by prob[t,e]. */
static REAL prob_grad(const struct op_route_grad *a, int64_t t, int32_t e)
{
    REAL g = a->pool ? (REAL)(a->balance * a->pool[e]) : 0, sum = 0, mean = 0;
    for (int32_t k = 0; k < a->K; k++) {
        const REAL p = get(a->prob, t * a->E + a->expert[t * a->K + k], a->dtype);
        sum += p;
        mean += p * get(a->dweight, t * a->K + k, a->dtype);
    }
    for (int32_t k = 0; k < a->K; k++) {
        const REAL dw = get(a->dweight, t * a->K + k, a->dtype);
        if (a->expert[t * a->K + k] == e) g += a->normalise ? (dw - mean / sum) / sum : dw;
    }
    return g;
}

REF_OP(route_grad)
{
    for (int64_t t = 0; t < a->T; t++) {
        REAL mean = 0;
        for (int32_t e = 0; e < a->E; e++)
            mean += get(a->prob, t * a->E + e, a->dtype) * prob_grad(a, t, e);
        for (int32_t e = 0; e < a->E; e++) {
            const REAL p = get(a->prob, t * a->E + e, a->dtype);
            put(a->dlogits, t * a->E + e, a->d_dtype, p * (prob_grad(a, t, e) - mean));
        }
    }
}

REF_OP(load)
{
    for (int32_t e = 0; e < a->E; e++) {
        a->pool[e] += a->starts[e + 1] - a->starts[e];
        for (int64_t t = 0; t < a->T; t++)
            a->pool[a->E + e] += (double)get(a->prob, t * a->E + e, a->dtype);
    }
}

REF_OP(load_loss)
{
    double sum = 0;
    for (int32_t e = 0; e < a->E; e++) sum += a->pool[e] * a->pool[a->E + e];
    *a->sum += a->scale * sum;
}

static void grouped_rows(const struct op_grouped *a, int32_t e)
{
    for (int64_t r = a->starts[e]; r < a->starts[e + 1]; r++)
        for (int64_t j = 0; j < a->n; j++) {
            const int64_t at = e * a->n * a->k;
            REAL sum = 0;
            for (int64_t i = 0; i < a->k; i++)
                sum += get(a->a, r * a->k + i, a->ab_dtype) *
                       get(a->b, at + (a->tb ? j * a->k + i : i * a->n + j), a->ab_dtype);
            if (a->accumulate) sum += get(a->c, r * a->n + j, a->c_dtype);
            put(a->c, r * a->n + j, a->c_dtype, sum);
        }
}

static void grouped_weights(const struct op_grouped *a, int32_t e)
{
    for (int64_t i = 0; i < a->k; i++)
        for (int64_t j = 0; j < a->n; j++) {
            const int64_t at = (e * a->k + i) * a->n + j;
            REAL sum = 0;
            for (int64_t r = a->starts[e]; r < a->starts[e + 1]; r++)
                sum += get(a->a, r * a->k + i, a->ab_dtype) * get(a->b, r * a->n + j, a->ab_dtype);
            if (a->accumulate) sum += get(a->c, at, a->c_dtype);
            put(a->c, at, a->c_dtype, sum);
        }
}

REF_OP(grouped)
{
    for (int32_t e = 0; e < a->E; e++)
        if (a->weights)
            grouped_weights(a, e);
        else
            grouped_rows(a, e);
}

REF_OP(combine)
{
    for (int64_t t = 0; t < a->T; t++)
        for (int64_t i = 0; i < a->H; i++) {
            REAL sum = a->add ? get(a->y, t * a->H + i, a->y_dtype) : 0;
            for (int64_t c = t * a->K; c < (t + 1) * a->K; c++) {
                if (a->row[c] < 0) continue;
                const REAL w = a->weight ? get(a->weight, c, real_of(a->dtype)) : 1;
                sum += w * get(a->z, a->row[c] * a->H + i, a->dtype);
            }
            put(a->y, t * a->H + i, a->y_dtype, sum);
        }
}

REF_OP(combine_grad)
{
    for (int64_t c = 0; c < a->T * a->K; c++) {
        const int64_t t = c / a->K, row = a->row[c];
        const REAL w = get(a->weight, c, real_of(a->dtype));
        REAL sum = 0;
        for (int64_t i = 0; i < a->H && row >= 0; i++) {
            const REAL dy = get(a->dy, t * a->H + i, a->dtype);
            sum += dy * get(a->z, row * a->H + i, a->z_dtype);
            put(a->dz, row * a->H + i, a->dtype, w * dy);
        }
        put(a->dweight, c, real_of(a->dtype), sum);
    }
}

static REAL weight_of(const void *gate, int64_t t, enum dtype dtype)
{
    return 1 / (1 + exp(-get(gate, t, real_of(dtype))));
}

REF_OP(gate)
{
    for (int64_t i = 0; i < a->T * a->I; i++)
        put(a->y, i, a->dtype, weight_of(a->gate, i / a->I, a->dtype) * get(a->x, i, a->dtype));
}

REF_OP(gate_grad)
{
    for (int64_t t = 0; t < a->T; t++) {
        const REAL w = weight_of(a->gate, t, a->dtype);
        REAL sum = 0;
        for (int64_t i = t * a->I; i < (t + 1) * a->I; i++) {
            const REAL dy = get(a->dy, i, a->dtype);
            sum += dy * get(a->y, i, a->dtype);
            put(a->dx, i, a->dtype, w * dy);
        }
        put(a->dgate, t, a->dtype, (1 - w) * sum);
    }
}
