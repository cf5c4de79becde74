/* SPDX-License-Identifier: Apache-2.0 */
/* Loaded before a program (LD_PRELOAD): fails its $ALLOC_FAIL_AT-th allocation (from 1), and all
 * after it where $ALLOC_FAIL_ON is set. Those of the program itself count, or, with $ALLOC_FAIL_IN,
 * those of the libraries whose file names hold one of its words, "libc.so libyaml". At exit their
 * number is in the file $ALLOC_FAIL_REPORT. Uses glibc's own names of its allocator. */
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t k, size_t n);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t align, size_t n);

#define PUBLIC __attribute__((visibility("default")))
enum { RANGES = 64 };
static struct {
    uintptr_t begin, end;
} ranges[RANGES]; /* of the code whose allocations count; found before the program begins */
static int nranges;
static const char *libraries; /* NULL: the program itself */
static long fail_at;
static atomic_long calls;
static bool on, ended;

static bool wanted(const char *file, int index)
{
    char words[512], *rest = words, *word;
    if (!libraries) return index == 0;
    snprintf(words, sizeof words, "%s", libraries);
    while ((word = strsep(&rest, " ")))
        if (*word && strstr(file, word)) return true;
    return false;
}

static int add_object(struct dl_phdr_info *i, size_t size, void *index)
{
    (void)size;
    if (!wanted(i->dlpi_name, (*(int *)index)++)) return 0;
    for (int k = 0; k < i->dlpi_phnum && nranges < RANGES; k++) {
        const ElfW(Phdr) *h = &i->dlpi_phdr[k];
        if (h->p_type != PT_LOAD || !(h->p_flags & PF_X)) continue;
        ranges[nranges].begin = i->dlpi_addr + h->p_vaddr;
        ranges[nranges].end = ranges[nranges].begin + h->p_memsz;
        nranges++;
    }
    return 0;
}

static bool fails(const void *caller)
{
    const uintptr_t at = (uintptr_t)caller;
    for (int i = 0; i < nranges; i++) {
        if (at < ranges[i].begin || at >= ranges[i].end) continue;
        if (ended) return false;
        const long k = atomic_fetch_add(&calls, 1) + 1;
        if (k != fail_at && !(on && fail_at && k > fail_at)) return false;
        errno = ENOMEM;
        return true;
    }
    return false;
}
#define FAILS fails(__builtin_return_address(0))

PUBLIC void *malloc(size_t n) { return FAILS ? NULL : __libc_malloc(n); }
PUBLIC void *calloc(size_t k, size_t n) { return FAILS ? NULL : __libc_calloc(k, n); }
PUBLIC void *realloc(void *p, size_t n) { return FAILS ? NULL : __libc_realloc(p, n); }
PUBLIC void *memalign(size_t align, size_t n) { return FAILS ? NULL : __libc_memalign(align, n); }
PUBLIC void *aligned_alloc(size_t align, size_t n)
{
    return FAILS ? NULL : __libc_memalign(align, n);
}
PUBLIC int posix_memalign(void **p, size_t align, size_t n)
{
    void *got = FAILS ? NULL : __libc_memalign(align, n);
    if (!got) return ENOMEM;
    *p = got;
    return 0;
}

__attribute__((constructor)) static void start(void)
{
    int index = 0;
    const char *at = getenv("ALLOC_FAIL_AT");
    libraries = getenv("ALLOC_FAIL_IN");
    fail_at = at ? atol(at) : 0;
    on = getenv("ALLOC_FAIL_ON");
    dl_iterate_phdr(add_object, &index);
}

__attribute__((destructor)) static void report(void)
{
    const char *path = getenv("ALLOC_FAIL_REPORT");
    ended = true;
    FILE *f = path ? fopen(path, "w") : NULL;
    if (!f) return;
    fprintf(f, "%ld\n", calls);
    fclose(f);
}
