/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a checkpoint back: see save/layout.h for what is in it. */
#include "train/restore.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/json.h"
#include "hf/folder.h"
#include "save/ckpt.h"

enum { CHUNK = 1 << 16, NAME = 96 };

/* The state that an optimizer may have. */
static const char *const kinds[] = {"master", "exp_avg", "exp_avg_sq", "momentum_buffer"};
enum { KINDS = 4 };

static const struct param *first_trained(const struct params *p)
{
    size_t i = 0;
    while (!p->p[i].trained) i++; /* there is one: trainer_init */
    return &p->p[i];
}

/* A run that went on with another optimizer, or in another type, would not be the same run. s NULL:
 * the checkpoint has no state of an optimizer. */
static int check_kept(struct trainer *t, const struct safetensors *s, const char *folder,
                      struct err *e)
{
    struct save_part part[OPTIMIZER_PARTS];
    const int parts = optimizer_parts(&t->optimizer, part);
    const struct param *p = first_trained(&t->weights.params);
    for (int k = 0; k < KINDS; k++) {
        char name[NAME];
        const char *want = "nothing";
        snprintf(name, sizeof name, "%s.%s", kinds[k], p->name);
        const struct hf_tensor *x = s ? safetensors_find(s, name) : NULL;
        const char *has = x ? hf_dtype_name(x->dtype) : "nothing";
        for (int i = 0; i < parts; i++)
            if (!strcmp(part[i].name, kinds[k])) want = hf_dtype_name(layout_dtype(part[i].type));
        if (strcmp(want, has))
            return err_set(e, ERR_CONFIG,
                           "%s: state/optimizer: of %s there is %s, but this run keeps %s; resume "
                           "with the optim, sft.master_dtype and sft.moments_dtype that it was "
                           "made with",
                           folder, kinds[k], has, want);
    }
    return 0;
}

static int read_part(struct trainer *t, const struct safetensors *s, const struct save_part *part,
                     struct err *e)
{
    const bool master = part->flat == &t->optimizer.master;
    char name[NAME];
    struct weights *w = &t->weights;
    float *v = mem_alloc(CHUNK, sizeof *v, e);
    int rc = v ? 0 : -1;
    for (size_t i = 0; i < w->params.count && rc == 0; i++) {
        const struct param *p = &w->params.p[i];
        if (!p->trained) continue;
        snprintf(name, sizeof name, "%s.%s", part->name, p->name);
        const struct hf_tensor *x = safetensors_need(s, name, p->rank, p->whole, e);
        if (!x) rc = -1;
        for (struct param_run r = {0}; rc == 0 && param_next(p, CHUNK, &r);) {
            const size_t at = p->offset + r.at;
            if (hf_to_f32(x->dtype, x->data + r.whole * hf_dtype_size(x->dtype), r.n, v))
                rc = err_set(e, ERR_DATA, "%s: tensor %s is not of floats", x->file, name);
            if (rc == 0 && master) weights_put(w, w->values, w->compute, at, r.n, v);
            if (rc == 0 && (!master || optimizer_has_master(&t->optimizer)))
                weights_put_shard(w, *part->flat, part->type, at, r.n, v);
        }
    }
    mem_free(v);
    return rc;
}

enum { RUN_VERSION = 1, RUN_MOST = 1 << 16 };

static int parse_place(const struct json *v, struct restore_cursor *c, struct err *e)
{
    const struct json *step = json_get(v, "step"), *sum = json_get(v, "rows_checksum");
    const struct json *version = json_get(v, "version");
    int64_t n = -1;
    char hex[17] = "", *end;
    if (!version || json_int(version, &n) || n != RUN_VERSION)
        return err_set(e, ERR_DATA, "not version %d, which this program reads", RUN_VERSION);
    if (!step || json_int(step, &n) || n < 0) return err_set(e, ERR_DATA, "step is missing");
    c->step = (uint64_t)n;
    if (!sum || sum->kind != JSON_STRING || sum->s.n != sizeof hex - 1)
        return err_set(e, ERR_DATA, "rows_checksum is missing");
    memcpy(hex, sum->s.p, sizeof hex - 1);
    c->checksum = strtoull(hex, &end, 16);
    return *end ? err_set(e, ERR_DATA, "rows_checksum is not hexadecimal") : 0;
}

static int parse_run(struct trainer *t, const struct json *v, struct restore_cursor *c,
                     struct err *e)
{
    if (parse_place(v, c, e) || guard_read(&t->guard, json_get(v, "guard"), e)) return -1;
    if (t->guard.skipped > c->step)
        return err_set(e, ERR_DATA, "more steps were left out than there were");
    const struct json *settings = json_get(v, "settings");
    buf_reset(&c->settings);
    if (settings) json_write(settings, &c->settings);
    return buf_check(&c->settings, e);
}

