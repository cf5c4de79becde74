/* SPDX-License-Identifier: Apache-2.0 */
/* Rotary frequencies and their scaling, as transformers computes them (modeling_rope_utils.py).
 * transformers computes them in fp32, and its models are trained with exactly those frequencies and
 * angles. So each step here is rounded to float if transformers rounds it. */
#include <math.h>
#include <string.h>

#include "model/model.h"

static const char *const names[] = {
    [ROPE_DEFAULT] = "default", [ROPE_LINEAR] = "linear", [ROPE_DYNAMIC] = "dynamic",
    [ROPE_YARN] = "yarn",       [ROPE_LLAMA3] = "llama3", [ROPE_LONGROPE] = "longrope"};

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

/* Returns the factor by which LongRoPE compensates it (Ding et al. 2024). */
static double longrope_attention(const struct hf_rope *c)
{
    if (c->attention_factor > 0) return c->attention_factor;
    if (c->factor <= 1) return 1;
    return sqrt(1 + log(c->factor) / log((double)c->original_max_position));
}

static int check_factors(const struct hf_config *c, const struct rope *r, struct err *e)
{
    const int64_t rotary = hf_rotary_dim(c);
    if (r->type == ROPE_LLAMA3 &&
        !(r->factor >= 1 && r->low > 0 && r->high > r->low && r->original > 0))
        return err_set(e, ERR_DATA, "rope_scaling of type llama3 with these factors");
    if (r->type == ROPE_LONGROPE && !(c->rope.factors == rotary / 2 && r->original > 1))
        return err_set(e, ERR_DATA,
                       "rope_scaling of type longrope without a short_factor and a long_factor of "
                       "%lld numbers each, or with original_max_position_embeddings 1",
                       (long long)rotary / 2);
    if (r->type != ROPE_DEFAULT && r->type != ROPE_LONGROPE && !(r->factor >= 1))
        return err_set(e, ERR_DATA, "rope_scaling with a factor below 1");
    if (r->type == ROPE_YARN && !(r->theta > 1))
        return err_set(e, ERR_DATA, "rope_scaling of type yarn with rope_theta 1");
    if (r->type == ROPE_DYNAMIC && rotary < 4)
        return err_set(e, ERR_DATA, "rope_scaling of type dynamic with a head_dim of 2");
    return 0;
}

/* The factor of q is found by position, as rows of the weights' tables are. */
static int check_q_scale(const struct hf_config *c, const struct rope *r, struct err *e)
{
    if (!(r->q_beta > 0)) return 0;
    if (!(r->original > 0))
        return err_set(e, ERR_DATA,
                       "llama_4_scaling_beta without original_max_position_embeddings");
    if (r->type == ROPE_DYNAMIC || r->type == ROPE_LONGROPE)
        return err_set(e, ERR_DATA, "llama_4_scaling_beta with rope_scaling of type %s",
                       c->rope.type);
    return 0;
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
                       .truncate = h->truncate,
                       .q_beta = c->family->position_scale ? h->q_beta : 0};
    if (r->type == ROPE_DYNAMIC && h->alpha > 0 && c->head_dim >= 4) {
        const double dim = (double)c->head_dim;
        r->type = ROPE_DEFAULT;
        r->theta *= pow(h->alpha, dim / (dim - 2));
    }
    if (r->type == ROPE_LONGROPE) r->attention = longrope_attention(h);
    memcpy(r->short_factor, h->short_factor, sizeof r->short_factor);
    memcpy(r->long_factor, h->long_factor, sizeof r->long_factor);
    return check_factors(c, r, e) || check_q_scale(c, r, e) ? -1 : 0;
}

bool rope_is_own(const struct model *m, int64_t n)
{
    const struct rope *r = &m->rope;
    return (r->type == ROPE_DYNAMIC && n > m->positions) ||
           (r->type == ROPE_LONGROPE && (double)n > r->original);
}

bool rope_moves(const struct model *m, int64_t n)
{
    return m->rope.type == ROPE_DYNAMIC && rope_is_own(m, n);
}

