/* SPDX-License-Identifier: Apache-2.0 */
/* The saver: bytes through a ring much smaller than what is saved, updates that wait until a tensor
 * has been read, and every failing system call. */
#include <errno.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/io.h"
#include "mesh.h"
#include "save/ckpt.h"
#include "save/saver.h"
#include "test.h"

enum { TENSORS = 6, N = 200 * 1000 + 3, STAGING = 1 << 20 };
static char root[] = "/tmp/sft-saver.XXXXXX", source[] = "/tmp/sft-model.XXXXXX";
static struct mesh mesh;
static float values[TENSORS * (N + 64)]; /* "device memory" that updates change */
static atomic_int reads, fail_read;
static struct saver_tensor tensors[2 * TENSORS];
static char names[2 * TENSORS][32];

static int read_values(void *arg, size_t at, size_t n, enum dtype as, void *out, struct err *e)
{
    (void)arg;
    if (atomic_fetch_add(&reads, 1) + 1 == fail_read)
        return err_set(e, ERR_DEVICE, "the device is lost");
    usleep(500);
    memset(out, -1, n * sizeof *values); /* the device's elements are here before the result is */
    return dtype_from_f32(as, values + at, n, out) ? err_set(e, ERR_INTERNAL, "type") : 0;
}

/* Each tensor once in either file: 12 pieces of up to 800 KB, of which the ring holds one. */
static struct saver_list list(void)
{
    for (int i = 0; i < 2 * TENSORS; i++) {
        const size_t at = (size_t)(i / 2) * (N + 64) / 64 * 64;
        snprintf(names[i], sizeof names[i], "%s%d", i % 2 ? "state." : "x", i / 2);
        tensors[i] = (struct saver_tensor){.name = names[i],
                                           .dtype = i % 2 ? DT_F32 : DT_BF16,
                                           .rank = 1,
                                           .shape = {N},
                                           .n = N,
                                           .file = i % 2,
                                           .at = at,
                                           .room = sizeof *values,
                                           .read = read_values};
        if (i % 2) tensors[i].passed = (size_t)(i / 2 + 1) * (N + 64) / 64 * 64;
    }
    return (struct saver_list){.tensors = tensors,
                               .ntensors = 2 * TENSORS,
                               .files = {{"model", false}, {"optimizer", true}},
                               .nfiles = 2};
}

/* With staging memory for free(). */
static struct saver_options options(bool async, bool beside)
{
    struct saver_options o = {.list = list(),
                              .mesh = &mesh,
                              .async = async,
                              .read_beside = beside,
                              .root = root,
                              .source = source};
    o.staging_bytes = saver_staging(&o.list, STAGING);
    o.staging = malloc(o.staging_bytes);
    return o;
}

static void fill(float add)
{
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        values[i] = (float)(i % 1000) / 16 + add;
}

/* True if checkpoint-step has the values that fill(add) makes. */
static bool has(int step, float add)
{
    char path[200];
    struct err e = {0};
    snprintf(path, sizeof path, "%s/checkpoint-%d", root, step);
    bool ok = ckpt_verify(path, &e) == 0;
    snprintf(path, sizeof path, "%s/checkpoint-%d/sft_train/state", root, step);
    struct safetensors *s = safetensors_open_stem(path, "optimizer", &e);
    for (int i = 0; i < TENSORS && s; i++) {
        const struct hf_tensor *t = safetensors_at(s, (size_t)i);
        const size_t at = tensors[2 * i].at;
        for (size_t j = 0; j < N; j++) {
            float v, want = (float)((at + j) % 1000) / 16 + add;
            memcpy(&v, t->data + j * sizeof v, sizeof v);
            ok &= !(v < want || v > want);
        }
    }
    ok &= s != NULL;
    if (!ok) printf("# %s\n", e.msg);
    safetensors_close(s);
    return ok;
}

static int count_hidden(void *arg, const char *name, struct err *e)
{
    (void)e;
    *(int *)arg += name[0] == '.';
    return 0;
}
static int hidden(void)
{
    int n = 0;
    io_list(root, count_hidden, &n, NULL);
    return n;
}

/* A save, and an update beside it that goes as far as the gate lets it. */
static int save(struct saver *s, int step, struct saver_report *r, struct err *e)
{
    const size_t all = sizeof values / sizeof *values;
    struct buf guard = {0};
    buf_puts(&guard, "{}");
    const struct saver_point p = {
        .step = (uint64_t)step, .tokenizer = "", .guard = &guard, .settings = "{}"};
    fill((float)step);
    const int rc = saver_save(s, &p, e);
    buf_free(&guard);
    if (rc) return -1;
    for (size_t at = 0, to; at < all; at = to) {
        to = saver_gate(s, at);
        if (to > all) to = all;
        for (size_t i = at; i < to; i++) values[i] = -1;
    }
    return saver_wait(s, r, e);
}

