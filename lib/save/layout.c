/* SPDX-License-Identifier: Apache-2.0 */
/* The list of a checkpoint's tensors. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "model/lora.h"
#include "save/layout_impl.h"

enum { MODEL = 0, OPTIMIZER = 1 };

enum dtype layout_dtype(enum dtype t) { return t == DT_BF16 ? DT_BF16 : DT_F32; }

/* Writes the name that an adapter's file has for a parameter of the table t. */
static void adapter_name(const struct params *t, const struct param *p, char *name, size_t size)
{
    char down[sizeof p->name];
    const char *at = strstr(p->name, "gate_up_proj.");
    peft_tensor_name(PEFT_SAVED, p->name, name, size);
    if (!p->experts) return;
    const size_t n = at ? (size_t)(at - p->name) : 0;
    snprintf(down, sizeof down, "%.*sdown_proj.%s", (int)n, p->name,
             at ? at + strlen("gate_up_proj.") : "");
    peft_nest_name(name, at && params_find(t, down, strlen(down)));
}

static int add(struct layout *c, const struct params *table, struct layout_part *from,
               const struct param *p, int file, enum dtype dtype, struct err *e)
{
    char name[128];
    if (file == OPTIMIZER)
        snprintf(name, sizeof name, "%s.%s", from->name, p->name);
    else if (c->weights->params.nlora)
        adapter_name(table, p, name, sizeof name);
    else
        hf_file_name(c->weights->m.names, p->name, name, sizeof name);
    if (mem_grow(&c->tensors, &c->cap, c->count + 1, sizeof *c->tensors, e)) return -1;
    struct saver_tensor *t = &c->tensors[c->count];
    *t = (struct saver_tensor){.name = arena_copy(&c->names, name, strlen(name), e),
                               .dtype = dtype,
                               .rank = p->rank,
                               .shape = {p->whole[0], p->whole[1], p->whole[2]},
                               .n = (size_t)param_whole(p),
                               .file = file,
                               .at = p->place,
                               .room = dtype_size(from->type),
                               .read = mesh_writes(c->mesh) ? layout_read : layout_give,
                               .arg = from};
    c->count++;
    if (!t->name) return -1;
    return file == MODEL && lora_is_permuted(p) ? layout_permute(c, t, p, e) : 0;
}

/* peft wants a tied model's one matrix under both of its names. */
static int add_tied(struct layout *c, const struct params *t, const struct param *p,
                    enum dtype dtype, struct err *e)
{
    const struct weights *w = c->weights;
    struct param head = *p;
    if (!w->params.nlora || !w->m.tied || p->offset != t->embed) return 0;
    hf_name_in(hf_module_names(w->m.names), hf_family_tensor(w->m.family, HF_ROLE_HEAD), head.name,
               sizeof head.name);
    return add(c, t, &c->parts[c->best], &head, MODEL, dtype, e);
}

/* An adapter's matrices are saved in fp32. */
static int add_param(struct layout *c, const struct params *t, const struct param *p,
                     enum dtype dtype, struct err *e)
{
    if (!layout_saves(c, p)) return 0;
    if (p->adapter) dtype = DT_F32;
    if (add(c, t, &c->parts[p->trained ? c->best : 0], p, MODEL, dtype, e)) return -1;
    if (p->trained && add_tied(c, t, p, dtype, e)) return -1;
    for (int i = 1; i < c->nparts && p->trained; i++)
        if (add(c, t, &c->parts[i], p, OPTIMIZER, layout_dtype(c->parts[i].type), e)) return -1;
    return 0;
}

/* Adds every tensor of a table, with the position up to which updates may go once it is read. */
static int add_params(struct layout *c, const struct params *t, enum dtype dtype, struct err *e)
{
    for (size_t i = 0; i < t->count; i++) {
        if (add_param(c, t, &t->p[i], dtype, e)) return -1;
        if (c->count)
            c->tensors[c->count - 1].passed = i + 1 < t->count ? t->p[i + 1].place : t->places;
    }
    return 0;
}

/* The tensors of the whole model, whichever part of it is here. */
static int add_whole(struct layout *c, enum dtype dtype, struct err *e)
{
    const struct weights *w = c->weights;
    struct params t;
    if (!mesh_cuts(c->mesh)) return add_params(c, &w->params, dtype, e);
    int rc = weights_table(w, &t, e);
    if (rc == 0) rc = add_params(c, &t, dtype, e);
    params_free(&t);
    return rc;
}

static void add_part(struct layout *c, const struct save_part *s)
{
    const struct weights *w = c->weights;
    const struct weights_state *weights = w->own.parts ? &w->own : NULL;
    c->parts[c->nparts++] =
        (struct layout_part){s->name, s->state ? s->state : weights, s->type, c};
}

/* Decides what this rank does for a checkpoint. */
static int spread(struct layout *c, struct err *e)
{
    const struct mesh *m = c->mesh;
    const bool writes = mesh_writes(m);
    if (layout_list(c, e)) return -1;
    for (int r = 1; r < mesh_ranks(m) && writes; r++) c->exchanges |= layout_has(c, r);
    if (!writes) c->exchanges = layout_has(c, mesh_rank_at(m->size, m->at));
    c->list.ntensors = writes || c->exchanges ? c->count : 0;
    if (c->exchanges) {
        c->list.finish = layout_finish;
        c->list.arg = c;
    }
    return layout_buffers(c, e);
}

int layout_make(struct layout *c, struct weights *w, const struct mesh *m, int parts,
                const struct save_part *state, int nstate, enum dtype dtype, struct err *e)
{
    *c = (struct layout){.weights = w, .mesh = m, .shards = parts};
    add_part(c, &(struct save_part){NULL, NULL, w->compute});
    for (int i = 0; i < nstate; i++) {
        if (!strcmp(state[i].name, "master")) c->best = c->nparts;
        add_part(c, &state[i]);
    }
    if (add_whole(c, dtype, e)) return -1;
    c->list = (struct saver_list){
        .tensors = c->tensors,
        .files = {{w->params.nlora ? "adapter_model" : "model", false}, {"optimizer", true}},
        .nfiles = nstate ? 2 : 1};
    return spread(c, e);
}

void layout_free(struct layout *c)
{
    mem_free(c->tensors);
    mem_free(c->blocks);
    mem_free(c->buffer);
    mem_free(c->received);
    mem_free(c->whole);
    arena_free(&c->names);
    *c = (struct layout){0};
}

bool layout_reads_beside(const struct layout *c)
{
    return c->weights->device->ops->peek && (!c->exchanges || mesh_side_threads(c->mesh));
}

void layout_bytes(const struct layout *c, uint64_t *model, uint64_t *all)
{
    *model = *all = 0;
    for (size_t i = 0; i < c->list.ntensors; i++) {
        const struct saver_tensor *t = &c->list.tensors[i];
        const uint64_t bytes = t->n * dtype_size(t->dtype);
        *all += bytes;
        if (!c->list.files[t->file].state) *model += bytes;
    }
}
