/* SPDX-License-Identifier: Apache-2.0 */
/* Mapped files, and the files among them that become shorter while they are mapped: a read beyond
 * the new end raises SIGBUS, for which the mapping then gets zeros, and the file is reported. */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/io_impl.h"

/* A mapping. The list only grows, so that the handler of the signal can walk it at any time; one
 * that has ended is used again. */
struct mapping {
    struct mapping *next;
    _Atomic(unsigned char *) p; /* NULL: free */
    size_t n;
    atomic_bool shrunk; /* set by the handler */
    char *path;
    dev_t dev;
    ino_t ino;
};
enum { FIRST = 8 }; /* mappings at a time that need no allocation */
static struct mapping first[FIRST];
static _Atomic(struct mapping *) mappings;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of all but what the handler reads */
static char lost[PATH_MAX];                              /* a file that became shorter, or "" */
static struct sigaction before;                          /* the action of SIGBUS */

/* Replaces the rest of the mapping by zeros. All calls are safe in a handler. */
static bool fill(const unsigned char *at)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    for (struct mapping *k = atomic_load(&mappings); k; k = k->next) {
        unsigned char *p = atomic_load(&k->p);
        if (!p || at < p || at >= p + k->n) continue;
        unsigned char *from = p + (size_t)(at - p) / page * page;
        void *got = mmap(from, (size_t)(p + k->n - from), PROT_READ,
                         MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (got == MAP_FAILED) return false;
        atomic_store(&k->shrunk, true);
        return true;
    }
    return false;
}

/* The instruction that failed runs again: on zeros, or with the action that was there before. */
static void on_bus(int sig, siginfo_t *info, void *context)
{
    const int saved = errno;
    (void)context;
    if (!fill(info->si_addr)) sigaction(sig, &before, NULL);
    errno = saved;
}

/* Starts the list and installs the handler. */
static void start(void)
{
    struct sigaction act = {.sa_sigaction = on_bus, .sa_flags = SA_SIGINFO};
    for (int i = 0; i + 1 < FIRST; i++) first[i].next = &first[i + 1];
    atomic_store(&mappings, first);
    sigemptyset(&act.sa_mask);
    sigaction(SIGBUS, &act, &before);
}

/* Registers a mapping. -1 with ERR_MEMORY. The caller holds the lock. The list outlives the seal of
 * a program. */
static int add(void *p, const struct stat *st, const char *path, struct err *e)
{
    struct mapping *k = atomic_load(&mappings);
    while (k && atomic_load(&k->p)) k = k->next;
    const bool fresh = !k;
    if (fresh && !(k = mem_lasting(1, sizeof *k, e))) return -1;
    if (!(k->path = mem_strndup(path, strlen(path), e))) {
        if (fresh) mem_free(k);
        return -1;
    }
    k->n = (size_t)st->st_size;
    k->dev = st->st_dev;
    k->ino = st->st_ino;
    atomic_store(&k->shrunk, false);
    atomic_store(&k->p, p);
    if (!fresh) return 0;
    k->next = atomic_load(&mappings);
    atomic_store(&mappings, k);
    return 0;
}

/* Notes a file that is shorter than its mapping: bytes of the last page read as zeros without a
 * signal. */
static void note_lost(const struct mapping *k)
{
    struct stat st;
    const bool shorter = stat(k->path, &st) == 0 && st.st_dev == k->dev && st.st_ino == k->ino &&
                         (size_t)st.st_size < k->n;
    if (!lost[0] && (shorter || atomic_load(&k->shrunk)))
        snprintf(lost, sizeof lost, "%s", k->path);
}

int io_intact(struct err *e)
{
    pthread_mutex_lock(&lock);
    for (const struct mapping *k = atomic_load(&mappings); k && !lost[0]; k = k->next)
        if (atomic_load(&k->p)) note_lost(k);
    pthread_mutex_unlock(&lock);
    if (!lost[0]) return 0;
    return err_set(e, ERR_IO, "%s: became shorter while it was read", lost);
}

static int map(int fd, const struct stat *st, const char *path, struct io_map *m, struct err *e)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, start);
    void *p = mmap(NULL, (size_t)st->st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED) return err_errno(e, ERR_IO, "%s: cannot map", path);
    pthread_mutex_lock(&lock);
    int rc = add(p, st, path, e);
    pthread_mutex_unlock(&lock);
    if (rc)
        munmap(p, (size_t)st->st_size);
    else
        *m = (struct io_map){p, (size_t)st->st_size};
    return rc;
}

int io_map(const char *path, struct io_map *m, struct err *e)
{
    struct stat st = {0};
    *m = (struct io_map){.p = (const unsigned char *)""};
    int fd = file_open(path, REGULAR_FILE, &st, e), rc = 0;
    if (fd < 0) return -1;
    if (st.st_size > 0) rc = map(fd, &st, path, m, e);
    sys_close(fd);
    return rc;
}

void io_unmap(struct io_map *m)
{
    pthread_mutex_lock(&lock);
    struct mapping *k = m->n > 0 ? atomic_load(&mappings) : NULL;
    while (k && atomic_load(&k->p) != m->p) k = k->next;
    if (k) {
        note_lost(k);
        munmap((void *)(uintptr_t)m->p, m->n);
        atomic_store(&k->p, NULL);
        mem_free(k->path);
        k->path = NULL;
    }
    pthread_mutex_unlock(&lock);
    *m = (struct io_map){.p = (const unsigned char *)""};
}

void io_forget(const struct io_map *m, const void *p, size_t n)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t from = (uintptr_t)p / page * page;
    if (m->n > 0 && n > 0) madvise((void *)from, (uintptr_t)p + n - from, MADV_DONTNEED);
}
