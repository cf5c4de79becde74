/* SPDX-License-Identifier: Apache-2.0 */
/* Saving and restoring. state/optimizer.safetensors holds, for each parameter NAME, the tensors
 * master.NAME, exp_avg.NAME and exp_avg_sq.NAME in fp32; state/run.json the step and the cursor. */
#include "train/state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/json.h"
#include "ckpt/ckpt.h"
#include "hf/folder.h"

enum { CHUNK = 1 << 16, NAME = 96 };
static const char *const parts[] = {"master", "exp_avg", "exp_avg_sq"};
enum { PARTS = 3 };

static void *part_of(const struct trainer *t, int i)
{
    const struct optimizer *o = &t->optimizer;
    return i == 0 ? o->master : i == 1 ? o->m : o->v;
}

/* One part of the state of all trained tensors, or of all tensors the best value there is: the
 * master weight, where there is one. Written with the type dtype, in the table's order. */
static int write_flat(struct trainer *t, struct safetensors_writer *w, int part, bool all,
                      enum hf_dtype dtype, struct err *e)
{
    float *v = mem_alloc(CHUNK, 2 * sizeof *v, e);
    if (!v) return -1;
    int rc = 0;
    for (size_t i = 0; i < t->net.params.count && rc == 0; i++) {
        const struct param *p = &t->net.params.p[i];
        const void *flat = p->trained ? part_of(t, part) : t->net.weights;
        const enum dtype type = p->trained ? t->net.real : t->net.o.compute;
        if (!p->trained && !all) continue;
        for (size_t at = 0; at < p->n && rc == 0; at += CHUNK) {
            size_t c = p->n - at < CHUNK ? p->n - at : CHUNK;
            rc = net_get(&t->net, flat, type, p->offset + at, c, v, e);
            if (rc == 0 && hf_from_f32(dtype, v, c, v + CHUNK))
                rc = err_set(e, ERR_INTERNAL, "cannot save weights as %s", hf_dtype_name(dtype));
            if (rc == 0) rc = safetensors_write(w, v + CHUNK, c * hf_dtype_size(dtype), e);
        }
    }
    free(v);
    return rc;
}

/* Describes every parameter, or with a prefix every trained one as "prefix.NAME"; the names are
 * kept in names. Returns how many. */
static size_t list_params(const struct trainer *t, enum hf_dtype dtype, const char *prefix,
                          char (*names)[NAME], struct hf_tensor *list)
{
    size_t n = 0;
    for (size_t i = 0; i < t->net.params.count; i++) {
        const struct param *p = &t->net.params.p[i];
        if (prefix && !p->trained) continue;
        snprintf(names[n], NAME, "%s%s%s", prefix ? prefix : "", prefix ? "." : "", p->name);
        list[n] = (struct hf_tensor){
            .name = names[n], .dtype = dtype, .ndim = p->rank, .dim = {p->shape[0], p->shape[1]}};
        n++;
    }
    return n;
}

static int write_tensors(struct trainer *t, const char *dir, const char *stem, enum hf_dtype dtype,
                         bool state, struct err *e)
{
    const size_t most = t->net.params.count, sets = state ? PARTS : 1;
    size_t n = 0;
    struct hf_tensor *list = mem_alloc(most * sets, sizeof *list, e);
    char(*names)[NAME] = list ? mem_alloc(most * sets, NAME, e) : NULL;
    struct safetensors_writer *w = NULL;
    int rc = -1;
    if (!names) goto out;
    for (size_t i = 0; i < sets; i++)
        n += list_params(t, dtype, state ? parts[i] : NULL, names + n, list + n);
    w = safetensors_create(dir, stem, list, n, SAFETENSORS_SHARD, e);
    if (!w) goto out;
    rc = 0;
    for (size_t i = 0; i < sets && rc == 0; i++) rc = write_flat(t, w, (int)i, !state, dtype, e);
    if (rc == 0) {
        rc = safetensors_commit(w, e);
        w = NULL;
    }
out:
    safetensors_abort(w);
    free(names);
    free(list);
    return rc;
}

static int write_cursor(struct trainer *t, const char *dir, const struct feed *f, struct err *e)
{
    struct buf b = {0};
    const struct stream_header *h = feed_header(f);
    buf_printf(&b,
               "{\"version\":1,\"step\":%llu,\"rows_checksum\":\"%016llx\",\"tokenizer\":\"%s\","
               "\"length\":%llu,\"global_batch\":%llu,\"seed\":%llu,\"guard\":",
               (unsigned long long)t->step, (unsigned long long)feed_checksum(f), h->tokenizer,
               (unsigned long long)h->length, (unsigned long long)h->global_batch,
               (unsigned long long)h->seed);
    guard_write(&t->guard, &b);
    buf_puts(&b, "}\n");
    char *path = io_path(dir, "run.json", e);
    int rc = path && buf_check(&b, e) == 0 ? io_put(path, b.data, b.len, e) : -1;
    free(path);
    buf_free(&b);
    return rc;
}

