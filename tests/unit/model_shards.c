/* SPDX-License-Identifier: Apache-2.0 */
/* The part of a model and of its tensors that each rank of a tensor-parallel group has. */
#include "test.h"
#include "tiny.h"

/* Everything that a table may hold. */
static struct model full_model(bool tied)
{
    struct model m = tiny_model(tied, true);
    m.o_bias = m.mlp_bias = true;
    m.qk_norm = HF_QK_NORM_HEAD;
    return m;
}
static bool every(void *arg, const char *module)
{
    (void)arg;
    return module[0] != 0;
}
static const struct lora_options lora = {.rank = 3, .scale = 1, .target = every};

/* ---- the local descriptor ---- */
static void local(void)
{
    const struct model m = full_model(false);
    struct model a, b;
    struct err e;
    bool ok = model_local(&m, 2, 0, &a, &e) == 0 && model_local(&m, 2, 1, &b, &e) == 0;
    CHECK("local model: heads, key-value heads and the MLP are divided",
          ok && a.heads == 2 && a.kv_heads == 1 && a.inter == 20 && a.hidden == m.hidden &&
              a.head_dim == m.head_dim && b.heads == 2 && b.kv_heads == 1 && b.inter == 20);
    CHECK("local model: an odd vocabulary is cut unevenly, in order",
          ok && a.vocab_first == 0 && a.vocab == 49 && b.vocab_first == 49 && b.vocab == 48);
    CHECK("local model: a group of one has the whole model",
          model_local(&m, 1, 0, &a, &e) == 0 && memcmp(&a, &m, sizeof m) == 0 &&
              model_local(&m, 0, 0, &a, &e) == 0 && memcmp(&a, &m, sizeof m) == 0);
}

/* A model that does not divide by tp is refused with the size that does not. */
static void refuse(const char *name, struct model m, int tp, const char *size)
{
    struct model l;
    struct params t;
    struct err e = {0};
    const struct params_options o = {.tp = tp};
    bool ok = model_local(&m, tp, 0, &l, &e) == -1 && e.code == ERR_CONFIG &&
              strstr(e.msg, "tensor_model_parallel_size") && strstr(e.msg, size);
    if (!ok) printf("# %s\n", e.msg);
    CHECK(name, ok && params_make(&m, &o, &t, &e) == -1 && e.code == ERR_CONFIG);
}

static void refusals(void)
{
    struct model m = full_model(false);
    refuse("local model: heads that do not divide", m, 3, "num_attention_heads, which is 4");
    refuse("local model: key-value heads that do not divide", m, 4,
           "num_key_value_heads, which is 2");
    m.kv_heads = 4;
    m.inter = 42;
    refuse("local model: an MLP that does not divide", m, 4, "intermediate_size, which is 42");
    m.inter = 40;
    m.vocab = 3;
    refuse("local model: fewer rows of the vocabulary than ranks", m, 4, "vocab_size, which is 3");
}

/* ---- the local table ---- */
static bool same_shapes(const struct params *a, const struct params *b)
{
    bool same = a->count == b->count && a->total == b->total && a->trained == b->trained;
    for (size_t i = 0; same && i < a->count; i++)
        same = strcmp(a->p[i].name, b->p[i].name) == 0 && a->p[i].offset == b->p[i].offset &&
               memcmp(a->p[i].shape, b->p[i].shape, sizeof a->p->shape) == 0;
    return same;
}

/* The table that the shards of the roles give a rank is that of its local descriptor. */
static void tables(int at)
{
    char name[100];
    const struct model m = full_model(false);
    const struct params_options part = {.lora = lora, .tp = 2, .at = at}, whole = {.lora = lora};
    struct model l;
    struct params a = {0}, b = {0};
    struct err e;
    bool ok = model_local(&m, 2, at, &l, &e) == 0 && params_make(&m, &part, &a, &e) == 0 &&
              params_make(&l, &whole, &b, &e) == 0;
    snprintf(name, sizeof name, "local table of rank %d: shapes are the local model's", at);
    CHECK(name, ok && same_shapes(&a, &b));
    params_free(&a);
    params_free(&b);
}

/* Adds 1 to each element of the whole tensor that a rank holds; false: it is no such tensor's. */
static bool count_held(const struct param *p, const struct param *whole, unsigned char *held)
{
    size_t n = 0;
    if (memcmp(p->whole, whole->shape, sizeof whole->shape) != 0) return false;
    for (struct param_run r = {0}; param_next(p, 7, &r); n += r.n)
        for (size_t i = 0; i < r.n; i++) held[r.whole + i]++;
    return n == p->n;
}

/* The blocks of all ranks cover a tensor: each element once, or once by every rank. */
static bool covered(const struct param *whole, const struct params *ranks, int tp)
{
    unsigned char *held = calloc(whole->n, 1);
    const int want = shard_is_cut(whole->shard) ? 1 : tp;
    bool ok = true;
    for (int r = 0; r < tp; r++) {
        const struct param *p = params_find(&ranks[r], whole->name, strlen(whole->name));
        ok &= p && count_held(p, whole, held);
    }
    for (size_t i = 0; i < whole->n; i++) ok &= held[i] == want;
    free(held);
    return EXPECT(whole->name, ok);
}

static void blocks(bool tied)
{
    enum { TP = 2 };
    const struct model m = full_model(tied);
    struct params_options o = {.lora = lora};
    struct params whole, ranks[TP];
    struct err e;
    bool ok = params_make(&m, &o, &whole, &e) == 0;
    for (o.tp = TP; o.at < TP; o.at++) ok &= params_make(&m, &o, &ranks[o.at], &e) == 0;
    for (size_t i = 0; ok && i < whole.count; i++) ok = covered(&whole.p[i], ranks, TP);
    CHECK(tied ? "blocks of a tied model: the ranks cover each tensor"
               : "blocks: the ranks cover each tensor, adapters too",
          ok);
    for (int r = 0; r < TP; r++) params_free(&ranks[r]);
    params_free(&whole);
}

/* ---- the index ---- */
static void index_by_name(void)
{
    const struct model m = full_model(false);
    struct params t;
    struct err e;
    bool ok = params_make(&m, NULL, &t, &e) == 0;
    for (size_t i = 0; ok && i < t.count; i++)
        ok = params_find(&t, t.p[i].name, strlen(t.p[i].name)) == &t.p[i];
    CHECK("params_find: finds every parameter", ok);
    CHECK("params_find: neither the beginning of a name nor a longer one",
          !params_find(&t, "model.norm.weight", 16) && !params_find(&t, "model.norm.weights", 18) &&
              !params_find(&t, "", 0) && params_find(&t, "model.norm.weights", 17));
    params_free(&t);
}

int main(void)
{
    local();
    refusals();
    tables(0);
    tables(1);
    blocks(false);
    blocks(true);
    index_by_name();
    TEST_END();
}
