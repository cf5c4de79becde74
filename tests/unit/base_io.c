/* SPDX-License-Identifier: Apache-2.0 */
/* Files: what is written appears whole or not at all, and the ways in which it cannot be. */
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "test.h"

static char dir[200];

static const char *at(const char *name)
{
    static char path[4][300];
    static int turn;
    char *p = path[turn++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", dir, name);
    return p;
}

static int count_one(void *arg, const char *name, struct err *e)
{
    (void)name, (void)e;
    ++*(int *)arg;
    return 0;
}

static int entries(const char *path)
{
    int n = 0;
    struct err e;
    return io_list(path, count_one, &n, &e) == 0 ? n : -1;
}

static bool holds(const char *path, const char *text)
{
    struct buf b = {0};
    struct err e;
    bool ok = io_slurp(path, 1 << 20, &b, &e) == 0 && b.len == strlen(text) &&
              memcmp(b.data, text, b.len) == 0;
    buf_free(&b);
    return ok;
}

static void test_write(void)
{
    struct err e = {0};
    struct stat st;
    mode_t old = umask(027);
    CHECK("io write: a file has the bytes put",
          io_put(at("a"), "hello", 5, &e) == 0 && holds(at("a"), "hello"));
    CHECK("io write: the mode follows the umask",
          io_stat(at("a"), &st, &e) == 0 && (st.st_mode & 0777) == 0640);
    umask(old);
    CHECK("io write: a file is replaced", io_put(at("a"), "x", 1, &e) == 0 && holds(at("a"), "x"));
    CHECK("io write: a file of nothing is written",
          io_put(at("b"), NULL, 0, &e) == 0 && holds(at("b"), ""));

    struct io_out *out = io_create(at("a"), &e);
    CHECK("io write: an unfinished file counts its bytes",
          out && io_write(out, "new", 3, &e) == 0 && io_written(out) == 3);
    CHECK("io write: the old file stands until the commit",
          holds(at("a"), "x") && entries(dir) == 3);
    CHECK("io write: the commit puts the new file in its place",
          io_commit(out, &e) == 0 && holds(at("a"), "new") && entries(dir) == 2);
    out = io_create(at("a"), &e);
    io_write(out, "zzz", 3, &e);
    io_abort(out);
    io_abort(NULL);
    CHECK("io write: abort leaves nothing", holds(at("a"), "new") && entries(dir) == 2);

    CHECK("io write: a link is written through",
          symlink("a", at("link")) == 0 && io_put(at("link"), "via", 3, &e) == 0 &&
              holds(at("a"), "via") && lstat(at("link"), &st) == 0 && S_ISLNK(st.st_mode));
    CHECK("io write: a device is written directly", io_put("/dev/null", "x", 1, &e) == 0 &&
                                                        stat("/dev/null", &st) == 0 &&
                                                        S_ISCHR(st.st_mode));
    CHECK("io write: a full device", io_put("/dev/full", "x", 1, &e) < 0 && e.code == ERR_IO &&
                                         strstr(e.msg, "/dev/full: write failed: No space"));
    char name[256];
    memset(name, 'n', 255);
    name[255] = 0;
    CHECK("io write: the longest name is taken",
          io_put(at(name), "x", 1, &e) == 0 && holds(at(name), "x"));
    CHECK("io write: no other file is there", entries(dir) == 4);
    unlink(at("link"));
    unlink(at(name));
}

static bool cannot(const char *path, const char *why)
{
    struct err e = {0};
    struct io_out *out = io_create(path, &e);
    bool ok = !out && e.code == ERR_CREATE && strstr(e.msg, why) && strstr(e.msg, path);
    if (!ok) printf("# %s: %s\n", path, e.msg);
    io_abort(out);
    return ok;
}

static void test_cannot_write(void)
{
    CHECK("io cannot write: the target is a folder", cannot(dir, "is a folder"));
    CHECK("io cannot write: the folder is missing", cannot(at("no/such"), "No such file"));
    CHECK("io cannot write: the folder is a file", cannot(at("a/b"), "Not a directory"));
    CHECK("io cannot write: the name ends in a slash", cannot(at("q/"), "not the name of a file"));
    CHECK("io cannot write: the name is empty", cannot("", "not the name"));
    int status;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) { /* root may write everywhere, nobody may not */
        chmod(dir, 0555);
        if (geteuid() == 0 && setuid(65534) != 0) _exit(2);
        _exit(cannot(at("q"), "Permission denied") ? 0 : 1);
    }
    waitpid(pid, &status, 0);
    chmod(dir, 0700);
    CHECK("io cannot write: the folder is read-only", status == 0);
    CHECK("io cannot write: nothing is left behind", entries(dir) == 2);
}

