/* SPDX-License-Identifier: Apache-2.0 */
/* Checkpoint folders: whole or absent, whatever fails, and every damage is found. */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "hf/folder.h"
#include "save/ckpt_impl.h"
#include "save/manifest_impl.h"
#include "test.h"

static char root[] = "/tmp/sft-ckpt.XXXXXX";

static char *at(const char *below)
{
    static char path[4][300];
    static int next;
    char *p = path[next++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", root, below);
    return p;
}

static int put(const char *dir, const char *name, const char *text, struct err *e)
{
    char *path = io_path(dir, name, e);
    int rc = path ? io_put(path, text, strlen(text), e) : -1;
    free(path);
    return rc;
}

/* A checkpoint of three small files. */
static int save(uint64_t step, struct err *e)
{
    memset(e, 0, sizeof *e);
    struct ckpt *c = ckpt_begin(root, step, e);
    if (!c) return -1;
    if (put(ckpt_dir(c), "config.json", "{}", e) != 0 ||
        put(ckpt_dir(c), "model.safetensors", "weights", e) != 0 ||
        put(ckpt_state_dir(c), "trainer.json", "{\"step\": 1}", e) != 0) {
        ckpt_abort(c);
        return -1;
    }
    return ckpt_commit(c, NULL, e);
}

static int count_hidden(void *arg, const char *name, struct err *e)
{
    (void)e;
    if (name[0] == '.') ++*(int *)arg;
    return 0;
}
static int hidden(void)
{
    int n = 0;
    io_list(root, count_hidden, &n, NULL);
    return n;
}

/* The complete steps of root as "1 2 10". */
static const char *steps(void)
{
    static char text[200];
    struct ckpt_list l;
    size_t n = 0;
    text[0] = 0;
    if (ckpt_list_read(root, &l, NULL) != 0) return "failed";
    for (size_t i = 0; i < l.count; i++)
        if (l.items[i].complete)
            n += (size_t)snprintf(text + n, sizeof text - n, "%s%d", n ? " " : "",
                                  (int)l.items[i].step);
    ckpt_list_free(&l);
    return text;
}

static void basics(void)
{
    struct err e = {0};
    char *path = NULL;
    uint64_t step = 0;
    CHECK("checkpoint: an empty root has no checkpoint",
          ckpt_latest(root, UINT64_MAX, &step, &path, &e) == 0);
    CHECK("checkpoint: three are saved", save(2, &e) == 0 && save(10, &e) == 0 && save(1, &e) == 0);
    CHECK("checkpoint: they are listed by step", strcmp(steps(), "1 2 10") == 0);
    CHECK("checkpoint: the newest is found", ckpt_latest(root, UINT64_MAX, &step, &path, &e) == 1 &&
                                                 step == 10 && strstr(path, "checkpoint-10"));
    free(path);
    CHECK("checkpoint: the one before the newest is found",
          ckpt_latest(root, 10, &step, &path, &e) == 1 && step == 2);
    free(path);
    CHECK("checkpoint: the same step again is refused", save(10, &e) == -1 && e.code == ERR_CREATE);
    CHECK("checkpoint: a saved one verifies", ckpt_verify(at("checkpoint-10"), &e) == 0);
    CHECK("checkpoint: its inner folder verifies",
          ckpt_verify(at("checkpoint-10/sft_train"), &e) == 0);
    CHECK("checkpoint: a save leaves no temporary name", hidden() == 0);
    CHECK("checkpoint: prune keeps the newest",
          ckpt_prune(root, 2, 0, &e) == 0 && strcmp(steps(), "2 10") == 0);
    CHECK("checkpoint: prune 0 keeps all",
          ckpt_prune(root, 0, 0, &e) == 0 && strcmp(steps(), "2 10") == 0);
    CHECK("checkpoint: those that are there are found",
          ckpt_has(root, 2, &e) == 1 && ckpt_has(root, 3, &e) == 0);
}

/* Prunes steps 1 to 5 of a root of their own; returns those that remain. */
static const char *pruned(uint64_t keep, uint64_t best)
{
    struct err e;
    struct ckpt_list l;
    ckpt_list_read(root, &l, &e);
    for (size_t i = 0; i < l.count; i++) io_remove_tree(l.items[i].path, &e);
    ckpt_list_free(&l);
    for (uint64_t i = 1; i <= 5; i++)
        if (save(i, &e)) return "failed";
    return ckpt_prune(root, keep, best, &e) ? "failed" : steps();
}

static void best(void)
{
    CHECK("best: it is one of those that remain",
          strcmp(pruned(2, 3), "3 5") == 0 && strcmp(pruned(3, 1), "1 4 5") == 0);
    CHECK("best: one of the newest takes no place of its own", strcmp(pruned(2, 4), "4 5") == 0);
    CHECK("best: the newest remains beside it", strcmp(pruned(1, 2), "2 5") == 0);
    CHECK("best: it may be the newest", strcmp(pruned(1, 5), "5") == 0);
    CHECK("best: one that is not there takes no place", strcmp(pruned(2, 9), "4 5") == 0);
}

static int no_links(const char *from, const char *to)
{
    (void)from, (void)to;
    errno = EPERM;
    return -1;
}

static void model(void)
{
    struct err e = {0};
    struct stat a, b;
    char *path = NULL;
    CHECK("model: a folder has the model of a checkpoint",
          ckpt_model(root, 5, "best", &path, &e) == 0 && strstr(path, "/best") &&
              ckpt_verify(path, &e) == 0 && io_has(path, "state", &e) == 0);
    free(path);
    CHECK("model: its files are those of the checkpoint",
          io_stat(at("best/model.safetensors"), &a, &e) == 0 &&
              io_stat(at("checkpoint-5/sft_train/model.safetensors"), &b, &e) == 0 &&
              a.st_ino == b.st_ino);
    io_sys.link = no_links;
    CHECK("model: where there are no links they are copies, in the place of the earlier folder",
          ckpt_model(root, 5, "best", &path, &e) == 0 && ckpt_verify(path, &e) == 0 &&
              io_stat(at("best/model.safetensors"), &a, &e) == 0 && a.st_ino != b.st_ino);
    free(path);
    io_sys.link = link;
    CHECK("model: one of no checkpoint is refused, and the earlier one stays",
          ckpt_model(root, 6, "best", &path, &e) == -1 && !path && hidden() == 0 &&
              ckpt_verify(at("best"), &e) == 0);
    io_remove_tree(at("best"), &e);
}

/* Somebody removes what is being saved: no input is missing, an output cannot be made. */
static void removed(void)
{
    struct err e = {0};
    struct ckpt *c = ckpt_begin(root, 77, &e);
    CHECK("checkpoint: removing its folder during the save is an error",
          c && io_remove_tree(at(".checkpoint-77.tmp"), &e) == 0 &&
              ckpt_commit(c, NULL, &e) == -1 && e.code == ERR_CREATE);
    c = ckpt_begin(at("none"), 77, &e);
    CHECK("checkpoint: a folder of checkpoints that was removed is not made anew",
          !c && e.code == ERR_CREATE && io_exists(at("none"), NULL) == 0);
}

static void names(void)
{
    uint64_t s;
    CHECK("checkpoint: checkpoint-0 is the name of step 0",
          ckpt_step_of("checkpoint-0", &s) == 0 && s == 0);
    CHECK("checkpoint: other names are no steps",
          ckpt_step_of("checkpoint-", &s) && ckpt_step_of("checkpoint-1a", &s) &&
              ckpt_step_of("checkpoint-01", &s) && ckpt_step_of("checkpoint--1", &s) &&
              ckpt_step_of("checkpoint-99999999999999999999", &s) && ckpt_step_of("x", &s));
}

/* Every flipped bit of every file is found, and the file is named. */
static void damage(void)
{
    static const char *const files[] = {"config.json", "model.safetensors", "state/trainer.json",
                                        "manifest.json"};
    struct err e = {0};
    for (size_t i = 0; i < 4; i++) {
        char path[300];
        struct buf b = {0};
        bool ok = true;
        snprintf(path, sizeof path, "%s/%s", at("checkpoint-2/sft_train"), files[i]);
        if (io_slurp(path, 1 << 20, &b, &e) != 0) ok = false;
        for (size_t bit = 0; ok && bit < 8 * b.len; bit += 3) {
            b.data[bit / 8] ^= (char)(1 << bit % 8);
            io_put(path, b.data, b.len, &e);
            ok = ckpt_verify(at("checkpoint-2"), &e) == -1 && e.code == ERR_DATA &&
                 strstr(e.msg, files[i]);
            b.data[bit / 8] ^= (char)(1 << bit % 8);
        }
        for (size_t n = 0; ok && n < b.len; n++) {
            io_put(path, b.data, n, &e);
            ok = ckpt_verify(at("checkpoint-2"), &e) == -1 && e.code == ERR_DATA &&
                 strstr(e.msg, files[i]);
        }
        ok = ok && strcmp(steps(), "10") == 0; /* cut short: not complete any more */
        io_put(path, b.data, b.len, &e);
        char name[80];
        snprintf(name, sizeof name, "checkpoint damage: any flipped bit and any cut of %s is found",
                 files[i]);
        CHECK(name, ok && ckpt_verify(at("checkpoint-2"), &e) == 0);
        buf_free(&b);
    }
    io_put(at("checkpoint-2/sft_train/extra"), "", 0, &e);
    CHECK("checkpoint: verify finds an extra file",
          ckpt_verify(at("checkpoint-2"), &e) == -1 && strstr(e.msg, "extra"));
    io_sys.unlink(at("checkpoint-2/sft_train/extra"));
    io_sys.unlink(at("checkpoint-2/sft_train/config.json"));
    CHECK("checkpoint: verify finds a missing file", ckpt_verify(at("checkpoint-2"), &e) == -1 &&
                                                         e.code == ERR_DATA &&
                                                         strstr(e.msg, "config.json"));
    CHECK("checkpoint: verify refuses a folder without a manifest",
          ckpt_verify(root, &e) == -1 && e.code == ERR_NOINPUT);
    CHECK("checkpoint: a damaged one is not listed", strcmp(steps(), "10") == 0);
}

/* A manifest with these lines between the header and its right hash. */
static bool manifest_refused(const char *files)
{
    struct manifest m = {0};
    struct buf b = {0};
    struct err e = {0};
    char self[HASH128_HEX];
    buf_printf(&b, "{\"format\":\"sft-checkpoint\",\"version\":1,\"step\":1,\"files\":[%s],\n",
               files);
    struct hash128 *h = hash128_new(&e);
    hash128_add(h, b.data, b.len);
    hash128_hex(h, self);
    hash128_free(h);
    buf_printf(&b, "  \"self\": \"%s\"\n}\n", self);
    int rc = manifest_parse(b.data, b.len, "m", &m, &e);
    buf_free(&b);
    if (rc == 0) manifest_free(&m);
    return rc == -1 && e.code == ERR_DATA;
}

static void bad_manifests(void)
{
#define H "\"00000000000000000000000000000000\""
    CHECK("manifest: an empty list of files is taken", !manifest_refused(""));
    CHECK("manifest: a plain file is taken",
          !manifest_refused("{\"path\":\"a\",\"size\":0,\"xxh128\":" H "}"));
    CHECK("manifest: a path out of the folder is refused",
          manifest_refused("{\"path\":\"../a\",\"size\":0,\"xxh128\":" H "}") &&
              manifest_refused("{\"path\":\"/a\",\"size\":0,\"xxh128\":" H "}") &&
              manifest_refused("{\"path\":\"a/../b\",\"size\":0,\"xxh128\":" H "}") &&
              manifest_refused("{\"path\":\"a/\",\"size\":0,\"xxh128\":" H "}"));
    CHECK("manifest: a negative size is refused",
          manifest_refused("{\"path\":\"a\",\"size\":-1,\"xxh128\":" H "}"));
    CHECK("manifest: a file without a hash is refused",
          manifest_refused("{\"path\":\"a\",\"size\":1}"));
    CHECK("manifest: a path twice is refused",
          manifest_refused("{\"path\":\"a\",\"size\":0,\"xxh128\":" H "},"
                           "{\"path\":\"a\",\"size\":0,\"xxh128\":" H "}"));
    CHECK("manifest: text that is no object is refused", manifest_refused("1"));
}

/* ---- faults: the k-th call that writes fails with "no space left" ---- */
static int fail_at, calls;
static struct io_sys real;
static bool now(void)
{
    if (++calls != fail_at) return false;
    errno = ENOSPC;
    return true;
}
static ssize_t bad_write(int fd, const void *p, size_t n)
{
    return now() ? -1 : real.write(fd, p, n);
}
static int bad_fsync(int fd) { return now() ? -1 : real.fsync(fd); }
static int bad_rename(const char *a, const char *b) { return now() ? -1 : real.rename(a, b); }
static int bad_rename_new(const char *a, const char *b)
{
    return now() ? -1 : real.rename_new(a, b);
}
/* Folders that exist are asked for too, and their answer is not looked at. */
static int bad_mkdir(const char *p, mode_t m)
{
    return !io_exists(p, NULL) && now() ? -1 : real.mkdir(p, m);
}

static void faults(void)
{
    struct err e = {0};
    bool ok = true;
    int failures = 0;
    real = io_sys;
    io_sys.write = bad_write;
    io_sys.fsync = bad_fsync;
    io_sys.rename = bad_rename;
    io_sys.rename_new = bad_rename_new;
    io_sys.mkdir = bad_mkdir;
    for (fail_at = 1; fail_at < 1000; fail_at++) {
        calls = 0;
        int rc = save(77, &e);
        if (rc == 0 && calls < fail_at) break; /* it needed no more calls */
        failures++;
        /* Only the sync of root after the rename can fail with the checkpoint in place. */
        bool there = io_exists(at("checkpoint-77"), NULL);
        ok = ok && rc == -1 && e.code >= ERR_CREATE && hidden() == 0 &&
             ckpt_verify(at("checkpoint-10"), NULL) == 0 &&
             (!there || ckpt_verify(at("checkpoint-77"), NULL) == 0);
        if (!ok) printf("# call %d: rc %d, %s\n", fail_at, rc, e.msg);
        if (!ok) break;
        if (there) io_remove_tree(at("checkpoint-77"), &e);
    }
    io_sys = real;
    CHECK("checkpoint faults: each failing call leaves the previous checkpoint and nothing else",
          ok && failures > 8);
    CHECK("checkpoint faults: a save without a failure is whole",
          ckpt_verify(at("checkpoint-77"), &e) == 0);
}

static void leftovers(void)
{
    struct err e = {0};
    io_mkdirs(at(".checkpoint-5.tmp/sft_train/state"), &e);
    io_put(at(".checkpoint-5.tmp/sft_train/model.safetensors"), "half", 4, &e);
    io_mkdirs(at("checkpoint-500/sft_train"), &e);
    CHECK("checkpoint leftovers: an interrupted save is no checkpoint",
          strcmp(steps(), "10 77") == 0);
    CHECK("checkpoint leftovers: the next save removes an interrupted one",
          save(78, &e) == 0 && hidden() == 0);
    CHECK("checkpoint leftovers: a folder without a manifest is left alone",
          io_exists(at("checkpoint-500"), NULL));
}

/* For tests/cli/ckpt.sh: a checkpoint of the model folder `model`, as the trainer saves it. */
static int make(const char *where, const char *step, const char *model)
{
    struct err e = {0};
    struct io_map m = {0};
    struct ckpt *c = io_mkdirs(where, &e) ? NULL : ckpt_begin(where, strtoull(step, NULL, 10), &e);
    char *from = io_path(model, "model.safetensors", &e);
    char *to = c ? io_path(ckpt_dir(c), "model.safetensors", &e) : NULL;
    int rc = from && to && hf_folder_copy(model, ckpt_dir(c), &e) == 0 &&
                     io_map(from, &m, &e) == 0 && io_put(to, m.p, m.n, &e) == 0 &&
                     put(ckpt_state_dir(c), "trainer.json", "{}\n", &e) == 0
                 ? ckpt_commit(c, NULL, &e)
                 : (ckpt_abort(c), -1);
    if (m.p) io_unmap(&m);
    free(from);
    free(to);
    if (rc != 0) fprintf(stderr, "%s\n", e.msg);
    return rc != 0;
}

int main(int argc, char **argv)
{
    if (argc == 5 && strcmp(argv[1], "make") == 0) return make(argv[2], argv[3], argv[4]);
    if (!mkdtemp(root)) return 1;
    removed();
    names();
    basics();
    damage();
    bad_manifests();
    faults();
    leftovers();
    best();
    model();
    io_remove_tree(root, NULL);
    TEST_END();
}
