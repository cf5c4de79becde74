/* SPDX-License-Identifier: Apache-2.0 */
/* Best-fit decreasing against a slow one that is plainly right. */
#include "base/rng.h"
#include "pack/pack.h"
#include "test.h"

enum { MOST = 3000 };
static uint32_t lengths[200000], bin_of[200000];

static uint32_t draw(uint64_t a, uint64_t b, uint32_t most)
{
    return 1 + (uint32_t)(rng_u64(7, RNG_TEST, a, b) % most);
}

/* The number of bins when every item, longest first, goes to the fullest bin that takes it. */
static uint32_t slow_bins(const uint32_t *len, uint32_t n, uint32_t capacity)
{
    static uint32_t order[MOST], room[MOST];
    uint32_t bins = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t k = i;
        for (; k > 0 && len[order[k - 1]] < len[i]; k--) order[k] = order[k - 1];
        order[k] = i;
    }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t l = len[order[i]], best = bins;
        for (uint32_t k = 0; k < bins; k++)
            if (room[k] >= l && (best == bins || room[k] < room[best])) best = k;
        if (best == bins) room[bins++] = capacity;
        room[best] -= l;
    }
    return bins;
}

static bool fits(const uint32_t *len, uint32_t n, uint32_t bins, uint32_t capacity)
{
    static uint32_t sum[200000];
    uint32_t seen = 0;
    memset(sum, 0, sizeof sum);
    for (uint32_t i = 0; i < n; i++) {
        if (bin_of[i] > seen || bin_of[i] >= bins) return false; /* numbered by first item */
        seen += bin_of[i] == seen;
        sum[bin_of[i]] += len[i];
        if (sum[bin_of[i]] > capacity) return false;
    }
    return seen == bins;
}

static void test_against_slow(void)
{
    struct err e = {0};
    const uint32_t capacities[] = {1, 2, 63, 64, 65, 1000, 4096, 4097, 131072, PACK_MAX_LENGTH};
    bool all = true;
    for (size_t c = 0; c < sizeof capacities / sizeof *capacities; c++) {
        uint32_t capacity = capacities[c], bins = 0;
        struct binner *b = binner_new(capacity, &e);
        for (uint32_t round = 0; b && all && round < 20; round++) { /* one binner for all of them */
            uint32_t n = draw(c, round, 300), most = round % 2 ? capacity : capacity / 3 + 1;
            for (uint32_t i = 0; i < n; i++) lengths[i] = draw(c * 100 + round, i + 1000, most);
            all =
                EXPECT("bins: a run succeeds", binner_run(b, lengths, n, bin_of, &bins, &e) == 0) &&
                EXPECT("bins: as many as the slow search needs",
                       bins == slow_bins(lengths, n, capacity)) &&
                EXPECT("bins: no bin is too full", fits(lengths, n, bins, capacity));
        }
        all = all && b;
        binner_free(b);
    }
    CHECK("bins: the search is as good as the slow one", all);
}

static void test_dense(void)
{
    struct err e = {0};
    uint32_t n = 200000, bins = 0;
    uint64_t tokens = 0;
    for (uint32_t i = 0; i < n; i++) /* like chat data: many short, few long */
        tokens += lengths[i] = 20 + draw(1, i, 400) * draw(2, i, 400) / 400;
    struct binner *b = binner_new(2048, &e);
    CHECK("bins: a run succeeds", b && binner_run(b, lengths, n, bin_of, &bins, &e) == 0);
    CHECK("bins: no bin is too full", fits(lengths, n, bins, 2048));
    CHECK("bins: they are 99.9 per cent full", (double)tokens > 0.999 * 2048 * bins);
    lengths[5] = 2049;
    CHECK("bins: an item longer than a bin is refused",
          b && binner_run(b, lengths, n, bin_of, &bins, &e) < 0);
    binner_free(b);
    CHECK("bins: a capacity of 0 is refused", !binner_new(0, &e) && e.code == ERR_USAGE);
    CHECK("bins: a capacity over the bound is refused",
          !binner_new(PACK_MAX_LENGTH + 1, &e) && e.code == ERR_USAGE);
}

int main(void)
{
    test_against_slow();
    test_dense();
    TEST_END();
}
