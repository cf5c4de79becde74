/* SPDX-License-Identifier: Apache-2.0 */
/* The layers that get an adapter and the modules that are trained as a whole: lora_target and
 * additional_target, read as ROLL reads them and matched as peft matches them. Internal to
 * lib/adapter. */
#ifndef SFT_ADAPTER_TARGETS_H
#define SFT_ADAPTER_TARGETS_H

#include "hf/peft.h"
#include "model/model.h"
#include "regex/regex.h"

struct targets {
    const struct model *model;
    struct hf_sizes sizes;
    struct peft_names adapted, whole; /* the names of each */
    bool all;                         /* every linear layer of the layers */
    struct regex *pattern;            /* NULL: lora_target is a list */
    struct regex_mem mem;
    bool *used; /* for each name of adapted, then of whole: it has a module */
    struct err why;
    bool failed; /* a pattern took too many steps */
    bool half;   /* of gate and up of experts one is a target */
};
/* Reads the names into *t and the names of *c, in the arena of *c. c and m must outlive t. whole:
 * NULL for none. ERR_CONFIG for a pattern that cannot be read. Call targets_free in either case. */
int targets_read(struct targets *t, const char *adapted, const char *whole, const struct model *m,
                 struct peft_config *c, struct err *e);
void targets_free(struct targets *t); /* all zero is fine */

/* For lora_options: t is a struct targets, the module "model.layers.0.self_attn.q_proj". */
bool targets_adapts(void *t, const char *module);
/* True when the module, or one that holds it, is trained as a whole. */
bool targets_keeps_whole(struct targets *t, const char *module);

/* After every module was asked for. any: some layer has an adapter. ERR_CONFIG where a name has no
 * module, or one that is not supported. Calls say with a line for each name of lora_target that no
 * layer has, where another has one. */
int targets_check(struct targets *t, bool any, void (*say)(const char *text), struct err *e);
/* Then: true when lora_target names more than layers. peft compares it with every module there is,
 * and fails where it names one that is not a linear layer. */
bool targets_say_more(const struct targets *t);

#endif
