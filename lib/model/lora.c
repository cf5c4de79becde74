/* SPDX-License-Identifier: Apache-2.0 */
/* The initial values of adapters, and the values from a PEFT folder. */
#include "model/lora.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/rng.h"
#include "model/weights.h"

bool lora_is_permuted(const struct param *p) { return p->experts > 0 && p->rank == 3; }

uint64_t lora_file_element(const struct param *p, uint64_t i)
{
    const uint64_t experts = p->whole[0], out = p->whole[1], r = p->whole[2];
    const uint64_t expert = i / (out * r), row = i / r % out, k = i % r;
    return (row * r + k) * experts + expert;
}

static bool is_a(const struct param *p) { return strstr(p->name, ".lora_A.") != NULL; }

int lora_start(struct weights *w, uint64_t seed, const struct weights_state *master, struct err *e)
{
    for (size_t i = 0; i < w->params.count; i++) {
        const struct param *p = &w->params.p[i];
        if (!p->adapter) continue;
        float *v = mem_alloc(p->n, sizeof *v, e);
        if (!v) return -1;
        const double bound = is_a(p) ? 1 / sqrt((double)p->whole[1]) : 0;
        const uint64_t stream = hash64(p->name, strlen(p->name), 0);
        for (struct param_run r = {0}; param_next(p, SIZE_MAX, &r);)
            for (size_t j = 0; j < r.n; j++)
                v[r.at + j] =
                    (float)(bound * (2 * rng_uniform(seed, RNG_INIT, stream, r.whole + j) - 1));
        weights_set(w, master, p, 0, p->n, v);
        mem_free(v);
    }
    return 0;
}

static bool peft_has(void *arg, const char *module)
{
    char param[PEFT_MAX_NAME];
    snprintf(param, sizeof param, "%s.weight", module);
    return peft_find(arg, PEFT_A, param) != NULL;
}

struct lora_options lora_of_peft(const struct peft *p)
{
    return (struct lora_options){.rank = p->config.rank,
                                 .scale = peft_scale(&p->config),
                                 .single = !p->config.twice,
                                 .target = peft_has,
                                 .arg = (void *)(uintptr_t)p};
}

/* Reads elements of an adapter's tensor, whose file has those of B of experts in another order. */
static int load_run(const struct param *p, const struct hf_tensor *t, const struct param_run *r,
                    float *v)
{
    const size_t size = dtype_size(t->dtype);
    if (!lora_is_permuted(p)) return dtype_to_f32(t->dtype, t->data + r->whole * size, r->n, v);
    int rc = 0;
    for (size_t i = 0; i < r->n && rc == 0; i++)
        rc = dtype_to_f32(t->dtype, t->data + lora_file_element(p, r->whole + i) * size, 1, v + i);
    return rc;
}

static int load_one(struct weights *w, const struct param *p, const struct hf_tensor *t,
                    const struct weights_state *master, struct err *e)
{
    float *v = mem_alloc(p->n, sizeof *v, e);
    if (!v) return -1;
    int rc = t->count == param_whole(p) ? 0 : -1;
    for (struct param_run r = {0}; rc == 0 && param_next(p, SIZE_MAX, &r);)
        rc = load_run(p, t, &r, v + r.at);
    if (rc)
        err_set(e, ERR_DATA, "%s: tensor %s has another size or type than the run's", t->file,
                t->name);
    else
        weights_set(w, master, p, 0, p->n, v);
    mem_free(v);
    return rc;
}

/* Returns the adapter's tensor for a parameter of the weights, or NULL if it has none. */
static const struct hf_tensor *tensor_of(const struct peft *p, const struct param *x)
{
    char full[2 * PEFT_MAX_NAME], base[PEFT_MAX_NAME];
    enum peft_role role;
    peft_tensor_name(PEFT_SAVED, x->name, full, sizeof full);
    return peft_tensor_role(full, &role, base) == 0 ? peft_find(p, role, base) : NULL;
}

/* Checks t, the adapter's tensor for x, or NULL if it has none. A training run trains exactly the
 * tensors of its adapter; otherwise its next checkpoint would differ from the model that it
 * computes. An evaluation takes missing tensors from the base model. */
static int check_part(const struct weights *w, const struct peft *p, const struct param *x,
                      const struct hf_tensor *t, struct err *e)
{
    const bool runs = w->has_gradients;
    if (t && !x->trained)
        return err_set(e, ERR_DATA,
                       "%s: the adapter has %s, which this run does not train; leave "
                       "additional_target as it was",
                       p->dir, x->name);
    if (!t && (x->adapter || (runs && x->trained)))
        return err_set(e, ERR_DATA,
                       "%s: the adapter has no %s, which this run trains; leave lora_target and "
                       "additional_target as they were",
                       p->dir, x->name);
    return 0;
}

/* Checks that the adapter has matrices for exactly the layers that all ranks of the model adapt.
 * The matrices of this rank's layers are already found. */
static int check_layers(const struct weights *w, const struct peft *p, struct err *e)
{
    struct params all;
    size_t n = 0;
    if (weights_table(w, &all, e)) return -1;
    for (size_t i = 0; i < all.count; i++) n += all.p[i].adapter;
    for (size_t i = 0; i < p->count; i++) n -= p->list[i].role != PEFT_SAVED;
    params_free(&all);
    if (n == 0) return 0;
    return err_set(e, ERR_DATA,
                   "%s: the adapter has matrices for layers that this run does "
                   "not adapt; leave lora_target as it was",
                   p->dir);
}

int lora_load(struct weights *w, const struct peft *p, const struct weights_state *master,
              struct err *e)
{
    for (size_t i = 0; i < w->params.count; i++) {
        const struct param *x = &w->params.p[i];
        const struct hf_tensor *t = tensor_of(p, x);
        if (check_part(w, p, x, t, e)) return -1;
        if (t && load_one(w, x, t, master, e)) return -1;
    }
    return check_layers(w, p, e);
}
