/* SPDX-License-Identifier: Apache-2.0 */
/* The planned memory of a layout, beside the closed formulas of docs/parallel.md. The model has the
 * form of a tiny one, but sizes at which alignment is small. */
#ifndef SFT_TEST_MEMORY_H
#define SFT_TEST_MEMORY_H

#include "job.h"

enum { MEMORY_TOKENS = 512, WIDTH = 4 }; /* of a micro-batch; bytes of fp32 */

TINY struct model memory_model(const struct model *tiny)
{
    struct model m = *tiny;
    m.hidden = 512;
    m.inter = 1024;
    m.heads = 8;
    m.kv_heads = 4;
    m.head_dim = 64;
    m.vocab = 6001;
    if (m.experts) {
        m.experts = 8;
        m.expert_inter = 256;
    }
    if (m.shared_inter) m.shared_inter = 640;
    return m;
}

/* Dense layers, which have an MLP, and sparse ones, which have experts. */
enum { DENSE, SPARSE, KINDS };
/* Numbers of elements that a rank has: of a layer of each kind, the embedding, and the head with
 * its norm; all, and the trained ones. Of the ranks that have an equal part of a layer 1 / ep have
 * the same experts. */
struct memory_part {
    double layer[KINDS], embedding, head;
    double experts; /* of a sparse layer, where ranks share them out; else they are in `layer` */
};
struct memory_sizes {
    const struct model *m;
    double q, k, vocab;          /* its widths; rows of the vocabulary */
    double inter[KINDS], shared; /* of a token: of the MLP or of its experts; of that of all */
    double mlp[KINDS];           /* the elements of an MLP or of experts */
    double own;                  /* those of the experts that ranks share out, beside mlp */
    double ep, rows;             /* these ranks; rows of experts for each of its tokens */
    double layers[KINDS], all_layers, most; /* its layers, and those of its largest chunk */
    struct memory_part all, trained;
};

static double linear(const struct memory_sizes *s, int kind, double rank)
{
    const double H = (double)s->m->hidden, q = s->q, k = s->k, I = s->inter[kind];
    const double ups = s->m->gated ? 2 : 1; /* gate and up, or up */
    const double mlp = s->m->experts ? 0 : ups * (H + I) + I + H;
    const double router = kind == SPARSE ? H + s->m->experts : 0;
    if (rank > 0) return rank * (3 * H + q + 2 * k + q + H + mlp + router);
    return H * (q + 2 * k) + q * H + s->mlp[kind];
}

/* Returns the elements of the adapters of one expert, of F columns here: gate and up have one of
 * twice the rank. */
static double expert_adapters(double rank, double H, double F)
{
    return 2 * rank * (H + 2 * F) + rank * (F + H);
}

/* Returns the elements of a layer. */
static double layer_of(const struct memory_sizes *s, int kind)
{
    const struct model *m = s->m;
    const double H = (double)m->hidden, dim = m->head_dim;
    return linear(s, kind, 0) + 2 * H * (m->pre_norm + m->post_norm) +
           (m->qkv_bias ? s->q + 2 * s->k : 0) +
           (m->qk_norm == HF_QK_NORM_ROW ? s->q + s->k
            : m->qk_norm                 ? 2 * dim
                                         : 0);
}

/* Counts the layers of the rank, of each kind. */
static void count_layers(const struct mesh *mesh, struct memory_sizes *s)
{
    const int pp = mesh->size[MESH_PP], at = mesh->at[MESH_PP];
    for (int c = 0, parts = pp * mesh->chunks; c < mesh->chunks; c++) {
        const uint64_t all = (uint64_t)s->m->layers;
        const int begin = (int)shard_begin(all, parts, c * pp + at);
        const int end = (int)shard_begin(all, parts, c * pp + at + 1);
        for (int l = begin; l < end; l++) s->layers[model_is_sparse(s->m, l) ? SPARSE : DENSE]++;
        s->most = fmax(s->most, end - begin);
    }
    s->all_layers = s->layers[DENSE] + s->layers[SPARSE];
}

TINY struct memory_sizes memory_sizes(const struct job *j, const struct model *m)
{
    const struct mesh *mesh = &j->mesh;
    const int tp = mesh->size[MESH_TP], pp = mesh->size[MESH_PP], at = mesh->at[MESH_PP];
    const double H = (double)m->hidden, dim = m->head_dim, ep = mesh->experts;
    const double expert = (double)m->expert_inter / tp, experts = m->experts / ep;
    const double width = ep * fmin(m->chosen, experts);
    const double rows = (double)(shard_begin((uint64_t)m->vocab, tp, mesh->at[MESH_TP] + 1) -
                                 shard_begin((uint64_t)m->vocab, tp, mesh->at[MESH_TP]));
    struct memory_sizes s = {.m = m,
                             .q = m->heads * dim / tp,
                             .k = m->kv_heads * dim / tp,
                             .inter = {(double)m->inter / tp, width * expert},
                             .ep = ep,
                             .rows = width,
                             .own = ep > 1 ? experts * 3 * H * expert : 0,
                             .shared = (double)m->shared_inter / tp,
                             .vocab = rows};
    s.mlp[DENSE] = (m->gated ? 3 : 2) * H * s.inter[DENSE];
    s.mlp[SPARSE] = experts * 3 * H * expert - s.own + m->experts * H + 3 * H * s.shared +
                    (m->shared_router ? H : 0);
    count_layers(mesh, &s);
    for (int kind = 0; kind < KINDS; kind++) s.all.layer[kind] = layer_of(&s, kind);
    s.all.embedding = at == 0 ? rows * H : 0;
    s.all.head = at + 1 == pp ? H + (m->tied && at == 0 ? 0 : rows * H) : 0;
    s.all.experts = s.own;
    s.trained = s.all;
    if (j->f->lora) { /* beside the head */
        s.trained = (struct memory_part){
            {linear(&s, DENSE, 3), linear(&s, SPARSE, 3)}, 0, at + 1 == pp ? rows * H : 0, 0};
        *(ep > 1 ? &s.trained.experts : &s.trained.layer[SPARSE]) +=
            experts * expert_adapters(3, H, expert);
        for (int kind = 0; kind < KINDS; kind++) s.all.layer[kind] += s.trained.layer[kind];
        s.all.experts += s.trained.experts;
    }
    return s;
}

