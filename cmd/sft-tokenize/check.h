/* SPDX-License-Identifier: Apache-2.0 */
/* Tests input files before any row is converted. */
#ifndef SFT_TOKENIZE_CHECK_H
#define SFT_TOKENIZE_CHECK_H

#include <stdbool.h>

#include "base/err.h"

/* Opens each of n files and reads its beginning: ERR_NOINPUT for one that is missing, ERR_DATA for
 * one that does not begin as rows of JSON do, unless it is text. Pipes, whose bytes can be read
 * once, are left alone. */
int check_inputs(char *const *paths, int n, bool text, struct err *e);

#endif
