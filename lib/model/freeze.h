/* SPDX-License-Identifier: Apache-2.0 */
/* Which parameters keep their values: those whose names start with one of ROLL's prefixes. */
#ifndef SFT_MODEL_FREEZE_H
#define SFT_MODEL_FREEZE_H

#include "model/model.h"

/* For params_options: arg is the text of freeze_module_prefix, prefixes separated by commas with
 * white space around them left out. */
bool freeze_match(void *arg, const char *name);
/* ERR_CONFIG naming the nearest where a prefix is empty or no name starts with it. */
int freeze_check(const char *prefixes, const struct params *p, struct err *e);

#endif
