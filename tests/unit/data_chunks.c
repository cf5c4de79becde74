/* SPDX-License-Identifier: Apache-2.0 */
/* Documents cut among the ranks of a context-parallel group. */
#include "data/chunks.h"

#include "data/batch.h"
#include "rig.h"
#include "test.h"

enum { MOST = 7, DOCS = 12, TOKENS = 200 };
static const int lengths[DOCS] = {1, 2, 37, 1, 1, 5, 16, 64, 3, 1, 29, 8};

static int64_t size_of(const struct chunks *k, int64_t n, int c)
{
    return chunks_begin(k, n, c + 1) - chunks_begin(k, n, c);
}

static void sizes(void)
{
    bool whole = true, even = true, shared = true, counted = true;
    for (int ranks = 1; ranks <= MOST; ranks++) {
        struct chunks k = {.ranks = ranks};
        int64_t tokens[MOST] = {0};
        for (int d = 0; d < DOCS; d++) {
            const int64_t n = lengths[d];
            whole &= chunks_begin(&k, n, 0) == 0 && chunks_begin(&k, n, 2 * ranks) == n;
            for (int c = 0; c < 2 * ranks; c++) {
                const int64_t more = size_of(&k, n, c) - n / (2 * ranks);
                even &= more == 0 || more == 1;
                tokens[c < ranks ? c : 2 * ranks - 1 - c] += size_of(&k, n, c);
            }
            chunks_add(&k, n);
            for (int r = 0; r < ranks; r++) {
                shared &= tokens[0] - tokens[r] == 0 || tokens[0] - tokens[r] == 1;
                counted &= chunks_tokens(&k, r) == tokens[r];
            }
        }
    }
    CHECK("chunks: those of a document are all of it", whole);
    CHECK("chunks: their sizes differ by at most one", even);
    CHECK("chunks: so do the tokens of ranks, after every document", shared);
    CHECK("chunks: the tokens of a rank are known", counted);
    const struct chunks two = {.ranks = 2};
    CHECK("chunks: a document of 10 tokens has 3, 3, 2 and 2 on two ranks",
          chunks_begin(&two, 10, 1) == 3 && chunks_begin(&two, 10, 2) == 6 &&
              chunks_begin(&two, 10, 3) == 8);
}

/* A micro-batch in memory of its own. */
struct taken {
    struct micro_batch b;
    void *block;
};
static struct taken take(const struct feed_step *s, int ranks, int at)
{
    const struct batch b = {.capacity = TOKENS, .ranks = ranks, .at = at};
    const struct micro_batch_layout k = micro_batch_layout(&(struct micro_batch_room){
        .tokens = batch_tokens(&b), .all = TOKENS, .ranks = ranks, .order = true});
    struct taken t = {.block = calloc(1, k.bytes)};
    micro_batch_place(&t.b, &k, t.block);
    batch_take(&b, s, 0, &t.b);
    return t;
}

/* Token t of a rank is token i of all. */
static bool same_token(const struct micro_batch *b, int32_t t, const struct micro_batch *all,
                       int32_t i)
{
    return b->ids[t] == all->ids[i] && b->pos[t] == all->pos[i] && b->sample[t] == all->sample[i];
}

/* The keys of a chunk end with its last token. */
static bool ends(const struct micro_batch *b, const struct micro_batch *all)
{
    bool ok = true;
    for (int32_t r = 0; r < 2 * b->docs; r++) {
        if (b->cu[r] == b->cu[r + 1]) continue;
        const int32_t last = b->cu[r + 1] - 1, key = b->keys.end[r] - 1;
        ok &= key >= b->keys.cu[r / 2] && key < b->keys.cu[r / 2 + 1];
        ok &= same_token(b, last, all, key);
    }
    return ok && b->cu[2 * b->docs] == b->T && b->keys.cu[b->docs] == all->T;
}

/* The targets of a rank are those of the rows that it has, in its order. */
static int64_t targets(const struct micro_batch *b, int at, const struct micro_batch *all)
{
    int64_t right = 0;
    for (int64_t i = 0; i < all->targets; i++) {
        const int32_t row = b->keys.row[all->rows[i]];
        if (row / b->keys.each != at) continue;
        for (int64_t k = 0; k < b->targets; k++)
            right += b->rows[k] == row % b->keys.each && b->target[k] == all->target[i] &&
                     b->weight[k] >= all->weight[i] && b->weight[k] <= all->weight[i];
    }
    return right == b->targets ? right : -1;
}

static void batches(void)
{
    bool found = true, ended = true, back = true, aimed = true, same = true;
    struct feed_step s = rig_rows(lengths, DOCS, 97, 3);
    const struct taken whole = take(&s, 1, 0);
    for (int ranks = 2; ranks <= MOST; ranks++) {
        int64_t tokens = 0, aims = 0;
        for (int at = 0; at < ranks; at++) {
            const struct taken t = take(&s, ranks, at);
            const struct micro_batch *b = &t.b;
            for (int32_t i = 0; i < whole.b.T; i++) {
                const int32_t row = b->keys.row[i];
                back &= b->keys.token[row] == i;
                if (row / b->keys.each == at)
                    found &= same_token(b, (int32_t)(row % b->keys.each), &whole.b, i);
            }
            ended &= ends(b, &whole.b);
            tokens += b->T;
            aims += targets(b, at, &whole.b);
            same &= b->all == whole.b.T && b->all_targets == whole.b.targets &&
                    b->max_len == whole.b.max_len;
            for (int64_t row = b->T; row < b->keys.each; row++)
                back &= b->keys.token[at * b->keys.each + row] == whole.b.T;
            free(t.block);
        }
        found &= tokens == whole.b.T;
        aimed &= aims == whole.b.targets;
    }
    CHECK("chunks: each token is on one rank, with its position and sample", found);
    CHECK("chunks: the keys of a chunk end with its last token", ended);
    CHECK("chunks: rows of the gathered blocks lead to tokens and back", back);
    CHECK("chunks: each target is on the rank of the row before it", aimed);
    CHECK("chunks: all ranks know the figures of the whole micro-batch", same);
    free(whole.block);
    feed_step_free(&s);
}

int main(void)
{
    sizes();
    batches();
    TEST_END();
}
