/* SPDX-License-Identifier: Apache-2.0 */
/* Temporary files and folders: each has a unique name beside its target, is locked while it is
 * written, and is removed when the process exits or gets a signal. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/io_impl.h"

/* A static table, because a signal handler may read it at any moment. */
enum { SLOTS = 256 };
enum { SLOT_FREE, SLOT_BUSY, SLOT_LIVE };
static struct {
    atomic_int state;
    pid_t owner; /* a forked child must not remove its parent's files */
    int fd;      /* holds the lock */
    bool folder;
    char path[PATH_MAX];
} slots[SLOTS];

/* ---- the end of the process ---- */
static void remove_entries(int dir, int depth);

/* Removes a file, or a folder with its content. A signal handler may call this, so it allocates
 * nothing. */
static void remove_at(int dir, const char *name, int depth)
{
    if (unlinkat(dir, name, 0) == 0 || errno != EISDIR || depth == 0) return;
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return;
    remove_entries(fd, depth - 1);
    close(fd);
    unlinkat(dir, name, AT_REMOVEDIR);
}

static void remove_entries(int dir, int depth)
{
    _Alignas(struct dirent64) char room[2048];
    for (ssize_t n; (n = getdents64(dir, room, sizeof room)) > 0;)
        for (ssize_t at = 0; at < n;) {
            const struct dirent64 *entry = (const void *)(room + at);
            const char *name = entry->d_name;
            at += entry->d_reclen;
            if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0) remove_at(dir, name, depth);
        }
}

static void remove_slot(int slot)
{
    enum { DEEPEST = 4 }; /* model folders are nested less deeply */
    if (slots[slot].folder)
        remove_at(AT_FDCWD, slots[slot].path, DEEPEST);
    else
        sys_unlink(slots[slot].path);
}

static void remove_all(void)
{
    pid_t me = getpid();
    for (int i = 0; i < SLOTS; i++)
        if (atomic_load(&slots[i].state) == SLOT_LIVE && slots[i].owner == me) remove_slot(i);
}

/* Ends the process by the default action of the signal, so that a shell sees the cause. */
static void on_signal(int sig)
{
    remove_all();
    signal(sig, SIG_DFL);
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, sig);
    raise(sig);
    pthread_sigmask(SIG_UNBLOCK, &one, NULL);
}

static void take_signal(int sig, void (*handler)(int))
{
    struct sigaction now, act = {.sa_handler = handler};
    if (sigaction(sig, NULL, &now) || (now.sa_flags & SA_SIGINFO)) return;
    if (now.sa_handler != SIG_DFL) return; /* nohup, or a handler of the program */
    sigemptyset(&act.sa_mask);
    sigaction(sig, &act, NULL);
}

static void install(void)
{
    atexit(remove_all);
    static const int deadly[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
    for (size_t i = 0; i < sizeof deadly / sizeof *deadly; i++) take_signal(deadly[i], on_signal);
}

/* ---- names ---- */
static void random_letters(char *out, int n)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    static atomic_uint made;
    uint64_t r;
    if (getrandom(&r, sizeof r, GRND_NONBLOCK) != (ssize_t)sizeof r) { /* early in a boot */
        struct timespec t;
        clock_gettime(CLOCK_REALTIME, &t);
        r = ((uint64_t)t.tv_nsec << 32) ^ (uint64_t)getpid() ^ atomic_fetch_add(&made, 1) * 40503u;
    }
    for (int i = 0; i < n; i++, r /= 36) out[i] = letters[r % 36];
    out[n] = 0;
}

/* FOLDER/.NAME.XXXXXXXX.sft-tmp */
static int make_name(char *out, const char *path)
{
    char letters[TEMP_LETTERS + 1];
    size_t folder, name = temp_stem(path, &folder);
    random_letters(letters, TEMP_LETTERS);
    int n = snprintf(out, PATH_MAX, "%.*s.%.*s.%s%s", (int)folder, path, (int)name, path + folder,
                     letters, TEMP_END);
    return n < 0 || n >= PATH_MAX ? -1 : 0;
}

/* ---- creation ---- */
/* Creates and locks a file or folder. Returns its descriptor, or -1 with errno; EEXIST asks for
 * another name. Between creation and lock another process may take it for stale and lock or remove
 * it; that is EEXIST too. */
static int make(const char *name, bool folder)
{
    if (folder && sys_mkdir(name)) return -1;
    int fd = folder ? sys_open(name, O_RDONLY | O_DIRECTORY, 0)
                    : sys_open(name, O_RDWR | O_CREAT | O_EXCL, 0666);
    if (fd < 0) {
        const int why = errno;
        if (folder) sys_rmdir(name);
        errno = folder && why == ENOENT ? EEXIST : why;
        return -1;
    }
    if (sys_lock(fd) == 0 ? sys_is_at(fd, name) : errno != EWOULDBLOCK) return fd;
    sys_close(fd);
    errno = EEXIST;
    return -1;
}

static int make_named(int slot, const char *path, bool folder, struct err *e)
{
    enum { TRIES = 100 };
    for (int i = 0; i < TRIES; i++) {
        if (make_name(slots[slot].path, path))
            return err_set(e, ERR_CREATE, "%s: cannot create: the path is too long", path);
        if ((slots[slot].fd = make(slots[slot].path, folder)) >= 0) return 0;
        if (errno != EEXIST) break;
    }
    return err_errno(e, ERR_CREATE, "%s: cannot create%s", path, folder ? " the folder" : "");
}

int temp_new(const char *path, bool folder, struct err *e)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, install);
    temp_clean(path);
    for (int i = 0; i < SLOTS; i++) {
        int want = SLOT_FREE;
        if (!atomic_compare_exchange_strong(&slots[i].state, &want, SLOT_BUSY)) continue;
        if (make_named(i, path, folder, e)) {
            atomic_store(&slots[i].state, SLOT_FREE);
            return -1;
        }
        slots[i].owner = getpid();
        slots[i].folder = folder;
        atomic_store(&slots[i].state, SLOT_LIVE);
        return i;
    }
    return err_set(e, ERR_INTERNAL, "%s: more than %d unfinished files", path, SLOTS);
}

const char *temp_name(int slot) { return slots[slot].path; }
int temp_fd(int slot) { return slots[slot].fd; }

void temp_remove(int slot)
{
    remove_slot(slot);
    temp_forget(slot);
}

void temp_forget(int slot)
{
    atomic_store(&slots[slot].state, SLOT_BUSY);
    sys_close(slots[slot].fd);
    atomic_store(&slots[slot].state, SLOT_FREE);
}
