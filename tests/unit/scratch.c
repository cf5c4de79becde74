/* SPDX-License-Identifier: Apache-2.0 */
/* The scratch that is planned for a micro-batch of many tokens is enough for one of any fewer; but
 * with AMX oneDNN's need does not follow the rows, and the CPU takes the rest (ops_scratch.c). */
#include "rig.h"
#include "test.h"

enum { SHORT = 48, TOKENS = 1536 };

/* Bytes of scratch for so many tokens in short documents; 0: failed. */
static size_t scratch(const struct model *m, enum dtype t, enum dtype gradient, int64_t tokens,
                      struct device *d)
{
    struct err e;
    struct tiny *n = calloc(1, sizeof *n);
    const struct tiny_options o = {.w = {.compute = t,
                                         .gradients = true,
                                         .gradient = gradient,
                                         .length = tokens < SHORT ? tokens : SHORT},
                                   .s = {.tokens = tokens}};
    if (tiny_plan(n, m, d, &o, &e)) printf("# %lld tokens: %s\n", (long long)tokens, e.msg);
    const size_t bytes = n->memory.work[QUEUE_COMPUTE].bytes;
    tiny_close(n);
    return bytes;
}

static void enough(const char *name, const struct model *m, enum dtype t, enum dtype gradient)
{
    struct err e;
    struct device *d = device_open("cpu", 1, &e);
    if (!d || (t == DT_BF16 && !device_has_bf16(d))) return;
    const size_t most = scratch(m, t, gradient, TOKENS, d);
    bool fine = most > 0;
    for (int64_t T = 1; T < TOKENS; T += T < 16 ? 2 : 17) {
        const size_t some = scratch(m, t, gradient, T, d);
        if (some && some <= most) continue;
        printf("# %lld tokens: %zu bytes, %zu planned\n", (long long)T, some, most);
        fine = false;
    }
    CHECK_IN("workspace of any batch fits the plan", name, fine);
    device_close(d);
}

/* A sum in the first queue, a larger one in the second. */
static struct op_sum sum = {.n = 1 << 20, .dtype = DT_F32}, larger = {.n = 5 << 20};
static void in_both(void *device)
{
    struct device *d = *(struct device **)device;
    op_sum(d, &sum);
    d->queue = QUEUE_COMM;
    op_sum(d, &larger);
    d->queue = QUEUE_COMPUTE;
}

/* Each queue has the scratch that its operations want, at a place of its own. */
static void queues(void)
{
    struct err e;
    struct memory m = {0};
    struct device *d = device_open("cpu", 1, &e), *at = d;
    const size_t first = op_sum_work(d, &sum), second = op_sum_work(d, &larger);
    bool ok = first > 0 && second > first;
    ok &= memory_place(&m, &at, in_both, &at, &e) == 0 && at == d && memory_alloc(&m, &e) == 0;
    const struct device_work *w = d->work;
    const char *one = w[QUEUE_COMPUTE].p, *other = w[QUEUE_COMM].p;
    CHECK("queues: each has the scratch that its operations want",
          ok && w[QUEUE_COMPUTE].bytes == (first + 255) / 256 * 256 &&
              w[QUEUE_COMM].bytes == (second + 255) / 256 * 256);
    CHECK("queues: their scratch does not overlap",
          one + w[QUEUE_COMPUTE].bytes <= other || other + w[QUEUE_COMM].bytes <= one);
    memory_free(&m);
    device_close(d);
}

int main(void)
{
    setenv("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_BF16", 0);
    queues();
    struct model tiny = tiny_model(true, false), m = tiny;
    m.head_dim = 32;
    m.hidden = 128;
    m.inter = 256;
    m.vocab = 2048;
    enough("tiny, fp32", &tiny, DT_F32, DT_F32);
    enough("tiny, bf16", &tiny, DT_BF16, DT_F32);
    enough("small, fp32", &m, DT_F32, DT_F32);
    enough("small, bf16", &m, DT_BF16, DT_F32);
    enough("small, bf16 gradients", &m, DT_BF16, DT_BF16);
    m.hidden = 576;
    m.heads = 9;
    m.kv_heads = 3;
    m.head_dim = 64;
    m.inter = 1536;
    enough("medium, bf16", &m, DT_BF16, DT_F32);
    TEST_END();
}
