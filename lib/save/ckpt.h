/* SPDX-License-Identifier: Apache-2.0 */
/* Checkpoint folders: ROOT/checkpoint-STEP/sft_train/..., each whole and described by a manifest,
 * or absent. ROOT is <output_dir>/sft_train. saver.h makes them. */
#ifndef SFT_SAVE_CKPT_H
#define SFT_SAVE_CKPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct ckpt_item {
    uint64_t step;
    char *path;     /* ROOT/checkpoint-STEP */
    bool complete;  /* its manifest is whole, and every file has its size */
    uint64_t bytes; /* of the files in the manifest; 0 when not complete */
};
struct ckpt_list {
    struct ckpt_item *items; /* by step, ascending */
    size_t count, cap;
};
/* Lists every entry of root with such a name, complete or not, folder or not. An absent root has
 * none. */
int ckpt_list_read(const char *root, struct ckpt_list *l, struct err *e);
void ckpt_list_free(struct ckpt_list *l);
/* Finds the newest complete one with a step below `before` (UINT64_MAX: any): 1 and *path (free
 * with mem_free()), 0 when there is none, -1. To fall back from a bad one, call again with its
 * step. */
int ckpt_latest(const char *root, uint64_t before, uint64_t *step, char **path, struct err *e);
/* "checkpoint-12" -> 12; -1 for another name. */
int ckpt_step_of(const char *name, uint64_t *step);

/* Checks the size and hash of every file of a checkpoint-N folder, or of its sft_train/. ERR_DATA
 * names the first file that is damaged, missing or not in the manifest; ERR_NOINPUT: there is no
 * manifest. */
int ckpt_verify(const char *path, struct err *e);
/* Removes the complete checkpoints but the newest `keep` (0: removes none). That of the step `best`
 * (0: none) is one of those that remain, beside the newest. */
int ckpt_prune(const char *root, uint64_t keep, uint64_t best, struct err *e);
/* 1 when root has a complete checkpoint-STEP; 0; -1. */
int ckpt_has(const char *root, uint64_t step, struct err *e);
/* Makes ROOT/NAME a folder of the model of checkpoint-STEP, without state/ and with a manifest of
 * its own. Its files are other names of those of the checkpoint, see io_duplicate. It replaces an
 * earlier ROOT/NAME. *path: ROOT/NAME, mem_free(). */
int ckpt_model(const char *root, uint64_t step, const char *name, char **path, struct err *e);

#endif
