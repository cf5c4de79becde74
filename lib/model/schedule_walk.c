/* SPDX-License-Identifier: Apache-2.0 */
/* The order of all actions and messages of a pipeline: rounds, in each of which every stage runs
 * its next action if what that needs is there. */
#include "model/schedule.h"

static int stages_of(const struct schedule_walk *w) { return w->stages > 1 ? w->stages : 1; }
static int chunks_of(const struct schedule_walk *w) { return w->chunks > 1 ? w->chunks : 1; }

/* Returns the number of an action among those of its kind in the order of a stage. */
static int number(const struct schedule_walk *w, const struct action *a)
{
    const int stages = stages_of(w), chunks = chunks_of(w);
    const int chunk = a->kind == FORWARD ? a->chunk : chunks - 1 - a->chunk;
    return (a->micro_batch / stages * chunks + chunk) * stages + a->micro_batch % stages;
}

/* Returns true if an action needs no result of another one of its kind: it has the first layer, or,
 * backward, the last. */
static bool is_first(const struct schedule_walk *w, int stage, const struct action *a)
{
    if (a->kind == FORWARD) return stage == 0 && a->chunk == 0;
    return stage + 1 == stages_of(w) && a->chunk + 1 == chunks_of(w);
}

/* Returns true if no other action needs the result of this one. */
static bool is_last(const struct schedule_walk *w, int stage, const struct action *a)
{
    return is_first(w, stage,
                    &(struct action){a->kind == FORWARD ? BACKWARD : FORWARD, a->chunk, 0});
}

/* Returns true if the action whose result the next action of a stage needs is done. */
static bool can_run(const struct schedule_walk *w, const struct schedule_place *place, int stage)
{
    const int stages = stages_of(w);
    struct action from = place[stage].next;
    if (is_first(w, stage, &from)) return true;
    int giver = from.kind == FORWARD ? stage - 1 : stage + 1;
    if (giver < 0 || giver == stages) {
        giver = giver < 0 ? stages - 1 : 0;
        from.chunk += from.kind == FORWARD ? -1 : 1;
    }
    return number(w, &from) < place[giver].done[from.kind];
}

static void advance(const struct schedule_walk *w, struct schedule_place *p, int stage)
{
    const struct schedule s = {stage, w->stages, w->chunks, w->micro_batches, w->forward_only};
    p->more = schedule_next(&s, &p->at, &p->next);
}

/* Calls `exchange` for stage a and the one after it. A gradient is sent as soon as it is there: the
 * memory that receives it has no other use. The residual stream is sent as late as it can be, since
 * its receiver takes memory for it. */
static void exchange(const struct schedule_walk *w, const struct schedule_place *place, int a)
{
    const int b = (a + 1) % stages_of(w);
    const struct schedule_place *p = &place[b];
    const bool forward = p->runs && p->next.kind == FORWARD && !is_first(w, b, &p->next);
    const bool backward = p->ran && p->last.kind == BACKWARD && !is_last(w, b, &p->last);
    if (forward || backward)
        w->exchange(w->arg, a, b, forward ? &p->next : NULL, backward ? &p->last : NULL);
}

/* Every other pair of stages first, so that few pairs wait for another one. */
static void exchange_all(const struct schedule_walk *w, const struct schedule_place *place)
{
    for (int odd = 0; odd < 2; odd++)
        for (int a = odd; a < stages_of(w); a += 2) exchange(w, place, a);
}

static void run(const struct schedule_walk *w, struct schedule_place *p, int stage)
{
    p->ran = p->runs;
    if (!p->ran) return;
    p->last = p->next;
    w->act(w->arg, stage, &p->last);
    p->done[p->last.kind] = number(w, &p->last) + 1;
    advance(w, p, stage);
}

bool schedule_walk(const struct schedule_walk *w, struct schedule_place *place)
{
    const int stages = stages_of(w);
    bool runs = true, more = false;
    for (int i = 0; i < stages; i++) {
        place[i] = (struct schedule_place){0};
        advance(w, &place[i], i);
    }
    while (runs) {
        runs = false;
        for (int i = 0; i < stages; i++) {
            place[i].runs = place[i].more && can_run(w, place, i);
            runs |= place[i].runs;
        }
        if (stages > 1) exchange_all(w, place);
        for (int i = 0; i < stages; i++) run(w, &place[i], i);
    }
    for (int i = 0; i < stages; i++) more |= place[i].more;
    return !more;
}