/* The elements of all that the rank has, in parts of so many ranks, and of two layers of a chunk
 * and the larger end. If layers differ, odd and even ones have some of the larger kind. */
static double sum(const struct memory_sizes *s, const struct memory_part *p, int ranks)
{
    const double same = ranks > 1 ? ranks / s->ep : 1;
    const double layers = s->layers[DENSE] * p->layer[DENSE] + s->layers[SPARSE] * p->layer[SPARSE];
    return (layers + p->embedding + p->head) / ranks + s->layers[SPARSE] * p->experts / same;
}
static double buffers(const struct memory_sizes *s, const struct memory_part *p)
{
    const double ends =
        s->m->tied && p->embedding > 0 ? p->embedding + p->head : fmax(p->embedding, p->head);
    const double layer = fmax(s->layers[DENSE] > 0 ? p->layer[DENSE] : 0,
                              s->layers[SPARSE] > 0 ? p->layer[SPARSE] + p->experts : 0);
    return fmin(2, s->most) * layer + ends;
}

TINY double memory_weights(const struct memory_sizes *s, int stage, int ranks)
{
    if (stage < 3) return WIDTH * sum(s, &s->all, 1);
    return WIDTH * (sum(s, &s->all, ranks) + buffers(s, &s->all));
}
/* ranks_first: they are summed over the ranks in each micro-batch; so from stage 2 on. */
TINY double memory_gradients(const struct memory_sizes *s, int stage, int ranks, bool ranks_first)
{
    if (!ranks_first) return WIDTH * sum(s, &s->trained, 1);
    return WIDTH * (sum(s, &s->trained, stage == 0 ? 1 : ranks) + buffers(s, &s->trained));
}
TINY double memory_moments(const struct memory_sizes *s, int stage, int ranks)
{
    return 2 * WIDTH * sum(s, &s->trained, stage < 1 ? 1 : ranks);
}

/* The activations of the passes that are in flight, all stored. */
TINY double memory_activations(const struct job *j, const struct memory_sizes *s, bool sequence)
{
    const struct mesh *mesh = &j->mesh;
    const int tp = mesh->size[MESH_TP], cp = mesh->size[MESH_CP], pp = mesh->size[MESH_PP];
    const int V = mesh->chunks, later = pp - mesh->at[MESH_PP] - 1;
    const double passes = V > 1 ? 2 * later + (V - 1) * pp + 1 : later + 1;
    const double all = MEMORY_TOKENS, T = all / cp, H = (double)s->m->hidden, c = WIDTH;
    const double rows = sequence ? T / tp : T, heads = (double)s->m->heads / tp;
    const double K = 2 * s->k, keys = cp > 1 ? c * (all + 1) * K : 0;
    const double ups = s->m->gated ? 3 : 2; /* gate, up and what they give; or up */
    const double norms = s->m->qk_norm == HF_QK_NORM_ROW ? 2 : heads + (double)s->m->kv_heads / tp;
    const double layer = 8 * rows * H + c * T * (2 * s->q + 2 * s->k) + 4 * heads * T + keys +
                         (s->m->qk_norm ? c * T * (s->q + 2 * s->k) + 4 * T * norms : 0) +
                         (s->m->post_norm ? 2 * c * rows * H : 0);
    const double E = (double)s->m->experts, chosen = s->ep * s->m->chosen;
    const double ranks = fmin(s->m->chosen, s->ep); /* that have experts of a token */
    const double moved = s->ep > 1 ? (fmax(c * s->ep, 4 * ranks) + 4 * s->ep) * T * H : 0;
    const double lists = s->ep > 1 ? 2 * (s->m->chosen + ranks) : 0; /* of tokens that go */
    const double dense = layer + c * T * ups * s->inter[DENSE];
    const double sparse = layer + c * T * (3 * s->inter[SPARSE] + 3 * s->shared + s->rows * H) +
                          4 * T * (E + 3 * chosen + s->rows + lists + s->m->shared_router) +
                          4 * E / s->ep;
    const double inner = fmax(s->layers[DENSE] > 0 ? s->inter[DENSE] : 0,
                              s->layers[SPARSE] > 0 ? fmax(s->inter[SPARSE], s->shared) : 0);
    const double once = 4 * T * H + c * (later ? 2 : 4) * T * H +
                        c * T * (2 * s->q + 2 * s->k + inner) + (cp > 1 ? (c + 8) * all * K : 0) +
                        4 * T * (E + chosen + (s->ep > 1 ? ranks : 0)) + moved;
    const double layers = s->layers[DENSE] * dense + s->layers[SPARSE] * sparse;
    return passes * (s->most / s->all_layers * layers + (4 + c) * rows * H) + once;
}

#endif
