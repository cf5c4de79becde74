/* SPDX-License-Identifier: Apache-2.0 */
/* Every system call of a save fails in turn, in every way: the failure is reported, the file that
 * was there before stays as it was, and nothing else is left in the folder. */
#include <errno.h>
#include <unistd.h>

#include "base/io.h"
#include "test.h"

enum { SHORT = -1 }; /* beside errno values: the call does half of its work */
static struct io_sys real;
static struct {
    int at, how, calls; /* call number `at` (from 1) fails with errno `how` */
    bool hit;
    char name[16];
} fault;
static char dir[200];

static bool fails(const char *name)
{
    if (++fault.calls != fault.at) return false;
    fault.hit = true;
    snprintf(fault.name, sizeof fault.name, "%s", name);
    if (fault.how != SHORT) errno = fault.how;
    return fault.how != SHORT;
}

static int f_open(const char *p, int flags, mode_t m)
{
    return fails("open") ? -1 : real.open(p, flags, m);
}
static int f_fsync(int fd) { return fails("fsync") ? -1 : real.fsync(fd); }
static int f_rename(const char *a, const char *b)
{
    return fails("rename") ? -1 : real.rename(a, b);
}
static int f_rename_new(const char *a, const char *b)
{
    return fails("rename") ? -1 : real.rename_new(a, b);
}
static int f_mkdir(const char *p, mode_t m) { return fails("mkdir") ? -1 : real.mkdir(p, m); }
static ssize_t f_write(int fd, const void *p, size_t n)
{
    if (fails("write")) return -1;
    bool half = fault.calls == fault.at && fault.how == SHORT;
    return real.write(fd, p, half ? (n + 1) / 2 : n);
}
/* The kernel releases the descriptor even when close fails. */
static int f_close(int fd)
{
    bool bad = fails("close");
    int saved = errno;
    real.close(fd);
    errno = saved;
    return bad ? -1 : 0;
}

static int count(void *arg, const char *name, struct err *e)
{
    (void)name, (void)e;
    ++*(int *)arg;
    return 0;
}

static bool holds(const char *path, const char *text)
{
    struct buf b = {0};
    struct err e;
    bool ok = io_slurp(path, 1000, &b, &e) == 0 && b.len == strlen(text) &&
              memcmp(b.data, text, b.len) == 0;
    buf_free(&b);
    return ok;
}

/* From now on call n fails so. */
static void begin(int n, int how)
{
    fault.at = n;
    fault.how = how;
    fault.calls = 0;
    fault.hit = false;
    io_sys.open = f_open;
    io_sys.write = f_write;
    io_sys.fsync = f_fsync;
    io_sys.close = f_close;
    io_sys.rename = f_rename;
    io_sys.rename_new = f_rename_new;
    io_sys.mkdir = f_mkdir;
}

static bool told(const struct err *e, const char *path, int how)
{
    const bool disk = how == EIO || how == ENOSPC;
    const bool code = how == ENOMEM ? e->code == ERR_MEMORY
                      : disk        ? e->code == ERR_IO
                                    : e->code == ERR_IO || e->code == ERR_CREATE;
    return code && strstr(e->msg, path) && strstr(e->msg, strerror(how));
}

/* The save whose n-th call fails so; false when it makes fewer calls. */
static bool save(int n, int how, bool replace)
{
    static const char *const old = "the old text", *const new = "a new text, longer than the old";
    char path[300], name[100];
    struct err e = {0}, other;
    int files = 0;
    snprintf(path, sizeof path, "%s/out", dir);
    real.unlink(path);
    if (replace) io_put(path, old, strlen(old), &e);
    begin(n, how);
    int rc = io_put(path, new, strlen(new), &e);
    io_sys = real;
    snprintf(name, sizeof name, "call %d (%s), errno %d", n, fault.name, how);
    io_list(dir, count, &files, &other);
    bool is_new = holds(path, new), is_old = replace ? holds(path, old) : !io_exists(path, NULL);
    bool recovers = how == EINTR || how == SHORT;
    if (!fault.hit || recovers) {
        EXPECT(name, rc == 0 && is_new && files == 1);
    } else if (rc == 0) { /* only what comes after the file is safe may go unreported */
        EXPECT(name, strcmp(fault.name, "close") == 0 && is_new && files == 1);
    } else {
        EXPECT(name, (is_old || is_new) && files == (is_old && !replace ? 0 : 1));
        EXPECT(name, told(&e, path, how));
    }
    return fault.hit;
}

static int fill(const struct io_folder *f, const char *text, struct err *e)
{
    char *path = io_path(io_folder_path(f), "file", e);
    int rc = path ? io_put(path, text, strlen(text), e) : -1;
    mem_free(path);
    return rc;
}

/* The same of a folder with a file in it. */
static bool save_folder(int n, int how)
{
    static const char *const text = "some text";
    char path[300], file[310], name[100];
    struct err e = {0}, other;
    int entries = 0;
    snprintf(path, sizeof path, "%s/out", dir);
    snprintf(file, sizeof file, "%s/file", path);
    begin(n, how);
    struct io_folder *f = io_folder_new(path, &e);
    int rc = f ? fill(f, text, &e) : -1;
    if (rc == 0)
        rc = io_folder_commit(f, &e);
    else
        io_folder_abort(f);
    io_sys = real;
    snprintf(name, sizeof name, "folder: call %d (%s), errno %d", n, fault.name, how);
    io_list(dir, count, &entries, &other);
    if (rc == 0) { /* only what comes after the folder is safe may go unreported */
        bool recovers = how == EINTR || how == SHORT || strcmp(fault.name, "close") == 0;
        EXPECT(name, (!fault.hit || recovers) && holds(file, text) && entries == 1);
    } else {
        EXPECT(name, entries == 0 || holds(file, text));
        EXPECT(name, entries <= 1 && told(&e, dir, how) && how != EINTR && how != SHORT);
    }
    if (entries) io_remove_tree(path, &other);
    return fault.hit;
}

int main(void)
{
    static const int ways[] = {ENOSPC, EIO, EDQUOT, EACCES, ENOMEM, EINTR, SHORT};
    /* in memory where that can be: fsync costs nothing there */
    const char *tmp = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : getenv("TEST_TMP");
    struct err e;
    real = io_sys;
    snprintf(dir, sizeof dir, "%s/base_faults.XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(dir)) return 70;
    int least = 1000, folder = 1000;
    for (size_t w = 0; w < sizeof ways / sizeof *ways; w++)
        for (int replace = 0; replace < 2; replace++) {
            int n = 1;
            while (save(n, ways[w], replace)) n++;
            if (n - 1 < least) least = n - 1;
        }
    CHECK("io faults: a save makes at least 8 calls that can fail",
          least >= 8); /* open write fsync close rename open fsync close */
    CHECK(
        "io faults: each failing call of a file's save is told and leaves the old file or the new",
        !test_failed);
    io_remove_tree(dir, &e);
    mkdir(dir, 0700);
    for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
        int n = 1;
        while (save_folder(n, ways[w])) n++;
        if (n - 1 < folder) folder = n - 1;
    }
    CHECK("io faults: a folder's save makes 7 calls more", folder >= 8 + 7);
    CHECK("io faults: each failing call of a folder's save is told and leaves no half folder",
          !test_failed);
    CHECK("io faults: nothing else is left", io_remove_tree(dir, &e) == 0);
    TEST_END();
}
