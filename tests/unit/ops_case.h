/* SPDX-License-Identifier: Apache-2.0 */
/* A case of an operation: its arguments, and what its pointers point to. It runs on any backend
 * from the same random contents and gives back the bytes of all it may write. */
#ifndef SFT_TESTS_OPS_CASE_H
#define SFT_TESTS_OPS_CASE_H

#include <stddef.h>

#include "base/err.h"
#include "ops/ops.h"
#include "test.h"

struct buf {
    size_t field; /* offset of the pointer in the arguments */
    int64_t n;
    enum dtype t;
    bool out;
    const int32_t *ints;   /* contents, where not random */
    double offset, spread; /* random contents: offset + spread * [-1, 1); spread 0 means 1 */
    size_t also;           /* unless 0: another field that points to the same memory */
};
enum { BUFS = 12 };
struct test_case {
    char name[80];
    enum op_id op;
    size_t size;
    union {
#define X(name) struct op_##name name;
        OPS_LIST(X)
#undef X
    } args;
    struct buf buf[BUFS];
    int bufs;
};
/* The bytes that a run leaves. */
struct outcome {
    void *bytes[BUFS];
};

static uint64_t case_seed = 1;
static double case_random(void)
{
    case_seed = case_seed * 6364136223846793005u + 1442695040888963407u;
    return (double)(case_seed >> 11) * 0x1p-53;
}

static inline double value_at(const void *p, int64_t i, enum dtype t)
{
    switch (t) {
    case DT_F32:
        return (double)((const float *)p)[i];
    case DT_BF16:
        return (double)bf16_to_f32(((const uint16_t *)p)[i]);
    case DT_F64:
        return ((const double *)p)[i];
    case DT_I32:
        return ((const int32_t *)p)[i];
    default:
        return 0;
    }
}
static void set_value(void *p, int64_t i, enum dtype t, double x)
{
    switch (t) {
    case DT_F32:
        ((float *)p)[i] = (float)x;
        break;
    case DT_BF16:
        ((uint16_t *)p)[i] = bf16_from_f32((float)x);
        break;
    case DT_F64:
        ((double *)p)[i] = x;
        break;
    case DT_I32:
        ((int32_t *)p)[i] = (int32_t)x;
        break;
    default:
        break;
    }
}

static void *host_content(const struct buf *b)
{
    char *p = calloc((size_t)b->n + 1, dtype_size(b->t));
    const double spread = b->spread > 0 ? b->spread : 1;
    for (int64_t i = 0; p && i < b->n; i++)
        set_value(p, i, b->t, b->ints ? b->ints[i] : b->offset + spread * (2 * case_random() - 1));
    return p;
}

/* Runs c on d, in its queue, with contents from `seed`, or with `given` contents where not NULL. */
static struct outcome case_run(const struct test_case *c, struct device *d, uint64_t seed,
                               void *const *given)
{
    struct outcome out = {{0}};
    struct test_case k = *c;
    struct err e;
    void *mem[BUFS];
    case_seed = seed;
    for (int i = 0; i < k.bufs; i++) {
        const struct buf *b = &k.buf[i];
        const size_t bytes = (size_t)b->n * dtype_size(b->t);
        mem[i] = d->ops->alloc(d, bytes + 8, &e);
        out.bytes[i] = host_content(b);
        d->ops->upload(d, mem[i], given ? given[i] : out.bytes[i], bytes);
        memcpy((char *)&k.args + b->field, &mem[i], sizeof mem[i]);
        if (b->also) memcpy((char *)&k.args + b->also, &mem[i], sizeof mem[i]);
    }
    struct device_work work = {.bytes = d->ops->work(d, k.op, &k.args)};
    work.p = d->ops->alloc(d, work.bytes, &e);
    d->work[d->queue] = work;
    if (d->queue == QUEUE_COMM) d->ops->after(d, QUEUE_COMM);
    d->ops->run(d, k.op, &k.args, k.size);
    d->work[d->queue] = (struct device_work){0}; /* what was queued must have kept it */
    bool ok = EXPECT(k.name, d->ops->sync(d, &e) == 0);
    if (!ok) fprintf(stderr, "%s\n", e.msg);
    for (int i = 0; i < k.bufs; i++) {
        const size_t bytes = (size_t)k.buf[i].n * dtype_size(k.buf[i].t);
        if (d->ops->download(d, out.bytes[i], mem[i], bytes, &e)) (void)EXPECT(k.name, false);
        d->ops->free(d, mem[i], bytes + 8);
    }
    d->ops->free(d, work.p, work.bytes);
    return out;
}

static void outcome_free(struct outcome *o)
{
    for (int i = 0; i < BUFS; i++) free(o->bytes[i]);
}

/* order[T] and starts[returned + 1] of struct op_embed_grad, by looking for each id in turn. */
static inline int64_t order_ids(const int32_t *ids, int64_t T, int32_t *order, int32_t *starts)
{
    int64_t unique = 0, next = 0;
    int32_t largest = 0;
    for (int64_t t = 0; t < T; t++)
        if (ids[t] > largest) largest = ids[t];
    for (int32_t id = 0; id <= largest; id++) {
        starts[unique] = (int32_t)next;
        for (int64_t t = 0; t < T; t++)
            if (ids[t] == id) order[next++] = (int32_t)t;
        unique += next > starts[unique];
    }
    starts[unique] = (int32_t)T;
    return unique;
}

/* Adds a buffer to case c for pointer `member` of the arguments of operation `name`. */
#define BUF(c, name, member, count, type, ...)                                                     \
    ((c)->buf[(c)->bufs++] = (struct buf){                                                         \
         .field = offsetof(struct op_##name, member), .n = (count), .t = (type), __VA_ARGS__})
#define CASE(c, name, ...)                                                                         \
    do {                                                                                           \
        memset((c), 0, sizeof *(c));                                                               \
        (c)->op = OP_##name;                                                                       \
        (c)->size = sizeof(struct op_##name);                                                      \
        (c)->args.name = (struct op_##name){__VA_ARGS__};                                          \
    } while (0)

#endif
