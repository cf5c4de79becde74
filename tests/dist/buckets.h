/* SPDX-License-Identifier: Apache-2.0 */
/* The buckets that a rank of a job has, by the sizes of its model and docs/parallel.md: the
 * elements of their trained and of their frozen tensors, with alignment. */
#ifndef SFT_TEST_BUCKETS_H
#define SFT_TEST_BUCKETS_H

#include "memory.h"

/* Elements to which tensors are aligned, and buckets for each data-parallel rank. */
enum { BUCKET_ALIGN = 64, BUCKET_BLOCKS = 35 };
enum { BUCKET_EMBEDDING, BUCKET_DENSE, BUCKET_SPARSE, BUCKET_EXPERTS, BUCKET_HEAD, BUCKETS };

/* Experts in a bucket of their own stand before a partial block: it is summed apart. */
enum { APART = 2 };
/* Adjacent tensors of n elements; 0: the model has none. */
struct bucket_block {
    uint64_t n;
    bool trained;
    int partial; /* each rank of tp has a part of their gradients, which are summed; or APART */
};
/* count: the rank has so many of this kind. An absent one has no elements. */
struct bucket {
    struct bucket_block b[BUCKET_BLOCKS]; /* matrices, then vectors; adapters alone */
    uint64_t count, trained, frozen;
};

static uint64_t aligned(uint64_t n, uint64_t to) { return (n + to - 1) / to * to; }

static bool has_embedding(const struct job *j) { return j->mesh.at[MESH_PP] == 0; }
static bool has_head(const struct job *j)
{
    return j->mesh.at[MESH_PP] + 1 == j->mesh.size[MESH_PP];
}

/* Sequence parallelism leaves each rank a part of the gradients of what acts on rows. */
static struct bucket bucket_layer(const struct job *j, const struct memory_sizes *s, int kind)
{
    const struct model *m = s->m;
    const bool base = !j->f->lora, rows = j->t.o.shard_rows;
    const int first = rows && kind == SPARSE && s->ep > 1 ? APART : rows; /* norms behind experts */
    const bool heads = m->qk_norm == HF_QK_NORM_HEAD;
    const uint64_t H = (uint64_t)m->hidden, q = (uint64_t)s->q, k = (uint64_t)s->k,
                   I = (uint64_t)s->inter[kind], before = m->pre_norm ? H : 0,
                   behind = m->post_norm ? H : 0, head = heads ? (uint64_t)m->head_dim : 0,
                   all = m->qk_norm == HF_QK_NORM_ROW, up = (uint64_t)(m->gated ? 2 : 1) * I,
                   r = (uint64_t)j->t.o.params.lora.rank, ups = m->gated ? 2 : 1,
                   router = kind == SPARSE ? (uint64_t)m->experts * H : 0,
                   weight = kind == SPARSE && m->shared_router ? H : 0,
                   shared = kind == SPARSE ? (uint64_t)s->shared * H : 0,
                   mlp = ((uint64_t)s->mlp[kind] - router - weight - 3 * shared) / (ups + 1),
                   rm = m->experts ? 0 : r, /* no MLP has adapters beside experts */
        rr = kind == SPARSE ? r : 0, E = s->ep > 1 ? 0 : (uint64_t)m->experts,
                   F = (uint64_t)m->expert_inter / (uint64_t)j->mesh.size[MESH_TP];
    return (struct bucket){.count = (uint64_t)s->layers[kind],
                           .b = {{(q + 2 * k) * H, base, false},
                                 {q * H, base, false},
                                 {router, base, true},
                                 {weight, base, true},
                                 {ups * mlp, base, false},
                                 {mlp, base, false},
                                 {2 * shared, base, false},
                                 {shared, base, false},
                                 {before, base, first},
                                 {m->qkv_bias ? q + 2 * k : 0, base, false},
                                 {all ? q : head, base, heads},
                                 {all ? k : head, base, heads},
                                 {m->o_bias ? H : 0, base, rows},
                                 {behind, base, rows},
                                 {before, base, rows},
                                 {m->mlp_bias ? up : 0, base, false},
                                 {m->mlp_bias ? H : 0, base, rows},
                                 {behind, base, rows},
                                 /* A of q, k and v together, then B of each; o */
                                 {3 * r * H, true, true},
                                 {r * q, true, false},
                                 {r * k, true, false},
                                 {r * k, true, false},
                                 {r * q, true, false},
                                 {r * H, true, true},
                                 /* gate and up; down */
                                 {2 * rm * H, true, true},
                                 {rm * I, true, false},
                                 {rm * I, true, false},
                                 {rm * I, true, false},
                                 {rm * H, true, true},
                                 /* the router; gate and up of experts; down */
                                 {rr * H, true, true},
                                 {rr * (uint64_t)m->experts, true, true},
                                 {2 * rr * E * H, true, true},
                                 {4 * rr * E * F, true, false},
                                 {rr * E * F, true, false},
                                 {rr * E * H, true, true}}};
}

