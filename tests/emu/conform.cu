/* SPDX-License-Identifier: Apache-2.0 */
/* conform FAMILY: runs the family's PTX forms on the GPU and prints the bytes that each leaves.
 *
 *     conform --list          every form, without a GPU
 *     conform --families      the families
 *     conform FAMILY          the family's bytes on stdout; on stderr "ok", "WRONG" or "unchecked"
 *                             for each form, beside the value that the host computes
 *     conform FAMILY --against FILE    compare with the bytes in FILE instead of printing them
 *     conform FAMILY --check FILE      the same words about the bytes in FILE, without a GPU
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "conform.h"
#include "conform_compare.h"

enum { SPACE = 1 << 19, GUARD = 4096, PATIENCE_US = 3000000 };

static struct family *families;

family::family(const char *name_) : name(name_), first(NULL), last(&first), next(NULL)
{
    struct family **at = &families;
    while (*at && strcmp((*at)->name, name_) < 0) at = &(*at)->next;
    next = *at, *at = this;
}

added::added(struct family *to, const struct form &f) : form(f)
{
    *to->last = &form;
    to->last = &form.next;
}

struct form form_new(const char *name, const char *type, kernel_fn *kernel, unsigned threads,
                     unsigned in_bytes, unsigned out_bytes)
{
    struct form f = {};
    f.name = name, f.type = type, f.kernel = kernel, f.threads = threads, f.blocks = 1, f.every = 1;
    f.in_bytes = in_bytes, f.out_bytes = out_bytes, f.fill = fill_words;
    return f;
}

/* Device and host memory that the forms share. */
static struct {
    char *in, *out;
    char host_in[SPACE], got[2][SPACE + 2 * GUARD], want[SPACE];
} space;

static int failed(const struct form *f, cudaError_t e)
{
    if (e == cudaSuccess) return 0;
    printf("failed %s: %s\n", f->name, cudaGetErrorString(e));
    fprintf(stderr, "failed %s: %s\n", f->name, cudaGetErrorString(e));
    return 1;
}

static cudaError_t launch(const struct form *f)
{
    char *out = space.out + GUARD;
    if (f->launch) return (cudaError_t)f->launch(f, space.in, out);
    if (f->shared > 48 << 10) {
        const cudaError_t e = cudaFuncSetAttribute(
            (const void *)f->kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)f->shared);
        if (e) return e;
    }
    cudaLaunchConfig_t config = {};
    config.gridDim = dim3(f->blocks);
    config.blockDim = dim3(f->threads);
    config.dynamicSmemBytes = f->shared;
    cudaLaunchAttribute cluster = {};
    cluster.id = cudaLaunchAttributeClusterDimension;
    cluster.val.clusterDim.x = f->cluster, cluster.val.clusterDim.y = cluster.val.clusterDim.z = 1;
    config.attrs = &cluster, config.numAttrs = f->cluster ? 1 : 0;
    return cudaLaunchKernelEx(&config, f->kernel, (const void *)space.in, (void *)out);
}

/* A kernel that never ends counts as failed. */
static cudaError_t wait(void)
{
    for (int us = 0; us < PATIENCE_US; us += 50) {
        const cudaError_t e = cudaStreamQuery(0);
        if (e != cudaErrorNotReady) return e;
        usleep(50);
    }
    return cudaErrorTimeout;
}

static int run_once(const struct form *f, int run)
{
    const int poison = run ? 0x5a : 0xa5;
    cudaError_t e = cudaMemcpy(space.in, space.host_in, f->in_bytes, cudaMemcpyHostToDevice);
    if (!e) e = cudaMemset(space.out, poison, SPACE + 2 * GUARD);
    if (!e && f->preset) e = cudaMemset(space.out + GUARD, PRESET, f->out_bytes);
    if (!e) e = launch(f);
    if (!e) e = wait();
    if (!e) e = cudaMemcpy(space.got[run], space.out, SPACE + 2 * GUARD, cudaMemcpyDeviceToHost);
    return failed(f, e);
}

static int guard_broken(const struct form *f, int run)
{
    const char poison = (char)(run ? 0x5a : 0xa5), *got = space.got[run];
    for (unsigned i = 0; i < SPACE + 2 * GUARD; i++)
        if ((i < GUARD || i >= GUARD + f->out_bytes) && got[i] != poison) return 1;
    return 0;
}

static void print(const struct form *f, const char *got)
{
    const unsigned size = type_size(f->type), n = f->out_bytes / size;
    printf("form %s %s %s %s %u\n", f->name, f->tolerance ? "approx" : "exact",
           f->tolerance ? f->tolerance : "-", f->type, (n + f->every - 1) / f->every);
    for (unsigned i = 0, column = 0; i < n; i += f->every) {
        uint64_t v = 0;
        memcpy(&v, got + i * size, size);
        column += (unsigned)printf("%llx", (unsigned long long)v) + 1;
        const int ends = column > 82 || i + f->every >= n;
        putchar(ends ? '\n' : ' ');
        if (ends) column = 0;
    }
}

static const char *beside_host(const struct form *f, const char *got, char *why, size_t size)
{
    if (!f->want || !f->want(f, space.host_in, space.want)) return "unchecked";
    return same_values(f, got, space.want, LOOSE, why, size) ? "ok" : "WRONG";
}

