/* SPDX-License-Identifier: Apache-2.0 */
/* The pieces around the trainer: memory plan, parts of a mesh, parameter table. */
#include "model/plan.h"
#include "parallel/mesh.h"
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
    CHECK("a plan is placed", plan_place(&p, &e) == 0);
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
    CHECK("buffers that live together do not overlap", fine);
    CHECK("the allocation is as large as the plan and smaller than the sum",
          most == p.total && p.total < sum);
    plan_add(&p, PLAN_DATA, "huge", -1, SIZE_MAX / 2, 4, PLAN_ALWAYS, 0, &slot[0]);
    CHECK("a size that overflows is refused", plan_place(&p, &e) == -1 && e.code == ERR_MEMORY);
    plan_free(&p);
}

static void parts(void)
{
    bool fine = true;
    for (size_t n = 0; n < 300; n += 7) {
        for (int ranks = 1; ranks < 9; ranks++) {
            size_t at = 0, begin, end;
            for (int r = 0; r < ranks; r++, at = end) {
                mesh_part(n, 16, ranks, r, &begin, &end);
                fine &= begin == at && end >= begin && (end == n || end % 16 == 0);
            }
            fine &= at == n;
        }
    }
    CHECK("parts are in order and cover everything", fine);
    const struct param q = {.name = "q", .rank = 2, .shape = {12, 8}, .shard = SHARD_ROWS};
    const struct param o = {.name = "o", .rank = 2, .shape = {8, 12}, .shard = SHARD_COLUMNS};
    struct mesh m = {.size = {4, 1, 1, 1}, .at = {3}};
    struct shard_block b;
    struct err e;
    CHECK("rows of a shard", mesh_shard(&m, &q, &b, &e) == 0 && b.row == 9 && b.rows == 3 &&
                                 b.column == 0 && b.columns == 8);
    CHECK("columns of a shard",
          mesh_shard(&m, &o, &b, &e) == 0 && b.column == 9 && b.columns == 3 && b.rows == 8);
    m.size[MESH_TP] = 5;
    CHECK("a tensor that does not divide", mesh_shard(&m, &q, &b, &e) && e.code == ERR_CONFIG);
}

/* named: a parameter that must be there and not decay. */
static bool matrices_decay(const struct params *t, const char *named)
{
    const struct param *p = named ? params_find(t, named, strlen(named)) : NULL;
    bool fine = !named || (p && !p->decay);
    for (size_t i = 0; i < t->count; i++)
        fine &= t->p[i].decay == (t->p[i].offset < t->decay_end) &&
                t->p[i].decay == (t->p[i].rank == 2);
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
                      .vocab = 64,
                      .tied = true};
    struct params t;
    struct err e;
    CHECK("a table", params_make(&m, NULL, &t, &e) == 0 && t.count == 2 + 2 * 9);
    const struct param *k = params_find(&t, "model.layers.1.self_attn.k_proj.weight", 38);
    CHECK("k follows q", k && k->offset == t.layers[1].qkv + 32 * 32);
    CHECK("what decays comes first, and is the matrices", matrices_decay(&t, NULL));
    params_free(&t);
    m.qkv_bias = true;
    CHECK("and no bias", params_make(&m, NULL, &t, &e) == 0 && t.count == 2 + 2 * 12 &&
                             matrices_decay(&t, "model.layers.1.self_attn.k_proj.bias"));
    params_free(&t);
}

int main(void)
{
    plans();
    parts();
    tables();
    TEST_END();
}
