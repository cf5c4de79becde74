/* SPDX-License-Identifier: Apache-2.0 */
/* The inputs of a pass. */
#include "model/model_impl.h"

void stage_upload(struct stage *s, struct pass *p, const struct micro_batch *b)
{
    struct device *d = s->w->device;
    void (*up)(struct device *, void *, const void *, size_t) = d->ops->upload;
    const size_t T = (size_t)b->T, targets = (size_t)b->targets, size = sizeof(int32_t);
    p->T = b->T;
    p->targets = b->targets;
    p->max_len = b->max_len;
    p->docs = b->docs;
    p->cached = false;
    up(d, p->ids, b->ids, T * size);
    up(d, p->pos, b->pos, T * size);
    if (p->sample && b->sample) up(d, p->sample, b->sample, T * size);
    up(d, p->cu, b->cu, ((size_t)b->docs + 1) * size);
    rotary_upload(s, p, b);
    up(d, p->rows, b->rows, targets * size);
    up(d, p->target, b->target, targets * size);
    if (s->w->accum == DT_F32) {
        up(d, p->weight, b->weight, targets * sizeof(float));
        return;
    }
    for (size_t i = 0; i < targets; i++) {
        double v = (double)b->weight[i];
        up(d, (double *)p->weight + i, &v, sizeof v);
    }
}
