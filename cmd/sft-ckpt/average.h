/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of sft-ckpt average. */
#ifndef SFT_CKPT_AVERAGE_H
#define SFT_CKPT_AVERAGE_H

#include "verbs.h"

struct average {
    struct verb_model *models; /* [n], alike */
    size_t n;
};
/* Returns 0 if b has the configuration and the tensors of a, with their types and shapes. Else -1
 * with ERR_DATA, which names the first that differs and both folders. */
int average_alike(const struct verb_model *a, const struct verb_model *b, struct err *e);
/* Writes the means of all tensors. A weight that is not finite, and a tensor of integers that is
 * not the same in all models, are ERR_DATA. */
int average_write(const struct average *a, struct safetensors_writer *w, struct err *e);

#endif