static void modes(void)
{
    static const struct {
        bool async, beside;
        const char *name;
    } modes[] = {{true, true, "saver: beside training"},
                 {true, false, "saver: read by the caller"},
                 {false, true, "saver: before training goes on"}};
    for (int i = 0; i < 3; i++) {
        struct err e = {0};
        struct saver_report r = {0};
        struct saver_options o = options(modes[i].async, modes[i].beside);
        struct saver *s = saver_open(&o, &e);
        bool ok = s && o.staging_bytes == STAGING;
        for (int k = 1; k < 4 && ok; k++) {
            ok = save(s, 10 * i + k, &r, &e) == 1 && r.step == (uint64_t)(10 * i + k) &&
                 r.bytes == (uint64_t)TENSORS * N * 6 && has(10 * i + k, (float)(10 * i + k));
            free(r.path);
        }
        if (!ok) printf("# %s\n", e.msg);
        CHECK(modes[i].name, ok);
        saver_close(s);
        free(o.staging);
    }
}

static struct io_sys real;
static atomic_int calls, fail_at;
static bool fails(void)
{
    errno = ENOSPC;
    return atomic_fetch_add(&calls, 1) + 1 == fail_at;
}
static ssize_t f_write(int fd, const void *p, size_t n)
{
    return fails() ? -1 : real.write(fd, p, n);
}
static int f_fsync(int fd) { return fails() ? -1 : real.fsync(fd); }
static int f_rename(const char *a, const char *b) { return fails() ? -1 : real.rename(a, b); }
static int f_rename_new(const char *a, const char *b)
{
    return fails() ? -1 : real.rename_new(a, b);
}
static int f_mkdir(const char *p, mode_t m) { return fails() ? -1 : real.mkdir(p, m); }

static void faults(void)
{
    struct err e = {0};
    struct saver_report r = {0};
    struct saver_options o = options(true, true);
    real = io_sys;
    int n = 0;
    bool ok = true;
    for (int at = 1; ok && at < 1000; at++) {
        struct saver *s = saver_open(&o, &e);
        calls = 0;
        fail_at = at;
        io_sys.write = f_write, io_sys.fsync = f_fsync, io_sys.rename = f_rename,
        io_sys.rename_new = f_rename_new, io_sys.mkdir = f_mkdir;
        const int rc = save(s, 99, &r, &e);
        saver_close(s);
        io_sys = real;
        if (rc == 1) free(r.path);
        if (rc == 1 && calls < fail_at) break; /* it needed no more calls */
        n += rc != 1;
        ok = rc == 1 || /* a folder that is there need not be made */
             (rc == -1 && (e.code == ERR_IO || e.code == ERR_CREATE) && hidden() == 0 &&
              has(3, 3) && strstr(e.msg, "checkpoint-99") && strstr(e.msg, strerror(ENOSPC)));
        if (!ok) printf("# call %d: rc %d, %s\n", at, rc, e.msg);
        char path[200]; /* only the last fsync, of root, may fail after the rename */
        snprintf(path, sizeof path, "%s/checkpoint-99", root);
        if (io_exists(path, NULL)) io_remove_tree(path, NULL);
    }
    CHECK("saver: every failing call is told, and leaves what was there",
          ok && n > 12 && has(99, 99));
    struct saver *s = saver_open(&o, &e);
    reads = 0;
    fail_read = 7;
    CHECK("saver: a failing read is told",
          save(s, 100, &r, &e) == -1 && e.code == ERR_DEVICE && hidden() == 0);
    CHECK("saver: a failing read is told again",
          saver_poll(s, &r, &e) == -1 && saver_gate(s, 0) == SIZE_MAX);
    saver_close(s);
    free(o.staging);
}

static bool make_source(struct err *e)
{
    char path[200];
    if (!mkdtemp(source)) return false;
    snprintf(path, sizeof path, "%s/config.json", source);
    return io_put(path, "{}\n", 3, e) == 0;
}

int main(void)
{
    struct err e = {0};
    struct device *d = device_open("cpu", 1, &e);
    if (!d || open_mesh_alone(&mesh, d, &e) || !mkdtemp(root) || !make_source(&e)) {
        printf("not ok set up: %s\n", e.msg);
        return 70;
    }
    modes();
    faults();
    mesh_close(&mesh);
    device_close(d);
    io_remove_tree(root, NULL);
    io_remove_tree(source, NULL);
    TEST_END();
}
