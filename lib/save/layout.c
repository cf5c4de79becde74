/* SPDX-License-Identifier: Apache-2.0 */
/* The list of a checkpoint's tensors, and reading pieces of them from the device. */
#include "save/layout.h"

#include <stdio.h>
#include <string.h>

enum { STEP = 1 << 14, MODEL = 0, OPTIMIZER = 1 };

enum dtype layout_dtype(enum dtype t) { return t == DT_BF16 ? DT_BF16 : DT_F32; }

static int copy(const struct layout_part *p, void *to, const void *from, size_t n, struct err *e)
{
    struct device *d = p->weights->device;
    return d->ops->peek ? d->ops->peek(d, to, from, n, e) : d->ops->download(d, to, from, n, e);
}

int layout_read_here(void *arg, size_t at, size_t n, enum dtype as, void *out, struct err *e)
{
    const struct layout_part *p = arg;
    const size_t size = dtype_size(p->type);
    const char *from = (const char *)*p->flat + at * size;
    if (p->type == as) return copy(p, out, from, n * size, e);
    float *const v = p->buffer;
    void *const raw = v + STEP;
    for (size_t i = 0; i < n; i += STEP) {
        const size_t c = n - i < STEP ? n - i : STEP;
        if (copy(p, raw, from + i * size, c * size, e)) return -1;
        if (dtype_to_f32(p->type, raw, c, v) ||
            dtype_from_f32(as, v, c, (char *)out + i * dtype_size(as)))
            return err_set(e, ERR_INTERNAL, "cannot save %s as %s", dtype_name(p->type),
                           hf_dtype_name(as));
    }
    return 0;
}

static int add(struct layout *c, struct layout_part *from, const struct param *p, int file,
               enum dtype dtype, struct err *e)
{
    char name[128];
    if (file == OPTIMIZER)
        snprintf(name, sizeof name, "%s.%s", from->name, p->name);
    else if (from->weights->params.nlora)
        peft_tensor_name(PEFT_SAVED, p->name, name, sizeof name);
    else
        snprintf(name, sizeof name, "%s", p->name);
    if (mem_grow(&c->tensors, &c->cap, c->count + 1, sizeof *c->tensors, e)) return -1;
    struct saver_tensor *t = &c->tensors[c->count];
    *t = (struct saver_tensor){.name = arena_copy(&c->names, name, strlen(name), e),
                               .dtype = dtype,
                               .rank = p->rank,
                               .shape = {p->shape[0], p->shape[1]},
                               .n = p->n,
                               .file = file,
                               .at = p->offset,
                               .read = layout_read_here,
                               .arg = from};
    c->count++;
    return t->name ? 0 : -1;
}

/* peft wants a tied model's one matrix under both of its names. */
static int add_tied(struct layout *c, const struct param *p, enum dtype dtype, struct err *e)
{
    const struct weights *w = c->parts[0].weights;
    struct param head = *p;
    if (!w->params.nlora || !w->m.tied || p->offset != w->params.embed) return 0;
    snprintf(head.name, sizeof head.name, "%s", hf_family_tensor(w->m.family, HF_ROLE_HEAD));
    return add(c, &c->parts[c->best], &head, MODEL, dtype, e);
}

/* A run with an adapter saves only what it trains, the adapter's matrices in fp32. */
static int add_param(struct layout *c, const struct param *p, enum dtype dtype, struct err *e)
{
    if (c->parts[0].weights->params.nlora && !p->trained) return 0;
    if (p->adapter) dtype = DT_F32;
    if (add(c, &c->parts[p->trained ? c->best : 0], p, MODEL, dtype, e)) return -1;
    if (p->trained && add_tied(c, p, dtype, e)) return -1;
    for (int i = 1; i < c->nparts && p->trained; i++)
        if (add(c, &c->parts[i], p, OPTIMIZER, layout_dtype(c->parts[i].type), e)) return -1;
    return 0;
}

static void add_part(struct layout *c, struct weights *w, const char *name, void **flat,
                     enum dtype type)
{
    c->parts[c->nparts++] = (struct layout_part){w, name, flat, type, c->buffer, c};
}

int layout_make(struct layout *c, struct weights *w, const struct save_part *state, int nstate,
                enum dtype dtype, struct err *e)
{
    const struct params *p = &w->params;
    *c = (struct layout){.buffer = mem_alloc(STEP, sizeof(float) + sizeof(double), e)};
    if (!c->buffer) return -1;
    c->weights = w;
    add_part(c, w, NULL, &w->values, w->compute);
    for (int i = 0; i < nstate; i++) {
        if (!strcmp(state[i].name, "master")) c->best = c->nparts;
        add_part(c, w, state[i].name, state[i].flat, state[i].type);
    }
    for (size_t i = 0; i < p->count; i++) {
        if (add_param(c, &p->p[i], dtype, e)) return -1;
        if (c->count)
            c->tensors[c->count - 1].passed = i + 1 < p->count ? p->p[i + 1].offset : p->total;
    }
    c->list = (struct saver_list){
        .tensors = c->tensors,
        .ntensors = c->count,
        .files = {{p->nlora ? "adapter_model" : "model", false}, {"optimizer", true}},
        .nfiles = nstate ? 2 : 1};
    return 0;
}

void layout_free(struct layout *c)
{
    mem_free(c->tensors);
    mem_free(c->buffer);
    arena_free(&c->names);
    *c = (struct layout){0};
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
