/* SPDX-License-Identifier: Apache-2.0 */
/* Transfer of weights: from safetensors to the flat allocation, and from it to the host. */
#include <stdio.h>
#include <string.h>

#include "base/io.h"
#include "model/kept.h"
#include "model/model_impl.h"

/* Uploads values as type t to the elements from `at` on of a flat allocation; count <= STAGING. */
static void put(struct weights *w, void *flat, enum dtype t, size_t at, size_t count,
                const float *v)
{
    char *to = (char *)flat + at * dtype_size(t);
    const void *from = v;
    if (t == DT_BF16) {
        uint16_t *s = w->staging;
        for (size_t i = 0; i < count; i++) s[i] = bf16_from_f32(v[i]);
        from = s;
    } else if (t == DT_F64) {
        double *s = w->staging;
        for (size_t i = 0; i < count; i++) s[i] = (double)v[i];
        from = s;
    }
    device_upload(w->device, to, from, count * dtype_size(t));
}

void weights_put(struct weights *w, void *flat, enum dtype t, size_t at, size_t count,
                 const float *values)
{
    for (size_t i = 0; i < count; i += STAGING) {
        size_t c = count - i < STAGING ? count - i : STAGING;
        put(w, flat, t, at + i, c, values + i);
    }
}

/* Clips elements [*from, *to) of the allocation of weights, in one bucket, to the elements whose
 * state this rank has; returns the address of the state of the first. */
static void *state_at(const struct weights *w, const struct weights_state *s, size_t bucket,
                      size_t *from, size_t *to)
{
    const struct params_part part = params_part(&w->params, bucket, s->parts, s->at);
    params_clip(from, to, part.begin, part.end);
    return (char *)s->flat + (part.state + *from - part.begin) * dtype_size(s->type);
}

void weights_put_state(struct weights *w, const struct weights_state *s, const struct param *p,
                       size_t at, size_t count, const float *values)
{
    size_t from = p->offset + at, to = from + count;
    void *state = state_at(w, s, p->bucket, &from, &to);
    if (from < to) weights_put(w, state, s->type, 0, to - from, values + (from - p->offset - at));
}

void weights_set(struct weights *w, const struct weights_state *master, const struct param *p,
                 size_t at, size_t count, const float *values)
{
    if (w->own.parts)
        weights_put_state(w, &w->own, p, at, count, values);
    else
        weights_put(w, w->values, w->compute, p->offset + at, count, values);
    if (master && p->trained) weights_put_state(w, master, p, at, count, values);
}

int weights_get(struct weights *w, const void *flat, enum dtype t, size_t at, size_t count,
                float *out, struct err *e)
{
    for (size_t i = 0; i < count; i += STAGING) {
        size_t c = count - i < STAGING ? count - i : STAGING;
        const char *from = (const char *)flat + (at + i) * dtype_size(t);
        if (w->device->ops->download(w->device, w->staging, from, c * dtype_size(t), e)) return -1;
        for (size_t j = 0; j < c; j++) {
            out[i + j] = t == DT_BF16  ? bf16_to_f32(((const uint16_t *)w->staging)[j])
                         : t == DT_F64 ? (float)((const double *)w->staging)[j]
                                       : ((const float *)w->staging)[j];
        }
    }
    return 0;
}

/* Fails if two tied matrices differ in the file: transformers does not tie them then, even if
 * config.json says that they are tied. */
static int check_tied(const struct weights *w, const struct safetensors *s, struct err *e)
{
    char embed[HF_TENSOR_NAME], head[HF_TENSOR_NAME];
    const struct hf_tensor *in =
        safetensors_find(s, hf_name_of_role(w->m.family, w->m.names, HF_ROLE_EMBED, embed));
    const struct hf_tensor *out =
        safetensors_find(s, hf_name_of_role(w->m.family, w->m.names, HF_ROLE_HEAD, head));
    if (!w->m.tied || !in || !out || safetensors_same(s, in, out)) return 0;
    return err_set(
        e, ERR_DATA,
        "%s: tensor %s is not %s, which config.json's tie_word_embeddings says it is; set that to "
        "false to have both",
        out->file, out->name, embed);
}

static int check_extra(const struct weights *w, const struct safetensors *s, struct err *e)
{
    struct kept k;
    const int rc = kept_find(w, s, &k, e);
    kept_free(&k);
    return rc;
}

/* Returns the tensor of a parameter, or NULL if it is missing or of another shape. */
static const struct hf_tensor *need(const struct weights *w, const struct safetensors *s,
                                    const struct param *p, struct err *e)
{
    char name[HF_TENSOR_NAME];
    hf_file_name(w->m.names, p->name, name, sizeof name);
    return safetensors_need(s, name, p->rank, p->whole, e);
}

