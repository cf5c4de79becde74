/* SPDX-License-Identifier: Apache-2.0 */
/* Checkpoint folders: ROOT/checkpoint-STEP/sft_train/..., each whole and described by a manifest,
 * or absent. ROOT is <output_dir>/sft_train. A new one is filled under a temporary name:
 *
 *     ckpt_begin -> write files into ckpt_dir() and ckpt_state_dir() with io_create/io_put or
 *     safetensors_create -> ckpt_commit (hashes, manifest.json, rename) -> ckpt_prune
 */
#ifndef SFT_SAVE_CKPT_H
#define SFT_SAVE_CKPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* ---- writing ---- */
struct ckpt;
/* Starts checkpoint-STEP; ERR_CREATE when it exists. Temporary folders that an interrupted run left
 * in root are removed, so one process at a time may write in root (the trainer holds the lock). */
struct ckpt *ckpt_begin(const char *root, uint64_t step, struct err *e);
const char *ckpt_dir(const struct ckpt *c);       /* the folder of the model's files */
const char *ckpt_state_dir(const struct ckpt *c); /* its state/, for what a resumed run needs */
/* Of a finished file, by its path below ckpt_dir(): size and XXH3-128 (HASH128_HEX), so that
 * ckpt_commit need not read it again. */
int ckpt_note(struct ckpt *c, const char *path, uint64_t size, const char *xxh128, struct err *e);
/* Hashes every other file, writes the manifest, renames. Frees c in either case; on failure nothing
 * of it remains and earlier checkpoints are untouched. path, if not NULL, gets the final
 * ROOT/checkpoint-STEP (free with mem_free()). */
int ckpt_commit(struct ckpt *c, char **path, struct err *e);
void ckpt_abort(struct ckpt *c); /* removes what was written; NULL is fine */

/* ---- finding ---- */
struct ckpt_item {
    uint64_t step;
    char *path;     /* ROOT/checkpoint-STEP */
    bool complete;  /* has a manifest that is whole, and every file in its size */
    uint64_t bytes; /* of the files in the manifest; 0 when not complete */
};
struct ckpt_list {
    struct ckpt_item *items; /* by step, ascending */
    size_t count, cap;
};
/* All of that name in root, complete or not, also what is no folder; an absent root is an empty
 * list. */
int ckpt_list_read(const char *root, struct ckpt_list *l, struct err *e);
void ckpt_list_free(struct ckpt_list *l);
/* The newest complete one with a step below `before` (UINT64_MAX: any): 1 and *path (free with
 * mem_free()), 0 when there is none, -1. To fall back from a bad one, call again with its step. */
int ckpt_latest(const char *root, uint64_t before, uint64_t *step, char **path, struct err *e);
/* "checkpoint-12" -> 12; -1 for another name. */
int ckpt_step_of(const char *name, uint64_t *step);

/* ---- checking and removing ---- */
/* path: a checkpoint-N folder, or its sft_train/. Every file's size and hash; ERR_DATA names the
 * first that is damaged, missing or not in the manifest, ERR_NOINPUT when there is no manifest. */
int ckpt_verify(const char *path, struct err *e);
/* Removes complete checkpoints beyond the newest `keep` (0: removes none). */
int ckpt_prune(const char *root, uint64_t keep, struct err *e);

#endif
