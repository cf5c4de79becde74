/* SPDX-License-Identifier: Apache-2.0 */
/* A micro-batch is one block: its arrays do not overlap, and one upload copies all of them. */
#include "test.h"
#include "tiny.h"

static const struct ops *plain;
static int uploads;

static void count_upload(struct device *d, void *dst, const void *src, size_t n)
{
    uploads++;
    plain->upload(d, dst, src, n);
}

static void layout(int64_t tokens, int64_t pairs)
{
    char name[100];
    const struct micro_batch_layout k = micro_batch_layout(tokens, pairs);
    const size_t n = (size_t)tokens, own = pairs ? n : 0, rotary = n * (size_t)pairs;
    const size_t at[] = {k.ids,    k.pos,  k.sample, k.cu,      k.rows,  k.target,
                         k.weight, k.keys, k.turn,   k.cosines, k.sines, k.bytes};
    const size_t items[] = {n, n, n, n + 1, n, n, n, 2, own, rotary, rotary};
    bool fine = at[0] == 0;
    for (int i = 0; i < 11; i++) fine &= at[i + 1] >= at[i] + 4 * items[i] && at[i] % 64 == 0;
    snprintf(name, sizeof name, "micro-batch: %lld tokens, %lld pairs: arrays do not overlap",
             (long long)tokens, (long long)pairs);
    CHECK(name, fine);
}

/* The device's block is the host's, also where rotary rows go along. */
static void upload(struct model m, const char *name)
{
    struct err e;
    const int lengths[] = {5, 1, 9, 3};
    struct device *d = device_open("far", 1, &e);
    struct micro_batch b = tiny_batch(lengths, 4, (int)m.vocab, 0);
    struct tiny *t = tiny_open(&m, d, DT_F32, RECOMPUTE_NONE, 40);
    struct pass *p = t->s.pass;
    const bool own = rope_is_own(&m, t->w.length);
    const size_t bytes = micro_batch_layout(40, own ? m.head_dim / 2 : 0).bytes;
    struct ops counted = *d->ops;
    char *block = malloc(bytes);
    plain = d->ops;
    counted.upload = count_upload;
    d->ops = &counted;
    uploads = 0;
    tiny_upload(&t->s, p, &b);
    d->ops = plain;
    CHECK(name, uploads == 1 && d->ops->download(d, block, p->block, bytes, &e) == 0 &&
                    memcmp(block, p->host, bytes) == 0 &&
                    memcmp(block, b.ids, (size_t)b.T * sizeof *b.ids) == 0);
    free(block);
    tiny_close(t);
    tiny_free(&b);
    device_close(d);
}

int main(void)
{
    static const int64_t tokens[] = {1, 15, 16, 17, 4096};
    for (int i = 0; i < 5; i++) {
        layout(tokens[i], 0);
        layout(tokens[i], 32);
    }
    struct model m = tiny_model(true, false);
    upload(m, "micro-batch: one upload");
    m.rope = (struct rope){.type = ROPE_DYNAMIC, .theta = 10000, .factor = 2};
    m.positions = 8;
    upload(m, "micro-batch: one upload, with rotary rows of its own");
    TEST_END();
}
