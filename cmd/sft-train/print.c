/* SPDX-License-Identifier: Apache-2.0 */
/* --plan: the memory of each kind of rank, and what a checkpoint takes. */
#include "ops/cuda_rules.h"
#include "run.h"

static double mib(uint64_t bytes) { return (double)bytes / (1 << 20); }

size_t run_peers(const struct run *r) { return mesh_ranks(&r->mesh) > 1 ? CUDA_PEERS : 0; }

/* ---- other ranks than this one ---- */
/* The first stage has rank 0, and maybe others, which are planned as one of them. */
static bool has_others(const struct mesh *m) { return m->size[MESH_TP] * mesh_replicas(m) > 1; }

/* The mesh as that rank has it. */
static struct mesh mesh_at(const struct mesh *mine, int tp, int replica, int pp)
{
    struct mesh m = *mine;
    m.at[MESH_TP] = tp;
    mesh_locate_replica(m.size, replica, m.at);
    m.at[MESH_PP] = pp;
    if (pp > 0 && pp < m.size[MESH_PP] - 1) m.comm[MESH_ENDS] = NULL;
    return m;
}

typedef void print_fn(const struct trainer *t, struct buf *b);

static int print_rank(const struct run *r, struct mesh m, print_fn *print, struct buf *b,
                      struct err *e)
{
    struct trainer t;
    int rc = trainer_init(&t, &r->model, &r->trainer.o, &m, r->device, e);
    if (rc == 0) print(&t, b);
    trainer_close(&t);
    return rc;
}

static int print_others(const struct run *r, print_fn *print, struct buf *b, struct err *e)
{
    const bool tensors = r->mesh.size[MESH_TP] > 1;
    if (!has_others(&r->mesh)) return 0;
    return print_rank(r, mesh_at(&r->mesh, tensors, !tensors, 0), print, b, e);
}

static int print_stages(const struct run *r, print_fn *print, struct buf *b, struct err *e)
{
    int rc = 0;
    for (int i = 1; i < r->mesh.size[MESH_PP] && rc == 0; i++)
        rc = print_rank(r, mesh_at(&r->mesh, 0, 0, i), print, b, e);
    return rc;
}

/* ---- as text ---- */
static void text_of_others(const struct trainer *t, struct buf *b)
{
    if (t->mesh->size[MESH_PP] > 1)
        buf_puts(b, "each of the other ranks of the first stage:\n");
    else
        buf_printf(b, "each of the other ranks, up to rank %d:\n", mesh_ranks(t->mesh) - 1);
    plan_print(&t->memory.plan, b);
}

/* Writes the layers of the stage: "0 to 1 and 4". */
static void text_of_layers(const struct stage *s, struct buf *b)
{
    for (int c = 0; c < s->chunks; c++) {
        const struct chunk *k = &s->chunk[c];
        buf_printf(b, "%s%d", c == 0 ? "" : c + 1 == s->chunks ? " and " : ", ", k->first);
        if (k->end - 1 > k->first) buf_printf(b, " to %d", k->end - 1);
    }
}

static void text_of_stage(const struct trainer *t, struct buf *b)
{
    buf_printf(b, "each rank of stage %d, with layers ", t->mesh->at[MESH_PP] + 1);
    text_of_layers(&t->stage, b);
    buf_puts(b, ":\n");
    plan_print(&t->memory.plan, b);
}

static void text_of_first(const struct trainer *t, struct buf *b)
{
    static const char *const in_parts[] = {
        "all of the optimizer's state", "its part of the optimizer's state",
        "its part of gradients and the optimizer's state",
        "its part of weights, gradients and the optimizer's state"};
    const struct mesh *m = t->mesh;
    const struct zero *z = &t->optimizer.zero;
    if (m->size[MESH_PP] > 1) {
        buf_printf(b, "stage 1 of %d, with layers ", m->size[MESH_PP]);
        text_of_layers(&t->stage, b);
        buf_puts(b, "; ");
    }
    if (m->size[MESH_TP] > 1)
        buf_printf(b, "1/%d of each matrix and of the vocabulary; ", m->size[MESH_TP]);
    if (m->experts > 1) buf_printf(b, "1/%d of the experts; ", m->experts);
    if (mesh_ranks(m) > 1)
        buf_printf(b, "rank 0 of %d, ZeRO-%d, with %s:\n", mesh_ranks(m), z->stage,
                   in_parts[z->stage == 1 && z->ranks_first ? 2 : z->stage]);
    plan_print(&t->memory.plan, b);
}

