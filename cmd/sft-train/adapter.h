/* SPDX-License-Identifier: Apache-2.0 */
/* The run's LoRA adapter: from the configuration to the options of the weights, and its first
 * values. */
#ifndef SFT_CMD_TRAIN_ADAPTER_H
#define SFT_CMD_TRAIN_ADAPTER_H

#include "config/config.h"
#include "hf/peft.h"
#include "train/trainer.h"

struct adapter;
/* As lora_target and additional_target say, or as the folder adapter_name_or_path does; without
 * either there is none, and the others do nothing. ERR_CONFIG for a pattern that cannot be read. */
struct adapter *adapter_new(const struct config *c, const struct model *m, struct err *e);
void adapter_free(struct adapter *a); /* NULL is fine */
bool adapter_on(const struct adapter *a);
/* Sets what of o concerns the adapter, which must outlive what is made with o. */
void adapter_options(struct adapter *a, const struct config *c, struct params_options *o);
/* After the parameter table was made: every name meant something. */
int adapter_check(struct adapter *a, const struct config *c, const struct params *t, struct err *e);
/* Of the checkpoints' adapter_config.json; NULL: no adapter. */
const struct peft_config *adapter_config(const struct adapter *a);
/* Whether a checkpoint to resume from is of the same adapter; ERR_CONFIG naming the keys. */
int adapter_same(const struct adapter *a, const char *checkpoint, struct err *e);
/* Its first values, after those of the base. */
int adapter_load(const struct adapter *a, const struct config *c, const struct safetensors *base,
                 struct trainer *t, struct err *e);

#endif
