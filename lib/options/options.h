/* SPDX-License-Identifier: Apache-2.0 */
/* From the configuration to the options of what trains. Modules of training do not know of the
 * configuration; here alone it is read into theirs. */
#ifndef SFT_OPTIONS_OPTIONS_H
#define SFT_OPTIONS_OPTIONS_H

#include "adapter/adapter.h"
#include "config/config.h"
#include "train/loop.h"

struct train_options {
    struct trainer_options trainer;
    struct loop_options loop;
    struct best_options best;
    struct sched_options sched;
    struct adapter_options adapter;
    struct feed_wanted stream, validation; /* demands on the streams, but for the tokenizer */
};
/* Fills in *o, whose strings belong to c. config_check_trainable has passed c. validates: the run
 * has a stream for validation. The caller adds what depends on the model and the device: the
 * trainer's params and saved_dtype, and another type of computation where the device needs it. */
int train_options_from(const struct config *c, bool validates, struct train_options *o,
                       struct err *e);

/* The word of sft.recompute for r. */
const char *option_recompute(enum recompute r);

#endif