/* Gate and up, and down, of the experts that ranks share out. */
static struct bucket bucket_experts(const struct job *j, const struct memory_sizes *s)
{
    const uint64_t n = (uint64_t)s->own / 3;
    const bool base = !j->f->lora;
    const struct model *m = s->m;
    const uint64_t r = base || s->ep <= 1 ? 0 : (uint64_t)j->t.o.params.lora.rank,
                   E = (uint64_t)m->experts / (uint64_t)s->ep, H = (uint64_t)m->hidden,
                   F = (uint64_t)m->expert_inter / (uint64_t)j->mesh.size[MESH_TP];
    return (struct bucket){.count = (uint64_t)s->layers[SPARSE],
                           .b = {{2 * n, base, false},
                                 {n, base, false},
                                 {2 * r * E * H, true, true},
                                 {4 * r * E * F, true, false},
                                 {r * E * F, true, false},
                                 {r * E * H, true, true}}};
}

/* A tied matrix is on both ends. */
static struct bucket bucket_embedding(const struct job *j, const struct memory_sizes *s)
{
    const uint64_t n = (uint64_t)(s->vocab * (double)s->m->hidden);
    const bool has = has_embedding(j) || (has_head(j) && s->m->tied);
    return (struct bucket){.count = 1, .b = {{has ? n : 0, !j->f->lora, false}}};
}

static struct bucket bucket_head(const struct job *j, const struct memory_sizes *s)
{
    const uint64_t H = has_head(j) ? (uint64_t)s->m->hidden : 0;
    const uint64_t n = s->m->tied ? 0 : (uint64_t)s->vocab * H;
    return (struct bucket){.count = 1,
                           .b = {{n, true, false}, {H, !j->f->lora, j->t.o.shard_rows}}};
}

/* Adds up the trained tensors, or the frozen ones, in equal parts for all ranks. */
static uint64_t bucket_elements(const struct job *j, const struct bucket *k, bool trained)
{
    uint64_t n = 0;
    for (const struct bucket_block *b = k->b; b < k->b + BUCKET_BLOCKS; b++)
        if (b->trained == trained) n += aligned(b->n, BUCKET_ALIGN);
    return aligned(n, BUCKET_ALIGN * (uint64_t)mesh_replicas(&j->mesh));
}

TINY void buckets_of(const struct job *j, const struct memory_sizes *s, struct bucket k[BUCKETS])
{
    k[BUCKET_EMBEDDING] = bucket_embedding(j, s);
    k[BUCKET_DENSE] = bucket_layer(j, s, DENSE);
    k[BUCKET_SPARSE] = bucket_layer(j, s, SPARSE);
    k[BUCKET_EXPERTS] = bucket_experts(j, s);
    k[BUCKET_HEAD] = bucket_head(j, s);
    for (int i = 0; i < BUCKETS; i++) {
        k[i].trained = bucket_elements(j, &k[i], true);
        k[i].frozen = bucket_elements(j, &k[i], false);
    }
}

#endif
