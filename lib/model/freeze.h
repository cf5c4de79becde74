/* SPDX-License-Identifier: Apache-2.0 */
/* The selection of frozen parameters: the parameters whose names start with one of ROLL's prefixes.
 */
#ifndef SFT_MODEL_FREEZE_H
#define SFT_MODEL_FREEZE_H

#include "model/model.h"

/* Returns true if the name starts with a prefix; for params_options. arg is the text of
 * freeze_module_prefix: prefixes separated by commas. White space around a prefix is ignored. */
bool freeze_match(void *arg, const char *name);
/* Checks that no prefix is empty and that each is the start of some name. Fails with ERR_CONFIG,
 * which gives the nearest name. */
int freeze_check(const char *prefixes, const struct params *p, struct err *e);

#endif
