/* SPDX-License-Identifier: Apache-2.0 */
/* The memory of a trainer: planned, allocated, filled and released. */
#include "base/mem.h"
#include "train/shares.h"
#include "train/trainer_impl.h"

static void rehearse(void *arg)
{
    struct trainer *t = arg;
    stage_rehearse(&t->stage);
    answers_rehearse(t);
    norm_sum(&t->optimizer.norm);
    optimizer_update(&t->optimizer, 0, 1);
}

static int plan_staging(struct trainer *t, struct err *e)
{
    struct save_part part[OPTIMIZER_PARTS];
    const int n = optimizer_parts(&t->optimizer, part);
    if (layout_make(&t->layout, &t->weights, t->mesh, t->optimizer.zero.parts, part, n,
                    t->o.saved_dtype, e))
        return -1;
    t->staging_bytes = saver_staging(&t->layout.list, mesh_writes(t->mesh) ? t->o.staging : 0);
    if (t->staging_bytes)
        plan_add_host(&t->memory.plan, PLAN_STAGING, "checkpoint staging", t->staging_bytes,
                      &t->staging);
    return 0;
}

static void plan_reserve(struct trainer *t)
{
    const bool writes = mesh_writes(t->mesh), saves = t->o.staging && writes;
    const size_t reading = feed_rooms_reading(&t->o.rooms, (uint64_t)t->o.length);
    t->reserve_room =
        reading + (saves ? saver_reserve(&t->layout.list) : 0) + (writes ? t->o.answering : 0);
    plan_add_host(&t->memory.plan, PLAN_RESERVE, "reserve", mem_reserve(t->reserve_room),
                  &t->reserve);
}

const struct params *trainer_params(const struct trainer *t)
{
    return t->whole.count ? &t->whole : &t->weights.params;
}

int trainer_init(struct trainer *t, const struct model *m, const struct trainer_options *o,
                 struct mesh *mesh, struct device *d, struct err *e)
{
    *t = (struct trainer){.o = *o, .mesh = mesh, .batch = {.capacity = o->tokens}};
    t->batch.ranks = mesh->size[MESH_CP];
    t->batch.at = mesh->at[MESH_CP];
    struct weights_options w = {.compute = o->compute,
                                .gradients = true,
                                .gradient = o->gradient,
                                .length = o->length,
                                .parts = zero_parts(mesh, o->zero_stage, o->ranks_first),
                                .params = {.frozen = o->params.frozen,
                                           .arg = o->params.arg,
                                           .lora = o->params.lora,
                                           .sequence = o->shard_rows,
                                           .multiple = ZERO_ALIGN * (size_t)mesh_replicas(mesh)}};
    struct stage_options s = {.recompute = o->recompute,
                              .tokens = batch_tokens(&t->batch),
                              .all = o->tokens,
                              .logits = o->logits};
    struct plan *plan = &t->memory.plan;
    if (shares_options(m, mesh, o->rooms.training.rows, &w, &s, e) ||
        weights_init(&t->weights, m, &w, d, plan, e) ||
        stage_init(&t->stage, &t->weights, &s, plan, e) || answers_init(t, e) ||
        (mesh_cuts(mesh) && weights_table(&t->weights, &t->whole, e)))
        return -1;
    if (trainer_params(t)->trained == 0)
        return err_set(e, ERR_CONFIG, "every parameter is frozen: there is nothing to train");
    guard_init(&t->guard, &o->guard);
    if (balance_init(&t->balance, &t->weights.whole, mesh->size[MESH_DP], e)) return -1;
    optimizer_plan(&t->optimizer, &o->optimizer, &t->weights, plan, mesh, o->zero_stage,
                   o->ranks_first);
    pipeline_init(&t->pipeline, &t->stage, &t->batch, mesh);
    pipeline_plan(&t->pipeline, plan);
    shares_plan(mesh, &t->stage, t->answers.w ? &t->answers : NULL, pipeline_message(&t->pipeline),
                norm_buckets(&t->optimizer.norm), plan);
    const bool reads = o->rooms.training.rows > 0;
    if (reads) plan_add_host(plan, PLAN_DATA, "steps", feed_rooms_bytes(&o->rooms), &t->steps);
    if (o->staging && plan_staging(t, e)) return -1;
    if (reads) plan_reserve(t);
    return memory_place(&t->memory, &t->weights.device, rehearse, t, e);
}

int trainer_alloc(struct trainer *t, struct err *e)
{
    if (memory_alloc(&t->memory, e)) return -1;
    stage_bind(&t->stage);
    answers_bind(t);
    weights_fill_rotary(&t->weights);
    return 0;
}

void trainer_seal(struct trainer *t)
{
    if (!t->reserve_room) return;
    mem_seal(t->reserve, t->reserve_room);
    t->sealed = true;
}

int trainer_load(struct trainer *t, const struct safetensors *weights, struct err *e)
{
    return weights_load(&t->weights, weights, optimizer_master(&t->optimizer), e);
}

void trainer_close(struct trainer *t)
{
    layout_free(&t->layout);
    balance_free(&t->balance);
    if (t->sealed) mem_unseal();
    stage_free(&t->stage);
    stage_free(&t->answers);
    weights_free(&t->weights);
    params_free(&t->whole);
    memory_free(&t->memory);
}