static void test_read(void)
{
    struct err e = {0};
    struct buf b = {0};
    struct io_map m;
    char text[8];
    io_put(at("r"), "0123456789", 10, &e);
    struct io_in *in = io_open(at("r"), &e);
    CHECK("io read: an input knows its name", in && strcmp(io_name(in), at("r")) == 0);
    CHECK("io read: it gives the bytes in order, then the end",
          io_read(in, text, 8, &e) == 8 && io_read(in, text, 8, &e) == 2 &&
              memcmp(text, "89", 2) == 0 && io_read(in, text, 8, &e) == 0);
    io_close(in);
    CHECK("io read: a missing file is no input",
          !io_open(at("none"), &e) && e.code == ERR_NOINPUT && strstr(e.msg, "No such"));
    CHECK("io read: a folder is no input",
          !io_open(dir, &e) && e.code == ERR_NOINPUT && strstr(e.msg, "folder"));
    CHECK("io read: a mapped file has its bytes",
          io_map(at("r"), &m, &e) == 0 && m.n == 10 && memcmp(m.p, "0123", 4) == 0);
    io_unmap(&m);
    CHECK("io read: an empty file can be mapped", io_map(at("b"), &m, &e) == 0 && m.n == 0 && m.p);
    io_unmap(&m);
    CHECK("io read: a device cannot be mapped",
          io_map("/dev/zero", &m, &e) < 0 && e.code == ERR_NOINPUT);
    CHECK("io read: a slurp takes a file as long as its limit",
          io_slurp(at("r"), 10, &b, &e) == 0 && b.len == 10);
    CHECK("io read: a slurp appends to the buffer",
          io_slurp(at("r"), 10, &b, &e) == 0 && b.len == 20 && b.data[20] == 0);
    CHECK("io read: a slurp refuses a file over its limit",
          io_slurp(at("r"), 9, &b, &e) < 0 && e.code == ERR_DATA);
    CHECK("io read: a slurp refuses a file without an end",
          io_slurp_any("/dev/zero", 1 << 20, &b, &e) < 0 && e.code == ERR_DATA);
    CHECK("io read: a slurp of a member of a folder refuses a device",
          io_slurp("/dev/zero", 1 << 20, &b, &e) < 0 && e.code == ERR_NOINPUT);
    buf_free(&b);
    unlink(at("r"));
}

static void test_pointer(void)
{
    static const char text[] = "version https://git-lfs.github.com/spec/v1\n"
                               "oid sha256:00ff\nsize 268435456\n";
    struct err e = {0};
    struct buf b = {0};
    struct io_map m;
    io_put(at("p"), text, strlen(text), &e);
    CHECK("io read: a git-lfs pointer is not mapped, and the command that helps is told",
          io_map(at("p"), &m, &e) < 0 && e.code == ERR_DATA && strstr(e.msg, "git-lfs pointer") &&
              strstr(e.msg, "git lfs pull") && strstr(e.msg, at("p")));
    CHECK("io read: nor is it opened",
          !io_open(at("p"), &e) && e.code == ERR_DATA && strstr(e.msg, "git-lfs"));
    CHECK("io read: nor is it slurped",
          io_slurp(at("p"), 1000, &b, &e) < 0 && e.code == ERR_DATA && b.len == 0);
    io_put(at("p"), text + 1, strlen(text) - 1, &e);
    CHECK("io read: a text that only has such a line is read",
          io_slurp(at("p"), 1000, &b, &e) == 0 && b.len == strlen(text) - 1);
    char *more = calloc(1, 1024);
    memcpy(more, text, strlen(text));
    io_put(at("p"), more, 1024, &e);
    buf_reset(&b);
    CHECK("io read: a file that is longer than a pointer can be is read",
          io_slurp(at("p"), 1024, &b, &e) == 0 && b.len == 1024);
    free(more);
    buf_free(&b);
    unlink(at("p"));
}

static void test_log(void)
{
    struct err e = {0};
    const char *p = at("m.jsonl");
    struct io_log *l = io_log_open(p, -1, &e);
    CHECK("io log: lines are appended", l && io_append(l, "one\n", 4, &e) == 0 &&
                                            io_append(l, "two\n", 4, &e) == 0 &&
                                            io_log_close(l, &e) == 0 && holds(p, "one\ntwo\n"));
    l = io_log_open(p, 4, &e);
    CHECK("io log: it is shortened and continued",
          l && io_append(l, "2\n", 2, &e) == 0 && io_log_close(l, &e) == 0 && holds(p, "one\n2\n"));
    l = io_log_open(p, 100, &e);
    CHECK("io log: opening never makes it longer",
          l && io_log_close(l, &e) == 0 && holds(p, "one\n2\n"));
    CHECK("io log: a missing folder is an error",
          !io_log_open(at("no/such"), -1, &e) && e.code == ERR_CREATE);
    CHECK("io log: closing none is no error", io_log_close(NULL, &e) == 0);
    unlink(p);
}

