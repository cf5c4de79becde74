/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a checkpoint back; layout.h tells which tensors it has. */
#include "save/restore.h"

#include <stdio.h>
#include <string.h>

#include "base/io.h"
#include "hf/folder.h"
#include "model/lora.h"
#include "save/ckpt.h"
#include "save/run_json_impl.h"

enum { CHUNK = 1 << 16, NAME = 96 };

/* A checkpoint, and the run that reads it. */
struct restore {
    const char *folder; /* of the model */
    const char *state;  /* state/ in it */
    struct weights *weights;
    const struct save_part *part;
    int nparts;
};

static const struct save_part *find_part(const struct restore *r, const char *name)
{
    for (int i = 0; i < r->nparts; i++)
        if (strcmp(r->part[i].name, name) == 0) return &r->part[i];
    return NULL;
}

/* NULL: this rank has none, but another one of the model has. */
static const struct param *first_trained(const struct params *p)
{
    size_t i = 0;
    while (i < p->count && !p->p[i].trained) i++;
    return i < p->count ? &p->p[i] : NULL;
}

/* A run that goes on with another optimizer, or in another type, is not the same run. s NULL: the
 * checkpoint has no state of an optimizer. */
static int check_parts(const struct restore *r, const struct safetensors *s, struct err *e)
{
    static const char *const known[] = {"master", "exp_avg", "exp_avg_sq", "momentum_buffer"};
    const struct param *p = first_trained(&r->weights->params);
    for (size_t k = 0; k < sizeof known / sizeof *known && p; k++) {
        char name[NAME];
        snprintf(name, sizeof name, "%s.%s", known[k], p->name);
        const struct hf_tensor *x = s ? safetensors_find(s, name) : NULL;
        const struct save_part *part = find_part(r, known[k]);
        const char *has = x ? hf_dtype_name(x->dtype) : "nothing";
        const char *want = part ? hf_dtype_name(layout_dtype(part->type)) : "nothing";
        if (strcmp(want, has) != 0)
            return err_set(e, ERR_CONFIG,
                           "%s: state/optimizer: of %s there is %s, but this run keeps %s; resume "
                           "with the optim, sft.master_dtype and sft.moments_dtype of the "
                           "checkpoint",
                           r->folder, known[k], has, want);
    }
    return 0;
}

/* Sets elements [at, at + n) of a tensor in one part. The master weights set the weights of the
 * computation too; where both have one type they are one allocation. */
static void put(const struct restore *r, const struct save_part *part, const struct param *p,
                size_t at, size_t n, const float *v)
{
    if (strcmp(part->name, "master") == 0) weights_set(r->weights, NULL, p, at, n, v);
    if (part->state) weights_put_state(r->weights, part->state, p, at, n, v);
}

/* Clips a run to the elements that put() needs. */
static bool clip(const struct restore *r, const struct save_part *part, const struct param *p,
                 struct param_run *run)
{
    const bool sets = strcmp(part->name, "master") == 0;
    return weights_clip(r->weights, sets ? &r->weights->own : part->state, p, run);
}

/* One parameter's tensor of a part, by way of buffer[CHUNK]. */
static int read_tensor(const struct restore *r, const struct safetensors *s,
                       const struct save_part *part, const struct param *p, float *buffer,
                       struct err *e)
{
    char name[NAME];
    snprintf(name, sizeof name, "%s.%s", part->name, p->name);
    const struct hf_tensor *x = safetensors_need(s, name, p->rank, p->whole, e);
    if (!x) return -1;
    for (struct param_run next = {0}; param_next(p, CHUNK, &next);) {
        struct param_run run = next;
        if (!clip(r, part, p, &run)) continue;
        const void *from = x->data + run.whole * dtype_size(x->dtype);
        if (dtype_to_f32(x->dtype, from, run.n, buffer))
            return err_set(e, ERR_DATA,
                           "%s: the values of tensor %s are not floating-point numbers", x->file,
                           name);
        put(r, part, p, run.at, run.n, buffer);
    }
    return 0;
}

static int read_part(const struct restore *r, const struct safetensors *s,
                     const struct save_part *part, struct err *e)
{
    const struct params *t = &r->weights->params;
    float *buffer = mem_alloc(CHUNK, sizeof *buffer, e);
    int rc = buffer ? 0 : -1;
    for (size_t i = 0; i < t->count && rc == 0; i++)
        if (t->p[i].trained) rc = read_tensor(r, s, part, &t->p[i], buffer, e);
    mem_free(buffer);
    return rc;
}

