/* SPDX-License-Identifier: Apache-2.0 */
/* Answers between steps: a second stage on the trainer's weights, forward only and with a cache. It
 * changes nothing that a step reads. */
#include "train/trainer_impl.h"

/* Takes the weights as they are, without their gradients. What has been gathered of them is
 * forgotten: both stages gather into the same memory. */
static void refresh(struct trainer *t)
{
    weights_changed(&t->weights);
    t->forward = t->weights;
    t->forward.has_gradients = false;
    t->forward.gradients = NULL;
    t->forward.sum = (struct weights_state){0};
}

static bool makes(const struct trainer *t) { return t->answers.w; }

bool trainer_answers_together(const struct mesh *m, int zero_stage)
{
    return mesh_cuts(m) || zero_stage == 3;
}

int answers_init(struct trainer *t, struct err *e)
{
    struct plan *plan = &t->memory.plan;
    struct stage_options o = t->o.answers;
    const size_t first = plan->count;
    if (!o.cache) return 0;
    if (!mesh_writes(t->mesh) && !trainer_answers_together(t->mesh, t->o.zero_stage)) return 0;
    o.ep = mesh_group(t->mesh, MESH_EP);
    o.pp = mesh_group(t->mesh, MESH_PP);
    refresh(t);
    if (stage_init(&t->answers, &t->forward, &o, plan, e)) return -1;
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
