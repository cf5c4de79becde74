/* SPDX-License-Identifier: Apache-2.0 */
/* Checkpoints of an optimizer that is spread over ranks: each rank passes over its part while the
 * thread that trains updates it and meets the others in collectives. What is written must be what
 * was there when the save began; a failure on any rank leaves nothing and holds nobody up.
 * tests/cli/ranks_save.sh starts it as several ranks; alone it is one. */
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/io.h"
#include "comm/comm.h"
#include "mesh.h"
#include "save/ckpt.h"
#include "tiny.h"
#include "train/checkpoint.h"
#include "world.h"

static struct mesh mesh;
static struct trainer t;
static char root[] = "/tmp/sft-save.XXXXXX", source[] = "/tmp/sft-model.XXXXXX";

/* The value of the element at a position of a part when save k begins, exact in bf16. */
static float value(int part, size_t at, int k)
{
    return (float)((at * 7 + (size_t)part * 13 + (size_t)k * 5) % 251);
}

static void set(const struct layout_part *p, size_t offset, size_t state, float v)
{
    void *flat = p->state ? p->state->flat : t.weights.values;
    const size_t i = p->state ? state : offset;
    if (p->type == DT_BF16)
        ((uint16_t *)flat)[i] = bf16_from_f32(v);
    else
        ((float *)flat)[i] = v;
}

/* Elements [begin, end) of a run that this rank holds, in all parts, as they are for save k; k < 0:
 * others than in any. The device's memory is the host's. */
static void put(const struct params_run *r, size_t begin, size_t end, int k)
{
    const struct params_part held = zero_held(&t.optimizer.zero, r->bucket);
    for (int i = 0; i < t.layout.nparts; i++)
        for (size_t at = begin; at < end; at++) {
            const size_t place = r->place + (at - r->begin);
            set(&t.layout.parts[i], at, held.state + (at - held.begin),
                k < 0 ? -1 : value(i, place, k));
        }
}

static void put_all(int k)
{
    for (size_t i = 0; i < t.weights.params.nruns; i++) {
        const struct params_run *r = &t.weights.params.runs[i];
        const struct params_part held = zero_held(&t.optimizer.zero, r->bucket);
        size_t begin = r->begin, end = r->end;
        params_clip(&begin, &end, held.begin, held.end);
        put(r, begin, end, k);
    }
}

/* As far as the gate lets it, as optimizer_update goes. */
static void overwrite(struct saver *s)
{
    for (size_t i = 0; i < t.weights.params.nruns; i++) {
        const struct params_run *r = &t.weights.params.runs[i];
        const struct params_part held = zero_held(&t.optimizer.zero, r->bucket);
        size_t begin = r->begin, end = r->end;
        params_clip(&begin, &end, held.begin, held.end);
        for (size_t to; begin < end; begin = to) {
            const size_t place = r->place + (begin - r->begin), limit = saver_gate(s, place);
            to = limit - place < end - begin ? begin + (limit - place) : end;
            put(r, begin, to, -1);
        }
    }
}

static bool tensor_is(const struct saver_tensor *x, int k)
{
    char path[300];
    struct err e = {0};
    const struct layout_part *p = x->arg;
    const int part = (int)(p - t.layout.parts);
    snprintf(path, sizeof path, "%s/checkpoint-%d/sft_train%s", root, k, x->file ? "/state" : "");
    struct safetensors *s = safetensors_open_stem(path, x->file ? "optimizer" : "model", &e);
    const struct hf_tensor *f = s ? safetensors_find(s, x->name) : NULL;
    float *v = malloc(x->n * sizeof *v);
    bool ok = f && f->count == x->n && dtype_to_f32(f->dtype, f->data, x->n, v) == 0;
    for (size_t i = 0; ok && i < x->n; i++) {
        const float want = value(part, x->at + i, k);
        ok = !(v[i] < want || v[i] > want);
    }
    if (!ok) printf("# checkpoint-%d: %s: %s\n", k, x->name, e.msg);
    free(v);
    safetensors_close(s);
    return ok;
}

static bool written(int k)
{
    char path[200];
    struct err e = {0};
    if (w->place.rank) return true;
    snprintf(path, sizeof path, "%s/checkpoint-%d", root, k);
    bool ok = ckpt_verify(path, &e) == 0;
    if (!ok) printf("# %s\n", e.msg);
    for (size_t i = 0; ok && i < t.layout.list.ntensors; i++)
        ok = tensor_is(&t.layout.list.tensors[i], k);
    return ok;
}

static int count(void *arg, const char *name, struct err *e)
{
    (void)name, (void)e;
    ++*(int *)arg;
    return 0;
}
static int entries(void)
{
    int n = 0;
    io_list(root, count, &n, NULL);
    return n;
}

static struct saver *open_saver(bool async, struct err *e)
{
    return saver_open(&(struct saver_options){.list = t.layout.list,
                                              .mesh = &mesh,
                                              .staging = t.staging,
                                              .staging_bytes = t.staging_bytes,
                                              .async = async,
                                              .read_beside = layout_reads_beside(&t.layout),
                                              .root = root,
                                              .source = source},
                      e);
}

/* All ranks' sum of ones, many times over. */
static bool meet(void)
{
    enum { N = 30000 };
    static float ones[N];
    struct err e = {0};
    for (int i = 0; i < N; i++) ones[i] = 1;
    struct comm *c = mesh.comm[MESH_DP];
    comm_all_reduce(c, ones, N, DT_F32, COMM_SUM);
    bool ok = comm_finish(c, &e) == 0;
    for (int i = 0; ok && i < N; i++) ok = (int)ones[i] == c->size;
    return ok;
}

