/* SPDX-License-Identifier: Apache-2.0 */
/* Text to lines of token ids. */
#ifndef SFT_TOKENIZE_IDS_H
#define SFT_TOKENIZE_IDS_H

#include "text/tokenizer.h"

/* For each line of the input (n paths, 0: standard input) one line of space-separated ids to
 * output. threads do not change it. */
int ids_run(const struct tokenizer *t, char *const *paths, int n, const char *output, int threads,
            struct err *e);

#endif
