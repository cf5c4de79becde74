/* SPDX-License-Identifier: Apache-2.0 */
/* Merges an adapter into its base model. */
#ifndef SFT_CKPT_MERGE_H
#define SFT_CKPT_MERGE_H

#include "hf/config.h"
#include "hf/peft.h"

struct merge {
    struct hf_config config;
    char *dir; /* of the base */
    struct safetensors *base;
    struct peft *adapter;
};
/* Opens both and checks that they fit; the caller calls merge_close in any case. */
int merge_open(struct merge *m, const char *model, const char *adapter, struct err *e);
/* Writes the merged weights and the other files of the model to the folder. */
int merge_fill(const struct merge *m, const char *to, struct err *e);
void merge_close(struct merge *m);

#endif
