/* SPDX-License-Identifier: Apache-2.0 */
/* The template variables of the command line. */
#ifndef SFT_TEMPLATE_VARS_H
#define SFT_TEMPLATE_VARS_H

#include "base/json.h"
#include "base/opt.h"

/* Sets *out to one object in the arena with the members of `object` (JSON text, or NULL) and of the
 * list of NAME=JSON, which override them; NULL when there are none. -1 with ERR_USAGE for a wrong
 * one. */
int vars_parse(const char *object, const struct opt_list *list, struct arena *a,
               const struct json **out, struct err *e);

#endif
