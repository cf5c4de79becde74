/* SPDX-License-Identifier: Apache-2.0 */
/* Internal declarations of the option parser and the generated texts. */
#ifndef SFT_BASE_OPT_IMPL_H
#define SFT_BASE_OPT_IMPL_H

#include "base/buf.h"
#include "base/opt.h"

/* Fills the table of the options that every command has; their values go to c. */
enum { OPT_COMMON_MAX = 8 };
void opt_common_table(struct opt table[OPT_COMMON_MAX], struct opt_common *c);

/* The name of the value in --help: "N", "a|b|c"; NULL for an option without a value. */
const char *opt_value_name(const struct opt *o);

/* Calls f for the command's visible options, then for the common ones. */
void opt_each(const struct opt_cmd *cmd, void (*f)(const struct opt *, void *), void *arg);

/* Each appends a text about the command: the options are its own and the common ones. */
void opt_help(const struct opt_cmd *cmd, struct buf *b);
void opt_version(const struct opt_cmd *cmd, struct buf *b);
void opt_man(const struct opt_cmd *cmd, struct buf *b);
int opt_complete(const struct opt_cmd *cmd, const char *shell, struct buf *b, struct err *e);

#endif
