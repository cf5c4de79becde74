/* SPDX-License-Identifier: Apache-2.0 */
/* Converts text to lines of token ids. */
#ifndef SFT_TOKENIZE_IDS_H
#define SFT_TOKENIZE_IDS_H

#include "text/tokenizer.h"

/* Writes one line of space-separated ids to output for each line of the input: n paths, or standard
 * input when n = 0. The output does not depend on threads. */
int ids_run(const struct tokenizer *t, char *const *paths, int n, const char *output, int threads,
            struct err *e);

#endif
