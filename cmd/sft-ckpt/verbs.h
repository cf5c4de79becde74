/* SPDX-License-Identifier: Apache-2.0 */
/* The verbs of sft-ckpt and what they share. */
#ifndef SFT_CKPT_VERBS_H
#define SFT_CKPT_VERBS_H

#include "base/buf.h"
#include "base/err.h"
#include "base/opt.h"
#include "hf/safetensors.h"

/* A verb gets its own name as argv[0]. 0, ERR_DIFFER, or -1 with e filled. */
typedef int verb_fn(int argc, char **argv, struct err *e);
verb_fn verb_ls, verb_show, verb_verify, verb_diff, verb_convert, verb_merge, verb_init;

/* Parses the options; the number of operands must lie in [min, max]. 0 to go on, 1: printed help,
 * the verb is done, -1. */
int verb_parse(const struct opt_cmd *cmd, int argc, char **argv, int min, int max, int *nargs,
               struct err *e);
/* All of b to standard output. */
int verb_print(const struct buf *b, struct err *e);
/* A tensor's name for a terminal: as it is, or as a JSON string when it holds control characters.
 */
void verb_name(struct buf *b, const char *name);
/* The tensors of a .safetensors file, or of a folder: a model, an adapter, a checkpoint-N. */
struct safetensors *verb_open(const char *path, struct err *e);

#endif
