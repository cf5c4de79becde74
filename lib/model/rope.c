/* SPDX-License-Identifier: Apache-2.0 */
/* Rotary frequencies and their scaling, as transformers computes them (modeling_rope_utils.py). It
 * does so in fp32, and its models saw exactly those frequencies and angles, so each step is rounded
 * to float here where it is there. */
#include <math.h>
#include <string.h>

#include "model/model.h"

static const char *const names[] = {[ROPE_DEFAULT] = "default",
                                    [ROPE_LINEAR] = "linear",
                                    [ROPE_DYNAMIC] = "dynamic",
                                    [ROPE_YARN] = "yarn",
                                    [ROPE_LLAMA3] = "llama3"};

/* The growth of attention's logits that YaRN compensates (Peng et al. 2023, equation 22). */
static double yarn_scale(double factor, double mscale)
{
    return factor <= 1 ? 1 : 0.1 * mscale * log(factor) + 1;
}

static double yarn_attention(const struct hf_rope *c)
{
    if (c->attention_factor > 0) return c->attention_factor;
    if (c->mscale > 0 && c->mscale_all_dim > 0)
        return yarn_scale(c->factor, c->mscale) / yarn_scale(c->factor, c->mscale_all_dim);
    return yarn_scale(c->factor, 1);
}

int rope_from_hf(const struct hf_config *c, struct rope *r, struct err *e)
{
    const struct hf_rope *h = &c->rope;
    size_t type = 0;
    while (type < sizeof names / sizeof *names && strcmp(names[type], h->type) != 0) type++;
    if (type == sizeof names / sizeof *names)
        return err_set(e, ERR_DATA, "rope_scaling of type %s", h->type);
    *r = (struct rope){.type = (enum rope_type)type,
                       .theta = h->theta,
                       .factor = h->factor,
                       .original = (double)h->original_max_position,
                       .low = h->low_freq_factor,
                       .high = h->high_freq_factor,
                       .beta_fast = h->beta_fast > 0 ? h->beta_fast : 32,
                       .beta_slow = h->beta_slow > 0 ? h->beta_slow : 1,
                       .attention = yarn_attention(h),
                       .truncate = h->truncate};
    if (r->type == ROPE_LLAMA3 &&
        !(r->factor >= 1 && r->low > 0 && r->high > r->low && r->original > 0))
        return err_set(e, ERR_DATA, "rope_scaling of type llama3 with these factors");
    if (r->type != ROPE_DEFAULT && !(r->factor >= 1))
        return err_set(e, ERR_DATA, "rope_scaling with a factor below 1");
    if (r->type == ROPE_YARN && !(r->theta > 1))
        return err_set(e, ERR_DATA, "rope_scaling of type yarn with rope_theta 1");
    if (r->type == ROPE_DYNAMIC && c->head_dim < 4)
        return err_set(e, ERR_DATA, "rope_scaling of type dynamic with a head_dim of 2");
    return 0;
}

bool rope_is_own(const struct model *m, int64_t n)
{
    return m->rope.type == ROPE_DYNAMIC && n > m->positions;
}

int64_t rope_reach(const struct model *m, bool decoding)
{
    const struct rope *r = &m->rope;
    if (r->type == ROPE_DEFAULT || (r->type == ROPE_DYNAMIC && decoding)) return m->positions;
    const double base = r->original > 0 ? r->original : (double)m->positions;
    const double reach = fmin(r->factor * base, INT32_MAX);
    return reach > (double)m->positions ? (int64_t)reach : m->positions;
}

/* NTK-aware scaling by length: theta grows with the tokens seen. transformers takes the largest
 * position of a whole batch, and the largest one it met before, so its result depends on what else
 * was in the batch and in earlier ones. Here it is what it gives to the document alone in a fresh
 * model: n = the document's length, theta unscaled up to max_position_embeddings. So neither
 * packing nor order matters. */
static float dynamic_theta(const struct model *m, int64_t n)
{
    const double dim = m->head_dim;
    float s = (float)m->rope.factor * (float)n / (float)m->positions - (float)(m->rope.factor - 1);
    return (float)m->rope.theta * powf(s, (float)(dim / (dim - 2)));
}

/* The pair of channels that makes `turns` turns within the original positions; real. */
static double turning_pair(const struct model *m, double turns)
{
    return m->head_dim * log(m->rope.original / (turns * 2 * M_PI)) / (2 * log(m->rope.theta));
}

/* YaRN: pairs that turn often keep their frequency f, those that turn little are stretched, with a
 * ramp between. */
static float yarn_frequency(const struct model *m, int64_t i, float power)
{
    double low = turning_pair(m, m->rope.beta_fast), high = turning_pair(m, m->rope.beta_slow);
    if (m->rope.truncate) low = floor(low), high = ceil(high);
    low = fmax(low, 0);
    high = fmin(high, m->head_dim - 1);
    if (low == high) high += 0.001;
    const float at = ((float)i - (float)low) / (float)(high - low);
    const float keep = 1 - fminf(fmaxf(at, 0), 1);
    return 1 / ((float)m->rope.factor * power) * (1 - keep) + 1 / power * keep;
}

/* Llama 3.1: long wavelengths are stretched by factor, short ones kept, those between blended. */
static float llama3_frequency(const struct model *m, float f)
{
    const struct rope *r = &m->rope;
    const double wavelength = 2 * M_PI / (double)f, ratio = r->original / wavelength;
    if (ratio > r->high) return f;
    if (ratio < r->low) return (float)((double)f / r->factor);
    double smooth = (ratio - r->low) / (r->high - r->low);
    return (float)((1 - smooth) * (double)f / r->factor + smooth * (double)f);
}

static float frequency(const struct model *m, int64_t n, int64_t i)
{
    const float theta = rope_is_own(m, n) ? dynamic_theta(m, n) : (float)m->rope.theta;
    const float power = (float)pow((double)theta, (double)((float)(2 * i) / (float)m->head_dim));
    switch (m->rope.type) {
    case ROPE_LINEAR:
        return 1 / power / (float)m->rope.factor;
    case ROPE_YARN:
        return yarn_frequency(m, i, power);
    case ROPE_LLAMA3:
        return llama3_frequency(m, 1 / power);
    case ROPE_DEFAULT:
    case ROPE_DYNAMIC:
        break;
    }
    return 1 / power;
}

void rope_table(const struct model *m, int64_t n, int64_t first, int64_t count, float *cosines,
                float *sines)
{
    const int64_t half = m->head_dim / 2;
    const float scale = m->rope.type == ROPE_YARN ? (float)m->rope.attention : 1;
    for (int64_t i = 0; i < half; i++) {
        const float f = frequency(m, n, i);
        for (int64_t p = 0; p < count; p++) {
            const float angle = (float)(first + p) * f;
            cosines[p * half + i] = (float)cos((double)angle) * scale;
            sines[p * half + i] = (float)sin((double)angle) * scale;
        }
    }
}
