/* SPDX-License-Identifier: Apache-2.0 */
/* Philox against the known answers of Random123 (kat_vectors), and what is made from it. */
#include "base/rng.h"
#include "test.h"

static bool known(uint32_t c, uint32_t k, const uint32_t want[4])
{
    const uint32_t counter[4] = {c, c, c, c}, key[2] = {k, k};
    uint32_t out[4];
    rng_philox(counter, key, out);
    return memcmp(out, want, sizeof out) == 0;
}

static void test_known(void)
{
    static const uint32_t zeros[4] = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};
    static const uint32_t ones[4] = {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd};
    static const uint32_t pi[4] = {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1};
    static const uint32_t c[4] = {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344};
    static const uint32_t k[2] = {0xa4093822, 0x299f31d0};
    uint32_t out[4];
    CHECK("rng: Philox of zeros is known", known(0, 0, zeros));
    CHECK("rng: Philox of ones is known", known(0xffffffff, 0xffffffff, ones));
    rng_philox(c, k, out);
    CHECK("rng: Philox of digits of pi is known", memcmp(out, pi, sizeof out) == 0);
    CHECK("rng: a draw is the first words of its block",
          rng_u64(0, 0, 0, 0) == 0xe169c58d6627e8d5u);
}

/* Each argument matters, in each of its bits that count. */
static void test_arguments(void)
{
    uint64_t base = rng_u64(7, RNG_TEST, 3, 5);
    bool all = true;
    for (int i = 0; i < 64; i++) {
        all &= rng_u64(7 ^ 1ull << i, RNG_TEST, 3, 5) != base;
        all &= rng_u64(7, RNG_TEST, 3 ^ 1ull << i, 5) != base;
        if (i < 56) all &= rng_u64(7, RNG_TEST, 3, 5 ^ 1ull << i) != base;
    }
    CHECK("rng: every bit of seed, a and b matters", all);
    CHECK("rng: the site matters", rng_u64(7, RNG_INIT, 3, 5) != base);
    CHECK("rng: the same arguments draw the same", rng_u64(7, RNG_TEST, 3, 5) == base);
}

static void test_reals(void)
{
    enum { N = 100000 };
    double sum = 0, squares = 0, low = 1, high = 0, nsum = 0, nsq = 0, nfour = 0;
    for (uint64_t i = 0; i < N; i++) {
        double u = rng_uniform(1, RNG_TEST, i, 0), g = rng_normal(1, RNG_TEST, i, 1);
        sum += u;
        squares += u * u;
        low = fmin(low, u);
        high = fmax(high, u);
        nsum += g;
        nsq += g * g;
        nfour += g * g * g * g;
    }
    /* five standard errors of each moment */
    CHECK("rng: uniform draws have mean and square of the distribution",
          low >= 0 && low < 1e-4 && high < 1 && high > 1 - 1e-4 && fabs(sum / N - 0.5) < 0.0046 &&
              fabs(squares / N - 1.0 / 3) < 0.0048);
    CHECK("rng: normal draws have the moments of the distribution",
          fabs(nsum / N) < 0.016 && fabs(nsq / N - 1) < 0.023 && fabs(nfour / N - 3) < 0.16);
}

static bool is_permutation(const uint32_t *order, uint32_t n)
{
    bool *seen = calloc(n ? n : 1, sizeof *seen), ok = true;
    for (uint32_t i = 0; i < n; i++) {
        if (order[i] >= n || seen[order[i]])
            ok = false;
        else
            seen[order[i]] = true;
    }
    free(seen);
    return ok;
}

static void test_permutation(void)
{
    static uint32_t a[10007], b[10007];
    bool all = true;
    for (uint32_t n = 0; n < 50; n++) {
        rng_permutation(3, 1, a, n);
        all &= is_permutation(a, n);
    }
    rng_permutation(42, 0, a, 10007);
    CHECK("rng permutation: each number comes once, at any length",
          all && is_permutation(a, 10007));
    rng_permutation(42, 0, b, 10007);
    CHECK("rng permutation: the same arguments give the same", memcmp(a, b, sizeof a) == 0);
    rng_permutation(42, 1, b, 10007);
    CHECK("rng permutation: another epoch has another", memcmp(a, b, sizeof a) != 0);
    rng_permutation(43, 0, b, 10007);
    CHECK("rng permutation: another seed has another", memcmp(a, b, sizeof a) != 0);

    unsigned counts[6] = {0}; /* each of the 6 orders of 3: chi-square with 5 degrees, p = 1e-5 */
    double chi = 0;
    for (uint64_t epoch = 0; epoch < 6000; epoch++) {
        rng_permutation(9, epoch, a, 3);
        counts[a[0] * 2 + (a[1] > a[2])]++;
    }
    for (int i = 0; i < 6; i++) chi += (counts[i] - 1000.0) * (counts[i] - 1000.0) / 1000;
    CHECK("rng permutation: all orders come alike often", chi < 30.86);
    /* fixed for ever: streams that were packed with a seed can be packed again */
    static const uint32_t fixed[8] = {0, 6, 1, 4, 7, 2, 3, 5};
    rng_permutation(42, 0, a, 8);
    CHECK("rng permutation: the order of seed 42 is known", memcmp(a, fixed, sizeof fixed) == 0);
}

int main(void)
{
    test_known();
    test_arguments();
    test_reals();
    test_permutation();
    TEST_END();
}
