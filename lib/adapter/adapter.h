/* SPDX-License-Identifier: Apache-2.0 */
/* The LoRA adapter of a run: a new one, or one that is trained further. From its options to those
 * of the weights, and its first values. */
#ifndef SFT_ADAPTER_ADAPTER_H
#define SFT_ADAPTER_ADAPTER_H

#include "hf/peft.h"
#include "model/weights.h"

struct adapter_options {
    const char *path;           /* folder of an adapter to go on from; NULL: a new one */
    const char *target, *whole; /* lora_target, additional_target; NULL: none */
    int64_t rank;
    double alpha, dropout; /* alpha 0: twice the rank */
    bool rslora;
    uint64_t seed; /* of the first values and of dropout */
};
struct adapter;
/* An adapter as `path`, else as `target` and `whole` say; without path and target it is off. The
 * model must outlive it. ERR_CONFIG for a pattern that cannot be read. NULL on failure. */
struct adapter *adapter_new(const struct adapter_options *o, const struct model *m, struct err *e);
void adapter_free(struct adapter *a);     /* NULL is fine */
bool adapter_on(const struct adapter *a); /* the run trains an adapter */
/* Sets those options of o that an adapter needs; a must outlive what is made with o. Does nothing
 * when a is off. */
void adapter_params(struct adapter *a, struct params_options *o);
/* After the parameter table was made with these options: ERR_CONFIG where whole names no module, or
 * target no layer at all, and for dropout of experts. Calls say with a line for each other name of
 * target that no layer has. base: name of the base model, for adapter_config.json. */
int adapter_check(struct adapter *a, const struct params *t, const char *base,
                  void (*say)(const char *text), struct err *e);
/* The configuration of the checkpoints' adapter_config.json; NULL when a is off. */
const struct peft_config *adapter_config(const struct adapter *a);
/* ERR_CONFIG naming the keys when the checkpoint to resume from has another adapter. */
int adapter_same(const struct adapter *a, const char *checkpoint, struct err *e);
/* Tells whether what the run goes on from, an adapter's checkpoint or, where that is NULL, the
 * adapter that it begins from, was trained on other weights than those with this peft_base_id: 1,
 * or 0, also where its folder does not tell; -1 on failure. */
int adapter_other_base(const struct adapter *a, const char *checkpoint, const char *id,
                       struct err *e);
/* Stores the adapter's first values in w and, unless NULL, in master, after those of the base. Does
 * nothing when a is off. */
int adapter_load(const struct adapter *a, const struct safetensors *base, struct weights *w,
                 const struct weights_state *master, struct err *e);

#endif