/* The trained weights of an adapter's run; the base is loaded already. */
static int read_adapter(const struct restore *r, struct err *e)
{
    struct peft *p = peft_open(r->folder, e);
    int rc = p ? lora_load(r->weights, p, NULL, e) : -1;
    if (!p && e && e->code == ERR_NOINPUT)
        err_set(e, ERR_CONFIG, "%s: made without an adapter; resume without lora_target",
                r->folder);
    peft_close(p);
    return rc;
}

/* The optimizer's state has no frozen weights, and no weights at all without a master: those are
 * read from the checkpoint's model. */
static int read_model(const struct restore *r, struct err *e)
{
    const struct params *p = &r->weights->params;
    if (p->nlora) return read_adapter(r, e);
    const int adapter = io_has(r->folder, "adapter_config.json", e);
    if (adapter > 0)
        err_set(e, ERR_CONFIG,
                "%s: made with an adapter; resume with the lora_target of the checkpoint",
                r->folder);
    if (adapter) return -1;
    if (p->elements_trained == p->elements && find_part(r, "master")) return 0;
    struct safetensors *s = safetensors_open(r->folder, e);
    int rc = s ? weights_load(r->weights, s, NULL, e) : -1;
    safetensors_close(s);
    return rc;
}

/* Another model may have tensors of the same shapes. An adapter's checkpoint has no model. */
static int check_model(const struct restore *r, struct err *e)
{
    struct hf_config c = {0};
    struct model m;
    const int there = io_has(r->folder, "config.json", e);
    if (there <= 0) return there;
    int rc = hf_config_read(r->folder, &c, e) || model_from_hf(&c, &m, e) ? -1 : 0;
    const char *what = rc ? NULL : model_difference(&r->weights->whole, &m);
    if (what)
        rc = err_set(e, ERR_CONFIG,
                     "%s/config.json: of another model: its %s is not this run's; resume with the "
                     "model that the run began with",
                     r->folder, what);
    hf_config_free(&c);
    return rc;
}

/* The file is absent where a run keeps neither master nor moments. */
static int read_state(const struct restore *r, struct err *e)
{
    int there = io_has(r->state, "optimizer.safetensors", e);
    if (there == 0) there = io_has(r->state, "optimizer.safetensors.index.json", e);
    struct safetensors *s = there > 0 ? safetensors_open_stem(r->state, "optimizer", e) : NULL;
    int rc = s || there == 0 ? check_parts(r, s, e) : -1;
    for (int i = 0; i < r->nparts && rc == 0; i++) rc = read_part(r, s, &r->part[i], e);
    safetensors_close(s);
    return rc;
}

/* The files are as they were written: this run cannot use them. */
static int unusable(int rc, struct err *e)
{
    if (rc && e && e->code == ERR_DATA) e->code = ERR_CONFIG;
    return rc;
}

/* *folder and *state of a checkpoint-N folder; mem_free(). */
static int find_folders(const char *checkpoint, char **folder, char **state, struct err *e)
{
    *folder = *state = NULL;
    if (hf_folder_resolve(checkpoint, folder, e)) return -1;
    return (*state = io_path(*folder, "state", e)) ? 0 : -1;
}

int restore_tensors(const char *checkpoint, struct weights *w, const struct save_part *part,
                    int nparts, struct err *e)
{
    char *folder, *state;
    int rc = find_folders(checkpoint, &folder, &state, e);
    const struct restore r = {folder, state, w, part, nparts};
    if (rc == 0) rc = check_model(&r, e) || read_model(&r, e) || read_state(&r, e) ? -1 : 0;
    mem_free(state);
    mem_free(folder);
    return unusable(rc, e);
}

int restore_cursor_read(const char *checkpoint, struct restore_cursor *c, struct err *e)
{
    char *folder, *state;
    *c = (struct restore_cursor){0};
    if (ckpt_verify(checkpoint, e)) return -1;
    int rc = find_folders(checkpoint, &folder, &state, e);
    if (rc == 0) rc = (c->path = io_path(state, "run.json", e)) ? run_json_read(c, e) : -1;
    mem_free(state);
    mem_free(folder);
    return unusable(rc, e);
}

void restore_cursor_free(struct restore_cursor *c)
{
    arena_free(&c->tree);
    mem_free(c->path);
    *c = (struct restore_cursor){0};
}
