/* SPDX-License-Identifier: Apache-2.0 */
/* Names that the ckpt_*.c files share. */
#ifndef SFT_SAVE_CKPT_IMPL_H
#define SFT_SAVE_CKPT_IMPL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* The folder inside checkpoint-N that holds the model. */
#define CKPT_INNER "sft_train"

/* ROOT/checkpoint-STEP, or its temporary name; free with mem_free(). */
char *ckpt_name(const char *root, uint64_t step, bool tmp, struct err *e);

#endif
