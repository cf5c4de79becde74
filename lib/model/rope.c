/* SPDX-License-Identifier: Apache-2.0 */
/* Rotary frequencies and their scaling, as transformers computes them (modeling_rope_utils.py).
 * transformers computes them in fp32, and its models are trained with exactly those frequencies and
 * angles. So each step here is rounded to float if transformers rounds it. */
#include <math.h>
#include <string.h>

#include "model/model.h"

static const char *const names[] = {[ROPE_DEFAULT] = "default",
                                    [ROPE_LINEAR] = "linear",
                                    [ROPE_DYNAMIC] = "dynamic",
                                    [ROPE_YARN] = "yarn",
                                    [ROPE_LLAMA3] = "llama3"};

/* Returns the factor by which YaRN compensates the growth of attention's logits (Peng et al. 2023,
 * equation 22). */
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

/* Returns theta with NTK-aware scaling by length: theta grows with the number of tokens.
 * transformers uses the largest position of the whole batch and of earlier batches, so its result
 * depends on other documents. Here the result is the one that transformers computes for the
 * document alone in a new model: n is the document's length, and theta is unscaled up to
 * max_position_embeddings. So packing and order do not matter. */
static float dynamic_theta(const struct model *m, int64_t n)
{
    const double dim = m->head_dim;
    float s = (float)m->rope.factor * (float)n / (float)m->positions - (float)(m->rope.factor - 1);
    return (float)m->rope.theta * powf(s, (float)(dim / (dim - 2)));
}

/* Returns the index, a real number, of the pair of channels that makes `turns` turns within the
 * original positions. */
static double turning_pair(const struct model *m, double turns)
{
    return m->head_dim * log(m->rope.original / (turns * 2 * M_PI)) / (2 * log(m->rope.theta));
}

/* Returns a frequency of YaRN: pairs with many turns keep their frequency f, pairs with few turns
 * are stretched, and a linear ramp connects both. */
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

/* Returns a frequency of Llama 3.1: long wavelengths are stretched by factor, short ones are
 * unchanged, and the ones between are interpolated. */
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
