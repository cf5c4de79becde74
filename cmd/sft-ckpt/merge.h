/* SPDX-License-Identifier: Apache-2.0 */
/* Merges an adapter into its base model. */
#ifndef SFT_CKPT_MERGE_H
#define SFT_CKPT_MERGE_H

#include "hf/config.h"
#include "hf/peft.h"

/* The option --force; flag: a bool. */
#define MERGE_FORCE(flag)                                                                          \
    {                                                                                              \
        .name = "force", .kind = OPT_FLAG, .to = &(flag),                                          \
        .help = "also merge an adapter that was trained on other weights"                          \
    }

struct merge {
    struct hf_config config;
    char *dir; /* of the base */
    struct safetensors *base;
    struct peft *adapter;
};
/* Opens both and checks that they fit; the caller calls merge_close in any case. force: an adapter
 * that was trained on other weights is told, not refused. */
int merge_open(struct merge *m, const char *model, const char *adapter, bool force, struct err *e);
/* Writes the merged weights and the other files of the model to the folder. */
int merge_fill(const struct merge *m, const char *to, struct err *e);
void merge_close(struct merge *m);

#endif