static int note(void *arg, const char *name, struct err *e)
{
    (void)e;
    buf_printf(arg, "%s,", name);
    return 0;
}

static void test_folders(void)
{
    struct err e = {0};
    struct buf b = {0};
    int one, two;
    CHECK("io folders: mkdirs makes all levels",
          io_mkdirs(at("p/q//r/"), &e) == 0 && io_is_dir(at("p/q/r"), NULL));
    CHECK("io folders: mkdirs takes what is there", io_mkdirs(at("p/q/r"), &e) == 0);
    CHECK("io folders: mkdirs through a file is an error",
          io_mkdirs(at("a/x/y"), &e) < 0 && e.code == ERR_CREATE);
    CHECK("io folders: mkdirs of an empty name is an error", io_mkdirs("", &e) < 0);
    io_put(at("p/Z"), "", 0, &e);
    io_put(at("p/b"), "", 0, &e);
    io_put(at("p/.c"), "", 0, &e);
    CHECK("io folders: a list is in byte order",
          io_list(at("p"), note, &b, &e) == 0 && strcmp(b.data, ".c,Z,b,q,") == 0);
    CHECK("io folders: a list of a missing folder is an error",
          io_list(at("none"), note, &b, &e) < 0 && e.code == ERR_NOINPUT);
    buf_free(&b);
    symlink(at("a"), at("p/link"));
    symlink(dir, at("p/up"));
    CHECK("io folders: a folder is renamed",
          io_rename_dir(at("p"), at("p2"), &e) == 0 && io_exists(at("p2/b"), NULL));
    io_mkdirs(at("p3/full"), &e);
    CHECK("io folders: a rename onto a folder is an error",
          io_rename_dir(at("p2"), at("p3"), &e) < 0 && e.code == ERR_CREATE &&
              strstr(e.msg, "exists already"));
    CHECK("io folders: a tree is removed",
          io_remove_tree(at("p2"), &e) == 0 && !io_exists(at("p2"), NULL));
    CHECK("io folders: removing does not follow links", io_exists(at("a"), NULL));
    CHECK("io folders: removing a missing tree is an error", io_remove_tree(at("p2"), &e) < 0);
    io_remove_tree(at("p3"), &e);
    CHECK("io folders: a lock is taken", io_lock(at("lock"), &one, &e) == 0);
    CHECK("io folders: a second lock is refused", io_lock(at("lock"), &two, &e) == 1 &&
                                                      e.code == ERR_CREATE && two == -1 &&
                                                      strstr(e.msg, "in use by another process"));
    io_unlock(one);
    CHECK("io folders: a lock is free after its release", io_lock(at("lock"), &one, &e) == 0);
    io_unlock(one);
    unlink(at("lock"));
    char *p = io_path("a/", "b", &e), *q = io_path("a", "b", &e), *r = io_path("", "b", &e);
    CHECK("io folders: paths are joined and split",
          strcmp(p, "a/b") == 0 && strcmp(q, "a/b") == 0 && strcmp(r, "b") == 0);
    free(p);
    free(q);
    free(r);
}

/* A child with an unfinished file that ends by a signal (0: by exit); its wait status. */
static int child_ends(int sig)
{
    int ready[2], status = 0;
    char c;
    if (pipe(ready) != 0) return -1;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        struct err e;
        static struct io_out *volatile out; /* kept: no leak at the exit */
        out = io_create(at("child"), &e);
        if (!out || io_write(out, "x", 1, &e) < 0) _exit(9);
        if (entries(dir) != 3) _exit(8);
        if (sig == 0) exit(5);
        if (write(ready[1], "r", 1) != 1) _exit(7);
        for (;;) pause();
    }
    close(ready[1]);
    if (sig && read(ready[0], &c, 1) == 1) kill(pid, sig);
    close(ready[0]);
    waitpid(pid, &status, 0);
    return status;
}

