/* SPDX-License-Identifier: Apache-2.0 */
/* Template variables of the command line. */
#ifndef SFT_TEMPLATE_VARS_H
#define SFT_TEMPLATE_VARS_H

#include "base/json.h"
#include "base/opt.h"

/* The members of an object as JSON text (NULL: none), then NAME=JSON each, which hold over them, to
 * one object in the arena; NULL where there are none. ERR_USAGE says which is wrong. */
int vars_parse(const char *object, const struct opt_list *list, struct arena *a,
               const struct json **out, struct err *e);

#endif