/* Prints the memory that the plan takes of a GPU, and that which is taken there beside it. */
static void text_of_card(const struct run *r, struct buf *b)
{
    const struct plan *p = &r->trainer.memory.plan;
    const struct device_card *card = r->device->card;
    if (!card) return;
    buf_printf(b,
               "%s, %.1f MiB: of the allocation %.1f MiB lie there, and %.1f MiB in host memory; "
               "CUDA's context takes up to %.0f MiB more",
               card->name, mib(card->memory), mib(p->total), mib(p->host), mib(CUDA_CONTEXT));
    if (run_peers(r)) buf_printf(b, ", NCCL's buffers up to %.0f", mib(run_peers(r)));
    buf_puts(b, "\n");
}

static int plan_text(const struct run *r, const struct checkpoint_bytes *d, struct buf *b,
                     struct err *e)
{
    const struct trainer *t = &r->trainer;
    buf_printf(b, "%s, %.1f M parameters, %s; micro-batches of up to %lld tokens\n",
               r->model.family->type, (double)trainer_params(t)->elements * 1e-6,
               dtype_name(t->weights.compute), (long long)t->o.tokens);
    text_of_first(t, b);
    if (print_others(r, text_of_others, b, e) || print_stages(r, text_of_stage, b, e)) return -1;
    text_of_card(r, b);
    buf_printf(b, "%s itself takes up to %d MiB more\n",
               mesh_ranks(&r->mesh) > 1 ? "each process" : "the process", RUN_PROCESS >> 20);
    buf_printf(b,
               "a checkpoint takes %.1f MiB on the disk: the model %.1f, the state %.1f, other "
               "files %.1f\n",
               mib(d->model + d->state + d->files), mib(d->model), mib(d->state), mib(d->files));
    return 0;
}

/* ---- as JSON ---- */
static void json_of_others(const struct trainer *t, struct buf *b)
{
    buf_puts(b, ",\"others\":{");
    plan_json(&t->memory.plan, b);
    buf_putc(b, '}');
}

static void json_of_stage(const struct trainer *t, struct buf *b)
{
    const int stage = t->mesh->at[MESH_PP];
    buf_printf(b, "%s{\"stage\":%d,\"layers\":[", stage > 1 ? "," : ",\"stages\":[", stage);
    for (int c = 0; c < t->stage.chunks; c++)
        buf_printf(b, "%s%d,%d", c ? "," : "", t->stage.chunk[c].first, t->stage.chunk[c].end);
    buf_puts(b, "],");
    plan_json(&t->memory.plan, b);
    buf_puts(b, stage + 1 == t->mesh->size[MESH_PP] ? "}]" : "}");
}

static void json_of_card(const struct run *r, struct buf *b)
{
    const struct device_card *card = r->device->card;
    if (!card) return;
    buf_puts(b, "\"device\":{\"name\":");
    buf_json(b, str_z(card->name));
    buf_printf(b, ",\"memory\":%zu,\"context\":%zu,\"peers\":%zu},", card->memory, CUDA_CONTEXT,
               run_peers(r));
}

static int plan_object(const struct run *r, const struct checkpoint_bytes *d, struct buf *b,
                       struct err *e)
{
    const struct zero *z = &r->trainer.optimizer.zero;
    buf_printf(b,
               "{\"ranks\":%d,\"zero_stage\":%d,\"shard_size\":%d,\"process\":%d,\"checkpoint\":{"
               "\"model\":%llu,\"state\":%llu,"
               "\"files\":%llu},",
               mesh_ranks(&r->mesh), z->stage, z->parts, RUN_PROCESS, (unsigned long long)d->model,
               (unsigned long long)d->state, (unsigned long long)d->files);
    json_of_card(r, b);
    plan_json(&r->trainer.memory.plan, b);
    if (print_others(r, json_of_others, b, e) || print_stages(r, json_of_stage, b, e)) return -1;
    buf_puts(b, "}\n");
    return 0;
}

int run_print_plan(struct run *r, struct err *e)
{
    struct buf b = {0};
    struct checkpoint_bytes d;
    if (!r->plan || r->silent) return 0;
    int rc = run_checkpoint_bytes(r, &d, e);
    if (rc == 0) rc = (r->json ? plan_object : plan_text)(r, &d, &b, e);
    if (rc == 0) rc = buf_check(&b, e) ? -1 : io_put("-", b.data, b.len, e);
    buf_free(&b);
    return rc;
}