/* A save, and an update beside it that goes as far as the gate lets it, with collectives. */
static int save(struct saver *s, int k, bool *met, struct err *e)
{
    struct saver_report r = {0};
    struct buf guard = {0};
    buf_puts(&guard, "{}");
    const struct saver_point p = {
        .step = (uint64_t)k, .tokenizer = "", .guard = &guard, .settings = "{}"};
    put_all(k);
    int rc = saver_save(s, &p, e);
    overwrite(s);
    for (int i = 0; i < 20; i++) *met &= meet();
    rc = saver_wait(s, &r, e);
    free(r.path);
    buf_free(&guard);
    return rc;
}

static void saves(const char *name, bool async, int first)
{
    struct err e = {0};
    bool ok = true;
    struct saver *s = open_saver(async, &e);
    for (int k = first; k < first + 3; k++) {
        ok &= save(s, k, &ok, &e) == (w->place.rank == 0);
        ok &= written(k);
        e = (struct err){0};
    }
    saver_close(s);
    all_agree(name, ok);
}

/* ---- failures ---- */
static atomic_int left; /* calls until one fails */
static struct io_sys real;
static ssize_t full(int fd, const void *p, size_t n, off_t at)
{
    if (atomic_fetch_sub(&left, 1) > 0) return real.pwrite(fd, p, n, at);
    errno = ENOSPC;
    return -1;
}
static int lost(struct device *d, void *dst, const void *src, size_t n, struct err *e)
{
    (void)d;
    const char *arena = t.memory.arena, *at = src; /* collectives read memory outside of it */
    const bool saved = at >= arena && at < arena + t.memory.plan.total;
    if (saved && atomic_fetch_sub(&left, 1) <= 0)
        return err_set(e, ERR_DEVICE, "the device is lost");
    memcpy(dst, src, n);
    return 0;
}

/* Reads of this rank in a whole save; -1: it failed. */
static int count_reads(void)
{
    struct err e = {0};
    bool met = true;
    struct device *d = t.weights.device;
    const struct ops *const whole = d->ops;
    struct ops some = *whole;
    struct saver *s = open_saver(true, &e);
    some.peek = lost;
    d->ops = &some;
    left = INT_MAX;
    const int rc = save(s, 7, &met, &e);
    saver_close(s);
    d->ops = whole;
    const int reads = INT_MAX - left;
    const bool fine = met && rc == (w->place.rank == 0) && written(7) && reads > 0;
    all_agree("a save whose reads are counted", fine);
    return reads;
}

/* Rank `at` fails with its disk, or with its device; rank 0 always knows, and nothing is left. */
static void fails(const char *name, int at, bool disk, int after)
{
    struct err e = {0};
    bool met = true;
    struct device *d = t.weights.device;
    const struct ops *const whole = d->ops;
    struct ops some = *whole;
    struct saver *s = open_saver(true, &e);
    some.peek = lost;
    left = after;
    if (w->place.rank == at && disk) io_sys.pwrite = full;
    if (w->place.rank == at && !disk) d->ops = &some;
    const int rc = save(s, 99, &met, &e);
    saver_close(s);
    d->ops = whole;
    io_sys = real;
    const bool told = w->place.rank == 0 || (w->place.rank == at && !disk);
    bool ok = met && rc == (told ? -1 : 0);
    if (told) ok &= strstr(e.msg, disk ? strerror(ENOSPC) : "the device is lost") != NULL;
    if (w->place.rank == 0 && at) ok &= strstr(e.msg, "rank ") != NULL;
    if (w->place.rank == 0) ok &= entries() == 7;
    if (!ok) printf("# rank %d: %d, %d entries, %s\n", w->place.rank, rc, entries(), e.msg);
    all_agree(name, ok);
}

static bool set_up(struct err *e)
{
    struct model m = tiny_model(true, false);
    struct device *d = device_open("cpu", 1, e);
    m.vocab = 60000; /* the embedding is two pieces, and parts end inside of tensors */
    const struct trainer_options o = {.compute = DT_BF16,
                                      .recompute = RECOMPUTE_NONE,
                                      .tokens = 32,
                                      .length = 32,
                                      .zero_stage = 1,
                                      .optimizer = {.kind = OPTIMIZER_ADAMW},
                                      .staging = 1,
                                      .saved_dtype = DT_BF16};
    return d && open_mesh(&mesh, w, d, e) == 0 && trainer_init(&t, &m, &o, &mesh, d, e) == 0 &&
           trainer_alloc(&t, e) == 0;
}

int main(void)
{
    struct err e = {0};
    if (!join()) return test_failed;
    real = io_sys;
    const int last = w->place.size - 1;
    const bool ready = (w->place.rank || (mkdtemp(root) && mkdtemp(source))) && set_up(&e);
    all_agree("save: a trainer opens", ready);
    if (ready) {
        saves("beside updates and collectives", true, 1);
        saves("before training goes on", false, 4);
        const int reads = count_reads();
        fails("a full disk at once", 0, true, 0);
        fails("a full disk later", 0, true, 3);
        fails("rank 0 cannot read", 0, false, 2);
        fails("the last rank cannot read", last, false, 0);
        fails("the last rank cannot read its last piece", last, false, reads - 1);
    }
    trainer_close(&t);
    struct device *d = mesh.comm[MESH_DP]->device;
    mesh_close(&mesh);
    device_close(d);
    if (!w->place.rank) io_remove_tree(root, NULL), io_remove_tree(source, NULL);
    world_leave(w, 1);
    return test_failed;
}
