/* SPDX-License-Identifier: Apache-2.0 */
/* Tensor parallelism inside a pass, and the gradients of parameters that several ranks of a model
 * have. */
#include "model/model_impl.h"
#include "parallel/collect.h"

void parallel_sum(const struct weights *w, void *x, int64_t n, enum dtype t)
{
    collect_sum(w->device, w->tp, x, (size_t)n, t);
    collect_join(w->device, w->tp);
}

bool parallel_adds(const struct weights *w) { return collect_rank(w->tp) == 0; }

/* ---- the cut vocabulary ---- */
/* Returns true if the vocabulary is cut. */
static bool is_cut(const struct weights *w) { return collect_size(w->tp) > 1; }

bool norm_is_cut(const struct weights *w) { return is_cut(w) && w->m.qk_norm == HF_QK_NORM_ROW; }

/* Numbers per row that op_xent_part computes; alignment of tensors in elements. */
enum { PART = 3, ALIGN = 64 };

static size_t parts_count(const struct stage *s, int64_t rows)
{
    return (size_t)(collect_size(s->w->tp) * rows * PART);
}

void parallel_plan(struct stage *s, struct plan *plan, int time)
{
    if (!is_cut(s->w)) return;
    plan_add(plan, PLAN_WORKSPACE, "softmax parts", -1, parts_count(s, s->o.chunk),
             dtype_size(s->w->accum), time, time, &s->parts);
}

void parallel_parts(struct stage *s, const int32_t *target, int64_t c)
{
    const struct weights *w = s->w;
    const size_t each = (size_t)(c * PART);
    if (!is_cut(w)) return;
    void *own = (char *)s->parts + (size_t)collect_rank(w->tp) * each * dtype_size(w->accum);
    op_xent_part(w->device, &(struct op_xent_part){.part = own,
                                                   .logits = s->logits,
                                                   .target = target,
                                                   .n = c,
                                                   .V = w->m.vocab,
                                                   .first = w->m.vocab_first,
                                                   .cap = w->m.logit_cap,
                                                   .dtype = w->accum,
                                                   .logits_dtype = s->logit_type});
    collect_all_gather(w->device, w->tp, s->parts, own, each, w->accum);
    collect_join(w->device, w->tp);
}

/* ---- gradients ---- */
static bool is_partial(const struct param *p) { return p->shard == SHARD_PARTIAL && p->trained; }

/* Returns true if p follows the elements that end there, with at most alignment between them. */
static bool follows(const struct param *p, size_t bucket, size_t end)
{
    return p->bucket == bucket && p->offset >= end && p->offset - end < ALIGN;
}

/* Finds the next elements [*at, *end) with partial gradients, from parameter *i on. */
static bool next_partial(const struct params *t, size_t *i, size_t *at, size_t *end)
{
    while (*i < t->count && !is_partial(&t->p[*i])) ++*i;
    if (*i == t->count) return false;
    const size_t bucket = t->p[*i].bucket;
    *at = *end = t->p[*i].offset;
    for (; *i < t->count && is_partial(&t->p[*i]) && follows(&t->p[*i], bucket, *end); ++*i)
        *end = t->p[*i].offset + t->p[*i].n;
    return true;
}

void weights_sum_partial(struct weights *w, size_t from, size_t to)
{
    size_t i = 0, at, end;
    if (!is_cut(w)) return;
    while (next_partial(&w->params, &i, &at, &end))
        if (at >= from && at < to)
            collect_sum(w->device, w->tp, weights_gradient(w, at), end - at, w->gradient);
    collect_join(w->device, w->tp);
}

size_t weights_tied(const struct weights *w)
{
    const bool has = w->m.tied && (w->params.has_embedding || w->params.has_head);
    return has && weights_trained(w, w->params.embed) ? (size_t)(w->m.vocab * w->m.hidden) : 0;
}

/* Where ranks have parts both stages have the same one, for the bucket is the same. */
void weights_sum_tied(struct weights *w, struct comm *ends)
{
    const size_t embed = w->params.embed;
    size_t from = embed, to = embed + weights_tied(w);
    if (from == to) return;
    if (w->sum.parts) {
        const struct params_part own = weights_summed(w, 0);
        params_clip(&from, &to, own.begin, own.end);
    }
    if (from < to)
        collect_sum(w->device, ends, weights_own_gradient(w, 0, from), to - from, w->gradient);
    collect_join(w->device, ends);
}

/* Returns true in a last stage with a tied matrix that the first stage counts. */
static bool has_copy(const struct weights *w)
{
    return w->m.tied && w->params.has_head && !w->params.has_embedding;
}

static bool counts(const struct weights *w, const struct param *p)
{
    const bool copy = has_copy(w) && p->offset == w->params.embed;
    return (parallel_adds(w) || shard_is_cut(p->shard)) && !copy;
}

bool weights_counted(const struct weights *w, size_t at, size_t *end)
{
    const struct params *t = &w->params;
    if (parallel_adds(w) && !has_copy(w)) return true;
    for (size_t i = 0; i < t->count; i++) {
        const struct param *p = &t->p[i];
        if (at < p->offset || at >= p->offset + p->n) continue;
        if (*end > p->offset + p->n) *end = p->offset + p->n;
        return counts(w, p);
    }
    *end = at + 1; /* alignment between tensors contains zeros */
    return false;
}

/* ---- memory ---- */
size_t stage_collective(const struct stage *s)
{
    const struct weights *w = s->w;
    size_t most = (size_t)(s->o.tokens * w->m.hidden), i = 0, at, end;
    if (!is_cut(w)) return 0;
    if (parts_count(s, s->o.chunk) > most) most = parts_count(s, s->o.chunk);
    if (norm_is_cut(w) && 2 * (size_t)s->o.tokens > most) most = 2 * (size_t)s->o.tokens;
    if (s->o.cache && (size_t)(collect_size(w->tp) * w->most_vocab) > most)
        most = (size_t)(collect_size(w->tp) * w->most_vocab);
    while (next_partial(&w->params, &i, &at, &end))
        if (end - at > most) most = end - at;
    return most * dtype_size(w->accum);
}
