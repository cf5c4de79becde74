/* SPDX-License-Identifier: Apache-2.0 */
/* sft-ckpt export: makes a folder to publish: a model without the state of its training, with a
 * model card. */
#include <string.h>

#include "base/doc.h"
#include "base/io.h"
#include "base/json.h"
#include "card.h"
#include "merge.h"
#include "save/ckpt.h"

#define ADAPTER_CONFIG "adapter_config.json"
enum { MAX_CONFIG = 16 << 20 };

struct exported {
    const char *path, *out, *base; /* base: the model to merge into; NULL: none */
    bool force;                    /* as of merge_open */
    struct verb_model model;
    struct merge merge;
};

static int copy_weights(const struct verb_model *m, const char *to, struct err *e)
{
    struct safetensors_writer *w = verb_model_weights(m, to, e);
    int rc = w ? 0 : -1;
    for (size_t i = 0; rc == 0 && i < safetensors_count(m->tensors); i++) {
        const struct hf_tensor *t = safetensors_at(m->tensors, i);
        rc = safetensors_write(w, t->data, (size_t)t->bytes, e);
        safetensors_forget(m->tensors, t, 0, t->bytes);
    }
    if (rc == 0) return safetensors_commit(w, e);
    safetensors_abort(w);
    return -1;
}

static int put_card(const struct card *c, const char *to, struct err *e)
{
    struct buf text = {0};
    char *path = card_write(c, &text, e) == 0 ? io_path(to, "README.md", e) : NULL;
    int rc = path ? io_put(path, text.data, text.len, e) : -1;
    mem_free(path);
    buf_free(&text);
    return rc;
}

/* The last part of the new folder's path. */
static char *folder_name(const char *out, struct err *e)
{
    size_t end = strlen(out), begin;
    while (end > 1 && out[end - 1] == '/') end--;
    for (begin = end; begin > 0 && out[begin - 1] != '/';) begin--;
    return mem_strndup(out + begin, end - begin, e);
}

/* A checkpoint is published only if it is as it was written. */
static int open_whole(struct exported *x, struct err *e)
{
    if (verb_model_open(x->path, &x->model, e)) return -1;
    const int manifest = io_has(x->model.dir, "manifest.json", e);
    if (manifest < 0 || (manifest && ckpt_verify(x->model.dir, e))) return -1;
    if (!x->base) return 0;
    if (!x->model.adapter)
        return err_set(e, ERR_USAGE, "%s: is no adapter; leave out --merge", x->path);
    return merge_open(&x->merge, x->base, x->path, x->force, e);
}

/* Writes the adapter's configuration with another name of the base. */
static int set_base(const struct verb_model *m, const char *base, const char *to, struct err *e)
{
    struct buf text = {0}, out = {0};
    struct arena tree = {0};
    char *from = io_path(m->dir, ADAPTER_CONFIG, e), *path = io_path(to, ADAPTER_CONFIG, e);
    const struct json *v = NULL;
    if (from && path && io_slurp(from, MAX_CONFIG, &text, e) == 0)
        v = doc_parse(text.data, text.len, &tree, e);
    buf_puts(&out, "{\n  \"base_model_name_or_path\": ");
    buf_json(&out, str_z(base));
    for (size_t i = 0; v && i < v->count; i++) {
        if (str_is(v->keys[i], "base_model_name_or_path")) continue;
        buf_puts(&out, ",\n  ");
        buf_json(&out, v->keys[i]);
        buf_puts(&out, ": ");
        json_write(&v->items[i], &out);
    }
    buf_puts(&out, "\n}\n");
    int rc = v && buf_check(&out, e) == 0 ? io_put(path, out.data, out.len, e) : -1;
    arena_free(&tree);
    buf_free(&text);
    buf_free(&out);
    mem_free(from);
    mem_free(path);
    return rc;
}

static int copy_model(const struct verb_model *m, const char *base, const char *to, struct err *e)
{
    int rc = verb_model_copy(m, to, e);
    if (rc == 0 && m->adapter && base) rc = set_base(m, base, to, e);
    return rc ? -1 : copy_weights(m, to, e);
}

static int fill(struct exported *x, struct card *c, const char *to, struct err *e)
{
    char *name = folder_name(x->out, e);
    c->name = name;
    c->model = &x->model;
    c->merged = x->base;
    int rc = name ? put_card(c, to, e) : -1;
    if (rc == 0 && x->base)
        rc = merge_fill(&x->merge, to, e);
    else if (rc == 0)
        rc = copy_model(&x->model, c->base, to, e);
    mem_free(name);
    return rc;
}

static int export_model(struct exported *x, struct card *c, struct err *e)
{
    struct io_folder *f = NULL;
    int rc = open_whole(x, e);
    if (rc == 0) rc = (f = io_folder_new(x->out, e)) ? 0 : -1;
    if (rc == 0) rc = fill(x, c, io_folder_path(f), e);
    if (rc == 0)
        rc = io_folder_commit(f, e);
    else
        io_folder_abort(f);
    merge_close(&x->merge);
    verb_model_close(&x->model);
    return rc;
}

int verb_export(int argc, char **argv, struct err *e)
{
    struct exported x = {0};
    struct card card = {0};
    int nargs;
    bool json = false;
    const struct opt opts[] = {
        {.letter = 'o',
         .name = "output",
         .kind = OPT_STR,
         .to = &x.out,
         .arg = "DIR",
         .help = "the new folder; must not exist"},
        {.name = "merge",
         .kind = OPT_STR,
         .to = &x.base,
         .arg = "BASE",
         .help = "merge the adapter into this model"},
        MERGE_FORCE(x.force),
        {.name = "logs",
         .kind = OPT_STR,
         .to = &card.logs,
         .arg = "DIR",
         .help = "the run's logs, for data and losses: logging_dir/exp_name"},
        {.name = "stream",
         .kind = OPT_STR,
         .to = &card.stream,
         .arg = "FILE",
         .help = "the packed stream of the run, for what the data is"},
        {.name = "base-model",
         .kind = OPT_STR,
         .to = &card.base,
         .arg = "ID",
         .help = "hub id of the base model"},
        VERB_JSON(json, "one JSON object"),
        {0},
    };
    const struct opt_cmd cmd = {
        .name = "sft-ckpt export",
        .synopsis = "[options] -o DIR CHECKPOINT",
        .about = "Makes a folder to publish: weights, configuration and tokenizer without the "
                 "state of the training, and README.md, a model card of the Hugging Face hub with "
                 "what the checkpoint and the logs tell.",
        .opts = opts,
        .examples = "  sft-ckpt export output/sft_train/checkpoint-100 --logs logs/tiny -o mine/\n"
                    "  sft-ckpt export lora/sft_train/checkpoint-9 --merge model/ -o mine/\n"};
    int rc = verb_parse(&cmd, argc, argv, 1, 1, &nargs, e);
    if (rc) return rc > 0 ? 0 : -1;
    if (!x.out) return err_set(e, ERR_USAGE, "where to? give the new folder with -o DIR");
    x.path = argv[1];
    if (export_model(&x, &card, e)) return -1;
    return verb_made(json, x.out, argv + 1, nargs, e);
}
