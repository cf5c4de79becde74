/* SPDX-License-Identifier: Apache-2.0 */
/* The buckets of the trained parameters: where they lie, which parts ranks have of them, and the
 * canonical order, which does not depend on them. */
#include "parallel/zero.h"
#include "test.h"
#include "tiny.h"

enum { PARTS = 7 };

static bool contains(void *arg, const char *name)
{
    for (const char **word = arg; *word; word++)
        if (strstr(name, *word)) return true;
    return false;
}
static bool every(void *arg, const char *module)
{
    (void)arg, (void)module;
    return true;
}

struct form {
    const char *name;
    bool tied, lora;
    const char *frozen[3];
};
static const struct form forms[] = {
    {.name = "tied", .tied = true},
    {.name = "untied"},
    {.name = "one layer and the embedding frozen", .frozen = {"layers.0.", "embed"}},
    {.name = "one member of a block frozen", .tied = true, .frozen = {"k_proj"}},
    {.name = "adapters", .lora = true, .frozen = {"model."}},
};

static struct params_options options(const struct form *f, int dp)
{
    struct params_options o = {.frozen = contains,
                               .arg = (void *)(uintptr_t)f->frozen,
                               .multiple = ZERO_ALIGN * (size_t)dp};
    if (f->lora) o.lora = (struct lora_options){.rank = 3, .scale = 1, .target = every};
    return o;
}

static struct params make(const struct form *f, struct params_options o)
{
    struct err e = {0};
    struct params t;
    const struct model m = tiny_model(f->tied, true);
    if (params_make(&m, &o, &t, &e)) printf("not ok %s: %s\n", f->name, e.msg);
    return t;
}

/* ---- where they lie ---- */
/* -1: the embedding; 2: the norm and the head behind the two layers. */
static int layer_of(const char *name)
{
    if (strstr(name, "embed")) return -1;
    const char *l = strstr(name, "layers.");
    return l ? atoi(l + 7) : 2;
}

static bool in_its_bucket(const struct params *t, const struct param *p)
{
    if (p->bucket >= t->nbuckets) return !p->trained && p->offset >= t->trained;
    const struct params_bucket *b = &t->buckets[p->bucket];
    return b->layer == layer_of(p->name) && b->begin <= p->offset && p->offset + p->n <= b->end &&
           (p->decay ? p->offset + p->n <= b->decay_end : p->offset >= b->decay_end);
}

static bool apart(const struct params *t)
{
    for (size_t i = 0; i < t->count; i++)
        for (size_t k = 0; k < i; k++)
            if (t->p[i].offset < t->p[k].offset + t->p[k].n &&
                t->p[k].offset < t->p[i].offset + t->p[i].n)
                return false;
    return true;
}

static void lies(const struct form *f)
{
    char name[120];
    for (int dp = 1; dp <= PARTS; dp++) {
        struct params t = make(f, options(f, dp));
        size_t at = 0;
        bool fine = apart(&t);
        for (size_t i = 0; i < t.nbuckets; i++) {
            const struct params_bucket *b = &t.buckets[i];
            fine &= b->begin == at && b->end > at && (b->end - at) % (ZERO_ALIGN * (size_t)dp) == 0;
            fine &= i == 0 || b[-1].layer < b->layer;
            at = b->end;
        }
        for (size_t i = 0; i < t.count; i++) fine &= in_its_bucket(&t, &t.p[i]);
        snprintf(name, sizeof name, "buckets: %s, %d ranks: one a layer, in order, then the frozen",
                 f->name, dp);
        CHECK(name, fine && at == t.trained && t.trained <= t.total && t.nbuckets > 0);
        params_free(&t);
    }
}

/* ---- parts ---- */
static void parts(const struct form *f)
{
    char name[120];
    bool fine = true;
    for (int dp = 1; dp <= PARTS; dp++) {
        struct params t = make(f, options(f, dp));
        for (int r = 0; r < dp; r++) {
            const struct mesh m = {
                .size = {1, 1, dp, 1}, .at = {[MESH_DP] = r}, .shard = dp, .experts = 1};
            struct zero some, all;
            size_t state = 0;
            zero_init(&some, &m, &t, true, false);
            zero_init(&all, &m, &t, false, false);
            for (size_t i = 0; i < t.nbuckets; i++) {
                const struct params_bucket *b = &t.buckets[i];
                const size_t each = (b->end - b->begin) / (size_t)dp;
                const struct params_part own = zero_part(&some, i), held = zero_held(&some, i);
                const struct params_part whole = zero_held(&all, i), same = zero_part(&all, i);
                fine &= own.begin == b->begin + (size_t)r * each && own.end == own.begin + each;
                fine &= held.begin == own.begin && held.end == own.end && held.state == state;
                fine &= same.begin == own.begin && same.end == own.end;
                fine &= whole.begin == b->begin && whole.end == b->end && whole.state == b->begin;
                state += each;
            }
            fine &= zero_count(&some) == state && zero_count(&all) == t.trained;
        }
        params_free(&t);
    }
    snprintf(name, sizeof name, "parts: %s: equal, their state without a gap", f->name);
    CHECK(name, fine);
}

