/* SPDX-License-Identifier: Apache-2.0 */
/* Generation, one document with a cache of keys and values. */
#include "model/model_impl.h"

static void upload_positions(struct stage *s, const struct pass *p)
{
    int32_t v[256];
    for (int64_t t = 0; t < p->T; t += 256) {
        int64_t c = p->T - t < 256 ? p->T - t : 256;
        for (int64_t i = 0; i < c; i++) v[i] = (int32_t)(p->past + t + i);
        s->w->device->ops->upload(s->w->device, (int32_t *)p->pos + t, v, (size_t)c * sizeof *v);
    }
}

void stage_extend(struct stage *s, const int32_t *ids, int64_t T, int64_t past)
{
    struct device *d = s->w->device;
    struct pass *p = &s->pass[0];
    const int32_t cu[2] = {0, (int32_t)T}, cu_k[2] = {0, (int32_t)(past + T)};
    const int32_t last = (int32_t)(T - 1);
    p->T = T;
    p->docs = 1;
    p->max_len = past + T;
    p->cached = true;
    p->past = past;
    d->ops->upload(d, p->ids, ids, (size_t)T * sizeof *ids);
    upload_positions(s, p);
    d->ops->upload(d, p->cu, cu, sizeof cu);
    d->ops->upload(d, s->cu_k, cu_k, sizeof cu_k);
    stage_forward(s, p);
    d->ops->upload(d, p->rows, &last, sizeof last);
    head_logits(s, p, p->rows, 1);
    op_argmax(
        d,
        &(struct op_argmax){
            .y = s->argmax, .logits = s->logits, .n = 1, .V = s->w->m.vocab, .dtype = s->w->accum});
}

int stage_next(struct stage *s, int32_t *id, struct err *e)
{
    return s->w->device->ops->download(s->w->device, id, s->argmax, sizeof *id, e);
}

int stage_logits(struct stage *s, float *out, struct err *e)
{
    return weights_get(s->w, s->logits, s->w->accum, 0, (size_t)s->w->m.vocab, out, e);
}
