/* SPDX-License-Identifier: Apache-2.0 */
/* Model folders: finding one, and copying the files beside the weights. */
#ifndef SFT_HF_FOLDER_H
#define SFT_HF_FOLDER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* MODEL as given by a user: a Hugging Face folder, or a checkpoint-N folder of ours, whose model is
 * in its sft_train/. *out (free with mem_free()) is the folder that holds config.json or
 * tokenizer.json. ERR_NOINPUT when there is none. */
int hf_folder_resolve(const char *path, char **out, struct err *e);

/* Copies those of config.json, generation_config.json and the tokenizer's files that exist; of
 * additional_chat_templates/ what ends in .jinja. */
int hf_folder_copy(const char *from, const char *to, struct err *e);
int hf_folder_copy_config(const char *from, const char *to,
                          struct err *e); /* the first two alone */
/* *bytes: of what hf_folder_copy (config) or hf_folder_copy_tokenizer would copy. */
int hf_folder_bytes(const char *from, bool config, uint64_t *bytes, struct err *e);
/* As hf_folder_copy without config.json and generation_config.json; a folder without
 * tokenizer.json is ERR_NOINPUT. */
int hf_folder_copy_tokenizer(const char *from, const char *to, struct err *e);

#endif
