/* SPDX-License-Identifier: Apache-2.0 */
/* sft-ckpt init: makes a model with random weights, which depend only on configuration and seed. */
#include <string.h>

#include "base/doc.h"
#include "base/hash.h"
#include "base/io.h"
#include "base/json.h"
#include "base/rng.h"
#include "hf/config.h"
#include "hf/folder.h"
#include "hf/params.h"
#include "model/model.h"
#include "verbs.h"

enum { BLOCK = 4096 };

struct plan {
    const struct hf_config *c;
    uint64_t seed;
    enum dtype dtype;
    struct hf_tensor *list;
    enum hf_param_kind *kinds;
    size_t count, cap, kinds_cap;
    struct arena names;
};

static int add_param(void *arg, const struct hf_param *p, struct err *e)
{
    struct plan *plan = arg;
    if (mem_grow(&plan->list, &plan->cap, plan->count + 1, sizeof *plan->list, e) ||
        mem_grow(&plan->kinds, &plan->kinds_cap, plan->count + 1, sizeof *plan->kinds, e))
        return -1;
    struct hf_tensor *t = &plan->list[plan->count];
    memset(t, 0, sizeof *t);
    t->dtype = plan->dtype;
    t->ndim = p->ndim;
    memcpy(t->dim, p->dim, sizeof p->dim);
    plan->kinds[plan->count] = p->kind;
    if (!(t->name = arena_copy(&plan->names, p->name, strlen(p->name), e))) return -1;
    if (hf_tensor_size(t)) return err_set(e, ERR_DATA, "tensor %s: impossibly large", t->name);
    plan->count++;
    return 0;
}

/* Writes one tensor. Element i is draw i of a stream that the tensor's name selects, so that it
 * does not depend on the order or on other tensors. Gains of norms are 1, biases 0. */
static int write_tensor(const struct plan *plan, size_t index, struct safetensors_writer *w,
                        struct err *e)
{
    const struct hf_tensor *t = &plan->list[index];
    const enum hf_param_kind kind = plan->kinds[index];
    const uint64_t stream = hash64(t->name, strlen(t->name), 0);
    float x[BLOCK];
    unsigned char out[BLOCK * sizeof(float)];
    for (uint64_t at = 0; at < t->count; at += BLOCK) {
        size_t n = t->count - at < BLOCK ? (size_t)(t->count - at) : BLOCK;
        for (size_t i = 0; i < n; i++) {
            x[i] = kind == HF_PARAM_NORM && !plan->c->gain_offset ? 1.0f : 0.0f;
            if (kind == HF_PARAM_MATRIX || kind == HF_PARAM_EMBEDDING)
                x[i] = (float)(plan->c->initializer_range *
                               rng_normal(plan->seed, RNG_INIT, stream, at + i));
        }
        dtype_from_f32(t->dtype, x, n, out);
        if (safetensors_write(w, out, n * dtype_size(t->dtype), e) != 0) return -1;
    }
    return 0;
}

static int write_weights(struct plan *plan, const char *dir, struct err *e)
{
    if (hf_param_list(plan->c, add_param, plan, e)) return -1;
    struct safetensors_writer *w =
        safetensors_create(dir, "model", plan->list, plan->count, SAFETENSORS_SHARD, e);
    int rc = w ? 0 : -1;
    for (size_t i = 0; rc == 0 && i < plan->count; i++) rc = write_tensor(plan, i, w, e);
    if (rc == 0) return safetensors_commit(w, e);
    safetensors_abort(w);
    return -1;
}

/* The configuration as given but for the element type. */
static int write_config(const struct hf_config *c, enum dtype dtype, const char *dir, struct err *e)
{
    struct arena a = {0};
    struct buf b = {0};
    const struct json *root = doc_parse(c->text.data, c->text.len, &a, e);
    int rc = -1;
    buf_puts(&b, "{");
    for (size_t i = 0; root && i < root->count; i++) {
        if (str_is(root->keys[i], "torch_dtype") || str_is(root->keys[i], "dtype")) continue;
        buf_puts(&b, "\n  ");
        buf_json(&b, root->keys[i]);
        buf_puts(&b, ": ");
        json_write(&root->items[i], &b);
        buf_putc(&b, ',');
    }
    buf_printf(&b, "\n  \"torch_dtype\": \"%s\"\n}\n", hf_dtype_torch(dtype));
    char *path = root && buf_check(&b, e) == 0 ? io_path(dir, "config.json", e) : NULL;
    if (path) rc = io_put(path, b.data, b.len, e);
    mem_free(path);
    buf_free(&b);
    arena_free(&a);
    return rc;
}

