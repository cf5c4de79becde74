/* SPDX-License-Identifier: Apache-2.0 */
/* Loads the CUDA backend. */
#include "base/opt.h"
#include "base/plugin.h"
#include "ops/cuda_plugin.h"
#include "ops/table.h"

struct device *cuda_open(const char *index, struct err *e)
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
    int64_t at = 0;
    if (index && num_i64(index, &at) < 0) {
        err_set(e, ERR_CONFIG, "device cuda:%s: is not the number of a GPU", index);
        return NULL;
    }
    const struct cuda_plugin *found = plugin_load(&p, e);
    return found ? found->open((int)at, e) : NULL;
}
