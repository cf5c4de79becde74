/* SPDX-License-Identifier: Apache-2.0 */
/* What the option parser and the texts made from its table share. */
#ifndef SFT_BASE_OPT_IMPL_H
#define SFT_BASE_OPT_IMPL_H

#include "base/buf.h"
#include "base/opt.h"

/* The options of every command, ended by name == NULL; values land in c. */
enum { OPT_COMMON_MAX = 8 };
void opt_common_table(struct opt table[OPT_COMMON_MAX], struct opt_common *c);

/* What stands for the value in --help: "N", "a|b|c"; NULL for options that take none. */
const char *opt_value_name(const struct opt *o);

/* The words of an OPT_ENUM one after another: the length of the word at *p, which moves to the
 * next; 0 at the end. */
size_t opt_word(const char **p);

/* Each appends a text made from the command's own options and the common ones. */
void opt_help(const struct opt_cmd *cmd, struct buf *b);
void opt_man(const struct opt_cmd *cmd, struct buf *b);
int opt_complete(const struct opt_cmd *cmd, const char *shell, struct buf *b, struct err *e);

#endif
