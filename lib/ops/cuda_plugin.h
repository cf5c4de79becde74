/* SPDX-License-Identifier: Apache-2.0 */
/* The CUDA backend as a library of its own, so that no program links CUDA. */
#ifndef SFT_OPS_CUDA_PLUGIN_H
#define SFT_OPS_CUDA_PLUGIN_H

#include "ops/ops.h"

/* Raised when anything of ops.h or below changes: a plugin of another build is refused. */
enum { CUDA_PLUGIN_VERSION = 4 };
#define CUDA_PLUGIN_SYMBOL "sft_cuda_plugin"

struct cuda_plugin {
    int version; /* CUDA_PLUGIN_VERSION */
    /* GPUs that a driver offers; -1 with ERR_DEVICE when no driver answers. */
    int (*count)(struct err *e);
    /* GPU `index` of those; NULL with ERR_DEVICE. */
    struct device *(*open)(int index, struct err *e);
};

#endif
