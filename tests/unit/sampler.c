/* SPDX-License-Identifier: Apache-2.0 */
/* The filters of sampling leave the tokens that those of transformers leave, with their
 * probabilities (tests/oracle/make_sampling_golden.py); draws have these frequencies. */
#include "model/sampler.h"
#include "golden.h"

enum { MOST = 64 };

static double or_else(const struct json *how, const char *key, double other)
{
    const double v = golden_number(how, key);
    return isnan(v) ? other : v;
}

static struct sampling sampling_of(const struct json *how)
{
    return (struct sampling){.temperature = or_else(how, "temperature", 1),
                             .top_k = (int64_t)or_else(how, "top_k", 0),
                             .top_p = or_else(how, "top_p", 1),
                             .min_p = or_else(how, "min_p", 0),
                             .repetition = or_else(how, "repetition_penalty", 1),
                             .seed = 5};
}

/* Fills the arrays from a case; returns the number of logits, *n that of the tokens before. */
static int64_t inputs(const struct json *c, float *logits, uint32_t *before, size_t *n)
{
    const struct json *x = json_get(c, "logits"), *b = json_get(c, "before");
    for (size_t i = 0; i < x->count; i++) logits[i] = (float)golden_at(x, i);
    for (size_t i = 0; i < b->count; i++) before[i] = (uint32_t)golden_at(b, i);
    *n = b->count;
    return (int64_t)x->count;
}

/* True if the n kept tokens are those of the case. */
static bool same(const struct sampler *s, const struct json *c, int64_t n)
{
    const struct json *ids = json_get(c, "ids"), *p = json_get(c, "probabilities");
    bool ok = (size_t)n == ids->count;
    for (int64_t i = 0; ok && i < n; i++)
        ok = s->all[i].id == (int32_t)golden_at(ids, (size_t)i) &&
             fabs(s->prob[i] - golden_at(p, (size_t)i)) < 2e-6;
    return ok;
}

static bool check_case(const struct json *c)
{
    float logits[MOST];
    uint32_t before[MOST];
    size_t nbefore;
    struct sampler s;
    struct err e;
    const struct sampling how = sampling_of(json_get(c, "how"));
    const int64_t vocab = inputs(c, logits, before, &nbefore);
    if (sampler_init(&s, &how, vocab, &e)) return false;
    const bool ok = same(&s, c, sampler_filter(&s, logits, before, nbefore));
    sampler_free(&s);
    return ok;
}

static void test_golden(void)
{
    struct golden g = golden_open("tests/golden/hf/sampling.json");
    const struct json *cases = g.root ? json_get(g.root, "cases") : NULL;
    size_t good = 0;
    for (size_t i = 0; cases && i < cases->count; i++) {
        char name[80];
        snprintf(name, sizeof name, "filters: case %zu leaves the tokens of transformers", i);
        good += EXPECT(name, check_case(&cases->items[i]));
    }
    CHECK("filters: they leave the tokens of transformers", cases && good == cases->count);
    CHECK("filters: there are cases of each, and of all together", good > 20);
    golden_close(&g);
}

/* ---- draws ---- */
static const float few[] = {1, 3, 2, 3, -4};

static void test_draws(void)
{
    enum { DRAWS = 20000, VOCAB = sizeof few / sizeof *few };
    const struct sampling how = {.temperature = 1, .top_k = 4, .top_p = 1, .repetition = 1};
    struct sampler s;
    struct err e;
    int seen[VOCAB] = {0};
    bool ok = sampler_init(&s, &how, VOCAB, &e) == 0, again = true;
    for (int i = 0; ok && i < DRAWS; i++) {
        const int32_t id = sampler_next(&s, few, NULL, (size_t)i, 3);
        seen[id]++;
        again &= id == sampler_next(&s, few, NULL, (size_t)i, 3);
    }
    const int64_t n = ok ? sampler_filter(&s, few, NULL, 0) : 0;
    for (int64_t i = 0; i < n; i++) /* five standard deviations */
        ok &= fabs(seen[s.all[i].id] - DRAWS * s.prob[i]) < 5 * sqrt(DRAWS * s.prob[i]);
    CHECK("draws: each token is drawn as often as its probability says", ok && n == 4);
    CHECK("draws: a token that is left out is never drawn", seen[4] == 0);
    CHECK("draws: the same call draws the same token", again);
    sampler_free(&s);
}

static void test_greedy(void)
{
    const struct sampling how = {.top_p = 1, .repetition = 1},
                          penalty = {.top_p = 1, .repetition = 4};
    const uint32_t before[] = {1, 1, 900};
    struct sampler s, t;
    struct err e;
    const bool ok = sampler_init(&s, &how, 5, &e) == 0 && sampler_init(&t, &penalty, 5, &e) == 0;
    CHECK("greedy: the first of the largest logits is taken",
          ok && sampler_greedy(&s) && sampler_next(&s, few, before, 3, 0) == 1);
    CHECK("greedy: the penalty counts for it, once for each token",
          ok && !sampler_greedy(&t) && sampler_next(&t, few, before, 3, 0) == 3 &&
              t.all[0].logit == 3);
    sampler_free(&s);
    sampler_free(&t);
}

int main(void)
{
    test_golden();
    test_draws();
    test_greedy();
    TEST_END();
}
