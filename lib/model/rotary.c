/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of cos and sin, and factors of q. Row p of the weights' tables is the row of position p. If
 * documents have their own frequencies there are no tables: a micro-batch has a row for each of its
 * tokens. */
#include "model/model_impl.h"

enum { PART = 1 << 16 }; /* values per step; staging has space for four */

bool rotary_is_own(const struct weights *w) { return rope_is_own(&w->m, w->length); }

/* Returns the number of rows of the table. */
static int64_t rows_of(const struct weights *w) { return rotary_is_own(w) ? 0 : w->length; }

void rotary_plan(struct weights *w, struct plan *plan)
{
    const size_t count = (size_t)(rows_of(w) * model_pairs(&w->m)), size = dtype_size(w->accum);
    if (!count) return;
    plan_add(plan, PLAN_DATA, "cosines", -1, count, size, PLAN_ALWAYS, 0, &w->cosines);
    plan_add(plan, PLAN_DATA, "sines", -1, count, size, PLAN_ALWAYS, 0, &w->sines);
    if (rope_scales_q(&w->m, w->length))
        plan_add(plan, PLAN_DATA, "factors of q", -1, (size_t)w->length, size, PLAN_ALWAYS, 0,
                 &w->q_scale);
    if (!w->m.two_ropes) return;
    plan_add(plan, PLAN_DATA, "window cosines", -1, count, size, PLAN_ALWAYS, 0,
             &w->window.cosines);
    plan_add(plan, PLAN_DATA, "window sines", -1, count, size, PLAN_ALWAYS, 0, &w->window.sines);
}

static void fill_q_scale(struct weights *w, float *factors)
{
    for (int64_t p = 0, c; p < w->length; p += c) {
        c = w->length - p < PART ? w->length - p : PART;
        rope_q_scale(&w->m, p, c, factors);
        weights_put(w, w->q_scale, w->accum, (size_t)p, (size_t)c, factors);
    }
}

/* Fills the tables with the rows of the model m. */
static void fill_tables(struct weights *w, const struct model *m, void *to_cosines, void *to_sines)
{
    const int64_t pairs = model_pairs(&w->m), most = PART / pairs, rows = rows_of(w);
    float *cosines = (float *)((double *)w->staging + 2 * PART), *sines = cosines + PART;
    for (int64_t p = 0, c; p < rows; p += c) {
        c = rows - p < most ? rows - p : most;
        rope_table(m, 1, p, c, cosines, sines);
        weights_put(w, to_cosines, w->accum, (size_t)(p * pairs), (size_t)(c * pairs), cosines);
        weights_put(w, to_sines, w->accum, (size_t)(p * pairs), (size_t)(c * pairs), sines);
    }
    if (w->q_scale) fill_q_scale(w, cosines);
}

void weights_fill_rotary(struct weights *w)
{
    fill_tables(w, &w->m, w->cosines, w->sines);
    if (!w->m.two_ropes) return;
    struct model other = w->m;
    other.rope = other.window_rope;
    fill_tables(w, &other, w->window.cosines, w->window.sines);
}

void rotary_fill(const struct weights *w, const struct micro_batch *b, bool chunks,
                 const struct micro_batch_layout *k, void *block)
{
    const int64_t pairs = model_pairs(&w->m);
    float *cosines = (float *)(void *)((char *)block + k->cosines);
    float *sines = (float *)(void *)((char *)block + k->sines);
    int32_t *turn = (int32_t *)(void *)((char *)block + k->turn);
    for (int64_t t = 0; t < rows_all(w, b->T); t++) turn[t] = t < b->T ? (int32_t)t : 0;
    for (int32_t r = 0; r < (chunks ? 2 : 1) * b->docs; r++) {
        const int64_t at = b->cu[r], count = b->cu[r + 1] - at;
        int64_t n = chunks ? b->keys.cu[r / 2 + 1] - b->keys.cu[r / 2] : count;
        if (b->cached) n = w->length; /* to which the document grows */
        if (count == 0) continue;
        rope_table(&w->m, n, b->pos[at], count, cosines + at * pairs, sines + at * pairs);
    }
}
