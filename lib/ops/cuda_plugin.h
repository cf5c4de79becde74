/* SPDX-License-Identifier: Apache-2.0 */
/* The CUDA backend is a separate library, so that no program links CUDA. */
#ifndef SFT_OPS_CUDA_PLUGIN_H
#define SFT_OPS_CUDA_PLUGIN_H

#include "ops/ops.h"

/* Increased when ops.h or the types below change; a plugin of another version is refused. */
enum { CUDA_PLUGIN_VERSION = 6 };
#define CUDA_PLUGIN_SYMBOL "sft_cuda_plugin"

struct cuda_plugin {
    int version; /* CUDA_PLUGIN_VERSION */
    /* Returns the number of GPUs. Returns 0, with the reason as *e, when no driver answers or it
     * has none; -1 with ERR_DEVICE when the driver fails or is too old. */
    int (*count)(struct err *e);
    /* Opens GPU `index`; returns NULL with ERR_DEVICE, or ERR_CONFIG when there is no such GPU. */
    struct device *(*open)(int index, struct err *e);
};

#endif
