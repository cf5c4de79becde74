/* SPDX-License-Identifier: Apache-2.0 */
/* The id of a run tells which run wrote what. It is in <output_dir>/.run and in config.yaml in the
 * logs. No checkpoint has it: equal runs write equal checkpoints. */
#ifndef SFT_SAVE_RECORD_IMPL_H
#define SFT_SAVE_RECORD_IMPL_H

#include "save/folder.h"

/* Returns 0 when the logs are empty, are those of the run that f->resume continues, or come from an
 * earlier attempt at a run in the same output folder. Else ERR_CREATE names the owner. Both folders
 * exist. */
int record_check(const struct run_folder *f, const struct run_names *n, struct err *e);
/* Sets e to a message that names the process that holds the lock of the logs, if config.yaml names
 * it. */
void record_busy(const struct run_folder *f, const struct run_names *n, struct err *e);
/* After record_check. Sets f->id, f->again and f->kept; writes config.yaml and .run; renames the
 * files of an earlier attempt. */
int record_write(struct run_folder *f, const struct run_names *n, struct err *e);

#endif
