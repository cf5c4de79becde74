/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes that a rank of a layout copies from a model's file, beside the closed formula of
 * docs/parallel.md, and the values that it has then. The model has the form of a tiny one, but
 * sizes at which alignment is small. */
#ifndef SFT_TEST_LOADS_H
#define SFT_TEST_LOADS_H

#include "memory.h"

#include <sys/stat.h>
#include <unistd.h>

#include "hf/safetensors.h"

TINY struct model loads_model(const struct model *tiny)
{
    struct model m = *tiny;
    m.hidden = 128;
    m.inter = 256;
    m.heads = 8;
    m.kv_heads = 4;
    m.head_dim = 32;
    m.vocab = 1501;
    if (m.experts) {
        m.experts = 8;
        m.expert_inter = 64;
    }
    if (m.shared_inter) m.shared_inter = 160;
    return m;
}

/* The tensors of a whole model's file, but for adapters. */
struct loads_list {
    struct hf_tensor *tensor;
    char (*name)[HF_TENSOR_NAME];
    const struct param **param;
    size_t count;
};
static void loads_list(const struct weights *whole, struct loads_list *l)
{
    const size_t n = whole->params.count;
    *l = (struct loads_list){calloc(n, sizeof *l->tensor), calloc(n, sizeof *l->name),
                             calloc(n, sizeof *l->param), 0};
    for (size_t i = 0; i < n; i++) {
        const struct param *p = &whole->params.p[i];
        struct hf_tensor *t = &l->tensor[l->count];
        if (p->adapter) continue;
        hf_file_name(whole->m.names, p->name, l->name[l->count], HF_TENSOR_NAME);
        *t = (struct hf_tensor){.name = l->name[l->count], .dtype = DT_F32, .ndim = p->rank};
        memcpy(t->dim, p->whole, sizeof p->whole);
        l->param[l->count++] = p;
    }
}
static void loads_free(struct loads_list *l)
{
    free(l->tensor);
    free(l->name);
    free(l->param);
}

static int loads_values(struct safetensors_writer *out, const struct loads_list *l, struct err *e)
{
    int rc = 0;
    for (size_t i = 0; i < l->count; i++)
        for (uint64_t k = 0; rc == 0 && k < param_whole(l->param[i]); k++) {
            const float x = tiny_value(l->param[i]->name, (uint32_t)k);
            rc = safetensors_write(out, &x, sizeof x, e);
        }
    return rc;
}

/* Writes dir/model.safetensors with the values of tests/tiny.h. One rank does it. */
static bool loads_write(const struct form *f, const char *dir)
{
    struct job j;
    struct loads_list l;
    struct err e = {0};
    if (!job_plan(&j, f, NULL, "cpu")) return false;
    loads_list(&j.t.weights, &l);
    mkdir(dir, 0777);
    struct safetensors_writer *out = safetensors_create(dir, "model", l.tensor, l.count, 0, &e);
    int rc = out ? loads_values(out, &l, &e) : -1;
    if (rc == 0)
        rc = safetensors_commit(out, &e);
    else
        safetensors_abort(out);
    if (rc) printf("# %s\n", e.msg);
    loads_free(&l);
    job_close(&j);
    return rc == 0;
}

/* The bytes of the elements that a rank keeps, which adapters are not part of. */
static double loads_formula(const struct job *j, const struct model *m, int stage, int ranks)
{
    const struct memory_sizes s = memory_sizes(j, m);
    struct memory_part base = s.all;
    for (int kind = 0; j->f->lora && kind < KINDS; kind++)
        base.layer[kind] -= s.trained.layer[kind];
    if (j->f->lora) base.experts -= s.trained.experts;
    return WIDTH * sum(&s, &base, stage < 3 ? 1 : ranks);
}

/* Elements [at, at + n) of a parameter that this rank keeps are those of the file: every seventh is
 * compared. */
static bool loads_same(struct weights *own, const struct param *p, const struct param_run *r)
{
    struct err e;
    bool same = true;
    float *v = malloc(r->n * sizeof *v);
    const void *here = weights_own_value(own, p->bucket, p->offset + r->at);
    if (own->device->ops->download(own->device, v, here, r->n * sizeof *v, &e)) same = false;
    for (size_t k = 0; same && k < r->n; k += 7)
        same = v[k] == tiny_value(p->name, (uint32_t)(r->whole + k));
    free(v);
    return same;
}
static bool loads_all(struct weights *own)
{
    bool same = true;
    for (size_t i = 0; i < own->params.count; i++) {
        const struct param *p = &own->params.p[i];
        for (struct param_run r = {0}; !p->adapter && param_next(p, SIZE_MAX, &r);) {
            struct param_run part = r;
            if (weights_clip(own, &own->own, p, &part) && !loads_same(own, p, &part)) {
                printf("# rank %d: %s has other values than its file\n", w->place.rank, p->name);
                same = false;
            }
        }
    }
    return same;
}

/* Loads the file in a layout. Sets bytes to what was copied, and expected to the formula's.
 * Returns false if the values differ, or something fails. */
static bool loads_run(const struct form *f, const struct job_layout *l, const char *dir, int stage,
                      int ranks, double *bytes, double *expected)
{
    static struct job j;
    struct err e = {0};
    bool ok = job_plan(&j, f, l, device_name);
    if (ok) ok = trainer_alloc(&j.t, &e) == 0;
    struct safetensors *s = ok ? safetensors_open(dir, &e) : NULL;
    ok = s && weights_load(&j.t.weights, s, optimizer_master(&j.t.optimizer), &e) == 0;
    if (!ok) printf("# %s\n", e.msg);
    *bytes = (double)j.t.weights.loaded;
    *expected = loads_formula(&j, &f->m, stage, ranks);
    ok = ok && loads_all(&j.t.weights);
    safetensors_close(s);
    job_close(&j);
    return ok;
}

#endif
