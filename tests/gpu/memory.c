/* SPDX-License-Identifier: Apache-2.0 */
/* Loaded before a program (LD_PRELOAD): keeps in the file $GPU_MEMORY_REPORT what the program takes
 * of the GPU, three numbers of bytes: those that cudaMalloc gave, those that cudaMemGetInfo counts
 * as taken before the first of them, and the most that it counts since then. The file is written
 * anew at each change, so that a program that is killed leaves it too. Releases are not followed.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { EVERY_US = 20000 };
#define PUBLIC __attribute__((visibility("default")))
typedef int malloc_fn(void **p, size_t bytes);
typedef int info_fn(size_t *left, size_t *all);
PUBLIC int cudaMalloc(void **p, size_t bytes);

static malloc_fn *allocate;
static info_fn *info;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static size_t given, before, most;

static size_t taken(void)
{
    size_t left = 0, all = 0;
    return info && info(&left, &all) == 0 ? all - left : 0;
}

static void report(void)
{
    const char *path = getenv("GPU_MEMORY_REPORT");
    FILE *f = path ? fopen(path, "w") : NULL;
    if (!f) return;
    fprintf(f, "%zu %zu %zu\n", given, before, most);
    fclose(f);
}

static void look(size_t more)
{
    pthread_mutex_lock(&lock);
    const size_t now = taken();
    const int changed = more || now > most;
    given += more;
    if (now > most) most = now;
    if (changed) report();
    pthread_mutex_unlock(&lock);
}

static void *watch(void *unused)
{
    for (;;) {
        usleep(EVERY_US);
        look(0);
    }
    return unused;
}

static void start(void)
{
    pthread_t thread;
    /* the runtime came with a plugin, so that it is known only now */
    void *runtime = dlopen("libcudart.so.13", RTLD_NOW | RTLD_NOLOAD);
    if (!runtime) abort();
    allocate = (malloc_fn *)dlsym(runtime, "cudaMalloc");
    info = (info_fn *)dlsym(runtime, "cudaMemGetInfo");
    before = most = taken();
    if (pthread_create(&thread, NULL, watch, NULL)) abort();
}

int cudaMalloc(void **p, size_t bytes)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, start);
    const int rc = allocate(p, bytes);
    look(rc ? 0 : bytes);
    return rc;
}