static int fill(const char *tmp, const struct hf_config *c, uint64_t seed, enum dtype dtype,
                const char *tokenizer, struct err *e)
{
    struct plan plan = {.c = c, .seed = seed, .dtype = dtype};
    int rc = tokenizer ? hf_folder_copy_tokenizer(tokenizer, tmp, e) : 0;
    if (rc == 0) rc = write_weights(&plan, tmp, e);
    if (rc == 0) rc = write_config(c, dtype, tmp, e);
    mem_free(plan.list);
    mem_free(plan.kinds);
    arena_free(&plan.names);
    return rc;
}

enum { DTYPE_CONFIG, DTYPE_BF16, DTYPE_FP32 }; /* the words of --dtype */

static enum dtype weights_dtype(const struct hf_config *c, int dtype)
{
    return dtype == DTYPE_BF16 ? DT_BF16 : dtype == DTYPE_FP32 ? DT_F32 : c->dtype;
}

/* Reads a config.json, or that of a model: a folder or a hub id. */
static int read_config(const char *config, struct hf_config *c, struct err *e)
{
    char *dir = NULL;
    const size_t n = strlen(config);
    const bool json = n > 5 && strcmp(config + n - 5, ".json") == 0;
    const int folder = io_is_dir(config, e), there = folder ? folder : io_exists(config, e);
    if (there < 0) return -1;
    if (!folder && (there || json)) return hf_config_read_file(config, c, e);
    int rc = hf_folder_find(config, &dir, e) ? -1 : hf_config_read(dir, c, e);
    mem_free(dir);
    return rc;
}

static int init(const char *config, const char *out, int64_t seed, int dtype, const char *tokenizer,
                struct err *e)
{
    struct hf_config c = {0};
    struct model m; /* only to check that the configuration is supported */
    struct io_folder *f = NULL;
    int rc = read_config(config, &c, e);
    if (rc == 0) rc = model_from_hf(&c, &m, e);
    if (rc == 0 && c.shell[0])
        rc =
            err_set(e, ERR_DATA,
                    "%s: model_type %s has parts beside its text model, which cannot be made here; "
                    "give the object text_config as a configuration of its own",
                    config, c.shell);
    if (rc == 0) rc = (f = io_folder_new(out, e)) ? 0 : -1;
    if (rc == 0)
        rc = fill(io_folder_path(f), &c, (uint64_t)seed, weights_dtype(&c, dtype), tokenizer, e);
    if (rc == 0)
        rc = io_folder_commit(f, e);
    else
        io_folder_abort(f);
    hf_config_free(&c);
    return rc;
}

int verb_init(int argc, char **argv, struct err *e)
{
    const char *out = NULL, *tokenizer = NULL;
    int64_t seed = 0;
    int dtype = DTYPE_CONFIG, nargs;
    bool json = false;
    const struct opt opts[] = {
        {.letter = 'o',
         .name = "output",
         .kind = OPT_STR,
         .to = &out,
         .arg = "DIR",
         .help = "the new folder; must not exist"},
        {.letter = 's',
         .name = "seed",
         .kind = OPT_INT,
         .to = &seed,
         .arg = "S",
         .help = "seed of the weights (0)",
         .max = INT64_MAX},
        {.name = "dtype",
         .kind = OPT_ENUM,
         .to = &dtype,
         .arg = "config|bf16|fp32",
         .help = "type of the weights; config: its torch_dtype, fp32 without one"},
        {.letter = 't',
         .name = "tokenizer",
         .kind = OPT_STR,
         .to = &tokenizer,
         .arg = "DIR",
         .help = "copy the tokenizer's files from here"},
        VERB_JSON(json, "one JSON object"),
        {0},
    };
    const struct opt_cmd cmd = {
        .name = "sft-ckpt init",
        .synopsis = "[options] -o DIR CONFIG.json",
        .about = "Makes a model with random weights: matrices normal with standard deviation "
                 "initializer_range, the gains of norms 1, biases 0. The same configuration and "
                 "seed give the same "
                 "bytes.",
        .opts = opts,
        .examples = "  sft-ckpt init config.json --tokenizer tok/ --seed 7 -o random/\n"};
    int rc = verb_parse(&cmd, argc, argv, 1, 1, &nargs, e);
    if (rc) return rc > 0 ? 0 : -1;
    if (!out) return err_set(e, ERR_USAGE, "where to? give the new folder with -o DIR");
    if (init(argv[1], out, seed, dtype, tokenizer, e)) return -1;
    return verb_made(json, out, argv + 1, nargs, e);
}