static int read_cursor(struct trainer *t, const char *dir, struct restore_cursor *c, struct err *e)
{
    struct buf text = {0};
    struct arena a = {0};
    char *path = io_path(dir, "run.json", e);
    int rc = path ? io_slurp(path, RUN_MOST, &text, e) : -1;
    if (rc == 0) {
        const struct json *v = json_parse(text.data, text.len, &a, e);
        rc = v ? parse_run(t, v, c, e) : -1;
        if (rc) err_prefix(e, "%s", path);
    }
    mem_free(path);
    arena_free(&a);
    buf_free(&text);
    return rc;
}

/* The trained weights of an adapter's run; the base's are loaded already. */
static int read_adapter(struct trainer *t, const char *folder, struct err *e)
{
    struct peft *p = peft_open(folder, e);
    int rc = p ? lora_load(&t->weights, p, NULL, e) : -1;
    if (!p && e && e->code == ERR_NOINPUT)
        err_set(e, ERR_CONFIG, "%s: made without an adapter; resume without lora_target", folder);
    peft_close(p);
    return rc;
}

/* The optimizer's state has no frozen weights, and none at all without a master: those are read
 * from the checkpoint's model. */
static int read_model(struct trainer *t, const char *folder, struct err *e)
{
    const struct params *p = &t->weights.params;
    if (p->nlora) return read_adapter(t, folder, e);
    const int adapter = io_has(folder, "adapter_config.json", e);
    if (adapter > 0)
        err_set(e, ERR_CONFIG,
                "%s: made with an adapter; resume with the lora_target that it was made with",
                folder);
    if (adapter) return -1;
    if (p->elements_trained == p->elements && t->optimizer.master) return 0;
    struct safetensors *s = safetensors_open(folder, e);
    int rc = s ? weights_load(&t->weights, s, NULL, e) : -1;
    safetensors_close(s);
    return rc;
}

/* Tensors of the same shapes may be those of another model. An adapter's checkpoint has no model.
 */
static int check_model(const struct trainer *t, const char *folder, struct err *e)
{
    struct hf_config c = {0};
    struct model m;
    const int there = io_has(folder, "config.json", e);
    if (there <= 0) return there;
    int rc = hf_config_read(folder, &c, e) || model_from_hf(&c, &m, e) ? -1 : 0;
    const char *what = rc ? NULL : model_difference(&t->weights.m, &m);
    if (what)
        rc = err_set(e, ERR_CONFIG,
                     "%s/config.json: of another model: its %s is not this run's; resume with the "
                     "model that it was begun with",
                     folder, what);
    hf_config_free(&c);
    return rc;
}

/* Where neither master nor moments are kept there is no file of them. */
static int read_state(struct trainer *t, const char *folder, const char *dir, struct err *e)
{
    struct save_part part[OPTIMIZER_PARTS];
    const int parts = optimizer_parts(&t->optimizer, part);
    int there = io_has(dir, "optimizer.safetensors", e);
    if (there == 0) there = io_has(dir, "optimizer.safetensors.index.json", e);
    struct safetensors *s = there > 0 ? safetensors_open_stem(dir, "optimizer", e) : NULL;
    int rc = s || there == 0 ? check_kept(t, s, folder, e) : -1;
    for (int i = 0; i < parts && rc == 0; i++) rc = read_part(t, s, &part[i], e);
    safetensors_close(s);
    return rc;
}

int restore_load(struct trainer *t, const char *checkpoint, struct restore_cursor *cursor,
                 struct err *e)
{
    char *folder = NULL, *dir = NULL;
    int rc = ckpt_verify(checkpoint, e);
    const bool whole = rc == 0;
    if (rc == 0) rc = hf_folder_resolve(checkpoint, &folder, e);
    if (rc == 0) rc = (dir = io_path(folder, "state", e)) ? 0 : -1;
    if (rc == 0) rc = read_cursor(t, dir, cursor, e);
    if (rc == 0) rc = check_model(t, folder, e);
    if (rc == 0) rc = read_model(t, folder, e);
    if (rc == 0) rc = read_state(t, folder, dir, e);
    if (rc == 0) t->step = cursor->step;
    /* the files are as they were written; it is this run that they do not suit */
    if (rc && whole && e && e->code == ERR_DATA) e->code = ERR_CONFIG;
    mem_free(dir);
    mem_free(folder);
    return rc;
}

int restore_seek(struct feed *f, const struct restore_cursor *cursor, struct err *e)
{
    struct feed_step s = {0};
    int rc = 1;
    for (uint64_t k = 0; k < cursor->step && rc == 1; k++) rc = feed_next(f, &s, e);
    feed_step_free(&s);
    if (rc < 0) return -1;
    if (rc == 0 || feed_checksum(f) != cursor->checksum)
        return err_set(
            e, ERR_CONFIG,
            "the stream's first %llu steps are not those that the checkpoint was trained "
            "on; resume with the same stream",
            (unsigned long long)cursor->step);
    return 0;
}
