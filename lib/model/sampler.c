/* SPDX-License-Identifier: Apache-2.0 */
/* The kept tokens are popped from a heap, largest logit first, until the filters keep no more: with
 * a filter, few tokens of a vocabulary of 150 000 are sorted. */
#include "model/sampler.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"

int sampler_init(struct sampler *s, const struct sampling *how, int64_t vocab, struct err *e)
{
    *s = (struct sampler){.how = *how, .vocab = vocab};
    s->all = mem_alloc((size_t)vocab, sizeof *s->all, e);
    s->prob = mem_alloc((size_t)vocab, sizeof *s->prob, e);
    s->seen = mem_alloc((size_t)vocab, sizeof *s->seen, e);
    return s->all && s->prob && s->seen ? 0 : -1;
}

void sampler_free(struct sampler *s)
{
    mem_free(s->all);
    mem_free(s->prob);
    mem_free(s->seen);
    *s = (struct sampler){0};
}

bool sampler_greedy(const struct sampler *s)
{
    return s->how.temperature == 0 && s->how.repetition == 1;
}

/* ---- a heap of tokens, the first of which is at its root ---- */
static bool goes_before(struct sampler_token a, struct sampler_token b)
{
    return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}

static void sink(struct sampler_token *t, int64_t n, int64_t i)
{
    for (int64_t k; (k = 2 * i + 1) < n; i = k) {
        if (k + 1 < n && goes_before(t[k + 1], t[k])) k++;
        if (!goes_before(t[k], t[i])) return;
        const struct sampler_token swap = t[k];
        t[k] = t[i];
        t[i] = swap;
    }
}

/* ---- the logits ---- */
/* Divides positive logits of the tokens before by the penalty, and multiplies the others with it,
 * each once. */
static void penalise(struct sampler *s, const uint32_t *before, size_t n)
{
    if (s->how.repetition == 1) return;
    memset(s->seen, 0, (size_t)s->vocab * sizeof *s->seen);
    const float penalty = (float)s->how.repetition;
    for (size_t i = 0; i < n; i++) {
        if (before[i] >= (uint64_t)s->vocab || s->seen[before[i]]) continue;
        s->seen[before[i]] = true;
        float *x = &s->all[before[i]].logit;
        *x = *x < 0 ? *x * penalty : *x / penalty;
    }
}

static void fill(struct sampler *s, const float *logits, const uint32_t *before, size_t n)
{
    for (int64_t i = 0; i < s->vocab; i++)
        s->all[i] = (struct sampler_token){logits[i], (int32_t)i};
    penalise(s, before, n);
    if (s->how.temperature == 0) return;
    const float by = (float)s->how.temperature;
    for (int64_t i = 0; i < s->vocab; i++) s->all[i].logit /= by;
}

/* ---- the filters ---- */
/* Returns token k in the order of the heap; those before it lie behind the heap. */
static const struct sampler_token *at(struct sampler *s, int64_t k)
{
    for (int64_t end; s->popped <= k; s->popped++) {
        end = s->vocab - 1 - s->popped;
        const struct sampler_token root = s->all[0];
        s->all[0] = s->all[end];
        s->all[end] = root;
        sink(s->all, end, 0);
    }
    return &s->all[s->vocab - 1 - k];
}

/* Returns how many tokens top_k leaves: those that equal the last one, too. */
static int64_t most(struct sampler *s)
{
    int64_t n = s->how.top_k;
    if (n == 0 || n >= s->vocab) return s->vocab;
    const float last = at(s, n - 1)->logit;
    while (n < s->vocab && at(s, n)->logit == last) n++;
    return n;
}

/* The probability of x relative to that of the largest logit. */
static double weight(float x, float largest) { return exp((double)x - (double)largest); }

/* Returns the sum of the weights of the first n tokens, or of all. */
static double mass(struct sampler *s, int64_t n, float largest)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += weight(n < s->vocab ? at(s, i)->logit : s->all[i].logit, largest);
    return sum;
}

/* Moves the popped tokens to the front, in their order. */
static void turn(struct sampler *s)
{
    for (int64_t i = 0, j = s->vocab - 1; i < j; i++, j--) {
        const struct sampler_token swap = s->all[i];
        s->all[i] = s->all[j];
        s->all[j] = swap;
    }
}

int64_t sampler_filter(struct sampler *s, const float *logits, const uint32_t *before,
                       size_t nbefore)
{
    const struct sampling *how = &s->how;
    fill(s, logits, before, nbefore);
    for (int64_t i = s->vocab / 2; i-- > 0;) sink(s->all, s->vocab, i);
    s->popped = 0;
    const float largest = at(s, 0)->logit;
    const int64_t end = how->temperature == 0 ? 1 : most(s);
    const double cut = how->top_p < 1 ? how->top_p * mass(s, end, largest) : INFINITY;
    double sum = 0;
    int64_t n = 0;
    for (; n < end; n++) {
        const double w = weight(at(s, n)->logit, largest);
        if (n > 0 && (sum >= cut || w < how->min_p)) break;
        sum += s->prob[n] = w;
    }
    for (int64_t i = 0; i < n; i++) s->prob[i] /= sum;
    turn(s);
    return n;
}

int32_t sampler_next(struct sampler *s, const float *logits, const uint32_t *before, size_t nbefore,
                     uint64_t conversation)
{
    const int64_t n = sampler_filter(s, logits, before, nbefore);
    double left = rng_uniform(s->how.seed, RNG_SAMPLE, conversation, nbefore);
    for (int64_t i = 0; i < n; i++)
        if ((left -= s->prob[i]) < 0) return s->all[i].id;
    return s->all[0].id; /* the probabilities add up to less than 1 by rounding */
}
