/* SPDX-License-Identifier: Apache-2.0 */
/* Weights in and out: safetensors to the flat allocation, and elements of it back to the host. */
#include <stdio.h>
#include <string.h>

#include "model/net.h"

enum { FORGET = 1 << 20 }; /* elements after which the file's pages are given back */
enum { STAGE = 1 << 18 };  /* elements converted at a time; net.staging holds so many doubles */

/* Uploads count <= STAGE values as type t to element `at` of a flat allocation. */
static void put(struct net *n, void *flat, enum dtype t, size_t at, size_t count, const float *v)
{
    char *to = (char *)flat + at * dtype_size(t);
    const void *from = v;
    if (t == DT_BF16) {
        uint16_t *s = n->staging;
        for (size_t i = 0; i < count; i++) s[i] = bf16_from_f32(v[i]);
        from = s;
    } else if (t == DT_F64) {
        double *s = n->staging;
        for (size_t i = 0; i < count; i++) s[i] = (double)v[i];
        from = s;
    }
    n->device->ops->upload(n->device, to, from, count * dtype_size(t));
}

void net_put(struct net *n, void *flat, enum dtype t, size_t at, size_t count, const float *values)
{
    for (size_t i = 0; i < count; i += STAGE) {
        size_t c = count - i < STAGE ? count - i : STAGE;
        put(n, flat, t, at + i, c, values + i);
    }
}

void net_put_held(struct net *n, void *flat, enum dtype t, size_t at, size_t count,
                  const float *values)
{
    const size_t from = at < n->held ? n->held : at, end = at + count;
    const size_t to = end < n->past ? end : n->past;
    if (from < to) net_put(n, flat, t, from, to - from, values + (from - at));
}

void net_set(struct net *n, void *master, size_t at, size_t count, const float *values)
{
    net_put(n, n->weights, n->o.compute, at, count, values);
    if (master) net_put_held(n, master, n->real, at, count, values);
}

int net_get(struct net *n, const void *flat, enum dtype t, size_t at, size_t count, float *out,
            struct err *e)
{
    for (size_t i = 0; i < count; i += STAGE) {
        size_t c = count - i < STAGE ? count - i : STAGE;
        const char *from = (const char *)flat + (at + i) * dtype_size(t);
        if (n->device->ops->download(n->device, n->staging, from, c * dtype_size(t), e)) return -1;
        for (size_t j = 0; j < c; j++) {
            out[i + j] = t == DT_BF16  ? bf16_to_f32(((const uint16_t *)n->staging)[j])
                         : t == DT_F64 ? (float)((const double *)n->staging)[j]
                                       : ((const float *)n->staging)[j];
        }
    }
    return 0;
}

/* Tensors that transformers ignores too: the tied projection stored twice, and old rotary buffers.
 */
static bool ignored(const struct net *n, const char *name)
{
    const char *tail = strrchr(name, '.');
    return (n->m.tied && strcmp(name, "lm_head.weight") == 0) ||
           (tail && strcmp(tail, ".inv_freq") == 0);
}

static int check_extra(const struct net *n, const struct safetensors *s, struct err *e)
{
    size_t extra = 0;
    const struct hf_tensor *first = NULL;
    for (size_t i = 0; i < safetensors_count(s); i++) {
        const struct hf_tensor *t = safetensors_at(s, i);
        if (params_find(&n->params, t->name, strlen(t->name)) || ignored(n, t->name)) continue;
        if (!first) first = t;
        extra++;
    }
    if (!first) return 0;
    return err_set(e, ERR_DATA,
                   "%s: tensor %s does not belong to the model that config.json "
                   "describes (%zu such tensors)",
                   first->file, first->name, extra);
}

int net_load(struct net *n, const struct safetensors *s, void *master, struct err *e)
{
    float chunk[4096];
    for (size_t i = 0; i < n->params.count; i++) {
        const struct param *p = &n->params.p[i];
        const struct hf_tensor *t = safetensors_need(s, p->name, p->rank, p->shape, e);
        if (!t) return -1;
        for (size_t at = 0; at < p->n; at += 4096) {
            size_t c = p->n - at < 4096 ? p->n - at : 4096;
            if (at % FORGET == 0 && at)
                safetensors_forget(s, t, (at - FORGET) * hf_dtype_size(t->dtype),
                                   FORGET * hf_dtype_size(t->dtype));
            if (hf_to_f32(t->dtype, t->data + at * hf_dtype_size(t->dtype), c, chunk))
                return err_set(e, ERR_DATA, "%s: tensor %s: weights of type %s are not supported",
                               t->file, t->name, hf_dtype_name(t->dtype));
            net_set(n, p->trained ? master : NULL, p->offset + at, c, chunk);
        }
        safetensors_forget(s, t, 0, t->bytes);
    }
    return check_extra(n, s, e);
}
