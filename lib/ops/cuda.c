/* SPDX-License-Identifier: Apache-2.0 */
/* Loads the CUDA backend, and counts the GPUs. */
#include <dlfcn.h>
#include <unistd.h>

#include "base/opt.h"
#include "base/plugin.h"
#include "ops/cuda_plugin.h"
#include "ops/table.h"

static const struct cuda_plugin *load(struct err *e)
{
    const struct plugin p = {
        .file = "cuda.so",
        .symbol = CUDA_PLUGIN_SYMBOL,
        .missing =
            "this build has no CUDA; install the CUDA toolkit (nvcc 12.8 or later), then run "
            "make again, or use --device cpu",
        .broken =
            "are the CUDA runtime and cuBLASLt (libcudart, libcublasLt) where it can find them "
            "(LD_LIBRARY_PATH)? Else use --device cpu",
        .version = CUDA_PLUGIN_VERSION};
    return plugin_load(&p, e);
}

struct device *cuda_open(const char *index, struct err *e)
{
    int64_t at = 0;
    if (index && num_i64(index, &at) < 0) {
        err_set(e, ERR_CONFIG,
                "device cuda:%s: is not the number of a GPU, nor a kind that --plan knows: %s",
                index, cuda_plan_kinds());
        return NULL;
    }
    const struct cuda_plugin *found = load(e);
    return found ? found->open((int)at, e) : NULL;
}

/* The plugin's libraries are large, so a machine without a driver should not load them. */
static bool has_driver(void)
{
    void *library = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
    if (library) dlclose(library);
    return library != NULL;
}

int cuda_find(bool quick, bool *hidden, struct err *e)
{
    static const char sign[] = "/dev/nvidiactl"; /* of a GPU */
    if (quick && !has_driver()) {
        *hidden = access(sign, F_OK) == 0;
        if (*hidden)
            err_set(e, ERR_DEVICE, "%s is there, but not libcuda.so.1, the driver's library", sign);
        return 0;
    }
    const struct cuda_plugin *p = load(e);
    *hidden = !p;
    return p ? p->count(e) : 0;
}
