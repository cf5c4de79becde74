/* SPDX-License-Identifier: Apache-2.0 */
/* Generation of one document with a cache of keys and values. */
#include <math.h>

#include "model/model_impl.h"

static void next_token(struct stage *s, struct pass *p)
{
    stage_forward(s, p);
    head_logits(s, p, p->rows, 1);
    op_argmax(s->w->device, &(struct op_argmax){.y = s->argmax,
                                                .logits = s->logits,
                                                .n = 1,
                                                .V = s->w->m.vocab,
                                                .dtype = s->logit_type});
}

static void resize(struct micro_batch *b, int64_t T, int64_t past)
{
    b->T = T;
    b->targets = b->docs = 1;
    b->max_len = past + T;
    b->cached = true;
    b->past = past;
}

void stage_extend(struct stage *s, const int32_t *ids, int64_t T, int64_t past)
{
    struct pass *p = &s->pass[0];
    struct micro_batch *b = &p->b;
    int32_t *keys = (int32_t *)(void *)((char *)p->host + pass_layout(s).keys);
    stage_refill(s, p);
    resize(b, T, past);
    for (int64_t t = 0; t < T; t++) {
        b->ids[t] = ids[t];
        b->pos[t] = (int32_t)(past + t);
    }
    b->cu[0] = keys[0] = 0;
    b->cu[1] = (int32_t)T;
    keys[1] = (int32_t)(past + T);
    b->rows[0] = (int32_t)(T - 1);
    pass_upload(s, p);
    next_token(s, p);
}

void generate_rehearse(struct stage *s, int64_t T)
{
    resize(&s->pass[0].b, T, s->w->length - T);
    next_token(s, &s->pass[0]);
}

int stage_next(struct stage *s, int32_t *id, struct err *e)
{
    return s->w->device->ops->download(s->w->device, id, s->argmax, sizeof *id, e);
}

int stage_logits(struct stage *s, float *out, struct err *e)
{
    const struct model *m = &s->w->m;
    if (weights_get(s->w, s->logits, s->logit_type, 0, (size_t)m->vocab, out, e)) return -1;
    for (int64_t i = 0; i < m->vocab && m->logit_cap > 0; i++)
        out[i] = (float)(m->logit_cap * tanh((double)out[i] / m->logit_cap));
    return 0;
}
