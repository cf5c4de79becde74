/* SPDX-License-Identifier: Apache-2.0 */
/* The pieces around the trainer: memory plan, parameter table. */
#include "model/model.h"
#include "model/plan.h"
#include "test.h"

static void plans(void)
{
    struct plan p = {0};
    struct err e;
    void *slot[64];
    bool fine = true;
    for (int i = 0; i < 64; i++) {
        int begin = i * 7 % 20;
        plan_add(&p, PLAN_ACTIVATIONS, "x", i, (size_t)(i * 37 % 50 + 1), 1000, begin,
                 begin + i % 6, &slot[i]);
    }
    plan_add(&p, PLAN_WEIGHTS, "w", -1, 10, 1000, PLAN_ALWAYS, 0, &slot[0]);
    CHECK("plan: its buffers are placed", plan_place(&p, &e) == 0);
    size_t sum = 0, most = 0;
    for (size_t i = 0; i < p.count; i++) {
        const struct plan_buffer *a = &p.b[i];
        sum += a->bytes;
        if (a->offset + a->bytes > most) most = a->offset + a->bytes;
        fine &= a->offset % 64 == 0;
        for (size_t j = 0; j < i; j++) {
            const struct plan_buffer *b = &p.b[j];
            bool meet = a->begin <= b->end && b->begin <= a->end;
            fine &= !meet || a->offset + a->bytes <= b->offset || b->offset + b->bytes <= a->offset;
        }
    }
    CHECK("plan: buffers that live together do not overlap", fine);
    CHECK("plan: the allocation is as large as the plan and smaller than the sum",
          most == p.total && p.total < sum);
    plan_add(&p, PLAN_DATA, "huge", -1, SIZE_MAX / 2, 4, PLAN_ALWAYS, 0, &slot[0]);
    CHECK("plan: a size that overflows is refused",
          plan_place(&p, &e) == -1 && e.code == ERR_MEMORY);
    plan_free(&p);
}

/* True when no lower offset than that of `w` is free of the n buffers before it in `order`. */
static bool is_first_fit(struct plan_buffer *const *order, size_t n, const struct plan_buffer *w)
{
    size_t at = 0;
    for (bool moved = true; moved;) {
        moved = false;
        for (size_t i = 0; i < n; i++) {
            const struct plan_buffer *b = order[i];
            bool meet = b->host == w->host && b->begin <= w->end && w->begin <= b->end;
            if (!meet || b->offset >= at + w->bytes || b->offset + b->bytes <= at) continue;
            at = b->offset + b->bytes;
            moved = true;
        }
    }
    return at == w->offset;
}

/* Thousands of buffers, as those of a model of many layers: each lies where a plain first fit of
 * the largest first puts it. */
static void large_plans(void)
{
    enum { COUNT = 2000, TIMES = 500 };
    static void *slot[COUNT];
    static struct plan_buffer *order[COUNT];
    struct plan p = {0};
    struct err e;
    size_t wrong = 0, n = 0;
    uint64_t r = 1;
    for (int i = 0; i < COUNT; i++) {
        r = r * 6364136223846793005u + 1442695040888963407u;
        const int begin = r >> 60 == 0 ? PLAN_ALWAYS : (int)((r >> 33) % TIMES);
        plan_add(&p, PLAN_ACTIVATIONS, "x", i, 256 * (1 + (r >> 50) % 7), 1, begin,
                 begin + (int)((r >> 20) % (TIMES / 4)), &slot[i]);
    }
    bool fine = plan_place(&p, &e) == 0;
    for (size_t bytes = 7 * 256; bytes > 0; bytes -= 256)
        for (size_t i = 0; i < p.count; i++) {
            if (p.b[i].bytes != bytes) continue;
            wrong += !is_first_fit(order, n, &p.b[i]);
            order[n++] = &p.b[i];
        }
    CHECK("plan: each of 2000 buffers lies where first fit puts it",
          fine && n == COUNT && wrong == 0);
    plan_free(&p);
}

/* Activations of 100 000 layers, whose lifetimes are nested. */
static void deep_plan(void)
{
    enum { LAYERS = 100000 };
    static void *slot[LAYERS];
    struct plan p = {0};
    struct err e;
    struct buf b = {0};
    for (int i = 0; i < LAYERS; i++)
        plan_add(&p, PLAN_ACTIVATIONS, "x", i, 256, 1, i, 2 * LAYERS - i, &slot[i]);
    bool fine = plan_place(&p, &e) == 0 && p.total == (size_t)LAYERS * 256;
    plan_print(&p, &b);
    CHECK("plan: the activations of 100 000 layers are placed and printed",
          fine && buf_check(&b, &e) == 0 && strstr(b.data, "activations") != NULL);
    buf_free(&b);
    plan_free(&p);
}

/* named: a parameter that must be there and not decay. */
static bool matrices_decay(const struct params *t, const char *named)
{
    const struct param *p = named ? params_find(t, named, strlen(named)) : NULL;
    bool fine = !named || (p && !p->decay);
    for (size_t i = 0; i < t->count; i++) {
        const struct params_bucket *b = &t->buckets[t->p[i].bucket];
        fine &= t->p[i].decay == (t->p[i].offset < b->decay_end) &&
                t->p[i].decay == (t->p[i].rank == 2);
    }
    return fine;
}

static void tables(void)
{
    struct model m = {.family = hf_family_find("llama"),
                      .layers = 2,
                      .heads = 4,
                      .kv_heads = 2,
                      .head_dim = 8,
                      .hidden = 32,
                      .inter = 48,
                      .gated = true,
                      .vocab = 64,
                      .pre_norm = true,
                      .tied = true};
    struct params t;
    struct err e;
    CHECK("parameters: the table has all tensors",
          params_make(&m, NULL, &t, &e) == 0 && t.count == 2 + 2 * 9);
    const struct param *k = params_find(&t, "model.layers.1.self_attn.k_proj.weight", 38);
    CHECK("k follows q", k && k->offset == t.layers[1].qkv + 32 * 32);
    CHECK("a bucket begins with what decays, which is its matrices", matrices_decay(&t, NULL));
    params_free(&t);
    m.qkv_bias = true;
    CHECK("parameters: a bias does not decay",
          params_make(&m, NULL, &t, &e) == 0 && t.count == 2 + 2 * 12 &&
              matrices_decay(&t, "model.layers.1.self_attn.k_proj.bias"));
    params_free(&t);
}

int main(void)
{
    plans();
    large_plans();
    deep_plan();
    tables();
    TEST_END();
}
