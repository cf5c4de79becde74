/* SPDX-License-Identifier: Apache-2.0 */
/* The one table for each enum that the configuration tells by a word. Internal to lib/options. */
#ifndef SFT_OPTIONS_WORDS_H
#define SFT_OPTIONS_WORDS_H

#include "base/err.h"

struct option_word {
    const char *word; /* NULL: the end of the table */
    int value;
};
extern const struct option_word option_recomputes[], option_spike_actions[], option_schedules[],
    option_curves[], option_optimizers[];

/* *value = that of the word. ERR_INTERNAL naming the key when the table does not have the word:
 * the configuration has a word that nothing acts on. */
int option_find(const struct option_word *table, const char *key, const char *word, int *value,
                struct err *e);

#endif
