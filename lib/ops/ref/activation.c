/* SPDX-License-Identifier: Apache-2.0 */
/* Reference of the activations, plain or as gates of linear units (Shazeer 2020):
 * silu(x) = x s, s = 1 / (1 + exp(-x));  gelu(x) = x P, P = (1 + erf(x / sqrt(2))) / 2;
 * its approximation (Hendrycks and Gimpel 2016): x (1 + tanh(z)) / 2,
 * z = sqrt(2 / pi) (x + 0.044715 x^3);  relu2(x) = max(x, 0)^2 (So et al. 2021). */
#include "ref.h"

struct curve {
    REAL f, slope; /* f(x), f'(x) */
};

static struct curve silu(REAL x)
{
    const REAL s = 1 / (1 + exp(-x));
    return (struct curve){x * s, s * (1 + x * (1 - s))};
}

static struct curve gelu(REAL x)
{
    const REAL below = erfc(-x / sqrt((REAL)2)) / 2;
    return (struct curve){x * below, below + x * exp(-x * x / 2) / sqrt(2 * (REAL)M_PI)};
}

static struct curve gelu_tanh(REAL x)
{
    const REAL c = sqrt(2 / (REAL)M_PI), cube = (REAL)0.044715;
    const REAL h = tanh(c * (x + cube * x * x * x)), dz = c * (1 + 3 * cube * x * x);
    return (struct curve){x * (1 + h) / 2, (1 + h + x * (1 - h * h) * dz) / 2};
}

static struct curve relu2(REAL x)
{
    const REAL r = x < 0 ? 0 : x; /* NaN stays NaN */
    return (struct curve){r * r, 2 * r};
}

static struct curve (*const curves[ACTS])(REAL x) = {
    [ACT_SILU] = silu, [ACT_GELU] = gelu, [ACT_GELU_TANH] = gelu_tanh, [ACT_RELU2] = relu2};

REF_OP(activation)
{
    const int64_t width = a->gated ? 2 * a->I : a->I, rows = a->count ? *a->count : a->T;
    for (int64_t t = 0; t < rows; t++)
        for (int64_t i = 0; i < a->I; i++) {
            const int64_t at = t * width + i;
            const REAL up = a->gated ? get(a->x, at + a->I, a->dtype) : 1;
            put(a->y, t * a->I + i, a->dtype, curves[a->act](get(a->x, at, a->dtype)).f * up);
        }
}

REF_OP(activation_grad)
{
    const int64_t width = a->gated ? 2 * a->I : a->I, rows = a->count ? *a->count : a->T;
    for (int64_t t = 0; t < rows; t++)
        for (int64_t i = 0; i < a->I; i++) {
            const int64_t x = t * width + i, y = t * a->I + i;
            const struct curve c = curves[a->act](get(a->x, x, a->dtype));
            const REAL up = a->gated ? get(a->x, x + a->I, a->dtype) : 1;
            const REAL dy = get(a->dy, y, a->dtype);
            if (a->y) put(a->y, y, a->dtype, c.f * up);
            put(a->dx, x, a->dtype, dy * up * c.slope);
            if (a->gated) put(a->dx, x + a->I, a->dtype, dy * c.f);
        }
}
