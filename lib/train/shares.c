/* SPDX-License-Identifier: Apache-2.0 */
/* The partition of a model among ranks, and the sums over its parts. */
#include "train/shares.h"

#include "model/schedule.h"
#include "parallel/collect.h"

static int check(const struct model *m, const struct mesh *mesh, struct err *e)
{
    const int pp = mesh->size[MESH_PP], chunks = mesh->chunks;
    if (chunks > 1 && pp * chunks > m->layers)
        return err_set(e, ERR_CONFIG,
                       "pipeline_model_parallel_size %d times virtual_pipeline_model_parallel_size "
                       "%d is %d, more than the model's num_hidden_layers, which is %d; choose "
                       "smaller ones",
                       pp, chunks, pp * chunks, (int)m->layers);
    if (pp > m->layers)
        return err_set(e, ERR_CONFIG,
                       "pipeline_model_parallel_size %d is more than the model's "
                       "num_hidden_layers, which is %d; choose a smaller one",
                       pp, (int)m->layers);
    return 0;
}

/* Returns the passes of this stage: as many as the schedule has in flight, of at most `most`
 * micro-batches. Forward passes alone need two where results are sent, see pipeline.c. */
static int passes(const struct mesh *mesh, uint64_t most)
{
    const int stages = mesh->size[MESH_PP], chunks = mesh->chunks;
    const int n = schedule_passes(mesh->at[MESH_PP], stages, chunks);
    const uint64_t all = most * (uint64_t)chunks > 2 ? most * (uint64_t)chunks : 2;
    return most && all < (uint64_t)n ? (int)all : n;
}

int shares_options(const struct model *m, const struct mesh *mesh, uint64_t most,
                   struct weights_options *w, struct stage_options *s, struct err *e)
{
    if (check(m, mesh, e)) return -1;
    mesh_params(mesh, mesh->at, &w->params);
    w->tp = mesh_group(mesh, MESH_TP);
    s->cp = mesh_group(mesh, MESH_CP);
    s->ep = mesh_group(mesh, MESH_EP);
    s->passes = passes(mesh, most);
    return 0;
}

/* ---- memory ---- */
static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

void shares_plan(const struct mesh *mesh, const struct stage *s, const struct stage *answers,
                 size_t message, size_t norms, struct plan *plan)
{
    const struct stage *a = answers ? answers : s;
    const size_t bytes[MESH_GROUPS] = {
        [MESH_TP] = larger(stage_collective(s), stage_collective(a)),
        [MESH_CP] = stage_context(s),
        [MESH_EP] = larger(stage_experts(s), stage_experts(a)),
        [MESH_PP] = larger(message, stage_pipeline(a)),
        [MESH_MODEL] = norms * sizeof(double),
        [MESH_ENDS] = weights_tied(s->w) * dtype_size(s->w->accum),
    };
    mesh_plan(mesh, bytes, plan);
}

/* ---- sums ---- */
bool shares_has_sums(const struct mesh *mesh, const struct weights *w)
{
    return w->tp || (mesh_group(mesh, MESH_ENDS) && weights_tied(w) > 0);
}

void shares_gradients(const struct mesh *mesh, struct weights *w)
{
    if (!w->sum.parts) weights_sum_partial(w, 0, w->params.trained);
    weights_sum_tied(w, mesh_group(mesh, MESH_ENDS));
}

void shares_loss(const struct mesh *mesh, struct weights *w, double *loss)
{
    struct comm *pp = mesh_group(mesh, MESH_PP);
    collect_broadcast(w->device, pp, loss, sizeof *loss, mesh->size[MESH_PP] - 1);
    collect_join(w->device, pp);
}

void shares_norm(const struct mesh *mesh, struct weights *w, double *sums, size_t n)
{
    struct comm *all = mesh_group(mesh, MESH_MODEL);
    collect_sum(w->device, all, sums, n, DT_F64);
    collect_join(w->device, all);
}

bool shares_report(const struct mesh *mesh)
{
    return mesh->at[MESH_TP] == 0 && mesh->at[MESH_CP] == 0 && mesh->at[MESH_PP] == 0;
}