int64_t rope_reach(const struct model *m, int64_t prompt)
{
    const struct rope *r = &m->rope;
    if (r->type == ROPE_LONGROPE && prompt > 0 && (double)prompt < r->original)
        return r->original < (double)m->positions ? (int64_t)r->original : m->positions;
    if (r->type == ROPE_DEFAULT || r->type == ROPE_LONGROPE) return m->positions;
    if (r->type == ROPE_DYNAMIC && prompt > 0) return m->positions;
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
    const double dim = (double)(2 * model_pairs(m));
    float s = (float)m->rope.factor * (float)n / (float)m->positions - (float)(m->rope.factor - 1);
    return (float)m->rope.theta * powf(s, (float)(dim / (dim - 2)));
}

/* Returns the index, a real number, of the pair of channels that makes `turns` turns within the
 * original positions. */
static double turning_pair(const struct model *m, double turns)
{
    const double turn = log(m->rope.original / (turns * 2 * M_PI));
    return (double)model_pairs(m) * turn / log(m->rope.theta);
}

/* Returns a frequency of YaRN: pairs with many turns keep their frequency f, pairs with few turns
 * are stretched, and a linear ramp connects both. */
static float yarn_frequency(const struct model *m, int64_t i, float power)
{
    double low = turning_pair(m, m->rope.beta_fast), high = turning_pair(m, m->rope.beta_slow);
    if (m->rope.truncate) low = floor(low), high = ceil(high);
    low = fmax(low, 0);
    high = fmin(high, (double)(2 * model_pairs(m) - 1));
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

/* Returns a frequency of LongRoPE: each is divided by a factor of its own, which depends on the
 * document's length. transformers takes the largest position of the whole batch for that; here the
 * result is the one of the document alone, as with dynamic scaling. */
static float longrope_frequency(const struct model *m, int64_t n, int64_t i, float power)
{
    const struct rope *r = &m->rope;
    return 1 / ((rope_is_own(m, n) ? r->long_factor[i] : r->short_factor[i]) * power);
}

static float frequency(const struct model *m, int64_t n, int64_t i)
{
    const float theta = rope_moves(m, n) ? dynamic_theta(m, n) : (float)m->rope.theta;
    const float part = (float)(2 * i) / (float)(2 * model_pairs(m));
    const float power = (float)pow((double)theta, (double)part);
    switch (m->rope.type) {
    case ROPE_LINEAR:
        return 1 / power / (float)m->rope.factor;
    case ROPE_YARN:
        return yarn_frequency(m, i, power);
    case ROPE_LLAMA3:
        return llama3_frequency(m, 1 / power);
    case ROPE_LONGROPE:
        return longrope_frequency(m, n, i, power);
    case ROPE_DEFAULT:
    case ROPE_DYNAMIC:
        break;
    }
    return 1 / power;
}

void rope_table(const struct model *m, int64_t n, int64_t first, int64_t count, float *cosines,
                float *sines)
{
    const int64_t pairs = model_pairs(m);
    const bool scaled = m->rope.type == ROPE_YARN || m->rope.type == ROPE_LONGROPE;
    const float scale = scaled ? (float)m->rope.attention : 1;
    for (int64_t i = 0; i < pairs; i++) {
        const float f = frequency(m, n, i);
        for (int64_t p = 0; p < count; p++) {
            const float angle = (float)(first + p) * f;
            cosines[p * pairs + i] = (float)cos((double)angle) * scale;
            sines[p * pairs + i] = (float)sin((double)angle) * scale;
        }
    }
}

bool rope_scales_q(const struct model *m, int64_t n)
{
    return m->rope.q_beta > 0 && (double)n > m->rope.original;
}

void rope_q_scale(const struct model *m, int64_t first, int64_t count, float *scale)
{
    const float beta = (float)m->rope.q_beta, original = (float)m->rope.original;
    for (int64_t p = 0; p < count; p++)
        scale[p] = 1 + beta * logf(1 + floorf((float)(first + p) / original));
}
