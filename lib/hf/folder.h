/* SPDX-License-Identifier: Apache-2.0 */
/* Model folders: find one, and copy the files beside the weights. */
#ifndef SFT_HF_FOLDER_H
#define SFT_HF_FOLDER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* Finds a folder: `name` itself if it is one, else the snapshot of that hub id in the Hugging Face
 * or ModelScope cache. mem_free() releases *path. ERR_NOINPUT with the command that downloads it.
 */
int hf_folder_find(const char *name, char **path, struct err *e);

/* True for the form of a hub id: "NAME" or "ORG/NAME" of letters, digits, '.', '_' and '-'; no part
 * begins with '.'. */
bool hf_is_hub_id(const char *name);

/* Resolves MODEL of a command line: a Hugging Face folder, its hub id, or a checkpoint-N folder,
 * whose model is in sft_train/. Sets *out, released by mem_free(), to the folder that contains
 * config.json or the files of a tokenizer. ERR_NOINPUT when there is none. */
int hf_folder_resolve(const char *path, char **out, struct err *e);

/* 1 when the folder has tokenizer.json, vocab.json or tokenizer.model, 0 or -1. */
int hf_folder_has_tokenizer(const char *dir, struct err *e);

/* Copies config.json, generation_config.json, the files of a multimodal model's processors and
 * those of the tokenizer, as far as they exist, and the .jinja files of additional_chat_templates/.
 */
int hf_folder_copy(const char *from, const char *to, struct err *e);
/* Copies only config.json, generation_config.json and the files of processors. */
int hf_folder_copy_config(const char *from, const char *to, struct err *e);
/* Copies an adapter's adapter_config.json, base_weights.json and the files of its tokenizer, as far
 * as they exist. */
int hf_folder_copy_adapter(const char *from, const char *to, struct err *e);
/* Copies only the files of the tokenizer; `from` as of hf_folder_resolve. A folder without any is
 * ERR_NOINPUT. */
int hf_folder_copy_tokenizer(const char *from, const char *to, struct err *e);
/* Sets *bytes to the size of the files that hf_folder_copy (config) or hf_folder_copy_tokenizer
 * would copy. */
int hf_folder_bytes(const char *from, bool config, uint64_t *bytes, struct err *e);

#endif
