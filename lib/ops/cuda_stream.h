/* SPDX-License-Identifier: Apache-2.0 */
/* The streams of a CUDA device, for other parts of its plugin. */
#ifndef SFT_OPS_CUDA_STREAM_H
#define SFT_OPS_CUDA_STREAM_H

#include "ops/ops.h"

/* Returns the stream of a queue. The device must be a CUDA device of this plugin. */
struct CUstream_st *cuda_stream(struct device *d, enum device_queue q);

#endif
