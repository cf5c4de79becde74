/* SPDX-License-Identifier: Apache-2.0 */
/* The CUDA backend is a separate library, so that no program links CUDA. */
#ifndef SFT_OPS_CUDA_PLUGIN_H
#define SFT_OPS_CUDA_PLUGIN_H

#include "ops/ops.h"

/* Increased when ops.h or the types below change; a plugin of another version is refused. */
enum { CUDA_PLUGIN_VERSION = 5 };
#define CUDA_PLUGIN_SYMBOL "sft_cuda_plugin"

struct cuda_plugin {
    int version; /* CUDA_PLUGIN_VERSION */
    /* Returns the number of GPUs; -1 with ERR_DEVICE when no driver answers. */
    int (*count)(struct err *e);
    /* Opens GPU `index`; returns NULL with ERR_DEVICE. */
    struct device *(*open)(int index, struct err *e);
};

#endif
