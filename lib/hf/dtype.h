/* SPDX-License-Identifier: Apache-2.0 */
/* How model folders spell element types. */
#ifndef SFT_HF_DTYPE_H
#define SFT_HF_DTYPE_H

#include "base/dtype.h"
#include "base/mem.h"

const char *hf_dtype_name(enum dtype t);             /* as safetensors spells it: "BF16" */
const char *hf_dtype_torch(enum dtype t);            /* as config.json spells it: "bfloat16" */
int hf_dtype_find(struct str name, enum dtype *out); /* either spelling; -1 when unknown */

#endif