/* Sizes around those of a block and of a write past the page cache, given in odd pieces. */
static void test_past_cache(void)
{
    static const size_t sizes[] = {0, 1, 4095, 4096, 4097, 4 << 20, (4 << 20) + 1, 9 << 20};
    struct err e;
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        struct io_out *out = io_create(at("large"), &e);
        unsigned char *want = malloc(sizes[k] + 1);
        bool fine = out && want;
        for (size_t i = 0; i < sizes[k] && fine; i++)
            want[i] = (unsigned char)(i * 2654435761u >> 13);
        if (fine) io_past_cache(out);
        for (size_t i = 0, n = 1; i < sizes[k] && fine; i += n, n = n * 3 + 1) {
            if (n > sizes[k] - i) n = sizes[k] - i;
            fine = io_write(out, want + i, n, &e) == 0;
        }
        struct io_map m = {0};
        fine = fine && io_written(out) == sizes[k] && io_commit(out, &e) == 0 &&
               io_map(at("large"), &m, &e) == 0;
        CHECK("io past the page cache: the bytes are the same",
              fine && m.n == sizes[k] && memcmp(m.p, want, sizes[k]) == 0);
        io_unmap(&m);
        free(want);
    }
    CHECK("io past the page cache: the file can be removed", unlink(at("large")) == 0);
}

static void test_ends(void)
{
    int status = child_ends(0);
    CHECK("io ends: an exit removes the unfinished file",
          WIFEXITED(status) && WEXITSTATUS(status) == 5 && entries(dir) == 2);
    static const int sigs[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
    for (size_t i = 0; i < 4; i++) {
        status = child_ends(sigs[i]);
        CHECK("io ends: a signal removes the unfinished file and is passed on",
              WIFSIGNALED(status) && WTERMSIG(status) == sigs[i] && entries(dir) == 2);
    }
    struct err e;
    struct io_out *out = io_create(at("mine"), &e);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) exit(0);
    waitpid(pid, &status, 0);
    CHECK("io ends: a child leaves its parent's file alone",
          entries(dir) == 3 && io_commit(out, &e) == 0);
    unlink(at("mine"));
}

/* A limit on the size of files acts as a full disk does: an error, not the end of the process. */
static void test_limit(void)
{
    static char big[100000];
    int status;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        struct err e = {0};
        struct rlimit most = {4096, 4096};
        setrlimit(RLIMIT_FSIZE, &most);
        int rc = io_standard(&e) ? 0 : io_put(at("a"), big, sizeof big, &e);
        _exit(rc < 0 && e.code == ERR_IO && strstr(e.msg, "File too large") ? 0 : 1);
    }
    waitpid(pid, &status, 0);
    CHECK("io limit: a file over the process's limit is an error and leaves nothing",
          status == 0 && entries(dir) == 2 && holds(at("a"), "via"));
}

static void test_standard(void)
{
    struct err e = {0};
    int status;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) { /* with standard input and output closed, no file may take their places */
        char c;
        for (int fd = 0; fd < 3; fd++) close(fd);
        bool ok = io_standard(&e) == 0;
        struct io_out *out = io_create(at("s"), &e);
        struct io_in *in = io_open("-", &e);
        ok = ok && in && io_read(in, &c, 1, &e) < 0 && e.code == ERR_IO;
        ok = ok && out && io_put("-", "x", 1, &e) < 0 && e.code == ERR_IO &&
             strstr(e.msg, "<stdout>: write failed") && io_put("-", "", 0, &e) == 0;
        ok = ok && write(2, "x", 1) < 0 && io_commit(out, &e) == 0;
        _exit(ok && holds(at("s"), "") ? 0 : 1);
    }
    waitpid(pid, &status, 0);
    CHECK("io standard: closed descriptors are replaced", status == 0);
    unlink(at("s"));
    pid = fork();
    if (pid == 0) {
        int fd = open("/dev/full", O_WRONLY);
        dup2(fd, 1);
        _exit(io_put("-", "x", 1, &e) < 0 && e.code == ERR_IO && strstr(e.msg, "<stdout>") ? 0 : 1);
    }
    waitpid(pid, &status, 0);
    CHECK("io standard: a full standard output is an error", status == 0);
}

int main(void)
{
    static const int inherited[] = {SIGINT, SIGHUP}; /* a job in the background ignores them */
    for (int i = 0; i < 2; i++) signal(inherited[i], SIG_DFL);
    const char *tmp = getenv("TEST_TMP");
    snprintf(dir, sizeof dir, "%s/base_io.XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(dir)) return 70;
    test_write();
    test_cannot_write();
    test_read();
    test_pointer();
    test_log();
    test_folders();
    test_past_cache();
    test_ends();
    test_limit();
    test_standard();
    struct err e;
    CHECK("io: only the two files are left", entries(dir) == 2 && io_remove_tree(dir, &e) == 0);
    TEST_END();
}
