/* SPDX-License-Identifier: Apache-2.0 */
/* Registration of binaries with PTX, and of kernels by name, by the start-up code of nvcc.
 * EMU_SM=80 or 90 selects the PTX. */
#include <stdlib.h>
#include <string.h>

#include "runtime.h"

/* The observed layout of the fat binaries of nvcc. */
struct wrapper {
    int magic, version;
    const unsigned char *data;
    void *unused;
};
struct header {
    uint32_t magic;
    uint16_t version, size;
    uint64_t bytes;
};
struct part {
    uint16_t kind, version; /* kind 1: PTX */
    uint32_t header;
    uint64_t bytes;
    uint32_t compressed, unknown;
    uint16_t minor, major;
    uint32_t arch;
};
enum { WRAPPER_MAGIC = 0x466243b1, PTX_PART = 1 };
#define HEADER_MAGIC 0xba55ed50u

struct binary {
    const char *text;
    struct module *module; /* parsed when one of its kernels is first requested */
};
enum { FUNCTIONS = 8192 };
static struct function {
    const void *host;
    const char *name;
    struct binary *binary;
    struct kernel *kernel;
} functions[FUNCTIONS];
static int nfunctions;

static const char *find_text(const struct wrapper *w)
{
    const struct header *h = (const struct header *)(const void *)w->data;
    const uint32_t arch = (uint32_t)emu_setting("EMU_SM", 90);
    if (w->magic != WRAPPER_MAGIC || h->magic != HEADER_MAGIC) emu_die("not a fat binary");
    for (const unsigned char *p = w->data + h->size, *end = p + h->bytes; p < end;) {
        const struct part *part = (const struct part *)(const void *)p;
        if (part->kind == PTX_PART && part->arch == arch) {
            if (part->compressed) emu_die("compressed PTX; build with --no-compress");
            return (const char *)p + part->header;
        }
        p += part->header + part->bytes;
    }
    return NULL;
}

void **__cudaRegisterFatBinary(void *wrapper)
{
    struct binary *b = calloc(1, sizeof *b);
    if (!b) emu_die("out of memory");
    b->text = find_text(wrapper);
    return (void **)b;
}
void __cudaRegisterFatBinaryEnd(void **handle) { (void)handle; }
void __cudaUnregisterFatBinary(void **handle) { (void)handle; }

void __cudaRegisterFunction(void **handle, const char *host, char *device, const char *name,
                            int limit, uint3 *tid, uint3 *bid, dim3 *block, dim3 *grid, int *warp)
{
    (void)device, (void)limit, (void)tid, (void)bid, (void)block, (void)grid, (void)warp;
    if (nfunctions == FUNCTIONS) emu_die("too many kernels");
    functions[nfunctions++] = (struct function){host, name, (struct binary *)handle, NULL};
}
void __cudaRegisterVar(void **handle, char *host, char *device, const char *name, int ext,
                       size_t size, int constant, int global)
{
    (void)handle, (void)host, (void)device, (void)name, (void)ext, (void)size, (void)constant,
        (void)global;
}

struct kernel *fatbin_kernel(const void *host)
{
    for (int i = 0; i < nfunctions; i++) {
        struct function *f = &functions[i];
        if (f->host != host) continue;
        if (f->kernel) return f->kernel;
        if (!f->binary->text) emu_die("%s: no PTX of the architecture that EMU_SM names", f->name);
        if (!f->binary->module) f->binary->module = ptx_parse(f->binary->text);
        f->kernel = ptx_kernel(f->binary->module, f->name);
        if (!f->kernel) emu_die("%s: not in its PTX", f->name);
        return f->kernel;
    }
    return NULL;
}
