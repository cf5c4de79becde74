/* SPDX-License-Identifier: Apache-2.0 */
/* A checkpoint whose hashes are right, with edits in one of its files: state/run.json, config.json
 * or state/optimizer.safetensors; or with edits in its manifest. It is restored into a tiny model,
 * or refused. */
#include "fuzz/fuzz.h"
#include "save/ckpt_impl.h"
#include "save/restore.h"
#include "tiny.h"

enum { RUN, CONFIG, OPTIMIZER, MANIFEST };
static const char *const names[] = {"state/run.json", "config.json", "state/optimizer.safetensors",
                                    "manifest.json"};
static struct buf files[4];
static struct tiny *tiny;
static struct save_part parts[3];

/* A checkpoint of these files; returns its path, for mem_free. */
static char *put(const struct buf *const file[3])
{
    struct err e = {0};
    char *path = NULL;
    struct ckpt *c = ckpt_begin(fuzz_folder(), 7, &e);
    need(c != NULL);
    for (int i = 0; i < 3; i++) {
        char name[300];
        snprintf(name, sizeof name, "%s/%s", ckpt_dir(c), names[i]);
        fuzz_put(name, file[i]->data, file[i]->len);
    }
    need(ckpt_commit(c, &path, &e) == 0);
    return path;
}

/* The state of a small part of the parameters' names and shapes, as a run saves it. */
static void make_optimizer(void)
{
    struct err e = {0};
    const struct params *p = &tiny->w.params;
    struct hf_tensor *list = calloc(3 * p->count, sizeof *list);
    char(*name)[100] = calloc(3 * p->count, sizeof *name);
    size_t n = 0, bytes = 0;
    for (int k = 0; k < 3; k++)
        for (size_t i = 0; i < p->count; i++, n++) {
            snprintf(name[n], sizeof name[n], "%s.%s", parts[k].name, p->p[i].name);
            list[n] = (struct hf_tensor){.name = name[n], .dtype = DT_F32, .ndim = p->p[i].rank};
            memcpy(list[n].dim, p->p[i].whole, (size_t)list[n].ndim * sizeof *list[n].dim);
            need(hf_tensor_size(&list[n]) == 0);
            bytes += list[n].bytes;
        }
    void *zeros = calloc(bytes, 1);
    struct safetensors_writer *w = safetensors_create(fuzz_folder(), "optimizer", list, n, 0, &e);
    need(w && safetensors_write(w, zeros, bytes, &e) == 0 && safetensors_commit(w, &e) == 0);
    fuzz_get(fuzz_path("optimizer.safetensors"), &files[OPTIMIZER]);
    free(zeros);
    free(name);
    free(list);
}

static void make_model(void)
{
    static struct hf_config c;
    static struct model m;
    struct err e = {0};
    struct device *d = device_open("cpu", 1, &e);
    need(hf_config_parse(files[CONFIG].data, files[CONFIG].len, names[CONFIG], &c, &e) == 0);
    need(d && model_from_hf(&c, &m, &e) == 0);
    tiny = tiny_open(&m, d, DT_F32, RECOMPUTE_NONE, 8);
    need(tiny != NULL);
}

static void make_base(void)
{
    struct err e = {0};
    buf_puts(&files[RUN], "{\"version\":1,\"step\":7,\"rows_checksum\":\"0123456789abcdef\","
                          "\"guard\":{\"skipped\":0,\"losses\":[1]},\"settings\":[[]],"
                          "\"gpu\":{\"name\":\"x\"}}\n");
    buf_puts(
        &files[CONFIG],
        "{\"architectures\":[\"LlamaForCausalLM\"],\"model_type\":\"llama\",\"hidden_size\":8,"
        "\"num_hidden_layers\":1,\"num_attention_heads\":2,\"num_key_value_heads\":1,"
        "\"head_dim\":4,\"intermediate_size\":8,\"vocab_size\":8,"
        "\"max_position_embeddings\":64,\"rms_norm_eps\":1e-5,\"rope_theta\":10000,"
        "\"tie_word_embeddings\":true}");
    make_model();
    parts[0] = (struct save_part){"master", NULL, DT_F32};
    parts[1] = (struct save_part){"exp_avg", NULL, DT_F32};
    parts[2] = (struct save_part){"exp_avg_sq", NULL, DT_F32};
    make_optimizer();
    char *path = put((const struct buf *const[3]){&files[0], &files[1], &files[2]});
    char name[300];
    snprintf(name, sizeof name, "%s/sft_train/manifest.json", path);
    fuzz_get(name, &files[MANIFEST]);
    io_remove_tree(path, &e);
    mem_free(path);
}

static bool restore(const char *path, bool must)
{
    struct err e = {0};
    struct buf changes = {0};
    struct restore_cursor c;
    bool good = restore_cursor_read(path, &c, &e) == 0;
    if (good) need(restore_gpu_changes(&c, NULL, &changes, &e) == 0);
    good = good && restore_tensors(path, &tiny->w, parts, 3, &e) == 0;
    if (!good && must) fprintf(stderr, "%s\n", e.msg);
    need(good || !must);
    if (!good) need_refusal(&e);
    restore_cursor_free(&c);
    buf_free(&changes);
    return good;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct buf edited;
    struct err e = {0};
    if (!tiny) make_base();
    if (size == 0) return 0;
    const int which = data[0] & 3;
    fuzz_edit(&edited, files[which].data, files[which].len, data + 1, size - 1);
    const bool same =
        edited.len == files[which].len && memcmp(edited.data, files[which].data, edited.len) == 0;
    const struct buf *file[3] = {&files[0], &files[1], &files[2]};
    if (which != MANIFEST) file[which] = &edited;
    char *path = put(file), name[300];
    if (which == MANIFEST) {
        snprintf(name, sizeof name, "%s/sft_train/manifest.json", path);
        fuzz_put(name, edited.data, edited.len);
    }
    const bool good = restore(path, same);
    need(!good || same || which != MANIFEST);
    need(io_remove_tree(path, &e) == 0);
    mem_free(path);
    return 0;
}