static void clipping(void)
{
    size_t begin = 10, end = 20, other = 20;
    params_clip(&begin, &end, 15, 40);
    const bool common = begin == 15 && end == 20;
    params_clip(&begin, &other, 30, 40);
    CHECK("clip: the common part, or an empty one", common && begin == other);
}

/* ---- the canonical order ---- */
/* 0: trained matrices, 1: trained vectors, 2: frozen; a block is where one member is trained. */
static int zone(const struct params *t, const struct param *p)
{
    return p->bucket >= t->nbuckets ? 2 : p->decay ? 0 : 1;
}

/* Zone by zone, each from the embedding to the head. */
static void ordered(const struct form *f)
{
    char name[120];
    struct params t = make(f, options(f, 3));
    bool fine = true;
    for (size_t i = 1; i < t.count; i++) {
        const struct param *p = &t.p[i], *q = p - 1;
        const int a = zone(&t, q), b = zone(&t, p);
        fine &= a < b || (a == b && layer_of(q->name) <= layer_of(p->name));
        fine &= p->place >= q->place + q->n && p->place - q->place - q->n < 64;
    }
    snprintf(name, sizeof name, "canonical order: %s: matrices, vectors, frozen; without gaps",
             f->name);
    CHECK(name, fine && t.p[0].place == 0);
    params_free(&t);
}

/* The positions of tensors on 1 and on 3 ranks, and in stages. */
static void same_places(const struct form *f)
{
    char name[120];
    struct params one = make(f, options(f, 1));
    bool fine = true;
    for (int other = 0; other < 3; other++) {
        struct params_options o = options(f, other == 0 ? 3 : 2);
        if (other) o.stage = other - 1, o.stages = tiny_model(false, false).layers;
        struct params t = make(f, o);
        for (size_t i = 0; i < t.count; i++) {
            const struct param *p = params_find(&one, t.p[i].name, strlen(t.p[i].name));
            fine &= p && p->place == t.p[i].place && p->range == t.p[i].range;
        }
        fine &= t.places == one.places && t.places_trained == one.places_trained;
        params_free(&t);
    }
    snprintf(name, sizeof name, "canonical order: %s: that of any ranks and of a stage", f->name);
    CHECK(name, fine);
    params_free(&one);
}

/* Counts the runs of the element that is `at` of a parameter, and holds their positions to it. */
static int runs_of(const struct params *t, const struct param *p, size_t at, bool *right)
{
    int n = 0;
    const size_t offset = p->offset + at;
    for (size_t i = 0; i < t->nruns; i++) {
        const struct params_run *r = &t->runs[i];
        if (offset < r->begin || offset >= r->end) continue;
        n++;
        *right &= r->place + (offset - r->begin) == p->place + at && r->decay == p->decay &&
                  r->range <= p->place && r->bucket == p->bucket;
    }
    return n;
}

static void runs(const struct form *f)
{
    char name[120];
    struct params t = make(f, options(f, 3));
    bool fine = true;
    for (size_t i = 0; i < t.count; i++)
        for (size_t at = 0; at<t.p[i].n; at += t.p[i].n> 9 ? t.p[i].n - 1 : 1)
            fine &= runs_of(&t, &t.p[i], at, &fine) == t.p[i].trained;
    for (size_t i = 1; i < t.nruns; i++)
        fine &= t.runs[i - 1].place + (t.runs[i - 1].end - t.runs[i - 1].begin) <= t.runs[i].place;
    snprintf(name, sizeof name, "runs: %s: what is trained, once, in canonical order", f->name);
    CHECK(name, fine && t.nruns > 0);
    params_free(&t);
}

/* Tensor-parallel ranks have no position of a tensor that is cut in common, and all of them. */
static void shards(void)
{
    const struct form f = {.name = "shards"};
    struct params whole = make(&f, options(&f, 1));
    unsigned char *seen = calloc(whole.places, 1);
    bool fine = true;
    for (int at = 0; at < 2; at++) {
        struct params_options o = options(&f, 1);
        o.tp = 2;
        o.at = at;
        struct params t = make(&f, o);
        for (size_t i = 0; i < t.nruns; i++)
            for (size_t k = 0; k < t.runs[i].end - t.runs[i].begin; k++)
                seen[t.runs[i].place + k]++;
        params_free(&t);
    }
    for (size_t i = 0; i < whole.count; i++) {
        const struct param *p = &whole.p[i];
        for (size_t k = 0; k < p->n; k++)
            fine &= seen[p->place + k] == (p->shard == SHARD_REPLICATED ? 2 : 1);
    }
    CHECK("canonical order: tensor-parallel ranks share the positions of a tensor", fine);
    free(seen);
    params_free(&whole);
}

int main(void)
{
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        lies(&forms[i]);
        parts(&forms[i]);
        ordered(&forms[i]);
        same_places(&forms[i]);
        runs(&forms[i]);
    }
    clipping();
    shards();
    TEST_END();
}
