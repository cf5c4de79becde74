/* SPDX-License-Identifier: Apache-2.0 */
/* Loaded before a program (LD_PRELOAD): counts what is allocated after the program has written
 * $ALLOC_WATCH_AFTER to any file and before it writes $ALLOC_WATCH_UNTIL, by the program or library
 * that asked for it. At exit the counts are in the file $ALLOC_WATCH_REPORT, a line "NAME CALLS
 * BYTES" each. Callers in the program itself are also listed, as "at OFFSET CALLS BYTES". Uses
 * glibc's own names of its allocator. */
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t k, size_t n);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t align, size_t n);

enum { MODULES = 64, CALLERS = 256 };
#define PUBLIC __attribute__((visibility("default")))
struct count {
    const void *key;
    const char *name;
    size_t calls, bytes;
};
static struct count modules[MODULES], callers[CALLERS];
static volatile bool armed, seen;
static const void *program; /* where the program itself is loaded */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void add(struct count *table, int n, const void *key, const char *name, size_t bytes)
{
    for (int i = 0; i < n; i++) {
        if (table[i].key && table[i].key != key) continue;
        table[i].key = key;
        table[i].name = name;
        table[i].calls++;
        table[i].bytes += bytes;
        return;
    }
}

static void note(const void *caller, size_t bytes)
{
    Dl_info i;
    if (!armed || !dladdr(caller, &i)) return;
    pthread_mutex_lock(&lock);
    add(modules, MODULES, i.dli_fbase, i.dli_fname, bytes);
    if (i.dli_fbase == program) add(callers, CALLERS, caller, NULL, bytes);
    pthread_mutex_unlock(&lock);
}
#define NOTE(bytes) note(__builtin_return_address(0), bytes)

PUBLIC void *malloc(size_t n)
{
    NOTE(n);
    return __libc_malloc(n);
}
PUBLIC void *calloc(size_t k, size_t n)
{
    NOTE(k * n);
    return __libc_calloc(k, n);
}
PUBLIC void *realloc(void *p, size_t n)
{
    NOTE(n);
    return __libc_realloc(p, n);
}
PUBLIC void *aligned_alloc(size_t align, size_t n)
{
    NOTE(n);
    return __libc_memalign(align, n);
}
PUBLIC void *memalign(size_t align, size_t n)
{
    NOTE(n);
    return __libc_memalign(align, n);
}
PUBLIC int posix_memalign(void **p, size_t align, size_t n)
{
    NOTE(n);
    *p = __libc_memalign(align, n);
    return *p ? 0 : ENOMEM;
}

PUBLIC ssize_t write(int fd, const void *p, size_t n)
{
    static ssize_t (*real)(int, const void *, size_t);
    const char *after = getenv("ALLOC_WATCH_AFTER"), *until = getenv("ALLOC_WATCH_UNTIL");
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, "write");
    ssize_t k = real(fd, p, n);
    if (after && memmem(p, n, after, strlen(after))) armed = seen = true;
    if (until && memmem(p, n, until, strlen(until))) armed = false;
    return k;
}

__attribute__((constructor)) static void start(void)
{
    Dl_info i;
    const void *at = (const void *)getauxval(AT_ENTRY);
    if (at && dladdr(at, &i)) program = i.dli_fbase;
}

__attribute__((destructor)) static void report(void)
{
    const char *path = getenv("ALLOC_WATCH_REPORT");
    armed = false;
    FILE *f = path ? fopen(path, "w") : NULL;
    if (!f) return;
    if (!seen) fprintf(f, "never\n");
    for (int i = 0; i < MODULES && modules[i].key; i++) {
        const char *slash = strrchr(modules[i].name, '/');
        fprintf(f, "%s %zu %zu\n",
                modules[i].key == program ? "program"
                : slash                   ? slash + 1
                                          : modules[i].name,
                modules[i].calls, modules[i].bytes);
    }
    for (int i = 0; i < CALLERS && callers[i].key; i++)
        fprintf(f, "at %#zx %zu %zu\n",
                (size_t)((const char *)callers[i].key - (const char *)program), callers[i].calls,
                callers[i].bytes);
    fclose(f);
}
