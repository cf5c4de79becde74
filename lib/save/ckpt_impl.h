/* SPDX-License-Identifier: Apache-2.0 */
/* Writing a checkpoint folder. It is filled under a temporary name:
 *
 *     ckpt_begin -> write files into ckpt_dir() and ckpt_state_dir() with io_create/io_put or
 *     safetensors_create -> ckpt_commit (hashes, manifest.json, rename) -> ckpt_prune
 */
#ifndef SFT_SAVE_CKPT_IMPL_H
#define SFT_SAVE_CKPT_IMPL_H

#include "save/ckpt.h"

/* The folder inside checkpoint-N that holds the model. */
#define CKPT_INNER "sft_train"

/* ROOT/checkpoint-STEP, or its temporary name; free with mem_free(). */
char *ckpt_name(const char *root, uint64_t step, bool tmp, struct err *e);

/* Removes temporary folders that an interrupted run left in root, so one process at a time may
 * write there: the run holds a lock. */
int ckpt_clear(const char *root, struct err *e);
struct ckpt;
/* Starts checkpoint-STEP, after ckpt_clear; ERR_CREATE when it exists, or when root does not. */
struct ckpt *ckpt_begin(const char *root, uint64_t step, struct err *e);
const char *ckpt_dir(const struct ckpt *c);       /* the folder of the model's files */
const char *ckpt_state_dir(const struct ckpt *c); /* its state/ */
/* Records the size and XXH3-128 (HASH128_HEX) of a finished file, by its path below ckpt_dir(), so
 * that ckpt_commit need not read it. */
int ckpt_note(struct ckpt *c, const char *path, uint64_t size, const char *xxh128, struct err *e);
/* Hashes every other file, writes the manifest and renames. Frees c in either case; on failure it
 * leaves nothing, and earlier checkpoints are untouched. path, if not NULL, gets the final
 * ROOT/checkpoint-STEP (free with mem_free()). */
int ckpt_commit(struct ckpt *c, char **path, struct err *e);
void ckpt_abort(struct ckpt *c); /* removes what was written; NULL is fine */

#endif
