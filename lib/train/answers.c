/* SPDX-License-Identifier: Apache-2.0 */
/* Answers between steps: a second stage on the trainer's weights, forward only and with a cache. It
 * changes nothing that a step reads. */
#include "train/trainer_impl.h"

/* Takes the weights as they are, without their gradients. */
static void refresh(struct trainer *t)
{
    t->forward = t->weights;
    t->forward.has_gradients = false;
    t->forward.gradients = NULL;
    t->forward.sum = (struct weights_state){0};
}

static bool makes(const struct trainer *t) { return t->answers.w; }

static bool has_all(const struct trainer *t) { return !mesh_cuts(t->mesh) && t->o.zero_stage < 3; }

int answers_init(struct trainer *t, struct err *e)
{
    struct plan *plan = &t->memory.plan;
    const size_t first = plan->count;
    if (!t->o.answers.cache) return 0;
    if (!has_all(t))
        return err_set(e, ERR_CONFIG,
                       "answers need a rank that has the whole model; this layout "
                       "has none");
    if (!mesh_writes(t->mesh)) return 0;
    refresh(t);
    if (stage_init(&t->answers, &t->forward, &t->o.answers, plan, e)) return -1;
    plan_behind(plan, first);
    return 0;
}

void answers_bind(struct trainer *t)
{
    if (!makes(t)) return;
    refresh(t);
    stage_bind(&t->answers);
}

void answers_rehearse(struct trainer *t)
{
    if (!makes(t)) return;
    refresh(t);
    stage_rehearse(&t->answers);
}

struct stage *trainer_answers(struct trainer *t)
{
    refresh(t);
    return &t->answers;
}