int state_save(struct trainer *t, const struct state_context *c, const struct feed *f, char **path,
               struct err *e)
{
    struct ckpt *k = ckpt_begin(c->root, t->step, e);
    if (!k) return -1;
    if (hf_folder_copy(c->source, ckpt_dir(k), e) ||
        write_tensors(t, ckpt_dir(k), "model", c->dtype, false, e) ||
        write_tensors(t, ckpt_state_dir(k), "optimizer", HF_F32, true, e) ||
        write_cursor(t, ckpt_state_dir(k), f, e)) {
        ckpt_abort(k);
        return -1;
    }
    return ckpt_commit(k, path, e);
}

/* ---- restoring ---- */
static int read_part(struct trainer *t, const struct safetensors *s, int part, struct err *e)
{
    char name[NAME];
    struct net *n = &t->net;
    float *v = mem_alloc(CHUNK, sizeof *v, e);
    int rc = v ? 0 : -1;
    for (size_t i = 0; i < n->params.count && rc == 0; i++) {
        const struct param *p = &n->params.p[i];
        if (!p->trained) continue;
        snprintf(name, sizeof name, "%s.%s", parts[part], p->name);
        const struct hf_tensor *x = safetensors_need(s, name, p->rank, p->shape, e);
        if (!x) rc = -1;
        for (size_t at = 0; at < p->n && rc == 0; at += CHUNK) {
            size_t c = p->n - at < CHUNK ? p->n - at : CHUNK;
            if (hf_to_f32(x->dtype, x->data + at * hf_dtype_size(x->dtype), c, v))
                rc = err_set(e, ERR_DATA, "%s: tensor %s is not of floats", x->file, name);
            else
                net_put_held(n, part_of(t, part), n->real, p->offset + at, c, v);
            if (rc == 0 && part == 0 && optimizer_has_master(&t->optimizer))
                net_put(n, n->weights, n->o.compute, p->offset + at, c, v);
        }
    }
    free(v);
    return rc;
}

static int read_cursor(struct trainer *t, const char *dir, struct state_cursor *c, struct err *e)
{
    struct buf text = {0};
    struct arena a = {0};
    int64_t step = -1;
    char *path = io_path(dir, "run.json", e), *end = NULL;
    int rc = path ? io_slurp(path, 1 << 16, &text, e) : -1;
    const struct json *v = rc == 0 ? json_parse(text.data, text.len, &a, e) : NULL;
    if (v) {
        const struct json *s = json_get(v, "step"), *sum = json_get(v, "rows_checksum");
        rc = s && sum && json_int(s, &step) == 0 && step >= 0 && sum->kind == JSON_STRING &&
                     sum->s.n == 16
                 ? 0
                 : err_set(e, ERR_DATA, "%s: no step or no checksum", path);
        char hex[17] = "";
        if (rc == 0) {
            memcpy(hex, sum->s.p, 16);
            *c = (struct state_cursor){(uint64_t)step, strtoull(hex, &end, 16)};
            if (*end) rc = err_set(e, ERR_DATA, "%s: the checksum is not hexadecimal", path);
        }
        if (rc == 0 && guard_read(&t->guard, json_get(v, "guard"), e))
            rc = err_prefix(e, "%s", path);
    } else {
        rc = -1;
    }
    free(path);
    arena_free(&a);
    buf_free(&text);
    return rc;
}

/* Frozen weights are not part of the state: the checkpoint's model has them. */
static int read_frozen(struct trainer *t, const char *folder, struct err *e)
{
    const struct params *p = &t->net.params;
    if (p->elements_trained == p->elements) return 0;
    struct safetensors *s = safetensors_open(folder, e);
    int rc = s ? net_load(&t->net, s, NULL, e) : -1;
    safetensors_close(s);
    return rc;
}

int state_load(struct trainer *t, const char *checkpoint, struct state_cursor *cursor,
               struct err *e)
{
    char *folder = NULL, *dir = NULL;
    struct safetensors *s = NULL;
    int rc = ckpt_verify(checkpoint, e);
    if (rc == 0) rc = hf_folder_resolve(checkpoint, &folder, e);
    if (rc == 0) rc = (dir = io_path(folder, "state", e)) ? 0 : -1;
    if (rc == 0) rc = read_cursor(t, dir, cursor, e);
    if (rc == 0) rc = read_frozen(t, folder, e);
    if (rc == 0) rc = (s = safetensors_open_stem(dir, "optimizer", e)) ? 0 : -1;
    for (int i = 0; i < PARTS && rc == 0; i++) rc = read_part(t, s, i, e);
    if (rc == 0) t->step = cursor->step;
    safetensors_close(s);
    free(dir);
    free(folder);
    return rc;
}

int state_seek(struct feed *f, const struct state_cursor *cursor, struct err *e)
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