static const char *verdict(const struct form *f, char *why, size_t size)
{
    const char *got = space.got[0] + GUARD;
    if (memcmp(got, space.got[1] + GUARD, f->out_bytes)) {
        unsigned i = 0;
        while (got[i] == space.got[1][GUARD + i]) i++;
        snprintf(why, size, "byte %u is unwritten, or two runs differ", i);
        return "WRONG";
    }
    if (guard_broken(f, 0) || guard_broken(f, 1)) {
        snprintf(why, size, "wrote outside of the output");
        return "WRONG";
    }
    return beside_host(f, got, why, size);
}

/* 0: go on, 1: the context is lost. */
static int run_form(const struct form *f, struct golden *against)
{
    char why[200] = "";
    memset(space.want, 0, f->out_bytes);
    f->fill(f, space.host_in);
    if (run_once(f, 0) || run_once(f, 1)) return 1;
    const char *said = verdict(f, why, sizeof why), *got = space.got[0] + GUARD;
    if (!against)
        print(f, got);
    else if (!golden_holds(against, f, got, why, sizeof why))
        said = "DIFFERS";
    fprintf(stderr, "%s %s%s%s\n", said, f->name, *why ? ": " : "", why);
    return 0;
}

/* Finds the device, and heads a family's output with what runs it. */
static int begin(int print)
{
    struct cudaDeviceProp p;
    int driver = 0, runtime = 0;
    cudaError_t e = cudaGetDeviceProperties(&p, 0);
    if (!e) e = cudaDriverGetVersion(&driver);
    if (!e) e = cudaRuntimeGetVersion(&runtime);
    if (!e) e = cudaMalloc(&space.in, SPACE);
    if (!e) e = cudaMalloc(&space.out, SPACE + 2 * GUARD);
    if (e) return fprintf(stderr, "conform: %s\n", cudaGetErrorString(e)), 69;
    if (!print) return 0;
    printf("# %s, compute capability %d.%d, driver %d, runtime %d\n"
           "# PTX for sm_%d%s, nvcc %d.%d.%d\n",
           p.name, p.major, p.minor, driver, runtime, CONFORM_SM, CONFORM_SM >= 90 ? "a" : "",
           __CUDACC_VER_MAJOR__, __CUDACC_VER_MINOR__, __CUDACC_VER_BUILD__);
    return 0;
}

/* A lost context ends with the process, so the next form runs in a new one. */
static int go_on_after(char **argv, const char *family, const char *against, int index)
{
    char from[16];
    snprintf(from, sizeof from, "%d", index);
    fflush(NULL);
    execl("/proc/self/exe", argv[0], family, "--from", from, against ? "--against" : (char *)NULL,
          against, (char *)NULL);
    perror(argv[0]);
    return 71;
}

static int run_family(char **argv, const struct family *family, int from, const char *against)
{
    struct golden *golden = against ? golden_read(against) : NULL;
    if (against && !golden) return fprintf(stderr, "conform: cannot read %s\n", against), 66;
    const int error = begin(!against && !from);
    int index = 0;
    if (error) return error;
    for (const struct form *f = family->first; f; f = f->next, index++)
        if (index >= from && run_form(f, golden))
            return go_on_after(argv, family->name, against, index + 1);
    return 0;
}

/* The host's values beside those in a file, without a GPU. */
static int check_family(const struct family *family, const char *path)
{
    struct golden *golden = golden_read(path);
    int bad = 0;
    if (!golden) return fprintf(stderr, "conform: cannot read %s\n", path), 66;
    for (const struct form *f = family->first; f; f = f->next) {
        char why[200] = "", *got = space.got[0] + GUARD;
        const char *said = "missing";
        f->fill(f, space.host_in);
        memset(space.want, 0, f->out_bytes);
        if (golden_values(golden, f, got)) said = beside_host(f, got, why, sizeof why);
        bad |= strcmp(said, "ok") && strcmp(said, "unchecked");
        fprintf(stderr, "%s %s%s%s\n", said, f->name, *why ? ": " : "", why);
    }
    return bad ? 1 : 0;
}

static int list(int forms)
{
    for (const struct family *a = families; a; a = a->next) {
        if (!forms) printf("%s\n", a->name);
        for (const struct form *f = a->first; forms && f; f = f->next)
            printf("%s %s %s\n", a->name, f->name, f->tolerance ? f->tolerance : "exact");
    }
    return 0;
}

static int usage(void)
{
    fprintf(stderr, "usage: conform --list | --families\n"
                    "       conform FAMILY [--from N] [--against FILE | --check FILE]\n");
    return 64;
}

int main(int argc, char **argv)
{
    const char *against = NULL, *check = NULL;
    int from = 0;
    if (argc < 2) return usage();
    if (!strcmp(argv[1], "--list")) return list(1);
    if (!strcmp(argv[1], "--families")) return list(0);
    for (int i = 2; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--from"))
            from = atoi(argv[i + 1]);
        else if (!strcmp(argv[i], "--against"))
            against = argv[i + 1];
        else if (!strcmp(argv[i], "--check"))
            check = argv[i + 1];
        else
            return usage();
    }
    for (const struct family *a = families; a; a = a->next)
        if (!strcmp(a->name, argv[1]))
            return check ? check_family(a, check) : run_family(argv, a, from, against);
    return usage();
}
