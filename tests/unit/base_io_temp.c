/* SPDX-License-Identifier: Apache-2.0 */
/* Several writers of one file or folder: none meets another, and what killed ones left is removed,
 * but nothing that somebody still writes. */
#include <fcntl.h>
#include <signal.h>
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

static int put_name(void *arg, const char *name, struct err *e)
{
    (void)e;
    buf_printf(arg, "%s ", name);
    return 0;
}

/* The names in the folder: "a b "; in memory that the next call frees. */
static const char *entries(const char *path)
{
    static struct buf b;
    struct err e;
    buf_free(&b);
    buf_puts(&b, "");
    return io_list(path, put_name, &b, &e) == 0 ? b.data : "(no list)";
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

static bool put_in(const struct io_folder *f, const char *name, const char *text)
{
    struct err e;
    char *path = io_path(io_folder_path(f), name, &e);
    bool ok = path && io_put(path, text, strlen(text), &e) == 0;
    mem_free(path);
    return ok;
}

static void test_files(void)
{
    struct err e = {0};
    struct io_out *a = io_create(at("f"), &e), *b = io_create(at("f"), &e);
    CHECK("temporary files: two writers have one each",
          a && b && io_write(a, "one", 3, &e) == 0 && io_write(b, "two", 3, &e) == 0);
    CHECK("temporary files: the first is whole", io_commit(a, &e) == 0 && holds(at("f"), "one"));
    CHECK("temporary files: the second commit replaces the first",
          io_commit(b, &e) == 0 && holds(at("f"), "two"));
    CHECK("temporary files: nothing else is there", strcmp(entries(dir), "f ") == 0);
    unlink(at("f"));
}

static void test_folders(void)
{
    struct err e = {0};
    struct io_folder *a = io_folder_new(at("d/"), &e), *b = io_folder_new(at("d"), &e);
    CHECK("temporary folders: two writers have one each",
          a && b && put_in(a, "x", "one") && put_in(b, "x", "two") && put_in(b, "y", "two"));
    CHECK("temporary folders: the first is whole",
          io_folder_commit(a, &e) == 0 && holds(at("d/x"), "one"));
    CHECK("temporary folders: the second commit is refused",
          io_folder_commit(b, &e) < 0 && e.code == ERR_CREATE && strstr(e.msg, at("d")) &&
              strstr(e.msg, "exists already"));
    CHECK("temporary folders: the refused commit changes nothing",
          strcmp(entries(dir), "d ") == 0 && strcmp(entries(at("d")), "x ") == 0);
    CHECK("temporary folders: a third writer is refused at once",
          !io_folder_new(at("d"), &e) && e.code == ERR_CREATE && strstr(e.msg, "exists already"));
    io_remove_tree(at("d"), &e);
    a = io_folder_new(at("d"), &e);
    mkdir(at("d"), 0777);
    CHECK("temporary folders: an empty folder is not replaced", a && io_folder_commit(a, &e) < 0);
    symlink("nowhere", at("link"));
    CHECK("temporary folders: a link to nothing is not replaced",
          !io_folder_new(at("link"), &e) && e.code == ERR_CREATE);
    unlink(at("link"));
    rmdir(at("d"));
    a = io_folder_new(at("p/q/d"), &e);
    CHECK("temporary folders: the folders above are made",
          a && io_folder_commit(a, &e) == 0 && io_is_dir(at("p/q/d"), &e) == 1);
    io_remove_tree(at("p"), &e);
    a = io_folder_new(at("d"), &e);
    if (a) put_in(a, "x", "one");
    io_folder_abort(a);
    io_folder_abort(NULL);
    CHECK("temporary folders: abort leaves nothing", strcmp(entries(dir), "") == 0);
}

/* A child that writes a file or folder `name`, with a folder in it, and waits. */
static pid_t writer(const char *name, bool folder)
{
    int ready[2];
    char c;
    if (pipe(ready) != 0) return -1;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        struct err e;
        static void *volatile kept; /* no leak at the exit */
        kept = folder ? (void *)io_folder_new(at(name), &e) : (void *)io_create(at(name), &e);
        if (!kept) _exit(9);
        if (folder) {
            char *inner = io_path(io_folder_path(kept), "in", &e);
            if (!put_in(kept, "x", "half") || io_mkdirs(inner, &e) < 0) _exit(8);
            mem_free(inner);
        }
        if (write(ready[1], "r", 1) != 1) _exit(7);
        for (;;) pause();
    }
    close(ready[1]);
    if (read(ready[0], &c, 1) != 1) pid = -1;
    close(ready[0]);
    return pid;
}

static int count(const char *text, const char *word)
{
    int n = 0;
    for (; (text = strstr(text, word)); text++) n++;
    return n;
}

static void test_killed(bool folder)
{
    struct err e = {0};
    pid_t alive = writer("t", folder), killed = writer("t", folder), other = writer("tt", folder);
    kill(killed, SIGKILL);
    kill(other, SIGKILL);
    waitpid(killed, NULL, 0);
    waitpid(other, NULL, 0);
    io_put(at(".t.backup.old"), "mine", 4, &e);
    io_put(at(".t.12345678.sft-tmpx"), "mine", 4, &e);
    CHECK("temporary files of killed ones: they stay", count(entries(dir), ".sft-tmp ") == 3);
    if (folder)
        io_folder_abort(io_folder_new(at("t"), &e));
    else
        io_put(at("t"), "x", 1, &e);
    const char *left = entries(dir);
    CHECK("temporary files of killed ones: the next writer removes them, and none that is being "
          "written",
          count(left, ".t.") == 3 && count(left, ".sft-tmp ") == 2 && count(left, ".tt.") == 1);
    CHECK("temporary files of killed ones: files of the user stay",
          holds(at(".t.backup.old"), "mine") && holds(at(".t.12345678.sft-tmpx"), "mine"));
    int status = 0;
    kill(alive, SIGTERM);
    waitpid(alive, &status, 0);
    CHECK("temporary files of killed ones: a signal that can be caught removes them",
          WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM && count(entries(dir), ".t.") == 2);
    if (folder)
        io_folder_abort(io_folder_new(at("tt"), &e));
    else
        io_put(at("tt"), "x", 1, &e);
    CHECK("temporary files of killed ones: the next writer of each name removes its own",
          count(entries(dir), ".sft-tmp ") == 0);
    unlink(at("t"));
    unlink(at("tt"));
    unlink(at(".t.backup.old"));
    unlink(at(".t.12345678.sft-tmpx"));
}

int main(void)
{
    static const int inherited[] = {SIGINT, SIGHUP}; /* a job in the background ignores them */
    for (int i = 0; i < 2; i++) signal(inherited[i], SIG_DFL);
    const char *tmp = getenv("TEST_TMP");
    struct err e;
    snprintf(dir, sizeof dir, "%s/base_io_temp.XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(dir)) return 70;
    test_files();
    test_folders();
    test_killed(false);
    test_killed(true);
    CHECK("temporary files of killed ones: nothing is left",
          strcmp(entries(dir), "") == 0 && io_remove_tree(dir, &e) == 0);
    TEST_END();
}
