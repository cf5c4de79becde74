/* SPDX-License-Identifier: Apache-2.0 */
/* The mean of tensors, computed piece by piece. */
#include <math.h>
#include <string.h>

#include "average.h"

enum { PIECE = 1 << 20 }; /* elements */

/* The memory of one pass, and the tensors of one name in all models. */
struct pass {
    const struct average *a;
    struct safetensors_writer *w;
    const struct hf_tensor **t; /* [a->n] */
    double *sum;                /* [PIECE] */
    float *x;                   /* [PIECE] */
};

/* Rounds to fp32 toward zero, and to an odd last bit if that is not exact, so that rounding to a
 * shorter type afterwards gives the same as rounding the fp64 value to it. */
static float round_to_odd(double v)
{
    const float f = (float)v;
    if ((double)f == v) return f;
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    if (fabs((double)f) > fabs(v)) bits--; /* the next one toward zero */
    bits |= 1;
    float odd;
    memcpy(&odd, &bits, sizeof odd);
    return odd;
}

static int add(struct pass *p, size_t model, uint64_t at, size_t n, struct err *e)
{
    const struct hf_tensor *t = p->t[model];
    const uint64_t size = dtype_size(t->dtype);
    dtype_to_f32(t->dtype, t->data + at * size, n, p->x);
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(p->x[i]))
            return err_set(e, ERR_DATA,
                           "%s: tensor %s: element %llu is not finite; there is no mean", t->file,
                           t->name, (unsigned long long)(at + i));
        p->sum[i] += (double)p->x[i];
    }
    safetensors_forget(p->a->models[model].tensors, t, at * size, n * size);
    return 0;
}

static int write_piece(struct pass *p, uint64_t at, size_t n, struct err *e)
{
    const enum dtype type = p->t[0]->dtype;
    memset(p->sum, 0, n * sizeof *p->sum);
    for (size_t m = 0; m < p->a->n; m++)
        if (add(p, m, at, n, e)) return -1;
    for (size_t i = 0; i < n; i++) {
        const double mean = p->sum[i] / (double)p->a->n;
        p->x[i] = type == DT_F32 ? (float)mean : round_to_odd(mean);
    }
    dtype_from_f32(type, p->x, n, p->x); /* in place: no element becomes wider */
    return safetensors_write(p->w, p->x, n * dtype_size(type), e);
}

/* Writes a tensor of a type that is not averaged: it must be the same everywhere. */
static int write_same(const struct pass *p, struct err *e)
{
    const struct hf_tensor *t = p->t[0];
    for (size_t m = 1; m < p->a->n; m++)
        if (memcmp(t->data, p->t[m]->data, (size_t)t->bytes) != 0)
            return err_set(e, ERR_DATA,
                           "tensor %s: differs between %s and %s, and its type %s has no mean here",
                           t->name, p->a->models[0].path, p->a->models[m].path,
                           hf_dtype_name(t->dtype));
    return safetensors_write(p->w, t->data, (size_t)t->bytes, e);
}

static int write_tensor(struct pass *p, size_t i, struct err *e)
{
    const struct hf_tensor *t = safetensors_at(p->a->models[0].tensors, i);
    for (size_t m = 0; m < p->a->n; m++)
        p->t[m] = safetensors_find(p->a->models[m].tensors, t->name);
    if (t->dtype != DT_F32 && t->dtype != DT_BF16) return write_same(p, e);
    for (uint64_t at = 0; at < t->count; at += PIECE) {
        const uint64_t left = t->count - at;
        if (write_piece(p, at, left < PIECE ? (size_t)left : PIECE, e)) return -1;
    }
    return 0;
}

int average_write(const struct average *a, struct safetensors_writer *w, struct err *e)
{
    struct pass p = {.a = a, .w = w};
    int rc = (p.t = mem_alloc(a->n, sizeof(struct hf_tensor *), e)) &&
                     (p.sum = mem_alloc(PIECE, sizeof *p.sum, e)) &&
                     (p.x = mem_alloc(PIECE, sizeof *p.x, e))
                 ? 0
                 : -1;
    const size_t n = safetensors_count(a->models[0].tensors);
    for (size_t i = 0; rc == 0 && i < n; i++) rc = write_tensor(&p, i, e);
    mem_free(p.t);
    mem_free(p.sum);
    mem_free(p.x);
    return rc;
}
