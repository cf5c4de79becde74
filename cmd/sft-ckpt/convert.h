/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of sft-ckpt convert. */
#ifndef SFT_CKPT_CONVERT_H
#define SFT_CKPT_CONVERT_H

#include <stdbool.h>

#include "base/err.h"

#define CONVERT_TYPES "f32|f16|bf16|q8_0|q4_0|q4_k|q6_k"
/* Writes the model folder at path to the file out; type: the index of a word of CONVERT_TYPES.
 * Tells of it in lines, and with json in an object on standard output. */
int convert_to_gguf(const char *path, int type, const char *out, bool json, struct err *e);

#endif
