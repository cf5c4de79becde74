/* SPDX-License-Identifier: Apache-2.0 */
/* Rows assigned to ranks. */
#include "data/balance.h"
#include "data/batch.h"
#include "rig.h"
#include "test.h"

enum { ROWS = 37, LONGEST = 60 };

/* Rows of lengths that differ; some are empty. */
static struct feed_step step(int nrows)
{
    int lengths[ROWS];
    for (int i = 0; i < nrows; i++) lengths[i] = i * 23 % LONGEST;
    return rig_rows(lengths, nrows, 97, 0);
}

static double row_cost(const struct model *m, const struct feed_row *r)
{
    const double n = (double)r->tokens;
    return model_flops(m, n, n > 0 ? n - 1 : 0, model_squares(m, n));
}

static void balances(const struct model *m)
{
    struct err e;
    bool each_once = true, balanced = true, same = true;
    for (int ranks = 1; ranks < 9; ranks++) {
        struct balance d, again;
        struct batch b = {.capacity = 2 * LONGEST};
        struct micro_batch x = {0};
        const struct micro_batch_layout k =
            micro_batch_layout(&(struct micro_batch_room){.tokens = b.capacity});
        void *block = calloc(1, k.bytes);
        micro_batch_place(&x, &k, block);
        struct feed_step s = step(ROWS);
        double load[8] = {0}, least = 1e300, most = 0, heaviest = 0;
        size_t taken = 0;
        if (balance_init(&d, m, ranks, &e) || balance_init(&again, m, ranks, &e)) return;
        balance_rows(&d, &s, &e);
        balance_rows(&again, &s, &e);
        for (size_t i = 0; i < ROWS; i++) {
            const uint32_t to = d.owner ? d.owner[i] : 0;
            const double cost = row_cost(m, &s.rows[i]);
            same &= !d.owner || d.owner[i] == again.owner[i];
            load[to] += cost;
            if (cost > heaviest) heaviest = cost;
        }
        for (int r = 0; r < ranks; r++) {
            if (load[r] < least) least = load[r];
            if (load[r] > most) most = load[r];
            b.owner = d.owner;
            b.rank = (uint32_t)r;
            for (size_t row = 0; row < s.nrows;) {
                row = batch_take(&b, &s, row, &x);
                taken += (size_t)x.T;
            }
        }
        each_once &= taken == s.tokens;
        balanced &= most - least <= heaviest;
        free(block);
        balance_free(&d);
        balance_free(&again);
        feed_step_free(&s);
    }
    CHECK("balance: every token is computed on one rank", each_once);
    CHECK("balance: ranks differ by at most the heaviest row", balanced);
    CHECK("balance: the same step is assigned in the same way", same);
}

static void few_rows(const struct model *m)
{
    struct err e;
    struct balance d;
    struct feed_step s = step(2);
    bool fine = balance_init(&d, m, 5, &e) == 0 && balance_rows(&d, &s, &e) == 0;
    CHECK("balance: with fewer rows than ranks, some have none",
          fine && d.owner[1] == 0 && d.owner[0] == 1);
    balance_free(&d);
    feed_step_free(&s);
}

int main(void)
{
    const struct model m = tiny_model(true, false);
    balances(&m);
    few_rows(&m);
    TEST_END();
}
