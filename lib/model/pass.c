/* SPDX-License-Identifier: Apache-2.0 */
/* The inputs of a pass: one block, which the host fills and uploads without conversion. */
#include "model/model_impl.h"
#include "parallel/collect.h"

struct micro_batch_layout pass_layout(const struct stage *s)
{
    const struct weights *w = s->w;
    const int64_t pairs = rotary_is_own(w) ? model_pairs(&w->m) : 0;
    const bool order = s->embedding && w->has_gradients && weights_trained(w, w->params.embed);
    return micro_batch_layout(&(struct micro_batch_room){.tokens = s->o.tokens,
                                                         .pairs = pairs,
                                                         .order = order,
                                                         .all = s->o.all,
                                                         .docs = s->o.cache ? s->o.docs : 0,
                                                         .ranks = collect_size(s->o.cp)});
}

static void *at(void *block, size_t offset) { return (char *)block + offset; }

/* Sets the device's arrays. If the accumulation type is double, weights and rotary rows are cast
 * from the block's floats. */
static void bind_device(struct stage *s, struct pass *p, const struct micro_batch_layout *k)
{
    const struct weights *w = s->w;
    const bool own = rotary_is_own(w);
    p->ids = at(p->block, k->ids);
    p->pos = at(p->block, k->pos);
    p->sample = at(p->block, k->sample);
    p->cu = at(p->block, k->cu);
    p->rows = at(p->block, k->rows);
    p->target = at(p->block, k->target);
    p->order = at(p->block, k->order);
    p->starts = at(p->block, k->starts);
    p->key_cu = at(p->block, k->key_cu);
    p->key_end = at(p->block, k->key_end);
    p->key_row = at(p->block, k->key_row);
    p->key_token = at(p->block, k->key_token);
    p->turn = own ? at(p->block, k->turn) : p->pos;
    p->cosines = own ? at(p->block, k->cosines) : w->cosines;
    p->sines = own ? at(p->block, k->sines) : w->sines;
    p->weight = at(p->block, k->weight);
    if (w->accum != DT_F64) return;
    p->weight = p->wide.weight;
    if (!own) return;
    p->cosines = p->wide.cosines;
    p->sines = p->wide.sines;
}

void stage_bind(struct stage *s)
{
    const struct micro_batch_layout k = pass_layout(s);
    for (int i = 0; i < s->o.passes; i++) {
        struct pass *p = &s->pass[i];
        micro_batch_place(&p->b, &k, p->host);
        p->rstd_final = s->pass[0].rstd_final;
        p->h_final = s->pass[0].h_final;
        p->nll = s->pass[0].nll;
        bind_device(s, p, &k);
    }
}

/* Returns the event after the upload of a pass. Passes that share a slot wait for the later upload.
 */
static int mark_of(const struct stage *s, const struct pass *p)
{
    return MARK_PASSES + (int)(p - s->pass) % (DEVICE_MARKS - MARK_PASSES);
}

void stage_refill(struct stage *s, struct pass *p)
{
    s->w->device->ops->reached(s->w->device, mark_of(s, p));
}

static void widen(struct stage *s, void *to, const void *from, int64_t n)
{
    op_cast(s->w->device,
            &(struct op_cast){.y = to, .x = from, .n = n, .to = DT_F64, .from = DT_F32});
}

/* Gives the rows of no document a token, so that they have finite values. No gradient reaches
 * them. */
static void pad(const struct stage *s, struct micro_batch *b)
{
    for (int64_t t = b->T; t < rows_all(s->w, b->T); t++) b->ids[t] = b->pos[t] = b->sample[t] = 0;
}

void pass_upload(struct stage *s, struct pass *p)
{
    const struct micro_batch_layout k = pass_layout(s);
    const struct weights *w = s->w;
    const bool own = rotary_is_own(w);
    pad(s, &p->b);
    if (own) rotary_fill(w, &p->b, s->o.cp || p->b.cached, &k, p->host);
    w->device->ops->upload(w->device, p->block, p->host, k.bytes);
    w->device->ops->mark(w->device, mark_of(s, p));
    if (w->accum != DT_F64) return;
    widen(s, p->wide.weight, at(p->block, k.weight), p->b.targets);
    if (!own) return;
    widen(s, p->wide.cosines, at(p->block, k.cosines), p->b.T * model_pairs(&w->m));
    widen(s, p->wide.sines, at(p->block, k.sines), p->b.T * model_pairs(&w->m));
}

void stage_upload(struct stage *s, struct pass *p)
{
    p->b.cached = false;
    pass_upload(s, p);
}