static int unsupported(const struct hf_tensor *t, struct err *e)
{
    return err_set(e, ERR_DATA,
                   "%s: tensor %s: weights of type %s are not supported; bf16, fp16 and fp32 are",
                   t->file, t->name, hf_dtype_name(t->dtype));
}

static int check_tensors(const struct weights *w, const struct params *all,
                         const struct safetensors *s, struct err *e)
{
    float none;
    for (size_t i = 0; i < all->count; i++) {
        const struct param *p = &all->p[i];
        if (p->adapter) continue;
        const struct hf_tensor *t = need(w, s, p, e);
        if (!t) return -1;
        if (dtype_to_f32(t->dtype, t->data, 0, &none)) return unsupported(t, e);
    }
    return 0;
}

int weights_check(const struct weights *w, const struct safetensors *s, struct err *e)
{
    struct params made;
    const struct params *all = weights_whole(w, &made, e);
    int rc = all ? check_tensors(w, all, s, e) : -1;
    params_free(&made);
    return rc ? -1 : check_extra(w, s, e);
}

/* Loads a run of at most STAGING elements in the file's type, with a conversion through fp32. */
static int load_converted(struct weights *w, const struct param *p, const struct hf_tensor *t,
                          const struct weights_state *master, const struct param_run *r)
{
    float chunk[4096];
    const size_t size = dtype_size(t->dtype);
    for (size_t i = 0, c; i < r->n; i += c) {
        c = r->n - i < 4096 ? r->n - i : 4096;
        if (dtype_to_f32(t->dtype, t->data + (r->whole + i) * size, c, chunk)) return -1;
        weights_set(w, master, p, r->at + i, c, chunk);
    }
    return 0;
}

/* Loads a run if the file has the compute type, bf16. Only the master weights are converted, and
 * that conversion is exact. */
static void load_same(struct weights *w, const struct param *p, const struct hf_tensor *t,
                      const struct weights_state *master, const struct param_run *r)
{
    struct device *d = w->device;
    const size_t size = dtype_size(w->compute);
    size_t from = p->offset + r->at, to = from + r->n;
    device_upload(d, weights_own_value(w, p->bucket, from), t->data + r->whole * size, r->n * size);
    if (!master || !p->trained) return;
    void *state = state_at(w, master, p->bucket, &from, &to);
    if (from < to)
        op_cast(d, &(struct op_cast){.y = state,
                                     .x = weights_own_value(w, p->bucket, from),
                                     .n = (int64_t)(to - from),
                                     .to = master->type,
                                     .from = w->compute});
}

bool weights_clip(const struct weights *w, const struct weights_state *s, const struct param *p,
                  struct param_run *r)
{
    const size_t first = p->offset + r->at;
    size_t from = first, to = first + r->n;
    if (s && s->parts) state_at(w, s, p->bucket, &from, &to);
    *r = (struct param_run){
        .at = from - p->offset, .n = to - from, .whole = r->whole + from - first};
    return from < to;
}

/* Loads the elements of a tensor that this rank has. */
static int load_tensor(struct weights *w, const struct param *p, const struct hf_tensor *t,
                       const struct safetensors *s, const struct weights_state *master,
                       struct err *e)
{
    const size_t size = dtype_size(t->dtype);
    const bool same = t->dtype == DT_BF16 && w->compute == DT_BF16 && w->accum == DT_F32;
    for (struct param_run r = {0}; param_next(p, STAGING, &r);) {
        struct param_run own = r;
        if (weights_clip(w, &w->own, p, &own)) {
            w->loaded += own.n * size;
            if (same)
                load_same(w, p, t, master, &own);
            else if (load_converted(w, p, t, master, &own))
                return unsupported(t, e);
        }
        if (r.n == STAGING) safetensors_forget(s, t, r.whole * size, r.n * size);
    }
    return 0;
}

int weights_load(struct weights *w, const struct safetensors *s, const struct weights_state *master,
                 struct err *e)
{
    for (size_t i = 0; i < w->params.count; i++) {
        const struct param *p = &w->params.p[i];
        if (p->adapter) continue;
        const struct hf_tensor *t = need(w, s, p, e);
        if (!t || load_tensor(w, p, t, s, master, e)) return -1;
        safetensors_forget(s, t, 0, t->bytes);
    }
    return io_intact(e) || check_tied(w, s, e) ? -1 : check_extra(w, s, e);
}
