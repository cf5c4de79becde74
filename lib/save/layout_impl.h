/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the layout: the list of blocks, and reading a tensor by it from all ranks. */
#ifndef SFT_SAVE_LAYOUT_IMPL_H
#define SFT_SAVE_LAYOUT_IMPL_H

#include "save/layout.h"

/* ---- layout_blocks.c ---- */
/* True if a checkpoint has the tensor: a run with an adapter saves only what it trains. */
bool layout_saves(const struct layout *c, const struct param *p);
/* Lists the blocks of all tensors. */
int layout_list(struct layout *c, struct err *e);
/* The blocks of the tensor that has the canonical position `at`: *n of them. */
const struct layout_block *layout_find(const struct layout *c, size_t at, size_t *n);
/* The next run of the block's elements among elements [begin, end) of the tensor; begins after {0}.
 * run->at counts from the block's first element. */
bool layout_next(const struct layout_block *b, size_t begin, size_t end, struct param_run *run);
/* True if the rank of that number has an element of a checkpoint. */
bool layout_has(const struct layout *c, int rank);

/* ---- layout_permuted.c ---- */
/* Makes t, the tensor of B of experts in an adapter's file, have its elements in peft's order. */
int layout_permute(struct layout *c, struct saver_tensor *t, const struct param *p, struct err *e);

/* ---- layout_read.c ---- */
/* Allocates the buffers that reading needs. */
int layout_buffers(struct layout *c, struct err *e);
saver_read layout_read; /* on the rank that writes: gets elements from all ranks */
saver_read layout_give; /* on another rank: sends its own elements */
int layout_finish(void *arg, int rc, struct err *e);

#endif
