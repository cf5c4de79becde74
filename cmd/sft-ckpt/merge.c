/* SPDX-License-Identifier: Apache-2.0 */
/* sft-ckpt merge: merges an adapter into its base model, as a new model folder. */
#include <string.h>

#include "base/io.h"
#include "base/log.h"
#include "hf/folder.h"
#include "merge.h"
#include "verbs.h"

enum { CHUNK = 1 << 20 }; /* elements merged at a time, or one row if that is longer */

/* Merges a tensor in fp32, some rows at a time, and rounds once to the type of the base. */
static int merge_tensor(const struct peft *p, const struct hf_tensor *t, float *w,
                        struct safetensors_writer *out, struct err *e)
{
    const uint64_t cols = t->ndim == 2 ? t->dim[1] : 1, all = cols ? t->count / cols : 0;
    const uint64_t step = cols < CHUNK && cols ? CHUNK / cols : 1;
    const size_t size = dtype_size(t->dtype);
    void *packed = w; /* an element is no wider than fp32, so it can be packed in place */
    for (uint64_t row = 0; row < all; row += step) {
        uint64_t rows = all - row < step ? all - row : step;
        size_t n = (size_t)(rows * cols);
        dtype_to_f32(t->dtype, t->data + row * cols * size, n, w);
        if (peft_apply(p, t, row, rows, w, e)) return -1;
        dtype_from_f32(t->dtype, w, n, packed);
        if (safetensors_write(out, packed, n * size, e)) return -1;
    }
    return 0;
}

static uint64_t widest(const struct safetensors *base)
{
    uint64_t n = CHUNK;
    for (size_t i = 0; i < safetensors_count(base); i++) {
        const struct hf_tensor *t = safetensors_at(base, i);
        if (t->ndim == 2 && t->dim[1] > n) n = t->dim[1];
    }
    return n;
}

static int write_weights(const struct peft *p, const struct safetensors *base, const char *dir,
                         struct err *e)
{
    const size_t count = safetensors_count(base);
    struct hf_tensor *list = mem_alloc(count, sizeof *list, e);
    float *w = list ? mem_alloc((size_t)widest(base), sizeof *w, e) : NULL;
    struct safetensors_writer *out = NULL;
    int rc = w ? 0 : -1;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        list[i] = *safetensors_at(base, i);
        if (!peft_changes(p, list[i].name) || dtype_from_f32(list[i].dtype, w, 0, w) == 0) continue;
        rc = err_set(e, ERR_DATA, "%s: tensor %s: weights of type %s cannot be merged into",
                     list[i].file, list[i].name, hf_dtype_name(list[i].dtype));
    }
    if (rc == 0)
        rc = (out = safetensors_create(dir, "model", list, count, SAFETENSORS_SHARD, e)) ? 0 : -1;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        const struct hf_tensor *t = &list[i];
        rc = peft_changes(p, t->name) ? merge_tensor(p, t, w, out, e)
                                      : safetensors_write(out, t->data, (size_t)t->bytes, e);
    }
    if (rc == 0)
        rc = safetensors_commit(out, e);
    else
        safetensors_abort(out);
    mem_free(w);
    mem_free(list);
    return rc;
}

/* Copies the files of the base. If the adapter has a tokenizer, copies all tokenizer files from the
 * adapter and none from the base, whose chat template would override the adapter's. */
static int copy_files(const char *base, const char *adapter, const char *tmp, struct err *e)
{
    const int own = hf_folder_has_tokenizer(adapter, e);
    if (own < 0) return -1;
    if (own == 0) return hf_folder_copy(base, tmp, e);
    return hf_folder_copy_config(base, tmp, e) ? -1 : hf_folder_copy_tokenizer(adapter, tmp, e);
}

/* Refuses, or with force tells, an adapter that was trained on other weights. */
static int check_base(const struct merge *m, const char *model, const char *adapter, bool force,
                      struct err *e)
{
    const int differs = peft_base_differs(m->adapter, m->base, e);
    if (differs <= 0) return differs;
    const char *name = m->adapter->config.base;
    if (!force)
        return err_set(e, ERR_DATA,
                       "%s: was trained on other weights than those of %s; give its base%s%s, or "
                       "--force",
                       adapter, model, name ? ", " : "", name ? name : "");
    log_line(LOG_WARN, "%s: was trained on other weights than those of %s", adapter, model);
    return 0;
}

int merge_open(struct merge *m, const char *model, const char *adapter, bool force, struct err *e)
{
    *m = (struct merge){.adapter = peft_open(adapter, e)};
    int rc = m->adapter ? hf_folder_resolve(model, &m->dir, e) : -1;
    if (rc == 0) rc = hf_config_read(m->dir, &m->config, e);
    if (rc == 0) rc = (m->base = safetensors_open(m->dir, e)) ? 0 : -1;
    const struct hf_config *c = &m->config;
    if (rc == 0)
        rc = peft_check(m->adapter, m->base, c->family, c->names, c->tie_word_embeddings, e);
    return rc ? -1 : check_base(m, model, adapter, force, e);
}

int merge_fill(const struct merge *m, const char *to, struct err *e)
{
    if (copy_files(m->dir, m->adapter->dir, to, e)) return -1;
    return write_weights(m->adapter, m->base, to, e);
}

void merge_close(struct merge *m)
{
    safetensors_close(m->base);
    hf_config_free(&m->config);
    mem_free(m->dir);
    peft_close(m->adapter);
}

static int merge(const char *model, const char *adapter, const char *out, bool force, struct err *e)
{
    struct merge m;
    struct io_folder *f = NULL;
    int rc = merge_open(&m, model, adapter, force, e);
    if (rc == 0) rc = (f = io_folder_new(out, e)) ? 0 : -1;
    if (rc == 0) rc = merge_fill(&m, io_folder_path(f), e);
    if (rc == 0)
        rc = io_folder_commit(f, e);
    else
        io_folder_abort(f);
    merge_close(&m);
    return rc;
}

int verb_merge(int argc, char **argv, struct err *e)
{
    const char *out = NULL;
    int nargs;
    bool json = false, force = false;
    const struct opt opts[] = {
        {.letter = 'o',
         .name = "output",
         .kind = OPT_STR,
         .to = &out,
         .arg = "DIR",
         .help = "the new folder; must not exist"},
        MERGE_FORCE(force),
        VERB_JSON(json, "one JSON object"),
        {0},
    };
    const struct opt_cmd cmd = {
        .name = "sft-ckpt merge",
        .synopsis = "[options] -o DIR BASE ADAPTER",
        .about = "Adds a LoRA adapter, a folder of peft's or a checkpoint-N of a LoRA run, to the "
                 "weights "
                 "of its base model, in fp32, rounded once to the base's type.",
        .opts = opts,
        .examples = "  sft-ckpt merge model/ output/sft_train/checkpoint-100 -o merged/\n"};
    int rc = verb_parse(&cmd, argc, argv, 2, 2, &nargs, e);
    if (rc) return rc > 0 ? 0 : -1;
    if (!out) return err_set(e, ERR_USAGE, "where to? give the new folder with -o DIR");
    if (merge(argv[1], argv[2], out, force, e)) return -1;
    return verb_made(json, out, argv + 1, nargs, e);
}
