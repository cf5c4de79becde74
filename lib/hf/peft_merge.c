/* SPDX-License-Identifier: Apache-2.0 */
/* An adapter and its base: the check that they fit, and the sum of their weights. */
#include <string.h>

#include "hf/peft.h"

/* ---- checks against a base ---- */
static int wrong_shape(const struct hf_tensor *t, const struct hf_tensor *base, struct err *e)
{
    char have[200], want[200];
    hf_tensor_shape(t, have, sizeof have);
    hf_tensor_shape(base, want, sizeof want);
    return err_set(e, ERR_DATA, "%s: tensor %s has shape %s; the base model's %s has %s", t->file,
                   t->name, have, base->name, want);
}

static int check_fit(const struct peft_config *c, const struct peft_tensor *x,
                     const struct hf_tensor *base, struct err *e)
{
    const struct hf_tensor *t = x->t;
    const uint64_t rank = peft_rank(c, x->param); /* of one matrix, whatever its name */
    bool fits = base->ndim == 2;
    if (x->role == PEFT_A)
        fits = fits && t->dim[0] == rank && t->dim[1] == base->dim[1];
    else if (x->role == PEFT_B)
        fits = fits && t->dim[0] == base->dim[0] && t->dim[1] == rank;
    else
        fits = t->ndim == base->ndim &&
               memcmp(t->dim, base->dim, (size_t)t->ndim * sizeof *t->dim) == 0;
    return fits ? 0 : wrong_shape(t, base, e);
}

/* A tied model has one matrix, which peft saves under both names. */
static int check_tied(const struct peft *p, const char *embed, const char *head, struct err *e)
{
    const struct hf_tensor *in = peft_find(p, PEFT_SAVED, embed);
    const struct hf_tensor *out = peft_find(p, PEFT_SAVED, head);
    if (!in && !out) return 0;
    if (in && out ? in->bytes == out->bytes && memcmp(in->data, out->data, in->bytes) == 0
                  : in && p->config.tie)
        return 0;
    return err_set(e, ERR_DATA,
                   "%s: the base model's lm_head is its embed_tokens, and this adapter has another "
                   "for each; only one with ensure_weight_tying is supported",
                   p->dir);
}

int peft_check(struct peft *p, const struct safetensors *base, const struct hf_family *f,
               enum hf_names names, bool tied, struct err *e)
{
    p->family = f;
    p->names = names;
    char embed[HF_TENSOR_NAME], head[HF_TENSOR_NAME];
    hf_name_of_role(f, hf_module_names(names), HF_ROLE_EMBED, embed);
    hf_name_of_role(f, hf_module_names(names), HF_ROLE_HEAD, head);
    if (tied && check_tied(p, embed, head, e)) return -1;
    for (size_t i = 0; i < p->count; i++) {
        const struct peft_tensor *x = &p->list[i];
        const struct hf_tensor *t = hf_module_find(base, x->param);
        if (!t && x->role != PEFT_SAVED && peft_is_routed(x->param)) {
            if (peft_check_routed(p, x, base, e)) return -1;
            continue;
        }
        if (!t && tied && x->role == PEFT_SAVED && strcmp(x->param, head) == 0) continue;
        if (!t)
            return err_set(e, ERR_DATA, "%s: tensor %s: the base model has no %s", x->t->file,
                           x->t->name, x->param);
        if (check_fit(&p->config, x, t, e)) return -1;
    }
    return 0;
}

/* ---- the sum ---- */
/* Reads one row of a matrix as fp32. */
static void get_row(const struct hf_tensor *t, uint64_t row, float *to)
{
    const size_t n = (size_t)t->dim[1];
    dtype_to_f32(t->dtype, t->data + row * n * dtype_size(t->dtype), n, to);
}

/* w[rows, in] += scale * B[row .. row + rows, r] A[r, in], summed over r in order, in fp32. The
 * factors are those of one expert, if they are of several. */
static int add_product(const struct peft_factors *f, double scale, uint64_t row, uint64_t rows,
                       float *w, struct err *e)
{
    const size_t r = (size_t)(f->a->dim[0] / f->experts), n = (size_t)f->a->dim[1];
    const size_t width = (size_t)f->b->dim[1];
    float *all = mem_alloc(r * n + width + n, sizeof *all, e);
    if (!all) return -1;
    float *factor = all + r * n, *sum = factor + width;
    for (size_t k = 0; k < r; k++) get_row(f->a, f->expert * r + k, all + k * n);
    for (uint64_t i = 0; i < rows; i++) {
        get_row(f->b, f->row + row + i, factor);
        for (size_t j = 0; j < n; j++) sum[j] = 0;
        for (size_t k = 0; k < r; k++)
            for (size_t j = 0; j < n; j++)
                sum[j] += factor[k * f->experts + f->expert] * all[k * n + j];
        for (size_t j = 0; j < n; j++) w[i * n + j] += (float)scale * sum[j];
    }
    mem_free(all);
    return 0;
}

bool peft_changes(const struct peft *p, const char *param)
{
    return peft_factors_of(p, param, 0).a || peft_find(p, PEFT_SAVED, param);
}

int peft_apply(const struct peft *p, const struct hf_tensor *base, uint64_t row, uint64_t rows,
               float *w, struct err *e)
{
    const struct peft_factors f = peft_factors_of(p, base->name, base->dim[0]);
    const struct hf_tensor *whole = peft_find(p, PEFT_SAVED, base->name);
    if (f.a && f.b) return add_product(&f, peft_scale(&p->config), row, rows, w, e);
    if (!whole) return 0;
    const size_t n = base->ndim == 2 ? (size_t)base->dim[1] : 1;
    dtype_to_f32(whole->dtype, whole->data + row * n * dtype_size(whole->dtype), (size_t)rows * n,
                 w);
    return 0;
}
