/* SPDX-License-Identifier: Apache-2.0 */
/* A micro-batch is one block: its arrays do not overlap, and one upload copies all of them. */
#include "model/freeze.h"
#include "test.h"
#include "tiny.h"

static const struct ops *plain;
static int uploads;

static void count_upload(struct device *d, void *dst, const void *src, size_t n)
{
    uploads++;
    plain->upload(d, dst, src, n);
}

static void layout(int64_t tokens, int64_t pairs, bool order)
{
    char name[100];
    const struct micro_batch_layout k = micro_batch_layout(
        &(struct micro_batch_room){.tokens = tokens, .pairs = pairs, .order = order});
    const size_t n = (size_t)tokens, own = pairs ? n : 0, rotary = n * (size_t)pairs;
    const size_t sorted = order ? n : 0, begun = order ? n + 1 : 0;
    const size_t at[] = {k.ids,  k.pos,     k.sample, k.cu,    k.rows,   k.target, k.weight,
                         k.turn, k.cosines, k.sines,  k.order, k.starts, k.bytes};
    const size_t items[] = {n, n, n, n + 1, n, n, n, own, rotary, rotary, sorted, begun};
    bool fine = at[0] == 0;
    for (int i = 0; i < 12; i++) fine &= at[i + 1] >= at[i] + 4 * items[i] && at[i] % 64 == 0;
    snprintf(name, sizeof name, "micro-batch: %lld tokens, %lld pairs: arrays do not overlap",
             (long long)tokens, (long long)pairs);
    CHECK(name, fine);
}

/* ids[T] are sorted: each token once, by id, then by place; and starts names each change of id. */
static bool sorts(int64_t T, const int32_t *ids)
{
    const struct micro_batch_layout k =
        micro_batch_layout(&(struct micro_batch_room){.tokens = T, .order = true});
    struct micro_batch b = {.T = T};
    char *block = calloc(1, k.bytes), *seen = calloc(1, (size_t)T + 1);
    micro_batch_place(&b, &k, block);
    memcpy(b.ids, ids, (size_t)T * sizeof *ids);
    micro_batch_sort(&b);
    bool fine = b.starts[b.unique] == T && (T == 0) == (b.unique == 0);
    for (int64_t i = 0, u = 0; i < T; i++) {
        const int32_t t = b.order[i], before = i ? b.order[i - 1] : -1;
        const bool first = i == 0 || ids[t] > ids[before];
        fine &= !seen[t] && (first || (ids[t] == ids[before] && t > before));
        if (first) fine &= u < b.unique && b.starts[u++] == i;
        if (i == T - 1) fine &= u == b.unique;
        seen[t] = 1;
    }
    free(block), free(seen);
    return fine;
}

static void order(void)
{
    enum { T = 3000 };
    static int32_t ids[T];
    CHECK("micro-batch: the order of no token is empty", sorts(0, ids));
    CHECK("micro-batch: tokens of one id keep their order", sorts(T, ids));
    for (uint32_t i = 0; i < T; i++) ids[i] = (int32_t)(tiny_hash("ids", i) % 97);
    CHECK("micro-batch: ids that repeat are sorted", sorts(T, ids));
    for (uint32_t i = 0; i < T; i++) ids[i] = (int32_t)(tiny_hash("ids", i) >> 1);
    CHECK("micro-batch: ids of any size are sorted", sorts(T, ids));
}

/* A model whose embedding is frozen has no order in its block. */
static void frozen(void)
{
    struct err e;
    const struct model m = tiny_model(false, false);
    struct device *d = device_open("cpu", 1, &e);
    struct tiny_options o = tiny_options(DT_F32, RECOMPUTE_NONE, 40);
    struct tiny *trained = tiny_open_with(&m, d, &o);
    o.w.params.frozen = freeze_match;
    o.w.params.arg = (void *)"model.embed_tokens";
    struct tiny *t = tiny_open_with(&m, d, &o);
    CHECK("micro-batch: ids are sorted where the embedding is trained",
          trained->s.pass->b.order && trained->s.pass->b.starts);
    CHECK("micro-batch: ids are not sorted where it is frozen",
          !t->s.pass->b.order && !t->s.pass->b.starts);
    tiny_close(trained), tiny_close(t);
    device_close(d);
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
    const size_t bytes =
        micro_batch_layout(&(struct micro_batch_room){
                               .tokens = 40, .pairs = own ? m.head_dim / 2 : 0, .order = true})
            .bytes;
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

/* The pass's block on the device after the host's was filled with other bytes: is it as it was? */
static bool keeps(bool waits)
{
    struct err e;
    const int lengths[] = {5, 1, 9, 3};
    const struct model m = tiny_model(true, false);
    struct device *d = device_open("far", 1, &e);
    struct micro_batch b = tiny_batch(lengths, 4, (int)m.vocab, 0);
    struct tiny *t = tiny_open(&m, d, DT_F32, RECOMPUTE_NONE, 40);
    struct pass *p = t->s.pass;
    const size_t bytes =
        micro_batch_layout(&(struct micro_batch_room){.tokens = 40, .order = true}).bytes;
    char *was = malloc(bytes), *is = malloc(bytes);
    tiny_upload(&t->s, p, &b);
    memcpy(was, p->host, bytes);
    if (waits) stage_refill(&t->s, p);
    memset(p->host, 0, bytes);
    const bool same = d->ops->download(d, is, p->block, bytes, &e) == 0 && !memcmp(was, is, bytes);
    free(was), free(is);
    tiny_close(t);
    tiny_free(&b);
    device_close(d);
    return same;
}

int main(void)
{
    CHECK("micro-batch: a block filled again after stage_refill was read before", keeps(true));
    CHECK("micro-batch: a block filled again too early is found out", !keeps(false));
    static const int64_t tokens[] = {1, 15, 16, 17, 4096};
    for (int i = 0; i < 5; i++) {
        layout(tokens[i], 0, false);
        layout(tokens[i], 32, true);
    }
    order();
    frozen();
    struct model m = tiny_model(true, false);
    upload(m, "micro-batch: one upload");
    m.rope = (struct rope){.type = ROPE_DYNAMIC, .theta = 10000, .factor = 2};
    m.positions = 8;
    upload(m, "micro-batch: one upload, with rotary rows of its own");
    TEST_END();
}
