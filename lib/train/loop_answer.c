/* SPDX-License-Identifier: Apache-2.0 */
/* The answers to the prompts of a run, in its loop. */
#include <math.h>

#include "base/log.h"
#include "train/loop_impl.h"

int loop_answer(struct loop *l, double val_loss, struct err *e)
{
    struct mesh *mesh = l->trainer->mesh;
    if (!l->hooks.answer || (l->validation && !isfinite(val_loss))) return 0;
    const double start = log_clock();
    if (mesh_agree(mesh, l->hooks.answer(l->hooks.arg, e), e)) return -1;
    eta_measure(&l->eta, ETA_ANSWER, log_clock() - start);
    eta_done(&l->eta, ETA_ANSWER);
    loop_tell_beside(l);
    return 0;
}
